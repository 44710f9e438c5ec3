"""What is missing or out of date in a table of results, and the rows that mend it."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import pyarrow as pa
import pytest

from gigacast.errors import ConfigError, PreconditionFailedError, SchemaError, StorageError
from gigacast.lake.table import output
from gigacast.lake.table.address import TableAddress, TableTarget, TableWritten
from gigacast.lake.table.change import Change, check_keys
from gigacast.lake.table.output import ATTEMPTS, TableInput, table_type, write_table
from gigacast.storage.memory import MemoryStore
from gigacast.storage.parquet.writer import table_bytes
from gigacast.storage.store import StoreAddress


class FakeTable:
    """A table in memory, whose commits may lose to another program."""

    def __init__(self, present: Mapping[str, set[str]], losses: int = 0) -> None:
        self.present = dict(present)
        self.losses = losses
        self.changes: list[Change] = []
        self.rows: list[dict[str, Any]] = []

    def find(self, source: str) -> Mapping[str, set[str]]:
        assert source == "bucket/forecasts"
        return self.present

    def commit(self, change: Change) -> None:
        if self.losses:
            self.losses -= 1
            raise PreconditionFailedError("lost")
        self.changes.append(change)
        batches: Iterator[pa.RecordBatch] = change.batches(change.schema)
        self.rows = [row for batch in batches for row in batch.to_pylist()]


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> FakeTable:
    fake = FakeTable({})
    monkeypatch.setattr(output, "_open", lambda *_: fake)
    return fake


def put(store: MemoryStore, name: str, **columns: Any) -> TableInput:
    rows = pa.table(columns or {"item_id": [name], "target": [1.5]})
    store.put(f"{name}.parquet", table_bytes(rows))
    return TableInput(name, f"{name}-1", store.head(f"{name}.parquet"), rows.num_rows)


def write(
    store: MemoryStore, *inputs: TableInput, mode: Any = "replace", is_whole: bool = False
) -> TableWritten:
    target = TableTarget(StoreAddress("delta:///made"), mode)
    options = {"is_whole": True} if is_whole else {}
    return write_table(target, "bucket/forecasts", store, inputs, run_id="r", **options)


@pytest.mark.parametrize(
    ("present", "mode", "is_whole", "dropped", "coming"),
    [
        ({}, "replace", False, (), ("a", "b")),
        ({"a": {"a-1"}, "b": {"b-1"}}, "replace", False, None, None),
        ({"a": {"a-0"}, "b": {"b-1"}}, "replace", False, ("a",), ("a",)),
        ({"a": {"a-1", "a-0"}, "b": {"b-1"}}, "replace", False, ("a",), ("a",)),
        ({"a": {"a-1"}, "b": {"b-1"}, "c": {"c-1"}}, "replace", False, None, None),
        ({"a": {"a-1"}, "b": {"b-1"}, "c": {"c-1"}}, "replace", True, ("c",), ()),
        ({"a": {"a-0"}}, "append", True, (), ("a", "b")),
        ({"a": {"a-0", "a-1"}}, "append", False, (), ("b",)),
        ({"a": {"a-1"}, "b": {"b-0", "b-1"}}, "append", False, None, None),
    ],
)
def test_what_the_table_lacks_is_one_commit(
    table: FakeTable,
    present: dict[str, set[str]],
    mode: str,
    is_whole: bool,
    dropped: tuple[str, ...] | None,
    coming: tuple[str, ...] | None,
) -> None:
    table.present, store = present, MemoryStore(f"output-{mode}")
    written = write(store, put(store, "a"), put(store, "b"), mode=mode, is_whole=is_whole)
    if dropped is None or coming is None:
        assert (written.written, written.removed, table.changes) == (0, 0, [])
        return
    (change,) = table.changes
    assert (change.dropped, change.coming) == (dropped, coming)
    assert [row["gigacast_partition"] for row in table.rows] == list(coming)
    assert written.removed == len(set(dropped) - set(coming))
    assert (written.written, written.rows) == (len(coming), len(coming))


def test_rows_say_where_they_come_from(table: FakeTable) -> None:
    store = MemoryStore("output-rows")
    write(store, put(store, "a", item_id=["x"], small=pa.array([3], pa.int8())))
    assert table.rows == [
        {
            "item_id": "x",
            "small": 3,
            "gigacast_source": "bucket/forecasts",
            "gigacast_partition": "a",
            "gigacast_output": "a-1",
        }
    ]


def test_an_output_without_rows_needs_no_commit_but_removes_earlier_ones(table: FakeTable) -> None:
    store = MemoryStore("output-empty")
    empty = put(store, "a", item_id=pa.array([], pa.string()))
    assert (write(store, empty).written, table.changes) == (0, [])
    table.present = {"a": {"a-0"}}
    assert write(store, empty).removed == 1
    assert (table.changes[0].dropped, table.changes[0].coming, table.rows) == (("a",), (), [])


def test_a_lost_commit_is_compared_again_and_not_for_ever(table: FakeTable) -> None:
    store = MemoryStore("output-lost")
    table.losses = ATTEMPTS - 1
    assert write(store, put(store, "a")).written == 1
    table.losses = ATTEMPTS
    with pytest.raises(StorageError, match="changed by others"):
        write(store, put(store, "a"))


def test_columns_of_keys_and_of_other_tables_are_refused(table: FakeTable) -> None:
    store = MemoryStore("output-columns")
    with pytest.raises(SchemaError, match="own use"):
        write(store, put(store, "a", gigacast_source=["x"]))
    with pytest.raises(SchemaError, match="column 'b'"):
        write(store, put(store, "a", a=[1]), put(store, "b", b=[1]))
    with pytest.raises(SchemaError, match="cannot be int64"):
        write(store, put(store, "a", a=[1]), put(store, "b", a=["x"]))
    with pytest.raises(ConfigError, match="partitioned by day"):
        check_keys(["day"], "delta:///made")


@pytest.mark.parametrize(
    ("kind", "stored"),
    [
        (pa.dictionary(pa.int32(), pa.large_string()), pa.string()),
        (pa.timestamp("ns", "Europe/Berlin"), pa.timestamp("us", "UTC")),
        (pa.timestamp("s"), pa.timestamp("us")),
        (pa.uint16(), pa.int32()),
        (pa.uint32(), pa.int64()),
        (pa.float16(), pa.float32()),
        (pa.date64(), pa.date32()),
        (pa.large_list(pa.int8()), pa.list_(pa.int32())),
        (pa.null(), pa.string()),
        (pa.large_binary(), pa.binary()),
        (pa.bool_(), pa.bool_()),
    ],
)
def test_types_are_those_that_both_formats_have(kind: pa.DataType, stored: pa.DataType) -> None:
    assert table_type(kind) == stored


@pytest.mark.parametrize(
    ("url", "library", "name"),
    [
        ("delta:///made", "deltalake", "DeltaOutput"),
        ("iceberg://here/made.forecasts", "pyiceberg", "IcebergOutput"),
    ],
)
def test_a_table_is_written_by_the_library_of_its_kind(
    url: str, library: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(library)
    module = import_module(f"gigacast.lake.table.{name[:-6].lower()}_output")
    monkeypatch.setattr(module, name, lambda address, store: (name, address.kind))
    assert output._open(TableAddress.parse(url), StoreAddress(url)) == (name, name[:-6].lower())
