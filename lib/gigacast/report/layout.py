"""How text fits a width: cell widths, wrapping, shortening, and the columns of a table."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from gigacast.report.document import Column, Kind

GAP = 2
"""Spaces between two columns."""
_LEAST = {Kind.TEXT: 12, Kind.KEY: 24}
"""Width below which a shortened text says too little: a few words; both ends of a key."""
_NUMBER_AT_END = re.compile(r"[+-]?\d[\d.,]*$")


def text_width(text: str) -> int:
    """Return how many cells of a terminal a text takes: 2 for wide characters, 0 for marks."""
    if text.isascii():  # nearly all text; the look-up per character is slow
        return len(text)
    return sum(map(_character_width, text))


def _character_width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def pad(text: str, width: int, side: str) -> str:
    """Return a text with spaces up to ``width`` cells, on the ``left`` or ``right`` of them."""
    space = " " * (width - text_width(text))
    return space + text if side == "right" else text + space


def wrap(text: str, width: int | None, hanging: int = 0) -> list[str]:
    """Return the lines of a text broken between words; a longer word has a line of its own.

    Lines after the first are narrower by ``hanging``.
    """
    if width is None or text_width(text) <= width:
        return [text]
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        room = width if len(lines) == 1 else width - hanging
        if lines[-1] and text_width(joined) > room:
            lines.append(word)
        else:
            lines[-1] = joined
    return lines


def shorten(text: str, width: int, kind: Kind, ellipsis: str = "…") -> str:
    """Return at most ``width`` cells of a text: without the middle of a key, or the end of a text.

    A number at the cut is left out whole, since its first digits would be another number.
    """
    if text_width(text) <= width:
        return text
    room = width - len(ellipsis)
    if room < 1:
        return ellipsis[:width]
    if kind is Kind.KEY:
        # The end of a key says more than its middle: the file's number, the version.
        tail = _cut(text[::-1], room - room // 2)[::-1]
        return _cut(text, room // 2) + ellipsis + tail
    head = _cut(text, room)
    if re.match(r"[\d.,%]", text[len(head) :]):
        head = _NUMBER_AT_END.sub("", head)
    return head.rstrip() + ellipsis


def _cut(text: str, width: int) -> str:
    """Return the longest beginning of a text that fits."""
    if text.isascii():
        return text[:width]
    used = 0
    for place, character in enumerate(text):
        used += _character_width(character)
        if used > width:
            return text[:place]
    return text


@dataclass(frozen=True, slots=True)
class FittedColumns:
    """The columns of a table that are shown, by index, their widths, and those left out."""

    shown: tuple[int, ...]
    widths: tuple[int, ...]
    left_out: tuple[int, ...] = ()


def fit_columns(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int | None
) -> FittedColumns | None:
    """Return which columns are shown and how wide; ``None`` if the essential ones don't fit.

    Parameters
    ----------
    columns : sequence of Column
    cells : sequence of sequence of str
        Texts of the rows.
    width : int, optional
        Cells of the terminal; without it all columns are as wide as their widest cell.

    Notes
    -----
    Columns of numbers are never narrower than their widest number and headers never narrower than
    their longest word, so neither can break. First columns of text are shortened, then columns
    are left out by their priority.
    """
    contents = [max(map(text_width, texts), default=0) for texts in _transpose(cells, len(columns))]
    natural = [
        max(text_width(column.name), content)
        for column, content in zip(columns, contents, strict=True)
    ]
    everything = tuple(range(len(columns)))
    if width is None or _total(natural) <= width:
        return FittedColumns(everything, tuple(natural))
    least = [_least(column, content) for column, content in zip(columns, contents, strict=True)]
    shown = list(everything)
    while _total([least[i] for i in shown]) > width:
        optional = [i for i in shown if columns[i].priority > 0]
        if not optional:
            return None
        shown.remove(max(optional, key=lambda i: (columns[i].priority, i)))
    spare = width - _total([least[i] for i in shown])
    missing = {i: natural[i] - least[i] for i in shown}
    # Text first: a header of several lines loses nothing, a shortened text does.
    added = _share(spare, missing, [i for i in shown if columns[i].kind.is_text])
    added |= _share(
        spare - sum(added.values()), missing, [i for i in shown if not columns[i].kind.is_text]
    )
    return FittedColumns(
        tuple(shown),
        tuple(least[i] + added[i] for i in shown),
        tuple(i for i in everything if i not in shown),
    )


@dataclass(frozen=True, slots=True)
class FittedFacts:
    """Widths of the names and values of a row shown as facts; stacked, a value has its own line."""

    name: int
    value: int
    is_stacked: bool


def fit_facts(columns: Sequence[Column], cells: Sequence[Sequence[str]], width: int) -> FittedFacts:
    """Return the widths with which rows are shown as facts, so that no number is cut."""
    names = [column.full_name for column in columns]
    longest_word = max((text_width(word) for name in names for word in name.split()), default=0)
    # Names take up to half of the width, more only for a word that would break.
    name_width = min(max(map(text_width, names)), max(width // 2, longest_word))
    numbers = [
        max(map(text_width, texts), default=0)
        for column, texts in zip(columns, _transpose(cells, len(columns)), strict=True)
        if not column.kind.is_text
    ]
    # Beside a very long name there may be no room for a number.
    if name_width + GAP + max([*numbers, _LEAST[Kind.TEXT]]) > width:
        return FittedFacts(width, width - GAP, is_stacked=True)
    return FittedFacts(name_width, width - GAP - name_width, is_stacked=False)


def _transpose(cells: Sequence[Sequence[str]], n_columns: int) -> list[list[str]]:
    return [[row[i] for row in cells] for i in range(n_columns)]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _least(column: Column, content: int) -> int:
    word = max(map(text_width, column.name.split()), default=0)
    return max(word, min(content, _LEAST[column.kind]) if column.kind.is_text else content)


def _share(spare: int, missing: dict[int, int], places: Sequence[int]) -> dict[int, int]:
    """Divide the spare width equally; what a column does not need goes to the others."""
    added: dict[int, int] = {}
    ordered = sorted(places, key=lambda i: missing[i])
    for rank, place in enumerate(ordered):
        added[place] = min(missing[place], spare // (len(ordered) - rank))
        spare -= added[place]
    return added
