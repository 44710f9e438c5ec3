"""How much is read, and how many files at a time: counted at the store."""

import threading
from collections import Counter
from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from gigacast.core.partition.name import NamingPattern
from gigacast.lake.plan.discovery import Selection
from gigacast.parquet_loader.column import ColumnChoice
from gigacast.parquet_loader.discovery import FileDiscovery
from gigacast.parquet_loader.load import RowLoader
from gigacast.parquet_loader.request import LoadRequest, LoadResources
from gigacast.series.source import ColumnNames
from gigacast.storage.memory import MemoryStore
from tests.support.ticks import key_of, parquet

FEATURES = [f"feature_{n}" for n in range(10)]
ROWS = 20_000


class CountingStore(MemoryStore):
    """Counts the bytes that are read of each month, and how many reads are under way at once."""

    def __init__(self, name: str, together: int = 1) -> None:
        super().__init__(name)
        self.read: Counter[str] = Counter()
        self._together = threading.Barrier(together) if together > 1 else None
        self._met: set[str] = set()

    def get(self, key: str, **options: object) -> bytes:  # type: ignore[override]
        content = super().get(key, **options)  # type: ignore[arg-type]
        month = key[:7]
        if self._together is not None and "2014/0" in month and month not in self._met:
            self._met.add(month)
            if month != "2014/01":  # whose columns are looked at first, alone
                self._together.wait(timeout=20)
        self.read[month] += len(content)
        return content


def fill(store: CountingStore, months: int) -> None:
    rng = np.random.default_rng(0)
    for month in range(1, months + 1):
        times = np.datetime64(f"2014-{month:02d}-01", "us") + np.arange(ROWS) * 60_000_000
        columns = {name: rng.normal(size=ROWS) for name in ("target_close", *FEATURES)}
        table = pa.table({"ds": times, **columns})
        store.put(key_of(2014, month), parquet(table, row_group_size=2_000, use_dictionary=False))


def request_of(store: CountingStore, **request: object) -> LoadRequest:
    files = FileDiscovery(store, NamingPattern()).discover(Selection()).files
    choice = ColumnChoice(ColumnNames(None, "ds", ("target_close",)))
    return LoadRequest("SYMBOL", files, choice, **request)  # type: ignore[arg-type]


def size_of(store: CountingStore, month: int) -> int:
    return store.head(key_of(2014, month)).size_bytes


def test_columns_that_are_not_requested_are_not_read(request: pytest.FixtureRequest) -> None:
    store = CountingStore(request.node.name)
    fill(store, 2)
    load_request = request_of(store)
    store.read.clear()
    loaded = RowLoader(store, LoadResources()).load(load_request)
    assert len(loaded) == 2 * ROWS
    # Two of twelve columns, and a footer.
    assert sum(store.read.values()) < 0.25 * (size_of(store, 1) + size_of(store, 2))


def test_row_groups_that_are_too_old_are_not_read(request: pytest.FixtureRequest) -> None:
    store = CountingStore(request.node.name)
    fill(store, 2)
    late = datetime(2014, 2, 14, 18)  # noqa: DTZ001 - as stored; in the last of ten row groups
    load_request = request_of(store, since=late)
    store.read.clear()
    loaded = RowLoader(store, LoadResources()).load(load_request)
    assert 0 < len(loaded) < 2_000
    assert (loaded.stats.row_groups, loaded.stats.row_groups_skipped) == (20, 19)
    assert store.read["2014/02"] < 0.1 * size_of(store, 2)


def test_the_last_rows_are_read_from_the_end(request: pytest.FixtureRequest) -> None:
    store = CountingStore(request.node.name)
    fill(store, 1)
    load_request = request_of(store, last_rows=100)
    store.read.clear()
    loaded = RowLoader(store, LoadResources()).load(load_request)
    assert len(loaded) == 2_000
    assert store.read["2014/01"] < 0.1 * size_of(store, 1)


@pytest.mark.parametrize("workers", [2, 4])
def test_as_many_files_are_read_at_once_as_there_are_workers(
    request: pytest.FixtureRequest, workers: int
) -> None:
    # Each worker waits in its first read until all of them are in theirs.
    store = CountingStore(request.node.name, together=workers)
    fill(store, 1 + workers)
    load_request = request_of(store)
    loaded = RowLoader(store, LoadResources(workers=workers)).load(load_request)
    assert len(loaded) == (1 + workers) * ROWS


def test_the_number_of_workers_does_not_change_the_rows(request: pytest.FixtureRequest) -> None:
    store = CountingStore(request.node.name)
    fill(store, 5)
    load_request = request_of(store)
    single, many = (
        RowLoader(store, LoadResources(workers=n)).load(load_request).table for n in (1, 8)
    )
    assert single.equals(many)
