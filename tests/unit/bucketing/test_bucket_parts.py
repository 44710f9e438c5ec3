"""The task of a bucketing job: each row of an object is in the bucket of its item, in its order."""

import io
from dataclasses import replace
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.bucketing import partition
from gigacast.bucketing.partition import (
    BucketList,
    BucketPart,
    BucketSetup,
    BucketWriter,
    read_list,
)
from gigacast.core.partition.task import InputObject, Task
from gigacast.errors import CorruptedFileError, PreconditionFailedError, SchemaError
from gigacast.job.file_job import Reading, Sources
from gigacast.job.file_worker import FileOutput, FilePlaces
from gigacast.job.worker import Stopwatch
from gigacast.series.identity import hash_ids
from gigacast.series.source import ColumnNames
from gigacast.storage.memory import MemoryStore

KEY, LIST = "2024/01/part-0.parquet", "bucketing/bucketed/spec/2024/01/part-0.json"
BUCKETS = 4
NAMES = [f"item-{number}" for number in range(12)]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(str(uuid4()))


def rows_of(ids: pa.Array) -> pa.Table:
    moments = pa.array(range(len(ids)), pa.timestamp("us"))
    return pa.table({"item_id": ids, "timestamp": moments, "target": pa.array(range(len(ids)))})


def put(store: MemoryStore, table: pa.Table, key: str = KEY) -> Task:
    content = io.BytesIO()
    pq.write_table(table, content, row_group_size=7)
    return task_of(store, key, content.getvalue())


def task_of(store: MemoryStore, key: str, content: bytes, extension: Any = "parquet") -> Task:
    entry = InputObject(key, store.put(key, content), len(content), extension)
    return Task("2024/01/part-0", "2024-01", (entry,), 1, 0, "spec", LIST)


def divide(store: MemoryStore, task: Task, buckets: int = BUCKETS, **names: Any) -> FileOutput:
    reading = Reading(columns=ColumnNames(**names))
    places = FilePlaces(Sources(store.address), store.address, reading)
    setup = BucketSetup(places, buckets, "bucketed")
    writer = setup()
    assert isinstance(writer, BucketWriter)
    return writer.make(task, Stopwatch())


def parts_of(store: MemoryStore) -> dict[int, pa.Table]:
    keys = [entry.key for page in store.list("bucketed/") for entry in page]
    assert all(key.startswith("bucketed/2024/01/bucket=0") for key in keys)
    return {int(k.split("bucket=")[1][:2]): pq.read_table(io.BytesIO(store.get(k))) for k in keys}


def own_bucket(text: str, buckets: int = BUCKETS) -> int:
    (number,) = hash_ids(pa.array([text]))
    return int(number) % buckets


# -- rows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.dictionary(pa.int32(), pa.string()), pa.int64(), pa.int16()], ids=str
)
@pytest.mark.parametrize("batch", [1 << 18, 5])
def test_rows_are_in_the_bucket_of_their_item_in_their_order(
    kind: pa.DataType, batch: int, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "_BATCH_ROWS", batch)
    numbers = np.random.default_rng(0).integers(0, 12, 40)
    texts = [str(n) if pa.types.is_integer(kind) else NAMES[n] for n in numbers]
    ids = pa.array(texts).cast(kind) if pa.types.is_integer(kind) else pa.array(texts)
    table = rows_of(ids.dictionary_encode() if pa.types.is_dictionary(kind) else ids)
    output = divide(store, put(store, table))
    assert (output.rows, output.series, output.newest_timestamp) == (40, 0, None)
    parts = parts_of(store)
    assert set(parts) == {own_bucket(text) for text in texts}
    for bucket, part in parts.items():
        expected = [n for n, text in enumerate(texts) if own_bucket(text) == bucket]
        assert part["target"].to_pylist() == expected
        assert part.equals(table.take(expected).cast(part.schema))
        assert part.schema.names == table.schema.names
        assert part.schema.field("item_id").type == table.schema.field("item_id").type


def test_rows_without_an_item_are_in_the_first_bucket(store: MemoryStore) -> None:
    texts = [None if n % 3 == 0 else NAMES[n % 12] for n in range(30)]
    divide(store, put(store, rows_of(pa.array(texts))))
    for bucket, part in parts_of(store).items():
        expected = [n for n, t in enumerate(texts) if (0 if t is None else own_bucket(t)) == bucket]
        assert part["target"].to_pylist() == expected


def test_several_columns_are_an_item_together(store: MemoryStore) -> None:
    table = rows_of(pa.array(["a", "a", "b", "b"] * 5)).rename_columns(
        ["shop", "timestamp", "target"]
    )
    table = table.append_column("sku", pa.array([1, 2, 1, 2] * 5))
    divide(store, put(store, table), items=("shop", "sku"))
    for bucket, part in parts_of(store).items():
        pairs = zip(part["shop"].to_pylist(), part["sku"].to_pylist(), strict=True)
        assert {own_bucket(f"{shop}/{sku}") for shop, sku in pairs} == {bucket}
    assert sum(len(part) for part in parts_of(store).values()) == 20


def test_columns_and_metadata_of_an_object_are_those_of_its_parts(store: MemoryStore) -> None:
    table = rows_of(pa.array(NAMES)).append_column("note", pa.array(["x", "y"] * 6))
    table = table.replace_schema_metadata({"by": "somebody"})
    divide(store, put(store, table))
    for part in parts_of(store).values():
        assert part.schema.names == [*table.schema.names]
        assert part.schema.metadata[b"by"] == b"somebody"
    # Whether a column may be null is not copied: other bytes would be other objects.
    strict = pa.schema([field.with_nullable(False) for field in table.schema])
    divide(store, put(store, pa.table(table.columns, schema=strict)))
    assert all(field.nullable for part in parts_of(store).values() for field in part.schema)


@pytest.mark.parametrize(("buckets", "rows"), [(4, 5), (9, 3)])
def test_row_groups_share_the_rows_that_are_held(
    buckets: int, rows: int, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "_HELD_ROWS", 20)
    monkeypatch.setattr(partition, "_LEAST_GROUP_ROWS", 3)
    divide(store, put(store, rows_of(pa.array(["a"] * 20))), buckets)
    (key,) = [entry.key for page in store.list("bucketed/") for entry in page]
    metadata = pq.read_metadata(io.BytesIO(store.get(key)))
    assert metadata.row_group(0).num_rows == rows


# -- lists -----------------------------------------------------------------------------------------


def test_the_list_of_an_object_names_its_parts(store: MemoryStore) -> None:
    output = divide(store, put(store, rows_of(pa.array(NAMES))))
    meta = store.head(LIST)
    assert output.entry == {
        "key": LIST,
        "etag": meta.etag,
        "size_bytes": meta.size_bytes,
        "rows": len(parts_of(store)),
    }
    listed = read_list(store, LIST)
    assert listed is not None
    assert (listed.partition, listed.rows) == ("2024/01/part-0", 12)
    metas = [store.head(part.key) for part in listed.parts]
    assert [(m.etag, m.size_bytes) for m in metas] == [(p.etag, p.size_bytes) for p in listed.parts]
    assert [part.rows for part in listed.parts] == [
        len(p) for _, p in sorted(parts_of(store).items())
    ]
    assert sorted(part.key for part in listed.parts) == [part.key for part in listed.parts]


def test_the_stored_form_of_a_list_stays_what_it_is() -> None:
    # Other bytes would be another output: every object would be divided again.
    part = BucketPart("bucketed/2024/01/bucket=00/größe.parquet", "e", 2, 9)
    text = """{
 "partition": "2024/01/größe",
 "rows": 2,
 "parts": [
  {
   "key": "bucketed/2024/01/bucket=00/größe.parquet",
   "etag": "e",
   "rows": 2,
   "size_bytes": 9
  }
 ]
}"""
    assert BucketList("2024/01/größe", 2, (part,)).to_bytes().decode() == text


def test_what_a_changed_object_has_left_is_deleted_and_nothing_else(store: MemoryStore) -> None:
    divide(store, put(store, rows_of(pa.array(NAMES))))
    listed = read_list(store, LIST)
    assert listed is not None
    assert len(listed.parts) > 1
    # A list is anybody's: it must not name what is deleted.
    foreign = ["2024/01/part-9.parquet", "bucketed/2024/01/bucket=04/part-0.parquet"]
    for key in foreign:
        store.put(key, b"")
    more = [BucketPart(key, "", 0, 0) for key in foreign]
    store.put(LIST, replace(listed, parts=(*listed.parts, *more)).to_bytes())
    divide(store, put(store, rows_of(pa.array(["item-0"] * 3))))
    keys_after = {entry.key for page in store.list() for entry in page} - {KEY, LIST}
    own = f"bucketed/2024/01/bucket={own_bucket('item-0'):02d}/part-0.parquet"
    assert keys_after == {own, *foreign}


def test_the_last_bucket_is_the_objects_own_as_well(store: MemoryStore) -> None:
    names = {own_bucket(f"k{number}"): f"k{number}" for number in range(40)}
    last, first = names[BUCKETS - 1], names[0]
    for name in (last, first, last):
        divide(store, put(store, rows_of(pa.array([name]))))
        assert set(parts_of(store)) == {own_bucket(name)}


@pytest.mark.parametrize("content", [b"[", b"{}", b"[]"])
def test_a_damaged_list_is_refused_and_made_anew(content: bytes, store: MemoryStore) -> None:
    store.put(LIST, content)
    with pytest.raises(CorruptedFileError) as caught:
        read_list(store, LIST)
    assert "data bucket" in caught.value.hint
    divide(store, put(store, rows_of(pa.array(NAMES))))
    assert read_list(store, LIST) is not None
    assert read_list(store, "bucketing/none.json") is None


# -- what is refused -------------------------------------------------------------------------------


def test_an_object_that_is_no_parquet_or_has_no_items_is_refused(store: MemoryStore) -> None:
    csv = b"item_id,timestamp,target\na,2024-01-01,1\n"
    with pytest.raises(SchemaError, match="only Parquet is divided"):
        divide(store, task_of(store, "2024/01/part-0.csv", csv, "csv"))
    with pytest.raises(SchemaError, match="no column of item ids"):
        divide(store, put(store, rows_of(pa.array(NAMES)).drop_columns(["item_id"])))


def test_an_object_that_was_replaced_is_not_read(store: MemoryStore) -> None:
    task = put(store, rows_of(pa.array(NAMES)))
    put(store, rows_of(pa.array(NAMES[:2])))
    with pytest.raises(PreconditionFailedError):
        divide(store, task)


def test_an_object_without_rows_has_no_parts(store: MemoryStore) -> None:
    output = divide(store, put(store, rows_of(pa.array([], pa.string()))))
    assert (output.rows, parts_of(store)) == (0, {})
    listed = read_list(store, LIST)
    assert listed is not None
    assert (listed.rows, listed.parts) == (0, ())
