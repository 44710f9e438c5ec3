"""Frequencies: spelling, and grids that agree with pandas."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.core.time.frequency import Frequency, nearest_steps
from gigacast.errors import ConfigError

DAY_US = 86_400_000_000

# Our alias, pandas' alias for the grid through a point, such a point.
GRIDS = [
    ("us", "us", "2024-02-28 23:59:59.999998"),
    ("250ms", "250ms", "2024-02-28 23:59:59.5"),
    ("s", "s", "1969-12-31 23:59:58"),
    ("30s", "30s", "2024-02-28 23:59:30"),
    ("15min", "15min", "2024-02-28 23:45"),
    ("h", "h", "1969-12-31 22:00"),
    ("D", "D", "1900-02-27"),
    ("W", "7D", "2023-12-27 17:30"),
    ("3D", "3D", "2024-02-27"),
    ("B", "B", "2024-02-29 09:30"),
    ("B", "B", "1969-12-26"),
    ("MS", "MS", "2023-11-01 06:00"),
    ("2MS", "2MS", "1950-11-01"),
    ("ME", "ME", "2023-11-30"),
    ("M", "ME", "2024-02-29"),
    ("M", "MS", "2024-02-01"),
    ("QS", "QS-FEB", "2023-11-01"),
    ("QE", "QE-NOV", "2023-11-30"),
    ("Q", "QE-DEC", "2023-12-31"),
    ("YS", "YS-MAR", "2019-03-01"),
    ("YE", "YE-FEB", "2019-02-28"),
    ("Y", "YE-DEC", "2019-12-31"),
]


def micros(index):
    return pd.DatetimeIndex(index).as_unit("us").asi8


@pytest.mark.parametrize(("ours", "theirs", "last"), GRIDS)
def test_future_times_are_the_next_dates_of_pandas(ours, theirs, last):
    future = Frequency.parse(ours).future(micros([last]), 25)
    expected = pd.date_range(last, periods=26, freq=theirs)[1:]
    assert future.shape == (1, 25)
    assert future[0].tolist() == micros(expected).tolist()


@pytest.mark.parametrize(("ours", "theirs", "first"), GRIDS)
def test_the_grid_index_counts_back_from_the_last_date(ours, theirs, first):
    grid = micros(pd.date_range(first, periods=40, freq=theirs))
    steps, exact = Frequency.parse(ours).grid_index(grid, grid[-1])
    assert steps.tolist() == list(range(39, -1, -1))
    assert exact.all()


@pytest.mark.parametrize(("ours", "theirs", "first"), GRIDS)
def test_the_span_is_never_shorter_than_the_steps(ours, theirs, first):
    grid = micros(pd.date_range(first, periods=40, freq=theirs))
    span = Frequency.parse(ours).span_us(39)
    # An upper bound that is near: it may count two weeks more, or two months, that have 31 days.
    days, slack = (grid[-1] - grid[0]) / 86_400_000_000, 16 if ours == "B" else 75
    assert days <= span / 86_400_000_000 < days * (1 if ours == "B" else 1.04) + slack


@pytest.mark.parametrize(
    ("freq", "text", "steps"),
    [
        ("D", "2024-03-09 11:59", 1),
        ("D", "2024-03-09 12:00", 0),  # half-way goes to the later step
        ("h", "2024-03-09 22:29", 2),
        ("B", "2024-03-09", 1),  # a Saturday is its Friday
        ("MS", "2024-02-20", 1),
        ("QS", "2024-02-01", 0),  # months of a quarter go to the nearest
        ("QS", "2024-01-01", 1),
    ],
)
def test_a_point_off_the_grid_belongs_to_the_nearest_step(freq, text, steps):
    last = "2024-03-10" if freq in {"D", "h"} else "2024-03-11"
    last = "2024-03-01" if freq in {"MS", "QS"} else last
    index, exact = Frequency.parse(freq).grid_index(micros([text]), micros([last]))
    assert index.tolist() == [steps]
    assert not exact.any()


def test_a_fixed_day_of_month_is_clipped_in_shorter_months_and_returns():
    future = Frequency.months(1, 30).future(micros(["2024-01-30"]), 3)
    assert future.tolist() == [micros(["2024-02-29", "2024-03-30", "2024-04-30"]).tolist()]


def test_an_undated_month_keeps_the_day_of_each_series():
    future = Frequency.parse("M").future(micros(["2024-01-15", "2024-04-30", "2024-01-01"]), 1)
    assert future.ravel().tolist() == micros(["2024-02-15", "2024-05-31", "2024-02-01"]).tolist()


def test_integer_steps_are_plain_numbers():
    steps = Frequency.parse("5")
    assert steps.future(np.array([7, -3]), 2).tolist() == [[12, 17], [2, 7]]
    assert steps.grid_index(np.array([2, 8]), np.array([12, 12]))[0].tolist() == [2, 1]


def test_after_a_weekend_the_next_business_day_is_monday():
    future = Frequency.business().future(micros(["2024-03-09 10:00", "2024-03-10"]), 1)
    assert future.ravel().tolist() == micros(["2024-03-11 10:00", "2024-03-11"]).tolist()


@given(
    st.sampled_from(["s", "15min", "D", "W", "B", "MS", "ME", "QE", "YS", "M@30", "M"]),
    st.integers(-60 * 365, 200 * 365),
    st.integers(0, 500),
)
def test_shifting_ahead_and_counting_back_give_the_same_steps(freq, day, steps):
    frequency = Frequency.parse(freq)
    start = frequency.shift(np.array([day * DAY_US]), 1)
    later = frequency.shift(start, steps)
    index, _ = frequency.grid_index(start, later)
    assert index.tolist() == [steps]


@given(st.integers(0, 10**6), st.integers(1, 10**4))
def test_nearest_steps_are_never_further_than_half_a_step(distance, count):
    steps = int(nearest_steps(np.array([distance]), count)[0])
    assert abs(distance - steps * count) * 2 <= count


@pytest.mark.parametrize(
    ("text", "alias"),
    [
        ("15min", "15min"), ("15T", "15min"), ("60min", "h"), ("1h", "h"), ("H", "h"), ("24h", "D"),
        ("d", "D"), ("7D", "W"), ("w", "W"), ("W-MON", "W"), ("14D", "2W"), ("b", "B"), ("M", "M"),
        ("ME", "ME"), ("MS", "MS"), ("ms", "ms"), ("L", "ms"), ("3MS", "QS"), ("12ME", "YE"),
        ("Q", "Q"), ("qs", "QS"), ("QE-DEC", "QE"), ("A", "Y"), ("AS", "YS"), ("Y", "Y"),
        ("YE-JUN", "YE"), ("30S", "30s"), ("1s", "s"), ("us", "us"), ("M@15", "M@15"),
        ("6M", "2Q"), ("1", "1"), ("daily", "D"), ("Monthly", "M"), ("1minute", "min"),
    ],
)  # fmt: skip
def test_aliases_are_read_and_written_canonically(text, alias):
    frequency = Frequency.parse(text)
    assert frequency.alias == str(frequency) == alias
    assert Frequency.parse(alias) == frequency


@pytest.mark.parametrize(
    "text",
    ["", " ", "m", "5m", "Ms", "x", "0D", "-1h", "1.5h", "2B", "ns", "D-MON", "W-JAN", "M@0",
     "M@32", "MS@3", "D@3", "BME", "0", "3@2"],
)  # fmt: skip
def test_an_unknown_frequency_is_an_error_that_names_the_setting(text):
    with pytest.raises(ConfigError, match="freq"):
        Frequency.parse(text)


@pytest.mark.parametrize(
    ("freq", "season"),
    [
        ("s", 3600), ("30s", 120), ("min", 1440), ("15min", 96), ("h", 24), ("2h", 12), ("D", 7),
        ("2D", 1), ("B", 5), ("W", 52), ("2W", 26), ("MS", 12), ("M", 12), ("2M", 6), ("QE", 4),
        ("YS", 1), ("7h", 1), ("ms", 1), ("1", 1),
    ],
)  # fmt: skip
def test_seasons_follow_the_conventions(freq, season):
    assert Frequency.parse(freq).season_length == season


def test_days_and_longer_follow_the_wall_clock_and_hours_do_not():
    aliases = ["min", "h", "12h", "25h", "D", "W", "B", "MS"]
    flags = [Frequency.parse(alias).in_wall_time for alias in aliases]
    assert flags == [False, False, False, False, True, True, True, True]


@pytest.mark.parametrize(
    ("text", "anchored"),
    [
        ("W-TUE", "W-TUE"),
        ("7D", "7D"),
        ("14D", "14D"),
        ("D", "D"),
        ("6D", "6D"),
        ("h", "h"),
        ("MS", "MS"),
        ("B", "B"),
    ],
)
def test_only_weeks_without_a_weekday_are_spelled_as_days(text: str, anchored: str) -> None:
    assert Frequency.parse(text).anchored_alias == anchored


@pytest.mark.parametrize("alias", ["B", "D", "h", "MS", "ME"])
def test_a_series_starts_at_its_time_or_on_the_business_day_after_it(alias):
    days = pd.date_range("2024-02-26 09:30", periods=14)  # Mondays to Sundays
    starts = Frequency.parse(alias).start(micros(days))
    months = days.to_period("M")
    expected = {
        "B": [day + pd.offsets.BDay(0) for day in days],
        "MS": [date + pd.Timedelta(hours=9.5) for date in months.start_time],
        "ME": [date + pd.Timedelta(hours=9.5) for date in months.end_time.normalize()],
    }.get(alias, list(days))
    assert starts.tolist() == micros(pd.DatetimeIndex(expected)).tolist()
