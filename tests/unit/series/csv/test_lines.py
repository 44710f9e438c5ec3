"""Rows of CSV that a forgotten quote would take into a field, wherever in the file it stands."""

import io

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.errors import SchemaError
from gigacast.series.csv.dialect import CsvOptions
from gigacast.series.csv.line import CountedFile
from gigacast.series.csv.read import look_at, read_csv
from gigacast.series.csv.sniff import HEAD_BYTES

MANY = 2_500
"""Lines, more than the form of a file is found from."""


@given(
    st.lists(st.sampled_from(["a", "bc,d", "", "\r", "e\r", " ", '"']), max_size=12),
    st.booleans(),
    st.lists(st.integers(1, 4), min_size=1),
)
def test_lines_are_counted_however_the_file_is_read(
    lines: list[str], ends: bool, sizes: list[int]
) -> None:
    text = "\n".join(lines) + ("\n" if ends and lines else "")
    file = CountedFile(io.BytesIO(text.encode()))
    place = 0
    while file.read(sizes[place % len(sizes)]):
        place += 1
    assert file.lines == sum(bool(line.removesuffix("\r")) for line in text.split("\n"))


def lines_of(count: int = MANY) -> list[str]:
    return ["item_id,target,note", *(f"item {n:04},{n},n" for n in range(count))]


def rows_of(text: str, *, seekable: bool = True, columns: tuple[str, ...] = ("target",)) -> int:
    content = text.encode()
    file = io.BytesIO(content)
    file.seekable = lambda: seekable  # type: ignore[method-assign]
    form = look_at(io.BytesIO(content), content[:HEAD_BYTES], CsvOptions(), 1 << 20, "a.csv")
    assert form is not None
    types = dict.fromkeys(columns, pa.string())
    return sum(batch.num_rows for batch in read_csv(file, form, types, 1 << 20))


@pytest.mark.parametrize("columns", [("item_id", "target"), ("target",)])
@pytest.mark.parametrize("second", [1, 20])
def test_a_forgotten_quote_far_below_is_refused_with_its_line(
    columns: tuple[str, ...], second: int
) -> None:
    lines = lines_of()
    for place in (2_000, 2_000 + second):
        lines[place] = f'"{lines[place]}'
    with pytest.raises(SchemaError, match=f"a.csv: line {2_001 + second}: there is text behind"):
        rows_of("\n".join(lines), columns=columns)


def test_fields_with_line_breaks_may_begin_anywhere() -> None:
    lines = lines_of()
    lines[2_000] = lines[2_000].replace(",n", ',"first\nsecond"')
    assert rows_of("\n".join(lines)) == MANY
    with pytest.raises(SchemaError, match="some lines are within a field"):
        rows_of("\n".join(lines), seekable=False)


def test_inches_empty_lines_and_a_cut_last_line_are_no_forgotten_quotes() -> None:
    lines = lines_of()
    lines[1_900] = lines[1_900].replace("item", 'pipe 5"')
    assert rows_of("\n\n".join(lines)) == MANY
    assert rows_of("\r\n".join(lines) + "\r\n\r\n") == MANY
