"""The fused weights of a Chronos-Bolt in torch, on a device and in a precision."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gigacast.core.array import FloatArray
from gigacast.forecasters.lean.fused import (
    FusedAffine,
    FusedBolt,
    FusedDecoderLayer,
    FusedEncoderLayer,
    FusedResidual,
)
from gigacast.forecasters.lean.linear import Linear, make_linear


@dataclass(frozen=True, slots=True)
class Residual:
    """A residual block: ``output(relu(hidden(x))) + skip(x)``."""

    hidden: Linear
    output: Linear
    skip: Linear

    def __call__(self, rows: Tensor) -> Tensor:
        """Return [..., O] for rows [..., I]."""
        return self.output.add(self.hidden.relu(rows), self.skip(rows))


@dataclass(frozen=True, slots=True)
class EncoderLayer:
    """Self-attention and feed-forward; the first matrix of each holds the gain of its norm.

    Parameters
    ----------
    joined : Linear
        D to 3 * heads * d_kv: queries, keys and values.
    output : Linear
        heads * d_kv to D.
    widen, narrow : Linear
        D to d_ff and back.
    """

    joined: Linear
    output: Linear
    widen: Linear
    narrow: Linear


@dataclass(frozen=True, slots=True)
class DecoderLayer:
    """Self-attention over one token, cross-attention over the memory, and feed-forward.

    Parameters
    ----------
    own : Linear
        D to D: product of the self-attention's value and output projections.
    query : Linear
        D to heads * d_kv.
    key : Tensor
        [heads, d_kv, D]: projects a head's query to the memory; holds the memory's gain.
    value : Tensor
        [heads, D, d_kv]: projects a head's mean of the memory to its values; holds the gain too.
    output, widen, narrow : Linear
        As in `EncoderLayer`.
    """

    own: Linear
    query: Linear
    key: Tensor
    value: Tensor
    output: Linear
    widen: Linear
    narrow: Linear


class Head:
    """The output block, cut to the requested steps so that no others are computed.

    Parameters
    ----------
    block : FusedResidual
        D to K * P: K levels of P steps each.
    levels : int
        Number of quantile levels, K.
    place : Placement
    """

    def __init__(self, block: FusedResidual, levels: int, place: "Placement") -> None:
        self._block = block
        self._levels = levels
        self._place = place
        # One hidden layer for all cuts: it does not depend on the steps.
        self._hidden = place.affine(block.hidden)
        self._cuts: dict[int, Residual] = {}

    def cut(self, steps: int) -> Residual:
        """Return the block for the first ``steps`` of each level, [B, K * steps]; cached."""
        if steps not in self._cuts:
            first = self._block.first_steps(self._levels, steps)
            output, skip = self._place.affine(first.output), self._place.affine(first.skip)
            self._cuts[steps] = Residual(self._hidden, output, skip)
        return self._cuts[steps]


@dataclass(frozen=True, slots=True)
class BoltWeights:
    """All weights of a Bolt.

    Parameters
    ----------
    embed : Residual
        2 * patch_size (a patch and its mask) to D.
    register : Tensor, optional
        The REG token, [D].
    position : Tensor
        Relative position bias, float32 [buckets, heads], on the CPU.
    encoder : tuple of EncoderLayer
    start : Tensor
        Start token of the decoder, [1, D].
    decoder : tuple of DecoderLayer
    head : Head
    """

    embed: Residual
    register: Tensor | None
    position: Tensor
    encoder: tuple[EncoderLayer, ...]
    start: Tensor
    decoder: tuple[DecoderLayer, ...]
    head: Head


def place_weights(
    fused: FusedBolt, levels: int, device: torch.device, dtype: torch.dtype
) -> BoltWeights:
    """Return fused weights on a device, in the working precision.

    Parameters
    ----------
    fused : FusedBolt
    levels : int
        Number of quantile levels, K.
    device : torch.device
    dtype : torch.dtype
        Type of all weights but the position bias.
    """
    place = Placement(device, dtype)
    return BoltWeights(
        embed=place.residual(fused.embed),
        register=None if fused.register is None else place.tensor(fused.register[0]),
        # Float32 on the CPU: the forward expands it once per length and moves the result.
        position=torch.from_numpy(fused.position),
        encoder=tuple(place.encoder_layer(layer) for layer in fused.encoder),
        start=place.tensor(fused.start),
        decoder=tuple(place.decoder_layer(layer) for layer in fused.decoder),
        head=Head(fused.head, levels, place),
    )


@dataclass(frozen=True, slots=True)
class Placement:
    """Moves fused weights, which are float32 arrays, to a device and into a precision."""

    device: torch.device
    dtype: torch.dtype

    def tensor(self, array: FloatArray) -> Tensor:
        """Return an array on the device in the working precision."""
        return torch.from_numpy(array).to(self.device, self.dtype).contiguous()

    def linear(self, weight: FloatArray) -> Linear:
        """Return the product with a weight, [O, I]."""
        return make_linear(self.tensor(weight))

    def affine(self, affine: FusedAffine) -> Linear:
        """Return the product with a weight and its bias."""
        return make_linear(self.tensor(affine.weight), self.tensor(affine.bias))

    def residual(self, block: FusedResidual) -> Residual:
        """Return a residual block."""
        return Residual(*map(self.affine, (block.hidden, block.output, block.skip)))

    def encoder_layer(self, layer: FusedEncoderLayer) -> EncoderLayer:
        """Return a layer of the encoder."""
        return EncoderLayer(
            joined=self.linear(layer.joined),
            output=self.linear(layer.output),
            widen=self.linear(layer.widen),
            narrow=self.linear(layer.narrow),
        )

    def decoder_layer(self, layer: FusedDecoderLayer) -> DecoderLayer:
        """Return a layer of the decoder."""
        return DecoderLayer(
            own=self.linear(layer.own),
            query=self.linear(layer.query),
            key=self.tensor(layer.key),
            value=self.tensor(layer.value),
            output=self.linear(layer.output),
            widen=self.linear(layer.widen),
            narrow=self.linear(layer.narrow),
        )
