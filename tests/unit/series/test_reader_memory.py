"""Memory bounded by settings, and a disk left as it was."""

import io
import tracemalloc
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.errors import DataQualityError, SchemaError
from gigacast.series.identity import MAX_ID_BYTES
from gigacast.series.reader import read_series
from gigacast.series.source import ReadOptions, SeriesSource, fetched_once
from gigacast.storage.memory import MemoryStore
from gigacast.storage.parquet.read import open_object
from tests.support.faulty_store import FaultyStore
from tests.unit.series.reading import parquet, reader_of, series_of

DAY_US = 86_400_000_000


def long_table(items: int, points: int, *, shuffled: bool = False) -> pa.Table:
    codes = np.repeat(np.arange(items), points)
    days = np.tile(np.arange(points), items)
    order = np.random.default_rng(0).permutation(len(codes)) if shuffled else slice(None)
    names = pa.array([f"item-{n:06d}" for n in range(items)])
    return pa.table(
        {
            "item_id": names.take(pa.array(codes[order])),
            "timestamp": pa.array(days[order] * DAY_US).cast(pa.timestamp("us")),
            "target": pa.array((codes + days)[order].astype(np.float64)),
        }
    )


def peak_of(reader) -> tuple[int, int]:
    """Return the greatest number of bytes numpy and Arrow held together, and the series."""
    pool = pa.default_memory_pool()
    peak, series = 0, 0
    tracemalloc.start()
    try:
        before = pool.bytes_allocated()
        for batch in reader:
            series += len(batch)
            peak = max(peak, pool.bytes_allocated() - before)
        return peak + tracemalloc.get_traced_memory()[1], series
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("shuffled", "path"), [(False, "sorted"), (True, "spilled")])
def test_a_file_much_larger_than_the_limit_is_read_within_it(tmp_path, shuffled, path):
    table = long_table(8_000, 100, shuffled=shuffled)
    file = tmp_path / "part.parquet"
    pq.write_table(table, file, row_group_size=len(table))
    spill = tmp_path / "spill"
    spill.mkdir()
    limit = 6 << 20
    size = table.nbytes
    del table
    source = SeriesSource(lambda: pa.OSFile(str(file)), "parquet", "part")
    reader = reader_of(source, memory_limit_bytes=limit, batch_series=500, spill_dir=spill)
    peak, series = peak_of(reader)
    assert series == 8_000
    assert reader.stats.path == path
    assert size > 3 * limit
    assert peak < limit, f"{peak:,}"
    assert list(spill.iterdir()) == []


def test_one_series_longer_than_memory_streams_through(tmp_path):
    table = long_table(1, 400_000)
    file = tmp_path / "part.parquet"
    pq.write_table(table, file)
    source = SeriesSource(lambda: pa.OSFile(str(file)), "parquet", "part")
    reader = reader_of(source, memory_limit_bytes=4 << 20, context_length=100)
    peak, _ = peak_of(reader)
    assert peak < 6 << 20
    (batch,) = reader
    assert batch.values.tolist() == list(range(399_900, 400_000))


@pytest.mark.parametrize("sizes", [[1, 3], [300_000, 1]])
def test_the_number_of_rows_in_memory_does_not_change_a_long_series(sizes):
    table = long_table(1, 20_000)
    times = table["timestamp"].cast(pa.int64()).to_numpy().copy()
    times[:9_000:7] += 3  # strays that are too old to matter
    table = table.set_column(1, "timestamp", pa.array(times).cast(pa.timestamp("us")))
    order = np.random.default_rng(0).permutation(len(table))
    results = [
        series_of(
            reader_of(
                rows, context_length=50, batch_rows=batch_rows * 500, memory_limit_bytes=memory
            )
        )
        for rows in (table, table.take(pa.array(order)))
        for batch_rows in sizes
        for memory in (1, 10**9)
    ]
    assert all(result == results[0] for result in results)
    assert results[0]["item-000000", "target"].freq == "D"


@pytest.mark.parametrize("when", ["abandoned", "failed"])
def test_spilled_files_are_always_removed(tmp_path, when):
    reader = reader_of(
        parquet(long_table(300, 50, shuffled=True)),
        memory_limit_bytes=10_000, spill_dir=tmp_path, batch_series=1,
    )  # fmt: skip
    batches = iter(reader)
    next(batches)
    assert list(tmp_path.iterdir())
    if when == "failed":
        with pytest.raises(RuntimeError):
            batches.throw(RuntimeError)
    else:
        batches.close()
    assert list(tmp_path.iterdir()) == []


def test_spilling_and_sorting_in_memory_give_the_same_batches():
    content = parquet(long_table(200, 30, shuffled=True))
    in_memory, spilled = (
        list(reader_of(content, memory_limit_bytes=memory, batch_series=64))
        for memory in (10**9, 20_000)
    )
    assert [batch.item_ids for batch in in_memory] == [batch.item_ids for batch in spilled]
    assert [len(batch) for batch in in_memory] == [64, 64, 64, 8]
    for expected, actual in zip(in_memory, spilled, strict=True):
        np.testing.assert_array_equal(expected.values, actual.values)


def test_contiguous_items_keep_their_order():
    table = long_table(3, 5)
    swapped = pa.concat_tables([table.slice(10, 5), table.slice(0, 10)])
    reader = reader_of(swapped, batch_rows=4)
    ids = [item for batch in reader for item in batch.item_ids.to_pylist()]
    assert ids == ["item-000002", "item-000000", "item-000001"]
    assert reader.stats.path == "sorted"


@pytest.mark.parametrize("shuffled", [False, True])
def test_more_rows_of_one_instant_than_fit_into_memory_are_refused_within_it(tmp_path, shuffled):
    count = 600_000
    table = pa.table(
        {
            "item_id": pa.array(["calm", "crowded"] if shuffled else ["crowded", "crowded"]).take(
                pa.array(np.arange(count) % 3 > 0).cast(pa.int8())
            ),
            "timestamp": pa.array(np.zeros(count, np.int64)).cast(pa.timestamp("us")),
            "target": pa.array(np.arange(count, dtype=np.float64)),
        }
    )
    file = tmp_path / "part.parquet"
    pq.write_table(table, file)
    limit = 2 << 20
    source = SeriesSource(lambda: pa.OSFile(str(file)), "parquet", "part")
    # With a policy: without, so many rows that conflict are refused as such.
    reader = reader_of(
        source,
        memory_limit_bytes=limit,
        context_length=10,
        spill_dir=tmp_path,
        duplicates="mean",
    )
    pool = pa.default_memory_pool()
    before = pool.bytes_allocated()
    tracemalloc.start()
    try:
        with pytest.raises(DataQualityError, match=r"has [\d,]+ rows at 1 times") as caught:
            list(reader)
        assert pool.bytes_allocated() - before < 16 * limit
        assert tracemalloc.get_traced_memory()[1] < 32 * limit
    finally:
        tracemalloc.stop()
    assert "--memory_limit" in caught.value.hint


def test_many_rows_of_one_instant_that_fit_are_one_step():
    times = np.repeat(np.arange(3), 1000) * DAY_US
    table = pa.table(
        {
            "item_id": ["a"] * 3000,
            "timestamp": pa.array(times).cast(pa.timestamp("us")),
            "target": np.ones(3000),
        }
    )
    reader = reader_of(table, context_length=10, duplicates="sum")
    assert list(series_of(reader)["a", "target"].values) == [1000.0] * 3


@pytest.mark.parametrize("coded", [False, True])
def test_an_id_as_long_as_a_file_is_refused_before_it_is_copied(coded):
    ids = pa.array(["short", "x" * (5 << 20)])
    table = pa.table(
        {
            "item_id": ids.dictionary_encode() if coded else ids,
            "timestamp": pa.array([0, 1]).cast(pa.timestamp("us")),
            "target": [1.0, 2.0],
        }
    )
    with pytest.raises(SchemaError, match="an item id of 5,242,880 bytes") as caught:
        list(reader_of(parquet(table)))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("options", [{}, {"use_dictionary": False}, {"compression": "none"}])
def test_an_id_far_beyond_the_memory_is_refused_by_the_header_of_its_page(options):
    size = 40 << 20
    table = pa.table(
        {
            "item_id": ["short", "x" * size],
            "timestamp": pa.array([0, 1]).cast(pa.timestamp("us")),
            "target": [1.0, 2.0],
        }
    )
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    del table
    former = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(former)
    pa.set_memory_pool(pool)
    try:
        with pytest.raises(SchemaError, match=r"a page of texts takes 41,9[\d,]+ bytes") as caught:
            list(reader_of(file.getvalue(), memory_limit_bytes=8 << 20))
        assert pool.max_memory() < 1 << 20
    finally:
        pa.set_memory_pool(former)
    assert "--memory_limit" in caught.value.hint


def test_an_id_of_the_greatest_length_is_read():
    table = pa.table(
        {
            "item_id": ["x" * MAX_ID_BYTES] * 2,
            "timestamp": pa.array([0, DAY_US]).cast(pa.timestamp("us")),
            "target": [1.0, 2.0],
        }
    )
    (batch,) = reader_of(table)
    assert len(batch.item_ids[0].as_py()) == MAX_ID_BYTES


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_small_object_is_fetched_once_for_all_passes(shuffled):
    store = FaultyStore(MemoryStore("fetches"))
    for part in range(3):
        store.put(f"{part}.parquet", parquet_bytes(long_table(5, 10, shuffled=shuffled)))
    sources = [
        SeriesSource(partial(open_object, store, entry), "parquet", entry.key, primary=True)
        for page in store.list()
        for entry in page
    ]
    reader = read_series(sources, ReadOptions())
    first = list(reader)
    assert store.counts["get"] == 3
    assert sum(map(len, first)) == 5


def test_an_object_that_does_not_fit_is_fetched_for_each_pass():
    content = parquet_bytes(long_table(5, 10))
    opened = []

    def opening():
        opened.append(1)
        return io.BytesIO(content)

    (kept,) = fetched_once([SeriesSource(opening, "parquet", "x")], len(content))
    (not_kept,) = fetched_once([SeriesSource(opening, "parquet", "x")], len(content) - 1)
    assert [kept.open().read() for _ in range(3)] == [content] * 3
    assert len(opened) == 1
    assert [not_kept.open().read() for _ in range(3)] == [content] * 3
    assert len(opened) == 4


def parquet_bytes(table: pa.Table) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue()
