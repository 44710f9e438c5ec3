"""Calendar bins: against the calendar of Python, day by day."""

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from gigacast.core.time.bins import Bins, standard_offset
from gigacast.core.time.frequency import Frequency

EPOCH = date(1970, 1, 1)
DAY = 86_400_000_000
HOUR = 3_600_000_000
DAYS = [EPOCH + timedelta(days=n) for n in (*range(-800, 800, 3), *range(18_250, 19_900, 7))]


def ordinal(day: date) -> int:
    return (day - EPOCH).days


def month_start(months: int) -> date:
    """Return the first day of a month, counted from January 1970."""
    return date(1970 + months // 12, months % 12 + 1, 1)


# alias: first month of a bin (January is 1), months, whether the label is the last day
MONTHS = {
    "MS": (1, 1, False),
    "ME": (1, 1, True),
    "QS": (1, 3, False),
    "QS-FEB": (2, 3, False),
    "QE": (1, 3, True),
    "QE-FEB": (3, 3, True),
    "YS": (1, 12, False),
    "YS-APR": (4, 12, False),
    "YE": (1, 12, True),
    "YE-MAR": (4, 12, True),
    "2MS": (1, 2, False),
    "5MS": (1, 5, False),
}


def slow_bin(alias: str, day: date) -> tuple[date, date, date]:
    """Return the first day of the bin of a day, that of the next bin, and the label."""
    if alias in MONTHS:
        first, count, at_end = MONTHS[alias]
        number = (12 * (day.year - 1970) + day.month - first) // count
        start, after = (month_start((number + n) * count + first - 1) for n in range(2))
        return start, after, after - timedelta(days=1) if at_end else start
    if alias == "B":
        start = day - timedelta(days=max(0, day.weekday() - 4))
        after = start + timedelta(days=3 if start.weekday() == 4 else 1)
        return start, after, start
    if alias.startswith("W"):
        last = {"W": 6, "W-SUN": 6, "W-MON": 0, "W-WED": 2, "W-SAT": 5}[alias]
        label = day + timedelta(days=(last - day.weekday()) % 7)
        return label - timedelta(days=6), label + timedelta(days=1), label
    count = {"D": 1, "2D": 2, "10D": 10}[alias]
    start = EPOCH + timedelta(days=ordinal(day) // count * count)
    return start, start + timedelta(days=count), start


@pytest.mark.parametrize(
    "alias", [*MONTHS, "B", "W", "W-SUN", "W-MON", "W-WED", "W-SAT", "D", "2D", "10D"]
)
def test_bins_of_days_and_longer_are_those_of_the_calendar(alias: str) -> None:
    bins = Bins(Frequency.parse(alias))
    times = np.array([ordinal(day) * DAY + 5 for day in DAYS])
    numbers = bins.numbers(times)
    expected = [slow_bin(alias, day) for day in DAYS]
    assert (bins.starts(numbers) // DAY).tolist() == [ordinal(start) for start, _, _ in expected]
    assert (bins.starts(numbers + 1) // DAY).tolist() == [ordinal(end) for _, end, _ in expected]
    assert (bins.labels(numbers) // DAY).tolist() == [ordinal(label) for *_, label in expected]
    assert not (bins.labels(numbers) % DAY).any()
    # A bin has its own first and last moment, and the number after that of the bin before.
    starts = bins.starts(numbers)
    np.testing.assert_array_equal(bins.numbers(starts), numbers)
    np.testing.assert_array_equal(bins.numbers(starts - 1), numbers - 1)


@pytest.mark.parametrize("day", [2, 15, 28, 29, 30])
def test_bins_that_begin_on_a_day_of_the_month_are_clipped_in_shorter_months(day: int) -> None:
    bins = Bins(Frequency.months(1, day))
    for own in DAYS[::5]:
        month = 12 * (own.year - 1970) + own.month - 1

        def begins(months: int) -> date:
            first = month_start(months)
            length = monthrange(first.year, first.month)[1]
            return first.replace(day=min(day, length))

        start = begins(month) if begins(month) <= own else begins(month - 1)
        number = bins.numbers(np.array([ordinal(own) * DAY]))
        assert bins.starts(number).tolist() == [ordinal(start) * DAY]
        assert bins.labels(number).tolist() == [ordinal(start) * DAY]
        assert not bins.has_end_labels


@pytest.mark.parametrize(("alias", "length"), [("h", 1), ("6h", 6), ("7h", 7)])
@pytest.mark.parametrize("offset", [0, 1, -5])
def test_shorter_bins_begin_at_midnight_of_standard_time(
    alias: str, length: int, offset: int
) -> None:
    bins, shift = Bins(Frequency.parse(alias)), offset * HOUR
    times = np.arange(-50, 50) * (HOUR // 2)
    numbers = bins.numbers(times, shift)
    assert numbers.tolist() == [(t + shift) // (length * HOUR) for t in times.tolist()]
    starts = bins.starts(numbers, shift)
    assert starts.tolist() == [n * length * HOUR - shift for n in numbers.tolist()]
    np.testing.assert_array_equal(bins.labels(numbers, shift), starts)


def test_plain_numbers_have_multiples() -> None:
    bins = Bins(Frequency.steps(5))
    assert bins.numbers(np.array([-1, 0, 4, 5])).tolist() == [-1, 0, 0, 1]
    assert bins.starts(np.array([-1, 2])).tolist() == [-5, 10]
    assert not bins.has_end_labels


@pytest.mark.parametrize(
    ("alias", "expected"),
    [("ME", True), ("MS", False), ("QE-FEB", True), ("W", True), ("D", False), ("B", False),
     ("h", False)],
)  # fmt: skip
def test_weeks_and_months_to_their_end_have_the_label_of_their_last_day(
    alias: str, expected: bool
) -> None:
    frequency = Frequency.parse(alias)
    assert Bins(frequency).has_end_labels is expected
    assert Bins(frequency).step == frequency


@pytest.mark.parametrize(
    "zone",
    ["Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo", "Europe/Istanbul",
     "Asia/Kathmandu", "Africa/Cairo", "Africa/Casablanca"],
)  # fmt: skip
def test_standard_time_is_that_of_the_winter_of_each_year(zone: str) -> None:
    moments = [datetime(year, month, 3, 4, tzinfo=UTC) for year in range(1983, 2026, 3)
               for month in (1, 6, 12)]  # fmt: skip
    times = np.array([int(moment.timestamp()) * 10**6 for moment in moments])

    def offset_at(year: int, month: int) -> int:
        own = datetime(year, month, 1, tzinfo=UTC).astimezone(ZoneInfo(zone)).utcoffset()
        assert own is not None
        return int(own.total_seconds()) * 10**6

    expected = [min(offset_at(m.year, 1), offset_at(m.year, 7)) for m in moments]
    assert standard_offset(times, zone).tolist() == expected
    assert standard_offset(times[:2], None).tolist() == [0, 0]
    assert standard_offset(times[:0], zone).tolist() == []
