"""The shape of a Chronos-Bolt, read from its ``config.json`` without torch.

Also: which models the lean forward can run, its engine name, and the number of its operations.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LEAN_REVISION = 1
"""Increased whenever the numbers of the lean forward change; part of the engine name in specs."""

NUMPY_REVISION = 1
OPENVINO_REVISION = 1
INT8_REVISION = 1
"""As `LEAN_REVISION`, of the forwards in NumPy and as an OpenVINO graph, and of int8 scales."""

_T5_DEFAULTS: Mapping[str, Any] = {
    "d_model": 512,
    "d_kv": 64,
    "d_ff": 2048,
    "num_layers": 6,
    "num_heads": 8,
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "layer_norm_epsilon": 1e-6,
    "feed_forward_proj": "relu",
}
"""Values of transformers' `T5Config` for fields that a saved configuration leaves out."""


@dataclass(frozen=True, slots=True)
class BoltShape:
    """Dimensions of a Bolt's weights and forward.

    Parameters
    ----------
    d_model, d_kv, d_ff : int
        Width of a token, of one head, and of the feed-forward layer.
    heads, encoder_layers, decoder_layers : int
    buckets, max_distance : int
        Number of buckets and largest distance of the relative position bias.
    epsilon : float
        Constant that the root-mean-square norm adds before dividing.
    patch_size, patch_stride : int
        Steps of a patch, and steps from one patch to the next.
    context_length, prediction_length : int
    levels : tuple of float
        K quantile levels, ascending.
    has_register : bool
        Whether a REG token follows the patches.
    start_token : int
        Index of the decoder's start token; 1 is the REG token.
    """

    d_model: int
    d_kv: int
    d_ff: int
    heads: int
    encoder_layers: int
    decoder_layers: int
    buckets: int
    max_distance: int
    epsilon: float
    patch_size: int
    patch_stride: int
    context_length: int
    prediction_length: int
    levels: tuple[float, ...]
    has_register: bool
    start_token: int = 0

    @property
    def inner(self) -> int:
        """Width of all heads together."""
        return self.heads * self.d_kv


def lean_engine() -> str:
    """Return the engine name of the lean forward, with its revision, as stored in specs."""
    return f"gigacast-bolt-r{LEAN_REVISION}"


def numpy_engine() -> str:
    """Return the engine name of the lean forward in NumPy, with its revision."""
    return f"gigacast-bolt-numpy-r{NUMPY_REVISION}"


def openvino_engine(scales: str | None = None, rest: str = "float32") -> str:
    """Return the engine name of the lean forward as an OpenVINO graph, with its revision.

    Parameters
    ----------
    scales : str, optional
        Digest of the int8 scales, which change the numbers as weights do.
    rest : {"float32", "bfloat16"}
        In int8, the precision of everything that is not an int8 product.
    """
    engine = f"gigacast-bolt-openvino-r{OPENVINO_REVISION}"
    if scales is None:
        return engine
    return f"{engine}-int8-r{INT8_REVISION}{_REST_MARKS[rest]}-{scales}"


def precision_beside_int8(engine: str) -> str:
    """Return the precision of what an int8 engine computes beside its int8 products."""
    return "bfloat16" if f"{_REST_MARKS['bfloat16']}-" in engine else "float32"


_REST_MARKS = {"float32": "", "bfloat16": "-bf16"}
"""Part of the engine's name; the first form is the older one."""


def runs_lean(config: Mapping[str, Any]) -> bool:
    """Return whether the lean forward can run the model of a ``config.json``.

    It can run every published Bolt. The stock class runs those with another activation than ReLU.
    """
    return (
        config.get("chronos_pipeline_class") == "ChronosBoltPipeline"
        and _t5(config, "feed_forward_proj") == "relu"
        and config.get("dense_act_fn", "relu") == "relu"
        and not config.get("is_gated_act", False)
    )


def read_shape(config: Mapping[str, Any]) -> BoltShape:
    """Return the shape that a ``config.json`` describes.

    Raises
    ------
    KeyError, TypeError, ValueError
        If a field without a default is missing or not a number.
    """
    bolt: Mapping[str, Any] = config["chronos_config"]
    # A decoder without a number of layers of its own has that of the encoder, as in T5's class.
    layers = int(_t5(config, "num_layers"))
    return BoltShape(
        d_model=int(_t5(config, "d_model")),
        d_kv=int(_t5(config, "d_kv")),
        d_ff=int(_t5(config, "d_ff")),
        heads=int(_t5(config, "num_heads")),
        encoder_layers=layers,
        decoder_layers=int(config.get("num_decoder_layers") or layers),
        buckets=int(_t5(config, "relative_attention_num_buckets")),
        max_distance=int(_t5(config, "relative_attention_max_distance")),
        epsilon=float(_t5(config, "layer_norm_epsilon")),
        patch_size=int(bolt["input_patch_size"]),
        patch_stride=int(bolt["input_patch_stride"]),
        context_length=int(bolt["context_length"]),
        prediction_length=int(bolt["prediction_length"]),
        levels=tuple(float(level) for level in bolt["quantiles"]),
        has_register=bool(bolt.get("use_reg_token", False)),
        start_token=int(config.get("decoder_start_token_id") or 0),
    )


def _t5(config: Mapping[str, Any], name: str) -> Any:
    return config.get(name, _T5_DEFAULTS[name])


def count_operations(shape: BoltShape, steps: int, horizon: int) -> int:
    """Return the floating-point operations for one series in one pass of the lean forward.

    A multiplication with its addition counts as two. Left out are norms, softmax and activations,
    which are small beside the products, and the decoder's steps before its first cross-attention,
    which are computed once per batch.

    Parameters
    ----------
    shape : BoltShape
    steps : int
        Steps of the context; padded to whole patches.
    horizon : int
        Steps to forecast, at most the trained horizon.
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
    inputs, width = 2 * shape.patch_size, shape.d_model  # a patch and its mask
    return inputs * shape.d_ff + shape.d_ff * width + inputs * width


def _encode(shape: BoltShape, tokens: int) -> int:
    """Return the multiply-adds of one token in one layer."""
    projections = 4 * shape.d_model * shape.inner
    attention = 2 * tokens * shape.inner
    return projections + attention + 2 * shape.d_model * shape.d_ff


def _decode(shape: BoltShape, tokens: int) -> int:
    width, inner, layers = shape.d_model, shape.inner, shape.decoder_layers
    queries = width * width + 2 * width * inner  # own values, query, query projected to the memory
    attention = 2 * tokens * shape.heads * width + 2 * inner * width
    feed_forward = 2 * width * shape.d_ff
    return (layers - 1) * queries + layers * (attention + feed_forward)


def _head(shape: BoltShape, horizon: int) -> int:
    outputs = len(shape.levels) * horizon
    return shape.d_model * shape.d_ff + (shape.d_ff + shape.d_model) * outputs
