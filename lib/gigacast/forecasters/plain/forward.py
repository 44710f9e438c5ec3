"""Chronos-Bolt's lean forward pass in NumPy, in float32.

The operations are those of `lean.forward`, which explains them.
"""

import numpy as np

from gigacast.core.array import BoolArray, RealArray
from gigacast.forecasters.lean.fused import (
    FusedAffine,
    FusedBolt,
    FusedDecoderLayer,
    FusedResidual,
)
from gigacast.forecasters.lean.position import relative_buckets
from gigacast.forecasters.lean.shape import BoltShape
from gigacast.forecasters.plain.patches import cut_patches

LOWEST = np.finfo(np.float32).min

ProductPlace = tuple[int, str]
"""A product of the encoder: its layer, and the field of `FusedEncoderLayer` with its weight."""


class PlainBolt:
    """A Chronos-Bolt for prediction only.

    Parameters
    ----------
    weights : FusedBolt
        Their type, float32 or float64, is that of the network's arithmetic.
    shape : BoltShape
    """

    def __init__(self, weights: FusedBolt, shape: BoltShape) -> None:
        self._weights = weights
        self._shape = shape
        self._biases: dict[int, RealArray] = {}
        self._heads: dict[int, FusedResidual] = {}

    def __call__(self, context: RealArray, steps: int, *, masked: bool) -> RealArray:
        """Return raw quantiles at the trained levels, float32 [B, K, steps].

        Parameters
        ----------
        context : float32 [B, T]
            NaN for missing values; cut to the model's context.
        steps : int
            Steps to forecast, at most the trained horizon.
        masked : bool
            Whether some patch may be empty.
        """
        shape = self._shape
        recent = context[:, -shape.context_length :]
        patches = cut_patches(recent, shape.patch_size, shape.patch_stride)
        visible = self._visible(patches.observed) if masked else None
        token = self._decode(self._encode(patches.values, visible), visible)
        outputs = _residual(self._head(steps), token)
        return patches.restore(outputs.reshape(len(context), -1, steps))

    def _visible(self, observed: BoolArray) -> BoolArray:
        """Return the tokens that may be attended to, bool [B, S]; the REG token always may."""
        return np.pad(observed, ((0, 0), (0, int(self._shape.has_register))), constant_values=True)

    def _head(self, steps: int) -> FusedResidual:
        if steps not in self._heads:
            levels = len(self._shape.levels)
            self._heads[steps] = self._weights.head.first_steps(levels, steps)
        return self._heads[steps]

    # -- encoder ------------------------------------------------------------------------------

    def _encode(self, patches: RealArray, visible: BoolArray | None) -> RealArray:
        """Return the memory, [B, S, D]; its final gain is in the decoder's weights."""
        rows, count, _ = patches.shape
        width, register = self._shape.d_model, self._weights.register
        length = count + int(register is not None)
        hidden = np.empty((rows, length, width), self._weights.start.dtype)
        embedded = _residual(self._weights.embed, patches.reshape(rows * count, -1))
        hidden[:, :count] = embedded.reshape(rows, count, width)
        if register is not None:
            hidden[:, count:] = register
        bias = self._bias(length)
        if visible is not None:
            bias = np.where(visible[:, None, None, :], bias, LOWEST)
        tokens = hidden.reshape(rows * length, width)
        for place, layer in enumerate(self._weights.encoder):
            joined = self._product(self._norm(tokens), layer.joined, (place, "joined"))
            mixed = self._self_attend(joined, bias, length)
            tokens += self._product(mixed, layer.output, (place, "output"))
            widened = _relu(self._product(self._norm(tokens), layer.widen, (place, "widen")))
            tokens += self._product(widened, layer.narrow, (place, "narrow"))
        return self._norm(tokens).reshape(rows, length, width)

    def _product(self, rows: RealArray, weight: RealArray, place: ProductPlace) -> RealArray:
        """Return ``rows @ weight.T`` for a product of the encoder."""
        product: RealArray = rows @ weight.T
        return product

    def _self_attend(self, joined: RealArray, bias: RealArray, length: int) -> RealArray:
        """Return the attention-weighted mean of all values, [B * S, heads * d_kv].

        ``joined`` are queries, keys and values of all tokens, [B * S, 3 * heads * d_kv].
        """
        heads, size = self._shape.heads, self._shape.d_kv
        joined = joined.reshape(-1, length, 3, heads, size)
        query, key, value = (joined[:, :, part].transpose(0, 2, 1, 3) for part in range(3))
        # T5 does not divide scores by the square root of the width; its weights hold that factor.
        scores = query @ key.transpose(0, 1, 3, 2)
        scores += bias
        share = _softmax(scores, axis=-1)
        mixed = np.empty((len(joined), length, heads, size), joined.dtype)
        np.matmul(share, value, out=mixed.transpose(0, 2, 1, 3))
        return mixed.reshape(-1, heads * size)

    def _bias(self, length: int) -> RealArray:
        """Return the position bias of ``length`` tokens, [1, heads, S, S]; cached."""
        if length not in self._biases:
            buckets = relative_buckets(length, self._shape.buckets, self._shape.max_distance)
            bias = self._weights.position[buckets].transpose(2, 0, 1)[None]
            self._biases[length] = np.ascontiguousarray(bias)
        return self._biases[length]

    # -- decoder ------------------------------------------------------------------------------

    def _decode(self, memory: RealArray, visible: BoolArray | None) -> RealArray:
        """Return the decoder's token, [B, D], without its final gain, which the head holds."""
        hidden = self._weights.start
        for layer in self._weights.decoder:
            hidden = hidden + self._norm(hidden) @ layer.own.T
            # The first sum widens one row to the batch: up to there nothing depends on a context.
            hidden = hidden + self._cross_attend(layer, hidden, memory, visible) @ layer.output.T
            hidden += _relu(self._norm(hidden) @ layer.widen.T) @ layer.narrow.T
        return self._norm(hidden)

    def _cross_attend(
        self,
        layer: FusedDecoderLayer,
        hidden: RealArray,
        memory: RealArray,
        visible: BoolArray | None,
    ) -> RealArray:
        """Return the token's attention-weighted mean of the memory's values, [B, heads * d_kv]."""
        heads, size = self._shape.heads, self._shape.d_kv
        query = (self._norm(hidden) @ layer.query.T).reshape(-1, heads, size).transpose(1, 0, 2)
        absorbed = (query @ layer.key).transpose(1, 2, 0)  # [B or 1, D, heads]
        scores = memory @ absorbed  # [B, S, heads]
        if visible is not None:
            scores[~visible] = LOWEST
        share = _softmax(scores, axis=1)
        mean = share.transpose(0, 2, 1) @ memory  # [B, heads, D]
        values = mean.transpose(1, 0, 2) @ layer.value  # [heads, B, d_kv]
        return values.transpose(1, 0, 2).reshape(len(memory), -1)

    def _norm(self, hidden: RealArray) -> RealArray:
        """Return tokens, [N, D], divided by their root mean square."""
        square = np.einsum("nd,nd->n", hidden, hidden)
        factor = 1 / np.sqrt(square / hidden.shape[1] + self._shape.epsilon)
        tokens: RealArray = hidden * factor[:, None]
        return tokens


def _residual(block: FusedResidual, rows: RealArray) -> RealArray:
    result = _affine(block.output, _relu(_affine(block.hidden, rows)))
    result += _affine(block.skip, rows)
    return result


def _affine(layer: FusedAffine, rows: RealArray) -> RealArray:
    result: RealArray = rows @ layer.weight.T
    result += layer.bias
    return result


def _relu(values: RealArray) -> RealArray:
    """Replace negative values by zero, in place."""
    np.maximum(values, 0, out=values)
    return values


def _softmax(scores: RealArray, axis: int) -> RealArray:
    """Turn scores into shares along an axis, in place."""
    scores -= scores.max(axis=axis, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=axis, keepdims=True)
    return scores
