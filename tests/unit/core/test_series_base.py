"""Bases of series whose steps float32 would lose."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.core.series import base
from gigacast.core.series.base import LEAST_STEPS, add_bases, find_bases, split_bases

NAN = float("nan")


def ragged(*series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    lengths = [len(values) for values in series]
    return np.concatenate([*series, np.empty(0)]), np.append(0, np.cumsum(lengths)).astype(np.int64)


def meter(level: float, step: float, steps: int = 30) -> np.ndarray:
    return level + step * np.arange(steps)


@pytest.mark.parametrize(
    ("level", "step", "is_lost"),
    [
        (1.7e9, 60, True),
        (1.7e9, 2000, False),
        (2e7, 1, True),
        (1e5, 1, False),
        (0, 1e-3, False),
        (101_325.0, 0.01, True),
        (1e30, 1e20, True),
    ],
)
def test_a_series_has_a_base_if_float32_loses_most_of_its_steps(
    level: float, step: float, *, is_lost: bool
) -> None:
    values, offsets = ragged(meter(level, step))
    assert find_bases(values, offsets) == pytest.approx([level if is_lost else 0])


def test_series_and_bases_add_up_and_ordinary_series_are_the_bits_they_were() -> None:
    rng = np.random.default_rng(0)
    gaps = meter(1.7e9, 60)
    gaps[[0, 4, 5]] = NAN
    ordinary = rng.normal(100, 5, 20)
    values, offsets = ragged(ordinary, gaps, np.full(5, 1.7e9), np.empty(0), meter(3e9, -7))
    narrow, bases = split_bases(values, offsets)
    assert bases is not None
    np.testing.assert_array_equal(bases, [0, 1.7e9 + 60, 0, 0, 3e9])
    np.testing.assert_array_equal(narrow[:20], ordinary.astype(np.float32))
    restored = narrow.astype(np.float64) + np.repeat(bases, np.diff(offsets))
    large = np.r_[20:50, 55:85]
    np.testing.assert_allclose(restored[large], values[large], rtol=0, atol=1e-3)


def test_each_series_is_looked_at_alone() -> None:
    first, second = meter(1.7e9, 60), meter(1.7e9, 1e6)
    values, offsets = ragged(first, second)
    np.testing.assert_array_equal(find_bases(values, offsets), [1.7e9, 0])
    values, offsets = ragged(second, first)
    np.testing.assert_array_equal(find_bases(values, offsets), [0, 1.7e9])


def test_a_single_outlier_does_not_decide_and_infinities_are_no_steps() -> None:
    reset = meter(1.7e9, 60)
    reset[15] = 0
    endless = np.array([np.inf, 1e300, 1.0, 2.0, -np.inf])
    values, offsets = ragged(reset, endless)
    np.testing.assert_array_equal(find_bases(values, offsets), [1.7e9, 0])


def test_a_meter_that_begins_with_zero_or_is_exchanged_keeps_most_of_its_steps() -> None:
    begins, exchanged = meter(1.7e9, 60), np.append(meter(1.7e9, 60, 10), meter(4e9, 60, 20))
    begins[:2] = 0
    values, offsets = ragged(begins, exchanged)
    np.testing.assert_array_equal(find_bases(values, offsets), [1.7e9 + 120, 4e9])
    narrow, bases = split_bases(values, offsets)
    assert bases is not None
    restored = narrow.astype(np.float64) + np.repeat(bases, np.diff(offsets))
    places = np.r_[2:30, 40:60]
    np.testing.assert_array_equal(restored[places], values[places])


def test_changes_between_series_decide_nothing() -> None:
    # Two of three changes are lost: one more would be a draw.
    mostly = np.array([1.7e9, 1.7e9 + 60, 1.7e9 + 120, 1.7e9 + 1e6])
    values, offsets = ragged(mostly, mostly + 1e9, mostly + 2e9)
    np.testing.assert_array_equal(find_bases(values, offsets), [1.7e9, 2.7e9, 3.7e9])


def test_values_come_back_with_their_bases_and_zeros_as_zeros() -> None:
    silent = meter(1.7e9 + 1, 60)
    silent[-2:] = 0
    values, offsets = ragged(silent, np.array([0.0, 1.5, NAN]))
    narrow, bases = split_bases(values, offsets)
    assert bases is not None
    np.testing.assert_array_equal(add_bases(narrow, np.repeat(bases, np.diff(offsets))), values)


def test_there_are_no_bases_without_such_a_series() -> None:
    values, offsets = ragged(np.arange(10.0), np.full(3, NAN))
    narrow, bases = split_bases(values, offsets)
    assert bases is None
    np.testing.assert_array_equal(narrow, values.astype(np.float32))


def base_of(values: np.ndarray) -> float:
    """Return the base of one series, step by step."""
    if not _are_lost(values).any():
        return 0.0
    first = values[np.isfinite(values)][0]
    with np.errstate(all="ignore"):
        still = _are_lost(values - first)
    return values[np.flatnonzero(still)[0]] if still.any() else first


def _are_lost(values: np.ndarray) -> np.ndarray:
    """Whether the change after each value is lost, if most are; else nothing is."""
    with np.errstate(all="ignore"):
        changes = np.abs(np.diff(values))
        grid = np.spacing(np.abs(values[1:]).astype(np.float32)).astype(np.float64)
        is_change = np.isfinite(changes) & (changes > 0)
        is_lost = is_change & np.isfinite(grid) & (changes < LEAST_STEPS / 2 * grid)
    return is_lost & (2 * is_lost.sum() > is_change.sum())


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=5),
    st.lists(st.integers(-46, 40), min_size=5, max_size=5),
    st.sampled_from([0.0, 0.2]),
    st.integers(0, 2**32 - 1),
)
def test_bases_are_those_of_a_loop_whatever_the_size_of_blocks(
    lengths: list[int], scales: list[int], odd: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    series = []
    for length, scale in zip(lengths, scales, strict=False):
        values = 10.0**scale * (1 + rng.normal(size=length) * 2.0 ** -rng.integers(5, 26))
        is_odd = rng.random(length) < odd
        values[is_odd] = rng.choice([NAN, np.inf, 1e300, 0.0, 1e-45, 3.4028235e38], is_odd.sum())
        series.append(values)
    values, offsets = ragged(*series)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "_BLOCK", 8)
        bases = find_bases(values, offsets)
    assert bases.tolist() == [base_of(one) for one in series]
