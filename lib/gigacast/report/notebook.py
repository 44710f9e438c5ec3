"""Documents as HTML for notebooks: a fragment without scripts, styles of a page, or the network."""

import base64
import html
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gigacast.core.text import printable
from gigacast.report.document import (
    Block,
    Document,
    Figure,
    Heading,
    Items,
    KeyValues,
    Paragraph,
    Table,
)
from gigacast.report.markdown import render_markdown
from gigacast.report.plot.picture import save_figures
from gigacast.report.quantity import text_of

MOST_ROWS = 60
"""Rows of a table without a limit of its own; the value itself holds all."""
_DPI = 110


def render_notebook(document: Document) -> str:
    """Return a document as HTML, for the method ``_repr_html_`` of a result.

    Texts are escaped, and figures are embedded as PNG.
    """
    title = f"<h4>{_text(document.title)}</h4>" if document.title else ""
    return f'<div class="gigacast">{title}{"".join(map(_block, document.content))}</div>'


def _block(block: Block) -> str:
    return _FORMS.get(type(block), _as_text)(block)


def _paragraph(block: Paragraph) -> str:
    return f"<p>{_text(block.text)}</p>" if block.text else ""


def _facts(block: KeyValues) -> str:
    rows = ((_text(f.name), _text(text_of(f.value, f.kind))) for f in block.facts)
    cells = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows)
    return f"<table>{cells}</table>"


def _items(block: Items) -> str:
    return f"<ul>{''.join(f'<li>{_text(item.text)}</li>' for item in block.items)}</ul>"


def _as_text(block: Block) -> str:
    """Return a block that has no form of its own here."""
    return f"<pre>{_text(render_markdown(Document((block,))))}</pre>"


def _text(text: str) -> str:
    return html.escape(printable(text))


def _table(table: Table) -> Iterator[str]:
    names = "".join(f"<th>{_text(column.full_name)}</th>" for column in table.columns)
    yield f"<table><thead><tr>{names}</tr></thead><tbody>"
    shown = table.rows[: table.limit or MOST_ROWS]
    for row in shown:
        cells = zip(row, table.columns, strict=True)
        texts = ((text_of(cell, c.kind, c.digits), c.side) for cell, c in cells)
        yield "<tr>"
        yield "".join(f'<td style="text-align: {side}">{_text(t)}</td>' for t, side in texts)
        yield "</tr>"
    yield "</tbody></table>"
    if len(table.rows) > len(shown):
        yield f"<p>... and {len(table.rows) - len(shown):,} more{_text(table.rest)}</p>"


def _image(figure: Figure) -> str:
    content = io.BytesIO()
    save_figures(content, (figure,), dpi=_DPI)
    code = base64.b64encode(content.getvalue()).decode()
    return f'<img alt="{_text(figure.title)}" src="data:image/png;base64,{code}">'


_FORMS: Mapping[type[Any], Callable[[Any], str]] = {
    Heading: lambda block: f"<h5>{_text(block.text)}</h5>",
    Paragraph: _paragraph,
    KeyValues: _facts,
    Items: _items,
    Table: lambda block: "".join(_table(block)),
    Figure: _image,
}
