"""Local times where clocks are changed."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gigacast.core.time.zone import from_ordered_wall, from_wall, to_wall

ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "UTC"]


DAYS = ["2024-04-06", "2024-10-26", "2024-11-02"]


def micros(moments) -> np.ndarray:
    return pd.DatetimeIndex(moments).as_unit("us").asi8


def solve(times, zone="Europe/Berlin", series=None):
    times = np.asarray(times)
    return from_ordered_wall(times, np.zeros(len(times), int) if series is None else series, zone)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(ZONES),
    st.sampled_from(["10min", "30min", "h"]),
    st.sampled_from([f"{day} {hour}:00" for day in DAYS for hour in range(20)]),
    st.integers(1, 3),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_complete_ordered_wall_times_are_converted_back_to_their_instants(
    zone, freq, start, count, newest_first, random
):
    assume(zone != "Australia/Lord_Howe" or freq != "h")  # its clocks go back by half an hour
    times = micros(pd.date_range(start, periods=240, freq=freq))
    utc, series = np.tile(times, count), np.repeat(np.arange(count), len(times))
    rows = sorted(range(len(utc)), key=lambda n: (n % len(times), random.random()))
    if newest_first:
        rows = rows[::-1]
    utc, series = utc[rows], series[rows]
    solved, ambiguous, missing = solve(to_wall(utc, zone), zone, series)
    assert solved.tolist() == utc.tolist()
    assert not ambiguous.any()
    assert not missing.any()


def test_the_order_resolves_wall_times_as_in_pandas():
    wall = pd.DatetimeIndex(
        ["2024-10-27 01:30", "2024-10-27 02:00", "2024-10-27 02:30", "2024-10-27 02:00",
         "2024-10-27 02:30", "2024-10-27 03:00"]
    )  # fmt: skip
    expected = wall.tz_localize("Europe/Berlin", ambiguous="infer").tz_convert(None)
    assert solve(micros(wall))[0].tolist() == micros(expected).tolist()


@pytest.mark.parametrize("hours", [["01:00", "02:00", "03:00"], ["02:30"], ["02:00", "02:30"]])
def test_an_hour_that_comes_once_is_ambiguous(hours):
    utc, ambiguous, missing = solve(micros([f"2024-10-27 {hour}" for hour in hours]))
    assert ambiguous.tolist() == [hour.startswith("02") for hour in hours]
    assert not missing.any()
    assert utc.tolist() == from_wall(utc * 0 + micros([f"2024-10-27 {h}" for h in hours]),
                                     "Europe/Berlin").tolist()  # fmt: skip


def test_an_hour_that_comes_three_times_is_ambiguous():
    wall = micros(["2024-10-27 02:00"] * 3)
    assert solve(wall)[1].all()
    assert not solve(wall, series=np.array([0, 1, 0]))[1][[0, 2]].any()


def test_an_hour_that_clocks_skip_is_missing():
    _, ambiguous, missing = solve(micros(["2024-03-31 01:59", "2024-03-31 02:30"]))
    assert (missing.tolist(), ambiguous.any()) == ([False, True], False)
