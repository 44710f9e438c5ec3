"""Types of keyword arguments. Written by tools/option_tables.py: do not edit."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict


class TrainOptions(TypedDict, total=False):
    """Keyword arguments of `finetune` and `ChronosTrainer.train`: the command's flags, by name.

    ``help(gigacast.finetune)`` describes each one.
    """

    bucket: str
    prefix: str
    input_prefix: str
    endpoint_url: str
    region: str
    years: str
    months: str
    symbol: str | Sequence[str]
    timeframe: str | Sequence[str]
    partition_by: str
    limit: int
    model: str
    model_version: str
    horizon: int
    context_length: int
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
    past_covariates: str | Sequence[str]
    known_covariates: str | Sequence[str]
    known_calendar: bool
    known_holidays: str | Sequence[str]
    unsupported_covariates: str
    freq: str
    aggregate: str
    partial_bins: str
    zone: str
    duplicates: str
    min_length: int
    seed: int
    device: str
    precision: str
    batch_size: int
    memory_limit: int | str
    method: str
    steps: int
    learning_rate: float
    warmup_steps: int
    weight_decay: float
    gradient_clip: float
    min_context: int
    validation_steps: int
    hold_out: int
    validation_windows: int
    validate_every: int
    patience: int
    lora_rank: int
    lora_alpha: int
    history: int
    checkpoint_every: int
    checkpoints: str | Path
    max_minutes: float
    threads: int
    name: str
    new_version: str
    switch: bool
    why: str
