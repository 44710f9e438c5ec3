"""The place in a user's file where a definition is written, for messages about it."""

import inspect
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, cast, get_args, get_origin

from gigacast.errors import ConfigError

_PACKAGE = str(Path(__file__).parents[1])


@dataclass(frozen=True, slots=True)
class Place:
    """File and line of a call.

    Parameters
    ----------
    file : str
        Path of the file; empty if the definition was read from JSON or made in a console.
    line : int
        Line, counted from 1; 0 if it is unknown.
    """

    file: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.file else ""


def calling_place() -> Place:
    """Return the place of the innermost caller outside the feature store."""
    frame = inspect.currentframe()
    while frame is not None:
        file = frame.f_code.co_filename
        # The `__init__` of a dataclass is compiled from a text, so that its file is "<string>".
        if not file.startswith((_PACKAGE, "<")):
            return Place(file, frame.f_lineno)
        frame = frame.f_back
    return Place()


@dataclass(frozen=True, slots=True)
class Placed:
    """Base of all definitions: remembers where it was written.

    Parameters
    ----------
    place : Place
        Place of the constructor's call; it is no part of the definition's identity.
    """

    place: Place = field(default_factory=calling_place, compare=False, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        check_fields(self)


def check_fields(value: Any) -> None:
    """Refuse fields of another type than their annotation says.

    Fields of sequences have checks of their own, which say more.

    Raises
    ------
    ConfigError
    """
    for part in fields(value):
        content, kinds = getattr(value, part.name), _kinds_of(cast("Hashable", part.type))
        if kinds and not _is_one_of(content, kinds):
            expected = " or ".join(_WORDS.get(kind, kind.__name__) for kind in kinds)
            is_short = isinstance(content, str | bool)
            shown = repr(content)[:60] if is_short else type(content).__name__
            raise refuse(
                f"{type(value).__name__}({part.name}=...): expected {expected}, got {shown}",
                hint=f"correct {part.name}, or leave it out",
            )
        if isinstance(content, str):
            _check_text(f"{type(value).__name__}({part.name}=...)", content)


_WORDS = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    NoneType: "None",
}


@cache
def _kinds_of(hint: Any) -> tuple[type, ...]:
    """Return the classes of an annotation; none if it has others than classes and mappings."""
    parts = get_args(hint) if get_origin(hint) in {Union, UnionType} else (hint,)
    kinds = tuple(get_origin(part) or part for part in parts)
    is_known = all(isinstance(kind, type) and kind is not Sequence for kind in kinds)
    is_checked = is_known and not any(getattr(kind, "_is_protocol", False) for kind in kinds)
    return kinds if is_checked else ()


def _is_one_of(content: Any, kinds: tuple[type, ...]) -> bool:
    # A whole number is a fraction as well, and True is a whole number for Python.
    wider = (*kinds, int) if float in kinds else kinds
    return isinstance(content, wider) and not (isinstance(content, bool) and bool not in kinds)


def _check_text(place: str, text: str) -> None:
    if "\0" in text or (not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)):
        raise refuse(f"{place}: {text[:60]!r} holds a character that cannot be written")


def set_field(value: object, name: str, content: object) -> None:
    """Set a field of a frozen value while it is being made."""
    object.__setattr__(value, name, content)


def refuse(what: str, *, hint: str | None = None) -> ConfigError:
    """Return the error for an argument that no definition can hold, with its place."""
    place = str(calling_place())
    return ConfigError(f"{place}: {what}" if place else what, hint=hint)
