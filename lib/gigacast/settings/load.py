"""Load the settings: defaults, then the file, the environment and the arguments."""

import logging
import os
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import SettingsError

from gigacast.core.address import without_credentials
from gigacast.core.cost import price
from gigacast.core.cost.price import PriceTable
from gigacast.core.problem import Source, did_you_mean
from gigacast.core.record import decode_yaml
from gigacast.core.utf8 import was_utf8
from gigacast.errors import ConfigError
from gigacast.runtime.instance import VARIABLES
from gigacast.settings.command.feature_store import TOKEN_VARIABLE
from gigacast.settings.model import FROM_FILE, Settings
from gigacast.settings.naming import name_of, rename
from gigacast.settings.option import ENV_PREFIX, Option
from gigacast.settings.options import OPTIONS
from gigacast.settings.written import Written

OWN_PRICES = Path("config/prices.yaml")
"""Price table that a user may put into the current folder."""
SHIPPED_PRICES = Path(price.__file__).with_name("prices.yaml")
"""Price table of the package."""
_NO_SETTINGS = {f"{ENV_PREFIX}CACHE", TOKEN_VARIABLE, *VARIABLES}
"""Variables that describe this machine, or are secret, and are read elsewhere."""
_WITHOUT_EFFECT = [option for option in OPTIONS if option.without_effect]

logger = logging.getLogger(__name__)


def load_settings(
    arguments: Mapping[str, Any] | None = None, *, file: Path | None = None
) -> Settings:
    """Return the settings of a file, the environment and arguments.

    A setting without effect is named in a warning of the log, once in a process.

    Parameters
    ----------
    arguments : mapping, optional
        Values by section, as ``{"model": {"prediction_length": 7}}``; see `nest_arguments`.
    file : Path, optional
        A YAML file with the sections ``model``, ``parquet_loader``, ``forecast``, ``run``,
        ``batch`` and ``quality``.

    Raises
    ------
    ConfigError
        If a key is unknown or a value is out of its range; the message names the field.
    """
    _refuse_unknown_variables()
    written = Written(arguments or {}, file, read_file(file) if file else {})
    try:
        settings = Settings(**{**written.arguments, FROM_FILE: written.content})
    except ValidationError as error:
        raise ConfigError(_first_problem(error, written), hint=_spelling(error)) from error
    except SettingsError as error:
        raise _unreadable(error) from error
    except ConfigError as error:
        raise rename(error, written) from error
    settings.remember(written)
    for option in _WITHOUT_EFFECT:
        if _is_set(settings, option):
            _warn_without_effect(option)
    return settings


def _is_set(settings: Settings, option: Option) -> bool:
    """Return whether a file, a variable or an argument has set an option, to whatever value."""
    section: BaseModel = settings
    for part in option.path[:-1]:
        section = getattr(section, part)
    return option.path[-1] in section.model_fields_set


@cache  # a command may load its settings several times
def _warn_without_effect(option: Option) -> None:
    logger.warning("%s has no effect: %s", option.setting, option.without_effect)


def load_prices(file: Path | None = None) -> PriceTable:
    """Return the price table of machines: that of the current folder, else that of the package.

    Parameters
    ----------
    file : Path, optional
        Another table.

    Raises
    ------
    ConfigError
        If the file is missing or a value in it is wrong; the message names the field.
    """
    if file is None:
        file = OWN_PRICES if OWN_PRICES.is_file() else SHIPPED_PRICES
    return _parse_prices(_read_text(file), file)


# Each job has the table, and parsing it takes as long as a small forecast.
@lru_cache(maxsize=4)
def _parse_prices(text: str, file: Path) -> PriceTable:
    content = _parse_sections(text, file)
    try:
        return PriceTable.parse(content)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error.message}", hint=error.hint) from error


def read_file(file: Path) -> dict[str, Any]:
    """Return the content of a settings file, by section.

    Raises
    ------
    ConfigError
        If it cannot be read, or has no sections.
    """
    return _parse_sections(_read_text(file), file)


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{file}: no such configuration file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: can't be read: {error}") from error


def _parse_sections(text: str, file: Path) -> dict[str, Any]:
    content = decode_yaml(text, Source(str(file), ConfigError))
    if content is None:  # only comments
        return {}
    if not isinstance(content, dict):
        raise ConfigError(
            f"{file}: expected sections such as 'model:', got {type(content).__name__}"
        )
    return content


def _refuse_unknown_variables() -> None:
    """Refuse misspelt sections in variables' names: pydantic passes over names it does not know."""
    # Keys below a section need no check here: pydantic reads the whole section, and refuses them.
    sections = {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields}
    for variable, text in os.environ.items():
        name = variable.upper()
        if not name.startswith(ENV_PREFIX) or name in _NO_SETTINGS:
            continue
        if not was_utf8(text):
            raise ConfigError(
                f"environment variable {variable}: {text!a} is not UTF-8",
                hint="set it in a terminal whose encoding is UTF-8",
            )
        if name.split("__")[0] not in sections:
            raise ConfigError(
                f"environment variable {variable}: no such setting",
                hint=did_you_mean(name.split("__")[0], sections)
                or f"variables look like {ENV_PREFIX}MODEL__PREDICTION_LENGTH",
            )


def _unreadable(error: SettingsError) -> ConfigError:
    """Return the refusal of a variable that should hold JSON, and does not."""
    section = re.search(r'field "(\w+)"', str(error))
    if section is None:
        return ConfigError(f"environment: {error}")
    variable = f"{ENV_PREFIX}{section[1].upper()}"
    return ConfigError(
        f"{variable}: expected an object of JSON",
        hint=f"set single keys, as {variable}__KEY=value",
    )


def _first_problem(error: ValidationError, written: Written) -> str:
    # An error is one line on a terminal: the first problem, and how many more there are.
    problem = error.errors()[0]
    reason = "unknown key" if problem["type"] == "extra_forbidden" else problem["msg"]
    reason = reason.removeprefix("Value error, ")  # pydantic's name for what validators raise
    value = problem.get("input")
    value = without_credentials(value) if isinstance(value, str) else value
    shown = f", got {value!r}" if isinstance(value, str | int | float | bool) else ""
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{name_of([str(part) for part in problem['loc']], written)}: {reason}{shown}{more}"


def _spelling(error: ValidationError) -> str | None:
    """Return the keys that are spelt like the unknown one, in its section first."""
    problem = error.errors()[0]
    if problem["type"] != "extra_forbidden":
        return None
    *sections, key = (str(part) for part in problem["loc"])
    inside = {o.path[len(sections)] for o in OPTIONS if [*o.path[: len(sections)]] == sections}
    elsewhere = {".".join(o.path) for o in OPTIONS if o.path[-1] == key}
    return did_you_mean(key, inside) or (f"did you mean {min(elsewhere)}?" if elsewhere else None)
