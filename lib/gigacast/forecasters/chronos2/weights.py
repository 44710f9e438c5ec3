"""The fused weights of a Chronos-2 in torch, on a device and in a precision."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from gigacast.forecasters.chronos2.loading import FusedAttention, FusedChronos2, FusedChronos2Layer
from gigacast.forecasters.lean.linear import Linear
from gigacast.forecasters.lean.weights import Placement, Residual


@dataclass(frozen=True, slots=True)
class Attention:
    """Queries, keys and values of a norm's tokens in one product, and the product behind them."""

    joined: Linear
    output: Linear


class GroupAttention:
    """Attention over the series of a group, at each step.

    Its weights are placed when the first group of each kind comes: few runs have both.

    Parameters
    ----------
    fused : FusedAttention
    place : Placement
    """

    def __init__(self, fused: FusedAttention, place: Placement) -> None:
        self._fused = fused
        self._place = place

    @cached_property
    def alone(self) -> Linear:
        """The whole attention of a group of one, D to D: a softmax over one score is one."""
        value = np.split(self._fused.joined, 3)[2].astype(np.float64)
        # In float64, because this product of two matrices is rounded once more than the others.
        both = self._fused.output.astype(np.float64) @ value
        return self._place.linear(both.astype(np.float32))

    @cached_property
    def together(self) -> Attention:
        """The attention of a larger group."""
        return _attention(self._fused, self._place)


@dataclass(frozen=True, slots=True)
class Chronos2Layer:
    """A layer; ``widen`` and the joined products hold the gains of their norms."""

    time: Attention
    group: GroupAttention
    widen: Linear
    narrow: Linear


@dataclass(frozen=True, slots=True)
class Chronos2Weights:
    """All weights of a Chronos-2, see `FusedChronos2`."""

    embed: Residual
    register: Tensor
    layers: tuple[Chronos2Layer, ...]
    head: Residual


def place_chronos2(
    fused: FusedChronos2, device: torch.device, dtype: torch.dtype
) -> Chronos2Weights:
    """Return fused weights on a device, in the working precision."""
    place = Placement(device, dtype)
    return Chronos2Weights(
        embed=place.residual(fused.embed),
        register=place.tensor(fused.register),
        layers=tuple(_layer(layer, place) for layer in fused.layers),
        head=place.residual(fused.head),
    )


def _layer(layer: FusedChronos2Layer, place: Placement) -> Chronos2Layer:
    return Chronos2Layer(
        time=_attention(layer.time, place),
        group=GroupAttention(layer.group, place),
        widen=place.linear(layer.widen),
        narrow=place.linear(layer.narrow),
    )


def _attention(fused: FusedAttention, place: Placement) -> Attention:
    return Attention(place.linear(fused.joined), place.linear(fused.output))
