"""How many operations a forecast by the lean forward takes. Pure.

What is done once for a whole batch (the token before it has seen its memory) is not counted: it
vanishes as batches grow. Nor are norms, softmax and activations, which products outweigh.
"""

from gigacast.forecasters.lean.shape import BoltShape


def count_operations(shape: BoltShape, steps: int, horizon: int) -> int:
    """Return the floating-point operations of one series in one pass; a product-sum counts two.

    Parameters
    ----------
    shape : BoltShape
    steps : int
        Of the context; filled up to whole patches.
    horizon : int
        Steps ahead, at most the trained horizon.
    """
    patches = -(-steps // shape.patch_size)
    tokens = patches + int(shape.has_register)
    products = (
        patches * _embed(shape)
        + shape.encoder_layers * tokens * _encode(shape, tokens)
        + _decode(shape, tokens)
        + _head(shape, min(horizon, shape.prediction_length))
    )
    return 2 * products


def _embed(shape: BoltShape) -> int:
    both, width = 2 * shape.patch_size, shape.d_model
    return both * shape.d_ff + shape.d_ff * width + both * width


def _encode(shape: BoltShape, tokens: int) -> int:
    """Return the product-sums of one token in one layer."""
    projections = 4 * shape.d_model * shape.inner
    attention = 2 * tokens * shape.inner
    return projections + attention + 2 * shape.d_model * shape.d_ff


def _decode(shape: BoltShape, tokens: int) -> int:
    width, inner, layers = shape.d_model, shape.inner, shape.decoder_layers
    asked = width * width + 2 * width * inner  # own values, query, the query taken to the memory
    answered = 2 * tokens * shape.heads * width + 2 * inner * width
    feed_forward = 2 * width * shape.d_ff
    return (layers - 1) * asked + layers * (answered + feed_forward)


def _head(shape: BoltShape, horizon: int) -> int:
    outputs = len(shape.levels) * horizon
    return shape.d_model * shape.d_ff + (shape.d_ff + shape.d_model) * outputs
