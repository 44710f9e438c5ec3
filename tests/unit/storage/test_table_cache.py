"""The cache of rows: whole entries or none, within its limit, whoever shares it."""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gigacast.storage.parquet.table_cache import TableCache, entry_name
from gigacast.storage.store import ObjectMeta, StoreAddress

ROWS = pa.table({"x": np.arange(1000.0)})
ENTRY_BYTES = 8000
MB = 1 << 20


def name_of(etag: str = "e", columns: tuple[str, ...] = ("x",), url: str = "file:///a") -> str:
    return entry_name(StoreAddress(url), ObjectMeta("k", etag, 10, 0), [columns])


def test_stored_entries_are_returned_and_counted(tmp_path: Path) -> None:
    cache = TableCache(tmp_path / "rows", MB)
    assert cache.get(name_of()) is None
    cache.put(name_of(), ROWS)
    table = cache.get(name_of())
    assert table is not None
    assert table.equals(ROWS)
    assert (cache.stats.hits, cache.stats.misses, cache.stats.hit_rate) == (1, 1, 0.5)


def test_another_version_store_or_choice_of_columns_is_another_entry() -> None:
    names = [name_of(), name_of("f"), name_of(columns=("x", "y")), name_of(url="file:///b")]
    assert len(set(names)) == 4
    assert name_of() == name_of()


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "other"])
def test_a_damaged_entry_is_a_miss_and_is_removed(tmp_path: Path, damage: str) -> None:
    cache = TableCache(tmp_path, MB)
    cache.put(name_of(), ROWS)
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    broken = {"cut": content[:-100], "flipped": content, "emptied": b"", "other": b"x" * 500}
    path.write_bytes(broken[damage])
    assert cache.get(name_of()) is None
    assert cache.stats.damaged == 1
    assert list(tmp_path.iterdir()) == []


def test_the_least_recently_used_entry_is_removed_first(tmp_path: Path) -> None:
    cache = TableCache(tmp_path, 3 * (ENTRY_BYTES + 500))
    for age, etag in enumerate("abc"):
        cache.put(name_of(etag), ROWS)
        (path,) = tmp_path.glob(f"{name_of(etag)}*")
        os.utime(path, (age, age))
    assert cache.get(name_of("a")) is not None  # used just now
    cache.put(name_of("d"), ROWS)
    assert [cache.get(name_of(etag)) is not None for etag in "abcd"] == [True, False, True, True]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 3 * (ENTRY_BYTES + 500)
    assert cache.stats.evicted == 1


def test_an_entry_larger_than_the_cache_is_left_out(tmp_path: Path) -> None:
    cache = TableCache(tmp_path, 100)
    cache.put(name_of(), ROWS)
    assert list(tmp_path.iterdir()) == []


def test_files_of_killed_writers_are_removed_and_files_being_written_stay(tmp_path: Path) -> None:
    old, young = tmp_path / ".writing-old", tmp_path / ".writing-young"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    TableCache(tmp_path, MB).put(name_of(), ROWS)
    assert (old.exists(), young.exists()) == (False, True)


def test_a_folder_that_cannot_be_written_is_counted_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = TableCache(tmp_path / "file" / "rows", MB)
    cache.put(name_of(), ROWS)
    assert (cache.get(name_of()), cache.stats.failures) == (None, 1)


def churn(folder: Path, seed: int) -> int:
    """Get and put the same few entries again and again; return how many gets were wrong."""
    rng = np.random.default_rng(seed)
    cache, wrong = TableCache(folder, 4 * (ENTRY_BYTES + 500)), 0
    for number in rng.integers(0, 8, 60):
        table = cache.get(name_of(str(number)))
        wrong += table is not None and table["x"][0].as_py() != number
        cache.put(name_of(str(number)), pa.table({"x": np.arange(1000.0) + number}))
    return int(wrong) + cache.stats.damaged + cache.stats.failures


def test_processes_that_share_a_folder_never_see_half_an_entry(tmp_path: Path) -> None:
    with ProcessPoolExecutor(3, mp_context=get_context("forkserver")) as pool:
        assert list(pool.map(churn, [tmp_path] * 3, range(3))) == [0, 0, 0]
    TableCache(tmp_path, 4 * (ENTRY_BYTES + 500)).put(name_of("last"), ROWS)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 4 * (ENTRY_BYTES + 500)
