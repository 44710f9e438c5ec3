"""Lags, averages that remember, indicators, volatility and profiles, beside loops over rows."""

from itertools import pairwise

import numpy as np
import pytest

from gigacast.feature_sets.kernel.indicator import convergence, relative_strength
from gigacast.feature_sets.kernel.profile import volume_profile
from gigacast.feature_sets.kernel.recurrence import exponential_mean, recurrence, wilder_mean
from gigacast.feature_sets.kernel.shift import (
    difference,
    lag,
    log_return,
    relative_spread,
    simple_return,
)
from gigacast.feature_sets.kernel.volatility import ESTIMATORS, Bars
from tests.unit.feature_sets.panel import Int, Real, offsets_of, walk

NAN = np.nan


def per_item(values: Real, offsets: Int) -> list[Real]:
    return [values[a:b] for a, b in pairwise(offsets)]


# -- back in time ----------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 3, 100, -2])
def test_a_lag_is_the_value_some_rows_earlier_in_the_same_item(steps: int) -> None:
    values, offsets = walk(0), offsets_of()
    slow = []
    for part in per_item(values, offsets):
        for row in range(len(part)):
            before = row - steps
            slow.append(part[before] if 0 <= before < len(part) else NAN)
    np.testing.assert_array_equal(lag(values, offsets, steps), slow)


def test_differences_are_taken_again_for_a_higher_order() -> None:
    values, offsets = np.array([1.0, 4.0, 9.0, 16.0, 25.0, 7.0, 8.0]), np.array([0, 5, 7])
    first, second = (difference(values, offsets, order) for order in (1, 2))
    np.testing.assert_array_equal(first, [NAN, 3, 5, 7, 9, NAN, 1])
    np.testing.assert_array_equal(second, [NAN, NAN, 2, 2, 2, NAN, NAN])


def test_returns_from_zero_or_below_are_missing() -> None:
    values, offsets = np.array([0.0, 2.0, -1.0, 4.0, 8.0]), np.array([0, 5])
    np.testing.assert_array_equal(simple_return(values, offsets), [NAN, NAN, -1.5, -5, 1])
    expected = [NAN, NAN, NAN, NAN, np.log(2)]
    np.testing.assert_array_equal(log_return(values, offsets), expected)


def test_a_spread_is_relative_to_the_middle_of_the_quote() -> None:
    spread = relative_spread(np.array([99.0, -1.0]), np.array([101.0, 1.0]))
    np.testing.assert_array_equal(spread, [0.02, NAN])


# -- averages that remember ------------------------------------------------------------------------


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99, 1.0])
def test_a_recurrence_over_blocks_equals_a_loop(decay: float) -> None:
    lengths = (0, 1, 31, 32, 33, 1100, 5)
    values, offsets = walk(1, lengths, missing=0), offsets_of(lengths)
    slow = []
    for part in per_item(values, offsets):
        y = 0.0
        for value in part:
            y = value + decay * y
            slow.append(y)
    np.testing.assert_allclose(recurrence(values, offsets, decay), slow, rtol=1e-11)


@pytest.mark.parametrize("span", [1, 2, 12, 50])
def test_an_exponential_mean_starts_at_the_first_value(span: int) -> None:
    values, offsets = walk(2), offsets_of()
    slow = []
    for part in per_item(values, offsets):
        mean, count = None, 0
        for value in part:
            if np.isnan(value):
                slow.append(NAN)
                continue
            weight = 2 / (span + 1)
            mean = value if mean is None else weight * value + (1 - weight) * mean
            count += 1
            slow.append(mean if count >= span else NAN)
    np.testing.assert_allclose(exponential_mean(values, offsets, span), slow, rtol=1e-11)


def slow_wilder(part: list[float], window: int) -> list[float]:
    expected, window_values = [], []
    mean = NAN
    for value in part:
        if np.isnan(value):
            expected.append(NAN)
            continue
        window_values.append(value)
        if len(window_values) == window:
            mean = sum(window_values) / window
        elif len(window_values) > window:
            mean = (mean * (window - 1) + value) / window
        expected.append(mean if len(window_values) >= window else NAN)
    return expected


@pytest.mark.parametrize("window", [1, 3, 14])
def test_wilders_mean_starts_at_the_mean_of_a_window(window: int) -> None:
    values, offsets = walk(3), offsets_of()
    slow = [v for part in per_item(values, offsets) for v in slow_wilder(list(part), window)]
    np.testing.assert_allclose(wilder_mean(values, offsets, window), slow, rtol=1e-11)


# -- indicators ------------------------------------------------------------------------------------


def test_the_relative_strength_index_equals_wilders_loop() -> None:
    values, offsets = walk(4, missing=0.05), offsets_of()
    slow = []
    for part in per_item(values, offsets):
        moves = [NAN, *np.diff(part)][: len(part)]
        gain = slow_wilder([max(m, 0) if not np.isnan(m) else NAN for m in moves], 5)
        loss = slow_wilder([max(-m, 0) if not np.isnan(m) else NAN for m in moves], 5)
        slow += [100 - 100 / (1 + g / f) if f else NAN for g, f in zip(gain, loss, strict=True)]
    actual = relative_strength(values, offsets, 5)
    np.testing.assert_allclose(actual, np.where(np.isnan(actual), NAN, slow), rtol=1e-9)
    assert np.isnan(actual).sum() == np.isnan(slow).sum()


def test_wilders_own_example_gives_his_index() -> None:
    # The closes of the widely reprinted table (StockCharts, "RSI"), with its first two results.
    text = """44.3389 44.0902 44.1497 43.6124 44.3278 44.8264 45.0955 45.4245 45.8433 46.0826
    45.8931 46.0328 45.6140 46.2820 46.2820 46.0028"""
    closes = np.array([float(number) for number in text.split()])
    actual = relative_strength(closes, np.array([0, len(closes)]), 14)
    np.testing.assert_allclose(actual[-2:], [70.53, 66.32], atol=0.01)


def test_relative_strength_is_100_for_rises_0_for_falls_and_50_for_constants() -> None:
    line, offsets = np.arange(30.0), np.array([0, 30])
    assert set(relative_strength(line, offsets, 5)[5:]) == {100.0}
    assert set(relative_strength(-line, offsets, 5)[5:]) == {0.0}
    assert set(relative_strength(line * 0, offsets, 5)[5:]) == {50.0}


def test_the_macd_is_the_fast_minus_the_slow_average_and_its_own_average() -> None:
    values, offsets = walk(5, (100,), missing=0), np.array([0, 100])
    actual = convergence(values, offsets, 3, 8, 4)
    expected = exponential_mean(values, offsets, 3) - exponential_mean(values, offsets, 8)
    np.testing.assert_allclose(actual.line, expected)
    np.testing.assert_allclose(actual.histogram, actual.line - actual.signal)
    starts = [int(np.flatnonzero(~np.isnan(row))[0]) for row in actual]
    assert starts == [7, 10, 10]


# -- volatility ------------------------------------------------------------------------------------


def bars_of(seed: int, rows: int = 60) -> Bars:
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(rng.normal(0, 0.01, rows).cumsum())
    first = np.append(100.0, close[:-1]) * np.exp(rng.normal(0, 0.003, rows))
    high = np.maximum(first, close) * np.exp(rng.exponential(0.004, rows))
    low = np.minimum(first, close) * np.exp(-rng.exponential(0.004, rows))
    return Bars(first, high, low, close)


def slow_volatility(bars: Bars, estimator: str, row: int, window: int) -> float:
    rows = range(row - window + 1, row + 1)
    o, h, lo, c = (np.log(prices) for prices in bars)
    moves = [c[i] - c[i - 1] for i in rows]
    rs = [(h[i] - c[i]) * (h[i] - o[i]) + (lo[i] - c[i]) * (lo[i] - o[i]) for i in rows]
    match estimator:
        case "realised":
            return float(np.sqrt(np.mean(np.square(moves))))
        case "close_to_close":
            return float(np.std(moves, ddof=1))
        case "parkinson":
            return float(np.sqrt(np.mean([(h[i] - lo[i]) ** 2 for i in rows]) / (4 * np.log(2))))
        case "garman_klass":
            k = 2 * np.log(2) - 1
            terms = [0.5 * (h[i] - lo[i]) ** 2 - k * (c[i] - o[i]) ** 2 for i in rows]
            return float(np.sqrt(np.mean(terms)))
        case "rogers_satchell":
            return float(np.sqrt(np.mean(rs)))
    overnight = np.var([o[i] - c[i - 1] for i in rows], ddof=1)
    intraday = np.var([c[i] - o[i] for i in rows], ddof=1)
    k = 0.34 / (1.34 + (window + 1) / (window - 1))
    return float(np.sqrt(overnight + k * intraday + (1 - k) * np.mean(rs)))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_an_estimator_of_volatility_equals_its_formula(estimator: str) -> None:
    bars, offsets, window = bars_of(0), np.array([0, 60]), 10
    actual = ESTIMATORS[estimator](bars, offsets, window)
    expected = [slow_volatility(bars, estimator, row, window) for row in range(10, 60)]
    np.testing.assert_allclose(actual[10:], expected, rtol=1e-9)
    assert np.isnan(actual[:9]).all()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_estimators_find_the_volatility_that_prices_were_made_with(estimator: str) -> None:
    rng = np.random.default_rng(0)
    steps = rng.normal(0, 0.02 / 20, (400, 400)).cumsum(axis=1)  # days of 400 steps
    start = np.append(0, steps[:-1, -1].cumsum())[:, None]
    path = np.exp(start + steps)
    opening = np.exp(start[:, 0])
    bars = Bars(opening, np.maximum(path.max(axis=1), opening), path.min(axis=1), path[:, -1])
    bars = bars._replace(low=np.minimum(bars.low, opening))
    actual = ESTIMATORS[estimator](bars, np.array([0, 400]), 390)[-1]
    assert actual == pytest.approx(0.02, rel=0.1)


# -- volume profiles -------------------------------------------------------------------------------


def slow_profile(price: Real, volume: Real, bins: int, share: float) -> list[float]:
    low, high = price.min(), price.max()
    width = (high - low) / bins
    volumes = [0.0] * bins
    for p, v in zip(price, volume, strict=True):
        volumes[min(bins - 1, int((p - low) / width)) if width else 0] += v
    peak = volumes.index(max(volumes))
    first = last = peak
    while sum(volumes[first : last + 1]) < share * sum(volumes) * (1 - 1e-12):
        below = volumes[first - 1] if first > 0 else -1
        above = volumes[last + 1] if last < bins - 1 else -1
        if above >= below:
            last += 1
        else:
            first -= 1
    vwap = sum(p * v for p, v in zip(price, volume, strict=True)) / sum(volume)
    ends = [low + (peak + 0.5) * width, low + (last + 1) * width, low + first * width]
    return [vwap, *ends, sum(volume)]


@pytest.mark.parametrize("share", [0.1, 0.7, 1.0])
@pytest.mark.parametrize("bins", [1, 5, 24])
def test_a_volume_profile_equals_that_of_a_loop_over_windows(bins: int, share: float) -> None:
    rng = np.random.default_rng(bins)
    lengths, window = (3, 40, 12, 25), 12
    price, offsets = np.round(walk(0, lengths, missing=0), 1), offsets_of(lengths)
    volume = rng.integers(0, 9, len(price)).astype(float)
    actual = np.array(volume_profile(price, volume, offsets, window, bins, share)).T
    for a, b in pairwise(offsets):
        for row in range(a, b):
            if row - a + 1 < window:
                assert np.isnan(actual[row]).all()
                continue
            rows = slice(row - window + 1, row + 1)
            expected = slow_profile(price[rows], volume[rows], bins, share)
            np.testing.assert_allclose(actual[row], expected, rtol=1e-12)


def test_windows_without_volume_or_with_holes_have_no_profile() -> None:
    price = np.array([1.0, 2.0, 3.0, NAN, 5.0, 6.0, 7.0])
    volume = np.array([0.0, 0.0, 1.0, 1.0, 1.0, -1.0, 2.0])
    actual = volume_profile(price, volume, np.array([0, 7]), 2, 4)
    np.testing.assert_array_equal(np.isnan(actual.vwap), [1, 1, 0, 1, 1, 1, 1])
    assert actual.total_volume[2] == 1.0


def test_the_profile_of_a_single_price_is_that_price() -> None:
    actual = volume_profile(np.full(4, 7.0), np.ones(4), np.array([0, 4]), 4)
    assert [float(row[3]) for row in actual] == [7.0, 7.0, 7.0, 7.0, 4.0]
