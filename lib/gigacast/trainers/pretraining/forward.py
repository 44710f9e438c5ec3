"""A forward pass of Chronos-Bolt for training, with the stock model's parameters.

The stock class spends much of a small model's step on operations that do not compute anything
needed here. The decoder's single token needs no self-attention scores, and queries, keys and values
are projected together. The normalisation is in float32 in every precision. Parameters are read from
the stock model at every call, so that the stock class can save and load the trained weights; in
float32 both forwards give the same numbers.
"""

from dataclasses import dataclass
from typing import Any

import torch
from chronos.chronos_bolt import ChronosBoltModelForForecasting
from torch import Tensor
from torch.nn import functional

NORM_EPS = 1e-5
"""Scale of a constant context, as in the stock model."""
RMS_EPS = 1e-6
"""Constant that the root-mean-square norm adds before dividing, as in the stock model."""


@dataclass(frozen=True)
class Prepared:
    """Normalised and patched contexts.

    Attributes
    ----------
    patches : Tensor
        Normalised values followed by their mask, [N, S, 2P], float32, S patches of P steps.
    observed : Tensor
        Whether each patch has at least one value, [N, S], bool.
    location, scale : Tensor
        Mean and standard deviation of each context, [N, 1], float32.
    """

    patches: Tensor
    observed: Tensor
    location: Tensor
    scale: Tensor


def prepare(context: Tensor, patch_size: int) -> Prepared:
    """Normalise and patch contexts exactly as the stock model does.

    Parameters
    ----------
    context : Tensor
        Float32, [N, T], NaN for missing values; T a multiple of ``patch_size``.
    patch_size : int
        Steps of a patch, P.
    """
    mask = torch.isfinite(context)
    filled = torch.where(mask, context, 0.0)
    # At least 1, against 0 / 0 for contexts without a value, which the loss leaves out.
    count = mask.sum(dim=-1, keepdim=True).clamp(min=1)
    location = filled.sum(dim=-1, keepdim=True) / count
    centred = torch.where(mask, filled - location, 0.0)
    scale = (centred.square().sum(dim=-1, keepdim=True) / count).sqrt()
    scale = torch.where(mask.any(dim=-1, keepdim=True), scale, 1.0)
    scale = torch.where(scale == 0, NORM_EPS, scale)
    shape = (context.shape[0], -1, patch_size)
    values, flags = (centred / scale).reshape(shape), mask.to(torch.float32).reshape(shape)
    return Prepared(
        torch.cat([values, flags], dim=-1), mask.reshape(shape).any(-1), location, scale
    )


def forward_normalised(
    model: ChronosBoltModelForForecasting,
    patches: Tensor,
    observed: Tensor,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return the quantiles in units of each context's scale, [N, Q, H], float32.

    Parameters
    ----------
    model : ChronosBoltModelForForecasting
        Stock model with a REG token; dropout is not applied.
    patches, observed : Tensor
        See `Prepared`.
    dtype : torch.dtype
        Type of products and activations. Parameters are cast at each use, so that gradients and
        updates stay in float32.
    """
    rows = patches.shape[0]
    hidden = _residual_block(model.input_patch_embedding, patches.to(dtype))
    register = model.shared.weight[1].to(dtype).expand(rows, 1, -1)
    hidden = torch.cat([hidden, register], dim=1)
    visible = torch.cat([observed, observed.new_ones(rows, 1)], dim=1)
    # A quarter of the lowest number, so that adding the position bias and the scores to it cannot
    # overflow to minus infinity.
    masked = torch.where(visible, 0.0, torch.finfo(torch.float32).min / 4)[:, None, None, :]
    hidden = _encode(model.encoder, hidden, masked)
    start = model.shared.weight[0].to(dtype).expand(rows, 1, -1)
    decoded = _decode(model.decoder, start, hidden, masked)
    output = _residual_block(model.output_patch_embedding, decoded).to(torch.float32)
    return output.view(rows, model.num_quantiles, -1)


def _encode(stack: Any, hidden: Tensor, masked: Tensor) -> Tensor:
    # All layers share the position bias of the first, as in T5.
    attention = stack.block[0].layer[0].SelfAttention
    bias = attention.compute_bias(hidden.shape[1], hidden.shape[1], device=hidden.device) + masked
    for block in stack.block:
        hidden = hidden + _self_attend(block.layer[0], hidden, bias)
        hidden = hidden + _feed_forward(block.layer[1], hidden)
    return _final_norm(stack, hidden)


def _decode(stack: Any, hidden: Tensor, memory: Tensor, masked: Tensor) -> Tensor:
    for block in stack.block:
        attention = block.layer[0].SelfAttention
        gain = block.layer[0].layer_norm.weight
        # Over a single token the softmax is one, so the attention is the value projection.
        value = _project(_unit_rms(hidden), gain, attention.v)
        hidden = hidden + _linear(attention.o, value)
        hidden = hidden + _cross_attend(block.layer[1], hidden, memory, masked)
        hidden = hidden + _feed_forward(block.layer[2], hidden)
    return _final_norm(stack, hidden)


def _final_norm(stack: Any, hidden: Tensor) -> Tensor:
    gain: Tensor = stack.final_layer_norm.weight
    return _unit_rms(hidden) * gain.to(hidden.dtype)


def _self_attend(layer: Any, hidden: Tensor, bias: Tensor) -> Tensor:
    attention = layer.SelfAttention
    projections = (attention.q, attention.k, attention.v)
    joined = _project(_unit_rms(hidden), layer.layer_norm.weight, *projections)
    query, key, value = joined.chunk(3, dim=-1)
    return _mix(attention, (query, key, value), bias)


def _cross_attend(layer: Any, hidden: Tensor, memory: Tensor, bias: Tensor) -> Tensor:
    attention = layer.EncDecAttention
    query = _project(_unit_rms(hidden), layer.layer_norm.weight, attention.q)
    joined = functional.linear(memory, _joined_weight(memory.dtype, attention.k, attention.v))
    key, value = joined.chunk(2, dim=-1)
    return _mix(attention, (query, key, value), bias)


def _mix(attention: Any, projected: tuple[Tensor, Tensor, Tensor], bias: Tensor) -> Tensor:
    shape = (projected[0].shape[0], -1, attention.n_heads, attention.key_value_proj_dim)
    query, key, value = (part.reshape(shape).transpose(1, 2) for part in projected)
    # Scores and softmax in float32, as in the stock model.
    scores = (query @ key.transpose(-1, -2)).to(torch.float32) + bias
    mixed = torch.softmax(scores, dim=-1).to(value.dtype) @ value
    return _linear(attention.o, mixed.transpose(1, 2).flatten(2))


def _feed_forward(layer: Any, hidden: Tensor) -> Tensor:
    dense = layer.DenseReluDense
    inner = _project(_unit_rms(hidden), layer.layer_norm.weight, dense.wi)
    return _linear(dense.wo, inner.relu_())


def _residual_block(block: Any, hidden: Tensor) -> Tensor:
    inner = _linear(block.hidden_layer, hidden).relu_()
    return _linear(block.output_layer, inner) + _linear(block.residual_layer, hidden)


def _linear(layer: Any, hidden: Tensor) -> Tensor:
    bias = None if layer.bias is None else layer.bias.to(hidden.dtype)
    return functional.linear(hidden, layer.weight.to(hidden.dtype), bias)


def _project(normed: Tensor, gain: Tensor, *layers: Any) -> Tensor:
    """Apply a norm's gain and several layers in one product: the gain scales their columns."""
    return functional.linear(normed, _joined_weight(normed.dtype, *layers, gain=gain))


def _joined_weight(dtype: torch.dtype, *layers: Any, gain: Tensor | None = None) -> Tensor:
    weight = torch.cat([layer.weight for layer in layers])
    return (weight if gain is None else weight * gain).to(dtype)


class _UnitRms(torch.autograd.Function):
    """Division by the root mean square over the last axis.

    The backward is written by hand and takes four operations, fewer than the derived one.
    """

    @staticmethod
    def forward(context: Any, hidden: Tensor) -> Tensor:
        wide = torch.promote_types(hidden.dtype, torch.float32)
        length = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True, dtype=wide)
        factor = torch.rsqrt(length.square() / hidden.shape[-1] + RMS_EPS).to(hidden.dtype)
        normed = hidden * factor
        context.save_for_backward(normed, factor)
        return normed

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        normed, factor = context.saved_tensors
        along = torch.linalg.vecdot(gradients[0], normed)[..., None] / normed.shape[-1]
        return torch.addcmul(gradients[0], normed, along, value=-1.0).mul_(factor)


def _unit_rms(hidden: Tensor) -> Tensor:
    return _UnitRms.apply(hidden)  # type: ignore[no-any-return, no-untyped-call]
