"""Documents refuse what does not fit together."""

import pytest

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
    Table,
    Tone,
)


def test_a_row_needs_a_cell_for_every_column() -> None:
    with pytest.raises(ValueError, match="1 cells in a row of 2 columns"):
        Table((Column("a"), Column("b")), (("x",),))


@pytest.mark.parametrize("curve", [Curve("a", "history", (1.0,)), Curve("a", "band", (), (1.0,))])
def test_a_curve_needs_a_value_for_every_position(curve: Curve) -> None:
    with pytest.raises(ValueError, match="values of a at"):
        Figure("", ("1", "2"), (curve,))


def test_facts_without_a_value_are_left_out_and_zero_is_a_value() -> None:
    facts = KeyValues.of([("a", ""), ("b", None), ("c", 0), ("d", "x")]).facts
    assert facts == (Fact("c", 0), Fact("d", "x"))


def test_a_long_list_is_cut_and_counts_the_omitted_entries() -> None:
    items = Items.of(["a", "b", "c"], depth=1, limit=2).items
    assert items == (Item("a", 1), Item("b", 1), Item("... and 1 more", 1, Tone.QUIET))
    assert len(Items.of(["a", "b"], limit=2).items) == 2


def test_numbers_stand_on_the_right_unless_a_column_says_otherwise() -> None:
    assert [Column("", kind).side for kind in (Kind.KEY, Kind.DATE, Kind.SIZE)] == [
        *("left", "left", "right")
    ]
    assert Column("", Kind.TEXT, align="right").side == "right"


def test_a_figure_needs_a_place_for_every_label() -> None:
    with pytest.raises(ValueError, match="1 places for 2 labels"):
        Figure("", ("1", "2"), (), places=(0.0,))


def test_a_document_gives_its_figures_to_those_who_draw_them() -> None:
    first, second = (Figure(title, ("1",), ()) for title in "ab")
    assert Document((first, Heading("between"), second)).figures == (first, second)


def test_lists_without_entries_are_no_content() -> None:
    blocks = (Items(()), Heading("a"), KeyValues(()), Table((), ()))
    assert Document(blocks).content == (Heading("a"), Table((), ()))
