"""The shape of a Chronos-2, read from its ``config.json`` without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CHRONOS2_REVISION = 1
"""Increased whenever the numbers of the lean forward change; part of the engine name in specs."""

_CORE_DEFAULTS: Mapping[str, Any] = {
    "d_model": 512,
    "d_kv": 64,
    "d_ff": 2048,
    "num_layers": 6,
    "num_heads": 8,
    "layer_norm_epsilon": 1e-6,
    "feed_forward_proj": "relu",
    "rope_theta": 10000.0,
}
"""Values of `Chronos2CoreConfig` for fields that a saved configuration leaves out."""


@dataclass(frozen=True, slots=True)
class Chronos2Shape:
    """Dimensions of a Chronos-2's weights and forward.

    Parameters
    ----------
    d_model, d_kv, d_ff : int
        Width of a token, of one head, and of the feed-forward layer.
    heads, layers : int
    theta : float
        Base of the wavelengths of the rotary positions.
    epsilon : float
        Constant that the root-mean-square norm adds before dividing.
    patch_size : int
        Steps of a patch, of contexts and of forecasts.
    context_length, max_patches : int
        Longest context in steps, and most patches that one pass forecasts.
    time_scale : int
        Steps that count as one in the encoding of time.
    levels : tuple of float
        K quantile levels, ascending.
    has_arcsinh : bool
        Whether normalised values are passed through the inverse hyperbolic sine.
    """

    d_model: int
    d_kv: int
    d_ff: int
    heads: int
    layers: int
    theta: float
    epsilon: float
    patch_size: int
    context_length: int
    max_patches: int
    time_scale: int
    levels: tuple[float, ...]
    has_arcsinh: bool

    @property
    def inner(self) -> int:
        """Width of all heads together."""
        return self.heads * self.d_kv


def chronos2_engine() -> str:
    """Return the engine name of the lean Chronos-2, with its revision, as stored in specs."""
    return f"gigacast-chronos2-r{CHRONOS2_REVISION}"


def runs_lean_chronos2(config: Mapping[str, Any]) -> bool:
    """Return whether the lean forward can run the model of a ``config.json``.

    It can run every published Chronos-2. The stock class runs those of another activation than
    ReLU and those whose patches overlap.
    """
    forecasting = config.get("chronos_config")
    if config.get("chronos_pipeline_class") != "Chronos2Pipeline":
        return False
    return (
        isinstance(forecasting, Mapping)
        and _core(config, "feed_forward_proj") == "relu"
        and config.get("dense_act_fn", "relu") == "relu"
        and bool(forecasting.get("use_reg_token", False))
        and forecasting.get("input_patch_stride") == forecasting.get("input_patch_size")
        and forecasting.get("output_patch_size") == forecasting.get("input_patch_size")
    )


def read_chronos2_shape(config: Mapping[str, Any]) -> Chronos2Shape:
    """Return the shape that a ``config.json`` describes.

    Raises
    ------
    KeyError, TypeError, ValueError
        If a field without a default is missing or not a number.
    """
    forecasting: Mapping[str, Any] = config["chronos_config"]
    context_length = int(forecasting["context_length"])
    return Chronos2Shape(
        d_model=int(_core(config, "d_model")),
        d_kv=int(_core(config, "d_kv")),
        d_ff=int(_core(config, "d_ff")),
        heads=int(_core(config, "num_heads")),
        layers=int(_core(config, "num_layers")),
        theta=float(_core(config, "rope_theta")),
        epsilon=float(_core(config, "layer_norm_epsilon")),
        patch_size=int(forecasting["input_patch_size"]),
        context_length=context_length,
        max_patches=int(forecasting.get("max_output_patches", 1)),
        time_scale=int(forecasting.get("time_encoding_scale") or context_length),
        levels=tuple(float(level) for level in forecasting["quantiles"]),
        has_arcsinh=bool(forecasting.get("use_arcsinh", False)),
    )


def count_chronos2_operations(shape: Chronos2Shape, steps: int) -> int:
    """Return the floating-point operations for a series alone in one pass of one patch ahead.

    A multiplication with its addition counts as two. Left out are norms, softmax and activations,
    which are small beside the products.

    Parameters
    ----------
    shape : Chronos2Shape
    steps : int
        Steps of the context; padded to whole patches.
    """
    tokens = -(-steps // shape.patch_size) + 2  # the REG token and the patch ahead
    # Attention over time, its scores and means, the matrix of a group of one, and feed-forward.
    time = 4 * shape.d_model * shape.inner + 2 * tokens * shape.inner
    layer = time + shape.d_model**2 + 2 * shape.d_model * shape.d_ff
    inputs = 3 * shape.patch_size  # values, mask and time
    embed = inputs * shape.d_ff + shape.d_ff * shape.d_model + inputs * shape.d_model
    outputs = shape.patch_size * len(shape.levels)
    head = shape.d_model * shape.d_ff + (shape.d_ff + shape.d_model) * outputs
    return 2 * (tokens * (shape.layers * layer + embed) + head)


def _core(config: Mapping[str, Any], name: str) -> Any:
    return config.get(name, _CORE_DEFAULTS[name])
