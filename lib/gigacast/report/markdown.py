"""Documents as Markdown, the form of reports stored in the bucket."""

from collections.abc import Iterator, Sequence
from typing import assert_never

from gigacast.core.text import printable
from gigacast.report.document import (
    Block,
    Cell,
    Column,
    Document,
    Figure,
    Heading,
    Items,
    KeyValues,
    Kind,
    Links,
    Paragraph,
    Table,
    Tiles,
    plain_facts,
)
from gigacast.report.quantity import text_of

_RULES = {"left": "---", "right": "---:"}


def render_markdown(document: Document) -> str:
    """Return a document as Markdown (tables as in GitHub Flavored Markdown, 4.10).

    Nothing is left out or shortened: a file has room for every row and column.
    """
    parts = [f"# {_inline(document.title)}"] if document.title else []
    return "\n\n".join([*parts, *map(_block, document.content)]) + "\n"


def _block(block: Block) -> str:
    match block:
        case Heading():
            return f"## {_inline(block.text)}"
        case Paragraph():
            return printable(block.text)
        case KeyValues():
            facts = block.facts
            return "\n".join(f"- {f.name}: {_inline(text_of(f.value, f.kind))}" for f in facts)
        case Items():
            return "\n".join(f"{'  ' * item.depth}- {_inline(item.text)}" for item in block.items)
        case Table() | Figure():
            table = _figure_table(block) if isinstance(block, Figure) else block
            return "\n".join(_table_lines(table))
        case Tiles() | Links():
            return _block(plain_facts(block))
        case _:
            assert_never(block)


def _table_lines(table: Table) -> Iterator[str]:
    yield _line([column.name for column in table.columns])
    yield _line([_RULES[column.side] for column in table.columns])
    for row in table.rows:
        yield _line(
            [
                text_of(cell, column.kind, column.digits)
                for cell, column in zip(row, table.columns, strict=True)
            ]
        )


def _line(cells: Sequence[str]) -> str:
    # A bar or a line break in a cell would end it.
    escaped = [_inline(cell).replace("|", r"\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def _inline(text: str) -> str:
    return printable(text).replace("\n", " ")


def _figure_table(figure: Figure) -> Table:
    """Return the values of a figure, a row per position: Markdown cannot draw data."""
    columns: list[Column] = [Column("")]
    values: list[tuple[Cell, ...]] = [figure.x]
    for curve in figure.curves:
        for edge, numbers in (("", curve.values), (" from", curve.lower)):
            if numbers is not None:
                columns.append(Column(curve.name + edge, Kind.NUMBER))
                values.append(tuple(numbers))
    return Table(tuple(columns), tuple(zip(*values, strict=True)))
