"""Parquet out of a store."""

import io
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gigacast.errors import (
    CorruptedFileError,
    ObjectNotFoundError,
    PreconditionFailedError,
    SchemaError,
    TransientStorageError,
)
from gigacast.storage.folder.store import FolderStore
from gigacast.storage.memory import MemoryStore, forget_memory
from gigacast.storage.parquet import read as parquet
from gigacast.storage.parquet.read import (
    open_object,
    open_parquet,
    read_batches,
    read_table,
    translated_parquet,
)
from gigacast.storage.store import Store
from tests.support.faulty_store import Fault, FaultyStore, transient


def example_table(rows: int = 5000) -> pa.Table:
    numbers = np.random.default_rng(7)
    return pa.table(
        {
            "item_id": [f"series-{i // 10}" for i in range(rows)],
            "step": pa.array(np.arange(rows)),
            "value": pa.array(numbers.normal(size=rows).astype(np.float32)),
            "levels": pa.array([[float(i), float(i + 1)] for i in range(rows)]),
        }
    )


TABLE = example_table()


def as_parquet(table: pa.Table = TABLE, rows: int = 1000) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=rows, write_page_checksum=True)
    return buffer.getvalue()


@pytest.fixture(params=["folder", "whole", "ranges"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    """Each way a file is opened: where it lies, fetched whole, or by ranges."""
    if request.param == "folder":
        yield FolderStore(tmp_path)
        return
    if request.param == "ranges":
        monkeypatch.setattr(parquet, "WHOLE_BYTES", 100)
    yield MemoryStore("parquet")
    forget_memory("parquet")


def test_a_table_is_read_completely_or_by_columns(store: Store) -> None:
    store.put("a.parquet", as_parquet())
    assert read_table(store, "a.parquet").equals(TABLE)
    some = read_table(store, store.head("a.parquet"), ["value", "step"])
    assert some.equals(TABLE.select(["value", "step"]))


def test_batches_are_the_rows_in_order_with_errors_of_the_store_kept(store: Store) -> None:
    store.put("a.parquet", as_parquet())
    batches = list(read_batches(store, "a.parquet", ["step"], batch_rows=300))
    assert max(batch.num_rows for batch in batches) == 300
    assert pa.Table.from_batches(batches).equals(TABLE.select(["step"]))


def test_large_row_groups_are_read_through_a_buffer(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_BYTES", 1000)
    monkeypatch.setattr(parquet, "BUFFER_BYTES", 4096)
    store.put("a.parquet", as_parquet(rows=5000))
    assert pa.Table.from_batches(read_batches(store, "a.parquet")).equals(TABLE)


def test_an_object_opens_as_a_file_for_pyarrow_and_people(store: Store) -> None:
    content = as_parquet()
    store.put("a.parquet", content)
    with open_object(store, "a.parquet") as file:
        assert pq.read_table(file).equals(TABLE)
    with open_object(store, store.head("a.parquet")) as file:
        assert file.read() == content


def test_an_empty_table_has_its_columns(store: Store) -> None:
    store.put("empty.parquet", as_parquet(TABLE.slice(0, 0)))
    assert read_table(store, "empty.parquet").equals(TABLE.slice(0, 0))
    assert sum(batch.num_rows for batch in read_batches(store, "empty.parquet")) == 0


def test_another_version_than_the_one_named_is_not_read(store: Store) -> None:
    store.put("a.parquet", as_parquet(TABLE.slice(0, 10)))
    listed = store.head("a.parquet")
    store.put("a.parquet", as_parquet())
    with pytest.raises(PreconditionFailedError):
        read_table(store, listed)
    with pytest.raises(PreconditionFailedError):
        read_table(store, "a.parquet", if_match=listed.etag)


def test_a_missing_object_is_not_found(store: Store) -> None:
    with pytest.raises(ObjectNotFoundError, match=r"missing\.parquet"):
        read_table(store, "missing.parquet")


def test_a_missing_column_is_named_with_the_existing_ones(store: Store) -> None:
    store.put("a.parquet", as_parquet())
    for read in (read_table, lambda *args: list(read_batches(*args))):
        with pytest.raises(SchemaError, match=r"a\.parquet has no column 'price'.*item_id"):
            read(store, "a.parquet", ["step", "price"])


GOOD = as_parquet()
BROKEN = {
    "empty": b"",
    "text": b"timestamp,value\n2014-01-01,1\n" * 50,
    "cut short": GOOD[: len(GOOD) // 2],
    "without its end": GOOD[:-1],
    "without its start": GOOD[len(GOOD) // 2 :],
    "only magic": b"PAR1PAR1",
    "zeros within": GOOD[:2000] + bytes(2000) + GOOD[4000:],
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_broken_bytes_are_a_corrupted_file_that_is_named(store: Store, broken: bytes) -> None:
    store.put("bad.parquet", broken)
    for read in (read_table, lambda *args: list(read_batches(*args))):
        with pytest.raises(CorruptedFileError, match=r"bad\.parquet") as raised:
            read(store, "bad.parquet")
        assert "\n" not in str(raised.value)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(position=st.integers(4, len(GOOD) - 9), flip=st.integers(1, 255))
def test_a_flipped_byte_is_never_another_kind_of_error(position: int, flip: int) -> None:
    damaged = bytearray(GOOD)
    damaged[position] ^= flip
    store = MemoryStore("flipped")
    store.put("bad.parquet", bytes(damaged))
    with suppress(CorruptedFileError):
        read_table(store, "bad.parquet")


def test_a_flipped_byte_of_the_data_is_found(store: Store) -> None:
    damaged = bytearray(GOOD)
    damaged[len(GOOD) // 2] ^= 1
    store.put("bad.parquet", bytes(damaged))
    with pytest.raises(CorruptedFileError):
        read_table(store, "bad.parquet")


def test_errors_of_the_store_pass_through_pyarrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "WHOLE_BYTES", 100)
    numbers = np.random.default_rng(7).normal(size=300_000)
    fault = Fault(("get",), nth=2, error=transient)
    store = FaultyStore(MemoryStore("parquet-faults"), [fault])
    store.put("a.parquet", as_parquet(pa.table({"n": numbers}), 100_000))
    with pytest.raises(TransientStorageError, match="injected"):
        read_table(store, "a.parquet")
    forget_memory("parquet-faults")


def test_a_listed_small_object_takes_one_request() -> None:
    store = FaultyStore(MemoryStore("parquet-count"))
    store.put("a.parquet", as_parquet())
    meta = store.head("a.parquet")
    store.counts.clear()
    read_table(store, meta)
    assert store.counts == {"get": 1}
    forget_memory("parquet-count")


def test_code_that_steps_through_a_file_has_its_errors_translated(store: Store) -> None:
    store.put("a.parquet", as_parquet())
    with open_parquet(store, "a.parquet") as file:
        assert file.num_row_groups == 5
        with pytest.raises(CorruptedFileError), translated_parquet(store, "a.parquet"):
            raise pa.ArrowInvalid("broken page")
        with pytest.raises(KeyError), translated_parquet(store, "a.parquet"):
            raise KeyError("the reader's own mistake")
