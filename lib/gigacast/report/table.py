"""Tables for a terminal or for a pipe."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gigacast.report import quantity

Cell = str | float | None
"""Integers get thousands separators; ``None`` is an empty cell."""


def is_rich(stream: TextIO, environment: Mapping[str, str] | None = None) -> bool:
    """Say whether ``stream`` shows colours and boxes: a terminal that nobody asked to be plain.

    ``NO_COLOR`` (https://no-color.org) and ``TERM=dumb`` ask for it.
    """
    env = os.environ if environment is None else environment
    return stream.isatty() and not env.get("NO_COLOR") and env.get("TERM") != "dumb"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Return a plain table: ASCII, as wide as it needs to be, nothing cut off.

    Parameters
    ----------
    title : str
        A line above it; may be empty.
    columns : sequence of str
        Headers. A column whose cells are all numbers is aligned to the right.
    rows : sequence of sequence of str, int, float or None
        As many cells in each as there are columns.
    """
    cells = [[_text(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    right = _numeric(len(columns), rows)

    def line(row: Sequence[str]) -> str:
        padded = zip(row, widths, right, strict=True)
        return "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in padded).rstrip()

    head = [title] if title else []
    return "\n".join([*head, line(columns), line(["-" * w for w in widths]), *map(line, cells)])


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    stream: TextIO | None = None,
) -> None:
    """Print a table: coloured and fitted on a terminal (cells fold, none is cut), else plain."""
    stream = stream or sys.stdout
    if is_rich(stream):
        Console(file=stream).print(rich_table(title, columns, rows))
    else:
        print(table(title, columns, rows), file=stream)


def rich_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Table:
    """Return the same table for rich; text is taken as it is, not as markup."""
    drawn = Table(
        title=Text(title) if title else None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        header_style="dim",
    )
    for name, is_number in zip(columns, _numeric(len(columns), rows), strict=True):
        drawn.add_column(Text(name), justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(_text(cell)) for cell in row))
    return drawn


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    return quantity.count(cell) if isinstance(cell, int) else quantity.short(cell)


def _numeric(n_columns: int, rows: Sequence[Sequence[Cell]]) -> list[bool]:
    columns = [[row[i] for row in rows] for i in range(n_columns)]
    return [
        bool(column) and all(isinstance(cell, int | float | None) for cell in column)
        for column in columns
    ]
