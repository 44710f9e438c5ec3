"""Problems of plain values: their place in a file, their text, and the error that reports them."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from gigacast.errors import GigacastError

_SHOWN_CHARACTERS = 60
_LEAST, _GREATEST = -(2**63), 2**64 - 1


class Source(NamedTuple):
    """The file that plain values come from, and the error class that reports their problems.

    Parameters
    ----------
    where : str
        Key or path of the file, for messages.
    error : type of GigacastError
    problem : str
        Statement on the file, such as ``not a receipt``, printed before the place; none by default.
    hint : str, optional
        Remedy for problems without a hint of their own; none by default.
    """

    where: str
    error: type[GigacastError]
    problem: str = ""
    hint: str | None = None

    def refuse(self, reason: str, place: str = "", hint: str | None = None) -> GigacastError:
        """Return the error for a problem at a place."""
        parts = (self.where, self.problem, place, reason)
        return self.error(": ".join(filter(None, parts)), hint=hint or self.hint)


class FormError(Exception):
    """A problem of a value. Each container that it passes through adds its key to the place."""

    def __init__(self, reason: str, *path: str | int, hint: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self.path: list[str | int] = list(path)

    def within(self, key: str | int) -> "FormError":
        """Return the problem with its place extended by the key of the container around it."""
        self.path.insert(0, key)
        return self

    def place(self, root: str) -> str:
        """Return the place below ``root``, such as ``columns[3].type``."""
        text = root
        for part in self.path:
            text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{_name(part)}"
        return text


def describe(value: Any) -> str:
    """Return a short description of a plain value for messages: its text, cut off, or its kind."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple | set | frozenset):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, int) and not _LEAST <= value <= _GREATEST:
        return "a number beyond 64 bits"  # Python refuses to print the longest of them
    shown = repr(value[:_SHOWN_CHARACTERS] if isinstance(value, str) else value)
    return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[:_SHOWN_CHARACTERS]}..."


def _name(key: Any) -> str:
    """Return a key as part of a place; the keys of a damaged file may hold control characters."""
    text = str(key)
    return text if text.isprintable() and len(text) <= _SHOWN_CHARACTERS else describe(text)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a hint with the names that are spelt like a name; empty if none is."""
    plain = {candidate.lower().replace("-", "_"): candidate for candidate in names}
    near = get_close_matches(name.lower().replace("-", "_"), plain, n=3, cutoff=0.7)
    return f"did you mean {' or '.join(plain[candidate] for candidate in near)}?" if near else ""
