"""The place in a user's file where a definition is written, for messages about it."""

import inspect
from dataclasses import dataclass, field
from pathlib import Path

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


def set_field(value: object, name: str, content: object) -> None:
    """Set a field of a frozen value while it is being made."""
    object.__setattr__(value, name, content)


def refuse(what: str, *, hint: str | None = None) -> ConfigError:
    """Return the error for an argument that no definition can hold, with its place."""
    place = str(calling_place())
    return ConfigError(f"{place}: {what}" if place else what, hint=hint)
