"""Checks of the arguments of public functions, before they reach code that takes plain values.

Settings have the types of their pydantic models. These are for arguments that are no settings.
"""

import operator
import os
from pathlib import Path
from typing import Any

from gigacast.errors import ConfigError


def as_text(name: str, value: Any) -> str | None:
    """Return an optional text as it is.

    Raises
    ------
    ConfigError
        If it is no text, or one that no file and no key can hold: NUL, or half a character.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise ConfigError(f"{name}: expected a text, got {_short(value)}")
    if "\0" in value or (not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value)):
        raise ConfigError(f"{name}: {value!r} holds a character that cannot be written")
    return value


def as_path(name: str, value: Any) -> Path | None:
    """Return an optional path; an empty text counts as not given.

    Raises
    ------
    ConfigError
        If it is neither a text nor a path, or cannot be a path.
    """
    if value is None or (isinstance(value, str) and not value):
        return None
    if not isinstance(value, str | os.PathLike):
        raise ConfigError(f"{name}: expected a path, got {_short(value)}")
    return Path(as_text(name, os.fsdecode(value)) or "")


def as_count(name: str, value: Any) -> int | None:
    """Return an optional whole number.

    Raises
    ------
    ConfigError
        If it is no whole number. True and False are none either.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ConfigError(f"{name}: expected a whole number, got {_short(value)}")
    try:
        return operator.index(value)
    except TypeError as error:  # an array of several numbers
        raise ConfigError(f"{name}: expected a whole number, got {_short(value)}") from error


def _short(value: Any) -> str:
    plain = isinstance(value, str | int | float | bytes | list | tuple)
    return f"{repr(value)[:60] if plain else type(value).__name__}"
