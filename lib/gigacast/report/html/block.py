"""Blocks of documents as HTML; every text is escaped."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import assert_never
from urllib.parse import quote

from gigacast.report.document import (
    Block,
    Cell,
    Column,
    Document,
    Fact,
    Figure,
    Heading,
    Items,
    KeyValues,
    Kind,
    Link,
    Links,
    Paragraph,
    Table,
    Tile,
    Tiles,
)
from gigacast.report.html.chart import draw_chart, draw_sparkline, legend_names, legend_of, text
from gigacast.report.quantity import text_of

_MOST_ROWS = 200
"""Rows of a table; the files in the bucket hold all, and a page must stay small."""
_LONG_VALUE = 9
"""Characters of a headline value; longer ones, as names, are written smaller."""
_SHORT_KEY = 24
"""Characters of a key that is not wrapped on a wide screen."""
_NARROW_COLUMNS = 5
"""Columns of a table that may stand beside another section."""


def render_sections(document: Document, root: str = "../") -> str:
    """Return the blocks of a document as sections: one below each heading.

    Parameters
    ----------
    document : Document
    root : str
        Relative address of the root of the keys that links name.
    """
    return "".join(
        _section(number, blocks, root) for number, blocks in enumerate(sections_of(document))
    )


def sections_of(document: Document) -> list[list[Block]]:
    """Return the blocks in groups, each of which begins with a heading; but for the first."""
    groups: list[list[Block]] = [[]]
    for block in document.content:
        if isinstance(block, Heading):
            groups.append([])
        groups[-1].append(block)
    return [group for group in groups if group]


def _section(number: int, blocks: Sequence[Block], root: str) -> str:
    heading = blocks[0].text if isinstance(blocks[0], Heading) else ""
    name = f' aria-labelledby="s{number}"' if heading else ""
    title = f'<h2 id="s{number}">{text(heading)}</h2>' if heading else ""
    content = blocks[1:] if heading else blocks
    n_figures = sum(isinstance(block, Figure) for block in content)
    is_narrow = bool(heading) and n_figures <= 1 and all(map(_is_narrow, content))
    width = "narrow" if is_narrow else "wide"
    body = "".join(_group(kind, [*group], heading, root) for kind, group in groupby(content, type))
    return f'<section class="{width}"{name}>{title}{body}</section>'


def _is_narrow(block: Block) -> bool:
    if isinstance(block, Table):
        return len(block.columns) <= _NARROW_COLUMNS
    return not isinstance(block, Items | Tiles)


def _group(kind: type[Block], blocks: list[Block], heading: str, root: str) -> str:
    """Return equal blocks that follow each other: figures stand side by side."""
    if kind is not Figure:
        return "".join(_block(block, heading, root) for block in blocks)
    figures = [block for block in blocks if isinstance(block, Figure)]
    shares_legend = len(figures) > 1 and len({legend_names(figure) for figure in figures}) == 1
    charts = "".join(draw_chart(figure, has_legend=not shares_legend) for figure in figures)
    legend = legend_of(figures[0]) if shares_legend else ""
    single = " single" if len(figures) == 1 else ""
    return f'<div class="charts{single}">{charts}</div>{legend}'


def _block(block: Block, heading: str, root: str) -> str:
    match block:
        case Heading():
            content = f"<h2>{text(block.text)}</h2>"
        case Paragraph():
            content = f'<p class="{block.tone}">{text(block.text)}</p>'
        case KeyValues():
            content = f'<dl class="facts">{"".join(map(_fact, block.facts))}</dl>'
        case Items():
            content = f'<ul class="items">{"".join(_items(block))}</ul>'
        case Tiles():
            content = f'<ul class="tiles">{"".join(map(_tile, block.tiles))}</ul>'
        case Links():
            content = f'<ul class="links">{"".join(_link(link, root) for link in block.links)}</ul>'
        case Table():
            content = _table(block, heading)
        case Figure():
            content = draw_chart(block)
        case _:
            assert_never(block)
    return content


def _fact(fact: Fact) -> str:
    value = text(text_of(fact.value, fact.kind))
    return f'<div><dt>{text(fact.name)}</dt><dd class="{fact.kind}">{value}</dd></div>'


def _items(block: Items) -> Iterator[str]:
    for item in block.items:
        yield f'<li class="d{min(item.depth, 3)} {item.tone}">{text(item.text)}</li>'


def _tile(tile: Tile) -> str:
    note = f'<span class="note">{text(tile.note)}</span>' if tile.note else ""
    value = text_of(tile.value, tile.kind)
    size = " long" if len(value) > _LONG_VALUE else ""
    line = draw_sparkline(tile.history)
    return (
        f'<li><span class="name">{text(tile.name)}</span>'
        f'<span class="value {tile.tone}{size}">{text(value)}</span>{note}{line}</li>'
    )


def _link(link: Link, root: str) -> str:
    # Quoted, so that a key with a question mark or a colon stays a path.
    address = text(root + quote(link.key))
    return f'<li><a href="{address}">{text(link.name)}</a><code>{text(link.key)}</code></li>'


def _table(table: Table, heading: str) -> str:
    limit = min(_MOST_ROWS, table.limit or _MOST_ROWS)
    rows = table.rows[:limit]
    heads = "".join(
        f'<th scope="col" class="{column.side}"{_title(column)}>{text(column.name)}</th>'
        for column in table.columns
    )
    largest = [_largest(table, place) for place in range(len(table.columns))]
    body = "".join(f"<tr>{''.join(_cells(row, table.columns, largest))}</tr>" for row in rows)
    hidden = len(table.rows) - len(rows)
    more = f'<p class="quiet">and {hidden:,} more{text(table.rest)}</p>' if hidden else ""
    label = text(heading or "Table")
    # Scrolled by keys as well: a wide table must not make the page wider than the screen.
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{label}"><table>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>{more}"
    )


def _title(column: Column) -> str:
    return f' title="{text(column.label)}"' if column.label else ""


def _largest(table: Table, place: int) -> float:
    if not table.columns[place].has_bar:
        return 0.0
    values = [row[place] for row in table.rows]
    return max((abs(v) for v in values if isinstance(v, int | float)), default=0.0)


def _cells(
    row: Sequence[Cell], columns: Sequence[Column], largest: Sequence[float]
) -> Iterator[str]:
    for place, (cell, column) in enumerate(zip(row, columns, strict=True)):
        plain = text_of(cell, column.kind, column.digits)
        shown = text(plain)
        # A short key, as 2024/01/part-00000, is not cut at its hyphen.
        short = " short" if column.kind is Kind.KEY and len(plain) <= _SHORT_KEY else ""
        classes = f"{column.side} {column.kind}{short}"
        if column.is_link and shown:
            shown = f'<a href="{text(quote(str(cell), safe=""))}.html">{shown}</a>'
        if place == 0 and column.kind.is_text:
            yield f'<th scope="row" class="{classes}">{shown}</th>'
        elif largest[place] and isinstance(cell, int | float):
            share = abs(cell) / largest[place] * 100
            bar = (
                '<svg class="bar" aria-hidden="true"><rect class="track" width="100%" '
                f'height="100%"/><rect width="{share:.1f}%" height="100%"/></svg>'
            )
            yield f'<td class="{classes} measured">{bar}<span>{shown}</span></td>'
        else:
            yield f'<td class="{classes}">{shown}</td>'


def links_of(sections: Sequence[Sequence[Block]]) -> list[tuple[int, str]]:
    """Return the number and the title of each section that has one."""
    heads = [(number, blocks[0]) for number, blocks in enumerate(sections)]
    return [(number, head.text) for number, head in heads if isinstance(head, Heading)]
