"""The last rows of a file: the row groups that hold them, and all where that is not sure."""

import io
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.storage.memory import MemoryStore
from gigacast.storage.parquet.scan import ScanStats
from gigacast.storage.parquet.tail import read_tail


def put(times: list[object], rows: int = 10, **options: object) -> MemoryStore:
    store = MemoryStore("tail", "")
    buffer = io.BytesIO()
    table = pa.table({"t": times, "x": list(range(len(times))), "y": list(range(len(times)))})
    pq.write_table(table, buffer, row_group_size=rows, **options)
    store.put("a.parquet", buffer.getvalue())
    return store


@pytest.mark.parametrize(("rows", "groups"), [(1, 1), (10, 1), (11, 2), (40, 4), (99, 4)])
def test_only_the_row_groups_needed_are_read(rows: int, groups: int) -> None:
    store, stats = put([datetime(2014, 1, 1, hour // 10, hour) for hour in range(40)]), ScanStats()  # noqa: DTZ001
    table = read_tail(store, store.head("a.parquet"), ["x", "none"], "t", rows, stats)
    assert table.to_pydict() == {"x": list(range(40 - 10 * groups, 40))}
    assert (stats.row_groups, stats.row_groups_skipped) == (4, 4 - groups)


@pytest.mark.parametrize(
    "times",
    [
        [39 - n for n in range(40)],  # backwards: the latest come first
        [n % 10 for n in range(40)],  # each group spans all
        [f"{n}.1.2014" for n in range(40)],  # text need not sort as time does
        [f"2014-01-01 {n % 24:02d}:00+0{n // 24}:00" for n in range(40)],  # nor do zones
        [*(f"2014-01-0{n // 10 + 1} 1{n % 10}:00" for n in range(39)), "2014-01-04T05:00"],
        [None] * 40,
    ],
)
def test_all_rows_are_read_if_the_order_is_uncertain(times: list[object]) -> None:
    store = put(times)
    assert read_tail(store, store.head("a.parquet"), ["x"], "t", 5).num_rows == 40


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S.%f"])
def test_iso_dates_of_one_form_sort_as_time_does(form: str) -> None:
    days = [datetime(2014, 1 + n // 20, 1 + n % 20, n % 24).strftime(form) for n in range(40)]  # noqa: DTZ001
    store = put(days)
    table = read_tail(store, store.head("a.parquet"), ["x"], "t", 5)
    assert table["x"].to_pylist() == list(range(30, 40))


def test_all_is_read_without_statistics() -> None:
    store = put(list(range(40)), write_statistics=False)
    assert read_tail(store, store.head("a.parquet"), ["x"], "t", 5).num_rows == 40
