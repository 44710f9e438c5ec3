"""Read the weights of a Chronos-Bolt from safetensors and fuse them for the lean forward.

Whatever does not depend on the input is multiplied once, in float32: the gain of a norm goes into
the following matrix, queries, keys and values share one product, and the decoder's self-attention,
whose softmax over a single token is one, becomes one matrix.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gigacast.errors import ModelIntegrityError
from gigacast.forecasters.lean.linear import Linear, make_linear
from gigacast.forecasters.lean.shape import BoltShape
from gigacast.forecasters.lean.weights import (
    BoltWeights,
    DecoderLayer,
    EncoderLayer,
    Head,
    Residual,
)

EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
"""Names under which the same embedding may be saved, depending on the library's version."""


def load_weights(
    folder: Path, shape: BoltShape, device: torch.device, dtype: torch.dtype
) -> BoltWeights:
    """Read and fuse the weights of a model folder.

    Parameters
    ----------
    folder : Path
        Folder with one or more ``*.safetensors``.
    shape : BoltShape
        Shape according to the model's configuration.
    device : torch.device
        Device of the fused weights.
    dtype : torch.dtype
        Type of the fused weights.

    Raises
    ------
    ModelIntegrityError
        If weights are missing, truncated, or not of the shape in the configuration.
    """
    fuser = _Fuser(folder, shape, read_tensors(folder), device, dtype)
    return fuser.fuse()


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Return all tensors in the safetensors files of a folder, by name.

    Raises
    ------
    ModelIntegrityError
        If there are none, or a file is not in the safetensors format.
    """
    tensors: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as handle:
                tensors.update({name: handle.get_tensor(name) for name in list(handle.keys())})
        except (SafetensorError, OSError) as error:
            raise ModelIntegrityError(f"{path} is not a safetensors file: {error}") from error
    if not tensors:
        raise ModelIntegrityError(
            f"no safetensors weights in {folder}",
            hint="pickled weights can run code when loaded: convert them to safetensors",
        )
    return tensors


@dataclass(frozen=True, slots=True)
class _Fuser:
    """Fuses the tensors of a folder, under their stock names, into `BoltWeights`."""

    folder: Path
    shape: BoltShape
    tensors: dict[str, Tensor]
    device: torch.device
    dtype: torch.dtype

    def fuse(self) -> BoltWeights:
        shape = self.shape
        tokens = self.embedding()
        first = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias"
        return BoltWeights(
            embed=self.residual("input_patch_embedding", 2 * shape.patch_size, shape.d_model),
            register=self.place(tokens[1]) if shape.has_register else None,
            # Float32 on the CPU: the forward expands it once per length and moves the result.
            position=self.get(f"{first}.weight", shape.buckets, shape.heads),
            encoder=tuple(self.encoder_layer(n) for n in range(shape.encoder_layers)),
            start=self.place(tokens[shape.start_token][None]),
            decoder=tuple(self.decoder_layer(n) for n in range(shape.decoder_layers)),
            head=self.head(),
        )

    def get(self, name: str, *size: int) -> Tensor:
        """Return a tensor in float32; raise if it is missing or has another shape."""
        if name not in self.tensors:
            raise ModelIntegrityError(f"the weights in {self.folder} lack {name}")
        tensor = self.tensors[name]
        if tuple(tensor.shape) != size:
            raise ModelIntegrityError(
                f"{self.folder}: {name} is {list(tensor.shape)}, config.json says {list(size)}"
            )
        return tensor.to(torch.float32)

    def embedding(self) -> Tensor:
        name = next((name for name in EMBEDDINGS if name in self.tensors), EMBEDDINGS[0])
        return self.get(name, 2 if self.shape.has_register else 1, self.shape.d_model)

    def place(self, tensor: Tensor) -> Tensor:
        """Return a tensor on the device in the working precision, after all fusing in float32."""
        return tensor.to(self.device, self.dtype).contiguous()

    def linear(self, weight: Tensor, bias: Tensor | None = None) -> Linear:
        return make_linear(self.place(weight), None if bias is None else self.place(bias))

    def residual(self, name: str, inputs: int, outputs: int) -> Residual:
        d_ff = self.shape.d_ff
        return Residual(
            hidden=self.linear(*self.affine(f"{name}.hidden_layer", d_ff, inputs)),
            output=self.linear(*self.affine(f"{name}.output_layer", outputs, d_ff)),
            skip=self.linear(*self.affine(f"{name}.residual_layer", outputs, inputs)),
        )

    def affine(self, name: str, outputs: int, inputs: int) -> tuple[Tensor, Tensor]:
        return self.get(f"{name}.weight", outputs, inputs), self.get(f"{name}.bias", outputs)

    def attention(self, name: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return query, key, value [inner, D] and output [D, inner]."""
        width, inner = self.shape.d_model, self.shape.inner
        query, key, value = (self.get(f"{name}.{part}.weight", inner, width) for part in "qkv")
        return query, key, value, self.get(f"{name}.o.weight", width, inner)

    def gain(self, layer: str) -> Tensor:
        """Return a norm's gain, [D], by which the columns of the next matrix are multiplied."""
        return self.get(f"{layer}.layer_norm.weight", self.shape.d_model)

    def feed_forward(self, layer: str) -> dict[str, Linear]:
        width, d_ff = self.shape.d_model, self.shape.d_ff
        widen = self.get(f"{layer}.DenseReluDense.wi.weight", d_ff, width)
        narrow = self.get(f"{layer}.DenseReluDense.wo.weight", width, d_ff)
        return {"widen": self.linear(widen * self.gain(layer)), "narrow": self.linear(narrow)}

    def encoder_layer(self, index: int) -> EncoderLayer:
        block = f"encoder.block.{index}.layer"
        query, key, value, output = self.attention(f"{block}.0.SelfAttention")
        return EncoderLayer(
            joined=self.linear(torch.cat([query, key, value]) * self.gain(f"{block}.0")),
            output=self.linear(output),
            **self.feed_forward(f"{block}.1"),
        )

    def decoder_layer(self, index: int) -> DecoderLayer:
        block = f"decoder.block.{index}.layer"
        _, _, own_value, own_output = self.attention(f"{block}.0.SelfAttention")
        query, key, value, output = self.attention(f"{block}.1.EncDecAttention")
        memory_gain = self.get("encoder.final_layer_norm.weight", self.shape.d_model)
        by_head = (self.shape.heads, self.shape.d_kv, self.shape.d_model)
        # In float64, because this product of two matrices is rounded once more than the others.
        own = (own_output.double() @ own_value.double()).float()
        return DecoderLayer(
            own=self.linear(own * self.gain(f"{block}.0")),
            query=self.linear(query * self.gain(f"{block}.1")),
            key=self.place((key * memory_gain).view(by_head)),
            value=self.place((value * memory_gain).view(by_head).transpose(1, 2)),
            output=self.linear(output),
            **self.feed_forward(f"{block}.2"),
        )

    def head(self) -> Head:
        shape, name = self.shape, "output_patch_embedding"
        gain = self.get("decoder.final_layer_norm.weight", shape.d_model)
        outputs = len(shape.levels) * shape.prediction_length
        hidden, hidden_bias = self.affine(f"{name}.hidden_layer", shape.d_ff, shape.d_model)
        output, output_bias = self.affine(f"{name}.output_layer", outputs, shape.d_ff)
        skip, skip_bias = self.affine(f"{name}.residual_layer", outputs, shape.d_model)
        # Output and skip stay plain tensors: the head cuts them to the horizon before packing.
        return Head(
            self.linear(hidden * gain, hidden_bias),
            (self.place(output), self.place(output_bias)),
            (self.place(skip * gain), self.place(skip_bias)),
            len(shape.levels),
        )
