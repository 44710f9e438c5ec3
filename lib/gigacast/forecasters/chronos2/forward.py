"""Chronos-2's forward pass, reduced to the operations that a forecast needs.

An encoder runs over the patches of a context, a REG token and the patches of the horizon. Each
layer attends over time, with rotary positions, then over the series of a group, then feeds forward.

- In a group of one the second attention is one matrix.
- Only the patches of the horizon are read at the end, so the last layer computes no others.
- Horizons of which nothing is known are the same tokens for all series.

Sources: Ansari et al., "Chronos-2: From Univariate to Universal Forecasting" (2025); Su et al.,
"RoFormer: Enhanced Transformer with Rotary Position Embedding" (2021).
"""

import torch
from torch import Tensor
from torch.nn import functional

from gigacast.forecasters.chronos2.input import normalise
from gigacast.forecasters.chronos2.shape import Chronos2Shape
from gigacast.forecasters.chronos2.weights import Attention, Chronos2Weights, GroupAttention
from gigacast.forecasters.lean.forward import fill_keys
from gigacast.forecasters.lean.norm import unit_length
from gigacast.forecasters.network.groups import swap


class LeanChronos2:
    """A Chronos-2 for prediction only.

    Parameters
    ----------
    weights : Chronos2Weights
    shape : Chronos2Shape
    device : torch.device
    dtype : torch.dtype
        Type of weights and activations. Contexts are normalised in float32 in any case.
    """

    def __init__(
        self,
        weights: Chronos2Weights,
        shape: Chronos2Shape,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._weights = weights
        self._shape = shape
        self._device = device
        self._dtype = dtype
        self._turns: dict[int, tuple[Tensor, Tensor]] = {}

    def __call__(
        self,
        context: Tensor,
        patches: int,
        *,
        masked: bool,
        group_size: int = 1,
        future: Tensor | None = None,
    ) -> Tensor:
        """Return raw quantiles at the trained levels, float32 [B, K, patches * P].

        Parameters
        ----------
        context : Tensor
            Float32, [B, T], NaN for missing values; cut to the model's context.
        patches : int
            Patches to forecast, at most the model's.
        masked : bool
            Whether some patch may be empty. If it is False and a patch is empty, the network
            attends to a patch of zeros and the forecast is wrong.
        group_size : int
            Number of adjacent rows per group, G.
        future : Tensor, optional
            Known values, float32 [B, patches * P], NaN for unknown ones.
        """
        shape = self._shape
        known = normalise(context[:, -shape.context_length :], shape)
        visible = None
        if masked:
            visible = functional.pad(known.observed, (0, 1 + patches), value=True)
        hidden = self._embed(known.patches, known.ahead(future, patches))
        hidden = self._encode(hidden, visible, patches, group_size)
        outputs = self._weights.head(unit_length(hidden, shape.epsilon))
        by_patch = outputs.view(len(context), patches, len(shape.levels), shape.patch_size)
        by_level = by_patch.transpose(1, 2)
        return known.restore(by_level.flatten(2))

    def _embed(self, past: Tensor, ahead: Tensor) -> Tensor:
        """Return the tokens of context, REG and horizon, [B, S + 1 + F, D]."""
        weights, rows = self._weights, len(past)
        before = weights.embed(past.to(self._dtype))
        after = weights.embed(ahead.to(self._dtype)).expand(rows, -1, -1)
        return torch.cat([before, weights.register.expand(rows, 1, -1), after], dim=1)

    def _encode(
        self, hidden: Tensor, visible: Tensor | None, patches: int, group_size: int
    ) -> Tensor:
        """Return the tokens of the horizon behind the last layer, [B, F, D]; its norm is left."""
        bias = self._bias(hidden.shape[1], visible)
        beside = None
        if visible is not None and group_size > 1:
            beside = self._hide(swap(visible, group_size))
        epsilon, last = self._shape.epsilon, len(self._weights.layers) - 1
        for number, layer in enumerate(self._weights.layers):
            mixed = self._attend(layer.time, hidden, bias)
            if number == last:
                # Patches of the horizon are never hidden from their groups.
                mixed, hidden, beside = mixed[:, -patches:], hidden[:, -patches:], None
                mixed, hidden = mixed.contiguous(), hidden.contiguous()
            hidden = layer.time.output.add(mixed, hidden)
            hidden = self._attend_group(layer.group, hidden, beside, group_size)
            widened = layer.widen.relu(unit_length(hidden, epsilon))
            hidden = layer.narrow.add(widened, hidden)
        return hidden

    def _attend(self, layer: Attention, hidden: Tensor, bias: Tensor | None) -> Tensor:
        """Return the mean of the values over time, weighted by attention, [B, T, heads * d_kv]."""
        shape, (rows, length) = self._shape, hidden.shape[:2]
        joined = layer.joined(unit_length(hidden, shape.epsilon))
        parts = joined.view(rows, length, 3, shape.heads, shape.d_kv)
        turned = self._turn(parts[:, :, :2])
        query, key, value = turned[:, :, 0], turned[:, :, 1], parts[:, :, 2]
        if bias is not None and (filled := bias.shape[-1] - length):
            key = functional.pad(key, (0, 0, 0, 0, 0, filled))
            value = functional.pad(value, (0, 0, 0, 0, 0, filled))
        return _mix(query, key, value, bias)

    def _turn(self, parts: Tensor) -> Tensor:
        """Return queries and keys, [B, T, 2, heads, d_kv], turned by their positions."""
        length, half = parts.shape[1], self._shape.d_kv // 2
        if length not in self._turns:
            self._turns[length] = self._angles(length)
        cosine, sine = self._turns[length]
        return torch.addcmul(parts * cosine, parts.roll(half, -1), sine)

    def _angles(self, length: int) -> tuple[Tensor, Tensor]:
        """Return cosine and sine of every position and dimension, [T, 1, 1, d_kv].

        The first half of the sines is negative, so that a roll by half a head takes the place of
        the stock rotation, which negates half of the values.
        """
        width, device = self._shape.d_kv, self._device
        exponents = torch.arange(0, width, 2, dtype=torch.int64).to(device, torch.float32) / width
        frequencies = 1.0 / (self._shape.theta**exponents)
        angles = torch.outer(torch.arange(length, device=device).float(), frequencies)
        cosine = torch.cat([angles, angles], dim=-1).cos()
        sine = torch.cat([-angles.sin(), angles.sin()], dim=-1)
        return (
            cosine[:, None, None].to(self._dtype),
            sine[:, None, None].to(self._dtype),
        )

    def _attend_group(
        self, layer: GroupAttention, hidden: Tensor, bias: Tensor | None, group_size: int
    ) -> Tensor:
        """Return tokens plus what they take from their groups at the same step, [B, T, D]."""
        shape, normed = self._shape, unit_length(hidden, self._shape.epsilon)
        if group_size == 1:
            return layer.alone.add(normed, hidden)
        weights = layer.together
        joined = weights.joined(swap(normed, group_size))
        parts = joined.view(*joined.shape[:2], 3, shape.heads, shape.d_kv)
        query, key, value = parts.unbind(2)
        mixed = weights.output(_mix(query, key, value, bias))
        return hidden + swap(mixed, hidden.shape[1])

    def _bias(self, length: int, visible: Tensor | None) -> Tensor | None:
        """Return what is added to the scores over time, [B or 1, 1, 1, T or filled up]."""
        fill = fill_keys(length) if self._device.type == "cpu" else 0
        if visible is None:
            if not fill:
                return None
            visible = torch.ones(1, length, dtype=torch.bool, device=self._device)
        return self._hide(functional.pad(visible, (0, fill)))

    def _hide(self, visible: Tensor) -> Tensor:
        """Return 0 for keys that may be attended to and the lowest number for others."""
        # A CPU accepts a float32 bias beside bfloat16 queries; a GPU requires equal types.
        dtype = torch.float32 if self._device.type == "cpu" else self._dtype
        bias = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
        return bias.masked_fill_(~visible, torch.finfo(dtype).min)[:, None, None]


def _mix(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
    """Return the mean of values weighted by attention, [B, T, heads * d_kv]."""
    # Scores are not divided by the square root of the width: the weights hold that factor.
    mixed = functional.scaled_dot_product_attention(
        query.transpose(1, 2),
        key.transpose(1, 2),
        value.transpose(1, 2),
        attn_mask=bias,
        scale=1.0,
    )
    return mixed.transpose(1, 2).flatten(2)
