"""Ticks of time axes: within their range, ordered, and named after their own time."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.report.plot.date_axis import date_ticks

DAY = 86_400.0
FIRST, LAST = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (1800, 2200))


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def shown(first: str, last: str, max_ticks: int = 4) -> list[tuple[str, str]]:
    return [(t.label, t.below) for t in date_ticks(seconds(first), seconds(last), max_ticks)]


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("2024-02-20", "2024-03-10", [("26 Feb", "2024"), ("4 Mar", "")]),
        ("2023-11-15", "2024-02-15", [("Dec", "2023"), ("Jan", "2024"), ("Feb", "")]),
        ("2020-06-01", "2023-06-01", [("2021", ""), ("2022", ""), ("2023", "")]),
        (
            "2024-02-28T18:00",
            "2024-03-01T06:00",
            [("00:00", "29 Feb"), ("12:00", ""), ("00:00", "1 Mar")],
        ),
        ("2024-01-01T00:00:00", "2024-01-01T00:00:02", [("00:00:00", "1 Jan"), ("00:00:01", ""),
                                                        ("00:00:02", "")]),
    ],
)  # fmt: skip
def test_the_month_beside_a_tick_is_its_own(
    first: str, last: str, expected: list[tuple[str, str]]
) -> None:
    ticks = shown(first, last)
    assert [tick for tick in ticks if tick in expected] == expected


@given(
    low=st.floats(FIRST, LAST), span=st.floats(2.0, 400 * 365 * DAY), max_ticks=st.integers(2, 8)
)
def test_ticks_are_few_ascending_within_the_range_and_tell_their_time(
    low: float, span: float, max_ticks: int
) -> None:
    high = low + span
    ticks = date_ticks(low, high, max_ticks)
    places = [tick.place for tick in ticks]
    assert len(ticks) <= max_ticks
    assert places == sorted(set(places))
    assert all(low <= place <= high for place in places)
    year = ""
    for tick in ticks:
        moment = datetime.fromtimestamp(tick.place, UTC)
        texts = {
            str(moment.year),
            f"{moment:%b}",
            f"{moment.day} {moment:%b}",
            f"{moment:%H:%M}",
            f"{moment:%H:%M:%S}",
        }
        assert tick.label in texts
        assert tick.below in texts | {""}
        year = tick.below or year
        if ":" not in tick.label and not tick.label.isdigit():
            assert year == str(moment.year)
