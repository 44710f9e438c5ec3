"""Postprocessing: monotone, non-negative, integer."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gigacast.forecasters.levels import ascending, postprocess, round_half_up

QUANTILES = hnp.arrays(
    np.float32, (3, 2, 5), elements=st.floats(-1e6, 1e6, width=32, allow_nan=False)
)


@settings(deadline=None)
@given(QUANTILES, st.booleans(), st.booleans())
def test_quantiles_are_monotone_with_every_option(
    quantiles: np.ndarray, non_negative: bool, integer: bool
):
    result = postprocess(quantiles, non_negative=non_negative, integer=integer)
    assert (np.diff(result, axis=-1) >= 0).all()
    assert result.dtype == np.float32


@settings(deadline=None)
@given(QUANTILES)
def test_monotone_quantiles_do_not_change(quantiles: np.ndarray):
    ordered = np.sort(quantiles, axis=-1)
    assert np.array_equal(postprocess(ordered), ordered)


@settings(deadline=None)
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(0, 9), st.integers(1, 3), st.integers(1, 5))),
    st.booleans(),
)
def test_only_rows_that_are_out_of_order_change(quantiles: np.ndarray, is_sorted: bool):
    # Equal zeros have two signs, of which either may come first.
    values = np.sort(quantiles, axis=-1) if is_sorted else quantiles.copy()
    values[:1] = quantiles[:1]
    before = values.copy()
    assert np.array_equal(ascending(values), np.sort(values, axis=-1), equal_nan=True)
    assert np.array_equal(values, before, equal_nan=True)


def test_non_negative_clips_at_zero():
    assert postprocess(np.array([[-3, -0.5, 2]], np.float32), non_negative=True).tolist() == [
        [0, 0, 2]
    ]


def test_integers_round_half_up():
    values = np.array([-1.5, -0.5, 0.49999997, 0.5, 1.5, 2.5, 16777217.0], np.float32)
    assert round_half_up(values).tolist() == [-1, 0, 0, 1, 2, 3, 16777216]


def test_no_negative_zero_is_written():
    result = postprocess(np.array([[-0.3, -0.0]], np.float32), non_negative=True, integer=True)
    assert not np.signbit(result).any()


def test_nan_stays_nan():
    values = np.full((1, 3), np.nan, np.float32)
    assert np.isnan(postprocess(values, non_negative=True, integer=True)).all()
