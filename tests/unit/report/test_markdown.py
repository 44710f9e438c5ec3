"""Documents as Markdown: whole, and safe from what data holds."""

from math import nan

from gigacast.report.document import (
    Block,
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
    Paragraph,
    Table,
)
from gigacast.report.markdown import render_markdown


def markdown(*blocks: Block) -> str:
    return render_markdown(Document(blocks))


def test_a_document_is_rendered_as_markdown() -> None:
    table = Table(
        (Column("model"), Column("WQL", Kind.NUMBER, priority=9), Column("wins", Kind.PERCENT)),
        (("a", 0.12345, 0.5), ("b", nan, None)),
        limit=1,
    )
    document = Document(
        (
            table,
            Heading("Notes"),
            Paragraph("One line\nand another."),
            KeyValues((Fact("rows", 1234, Kind.COUNT),)),
            Items((Item("first"), Item("below", depth=1))),
        ),
        title="Results",
    )
    assert render_markdown(document) == (
        """\
# Results

| model | WQL | wins |
| --- | ---: | ---: |
| a | 0.1235 | 50.00% |
| b |  |  |

## Notes

One line
and another.

- rows: 1,234

- first
  - below
"""
    )


def test_a_bar_or_a_line_break_in_a_cell_does_not_break_the_table() -> None:
    text = markdown(Table((Column("region"),), (("a|b\nc",),)))
    assert text.splitlines() == ["| region |", "| --- |", r"| a\|b c |"]


def test_escape_sequences_in_data_are_shown_and_not_stored() -> None:
    text = markdown(Heading("\x1b[2J"), Paragraph("\x07"), Items.of(["\x1b]0;x"]))
    assert "\x1b" not in text
    assert r"\x1b[2J" in text


def test_a_figure_is_a_table_of_its_values() -> None:
    curves = (
        Curve("context", "history", (1.0, nan)),
        Curve("80%", "band", (nan, 3.0), lower=(nan, 2.0)),
    )
    assert markdown(Figure("EURUSD", ("jan", "feb"), curves, border=1)).splitlines() == [
        "|  | context | 80% | 80% from |",
        "| --- | ---: | ---: | ---: |",
        "| jan | 1 |  |  |",
        "| feb |  | 3 | 2 |",
    ]
