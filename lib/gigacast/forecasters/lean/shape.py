"""The dimensions of a Chronos-Bolt model, told from its ``config.json`` without torch.

Says which models our own forward can run, and what it is called in a spec.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LEAN_REVISION = 1
"""Raised when the lean forward changes the numbers it gives."""

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
"""What a saved configuration leaves out, as transformers' T5 configuration has it."""


@dataclass(frozen=True, slots=True)
class BoltShape:
    """The numbers that a Bolt's weights and forward are laid out by.

    Parameters
    ----------
    d_model, d_kv, d_ff : int
        Width of a token, of one head, and of the feed-forward layer.
    heads, encoder_layers, decoder_layers : int
    buckets, max_distance : int
        Of the relative position bias.
    epsilon : float
        Of the root-mean-square norm.
    patch_size, patch_stride : int
        Steps in a patch, and from one to the next.
    context_length, prediction_length : int
    levels : tuple of float
        K quantile levels, ascending.
    has_register : bool
        Whether a REG token follows the patches.
    start_token : int
        Which embedding the decoder starts from; REG's is 1.
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
    """Return the name and revision of the lean forward, as a spec holds it."""
    return f"gigacast-bolt-r{LEAN_REVISION}"


def runs_lean(config: Mapping[str, Any]) -> bool:
    """Tell whether the lean forward can run the model of a ``config.json``.

    Every published Bolt can. One with another activation than ReLU cannot: the stock class can.
    """
    return (
        config.get("chronos_pipeline_class") == "ChronosBoltPipeline"
        and _t5(config, "feed_forward_proj") == "relu"
        and config.get("dense_act_fn", "relu") == "relu"
        and not config.get("is_gated_act", False)
    )


def read_shape(config: Mapping[str, Any]) -> BoltShape:
    """Return the shape a ``config.json`` describes.

    Raises
    ------
    KeyError, TypeError, ValueError
        When something that has no default is missing or not a number.
    """
    bolt: Mapping[str, Any] = config["chronos_config"]
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
