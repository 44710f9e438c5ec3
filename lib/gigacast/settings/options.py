"""The names that flags and keyword arguments have, and the settings they set."""

from collections.abc import Mapping
from typing import Any

from gigacast.errors import ConfigError

ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "bucket": ("run", "bucket"),
    "prefix": ("run", "prefix"),
    "input_prefix": ("run", "input_prefix"),
    "endpoint_url": ("run", "endpoint_url"),
    "region": ("run", "region"),
    "years": ("run", "years"),
    "months": ("run", "months"),
    "symbol": ("run", "symbols"),
    "timeframe": ("run", "timeframes"),
    "model": ("model", "model_path"),
    "model_version": ("model", "version"),
    "horizon": ("model", "prediction_length"),
    "quantiles": ("forecast", "quantiles"),
    "context_length": ("forecast", "context_length"),
    "context_partitions": ("forecast", "context_partitions"),
    "partition_by": ("forecast", "partition_by"),
    "freq": ("forecast", "freq"),
    "layout": ("forecast", "layout"),
    "min_length": ("forecast", "min_length"),
    "fallback": ("forecast", "fallback"),
    "non_negative": ("forecast", "non_negative"),
    "integer": ("forecast", "integer"),
    "extrapolate_levels": ("forecast", "extrapolate_levels"),
    "seed": ("forecast", "seed"),
    "item_column": ("parquet_loader", "schema", "item_id_column"),
    "timestamp_column": ("parquet_loader", "schema", "datetime_column"),
    "targets": ("parquet_loader", "schema", "target_columns"),
    "past_covariates": ("parquet_loader", "schema", "past_covariates"),
    "known_covariates": ("parquet_loader", "schema", "known_covariates"),
    "joint_targets": ("forecast", "joint_targets"),
    "missing_future": ("forecast", "missing_future"),
    "unsupported_covariates": ("forecast", "unsupported_covariates"),
    "timestamp_unit": ("parquet_loader", "schema", "timestamp_unit"),
    "memory_limit": ("parquet_loader", "performance", "memory_limit"),
    "executor": ("run", "executor"),
    "n_jobs": ("run", "n_jobs"),
    "device": ("run", "device"),
    "precision": ("run", "precision"),
    "batch_size": ("run", "batch_size"),
    "n_partitions": ("run", "n_partitions"),
    "series_per_partition": ("run", "series_per_partition"),
    "overwrite": ("run", "overwrite"),
    "limit": ("run", "limit"),
    "stack": ("batch", "stack"),
    "queue": ("batch", "queue"),
    "children": ("batch", "children"),
}
"""The names flags and keyword arguments have, and the setting each one sets."""


def nest_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """Turn flags by name into settings by section; ``None`` counts as not given.

    Raises
    ------
    ConfigError
        When a name is no argument's.
    """
    nested: dict[str, Any] = {}
    for name, value in given.items():
        if name not in ARGUMENTS:
            raise ConfigError(f"{name}: no such argument", hint=f"one of {', '.join(ARGUMENTS)}")
        if value is None:
            continue
        *sections, last = ARGUMENTS[name]
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    if given.get("model") is not None:
        # A model named by hand is meant: `model_type` must not stand in for one that is missing.
        nested["model"]["model_type"] = given["model"]
    return nested
