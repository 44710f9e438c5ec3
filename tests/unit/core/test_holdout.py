"""Series cut at an origin, against plain slices."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.core.series.batch import NO_TIME, SeriesBatch
from gigacast.core.series.holdout import end_before, hold_out
from gigacast.core.time.frequency import Frequency

NAN = float("nan")
DAY_US = 86_400_000_000
DAILY, MONTHLY = Frequency.parse("D"), Frequency.parse("MS")
lists = st.lists(st.sampled_from([1.0, 2.0, -3.0, NAN]), max_size=9)


def batch_of(series, frequencies=(DAILY,), codes=None, last=None, kind=None) -> SeriesBatch:
    count = len(series)
    return SeriesBatch(
        item_ids=pa.array([f"i{n}" for n in range(count)], pa.string()),
        target_names=pa.array(["target"] * count, pa.string()),
        values=np.array([v for values in series for v in values], np.float32),
        offsets=np.cumsum([0, *map(len, series)]),
        last_timestamps=np.array([100 * DAY_US] * count if last is None else last, np.int64),
        frequencies=frequencies,
        frequency_codes=np.array([0] * count if codes is None else codes, np.int64),
        reasons=np.zeros(count, np.int8),
        timestamp_type=kind or pa.timestamp("us"),
    )


@given(st.lists(lists, max_size=6), st.integers(1, 3), st.integers(0, 3))
def test_contexts_and_actuals_are_the_slices_before_and_after_the_origin(series, horizon, later):
    expected = []
    for n, values in enumerate(series):
        origin = len(values) - horizon - later
        past, future = values[: max(0, origin)], values[origin : origin + horizon]
        if origin > 0 and not np.isnan(past).all() and not np.isnan(future).all():
            expected.append((n, past, future))
    holdout = hold_out(batch_of(series), horizon, later=later)
    assert holdout.rows.tolist() == [n for n, _, _ in expected]
    assert holdout.contexts.item_ids.to_pylist() == [f"i{n}" for n, _, _ in expected]
    for context, actual, (_, past, future) in zip(
        holdout.contexts, holdout.actuals, expected, strict=True
    ):
        np.testing.assert_array_equal(context, np.array(past, np.float32))
        np.testing.assert_array_equal(actual, np.array(future, np.float32))


def test_contexts_end_at_the_origin_in_time_too():
    january = int(np.datetime64("2024-01-01", "us").astype(np.int64))
    may = int(np.datetime64("2024-05-01", "us").astype(np.int64))
    series = batch_of([[1.0] * 9] * 2, (DAILY, MONTHLY), [0, 1], [january, may])
    holdout = hold_out(series, 2, later=1)
    assert [str(t) for t in holdout.contexts.last_arrow().to_pylist()] == [
        "2023-12-29 00:00:00",
        "2024-02-01 00:00:00",
    ]
    after = holdout.contexts.future_arrow(3).to_pylist()
    assert str(after[2]) == "2024-01-01 00:00:00"
    assert str(after[5]) == "2024-05-01 00:00:00"


def test_hours_follow_utc_and_days_follow_wall_time_when_the_clock_changes():
    zone = pa.timestamp("us", "Europe/Berlin")
    last = int(np.datetime64("2024-03-31T04:00", "us").astype(np.int64))
    series = batch_of([[1.0] * 4] * 2, (Frequency.parse("h"), DAILY), [0, 1], [last] * 2, zone)
    ends = [t.isoformat() for t in hold_out(series, 2).contexts.last_arrow().to_pylist()]
    assert ends == ["2024-03-31T01:00:00+01:00", "2024-03-29T04:00:00+01:00"]


def test_a_series_without_a_frequency_has_no_time_at_its_origin():
    holdout = hold_out(batch_of([[1.0, 2.0, 3.0]], codes=[-1]), 1)
    assert holdout.contexts.last_timestamps.tolist() == [NO_TIME]


@pytest.mark.parametrize("later", [0, 2])
def test_nothing_after_the_origin_reaches_the_context(later):
    rng = np.random.default_rng(0)
    series = [list(rng.normal(size=12)) for _ in range(4)]
    changed = [[*values[: 12 - 3 - later], *rng.normal(size=3 + later)] for values in series]
    before, after = (hold_out(batch_of(s), 3, later=later).contexts for s in (series, changed))
    np.testing.assert_array_equal(before.values, after.values)


@given(st.lists(lists, max_size=6), st.integers(0, 5))
def test_series_that_end_earlier_are_slices_of_the_series(series, steps):
    shorter = end_before(batch_of(series), steps)
    assert len(shorter) == len(series)
    for n, values in enumerate(shorter):
        expected = series[n][: max(0, len(series[n]) - steps)]
        np.testing.assert_array_equal(values, np.array(expected, np.float32))
        assert shorter.last_timestamps[n] == (100 - min(steps, len(series[n]))) * DAY_US
