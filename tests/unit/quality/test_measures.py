"""Measures against thresholds; calendars and grids against a slow walk over every step."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.cleaning.alignment import align
from gigacast.cleaning.rules import CleanRules
from gigacast.core.time.frequency import Frequency
from gigacast.core.time.trading_calendar import Calendar
from gigacast.errors import ConfigError
from gigacast.quality.measures import (
    ColumnQuality,
    Compliance,
    KeyQuality,
    Limit,
    PartitionQuality,
    Thresholds,
    Verdict,
)

OLDEST, NEWEST = datetime(1969, 1, 1), datetime(2100, 1, 1)  # noqa: DTZ001 - wall time
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KEYS = KeyQuality(
    rows=100,
    series=2,
    duplicates=4,
    missing_steps=25,
    expected_steps=100,
    frequencies={"min": 2},
    first="2024-01-15T00:00:00+00:00",
    last="2024-01-15T12:00:00+00:00",
)
COLUMNS = (
    ColumnQuality("close", "double", 100, 10, {"iqr": 9, "zscore": 1}),
    ColumnQuality("venue", "string", 100, 0),
)
FOUND = PartitionQuality("p", KEYS, COLUMNS, Compliance("ohlcv", 50, 4, 1))
NEVER = Thresholds(**{name: Limit() for name in Thresholds.__dataclass_fields__})


def test_every_share_is_its_count_divided_by_its_total() -> None:
    shares = FOUND.shares(datetime(2024, 1, 16, tzinfo=UTC))
    assert shares == pytest.approx(
        {
            "missing": 0.1,
            "duplicates": 0.04,
            "unordered": 0,
            "null_keys": 0,
            "off_grid": 0,
            "gaps": 0.25,
            "outliers": 0.1,
            "incomplete": 1 - 0.95 * 0.75,
            "noncompliant": 1 - 0.75 * 0.5,
            "stale_hours": 12,
        }
    )


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [
        (Limit(), Verdict.OK),
        (Limit(0.1, 0.2), Verdict.OK),
        (Limit(0.09, 0.2), Verdict.WARN),
        (Limit(None, 0.09), Verdict.FAIL),
        (Limit(0.01, 0.09), Verdict.FAIL),
    ],
)
def test_a_measure_above_its_limit_sets_the_verdict_and_its_reason(
    limit: Limit, verdict: Verdict
) -> None:
    reasons = FOUND.judge(replace(NEVER, missing=limit))
    assert reasons.verdict is verdict
    assert [reason.split(" in ")[0] for reason in reasons.reasons] == (
        [] if verdict is Verdict.OK else [f"{verdict}: missing"]
    )


def test_a_partition_without_rows_is_a_warning_without_a_division_by_zero() -> None:
    judged = PartitionQuality("p", KeyQuality()).judge(Thresholds(), datetime.now(UTC))
    assert (judged.verdict, judged.reasons) == (Verdict.WARN, ("no rows",))


def test_figures_survive_the_round_trip_through_json() -> None:
    assert PartitionQuality.from_dict(json.loads(json.dumps(FOUND.to_dict()))) == FOUND


def test_limits_are_parsed_from_their_flags() -> None:
    changed = Thresholds().with_limits("warn", ["missing=0.5", "gaps=never"])
    changed = changed.with_limits("fail", ["missing=1"])
    assert (changed.missing, changed.gaps.warn) == (Limit(0.5, 1.0), None)
    for wrong in ("missing", "missing=much", "misses=1", "gaps=-1", "gaps=nan"):
        with pytest.raises(ConfigError):
            Thresholds().with_limits("warn", [wrong])


CALENDARS = [
    "24/7",
    "weekdays",
    "mon-fri 09:30-16:00 America/New_York",
    "sun-thu 10:00-14:00",
    "fri-mon",
]
HOLIDAYS = (date(2024, 3, 13), date(2024, 3, 16))


@pytest.mark.parametrize("text", CALENDARS)
@pytest.mark.parametrize("alias", ["15min", "h", "D", "30min"])
def test_the_steps_between_two_times_are_counted_as_by_a_walk(text: str, alias: str) -> None:
    calendar, frequency = Calendar.parse(text, HOLIDAYS), Frequency.parse(alias)
    if frequency.count < 86_400_000_000 and calendar.open_us % frequency.count:
        pytest.skip("the walk is not on the grid")
    start = datetime(2024, 3, 8, tzinfo=UTC)  # clocks change on the 10th
    step = timedelta(microseconds=frequency.count)
    walk = [start + step * n for n in range(int(timedelta(days=12) / step))]
    expected = [_is_expected(calendar, time, step) for time in walk]
    times = np.array([(time - EPOCH) // timedelta(microseconds=1) for time in walk])
    steps = np.diff(calendar.rank(times, frequency))
    assert steps.tolist() == [int(value) for value in expected[1:]]


def _is_expected(calendar: Calendar, time: datetime, step: timedelta) -> bool:
    wall = pd.Timestamp(time).tz_convert(calendar.zone or "UTC")
    if step >= timedelta(days=1):
        return wall.weekday() in calendar.days and wall.date() not in calendar.holidays
    if str(calendar) == "24/7" and not calendar.holidays:
        return True
    since = (wall.hour * 3600 + wall.minute * 60) * 1_000_000 - calendar.open_us
    inside = 0 <= since < calendar.close_us - calendar.open_us
    on_grid = since % (step // timedelta(microseconds=1)) == 0
    is_open = wall.weekday() in calendar.days and wall.date() not in calendar.holidays
    return is_open and inside and on_grid


@pytest.mark.parametrize("text", [*CALENDARS[2:], "24/7"])
def test_a_calendar_is_written_as_it_is_read(text: str) -> None:
    assert Calendar.parse(str(Calendar.parse(text))) == Calendar.parse(text)


@pytest.mark.parametrize(
    "text", ["", "daily", "mon-xyz", "mon-fri 16:00-09:00", "mon-fri 09:00-25:00", "mon-fri 9-16"]
)
def test_an_unknown_calendar_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match="calendar") as caught:
        Calendar.parse(text)
    assert "24/7" in str(caught.value.hint)
    with pytest.raises(ConfigError, match="no time zone"):
        Calendar.parse("mon-fri 09:00-16:00 Nowhere/At_All")


@given(st.lists(st.datetimes(OLDEST, NEWEST), min_size=1))
@pytest.mark.parametrize("alias", ["s", "15min", "h", "D"])
def test_times_are_aligned_as_pandas_floors_them(alias: str, moments: list[datetime]) -> None:
    times = pd.DatetimeIndex(moments).as_unit("us")
    times_copy = times.asi8.copy()
    floored = align(times_copy, Frequency.parse(alias), "floor")
    assert floored.tolist() == times.floor(alias.lower() if alias == "H" else alias).asi8.tolist()
    near = align(times_copy, Frequency.parse(alias), "nearest")
    step = Frequency.parse(alias).count
    assert np.abs(near - times_copy).max() * 2 <= step
    assert (near % step == 0).all()


@pytest.mark.parametrize(
    ("alias", "floor", "nearest"),
    [
        ("W", "2024-05-13", "2024-05-20"),
        ("MS", "2024-05-01", "2024-06-01"),
        ("ME", "2024-04-30", "2024-05-31"),
        ("QS", "2024-04-01", "2024-07-01"),
        ("B", "2024-05-17", "2024-05-17"),
    ],
)
def test_calendar_steps_are_aligned_to_their_day(alias: str, floor: str, nearest: str) -> None:
    times = pd.DatetimeIndex(["2024-05-18"]).as_unit("us").asi8
    aligned = [
        align(times, Frequency.parse(alias), direction)[0] for direction in ("floor", "nearest")
    ]  # type: ignore[arg-type]
    assert [str(pd.Timestamp(time, unit="us").date()) for time in aligned] == [floor, nearest]


@pytest.mark.parametrize(
    "wrong",
    [
        {"nulls": "guess"},
        {"max_fill": 0},
        {"limit": 0.0},
        {"float_tolerance": 1.0},
        {"outliers": "clip", "method": "isolation_forest"},
        {"align": "floor"},
    ],
)
def test_invalid_rules_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        CleanRules(**wrong)  # type: ignore[arg-type]
