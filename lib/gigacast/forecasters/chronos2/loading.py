"""Read the weights of a Chronos-2 from safetensors and fuse them, without torch.

The gain of each norm goes into the matrix behind it. Queries, keys and values share one product.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gigacast.core.array import FloatArray
from gigacast.errors import ModelError
from gigacast.forecasters.chronos2.shape import (
    Chronos2Shape,
    read_chronos2_shape,
    runs_lean_chronos2,
)
from gigacast.forecasters.config import is_adapter, read_model_config
from gigacast.forecasters.lean.fused import FusedAffine, FusedResidual
from gigacast.forecasters.lean.loading import read_tensors, take_tensor

REGISTER = 1
"""Row of the REG token in the embedding of special tokens."""


@dataclass(frozen=True, slots=True)
class FusedAttention:
    """Attention over the steps of a series, or over the series of a group.

    Parameters
    ----------
    joined : float32 [3 * heads * d_kv, D]
        Queries, keys and values; holds the gain of the norm.
    output : float32 [D, heads * d_kv]
    """

    joined: FloatArray
    output: FloatArray


@dataclass(frozen=True, slots=True)
class FusedChronos2Layer:
    """A layer: attention over time, attention over the group, feed-forward.

    Parameters
    ----------
    time, group : FusedAttention
    widen, narrow : float32 [d_ff, D], [D, d_ff]
        ``widen`` holds the gain of its norm.
    """

    time: FusedAttention
    group: FusedAttention
    widen: FloatArray
    narrow: FloatArray


@dataclass(frozen=True, slots=True)
class FusedChronos2:
    """All weights of a Chronos-2.

    Parameters
    ----------
    embed : FusedResidual
        Times, values and mask of a patch, 3 * P, to a token, D.
    register : float32 [1, D]
        Token between context and future.
    layers : tuple of FusedChronos2Layer
    head : FusedResidual
        D to K * P, with the gain of the last norm.
    """

    embed: FusedResidual
    register: FloatArray
    layers: tuple[FusedChronos2Layer, ...]
    head: FusedResidual


def read_shape_of(folder: Path) -> Chronos2Shape:
    """Return the shape of the model in a folder.

    Raises
    ------
    ModelNotFoundError, ModelIntegrityError
        If the folder is missing or incomplete.
    ModelError
        If it holds another model than one that the lean forward runs.
    """
    config = read_model_config(folder)
    if is_adapter(folder) or not runs_lean_chronos2(config):
        raise ModelError(f"the model in {folder} is no Chronos-2 with ReLU: use load_chronos")
    try:
        return read_chronos2_shape(config)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{folder}: config.json is incomplete: {error!r}") from error


def read_fused_chronos2(folder: Path, shape: Chronos2Shape) -> FusedChronos2:
    """Read and fuse the weights of a model folder.

    Raises
    ------
    ModelIntegrityError
        If weights are missing, truncated, or not of the shape in the configuration.
    """
    return _Fuser(folder, shape, read_tensors(folder)).fuse()


@dataclass(frozen=True, slots=True)
class _Fuser:
    """Fuses the tensors of a folder, under their stock names, into a `FusedChronos2`."""

    folder: Path
    shape: Chronos2Shape
    tensors: Mapping[str, FloatArray]

    def fuse(self) -> FusedChronos2:
        shape = self.shape
        return FusedChronos2(
            embed=self.residual("input_patch_embedding", 3 * shape.patch_size, shape.d_model),
            register=self.get("shared.weight", 2, shape.d_model)[REGISTER:],
            layers=tuple(self.layer(f"encoder.block.{n}.layer") for n in range(shape.layers)),
            head=self.head(),
        )

    def get(self, name: str, *size: int) -> FloatArray:
        return take_tensor(self.folder, self.tensors, name, size)

    def residual(self, name: str, inputs: int, outputs: int) -> FusedResidual:
        wide = self.shape.d_ff
        return FusedResidual(
            hidden=self.affine(f"{name}.hidden_layer", wide, inputs),
            output=self.affine(f"{name}.output_layer", outputs, wide),
            skip=self.affine(f"{name}.residual_layer", outputs, inputs),
        )

    def affine(self, name: str, outputs: int, inputs: int) -> FusedAffine:
        weight = self.get(f"{name}.weight", outputs, inputs)
        return FusedAffine(weight, self.get(f"{name}.bias", outputs))

    def gain(self, layer: str) -> FloatArray:
        return self.get(f"{layer}.layer_norm.weight", self.shape.d_model)

    def attention(self, layer: str) -> FusedAttention:
        width, inner = self.shape.d_model, self.shape.inner
        parts = [self.get(f"{layer}.self_attention.{p}.weight", inner, width) for p in "qkv"]
        return FusedAttention(
            joined=np.concatenate(parts) * self.gain(layer),
            output=self.get(f"{layer}.self_attention.o.weight", width, inner),
        )

    def layer(self, block: str) -> FusedChronos2Layer:
        width, wide = self.shape.d_model, self.shape.d_ff
        return FusedChronos2Layer(
            time=self.attention(f"{block}.0"),
            group=self.attention(f"{block}.1"),
            widen=self.get(f"{block}.2.mlp.wi.weight", wide, width) * self.gain(f"{block}.2"),
            narrow=self.get(f"{block}.2.mlp.wo.weight", width, wide),
        )

    def head(self) -> FusedResidual:
        shape = self.shape
        outputs = len(shape.levels) * shape.patch_size
        block = self.residual("output_patch_embedding", shape.d_model, outputs)
        gain = self.get("encoder.final_layer_norm.weight", shape.d_model)
        return FusedResidual(
            FusedAffine(block.hidden.weight * gain, block.hidden.bias),
            block.output,
            FusedAffine(block.skip.weight * gain, block.skip.bias),
        )
