"""Chronos-Bolt's forward pass, reduced to the operations that a forecast needs.

A T5 encoder runs over patches, a T5 decoder over one token, and a residual block gives every
quantile of every step. With a single token, the decoder's self-attention has only one choice and is
a plain product. Its cross-attention can be absorbed: with one query q per head,
``q . (K m) = (K' q) . m`` and ``sum a (V m) = V (sum a m)``, so that neither keys nor values of the
memory m are ever computed.

Sources: Ansari et al., "Chronos: Learning the Language of Time Series" (TMLR 2024); Raffel et al.,
"Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer" (JMLR 2020).
"""

import torch
from torch import Tensor
from torch.nn import functional

from gigacast.forecasters.lean.input import Patches, cut_patches
from gigacast.forecasters.lean.norm import unit_length
from gigacast.forecasters.lean.position import relative_buckets
from gigacast.forecasters.lean.shape import BoltShape
from gigacast.forecasters.lean.weights import BoltWeights, DecoderLayer, EncoderLayer

LANES = 16
"""Keys that a softmax processes at once on a CPU; a GPU needs its masks aligned to as many.

Keys of short sequences are filled up to a multiple, because a remainder is processed element by
element: filling 14 keys to 16 halved the time of attention (docs/decisions, 0004).
"""

MAX_FILLED_LENGTH = 64
"""Sequences of this length or more are not filled up: the remainder is a small part of them."""


class LeanBolt:
    """A Chronos-Bolt for prediction only.

    Parameters
    ----------
    weights : BoltWeights
    shape : BoltShape
    device : torch.device
    dtype : torch.dtype
        Type of weights and activations. Contexts are normalised in float32 in any case.
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
            Float32, [B, T], NaN for missing values; cut to the model's context.
        steps : int
            Steps to forecast, at most the trained horizon.
        masked : bool
            Whether some patch may be empty. If it is False and a patch is empty, the network
            attends to a patch of zeros and the forecast is wrong.
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
        """Return the tokens that may be attended to, bool [B, S]; the REG token always may."""
        return functional.pad(patches.observed, (0, int(self._shape.has_register)), value=True)

    # -- encoder ------------------------------------------------------------------------------

    def _encode(self, patches: Patches, visible: Tensor | None) -> Tensor:
        """Return the memory, [B, S, D]; its final gain is in the decoder's weights."""
        hidden = self._weights.embed(patches.values.to(self._dtype))
        if self._weights.register is not None:
            register = self._weights.register.expand(len(hidden), 1, -1)
            hidden = torch.cat([hidden, register], dim=1)
        bias = self._bias(hidden.shape[1])
        if visible is not None:
            # Added keys stay hidden as well.
            shown = functional.pad(visible, (0, bias.shape[-1] - visible.shape[-1]))
            bias = bias.masked_fill(~shown[:, None, None, :], torch.finfo(bias.dtype).min)
        for layer in self._weights.encoder:
            hidden = layer.output.add(self._self_attend(layer, hidden, bias), hidden)
            hidden = layer.narrow.add(layer.widen.relu(self._norm(hidden)), hidden)
        return self._norm(hidden)

    def _self_attend(self, layer: EncoderLayer, hidden: Tensor, bias: Tensor) -> Tensor:
        """Return the attention-weighted mean of all values, [B, S, heads * d_kv].

        ``bias`` is added to the scores, [B or 1, heads, S, S or S filled up to whole lanes].
        """
        heads = (*hidden.shape[:2], 3, self._shape.heads, self._shape.d_kv)
        joined = layer.joined(self._norm(hidden)).view(heads)
        query, keys_values = joined[:, :, 0], joined[:, :, 1:]
        # The bias of the added keys is the lowest number, so that they get no weight.
        if filled := bias.shape[-1] - hidden.shape[1]:
            keys_values = functional.pad(keys_values, (0, 0, 0, 0, 0, 0, 0, filled))
        key, value = keys_values.unbind(2)
        # T5 does not divide scores by the square root of the width; its weights hold that factor.
        mixed = functional.scaled_dot_product_attention(
            query.transpose(1, 2),
            key.transpose(1, 2),
            value.transpose(1, 2),
            attn_mask=bias,
            scale=1.0,
        )
        return mixed.transpose(1, 2).flatten(2)

    def _bias(self, length: int) -> Tensor:
        """Return the position bias of ``length`` tokens, [1, heads, S, S or filled]; cached."""
        if length not in self._biases:
            fill = fill_keys(length) if self._device.type == "cpu" else 0
            # A CPU accepts a float32 bias beside bfloat16 queries; a GPU requires equal types.
            dtype = torch.float32 if self._device.type == "cpu" else self._dtype
            buckets = relative_buckets(length, self._shape.buckets, self._shape.max_distance)
            bias = self._weights.position[torch.from_numpy(buckets)].permute(2, 0, 1)[None]
            # Made contiguous at the padded width and then cut, so that every row stays aligned.
            bias = functional.pad(bias, (0, -length % LANES), value=torch.finfo(dtype).min)
            aligned = bias.to(self._device, dtype).contiguous()
            self._biases[length] = aligned[..., : length + fill]
        return self._biases[length]

    # -- decoder ------------------------------------------------------------------------------

    def _decode(self, memory: Tensor, visible: Tensor | None) -> Tensor:
        """Return the decoder's token, [B, D], without its final gain, which the head holds."""
        # A single row for the whole batch until the first cross-attention: up to there nothing
        # depends on a context.
        hidden = self._weights.start
        for layer in self._weights.decoder:
            hidden = layer.own.add(self._norm(hidden), hidden)
            attended = layer.output(self._cross_attend(layer, hidden, memory, visible))
            # Not `add`, which requires equal shapes: the first sum widens one row to the batch.
            hidden = hidden + attended
            hidden = layer.narrow.add(layer.widen.relu(self._norm(hidden)), hidden)
        return self._norm(hidden)

    def _cross_attend(
        self, layer: DecoderLayer, hidden: Tensor, memory: Tensor, visible: Tensor | None
    ) -> Tensor:
        """Return the token's attention-weighted mean of the memory's values, [B, heads * d_kv]."""
        heads = (len(hidden), self._shape.heads, self._shape.d_kv)
        query = layer.query(self._norm(hidden)).view(heads).transpose(0, 1)
        absorbed = (query @ layer.key).transpose(0, 1)  # [B or 1, heads, D]
        absorbed = absorbed.expand(len(memory), -1, -1)
        # Softmax in float32, as in the stock model: bfloat16 scores of similar tokens are equal.
        scores = torch.bmm(memory, absorbed.transpose(1, 2)).float()  # [B, S, heads]
        if visible is not None:
            scores.masked_fill_(~visible[..., None], torch.finfo(scores.dtype).min)
        share = scores.softmax(dim=1).to(memory.dtype)
        mean = torch.bmm(share.transpose(1, 2), memory)  # [B, heads, D]
        values = mean.transpose(0, 1) @ layer.value  # [heads, B, d_kv]
        return values.transpose(0, 1).flatten(1)

    def _norm(self, hidden: Tensor) -> Tensor:
        return unit_length(hidden, self._shape.epsilon)


def fill_keys(length: int) -> int:
    """Return the number of keys to add to ``length`` so that the softmax uses whole lanes.

    Added keys cost time in the products. That pays off only for short sequences whose remainder is
    at least half a lane.
    """
    remainder = length % LANES
    if remainder < LANES // 2 or length >= MAX_FILLED_LENGTH:
        return 0
    return LANES - remainder
