"""Documents on a terminal of any width and in a pipe; nothing from data reaches the terminal."""

import io
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.core.text import printable
from gigacast.report.document import (
    Block,
    Column,
    Document,
    Fact,
    Heading,
    Item,
    Items,
    KeyValues,
    Kind,
    Paragraph,
    Table,
    Tone,
)
from gigacast.report.layout import shorten, text_width
from gigacast.report.quantity import text_of
from gigacast.report.terminal import Look, is_rich, render_terminal, say, show
from tests.support.rendering import check_table, left_out

KEY = (
    "forecasts/bolt/1.0.0/h15-q9-3fa9c2d1/2014/03/EURUSD_1min_h15_2014_03_769b531dbb2ff3cb.parquet"
)
COLUMNS = (Column("partition", Kind.KEY), Column("series", Kind.COUNT), Column("MASE", Kind.NUMBER))
TABLE = Table(COLUMNS, ((KEY, 1_200_000, 0.93512), ("b", 7, None)))
WIDTHS = (60, 80, 120, 200)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def draw(*blocks: Block, width: int | None = None, title: str = "", **look: Any) -> list[str]:
    look = {"width": width, "is_unicode": True, **look}
    return render_terminal(Document(blocks, title=title), Look(**look)).splitlines()


# -- in a pipe -------------------------------------------------------------------------------------


def test_a_plain_table_cuts_nothing_off() -> None:
    assert render_terminal(Document((Heading("Done"), TABLE))) == (
        f"""\
Done
{"partition".ljust(len(KEY))}     series    MASE
{"-" * len(KEY)}  ---------  ------
{KEY}  1,200,000  0.9351
{"b".ljust(len(KEY))}          7"""
    )


def test_a_table_without_rows_has_its_header() -> None:
    assert draw(Table((Column("a"), Column("bc")), ())) == ["a  bc", "-  --"]


def test_a_pipe_gets_the_plain_text_whatever_the_columns_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    stream = io.StringIO()
    show(Document((TABLE,)), stream)
    assert stream.getvalue() == render_terminal(Document((TABLE,))) + "\n"


def test_blocks_of_text_follow_one_another_and_tables_stand_apart() -> None:
    lines = draw(
        KeyValues((Fact("rows", 3), Fact("of", "x"))),
        Paragraph("a\nb"),
        Table((Column("n"),), ((1,),)),
        Items((Item("c"), Item("d", depth=1))),
        Heading("Next"),
        Table((Column("m"),), ((2,),)),
        title="Run",
    )
    assert lines == [
        *("Run", "  rows  3", "  of    x", "a", "b", "", "n", "-", "1", "", "c", "  d"),
        *("", "Next", "m", "-", "2"),
    ]


def test_rows_beyond_the_limit_are_counted() -> None:
    table = Table((Column("n"),), ((1,), (2,), (3,)), limit=1, rest=": see the file")
    assert draw(table)[-2:] == ["1", "and 2 more: see the file"]


# -- on a terminal ---------------------------------------------------------------------------------


def test_a_key_is_shortened_in_the_middle_and_its_numbers_stay() -> None:
    assert draw(TABLE, width=50) == [
        "partition                           series    MASE",
        "───────────────────────────────  ─────────  ──────",
        "forecasts/bolt/…b2ff3cb.parquet  1,200,000  0.9351",
        "b                                        7",
    ]


def test_optional_columns_are_left_out_by_priority_and_named() -> None:
    columns = (
        Column("model"),
        Column("WQL", Kind.NUMBER),
        Column("sMAPE", Kind.NUMBER, priority=2, label="symmetric MAPE"),
        Column("bias", Kind.NUMBER, priority=1),
    )
    table = Table(columns, (("seasonal-nai", 0.1234, 0.5678, 0.9),))
    assert draw(table, width=27) == [
        "model            WQL  bias",
        "────────────  ──────  ────",
        "seasonal-nai  0.1234   0.9",
        "not shown: symmetric MAPE;",
        "use --json or a wider",
        "terminal",
    ]


def test_a_header_breaks_between_words_only() -> None:
    table = Table((Column("m"), Column("per million series", Kind.NUMBER)), (("a", 1.5),))
    assert draw(table, width=12) == [
        *("         per", "     million", "m     series", "─  ─────────", "a        1.5")
    ]


def test_a_row_whose_essential_columns_do_not_fit_becomes_a_block() -> None:
    columns = (*COLUMNS, Column("total bytes", Kind.COUNT, label="total bytes read"))
    table = Table(columns, ((KEY, 1_200_000, 0.93512, 10**12), ("b", 7, None, 1)))
    assert draw(table, width=44) == [
        "partition         forecasts/bo…ff3cb.parquet",
        "series            1,200,000",
        "MASE              0.9351",
        "total bytes read  1,000,000,000,000",
        "",
        "partition         b",
        "series            7",
        "total bytes read  1",
    ]


def test_a_number_beside_a_very_long_name_has_a_line_of_its_own() -> None:
    columns = (Column("a" * 30), Column("b" * 28, Kind.COUNT), Column("c", Kind.COUNT))
    assert draw(Table(columns, (("text", 10**9, 1),)), width=36) == [
        *("a" * 30, "  text", "b" * 28, "  1,000,000,000", "c", "  1")
    ]


def test_items_hang_below_their_first_word() -> None:
    items = Items((Item("one two three four", depth=1),))
    assert draw(items, width=12) == ["  one two", "    three", "    four"]


def test_text_is_wrapped_between_words_and_keys_stay_whole() -> None:
    lines = draw(
        KeyValues((Fact("output", KEY), Fact("data", "1.2 GB read, 380 MB written"))),
        Paragraph("broken here\nfor a file, and joined"),
        width=30,
    )
    assert lines == [
        f"output  {KEY}",
        "data    1.2 GB read, 380 MB",
        "        written",
        "broken here for a file, and",
        "joined",
    ]


def test_a_terminal_gets_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    show(Document((TABLE,), title="Run failed", tone=Tone.BAD), stream)
    assert "\x1b[1;31mRun failed\x1b[0m" in stream.getvalue()


def test_brackets_are_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    show(Document((Heading("[red]t"), Table((Column("[b]"),), (("[bold]x[/bold]",),)))), stream)
    assert "[bold]x[/bold]" in stream.getvalue()


@pytest.mark.parametrize(
    ("stream", "environment", "expected"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": ""}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    stream: io.StringIO, environment: dict[str, str], expected: bool
) -> None:
    assert is_rich(stream, environment) is expected


# -- shortening ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "width", "kind", "expected"),
    [
        ("too short", 9, Kind.TEXT, "too short"),
        ("too short a text", 10, Kind.TEXT, "too short…"),
        ("missing 12.34% above", 13, Kind.TEXT, "missing…"),
        ("2024/01/part-00042", 11, Kind.KEY, "2024/…00042"),
        ("漢字漢字漢字", 7, Kind.TEXT, "漢字漢…"),
        ("abc", 1, Kind.KEY, "…"),
    ],
)
def test_text_is_shortened_without_cutting_a_number(
    text: str, width: int, kind: Kind, expected: str
) -> None:
    assert shorten(text, width, kind) == expected


# -- tables of any shape ---------------------------------------------------------------------------

words = st.text("abcdefghijkLMN_%漢é", min_size=1, max_size=12) | st.text(
    "abc", min_size=30, max_size=58
)
headers = st.lists(words, min_size=1, max_size=3).map(" ".join)
numbers = {
    Kind.COUNT: st.integers(-(10**12), 10**12),
    Kind.NUMBER: st.floats(-1e12, 1e12) | st.none(),
    Kind.PERCENT: st.floats(0, 1),
    Kind.SIZE: st.integers(0, 10**15),
    Kind.DURATION: st.floats(0, 1e7),
    Kind.DOLLARS: st.floats(0, 1e7),
    Kind.DATE: st.datetimes().map(lambda when: when.isoformat()),
}
texts = st.text(st.characters(codec="utf-8", exclude_characters="─"), max_size=100)
kinds = st.sampled_from([*Kind])


@st.composite
def tables(draw_: st.DrawFn) -> Table:
    column = st.builds(Column, headers, kinds, st.integers(0, 3))
    columns = draw_(st.lists(column, min_size=1, max_size=12, unique_by=lambda c: c.name))
    row = st.tuples(*(numbers.get(column.kind, texts) for column in columns))
    return Table(tuple(columns), tuple(draw_(st.lists(row, max_size=4))))


@pytest.mark.parametrize("width", WIDTHS)
@settings(max_examples=50)
@given(table=tables())
def test_no_line_of_a_table_is_too_long_and_no_number_or_word_of_a_header_is_broken(
    width: int, table: Table
) -> None:
    check_table(table, width)


@pytest.mark.parametrize("width", WIDTHS)
@settings(max_examples=50)
@given(table=tables())
def test_only_optional_columns_are_left_out_the_least_important_first(
    width: int, table: Table
) -> None:
    hidden = left_out(table, "\n".join(draw(table, width=width)))
    priority = min((column.priority for column in hidden), default=4)
    assert priority > 0
    assert all(column.priority <= priority for column in table.columns if column not in hidden)


@pytest.mark.parametrize("width", WIDTHS)
@settings(max_examples=50)
@given(table=tables())
def test_a_table_that_fits_loses_nothing(width: int, table: Table) -> None:
    full_lines = draw(table)
    if max(map(text_width, full_lines)) <= width:
        assert [line.replace("─", "-") for line in draw(table, width=width)] == full_lines


@given(table=tables())
def test_a_pipe_gets_every_cell_whole(table: Table) -> None:
    text = "\n".join(draw(table))
    for row in table.rows:
        for cell, column in zip(row, table.columns, strict=True):
            assert printable(text_of(cell, column.kind)).replace("\n", " ").strip() in text
    assert "not shown" not in text


# -- safety ----------------------------------------------------------------------------------------

HOSTILE = "a\x1b[2J\x1b]0;title\x07b\x9b31mc\u202ed\ud800e\tf\rg"


def test_control_characters_are_shown_as_their_codes() -> None:
    assert printable(HOSTILE) == (r"a\x1b[2J\x1b]0;title\x07b\x9b31mc\u202ed\ud800e f\x0dg")


@given(text=st.text(max_size=50))
def test_printable_text_is_not_changed(text: str) -> None:
    cleaned = printable(text)
    assert cleaned == printable(cleaned)
    if text.isprintable():
        assert cleaned == text


def hostile_blocks() -> list[Block]:
    return [
        Heading(HOSTILE),
        Paragraph(HOSTILE),
        KeyValues((Fact(HOSTILE, HOSTILE),)),
        Items((Item(HOSTILE),)),
        Table((Column(HOSTILE),), ((HOSTILE,),), limit=0, rest=HOSTILE),
        Table((Column(HOSTILE, priority=1), Column("n")), ((HOSTILE, "a\nb"),)),
    ]


@pytest.mark.parametrize("width", [None, 20, 80])
@pytest.mark.parametrize("block", hostile_blocks(), ids=lambda block: type(block).__name__)
def test_no_block_lets_an_escape_sequence_through(width: int | None, block: Block) -> None:
    text = "\n".join(draw(block, width=width, title=HOSTILE))
    assert re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800]", text) is None


def test_a_line_to_people_is_one_line_without_escape_sequences(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say(f"{HOSTILE}\nfinished")
    say("wrong", err=True, tone=Tone.BAD)
    out, err = capsys.readouterr()
    assert out == printable(HOSTILE) + " finished\n"
    assert err == "wrong\n"


def test_an_id_that_the_terminal_cannot_encode_is_shown_by_its_codes() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    show(Document((Items.of(["Zürich"]),)), stream)
    stream.seek(0)
    assert stream.read() == "Z\\xfcrich\n"
