"""Parquet into a store."""

import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.errors import SchemaError, StorageError
from gigacast.storage.memory import MemoryStore, forget_memory
from gigacast.storage.parquet.read import open_object, read_table
from gigacast.storage.parquet.writer import ParquetSink, PublishedParquet
from tests.contract.store_backends import listed_keys
from tests.support.faulty_store import Fault, FaultyStore, SimulatedCrash

ROWS = 1000
TABLE = pa.table(
    {
        "item_id": [f"series-{i // 7}" for i in range(ROWS)],
        "timestamp": pa.array(np.arange(ROWS).astype("datetime64[us]")),
        "predictions": pa.array(np.random.default_rng(1).normal(size=ROWS).astype(np.float32)),
        "0.1": pa.array(np.random.default_rng(2).normal(size=ROWS).astype(np.float32)),
        "levels": pa.array([[float(i)] * (i % 3) for i in range(ROWS)]),
    }
)


@pytest.fixture
def store() -> MemoryStore:
    forget_memory("sink")
    return MemoryStore("sink")


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    path = tmp_path / "scratch"
    path.mkdir()
    return path


def write(store: MemoryStore, key: str, parts: list[pa.Table], **more: object) -> PublishedParquet:
    with ParquetSink(store, key, TABLE.schema, {"b": "2", "a": "1"}, **more) as sink:
        for part in parts:
            sink.write(part)
    assert sink.published is not None
    return sink.published


def test_written_rows_are_read_back_with_their_metadata(store: MemoryStore, scratch: Path) -> None:
    published = write(store, "a.parquet", [TABLE], scratch=scratch)
    meta = store.head("a.parquet")
    assert published == PublishedParquet("a.parquet", meta.etag, ROWS, meta.size_bytes)
    stored = read_table(store, "a.parquet")
    assert stored.replace_schema_metadata().equals(TABLE)
    assert stored.schema.metadata == {b"a": b"1", b"b": b"2"}
    assert list(scratch.iterdir()) == []


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, ROWS), max_size=8), st.sampled_from([70, 300, 1000, 5000]))
def test_equal_rows_are_equal_bytes_however_they_are_cut(cuts: list[int], group: int) -> None:
    store = MemoryStore("sink-cuts")
    edges = [0, *sorted(cuts), ROWS]
    parts = [TABLE.slice(a, b - a) for a, b in pairwise(edges)]
    cut = write(store, "cut", parts, row_group_rows=group)
    written = write(store, "whole", [TABLE], row_group_rows=group)
    assert store.get("cut") == store.get("whole")
    assert (cut.etag, cut.rows, cut.size_bytes) == (written.etag, written.rows, written.size_bytes)


def test_row_groups_have_the_requested_number_of_rows(store: MemoryStore) -> None:
    write(store, "a.parquet", [TABLE.slice(0, 450), TABLE.slice(450)], row_group_rows=400)
    with open_object(store, "a.parquet") as file:
        metadata = pq.read_metadata(file)
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert sizes == [400, 400, 200]


def test_a_sink_without_rows_writes_an_empty_table(store: MemoryStore) -> None:
    assert write(store, "a.parquet", []).rows == 0
    assert read_table(store, "a.parquet").num_rows == 0
    assert read_table(store, "a.parquet").schema.equals(TABLE.schema)


def test_record_batches_are_rows_too(store: MemoryStore) -> None:
    with ParquetSink(store, "a.parquet", TABLE.schema) as sink:
        for batch in TABLE.to_batches(300):
            sink.write(batch)
    assert read_table(store, "a.parquet").equals(TABLE)


@pytest.mark.parametrize("error", [RuntimeError, SimulatedCrash, KeyboardInterrupt])
def test_after_an_exception_nothing_is_visible_or_left(
    store: MemoryStore, scratch: Path, error: type[BaseException]
) -> None:
    sink = ParquetSink(store, "a.parquet", TABLE.schema, scratch=scratch, row_group_rows=100)

    def write_and_fail() -> None:
        with sink:
            sink.write(TABLE)
            raise error

    with pytest.raises(error):
        write_and_fail()
    assert sink.published is None
    assert listed_keys(store) == []
    assert list(scratch.iterdir()) == []


def test_after_a_failed_upload_nothing_is_left(scratch: Path) -> None:
    store = FaultyStore(MemoryStore("sink-upload"), [Fault(("put",))])
    with (
        pytest.raises(SimulatedCrash),
        ParquetSink(store, "a.parquet", TABLE.schema, scratch=scratch) as sink,
    ):
        sink.write(TABLE)
    assert sink.published is None
    assert list(scratch.iterdir()) == []


def test_rows_of_another_schema_are_refused(store: MemoryStore) -> None:
    with (
        pytest.raises(SchemaError, match=r"a\.parquet"),
        ParquetSink(store, "a.parquet", TABLE.schema) as sink,
    ):
        sink.write(TABLE.select(["item_id"]))
    assert listed_keys(store) == []


def test_a_missing_scratch_folder_is_named(store: MemoryStore, tmp_path: Path) -> None:
    sink = ParquetSink(store, "a.parquet", TABLE.schema, scratch=tmp_path / "missing")
    with pytest.raises(StorageError, match="missing"), sink:
        pass


def test_a_full_disk_is_named_and_nothing_is_left(scratch: Path) -> None:
    script = """
        import resource, signal, sys
        from pathlib import Path
        import numpy as np, pyarrow as pa
        from gigacast.errors import StorageError
        from gigacast.storage.memory import MemoryStore
        from gigacast.storage.parquet.writer import ParquetSink

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        table = pa.table({"x": np.random.default_rng(0).normal(size=50_000)})
        store, scratch = MemoryStore("full"), Path(sys.argv[1])
        sink = ParquetSink(store, "a", table.schema, scratch=scratch, row_group_rows=5000)
        try:
            with sink:
                sink.write(table)
        except StorageError as error:
            print(error)
        print(list(store.list()), list(scratch.iterdir()))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(scratch)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "cannot be written: File too large" in printed
    assert "free space" in printed
    assert printed.endswith("[] []\n")
