"""Order, gaps and outliers of many series at once, against a loop over each of them."""

from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gigacast.core.column import to_floats
from gigacast.core.series.batch import NO_TIME
from gigacast.core.time.frequency import Frequency
from gigacast.core.time.trading_calendar import Calendar
from gigacast.quality.columns import Expectation, arrange, arranged_rows, measure_keys
from gigacast.repair.narrow import fits_float32, narrow_column, narrowest_integer
from gigacast.repair.outlier import Fences, iqr_fences, zscore_fences
from gigacast.repair.quantile import segment_quantiles

MINUTE = 60_000_000
SEEDS = range(8)


def ragged(seed: int, max_rows: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, max_rows, rng.integers(1, 12))
    values = rng.normal(0, 10, lengths.sum()).round(1)
    return values, np.concatenate([[0], lengths.cumsum()])


@pytest.mark.parametrize("seed", SEEDS)
def test_quantiles_of_segments_equal_those_of_numpy(seed: int) -> None:
    values, offsets = ragged(seed)
    levels = (0.0, 0.25, 0.5, 0.9, 1.0)
    quantiles = segment_quantiles(values, offsets, levels)
    for row, (start, stop) in enumerate(pairwise(offsets)):
        if start == stop:
            assert np.isnan(quantiles[row]).all()
        else:
            assert quantiles[row] == pytest.approx(np.quantile(values[start:stop], levels))


def test_segments_of_one_length_are_selected_together() -> None:
    values = np.random.default_rng(0).normal(size=(50, 33))
    quantiles = segment_quantiles(values.ravel(), np.arange(51) * 33, (0.25, 0.75))
    assert quantiles == pytest.approx(np.quantile(values, (0.25, 0.75), axis=1).T)


def test_long_segments_are_selected_one_by_one() -> None:
    rng = np.random.default_rng(0)
    lengths = np.array([9000, 0, 5000, 1, 4097, 12_000])
    values, offsets = rng.normal(size=lengths.sum()).round(1), np.append(0, lengths.cumsum())
    quantiles = segment_quantiles(values, offsets, (0.25, 0.75))
    for row, (start, stop) in enumerate(pairwise(offsets)):
        if start < stop:
            assert quantiles[row] == pytest.approx(np.quantile(values[start:stop], (0.25, 0.75)))
    assert np.isnan(quantiles[1]).all()


def test_many_series_are_judged_as_each_alone() -> None:
    rng = np.random.default_rng(0)
    values, codes = rng.normal(size=1000), np.repeat(np.arange(200, dtype=np.int32), 5)
    fences = Fences(rng.normal(-1, 0.1, 200), rng.normal(1, 0.1, 200))
    expected = (values < fences.low[codes]) | (values > fences.high[codes])
    assert fences.beyond(values, codes).tolist() == expected.tolist()
    few = fences.beyond(values[:50], codes[:50])
    assert few.tolist() == expected[:50].tolist()
    assert fences.beyond(values[:0], None).tolist() == []


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("method", ["iqr", "zscore"])
def test_outliers_are_judged_within_each_series(seed: int, method: str) -> None:
    values, offsets = ragged(seed)
    values[np.random.default_rng(seed).random(len(values)) < 0.2] = np.nan
    codes = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    fences = (iqr_fences if method == "iqr" else zscore_fences)(values, offsets, 1.0)
    expected = np.zeros(len(values), bool)
    for code in range(len(offsets) - 1):
        own = values[codes == code]
        present = own[~np.isnan(own)]
        if not len(present):
            continue
        if method == "iqr":
            low, high = np.quantile(present, [0.25, 0.75])
            low, high = low - (high - low), high + (high - low)
        else:
            low, high = present.mean() - present.std(), present.mean() + present.std()
        if low < high:
            expected[codes == code] = (own < low) | (own > high)
    assert fences.beyond(values, codes).tolist() == expected.tolist()
    clipped = fences.clip(values, codes)
    assert not fences.beyond(clipped, codes).any()
    inside = ~expected & ~np.isnan(values)
    assert (clipped[inside] == values[inside]).all()


def test_a_constant_series_has_no_outliers() -> None:
    values = np.array([5.0] * 30 + [6.0])
    for make in (iqr_fences, zscore_fences):
        assert not make(values[:30], np.array([0, 30]), 3.0).beyond(values[:30], None).any()
    assert not iqr_fences(values, np.array([0, 31]), 3.0).beyond(values, None).any()


def slow_keys(codes: list[int], times: list[int]) -> dict[str, int]:
    """Count row by row and step by step."""
    rows = [(c, t) for c, t in zip(codes, times, strict=True) if c >= 0 and t != NO_TIME]
    last: dict[int, int] = {}
    unordered = 0
    for code, time in rows:
        unordered += code in last and time < last[code]
        last[code] = time
    missing = gaps = expected = 0
    for code in last:
        times_of_code = {time for c, time in rows if c == code}
        steps = range(min(times_of_code), max(times_of_code) + 1, MINUTE)
        absent = [step not in times_of_code for step in steps]
        missing += sum(absent)
        expected += len(absent)
        gaps += sum(now and not before for before, now in pairwise([False, *absent]))
    return {
        "rows": len(codes),
        "series": len(last),
        "null_keys": len(codes) - len(rows),
        "duplicates": sum(n - 1 for n in Counter(rows).values()),
        "unordered": unordered,
        "missing_steps": missing,
        "expected_steps": expected,
        "gaps": gaps,
    }


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["by series", "by time", "at random", "one series"])
def test_keys_are_measured_as_by_a_slow_loop(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    codes = np.sort(rng.integers(-1 if seed % 2 else 0, 4, 60))
    times = rng.integers(0, 40, 60) * MINUTE
    order = {"by series": np.lexsort((times, codes)), "by time": np.argsort(times, kind="stable")}
    chosen = order.get(kind, np.arange(60))
    codes, times = codes[chosen], times[chosen]
    times[rng.random(60) < 0.05] = NO_TIME
    if kind == "one series":
        codes[:] = 0
    arranged = arrange(None if kind == "one series" else codes, times)
    measured = measure_keys(arranged, Expectation(frequency=Frequency.parse("min")), None)
    expected = slow_keys(codes.tolist(), times.tolist())
    assert {name: getattr(measured, name) for name in expected} == expected
    assert measured.off_grid == 0


def test_the_longest_gap_is_named() -> None:
    codes = np.repeat([0, 1], 5)
    times = np.array([0, 1, 2, 5, 6, 0, 1, 9, 10, 11]) * MINUTE
    measured = measure_keys(arrange(codes, times), Expectation(), pa.array(["A", "B"]))
    assert measured.frequencies == {"min": 2}
    assert measured.longest_gap == {
        "series": "B",
        "after": datetime(1970, 1, 1, 0, 1, tzinfo=UTC).isoformat(),
        "steps": 7,
    }


def test_a_closed_market_is_no_gap() -> None:
    times = pd.bdate_range("2024-01-01", "2024-03-01").as_unit("us").asi8
    daily = Frequency.parse("D")
    always = measure_keys(arrange(None, times), Expectation(Calendar(), daily), None)
    weekdays = Expectation(Calendar.parse("weekdays"), daily)
    assert always.missing_steps == 16
    assert measure_keys(arrange(None, times), weekdays, None).missing_steps == 0
    without = np.delete(times, 10)
    assert measure_keys(arrange(None, without), weekdays, None).missing_steps == 1


@pytest.mark.parametrize("off", range(5))
def test_rows_off_the_grid_are_counted_wherever_they_are(off: int) -> None:
    times = np.array([0, 60, 120, 180, 240]) * 1_000_000
    times[off] += 1_000_000
    expect = Expectation(frequency=Frequency.parse("min"))
    measured = measure_keys(arrange(None, times), expect, None)
    assert (measured.off_grid, measured.missing_steps) == (1, 0)


def slow_off_grid(times: list[int]) -> int:
    """Count the rows off the grid of the first row and off that of the last; return the fewer."""
    off = [sum((time - anchor) % MINUTE != 0 for time in times) for anchor in times]
    return min(off[0], off[-1])


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_off_the_grid_are_counted_as_by_a_slow_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    series = [np.cumsum(rng.integers(1, 3, rng.integers(1, 30))) * MINUTE for _ in range(6)]
    for times in series[:4]:  # the others stay on it
        times[rng.random(len(times)) < 0.2] += 7_000_000
    codes = np.repeat(np.arange(6), [len(times) for times in series])
    expect = Expectation(frequency=Frequency.parse("min"))
    measured = measure_keys(arrange(codes, np.concatenate(series)), expect, None)
    assert measured.off_grid == sum(slow_off_grid(times.tolist()) for times in series)


def test_rows_in_order_are_arranged_without_sorting() -> None:
    codes = np.array([2, 2, 0, 0, 0, 5], np.int32)
    times = np.array([1, 2, 1, 3, 3, 0]) * MINUTE
    for own in (codes, None):
        present = times if own is not None else np.sort(times)
        actual, expected = arranged_rows(own, present), arrange(own, present)
        assert actual.codes.tolist() == expected.codes.tolist()
        assert actual.offsets.tolist() == expected.offsets.tolist()
        assert (actual.rows, actual.order, actual.in_order) == (expected.rows, expected.order, True)
    assert arranged_rows(None, np.empty(0, np.int64)).offsets.tolist() == [0]


def test_a_partition_without_rows_is_measured() -> None:
    measured = measure_keys(arrange(None, np.empty(0, np.int64)), Expectation(), None)
    assert (measured.rows, measured.series, measured.first) == (0, 0, None)


def test_rows_come_by_series_then_time_and_ties_stay_in_order() -> None:
    codes = np.array([1, 0, 1, 0, -1, 1])
    times = np.array([5, 3, 4, 3, 1, 5])
    arranged = arrange(codes, times)
    assert arranged.order.tolist() == [1, 3, 2, 0, 5]  # type: ignore[union-attr]
    assert not arranged.in_order
    assert arranged.repeated.tolist() == [False, True, False, False, True]


def test_contiguous_series_are_streamed_unless_they_must_ascend() -> None:
    codes, times = np.array([1, 1, 0, 0]), np.array([1, 2, 1, 2])
    assert arrange(codes, times).in_order
    assert arrange(codes, times, ascending=True).order.tolist() == [2, 3, 0, 1]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("values", "kind"),
    [([1, -128], pa.int8()), ([128], pa.int16()), ([1 << 20], pa.int32()), ([1 << 40], pa.int64())],
)
def test_integers_get_the_narrowest_type(values: list[int], kind: pa.DataType) -> None:
    column = pa.chunked_array([pa.array([*values, None], pa.int64())])
    assert narrowest_integer(column) == kind
    assert narrow_column(column.combine_chunks(), kind).to_pylist() == [*values, None]


def test_floats_are_narrowed_without_loss_or_to_a_tolerance() -> None:
    halves = np.arange(10_000) / 2
    assert fits_float32(np.append(halves, np.nan), 0.0)
    prices = np.append(halves, 1.1)
    assert not fits_float32(prices, 0.0)
    assert fits_float32(prices, 1e-7)
    assert not fits_float32(np.append(halves, 1e300), 0.1)


def test_floats_come_out_of_arrow_with_nan_for_null() -> None:
    column = pa.array([1.5, None, 2.5, None, float("nan")] * 5)
    for part in (column, column.slice(3, 9), column.slice(2, 1), column.slice(0, 0)):
        expected = part.to_numpy(zero_copy_only=False)
        assert np.array_equal(to_floats(part), expected, equal_nan=True)
