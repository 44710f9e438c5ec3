"""The lean forward pass as an OpenVINO graph.

The operations are those of `lean.forward`, which explains them. Contexts are normalised and cut
outside, in float32, and the position bias is an input, so that a graph serves every length.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from openvino import Model
from openvino import opset13 as ops

from gigacast.core.array import RealArray
from gigacast.forecasters.lean.fused import (
    FusedAffine,
    FusedBolt,
    FusedDecoderLayer,
    FusedResidual,
)
from gigacast.forecasters.lean.shape import BoltShape
from gigacast.forecasters.openvino.int8 import Int8Scales, quantise_weight
from gigacast.forecasters.plain.forward import ProductPlace

Node = Any
"""A value of the graph; OpenVINO's own type has no stable public name."""

LOWEST = np.finfo(np.float32).min


def build_graph(
    weights: FusedBolt,
    shape: BoltShape,
    steps: int,
    *,
    masked: bool,
    scales: Int8Scales | None = None,
) -> Model:
    """Return the graph of one pass.

    Parameters
    ----------
    weights : FusedBolt
    shape : BoltShape
    steps : int
        Steps of the head, at most the trained horizon.
    masked : bool
        Whether the graph takes ``hidden``.
    scales : Int8Scales, optional
        Computes the encoder's products in int8.

    Returns
    -------
    openvino.Model
        Inputs ``patches``, float32 [B, S, 2 * P]; ``bias``, float32 [1, heads, T, T] over T tokens;
        and, if masked, ``hidden``, float32 [B, T]: 0 for tokens that may be attended to, the lowest
        float32 for others. Output: raw quantiles before they are restored, float32 [B, K * steps].
    """
    if scales is not None:
        weights = fold_smoothing(weights, shape, scales)
    return _Builder(weights, shape, scales).build(steps, masked=masked)


@dataclass(frozen=True, slots=True)
class _Builder:
    weights: FusedBolt
    shape: BoltShape
    scales: Int8Scales | None

    def build(self, steps: int, *, masked: bool) -> Model:
        shape = self.shape
        patches = ops.parameter([-1, -1, 2 * shape.patch_size], np.float32, name="patches")
        bias = ops.parameter([1, shape.heads, -1, -1], np.float32, name="bias")
        inputs = [patches, bias]
        hidden: Node | None = None
        if masked:
            hidden = ops.parameter([-1, -1], np.float32, name="hidden")
            inputs.append(hidden)
        memory = self.encode(patches, bias, hidden)
        token = self.decode(memory, hidden)
        head = self.weights.head.first_steps(len(shape.levels), steps)
        return Model([self.residual(head, token)], inputs, "bolt")

    # -- encoder ------------------------------------------------------------------------------

    def encode(self, patches: Node, bias: Node, hidden: Node | None) -> Node:
        """Return the memory, [B, T, D]."""
        tokens = self.residual(self.weights.embed, patches)
        if self.weights.register is not None:
            count = ops.gather(ops.shape_of(patches), _ints(0), _ints(0))
            size = ops.concat([_row(count), _ints([1, self.shape.d_model])], 0)
            register = ops.broadcast(_floats(self.weights.register[None]), size)
            tokens = ops.concat([tokens, register], 1)
        if hidden is not None:
            bias = ops.add(bias, ops.unsqueeze(hidden, _ints([1, 2])))
        for number, layer in enumerate(self.weights.encoder):
            joined = self.product(self.norm(tokens), layer.joined, (number, "joined"))
            mixed = self.self_attend(joined, bias)
            tokens = ops.add(tokens, self.product(mixed, layer.output, (number, "output")))
            widened = self.product(self.norm(tokens), layer.widen, (number, "widen"))
            narrow = self.product(ops.relu(widened), layer.narrow, (number, "narrow"))
            tokens = ops.add(tokens, narrow)
        return self.norm(tokens)

    def product(self, rows: Node, weight: RealArray, place: ProductPlace) -> Node:
        """Return a product of the encoder, [..., O]; in int8 if there are scales."""
        if self.scales is None:
            return _product(rows, weight)
        scales = self.scales.products[place]
        if place[1] not in FOLDED:
            rows = ops.multiply(rows, _floats(1 / scales.smooth))
        # The range of int8 has one step more below zero than above.
        low = -scales.limit * (scales.steps + 1) / scales.steps if scales.signed else 0.0
        low, high = _floats(low), _floats(scales.limit)
        rounded = ops.fake_quantize(rows, low, high, low, high, 256)
        whole, step = quantise_weight(weight * scales.smooth)
        stored = ops.convert(ops.constant(whole.astype(np.int8)), np.float32)
        return ops.matmul(rounded, ops.multiply(stored, _floats(step)), False, True)

    def self_attend(self, joined: Node, bias: Node) -> Node:
        """Return the attention-weighted mean of all values, [B, T, heads * d_kv].

        ``joined`` are queries, keys and values of all tokens, [B, T, 3 * heads * d_kv].
        """
        heads, size = self.shape.heads, self.shape.d_kv
        split = ops.reshape(joined, _ints([0, 0, 3, heads, size]), special_zero=True)
        parts = ops.split(ops.transpose(split, _ints([2, 0, 3, 1, 4])), _ints(0), 3)
        query, key, value = (ops.squeeze(part, _ints(0)) for part in parts.outputs())
        # T5 does not divide scores by the square root of the width; its weights hold that factor.
        mixed = ops.scaled_dot_product_attention(query, key, value, bias, _floats(1.0))
        joined = ops.transpose(mixed, _ints([0, 2, 1, 3]))
        return ops.reshape(joined, _ints([0, 0, heads * size]), special_zero=True)

    # -- decoder ------------------------------------------------------------------------------

    def decode(self, memory: Node, hidden: Node | None) -> Node:
        """Return the decoder's token, [B, D], without its final gain, which the head holds."""
        token: Node = _floats(self.weights.start)
        for layer in self.weights.decoder:
            token = ops.add(token, _product(self.norm(token), layer.own))
            attended = self.cross_attend(layer, token, memory, hidden)
            token = ops.add(token, _product(attended, layer.output))
            widened = ops.relu(_product(self.norm(token), layer.widen))
            token = ops.add(token, _product(widened, layer.narrow))
        return self.norm(token)

    def cross_attend(
        self, layer: FusedDecoderLayer, token: Node, memory: Node, hidden: Node | None
    ) -> Node:
        """Return the token's attention-weighted mean of the memory's values, [B, heads * d_kv]."""
        heads, size = self.shape.heads, self.shape.d_kv
        query = ops.reshape(
            _product(self.norm(token), layer.query), _ints([-1, heads, size]), special_zero=False
        )
        query = ops.transpose(query, _ints([1, 0, 2]))
        absorbed = ops.matmul(query, _floats(layer.key), False, False)  # [heads, B or 1, D]
        absorbed = ops.transpose(absorbed, _ints([1, 0, 2]))
        scores = ops.matmul(absorbed, memory, False, True)  # [B, heads, T]
        if hidden is not None:
            scores = ops.add(scores, ops.unsqueeze(hidden, _ints(1)))
        mean = ops.matmul(ops.softmax(scores, -1), memory, False, False)  # [B, heads, D]
        values = ops.matmul(
            ops.transpose(mean, _ints([1, 0, 2])), _floats(layer.value), False, False
        )
        rows = ops.transpose(values, _ints([1, 0, 2]))
        return ops.reshape(rows, _ints([-1, heads * size]), special_zero=False)

    # -- shared -------------------------------------------------------------------------------

    def norm(self, tokens: Node) -> Node:
        """Return tokens divided by their root mean square; the next matrix holds the gain."""
        square = ops.reduce_mean(ops.multiply(tokens, tokens), _ints([-1]), keep_dims=True)
        length = ops.sqrt(ops.add(square, _floats(self.shape.epsilon)))
        return ops.divide(tokens, length)

    def residual(self, block: FusedResidual, rows: Node) -> Node:
        """Return ``output(relu(hidden(x))) + skip(x)``."""
        widened = ops.relu(_affine(block.hidden, rows))
        return ops.add(_affine(block.output, widened), _affine(block.skip, rows))


FOLDED = ("output", "narrow")
"""Products whose activations are smoothed by the rows of the weight that makes them."""


def fold_smoothing(weights: FusedBolt, shape: BoltShape, scales: Int8Scales) -> FusedBolt:
    """Return weights that make the activations of `FOLDED` products smoothed.

    Values pass attention, and widened tokens pass ReLU, column by column: dividing the row that
    makes a column divides the column. Weights are rounded row by row, so that nothing else changes.
    """
    layers = []
    for number, layer in enumerate(weights.encoder):
        values = scales.products[number, "output"].smooth
        divisor = np.concatenate([np.ones(2 * shape.inner), values])
        widened = scales.products[number, "narrow"].smooth
        joined, widen = layer.joined / divisor[:, None], layer.widen / widened[:, None]
        layers.append(replace(layer, joined=joined, widen=widen))
    return replace(weights, encoder=tuple(layers))


def _affine(layer: FusedAffine, rows: Node) -> Node:
    return ops.add(_product(rows, layer.weight), _floats(layer.bias))


def _product(rows: Node, weight: RealArray) -> Node:
    """Return ``rows @ weight.T``, [..., O]."""
    return ops.matmul(rows, _floats(weight), False, True)


def _floats(values: RealArray | float) -> Node:
    return ops.constant(np.ascontiguousarray(values, np.float32))


def _ints(values: int | list[int]) -> Node:
    return ops.constant(np.array(values, np.int64))


def _row(value: Node) -> Node:
    return ops.unsqueeze(value, _ints(0))
