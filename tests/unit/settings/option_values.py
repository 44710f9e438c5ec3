"""A value of each option that differs from its default."""

from typing import Any

from gigacast.settings.option import Option

VALUES: dict[str, Any] = {
    "switch": True,
    "integer": 3,
    "number": 2.5,
    "text": "2014",
    "names": "a,b",
    "numbers": "0.2,0.8",
    "size": "2GB",
    "jobs": 3,
}
JOB_VALUES = {
    "bucket": "file:///y",
    "months": "3",
    "freq": "D",
    "csv_separator": ";",
    "csv_decimal": ",",
    "csv_thousands": ".",
    "csv_quote": "none",
    "csv_encoding": "cp1252",
    "zone": "Europe/Berlin",
    "output_table": "delta:///made",
}
COMPANIONS = {
    "aggregate": {"freq": "W"},
    "partial_bins": {"freq": "W", "aggregate": "sum"},
    "zone": {"freq": "W", "aggregate": "sum"},
    "output_table_mode": {"output_table": "delta:///made"},
}
TEXTS = {
    "level": "80,95",
    "device": "cuda:1",
    "stack": "other",
    "cpu_instance": "c7i.large",
    "endpoint_url": "http://127.0.0.1:9",
}


def value_for(option: Option) -> Any:
    """A value that differs from the option's default."""
    if option.kind == "choice":
        return option.choices[-1]
    return TEXTS.get(option.path[-1], VALUES[option.kind])
