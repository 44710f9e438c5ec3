"""What a column says of each item, against plain dictionaries."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.backtesting.leaderboard.attribute import NONE, SEVERAL, read_attribute
from gigacast.errors import SchemaError
from gigacast.series.source import ColumnNames, SeriesSource

ROWS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["north", "south", None])), min_size=1
)


def source_of(table: pa.Table) -> SeriesSource:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return SeriesSource(lambda: io.BytesIO(buffer.getvalue()), "parquet", "part.parquet")


def panel(items, **columns) -> pa.Table:
    count = len(items)
    values = {"timestamp": list(range(count)), "target": [1.0] * count}
    return pa.table({"item_id": items, **values, **columns})


def read(*tables: pa.Table, column: str = "region") -> dict[object, str]:
    sources = [source_of(table) for table in tables]
    attributes = read_attribute(sources, ColumnNames(), column, item_id="alone")
    return dict(zip(attributes["item"].to_pylist(), attributes["label"].to_pylist(), strict=True))


def slow(rows) -> dict[str, str]:
    texts_of: dict[str, set[str]] = {}
    for item, label in rows:
        texts_of.setdefault(item, set()).update({label} if label else ())
    of_count = {0: lambda s: NONE, 1: lambda s: next(iter(s))}
    return {item: of_count.get(len(s), lambda s: SEVERAL)(s) for item, s in texts_of.items()}


@given(ROWS, ROWS)
def test_an_item_gets_the_label_that_all_its_rows_share(first, second):
    tables = [
        panel([item for item, _ in rows], region=pa.array([r for _, r in rows], pa.string()))
        for rows in (first, second)
    ]
    assert read(*tables) == slow([*first, *second])


def test_numbers_booleans_and_categories_are_text():
    table = panel(
        ["a", "b"], size=[1, 2], new=[True, False], kind=pa.array(["x", "y"]).dictionary_encode()
    )
    assert read(table, column="size") == {"a": "1", "b": "2"}
    assert read(table, column="new") == {"a": "true", "b": "false"}
    assert read(table, column="kind") == {"a": "x", "b": "y"}
    assert read(table, column="item_id") == {"a": "a", "b": "b"}


def test_a_table_without_ids_is_one_item():
    wide = pa.table({"ds": [1, 2], "target_close": [1.0, 2.0], "region": ["east", "east"]})
    assert read(wide) == {"alone": "east"}


def test_csv_gives_the_same_labels():
    text = b"item_id,timestamp,target,region\n001,1,2.0,north\n001,2,3.0,north\n2,1,1.0,\n"
    source = SeriesSource(lambda: io.BytesIO(text), "csv", "part.csv")
    attributes = read_attribute([source], ColumnNames(), "region", item_id="alone").to_pylist()
    expected = [{"item": "001", "label": "north"}, {"item": "2", "label": NONE}]
    assert sorted(attributes, key=lambda row: row["item"]) == expected


def test_a_missing_or_unreadable_label_column_is_named():
    table = panel(["a"], tags=[["x"]])
    with pytest.raises(SchemaError, match="no column 'region'") as caught:
        read(table)
    assert "tags" in str(caught.value.hint)
    with pytest.raises(SchemaError, match="column 'tags' of type list"):
        read(table, column="tags")
