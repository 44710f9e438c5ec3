"""Documents as HTML fragments for notebooks."""

import re
from html.parser import HTMLParser

import numpy as np

from gigacast.report.document import (
    Column,
    Curve,
    Document,
    Figure,
    Heading,
    Items,
    KeyValues,
    Kind,
    Paragraph,
    Table,
)
from gigacast.report.notebook import MOST_ROWS, render_notebook

HOSTILE = '<script>alert(1)</script>&\x1b[31m" onerror="x'


class Reader(HTMLParser):
    """Collects tags, addresses and texts; checks that tags are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.addresses: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag != "img":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read(document: Document) -> Reader:
    reader = Reader()
    reader.feed(render_notebook(document))
    reader.close()
    assert not reader._open
    return reader


def test_every_kind_of_block_is_shown_with_its_text_escaped() -> None:
    table = Table((Column(HOSTILE, Kind.TEXT), Column("n", Kind.COUNT)), ((HOSTILE, 1234),))
    blocks = (
        Heading(HOSTILE),
        Paragraph(HOSTILE),
        KeyValues.of([(HOSTILE, HOSTILE)]),
        Items.of([HOSTILE]),
        table,
        Figure(HOSTILE, ("a", "b"), (Curve(HOSTILE, "line", np.array([1.0, 2.0])),)),
    )
    reader = read(Document(blocks, title=HOSTILE))
    assert set(reader.tags) <= {
        *("div", "h4", "h5", "p", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "img"),
    }
    assert "1,234" in reader.texts
    assert sum("alert(1)" in text for text in reader.texts) == 8
    assert not any("\x1b" in text for text in reader.texts)


def test_nothing_is_fetched_from_a_network() -> None:
    figure = Figure("f", ("a", "b"), (Curve("c", "line", np.array([1.0, 2.0])),))
    reader = read(Document((figure,)))
    assert [address[:22] for address in reader.addresses] == ["data:image/png;base64,"]
    assert not re.search(r"https?://", render_notebook(Document((figure,))))


def test_rows_beyond_the_limit_are_counted() -> None:
    rows = tuple((n,) for n in range(MOST_ROWS + 7))
    reader = read(Document((Table((Column("n", Kind.COUNT),), rows),)))
    assert reader.tags.count("td") == MOST_ROWS
    assert "... and 7 more" in reader.texts
    short = read(Document((Table((Column("n", Kind.COUNT),), rows, limit=3),)))
    assert short.tags.count("td") == 3
