"""Columns in unusual Arrow types have the same values as plain types."""

from decimal import Decimal

import pyarrow as pa
import pytest

from gigacast.core.plain import plain_batch, plain_kind, plain_schema, plain_table

ENDS = pa.array([1, 3, 4], pa.int32())
FORMS = {
    "views of texts": (pa.array(["a", None, "b"], pa.string_view()), pa.string()),
    "views of bytes": (pa.array([b"a", None], pa.binary_view()), pa.binary()),
    "booleans of eight bits": (
        pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, None, 0], pa.int8())),
        pa.bool_(),
    ),
    "short decimals": (
        pa.array([Decimal(1), None], pa.decimal64(18, 0)),
        pa.decimal128(18, 0),
    ),
    "runs of texts": (
        pa.RunEndEncodedArray.from_arrays(ENDS, pa.array(["a", None, "b"])),
        pa.string(),
    ),
    "runs of views": (
        pa.RunEndEncodedArray.from_arrays(ENDS, pa.array(["a", None, "b"], pa.string_view())),
        pa.string(),
    ),
    "views of lists": (
        pa.array([[1], None, [], [2, 3]], pa.list_view(pa.int64())),
        pa.list_(pa.int64()),
    ),
    "large views of lists": (
        pa.array([[1], None, [2, 3]], pa.large_list_view(pa.int64())),
        pa.large_list(pa.int64()),
    ),
    "lists of views": (
        pa.array([["a"], None, ["b", None]], pa.list_(pa.string_view())),
        pa.list_(pa.string()),
    ),
    "dictionaries of views": (
        pa.DictionaryArray.from_arrays(
            pa.array([1, None, 0], pa.uint32()), pa.array(["a", "b"], pa.string_view())
        ),
        pa.dictionary(pa.int32(), pa.string()),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_values_stay_and_types_become_plain(name: str) -> None:
    column, kind = FORMS[name]
    batch = pa.RecordBatch.from_arrays([column], ["x"])
    table = pa.Table.from_batches([batch, batch.slice(1)])
    expected = column.to_pylist()
    assert plain_kind(column.type) == kind
    assert plain_schema(batch.schema).types == [kind]
    assert plain_batch(batch).schema.types == [kind]
    assert plain_batch(batch)["x"].to_pylist() == expected
    assert plain_batch(batch.slice(1))["x"].to_pylist() == expected[1:]
    assert plain_table(table)["x"].type == kind
    assert plain_table(table)["x"].to_pylist() == expected + expected[1:]


@pytest.mark.parametrize(
    "kind",
    [
        *(pa.string(), pa.large_string(), pa.int8(), pa.float16(), pa.bool_(), pa.uuid()),
        *(pa.list_(pa.int64()), pa.list_(pa.int64(), 3), pa.dictionary(pa.int8(), pa.string())),
        *(pa.decimal128(10, 2), pa.decimal256(50, 2), pa.timestamp("us", "UTC"), pa.null()),
    ],
    ids=str,
)
def test_a_plain_type_is_not_touched(kind: pa.DataType) -> None:
    schema = pa.schema([("x", kind)], {"a": "b"})
    assert plain_kind(kind) is kind
    assert plain_schema(schema) is schema
    empty = schema.empty_table()
    assert plain_table(empty) is empty


def test_views_that_overlap_or_are_out_of_order_are_read_row_by_row() -> None:
    starts, sizes = pa.array([2, 0, 1], pa.int32()), pa.array([1, 2, 2], pa.int32())
    column = pa.ListViewArray.from_arrays(starts, sizes, pa.array([10, 20, 30]))
    assert column.to_pylist() == [[30], [10, 20], [20, 30]]
    plain = plain_batch(pa.RecordBatch.from_arrays([column], ["x"]))["x"]
    assert plain.to_pylist() == [[30], [10, 20], [20, 30]]
