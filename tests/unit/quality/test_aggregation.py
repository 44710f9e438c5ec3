"""A partition aggregated into calendar bins, compared with pandas' resample."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from gigacast.core.partition.task import InputObject, Task
from gigacast.core.time.frequency import Frequency
from gigacast.errors import SchemaError
from gigacast.job.file_job import Reading
from gigacast.quality.aggregation import Binned, Binning, aggregate_partition
from gigacast.quality.file import open_partition
from gigacast.storage.memory import MemoryStore
from tests.support.bars import parquet_bytes

HOWS = ["sum", "mean", "last", "first", "min", "max", "count"]
ZONES = [None, "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]
STARTS = ["2023-03-20 05:00", "2023-10-20 13:00"]


def binned(frame: pd.DataFrame, alias: str, operation: str = "sum", **more: Any) -> Binned:
    """Aggregate the rows of one file."""
    store = MemoryStore("bins")
    etag = store.put("2024/01/a.parquet", content := parquet_bytes(frame))
    entry = InputObject("2024/01/a.parquet", etag, len(content), "parquet")
    task = Task("2024/01/a", "2024-01", (entry,), 1, 0, "spec", "out")
    reading = Reading(zone=more.pop("zone", None))
    binning = Binning(operation, Frequency.parse(alias), **more)  # type: ignore[arg-type]
    with open_partition(store, task, reading) as file:
        return aggregate_partition(store, file, reading, binning)


def bins(frame: pd.DataFrame, alias: str, operation: str = "sum", **more: Any) -> pd.Series:
    actual = binned(frame, alias, operation, **{"partial": "keep", **more}).file.table()
    times = pd.DatetimeIndex(actual.column("timestamp").to_pandas())
    values = actual.column("target").to_numpy(zero_copy_only=False).astype(float)
    return pd.Series(values, times.tz_convert("UTC"))


def rows(start: str, count: int, zone: str | None, step: str = "h") -> pd.DataFrame:
    """Return rows of one series, a tenth of them missing a value."""
    first = pd.Timestamp(start)
    if zone is not None:
        first = first.tz_localize(zone, nonexistent="shift_forward")
    times = pd.date_range(first, periods=count, freq=step)
    random = np.random.default_rng(count)
    values = random.normal(10, 3, count).astype(np.float64)
    values[random.random(count) < 0.1] = np.nan
    return pd.DataFrame({"timestamp": times, "target": values})


def by_pandas(frame: pd.DataFrame, alias: str, operation: str, **options: Any) -> pd.Series:
    """Return the bins that have rows."""
    groups = frame.set_index("timestamp")["target"].resample(alias, **options)
    values = groups.sum(min_count=1) if operation == "sum" else getattr(groups, operation)()
    values = values[groups.size() > 0].astype(float)
    index = pd.DatetimeIndex(values.index)
    utc = index.tz_localize("UTC") if index.tz is None else index.tz_convert("UTC")
    return pd.Series(values.to_numpy(), utc)


def same(actual: pd.Series, expected: pd.Series) -> None:
    assert actual.index.tolist() == expected.index.tolist()
    np.testing.assert_allclose(actual.to_numpy(), expected.to_numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(
    "alias", ["D", "W", "W-MON", "W-SAT", "B", "MS", "ME", "QS-FEB", "QE-NOV", "YS-APR", "YE-MAR"]
)
def test_days_and_longer_bins_are_those_of_pandas_over_nights_of_clock_changes(
    alias: str, zone: str | None
) -> None:
    for start in STARTS:
        frame = rows(start, 24 * 45, zone)
        for operation in HOWS:
            same(bins(frame, alias, operation), by_pandas(frame, alias, operation))


@pytest.mark.parametrize("zone", [None, "Europe/Berlin", "America/New_York"])
@pytest.mark.parametrize("alias", ["30min", "h", "2h", "6h"])
def test_shorter_bins_are_those_of_pandas_from_midnight_of_standard_time(
    alias: str, zone: str | None
) -> None:
    winter = pd.Timestamp("2023-01-01", tz=zone)
    for start in ("2023-03-11", "2023-03-25", "2023-10-28", "2023-11-04 17:15"):
        frame = rows(start, 4 * 24 * 3, zone, "15min")
        for operation in HOWS:
            same(bins(frame, alias, operation), by_pandas(frame, alias, operation, origin=winter))


@pytest.mark.parametrize("alias", ["D", "W-WED", "ME"])
def test_a_named_zone_cuts_moments_and_is_that_of_wall_times(alias: str) -> None:
    local = rows("2023-10-20", 24 * 30, "Europe/Berlin")
    moments = local.assign(timestamp=local["timestamp"].dt.tz_convert("UTC"))
    wall = local.assign(timestamp=local["timestamp"].dt.tz_localize(None))
    expected = by_pandas(local, alias, "sum")
    for frame in (moments, wall):
        same(bins(frame, alias, zone="Europe/Berlin"), expected)


@pytest.mark.parametrize(
    ("start", "count", "first", "last"),
    [
        ("2024-01-01", 28, True, True),  # Monday to Sunday
        ("2024-01-02", 27, False, True),
        ("2024-01-01", 27, True, False),
        ("2024-01-07", 9, False, False),  # from a Sunday to a Monday
        ("2024-01-03", 3, False, False),
    ],
)
def test_first_and_last_bins_stay_where_rows_cover_them(
    start: str, count: int, *, first: bool, last: bool
) -> None:
    frame = rows(start, count, None, "D").assign(target=1.0)
    every = by_pandas(frame, "W", "sum")
    expected = every.iloc[0 if first else 1 :]
    expected = expected if last or expected.empty else expected.iloc[:-1]
    same(bins(frame, "W", partial="drop"), expected)
    lost = binned(frame, "W").lost
    assert (lost.rows, lost.carried) == (count, 0)
    assert lost.partial_bins == len(every) - len(expected)
    assert lost.partial_rows == count - int(expected.sum())


def test_duplicates_are_dropped_before_and_counted_with_rows_out_of_order() -> None:
    frame = rows("2024-01-01", 14, None, "D").assign(target=1.0)
    again = frame.iloc[[3]].assign(target=9.0)
    frame = pd.concat([frame.iloc[1:], again, frame.iloc[:1]], ignore_index=True)
    frame.loc[len(frame)] = [pd.NaT, 5.0]
    for duplicates, total in (("last", 7 + 8), ("first", 7), ("keep", 7 + 9)):
        actual = bins(frame, "W", duplicates=duplicates)
        assert actual.tolist() == [total, 7.0]
        lost = binned(frame, "W", duplicates=duplicates).lost
        assert (lost.rows, lost.null_keys, lost.unordered) == (16, 1, 2)
        assert lost.duplicates == (0 if duplicates == "keep" else 1)


def test_texts_and_marks_get_the_last_value_of_their_bin() -> None:
    frame = rows("2024-01-01", 14, None, "D")
    frame["city"] = [*"abcdef", None, *"ghijklm"]
    actual = binned(frame, "W", "sum").file.table().to_pandas()
    assert actual["city"].tolist() == ["f", "m"]


def test_a_bin_without_rows_is_left_out_but_counts_none() -> None:
    frame = rows("2024-01-01", 22, None, "D").assign(target=1.0, city="Rome")
    frame = pd.concat([frame.iloc[:8], frame.iloc[21:]])
    frame["timestamp"] = pd.to_datetime(frame["timestamp"])
    assert bins(frame, "W").tolist() == [7.0, 1.0, 1.0]
    actual = binned(frame, "W", "count", partial="keep").file.table().to_pandas()
    assert actual["target"].tolist() == [7, 1, 0, 1]
    assert actual["timestamp"].dt.day.tolist() == [7, 14, 21, 28]
    assert actual["city"].isna().tolist() == [False, False, True, False]


def test_a_count_of_rows_long_ago_makes_no_endless_bins() -> None:
    times = [pd.Timestamp("1700-01-01"), *pd.date_range("2024-01-01", periods=3, freq="s")]
    frame = pd.DataFrame({"timestamp": times, "target": 1.0})
    with pytest.raises(SchemaError, match="memory limit"):
        binned(frame, "min", "count", partial="keep")


def test_plain_steps_are_aggregated_in_multiples() -> None:
    frame = pd.DataFrame({"timestamp": range(3, 20), "target": 1.0})
    actual = binned(frame, "5", partial="keep").file.table().to_pydict()
    assert actual["timestamp"] == [0, 5, 10, 15]
    assert actual["target"] == [2.0, 5.0, 5.0, 5.0]


@pytest.mark.parametrize(
    ("alias", "step", "cause"),
    [("D", "W", "finer than that of the rows"), ("5", "D", "do not fit the bins of 5")],
)
def test_bins_that_rows_do_not_fit_are_refused(alias: str, step: str, cause: str) -> None:
    with pytest.raises(SchemaError, match=cause):
        binned(rows("2024-01-01", 20, None, step), alias)
