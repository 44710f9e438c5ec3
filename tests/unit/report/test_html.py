"""Documents as pages: every text is shown and none is run, nothing is loaded, sizes are bounded."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.core.text import printable
from gigacast.report.document import (
    Column,
    Curve,
    Document,
    Fact,
    Figure,
    Heading,
    Item,
    Items,
    KeyValues,
    Kind,
    Link,
    Links,
    Paragraph,
    Scale,
    Table,
    Tile,
    Tiles,
    Tone,
)
from gigacast.report.html.page import Frame, page_style, render_page
from gigacast.report.markdown import render_markdown
from gigacast.report.plot.palette import DARK, LIGHT, Palette
from gigacast.report.terminal import render_terminal

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\x1b[2J</title>"
TAGS = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "a",
        "header",
        "span",
        "svg",
        "path",
        "nav",
    ),
    *("main", "div", "p", "h1", "h2", "ul", "li", "section", "dl", "dt", "dd", "code", "table"),
    *("thead", "tbody", "tr", "th", "td", "figure", "figcaption", "text", "rect"),
}


class Page(HTMLParser):
    """The tags, the attributes and the texts of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def document(text: str) -> Document:
    """Return a document with a text in every place that takes one."""
    figure = Figure(
        text,
        (text, text, text),
        (
            Curve(text, "history", (1.0, 2.0, np.nan)),
            Curve(text, "forecast", (np.nan, np.nan, 3.0)),
            Curve(text, "band", (np.nan, np.nan, 4.0), (np.nan, np.nan, 2.0), 0.8),
            Curve(text, "actual", (np.nan, np.nan, 2.5)),
        ),
        2,
        x_name=text,
        y_name=text,
    )
    columns = (Column(text, Kind.KEY, label=text, is_link=True), Column(text, has_bar=True))
    return Document(
        (
            Tiles((Tile(text, text, note=text, history=(1.0, 3.0, 2.0)),)),
            Heading(text),
            Paragraph(text, Tone.WARNING),
            KeyValues((Fact(text, text, Kind.KEY),)),
            Items((Item(text, 1, Tone.BAD),)),
            Links((Link(text, f"audit/{text}"),)),
            Table(columns, ((text, 2.0), (text, 1.0)), limit=1, rest=text),
            figure,
            figure,
        ),
        text,
        Tone.GOOD,
    )


def page_of(text: str) -> Page:
    return Page(render_page(document(text), Frame(text, text, text)))


def test_a_hostile_text_is_shown_everywhere_and_run_nowhere() -> None:
    page = page_of(HOSTILE)
    assert page.tags <= TAGS
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "style"]
    assert page.texts.count(printable(HOSTILE)) > 20
    assert not any("\x1b" in text for text in page.texts)


@given(st.text(min_size=1, max_size=30))
@settings(max_examples=50)
def test_no_text_makes_a_tag_or_an_address(text: str) -> None:
    page = page_of(text)
    assert page.tags <= TAGS
    addresses = [value for name, value in page.attributes if name in {"href", "src"}]
    own_places = {"#main", "#s1", "latest.html", "index.html"}
    assert all(a in own_places or a.startswith("../") or a.endswith(".html") for a in addresses)
    assert not any(re.match(r"[a-z]+:|//", address, re.IGNORECASE) for address in addresses)


def test_a_page_names_no_other_place_and_allows_its_own_style_alone() -> None:
    source = render_page(document("a"), Frame("kind"))
    policy = re.search(r'content="(default-src[^"]*)"', source)
    assert policy is not None
    digest = base64.b64encode(hashlib.sha256(page_style().encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy[1]
    assert "unsafe" not in policy[1]
    assert f"<style>{page_style()}</style>" in source
    assert "http://" not in source
    assert "https://" not in source
    assert "url(" not in source
    assert "<script" not in source


def test_every_section_and_picture_has_a_name_for_screen_readers() -> None:
    source = render_page(document("a title"), Frame("kind"))
    assert source.count('role="img" aria-label="a title;') == 2
    sections = re.findall(r'<section class="\w+" aria-labelledby="(s\d+)">', source)
    assert sections
    assert all(f'id="{name}"' in source for name in sections)
    assert '<html lang="en">' in source
    assert 'class="skip" href="#main"' in source


def luminance(colour: str) -> float:
    """Relative luminance (Web Content Accessibility Guidelines 2.2)."""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_texts_and_lines_stand_out_from_their_ground(palette: Palette) -> None:
    for ground in (palette.ground, palette.raised):
        for name in ("ink", "muted", "forecast", "good", "warning", "bad"):
            assert contrast(getattr(palette, name), ground) >= 4.5, name
        # Graphical objects need 3 to 1.
        for colour in (palette.history, palette.actual, *palette.compared):
            assert contrast(colour, ground) >= 3, colour


def long_figure(count: int, scale: Scale = Scale.STEP) -> Figure:
    rng = np.random.default_rng(0)
    history = [*rng.normal(0, 1, count // 2).tolist(), *[np.nan] * (count - count // 2)]
    ahead = [*[np.nan] * (count // 2), *rng.normal(0, 1, count - count // 2).tolist()]
    bands = [Curve(f"{n}0%", "band", [v + n for v in ahead], [v - n for v in ahead]) for n in "842"
             for n in [int(n)]]  # fmt: skip
    curves = (Curve("context", "history", history), Curve("median", "forecast", ahead), *bands)
    return Figure("long", tuple(map(str, range(count))), curves, count // 2, scale=scale)


def test_the_size_of_a_page_does_not_depend_on_the_data() -> None:
    rows = tuple((f"item-{n}", n) for n in range(20_000))
    table = Table((Column("item"), Column("n", Kind.COUNT)), rows)
    source = render_page(Document((table, *[long_figure(20_000)] * 6)), Frame("kind"))
    assert len(source) < 400_000
    assert "and 19,800 more" in source


def test_bars_are_as_long_as_their_share_of_the_largest() -> None:
    table = Table((Column("a"), Column("n", Kind.COUNT, has_bar=True)), (("x", 50), ("y", 200)))
    source = render_page(Document((table,)), Frame("kind"))
    widths = re.findall(r'<rect width="([\d.]+)%"', source)
    assert widths == ["25.0", "100.0"]


def path_points(source: str, role: str) -> list[list[float]]:
    paths: list[str] = re.findall(rf'<path class="{role}" d="([^"]*)"', source)
    plot = [path for path in paths if path.count("L") or path.count("h0")]
    return [[float(n) for n in re.findall(r"-?[\d.]+", path)] for path in plot]


def test_curves_are_drawn_to_scale_and_broken_where_values_are_missing() -> None:
    curve = Curve("a", "line", (0.0, 10.0, np.nan, 5.0, 0.0))
    figure = Figure("f", tuple("abcde"), (curve,), places=(0.0, 1.0, 2.0, 3.0, 4.0))
    (points,) = path_points(render_page(Document((figure,)), Frame("k")), "line c0")
    x, y = np.array(points[0::2]), np.array(points[1::2])
    assert x.tolist() == [0, 250, 750, 1000]
    assert y[0] == y[3]
    assert (y[0] - y[2]) / (y[0] - y[1]) == pytest.approx(0.5, abs=1e-3)


def test_a_figure_without_a_value_is_drawn_empty() -> None:
    figure = Figure("f", ("a", "b"), (Curve("a", "line", (np.nan, np.nan)),))
    assert "<svg" in render_page(Document((figure, Figure("g", (), ()))), Frame("k"))


@pytest.mark.parametrize("render", [render_markdown, render_terminal])
def test_headline_numbers_and_links_are_facts_elsewhere(render: Any) -> None:
    tiles = Tiles((Tile("series", 1234, Kind.COUNT, "2 per second"),))
    shown = render(Document((tiles, Links((Link("Audit", "audit/x.json"),)))))
    assert "1,234" in shown
    assert "2 per second" in shown
    assert "audit/x.json" in shown


def test_a_legend_names_only_what_is_drawn() -> None:
    empty, drawn = (np.nan, np.nan), (1.0, 2.0)
    curves = (Curve("context", "history", empty), Curve("median", "forecast", drawn))
    source = render_page(Document((Figure("f", ("a", "b"), curves),)), Frame("k"))
    assert re.findall(r"</svg>(\w+)</li>", source) == ["median"]


def test_figures_with_the_same_curves_share_a_legend() -> None:
    figure = Figure("f", ("a", "b"), (Curve("m", "line", (1.0, 2.0)),))
    renamed = Figure("g", ("a", "b"), (Curve("n", "line", (1.0, 2.0)),))
    shared = render_page(Document((figure, figure)), Frame("k"))
    apart = render_page(Document((figure, renamed)), Frame("k"))
    assert [page.count('<ul class="legend">') for page in (shared, apart)] == [1, 2]
