"""Types of keyword arguments. Written by tools/option_tables.py: do not edit."""

from collections.abc import Sequence
from typing import TypedDict


class Options(TypedDict, total=False):
    """Keyword arguments of `forecast` and `plan`: the flags of the command line, by name.

    The environment, the settings file given as ``config``, and then the defaults decide on options
    that are left out. ``help(gigacast.forecast)`` describes each one.
    """

    prefix: str
    input_prefix: str
    endpoint_url: str
    region: str
    years: str
    months: str
    symbol: str | Sequence[str]
    timeframe: str | Sequence[str]
    context_partitions: int
    partition_by: str
    model: str
    model_version: str
    horizon: int
    quantiles: Sequence[float]
    level: Sequence[float]
    context_length: int
    freq: str
    aggregate: str
    partial_bins: str
    zone: str
    layout: str
    min_length: int
    fallback: str
    non_negative: bool
    integer: bool
    extrapolate_levels: bool
    seed: int
    enhance: str
    long_horizon: str
    calibrate: bool
    mean: bool
    duplicates: str
    item_column: str
    item_columns: str | Sequence[str]
    timestamp_column: str
    targets: str | Sequence[str]
    timestamp_unit: str
    csv_separator: str
    csv_decimal: str
    csv_thousands: str
    csv_quote: str
    csv_encoding: str
    csv_dates: str
    csv_header: str
    joint_targets: bool
    missing_future: str
    unsupported_covariates: str
    past_covariates: str | Sequence[str]
    known_covariates: str | Sequence[str]
    executor: str
    n_jobs: int | str
    device: str
    precision: str
    model_engine: str
    batch_size: int
    outage_minutes: float
    verify_datasets: str
    memory_limit: int | str
    n_partitions: int
    series_per_partition: int
    overwrite: bool
    incremental: bool
    limit: int
    output_table: str
    output_table_mode: str
    stack: str
    queue: str
    children: int
