"""Documents as text for a terminal or a pipe; all text for people is printed here.

Text that comes from data (ids, keys, messages) may hold escape sequences that move the cursor,
rename the window or hide lines, and URLs may hold credentials. `gigacast.core.text` takes both out,
and everything is printed here: `show`, `say`, `show_json`, and log records and warnings within
`shown_safely`.
"""

import logging
import os
import shutil
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from itertools import zip_longest
from typing import Any, TextIO, TypeVar, assert_never, cast

from gigacast.core.text import is_unprintable, printable, printable_json
from gigacast.report.document import (
    Block,
    Column,
    Document,
    Fact,
    Figure,
    Heading,
    Items,
    KeyValues,
    Kind,
    Links,
    Paragraph,
    Table,
    Tiles,
    Tone,
    plain_facts,
)
from gigacast.report.layout import (
    GAP,
    FittedColumns,
    FittedFacts,
    fit_columns,
    fit_facts,
    pad,
    shorten,
    text_width,
    wrap,
)
from gigacast.report.quantity import text_of

_STYLES = {
    Tone.PLAIN: "",
    Tone.GOOD: "32",
    Tone.WARNING: "33",
    Tone.BAD: "31",
    Tone.QUIET: "2",
}
"""SGR parameters (ECMA-48, 8.3.117) by tone."""
_BOLD, _DIM = "1", "2"
_INDENT = 2
_WIDEST_FIGURE = 120
V = TypeVar("V")


def is_rich(stream: TextIO, environment: Mapping[str, str] | None = None) -> bool:
    """Return whether ``stream`` shows colours: a terminal without ``NO_COLOR`` or ``TERM=dumb``.

    See https://no-color.org.
    """
    env = os.environ if environment is None else environment
    return stream.isatty() and not env.get("NO_COLOR") and env.get("TERM") != "dumb"


@dataclass(frozen=True, slots=True)
class Look:
    """Abilities of a stream.

    Parameters
    ----------
    width : int, optional
        Cells of a line. Without it, as in a pipe, nothing is shortened, wrapped or left out.
    color : bool
        SGR sequences are shown as colours.
    is_unicode : bool
        Characters beyond ASCII can be shown.
    figure_width : int
        Cells of a figure.
    """

    width: int | None = None
    color: bool = False
    is_unicode: bool = False
    figure_width: int = 100

    @classmethod
    def of(cls, stream: TextIO) -> "Look":
        """Return the abilities of a stream; ``COLUMNS`` overrides the width of a terminal."""
        columns = shutil.get_terminal_size((100, 24)).columns
        encoding = (getattr(stream, "encoding", None) or "utf-8").lower()
        return cls(
            width=columns if stream.isatty() else None,
            color=is_rich(stream),
            is_unicode=encoding.replace("-", "").startswith("utf"),
            figure_width=min(columns, _WIDEST_FIGURE),
        )

    def paint(self, text: str, style: str) -> str:
        """Return a text in a style, as plain text where there are no colours."""
        return f"\x1b[{style}m{text}\x1b[0m" if self.color and style and text else text


def show(document: Document, stream: TextIO | None = None) -> None:
    """Print a document: coloured and fitted on a terminal, whole and in ASCII marks in a pipe."""
    out = stream or sys.stdout
    text = render_terminal(document, Look.of(out))
    if text:
        _write(text, out)


def say(text: str, *, tone: Tone = Tone.PLAIN, err: bool = False, bold: bool = False) -> None:
    """Print one line to people, on stdout or stderr; line breaks in it become spaces."""
    out = sys.stderr if err else sys.stdout
    style = ";".join(filter(None, (_BOLD if bold else "", _STYLES[tone])))
    _write(Look(color=is_rich(out)).paint(_one_line(printable(text)), style), out)


def show_json(
    value: object,
    *,
    is_ascii: bool = False,
    default: Callable[[object], object] | None = None,
) -> None:
    """Print a value as JSON on stdout; see `printable_json`."""
    _write(printable_json(value, indent=1, is_ascii=is_ascii, default=default), sys.stdout)


def show_source(text: str) -> None:
    """Print a file's text on stdout as it is, such as that of a contract.

    Raises
    ------
    ValueError
        If it has control characters.
    """
    if is_unprintable(text):
        raise ValueError("a source with control characters")
    _write(text, sys.stdout)


def show_traceback(error: BaseException) -> None:
    """Print the traceback of an error on stderr."""
    lines = traceback.format_exception(error)
    _write(printable("".join(lines).rstrip()), sys.stderr)


class _PeopleHandler(logging.Handler):
    """Prints log records as lines on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            say(record.getMessage(), err=True)
        except Exception:  # a record with wrong arguments must not end the command
            self.handleError(record)


@contextmanager
def shown_safely() -> Iterator[None]:
    """Print log records and warnings within the block as all text for people.

    A log that the caller has configured stays as it is.
    """
    handler, show_warning = logging.lastResort, warnings.showwarning

    def print_warning(message: Warning | str, category: type[Warning], *_: object) -> None:
        say(f"{category.__name__}: {message}", err=True)

    # The handler of last resort prints records as they are, if no other is configured.
    logging.lastResort = _PeopleHandler(logging.WARNING)
    warnings.showwarning = print_warning  # type: ignore[assignment]
    try:
        yield
    finally:
        logging.lastResort, warnings.showwarning = handler, show_warning


def _write(text: str, stream: TextIO) -> None:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    # An id that the terminal's encoding lacks must not end the command with UnicodeEncodeError.
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)


def _one_line(text: str) -> str:
    return text.replace("\n", " ")


def render_terminal(document: Document, look: Look | None = None) -> str:
    """Return a document as text for people.

    On a look with a width no table breaks inside a number or a word: columns of text are
    shortened, optional columns left out and named below, and a table whose essential columns don't
    fit becomes a block of facts per row. No line of a table is longer than the width. Elsewhere
    text is wrapped between words; keys and URLs stay whole, so that they can be copied.
    """
    drawing = _Drawing(look or Look())
    return "\n".join(drawing.lines(_clean(document)))


def _clean(value: V) -> V:
    """Return a document with every text in it made printable."""
    cleaned: Any = value
    # Kinds and tones are texts as well, and ours: only plain texts come from data.
    if isinstance(value, str) and type(value) is str:
        cleaned = printable(value)
    elif isinstance(value, tuple):
        cleaned = tuple(map(_clean, value))
    elif is_dataclass(value) and not isinstance(value, type):
        content = {field.name: _clean(getattr(value, field.name)) for field in fields(value)}
        cleaned = type(value)(**content)
    return cast("V", cleaned)


class _Drawing:
    """Renders the blocks of one document."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._indent = 0

    def lines(self, document: Document) -> Iterator[str]:
        before: Block | None = None
        if document.title:
            self._indent = _INDENT
            style = ";".join(filter(None, (_BOLD, _STYLES[document.tone])))
            yield from self._wrapped(document.title, style)
        for place, block in enumerate(document.content):
            if self._needs_space(block, before, is_first=place == 0 and not document.title):
                yield ""
            yield from self._block(block)
            before = block

    def _needs_space(self, block: Block, before: Block | None, *, is_first: bool) -> bool:
        """Return whether an empty line stands above a block: around tables, above headings."""
        if is_first:
            return False
        if isinstance(block, Heading):
            return True
        if before is None or isinstance(before, Heading):
            return False
        return isinstance(block, Table | Figure) or isinstance(before, Table | Figure)

    def _block(self, block: Block) -> Iterator[str]:
        match block:
            case Heading():
                yield from self._wrapped(block.text, _BOLD)
            case Paragraph():
                yield from self._wrapped(block.text, _STYLES[block.tone])
            case KeyValues():
                yield from self._facts(block.facts, self._indent)
            case Items():
                for item in block.items:
                    text, style = _one_line(item.text), _STYLES[item.tone]
                    indent = _INDENT * item.depth
                    yield from self._wrapped(text, style, indent, hanging=_INDENT)
            case Table():
                yield from self._table(block)
            case Tiles() | Links():
                yield from self._facts(plain_facts(block).facts, self._indent)
            case Figure():
                yield from self._figure(block)
            case _:
                assert_never(block)

    def _wrapped(self, text: str, style: str, indent: int = 0, hanging: int = 0) -> Iterator[str]:
        """Yield a text from column ``indent``, further lines ``hanging`` cells to the right."""
        width = self._look.width
        # Lines that were broken for files are joined, then broken for this terminal.
        parts = text.split("\n") if width is None else [_one_line(text)]
        for part in parts:
            first, *further = wrap(part, None if width is None else width - indent, hanging)
            yield " " * indent + self._look.paint(first, style)
            for line in further:
                yield " " * (indent + hanging) + self._look.paint(line, style)

    def _facts(self, facts: Sequence[Fact], indent: int) -> Iterator[str]:
        width = max((text_width(fact.name) for fact in facts), default=0)
        start = indent + width + GAP
        room = None if self._look.width is None else max(self._look.width - start, 1)
        for fact in facts:
            name = self._look.paint(pad(fact.name, width + GAP, "left"), _DIM)
            for place, line in enumerate(wrap(_one_line(text_of(fact.value, fact.kind)), room)):
                yield " " * indent + name + line if place == 0 else " " * start + line

    def _table(self, table: Table) -> Iterator[str]:
        cells = [
            [
                _one_line(text_of(cell, column.kind, column.digits))
                for cell, column in zip(row, table.columns, strict=True)
            ]
            for row in table.rows[: table.limit]
        ]
        fitted = fit_columns(table.columns, cells, self._look.width)
        if fitted is None:
            yield from self._blocks(table.columns, cells)
        else:
            yield from self._grid(table.columns, cells, fitted)
        hidden = len(table.rows) - len(cells)
        if hidden:
            yield from self._wrapped(f"and {hidden:,} more{table.rest}", "")
        if fitted is not None and fitted.left_out:
            names = ", ".join(table.columns[i].full_name for i in fitted.left_out)
            yield from self._wrapped(f"not shown: {names}; use --json or a wider terminal", _DIM)

    def _grid(
        self, columns: Sequence[Column], cells: Sequence[Sequence[str]], fitted: FittedColumns
    ) -> Iterator[str]:
        shown = [columns[i] for i in fitted.shown]
        is_fancy = self._look.width is not None and self._look.is_unicode
        ellipsis = "…" if is_fancy else "..."

        def line(texts: Sequence[str]) -> str:
            padded = [
                pad(shorten(text, width, column.kind, ellipsis), width, column.side)
                for text, width, column in zip(texts, fitted.widths, shown, strict=True)
            ]
            return (" " * GAP).join(padded).rstrip()

        heads = [wrap(c.name, w) for c, w in zip(shown, fitted.widths, strict=True)]
        height = max(map(len, heads), default=0)
        for place in range(height):  # names of fewer lines stand at the bottom, above their values
            texts = [([""] * (height - len(head)) + head)[place] for head in heads]
            yield self._look.paint(line(texts), _DIM)
        rule = "─" if is_fancy else "-"
        yield self._look.paint((" " * GAP).join(rule * width for width in fitted.widths), _DIM)
        for row in cells:
            yield line([row[i] for i in fitted.shown])

    def _blocks(self, columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> Iterator[str]:
        """Yield a row as one fact per column; empty cells are left out, long text is shortened."""
        fitted = fit_facts(columns, cells, self._look.width or 0)
        ellipsis = "…" if self._look.is_unicode else "..."
        for number, row in enumerate(cells):
            if number:
                yield ""
            for column, text in zip(columns, row, strict=True):
                if text:
                    value = shorten(text, fitted.value, column.kind, ellipsis)
                    yield from self._block_fact(column.full_name, value, fitted)

    def _block_fact(self, name: str, value: str, fitted: FittedFacts) -> Iterator[str]:
        labels = [shorten(line, fitted.name, Kind.KEY) for line in wrap(name, fitted.name)]
        if fitted.is_stacked:
            yield from (self._look.paint(label, _DIM) for label in labels)
            yield " " * GAP + value
            return
        for label, part in zip_longest(labels, [value], fillvalue=""):
            painted = self._look.paint(pad(label, fitted.name + GAP, "left"), _DIM)
            yield f"{painted}{part}".rstrip()

    def _figure(self, figure: Figure) -> Iterator[str]:
        # Figures need numpy, which the other blocks do without.
        from gigacast.report.plot.terminal import ASCII, UNICODE, draw_figure  # noqa: PLC0415

        palette = UNICODE if self._look.is_unicode else ASCII
        width, color = self._look.figure_width, self._look.color
        yield from draw_figure(figure, width=width, palette=palette, color=color).split("\n")
