"""Recognising what the columns of a table are."""

import pyarrow as pa
import pytest

from gigacast.errors import SchemaError
from gigacast.series.columns import Layout, recognise
from gigacast.series.source import ColumnNames

TYPES = {"s": pa.string(), "t": pa.timestamp("us"), "f": pa.float64(), "i": pa.int64()}
TYPES |= {"lf": pa.list_(pa.float32()), "lt": pa.list_(pa.timestamp("s")), "st": pa.struct([])}


def layout(columns: str, **named) -> Layout:
    pairs = (column.split(":") for column in columns.split())
    schema = pa.schema([(name, TYPES[kind]) for name, kind in pairs])
    return recognise(schema, ColumnNames(**named), "part.parquet")


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("item_id:s timestamp:t target:f", ("long", "item_id", "timestamp", ("target",))),
        ("unique_id:i ds:t y:i", ("long", "unique_id", "ds", ("y",))),
        ("timestamp:s value:f item_id:s", ("long", "item_id", "timestamp", ("value",))),
        ("Item_ID:s Date:t Value:f", ("long", "Item_ID", "Date", ("Value",))),
        ("symbol:s ds:t target_a:f target_b:f", ("long", "symbol", "ds", ("target_a", "target_b"))),
        ("ds:t target_b:f close:f target_a:f", ("wide", None, "ds", ("target_b", "target_a"))),
        ("ds:t target_bid:f target:f __index_level_0__:i", ("wide", None, "ds", ("target_bid",))),
        ("ds:t target_bid:f target_note:s", ("wide", None, "ds", ("target_bid",))),
        ("timestamp:t target:f", ("wide", None, "timestamp", ("target",))),
        ("timestamp:t date:s target:f", ("wide", None, "timestamp", ("target",))),
        ("item_id:s id:i ds:t target:f value:f", ("long", "item_id", "ds", ("target",))),
        ("item_id:s timestamp:lt target:lf", ("list", "item_id", "timestamp", ("target",))),
        ("item_id:s start:t target:lf", ("list", "item_id", "start", ("target",))),
        ("start:s target:lf", ("list", None, "start", ("target",))),
        ("target:f __index_level_0__:t", ("wide", None, "__index_level_0__", ("target",))),
        (":t y:f id:s", ("long", "id", "", ("y",))),
    ],
)  # fmt: skip
def test_the_usual_tables_are_recognised(columns, expected):
    assert layout(columns) == Layout(*expected)


def test_lists_may_state_their_frequency():
    assert layout("item_id:s start:t freq:s target:lf").freq == "freq"
    assert layout("item_id:s timestamp:lt freq:s target:lf").freq is None


def test_names_in_the_settings_win():
    columns = layout(
        "item_id:s timestamp:t target:f a:s b:t c:f", item_id="a", timestamp="b", targets=("c",)
    )
    assert columns == Layout("long", "a", "b", ("c",))


def test_all_columns_that_are_needed_are_read_and_no_others():
    assert layout("x:f item_id:s timestamp:t target:f").columns == [
        "item_id",
        "timestamp",
        "target",
    ]


@pytest.mark.parametrize(
    ("columns", "named", "says"),
    [
        ("item_id:s target:f", {}, ["no timestamp", "--timestamp_column", "item_id: string"]),
        ("item_id:s timestamp:t x:f", {}, ["no target", "--targets"]),
        ("item_id:s timestamp:t target:s", {}, ["cannot hold values", "target: string"]),
        ("item_id:s unique_id:s ds:t y:f", {}, ["item_id and unique_id", "--item_column"]),
        ("item_id:s timestamp:t ds:t target:f", {}, ["timestamp and ds", "--timestamp_column"]),
        ("item_id:s timestamp:t target:f y:f", {}, ["target and y", "--targets"]),
        ("item_id:s ds:t target:f target_a:f", {}, ["target and target_*", "--targets"]),
        ("item_id:s timestamp:t target:f", {"targets": ("sales",)}, ["no column 'sales'"]),
        ("item_id:s timestamp:t target:s", {"targets": ("target",)}, ["unusable type string"]),
        ("item_id:f timestamp:t target:f", {"item_id": "item_id"}, ["unusable type double"]),
        ("item_id:s timestamp:st target:f", {"timestamp": "timestamp"}, ["unusable type"]),
        ("item_id:s timestamp:t target_a:lf target_b:f", {}, ["some targets are lists"]),
        ("item_id:s target:lf", {}, ["neither timestamps nor a start"]),
        ("item_id:s ds:t y:f y:f", {"targets": ("y",)}, ["more than one column"]),
        ("", {}, ["the columns are none"]),
        ("date:t sales:f shop:s", {}, ["--targets sales (schema.target_columns)"]),
        ("date:t a:f b:i id:i", {}, ["(schema.target_columns), one or more of 'a', 'b'"]),
        ("Datum:t y:f", {}, ["--timestamp_column Datum (schema.datetime_column)"]),
        ("year:i y:f", {}, ["--timestamp_column year (schema.datetime_column)"]),
        ("__index_level_0__:i y:f", {}, ["by --timestamp_column (schema.datetime_column)"]),
        ("date:t Sales:f", {"targets": ("sales",)}, ["did you mean 'Sales'?"]),
        ("date:t rate:s", {"targets": ("rate",)}, ["write plain numbers"]),
        ("id:s 2024-01:f 2024-02:f 2024-03:f", {}, ["a row for each time", "pandas: melt"]),
        (" ".join(f"V{n}:f" for n in range(50)), {}, ["V19: double and 30 more"]),
    ],
)  # fmt: skip
def test_missing_and_ambiguous_columns_are_errors_with_the_columns_and_the_setting(
    columns, named, says
):
    with pytest.raises(SchemaError) as caught:
        layout(columns, **named)
    assert "part.parquet" in str(caught.value)
    for part in says:
        assert part in caught.value.text
