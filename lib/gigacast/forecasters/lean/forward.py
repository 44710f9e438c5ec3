"""Chronos-Bolt's forward pass with nothing in it that a forecast does not need.

A T5 encoder over patches; a T5 decoder over one token; a residual block that gives every quantile
of every step. The decoder's one token leaves its self-attention without a choice, and lets its
cross-attention be absorbed: with one query q per head, ``q . (K m) = (K' q) . m`` and
``sum a (V m) = V (sum a m)``, so neither keys nor values of the memory m are ever computed.

Sources: Ansari et al., "Chronos: Learning the Language of Time Series" (TMLR 2024); Raffel et al.,
"Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer" (JMLR 2020).
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from gigacast.forecasters.lean.input import Patches, cut_patches
from gigacast.forecasters.lean.shape import BoltShape
from gigacast.forecasters.lean.weights import BoltWeights, DecoderLayer, EncoderLayer

LANES = 16
"""Keys a softmax takes at once on a CPU (and to which a GPU wants its masks aligned): the keys of
short sequences are filled up to a multiple, for the rest would be done one by one."""

MOST_FILLED = 64
"""Sequences longer than this are left as they are."""


class LeanBolt:
    """A Bolt that only predicts.

    Parameters
    ----------
    weights : BoltWeights
    shape : BoltShape
    device : torch.device
    dtype : torch.dtype
        Of weights and activations; contexts are normalised in float32 all the same.
    """

    def __init__(
        self, weights: BoltWeights, shape: BoltShape, device: torch.device, dtype: torch.dtype
    ) -> None:
        self._weights = weights
        self._shape = shape
        self._device = device
        self._dtype = dtype
        self._biases: dict[int, Tensor] = {}

    def __call__(self, context: Tensor, steps: int, *, masked: bool) -> Tensor:
        """Return raw quantiles at the trained levels, float32 [B, K, steps].

        Parameters
        ----------
        context : Tensor
            Float32, [B, T], NaN where nothing was observed; cut to the model's context.
        steps : int
            At most the trained horizon.
        masked : bool
            Whether some patch may hold no value. Must not be False when one does.
        """
        shape = self._shape
        recent = context[:, -shape.context_length :]
        patches = cut_patches(recent, shape.patch_size, shape.patch_stride)
        visible = self._visible(patches) if masked else None
        memory = self._encode(patches, visible)
        token = self._decode(memory, visible)
        outputs = self._weights.head.cut(steps)(token)
        return patches.restore(outputs.view(len(context), -1, steps))

    def _visible(self, patches: Patches) -> Tensor:
        """Return which tokens may be attended to, bool [B, S]."""
        return functional.pad(patches.observed, (0, int(self._shape.has_register)), value=True)

    # -- encoder ------------------------------------------------------------------------------

    def _encode(self, patches: Patches, visible: Tensor | None) -> Tensor:
        """Return the memory, [B, S, D], its final gain left to those who use it."""
        hidden = self._weights.embed(patches.values.to(self._dtype))
        if self._weights.register is not None:
            register = self._weights.register.expand(len(hidden), 1, -1)
            hidden = torch.cat([hidden, register], dim=1)
        bias = self._bias(hidden.shape[1])
        if visible is not None:
            shown = functional.pad(visible, (0, bias.shape[-1] - visible.shape[-1]))
            bias = bias.masked_fill(~shown[:, None, None, :], torch.finfo(bias.dtype).min)
        for layer in self._weights.encoder:
            hidden = layer.output.add(self._self_attend(layer, hidden, bias), hidden)
            hidden = layer.narrow.add(layer.widen.relu(self._norm(hidden)), hidden)
        return self._norm(hidden)

    def _self_attend(self, layer: EncoderLayer, hidden: Tensor, bias: Tensor) -> Tensor:
        """Return every token's mean of all values, [B, S, heads * d_kv].

        ``bias`` is added to the scores, [B or 1, heads, S, S or S filled up to whole lanes].
        """
        heads = (*hidden.shape[:2], 3, self._shape.heads, self._shape.d_kv)
        joined = layer.joined(self._norm(hidden)).view(heads)
        query, others = joined[:, :, 0], joined[:, :, 1:]
        if filled := bias.shape[-1] - hidden.shape[1]:
            others = functional.pad(others, (0, 0, 0, 0, 0, 0, 0, filled))
        key, value = others.unbind(2)
        mixed = functional.scaled_dot_product_attention(
            query.transpose(1, 2),
            key.transpose(1, 2),
            value.transpose(1, 2),
            attn_mask=bias,
            scale=1.0,
        )
        return mixed.transpose(1, 2).flatten(2)

    def _bias(self, length: int) -> Tensor:
        """Return what is added to the scores of ``length`` tokens, [1, heads, S, S or filled]."""
        if length not in self._biases:
            fill = fill_keys(length) if self._device.type == "cpu" else 0
            dtype = torch.float32 if self._device.type == "cpu" else self._dtype
            buckets = relative_buckets(length, self._shape.buckets, self._shape.max_distance)
            bias = self._weights.position[buckets].permute(2, 0, 1)[None]
            bias = functional.pad(bias, (0, -length % LANES), value=torch.finfo(dtype).min)
            aligned = bias.to(self._device, dtype).contiguous()
            self._biases[length] = aligned[..., : length + fill]
        return self._biases[length]

    # -- decoder ------------------------------------------------------------------------------

    def _decode(self, memory: Tensor, visible: Tensor | None) -> Tensor:
        """Return what the one token has become, [B, D], its final gain left to the head."""
        hidden = self._weights.start  # [1, D]: the same for all until they have seen their memory
        for layer in self._weights.decoder:
            hidden = layer.own.add(self._norm(hidden), hidden)
            asked = layer.output(self._cross_attend(layer, hidden, memory, visible))
            hidden = hidden + asked
            hidden = layer.narrow.add(layer.widen.relu(self._norm(hidden)), hidden)
        return self._norm(hidden)

    def _cross_attend(
        self, layer: DecoderLayer, hidden: Tensor, memory: Tensor, visible: Tensor | None
    ) -> Tensor:
        """Return the token's mean of the memory's values, [B, heads * d_kv]."""
        heads = (len(hidden), self._shape.heads, self._shape.d_kv)
        query = layer.query(self._norm(hidden)).view(heads).transpose(0, 1)
        asked = (query @ layer.key).transpose(0, 1)  # [B or 1, heads, D]
        asked = asked.expand(len(memory), -1, -1)
        scores = torch.bmm(memory, asked.transpose(1, 2)).float()  # [B, S, heads]
        if visible is not None:
            scores.masked_fill_(~visible[..., None], torch.finfo(scores.dtype).min)
        share = scores.softmax(dim=1).to(memory.dtype)
        mean = torch.bmm(share.transpose(1, 2), memory)  # [B, heads, D]
        values = mean.transpose(0, 1) @ layer.value  # [heads, B, d_kv]
        return values.transpose(0, 1).flatten(1)

    def _norm(self, hidden: Tensor) -> Tensor:
        """Divide by the root mean square, taken in float32; the gain is in the next matrix."""
        length = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True, dtype=torch.float32)
        mean_square = length.square() / hidden.shape[-1]
        return hidden * torch.rsqrt(mean_square + self._shape.epsilon).to(hidden.dtype)


def fill_keys(length: int) -> int:
    """Return how many keys to add to ``length`` so that the softmax works in whole lanes.

    Worth their cost while the sequence is short and the rest is at least half a lane.
    """
    rest = length % LANES
    return LANES - rest if rest >= LANES // 2 and length < MOST_FILLED else 0


def relative_buckets(length: int, buckets: int, max_distance: int) -> Tensor:
    """Return T5's bidirectional buckets of relative positions, int64 [S, S].

    Half of the buckets look back and half ahead; of each half, one half holds single distances and
    the other ever wider ranges, up to ``max_distance``.
    """
    place = torch.arange(length)
    distance = place[None, :] - place[:, None]
    half = buckets // 2
    exact = half // 2
    ahead = (distance > 0).long() * half
    distance = distance.abs()
    wide = torch.log(distance.float() / exact) / math.log(max_distance / exact) * (half - exact)
    wide = (exact + wide.to(torch.long)).clamp(max=half - 1)
    return ahead + torch.where(distance < exact, distance, wide)
