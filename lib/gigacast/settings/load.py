"""Load the settings once: defaults, then the file, the environment and the arguments."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_settings import (
    SettingsError,
)

from gigacast.core.cost.price import PriceTable
from gigacast.errors import ConfigError
from gigacast.runtime.instance import VARIABLES
from gigacast.settings.model import ENV_PREFIX, FROM_FILE, Settings

DEFAULT_PRICES = Path("config/prices.yaml")


_NO_SETTINGS = {f"{ENV_PREFIX}CACHE", *VARIABLES}
"""Variables that are read elsewhere: they say what this machine is like."""


def load_settings(
    arguments: Mapping[str, Any] | None = None, *, file: Path | None = None
) -> Settings:
    """Read the settings once.

    Parameters
    ----------
    arguments : mapping, optional
        By section, as ``{"model": {"prediction_length": 7}}``; see `nest_arguments`.
    file : Path, optional
        A YAML file with the sections ``model``, ``parquet_loader``, ``forecast``, ``run``,
        ``batch`` and ``quality``.

    Raises
    ------
    ConfigError
        When a key is unknown or a value is out of its range; the message names the field.
    """
    _refuse_unknown_variables()
    try:
        values: dict[str, Any] = {**(arguments or {}), FROM_FILE: _read_file(file) if file else {}}
        return Settings(**values)
    except ValidationError as error:
        raise ConfigError(_first_problem(error, file)) from error
    except SettingsError as error:
        raise ConfigError(
            f"environment: {error}", hint=f"set single keys, as {ENV_PREFIX}RUN__N_JOBS=4"
        ) from error


def load_prices(file: Path = DEFAULT_PRICES) -> PriceTable:
    """Read what machines cost.

    Raises
    ------
    ConfigError
        When the file is missing, or something in it is wrong; the message names the field.
    """
    content = _read_file(file)
    try:
        return PriceTable.parse(content)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error.message}", hint=error.hint) from error


def _read_file(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{file}: no such configuration file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: can't be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(
            f"{file}: expected sections such as 'model:', got {type(content).__name__}"
        )
    return content


def _refuse_unknown_variables() -> None:
    """Refuse misspelt variables: pydantic looks only at names it knows."""
    sections = {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields}
    for variable in os.environ:
        name = variable.upper()
        if not name.startswith(ENV_PREFIX) or name in _NO_SETTINGS:
            continue
        if name.split("__")[0] not in sections:
            raise ConfigError(
                f"environment variable {variable}: no such setting",
                hint=f"variables look like {ENV_PREFIX}MODEL__PREDICTION_LENGTH",
            )


def _first_problem(error: ValidationError, file: Path | None) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    what = "unknown key" if problem["type"] == "extra_forbidden" else problem["msg"]
    value = problem.get("input")
    shown = f", got {value!r}" if isinstance(value, str | int | float | bool) else ""
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    source = f" [arguments, environment or {file}]" if file else ""
    return f"{where}: {what}{shown}{more}{source}"
