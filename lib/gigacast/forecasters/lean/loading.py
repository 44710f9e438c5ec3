"""Read the weights of a Chronos-Bolt from safetensors and fuse them, without torch.

Whatever does not depend on the input is multiplied once, in float32: the gain of a norm goes into
the following matrix, queries, keys and values share one product, and the decoder's self-attention,
whose softmax over a single token is one, becomes one matrix.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors import deserialize as _deserialize

from gigacast.core.array import FloatArray
from gigacast.errors import ModelError, ModelIntegrityError
from gigacast.forecasters.config import is_adapter, read_model_config
from gigacast.forecasters.forecaster import ForecasterInfo, ModelFiles
from gigacast.forecasters.lean.fused import (
    FusedAffine,
    FusedBolt,
    FusedDecoderLayer,
    FusedEncoderLayer,
    FusedResidual,
)
from gigacast.forecasters.lean.shape import BoltShape, read_shape, runs_lean

EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
"""Names under which the same embedding may be saved, depending on the library's version."""

deserialize: Callable[[bytes], list[tuple[str, Mapping[str, Any]]]] = _deserialize
"""Safetensors' reader of a whole file, which has no annotations of its own."""

_STORED_TYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16}


def read_bolt_shape(folder: Path) -> BoltShape:
    """Return the shape of the model in a folder.

    Raises
    ------
    ModelNotFoundError, ModelIntegrityError
        If the folder is missing or incomplete.
    ModelError
        If it holds another kind of model than a Chronos-Bolt with ReLU.
    """
    config = read_model_config(folder)
    if is_adapter(folder):
        raise ModelError(
            f"{folder} holds a LoRA adapter, not a model",
            hint="merge it into its base model and save that",
        )
    if not runs_lean(config):
        raise ModelError(f"the model in {folder} is no Chronos-Bolt with ReLU: use load_chronos")
    try:
        return read_shape(config)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{folder}: config.json is incomplete: {error!r}") from error


def describe_bolt(
    files: ModelFiles, shape: BoltShape, *, engine: str, device: str, precision: str
) -> ForecasterInfo:
    """Return the info of a loaded Bolt; device and precision are resolved."""
    return ForecasterInfo(
        name=files.name,
        version=files.version,
        digest=files.digest,
        engine=engine,
        device=device,
        precision=precision,
        context_length=shape.context_length,
        prediction_length=shape.prediction_length,
        levels=shape.levels,
        patch_size=shape.patch_size,
    )


def read_fused(folder: Path, shape: BoltShape) -> FusedBolt:
    """Read and fuse the weights of a model folder.

    Parameters
    ----------
    folder : Path
        Folder with one or more ``*.safetensors``.
    shape : BoltShape
        Shape according to the model's configuration.

    Raises
    ------
    ModelIntegrityError
        If weights are missing, truncated, or not of the shape in the configuration.
    """
    return _Fuser(folder, shape, read_tensors(folder)).fuse()


def read_tensors(folder: Path) -> dict[str, FloatArray]:
    """Return all tensors in the safetensors files of a folder, float32, by name.

    Raises
    ------
    ModelIntegrityError
        If there are none, or a file is not in the safetensors format, or a tensor holds no
        floating-point numbers.
    """
    tensors: dict[str, FloatArray] = {}
    for path in sorted(folder.glob("*.safetensors")):
        tensors.update(read_tensor_file(path))
    if not tensors:
        raise ModelIntegrityError(
            f"no safetensors weights in {folder}",
            hint="pickled weights can run code when loaded: convert them to safetensors",
        )
    return tensors


def read_tensor_file(path: Path) -> dict[str, FloatArray]:
    """Return the tensors of one file, float32, by name.

    Raises
    ------
    ModelIntegrityError
        If the file is not in the safetensors format, or a tensor holds no floating-point numbers.
    """
    try:
        return {name: _as_float32(entry) for name, entry in deserialize(path.read_bytes())}
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelIntegrityError(f"{path} is not a safetensors file: {error}") from error


def _as_float32(entry: Mapping[str, Any]) -> FloatArray:
    kind, data = entry["dtype"], entry["data"]
    if kind == "BF16":
        # bfloat16 is the upper half of a float32; NumPy has no such type.
        wide = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        return wide.view(np.float32).reshape(entry["shape"])
    if kind not in _STORED_TYPES:
        raise ValueError(f"weights of type {kind}")
    stored = np.frombuffer(data, np.dtype(_STORED_TYPES[kind]).newbyteorder("<"))
    return stored.astype(np.float32, copy=False).reshape(entry["shape"])


def take_tensor(
    folder: Path, tensors: Mapping[str, FloatArray], name: str, size: tuple[int, ...]
) -> FloatArray:
    """Return a tensor of a folder.

    Raises
    ------
    ModelIntegrityError
        If it is missing or has another shape.
    """
    if name not in tensors:
        raise ModelIntegrityError(f"the weights in {folder} lack {name}")
    tensor = tensors[name]
    if tensor.shape != size:
        raise ModelIntegrityError(
            f"{folder}: {name} is {list(tensor.shape)}, config.json says {list(size)}"
        )
    return tensor


@dataclass(frozen=True, slots=True)
class _Fuser:
    """Fuses the tensors of a folder, under their stock names, into a `FusedBolt`."""

    folder: Path
    shape: BoltShape
    tensors: dict[str, FloatArray]

    def fuse(self) -> FusedBolt:
        shape = self.shape
        tokens = self.embedding()
        first = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias"
        return FusedBolt(
            embed=self.residual("input_patch_embedding", 2 * shape.patch_size, shape.d_model),
            register=tokens[1:2] if shape.has_register else None,
            position=self.get(f"{first}.weight", shape.buckets, shape.heads),
            encoder=tuple(self.encoder_layer(n) for n in range(shape.encoder_layers)),
            start=self.start(tokens),
            decoder=tuple(self.decoder_layer(n) for n in range(shape.decoder_layers)),
            head=self.head(),
        )

    def get(self, name: str, *size: int) -> FloatArray:
        return take_tensor(self.folder, self.tensors, name, size)

    def embedding(self) -> FloatArray:
        name = next((name for name in EMBEDDINGS if name in self.tensors), EMBEDDINGS[0])
        return self.get(name, 2 if self.shape.has_register else 1, self.shape.d_model)

    def start(self, tokens: FloatArray) -> FloatArray:
        first = self.shape.start_token
        if not 0 <= first < len(tokens):
            raise ModelIntegrityError(
                f"{self.folder}: config.json starts the decoder with token {first}, the weights "
                f"hold {len(tokens)}"
            )
        return tokens[first : first + 1]

    def residual(self, name: str, inputs: int, outputs: int) -> FusedResidual:
        d_ff = self.shape.d_ff
        return FusedResidual(
            hidden=self.affine(f"{name}.hidden_layer", d_ff, inputs),
            output=self.affine(f"{name}.output_layer", outputs, d_ff),
            skip=self.affine(f"{name}.residual_layer", outputs, inputs),
        )

    def affine(self, name: str, outputs: int, inputs: int) -> FusedAffine:
        weight = self.get(f"{name}.weight", outputs, inputs)
        return FusedAffine(weight, self.get(f"{name}.bias", outputs))

    def attention(self, name: str) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return query, key, value [inner, D] and output [D, inner]."""
        width, inner = self.shape.d_model, self.shape.inner
        query, key, value = (self.get(f"{name}.{part}.weight", inner, width) for part in "qkv")
        return query, key, value, self.get(f"{name}.o.weight", width, inner)

    def gain(self, layer: str) -> FloatArray:
        """Return a norm's gain, [D], by which the columns of the next matrix are multiplied."""
        return self.get(f"{layer}.layer_norm.weight", self.shape.d_model)

    def feed_forward(self, layer: str) -> dict[str, FloatArray]:
        width, d_ff = self.shape.d_model, self.shape.d_ff
        widen = self.get(f"{layer}.DenseReluDense.wi.weight", d_ff, width)
        narrow = self.get(f"{layer}.DenseReluDense.wo.weight", width, d_ff)
        return {"widen": widen * self.gain(layer), "narrow": narrow}

    def encoder_layer(self, index: int) -> FusedEncoderLayer:
        block = f"encoder.block.{index}.layer"
        query, key, value, output = self.attention(f"{block}.0.SelfAttention")
        return FusedEncoderLayer(
            joined=np.concatenate([query, key, value]) * self.gain(f"{block}.0"),
            output=output,
            **self.feed_forward(f"{block}.1"),
        )

    def decoder_layer(self, index: int) -> FusedDecoderLayer:
        block = f"decoder.block.{index}.layer"
        _, _, own_value, own_output = self.attention(f"{block}.0.SelfAttention")
        query, key, value, output = self.attention(f"{block}.1.EncDecAttention")
        memory_gain = self.get("encoder.final_layer_norm.weight", self.shape.d_model)
        by_head = (self.shape.heads, self.shape.d_kv, self.shape.d_model)
        # In float64, because this product of two matrices is rounded once more than the others.
        own = own_output.astype(np.float64) @ own_value.astype(np.float64)
        values = (value * memory_gain).reshape(by_head).transpose(0, 2, 1)
        return FusedDecoderLayer(
            own=own.astype(np.float32) * self.gain(f"{block}.0"),
            query=query * self.gain(f"{block}.1"),
            key=(key * memory_gain).reshape(by_head),
            value=np.ascontiguousarray(values),
            output=output,
            **self.feed_forward(f"{block}.2"),
        )

    def head(self) -> FusedResidual:
        shape = self.shape
        outputs = len(shape.levels) * shape.prediction_length
        block = self.residual("output_patch_embedding", shape.d_model, outputs)
        gain = self.get("decoder.final_layer_norm.weight", shape.d_model)
        return FusedResidual(
            FusedAffine(block.hidden.weight * gain, block.hidden.bias),
            block.output,
            FusedAffine(block.skip.weight * gain, block.skip.bias),
        )
