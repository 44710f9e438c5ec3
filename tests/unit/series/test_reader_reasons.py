"""Why a series cannot be forecast, and what is counted on the way."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gigacast.series.source import ReadStats
from tests.unit.series.reading import days, panel, read, reader_of

NAN, INF = np.nan, np.inf


def values_of(dates, values, **options) -> tuple:
    series = read(panel(a=(dates, values)), **options)["a", "target"]
    return series.values, series.reason


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3, 4], ((1, 2, 3, 4), "ok")),
        ([NAN, 2, NAN, 4], ((2, None, 4), "ok")),
        ([1, 2, NAN, NAN], ((1, 2, None, None), "ok")),
        ([NAN] * 4, ((), "all_null")),
        ([1, INF, 3, 4], ((1, None, 3, 4), "not_finite")),
        ([1, 2, 3, -INF], ((1, 2, 3, None), "not_finite")),
        ([INF] * 4, ((), "not_finite")),
        ([1, 2, 3.5e38, 4], ((1, 2, None, 4), "not_finite")),
        ([1, NAN, NAN, NAN], ((1, None, None, None), "too_short")),
    ],
)
def test_the_values_of_a_series_decide_its_reason(values, expected):
    assert values_of(days("2024-01-01", 4), values, min_length=2) == expected


def test_only_values_in_the_context_decide_the_reason():
    dates = days("2024-01-01", 5)
    assert values_of(dates, [INF, 1, 2, 3, 4], context_length=4) == ((1, 2, 3, 4), "ok")
    assert values_of(dates, [1, 2, NAN, NAN, NAN], context_length=3) == ((), "all_null")


def test_too_few_timestamps_have_no_frequency_unless_it_is_given():
    assert values_of(days("2024-01-01", 2), [1, 2]) == ((1, 2), "no_frequency")
    assert values_of(days("2024-01-01", 2), [1, 2], freq="D") == ((1, 2), "ok")
    assert values_of(days("2024-01-01", 1), [1], freq="MS") == ((1,), "ok")


def test_irregular_series_keep_their_last_values_in_the_order_of_time():
    dates = pd.DatetimeIndex(
        ["2024-01-09 07:31:07", "2024-01-01", "2024-01-01 00:00:13", "2024-01-02 05:00:01"]
    )
    assert values_of(dates, [4, 1, 2, 3]) == ((1, 2, 3, 4), "irregular")
    assert values_of(dates, [4, 1, 2, 3], context_length=2) == ((3, 4), "irregular")


def test_duplicates_are_averaged_without_nan_and_counted():
    dates = days("2024-01-01", 4).repeat([1, 3, 2, 1])
    table = panel(a=(dates, [1, 2, 6, NAN, NAN, NAN, 4]))
    reader = reader_of(table, duplicates="mean")
    (batch,) = reader
    np.testing.assert_array_equal(batch.values, np.float32([1, 4, NAN, 4]))
    assert reader.stats.duplicates == 3


def test_duplicates_are_averaged_to_the_same_bits_in_any_order():
    values = np.array([1e16, 1.0, -1e16, 3.14159, 2.71828, 1e-9])
    reasons = set()
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(6)
        dates = [*["2024-01-01"] * 6, "2024-01-02", "2024-01-03"]
        reasons.add(values_of(pd.to_datetime(dates), [*values[order], 1, 2], duplicates="mean")[0])
    assert len(reasons) == 1


def test_infinite_duplicates_do_not_cancel():
    dates = pd.to_datetime(["2024-01-01", "2024-01-02", "2024-01-02", "2024-01-03"])
    for policy in ("mean", "sum"):
        actual = values_of(dates, [1, INF, -INF, 3], duplicates=policy)
        assert actual == ((1, None, 3), "not_finite")


def test_gaps_become_nan_and_are_counted():
    reader = reader_of(panel(a=(days("2024-01-01", 9)[[0, 1, 2, 5, 8]], range(5))))
    (batch,) = reader
    np.testing.assert_array_equal(batch.values, np.float32([0, 1, 2, NAN, NAN, 3, NAN, NAN, 4]))
    assert reader.stats.gaps == 4


def test_a_gap_of_fifty_years_needs_no_memory():
    dates = days("1960-01-01", 100, "min").append(days("2024-01-01", 100, "min"))
    assert values_of(dates, range(200), context_length=50) == (tuple(range(150, 200)), "ok")


def test_points_off_a_given_grid_go_to_the_nearest_step_and_are_counted():
    dates = pd.to_datetime(
        ["2024-01-01 00:10", "2024-01-01 23:00", "2024-01-02 01:00", "2024-01-04 00:00"]
    )
    reader = reader_of(panel(a=(dates, [1, 2, 4, 8])), freq="D")
    (batch,) = reader
    np.testing.assert_array_equal(batch.values, np.float32([1, 3, NAN, 8]))
    assert (reader.stats.snapped, reader.stats.duplicates, reader.stats.gaps) == (3, 1, 1)


def test_rows_without_a_time_are_dropped_and_a_series_without_any_time_gets_that_reason():
    table = panel(a=(days("2024-01-01", 3), [1, 2, 3]), b=(days("2024-01-01", 2), [1, 2]))
    times = table["timestamp"].to_pylist()
    times[3:] = [None, None]
    rows = pa.table({"item_id": ["a", "a", "a", "b", "b", "a", None],
                     "target": [1.0, 2, 3, 4, 5, 6, 7],
                     "timestamp": pa.array([*times, None, None], pa.timestamp("us"))})  # fmt: skip
    reader = reader_of(rows)
    series = read(rows)
    assert series["a", "target"].values == (1, 2, 3)
    assert series["b", "target"].reason == "no_timestamp"
    assert series["b", "target"].last is None
    list(reader)
    assert reader.stats == ReadStats(
        rows=7,
        compared=3,
        bytes_read=rows.nbytes,
        series=2,
        null_items=1,
        null_timestamps=3,
        timed_rows=3,
        path="sorted_in_memory",
    )


def test_a_series_gets_the_first_reason_that_applies():
    assert values_of(days("2024-01-01", 2), [NAN, NAN])[1] == "no_frequency"
    assert values_of(days("2024-01-01", 3), [NAN, INF, NAN], min_length=9)[1] == "not_finite"
