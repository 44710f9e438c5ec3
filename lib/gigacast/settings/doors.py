"""Which settings each public function uses. All others are refused by name: none is ignored.

Functions that take a bucket or a frame use fewer settings for a frame.
"""

from collections.abc import Collection, Mapping
from typing import Any

from gigacast.errors import ConfigError
from gigacast.settings.option import Option
from gigacast.settings.options import ARGUMENTS, KEYWORDS, names_of

_PLACE = ("prefix", "endpoint_url", "region")
_METHOD = names_of("how", "columns", "csv", "covariates")
_JOB = tuple(name for name in names_of("where", "which", "with") if name != "bucket") + _METHOD
_FRAME = tuple(name for name in _METHOD if name not in names_of("csv"))
"""Frames have no dialect of CSV."""
_NETWORK = ("device", "precision", "model_engine", "batch_size")
_ROWS = (
    *("freq", "aggregate", "partial_bins", "zone", "duplicates"),
    *names_of("columns", "csv"),
)
"""How the rows of inputs become series of actual values."""
_OUTPUT = ("layout", "mean")
"""Form of stored forecasts, which other outputs have not."""
_STORED = ("calibrate",)
"""What is stored in a bucket beside forecasts."""

BUCKET: Mapping[str, frozenset[str]] = {
    "forecast": frozenset((*_JOB, *names_of("synthetic", "amount", "table"))),
    "plan": frozenset((*_JOB, "overwrite", "limit")),
    "backtest": frozenset((*_JOB, "overwrite", "limit")).difference(_OUTPUT),
    "evaluate": frozenset(
        (
            *(*_PLACE, "input_prefix", *names_of("which"), *_ROWS, "model", "model_version"),
            "calibrate",
            *("executor", "n_jobs", "memory_limit", "outage_minutes", "verify_datasets"),
        )
    ),
    "detect_anomalies": frozenset((*_JOB, "limit")).difference(_OUTPUT),
    "select_model": frozenset((*_JOB, "overwrite", "limit")).difference(
        _OUTPUT, ("model", "model_version", "enhance", "calibrate")
    ),
    "reconcile": frozenset((*_JOB, "overwrite", "limit")).difference(_OUTPUT, ("partition_by",)),
    "promote_model": frozenset(
        (*_PLACE, "input_prefix", *names_of("which"), *_METHOD, *names_of("with"))
    ).difference(_OUTPUT, ("model", "model_version", "calibrate")),
    "diff_versions": frozenset(
        (*_PLACE, "input_prefix", *names_of("which"), *_METHOD, *names_of("with"))
    ).difference(
        _OUTPUT,
        ("model", "model_version", "calibrate", "fallback"),
        ("executor", "n_jobs", "outage_minutes"),
    ),
}
"""Names of the settings that functions use for a bucket, by the name of the function."""
FRAME: Mapping[str, frozenset[str]] = {
    "forecast": frozenset((*_PLACE, *_FRAME, *_NETWORK)),
    "backtest": frozenset((*_PLACE, *_FRAME, *_NETWORK, "memory_limit")).difference(
        _OUTPUT, _STORED
    ),
    "evaluate": frozenset(_ROWS).difference(names_of("csv")),
    "detect_anomalies": frozenset((*_PLACE, *_FRAME, *_NETWORK)).difference(_OUTPUT, _STORED),
    "plot": frozenset((*_PLACE, *_FRAME, *_NETWORK)).difference(_OUTPUT, _STORED),
}
"""The same for a frame."""


def keywords_of(function: str) -> tuple[Option, ...]:
    """Return the options that a function takes, for a bucket or a frame."""
    names = BUCKET.get(function, frozenset()) | FRAME.get(function, frozenset())
    return tuple(option for option in KEYWORDS if option.name in names)


def check_used(function: str, options: Mapping[str, Any], *, is_frame: bool = False) -> None:
    """Check that a function uses all settings that it was given.

    Parameters
    ----------
    function : str
        Name of the function.
    options : mapping
        Settings by name; ``None`` counts as not given. Names of no setting are left alone.
    is_frame : bool
        Whether the function was given a frame in place of a bucket.

    Raises
    ------
    ConfigError
        The message names the first setting that would have no effect.
    """
    names = (FRAME if is_frame else BUCKET)[function]
    place = "of a frame" if is_frame else "of a bucket" if function in FRAME else ""
    refuse_others(" ".join(filter(None, (function, place))), options, names)


def refuse_others(function: str, options: Mapping[str, Any], names: Collection[str]) -> None:
    """Check that options are among those that a function uses.

    Raises
    ------
    ConfigError
        The message names the first one that would have no effect.
    """
    for name, value in options.items():
        if value is not None and name in ARGUMENTS and name not in names:
            raise ConfigError(
                f"{name}: {function} does not use it", hint=f"leave {name} out: {_reason(name)}"
            )


def _reason(name: str) -> str:
    """Return why a setting has no effect, by what it is about."""
    return _REASONS.get(ARGUMENTS[name].group or "", "it would have no effect")


_REASONS = {
    "array": "array jobs are submitted by the command line",
    "synthetic": "it is for runs of `forecast` over a bucket",
    "amount": "it is for runs over a bucket that can keep or repeat partitions",
    "which": "it selects partitions of a bucket",
    "with": "it is for runs over a bucket",
}
