"""The flags, declared once and shared by the commands.

A flag's name is the setting's name in `settings.ARGUMENTS`; hyphens and underscores both work.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from gigacast.settings.load import load_settings
from gigacast.settings.model import Settings
from gigacast.settings.options import ARGUMENTS, nest_arguments

F = TypeVar("F", bound=Callable[..., Any])
DEFAULT_CONFIG = Path("config/settings.yaml")

_CHOICES = {
    "partition_by": ("object", "month"),
    "layout": ("long", "wide"),
    "fallback": ("seasonal_naive", "drop"),
    "timestamp_unit": ("auto", "s", "ms", "us", "ns", "step"),
    "executor": ("auto", "inline", "joblib", "dask", "ray", "batch"),
    "queue": ("auto", "cpu", "gpu"),
    "precision": ("auto", "float32", "bfloat16"),
    "missing_future": ("error", "past"),
    "unsupported_covariates": ("error", "ignore"),
}

WHERE = {
    "bucket": "Bucket name, s3://BUCKET, or file:///FOLDER (the same job on a plain folder).",
    "prefix": "Folder in the bucket that inputs are read from and forecasts written to.",
    "input_prefix": "Read inputs from this folder below the prefix instead ('/...' counts from the "
    "bucket's root; s3://... is another bucket).",
    "endpoint_url": "Another S3 endpoint than AWS' own.",
    "region": "AWS region.",
}
WHICH = {
    "years": "Year or range of years, as 2014 or 2014:2016. --year is the same.",
    "months": "Month or range of months of each year, as 3 or 1:6. --month is the same.",
    "symbol": "Only these symbols (comma-separated).",
    "timeframe": "Only these timeframes, as 1min (comma-separated).",
    "partition_by": "What a partition is: every object, or all panel parts of a month together.",
    "context_partitions": "Read up to this many earlier months as context.",
}
HOW = {
    "model": "Shipped model, folder, NAME/VERSION under models/, or hub id.",
    "model_version": "Version of the model, when the name does not say it.",
    "horizon": "Steps ahead; else the file name's (h15), else the model's own.",
    "quantiles": "Quantile levels, as 0.1,0.5,0.9.",
    "context_length": "At most this many steps of history; no more than the model has.",
    "targets": "Target columns (comma-separated); recognised when absent.",
    "past_covariates": "Columns known up to the last value of the targets (Chronos-2).",
    "known_covariates": "Columns known over the horizon as well: their rows go on (Chronos-2).",
    "missing_future": "What a series gets whose known covariates lack a value over the horizon: "
    "the fallback and a reason, or a forecast that takes them as past ones.",
    "unsupported_covariates": "What to do with covariates and joint targets a model can't use.",
    "item_column": "Column of item ids; recognised when absent.",
    "timestamp_column": "Column of timestamps; recognised when absent.",
    "timestamp_unit": "How integer timestamps are read.",
    "freq": "Frequency of all series, as 15min, h, D, B, MS; inferred per series when absent.",
    "layout": "Rows per step (long) or per series with list columns (wide).",
    "min_length": "Series with fewer values get the fallback.",
    "fallback": "What a series that cannot be forecast gets.",
    "seed": "Seed of models that sample.",
}
FLAGS = {
    "non_negative": "No quantile below zero.",
    "integer": "Whole numbers only.",
    "joint_targets": "Forecast the targets of an item together (Chronos-2).",
    "extrapolate_levels": "Allow quantile levels outside the range the model was trained for.",
}
WITH = {
    "executor": "Where tasks run: in this process, over processes, a cluster, or AWS Batch.",
    "n_jobs": "Processes; -1 for all cores. By default one, or one for each GPU.",
    "device": "Where the model runs: auto, cpu, cuda (all GPUs, in turn) or cuda:N.",
    "precision": "Of the model's arithmetic; auto is bfloat16 where the hardware computes in it.",
    "batch_size": "Series per call of the model; found automatically when absent.",
    "memory_limit": "What reading may hold per process before it spills to disk, as 2GB.",
}
ARRAY = {
    "stack": "Name of the deployment: its queues are STACK-cpu and STACK-gpu.",
    "queue": "Which queue; auto weighs the work against the start of a machine.",
    "children": "At most this many children of the array; by default as many as are worth a start.",
}
_ALIASES = {"years": ("--year",), "months": ("--month",), "item_column": ("--item_id_column",)}
_INTEGERS = {
    "horizon",
    "context_length",
    "context_partitions",
    "min_length",
    "seed",
    "n_jobs",
    "batch_size",
    "limit",
    "n_partitions",
    "series_per_partition",
    "children",
}


def setting(name: str, help_text: str) -> Callable[[F], F]:
    """Declare one flag of a setting."""
    names = [f"--{name}", *_ALIASES.get(name, ())]
    if name in _CHOICES:
        return click.option(*names, name, type=click.Choice(_CHOICES[name]), help=help_text)
    kind = click.INT if name in _INTEGERS else click.STRING
    return click.option(*names, name, type=kind, metavar=_metavar(name), help=help_text)


def _metavar(name: str) -> str:
    if name in {"symbol", "timeframe", "targets", "past_covariates", "known_covariates"}:
        return "NAMES"
    return "N" if name in _INTEGERS else "TEXT"


def switch(name: str, help_text: str) -> Callable[[F], F]:
    """Declare a setting that is on or off; absent, the settings file decides."""
    return click.option(f"--{name}/--no_{name}", name, default=None, help=help_text)


def settings_options(function: F) -> F:
    """Add every flag that says where, which, how and with what."""
    decorators = [
        setting(name, text) for group in (WHERE, WHICH, HOW) for name, text in group.items()
    ]
    decorators += [switch(name, text) for name, text in FLAGS.items()]
    decorators += [setting(name, text) for name, text in WITH.items()]
    decorators.append(config_option)
    for decorate in reversed(decorators):
        function = decorate(function)
    return function


def array_options(function: F) -> F:
    """Add the flags of array jobs."""
    for name, text in reversed(ARRAY.items()):
        function = setting(name, text)(function)
    return function


def where_options(function: F) -> F:
    """Add the flags that say where, for commands that need no more."""
    function = config_option(function)
    for name, text in reversed(WHERE.items()):
        function = setting(name, text)(function)
    return function


config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"Settings file; {DEFAULT_CONFIG} is read when it is there.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
quiet_option = click.option("--quiet", is_flag=True, help="Say nothing but errors.")


def read_settings(given: dict[str, Any]) -> Settings:
    """Return the settings of a command from its flags; other entries are left in ``given``.

    Raises
    ------
    ConfigError
    """
    file = given.pop("config", None)
    if file is None and DEFAULT_CONFIG.is_file():
        file = DEFAULT_CONFIG
    arguments = {name: given.pop(name) for name in list(given) if name in ARGUMENTS}
    return load_settings(nest_arguments(arguments), file=file)
