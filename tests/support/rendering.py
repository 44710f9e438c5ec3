"""Documents as commands show them, and what must hold for their text on a terminal of any width."""

import ast
import contextlib
import functools
import io
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import gigacast
from gigacast.report import quantity, terminal
from gigacast.report.document import Column, Document, Heading, Items, KeyValues, Paragraph, Table
from gigacast.report.layout import text_width
from gigacast.report.quantity import text_of
from gigacast.report.terminal import Look, render_terminal

LIB = Path(gigacast.__file__).parent


def left_out(table: Table, text: str) -> list[Column]:
    """Return the columns that a rendering names as left out."""
    _, mark, rest = " ".join(text.split()).rpartition("not shown: ")
    names = rest.partition(";")[0].split(", ")
    return [column for column in table.columns if mark and column.full_name in names]


def check_table(table: Table, width: int) -> None:
    """Check that no line is too long, and no number or word of a header is broken."""
    text = render_terminal(Document((table,)), Look(width=width, is_unicode=True))
    assert all(text_width(line) <= width for line in text.splitlines())
    shown, hidden = {*text.split()}, left_out(table, text)
    for i, column in enumerate(table.columns):
        rows = table.rows[: table.limit]
        cells = [text_of(row[i], column.kind, column.digits) for row in rows]
        # Blocks, which have no rule, leave out the name of an empty value, and have full names.
        is_grid = "─" in text
        has_name = is_grid or any(not cell.isspace() and cell for cell in cells)
        name = column.name if is_grid else column.full_name
        if column not in hidden and has_name:
            assert {*name.split()} <= shown
        if column not in hidden and not column.kind.is_text:
            assert {word for cell in cells for word in cell.split()} <= shown


@functools.cache
def makers() -> dict[tuple[str, str], str]:
    """Return the functions and methods that make documents: by file and name, as readable names."""
    names = {}
    for path in sorted(LIB.rglob("*.py")):
        if path.is_relative_to(LIB / "report"):
            continue
        text = path.read_text(encoding="utf-8")
        if "Document" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef) or node.returns is None:
                continue
            if ast.unparse(node.returns) == "Document":
                label = f"{path.relative_to(LIB).as_posix()}:{node.name}"
                names[str(path), node.name] = label
    return names


@contextlib.contextmanager
def called_of(names: dict[tuple[str, str], str]) -> Iterator[set[str]]:
    """Collect the readable names of the functions in which documents are made meanwhile."""
    calls: set[str] = set()
    make: Callable[..., None] = Document.__init__

    def note(document: Document, *fields: Any, **more: Any) -> None:
        make(document, *fields, **more)
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            label = names.get((frame.f_code.co_filename, frame.f_code.co_name))
            if label is not None:
                calls.add(label)
            frame = frame.f_back

    # A profiler, which is called at every call of every function, takes as long as the commands.
    with mock.patch.object(Document, "__init__", note):
        yield calls


@contextlib.contextmanager
def shown_documents() -> Iterator[list[Document]]:
    """Collect the documents that are shown meanwhile; nothing is printed."""
    documents: list[Document] = []

    def keep(document: Document, *_: Any) -> str:
        documents.append(document)
        return ""

    quiet = contextlib.redirect_stderr(io.StringIO())
    with mock.patch.object(terminal, "render_terminal", keep), quiet:
        yield documents


@dataclass(frozen=True)
class View:
    """The documents of a command, its JSON, and the functions that made the documents."""

    documents: list[Document]
    json: Any
    makers: set[str]

    def missing_numbers(self) -> set[str]:
        """Return the numbers of the documents that the JSON does not have."""
        shown = {number for document in self.documents for number in numbers_of(document)}
        return shown - numbers_in(self.json)


NO_NUMBER = re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.+]+|(?:file|s3)://\S+|(?<=is )\d|Skill.*\n.*")
"""Times of the run, folders of the test, and the numbers of explaining texts."""
NUMBER = re.compile(r"(?<![\w.,])\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?(?!\d|th)")


def numbers_of(document: Document) -> set[str]:
    """Return the numbers in the texts and cells of a document."""
    texts = (NO_NUMBER.sub("", text) for text in texts_of(document))
    return {number for text in texts for number in NUMBER.findall(text)}


def texts_of(document: Document) -> Iterator[str]:
    yield document.title
    for block in document.content:
        match block:
            case Heading() | Paragraph():
                yield block.text
            case KeyValues():
                yield from (text_of(fact.value, fact.kind) for fact in block.facts)
            case Items():
                yield from (item.text for item in block.items)
            case Table():
                for row in block.rows:
                    for cell, column in zip(row, block.columns, strict=True):
                        yield text_of(cell, column.kind, column.digits)


WRITERS = (
    *(str, quantity.count, quantity.percent, quantity.short, quantity.duration, quantity.size),
    *(quantity.dollars, lambda n: f"{n:.0%}", lambda n: f"{n:.2e}", lambda n: f"{n:.3g}"),
    *(
        lambda n: f"{n:.1%}",
        lambda n: f"{n:.1f}",
        lambda n: f"{n:.5f}",
        lambda n: f"{n:g}",
        lambda n: quantity.duration(3600 * n),
    ),
)


def numbers_in(content: Any) -> set[str]:
    """Return the numbers of plain values in all their forms, and the lengths of their lists."""
    if isinstance(content, dict | list):
        entries = [*content, *content.values()] if isinstance(content, dict) else content
        return numbers_in(len(content)).union(sums_of(entries), *map(numbers_in, entries))
    if isinstance(content, bool) or content is None:
        return set()
    texts = [content] if isinstance(content, str) else [write(content) for write in WRITERS]
    return {number for text in texts for number in NUMBER.findall(text)}


def sums_of(entries: list[Any]) -> set[str]:
    """Return the sums of the fields that records of a list have in common."""
    sums: Counter[str] = Counter()
    for record in entries:
        if isinstance(record, dict):
            sums.update({name: n for name, n in record.items() if isinstance(n, int | float)})
    return set().union(*map(numbers_in, sums.values()))
