"""Errors name a setting as it was written: a flag, a keyword, a variable, a key of a file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gigacast.errors import ConfigError
from gigacast.settings.assembly import array_options_of, job_of
from gigacast.settings.load import load_settings
from gigacast.settings.option import Option
from gigacast.settings.options import OPTIONS, nest_arguments

WRONG: dict[str, tuple[Any, ...]] = {
    "integer": ("x", "-7", "1.5", "9" * 30),
    "number": ("x", "-7", "nan"),
    "choice": ("none such",),
    "switch": ("maybe",),
    "size": ("2", "huge", "-3GB"),
    "numbers": ("x", "2,-1"),
}
"""Wrong values by kind."""
TEXTS = {
    "run.bucket": "No Bucket",
    "run.years": "later",
    "run.months": "13",
    "run.device": "tpu",
    "forecast.freq": "fortnightly",
    "forecast.zone": "Mars",
    "parquet_loader.file_patterns.naming_regex": "(",
    "parquet_loader.file_patterns.panel_regex": "(",
    "parquet_loader.csv.separator": "too long",
    "parquet_loader.csv.decimal": "x",
    "parquet_loader.csv.thousands": "x",
    "parquet_loader.csv.quote": "too long",
    "parquet_loader.csv.encoding": "none such",
    "batch.stack": "no stack",
    "batch.cpu_instance": "none.such",
    "batch.gpu_instance": "none.such",
    "tables": "no mapping",
}
"""Wrong texts of settings that take not every text."""


def wrong() -> Iterator[tuple[Option, str]]:
    for option in OPTIONS:
        texts = (TEXTS[option.setting],) if option.setting in TEXTS else WRONG.get(option.kind, ())
        yield from ((option, text) for text in texts)


def nested(option: Option, value: object) -> dict[str, Any]:
    for part in reversed(option.path):
        value = {part: value}
    assert isinstance(value, dict)
    return value


def refusal_of(arguments: dict[str, Any], file: Path | None = None) -> str:
    """Return the message of a refusal; empty if the settings make a job."""
    arguments = {"bucket": "file:///data", **arguments}
    if file is not None or "bucket" not in arguments:
        arguments.pop("bucket")
    try:
        settings = load_settings(nest_arguments(arguments), file=file)
        job_of(settings)
        array_options_of(settings)
    except ConfigError as error:
        return error.message
    return ""


def test_every_option_is_named_where_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unnamed = []
    file = tmp_path / "some.yaml"
    for option, text in wrong():
        content = {"run": {"bucket": "file:///data"}}
        file.write_text(yaml.safe_dump(merged(content, nested(option, text))))
        messages = {f"{file}: {option.setting}: ": refusal_of({}, file)}
        if option.name:
            messages[f"{option.name}: "] = refusal_of({option.name: text})
        with monkeypatch.context() as patch:
            patch.setenv(option.variable, text)
            keys = {"bucket": None} if option.name == "bucket" else {}
            messages[f"{option.variable}: "] = refusal_of(keys)
        for start, message in messages.items():
            if not message.startswith(start):
                unnamed.append((option.setting, text, start, message))
    assert unnamed == []


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {**one.get(name, {}), **value} if isinstance(value, dict) else value
        for name, value in (one | other).items()
    }
