"""Local times where clocks are changed."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from gigacast.core.time import zone as zone_module
from gigacast.core.time.zone import from_ordered_wall, from_wall, to_wall
from gigacast.errors import SchemaError

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


LATE_ZONES = [*ZONES, "Australia/Sydney", "Africa/Casablanca", "Asia/Kolkata", "+05:30", "Etc/UTC"]


def late_instants(years: st.SearchStrategy[int]) -> st.SearchStrategy[list[datetime]]:
    times = st.builds(
        lambda year, hours: datetime(year, 1, 1, tzinfo=UTC) + timedelta(hours=hours),
        years,
        st.integers(0, 8700),
    )
    return st.lists(times, min_size=1, max_size=8)


def zone_named(name: str) -> tzinfo:
    return timezone(timedelta(hours=5, minutes=30)) if name == "+05:30" else ZoneInfo(name)


def as_micros(moments: list[datetime]) -> np.ndarray:
    start = datetime(1970, 1, 1, tzinfo=moments[0].tzinfo and UTC)
    return np.array([(moment - start) // timedelta(microseconds=1) for moment in moments])


@settings(max_examples=150, deadline=None)
@example("Africa/Casablanca", [datetime(2863, 1, 1, tzinfo=UTC)])  # written out in 2063
@given(
    st.sampled_from(LATE_ZONES),
    late_instants(st.one_of(st.integers(2030, 2060), st.integers(2038, 9990))),
)
def test_times_after_2037_follow_the_rule_of_the_zone(zone, instants):
    walls = [moment.astimezone(zone_named(zone)).replace(tzinfo=None) for moment in instants]
    assert to_wall(as_micros(instants), zone).tolist() == as_micros(walls).tolist()
    first = [wall.replace(tzinfo=zone_named(zone), fold=0).astimezone(UTC) for wall in walls]
    assert from_wall(as_micros(walls), zone).tolist() == as_micros(first).tolist()


@pytest.mark.parametrize("year", [2024, 2037, 2038, 2045, 2400, 2438])
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Sydney"])
def test_clocks_change_after_2037_as_before(year, zone):
    start = datetime(year, 1, 1, tzinfo=UTC)
    instants = [start + timedelta(hours=hour) for hour in range(8760)]
    walls = to_wall(as_micros(instants), zone)
    hours = np.diff(walls) // 3_600_000_000
    assert sorted(hours[hours != 1]) == [0, 2]
    solved, ambiguous, missing = solve(walls, zone)
    assert solved.tolist() == as_micros(instants).tolist()
    assert not ambiguous.any()
    assert not missing.any()
    gap = walls[:-1][hours == 2] + 5_400_000_000  # half past two, which clocks leave out
    after = solved[1:][hours == 2]
    assert from_wall(gap, zone).tolist() == after.tolist()
    assert solve(gap, zone)[2].all()


def test_a_zone_without_a_rule_on_this_machine_is_refused(monkeypatch):
    monkeypatch.setattr(zone_module, "ZoneInfo", no_zones)
    with pytest.raises(SchemaError, match=r"'Asia/Tokyo' after 2037 is not known"):
        to_wall(as_micros([datetime(2050, 1, 1, tzinfo=UTC)]), "Asia/Tokyo")


def no_zones(name: str) -> None:
    raise ZoneInfoNotFoundError(name)
