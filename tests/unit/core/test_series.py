"""Batches of series: cutting, joining and their timestamps."""

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from gigacast.core.series.batch import NO_TIME, SeriesBatch, concat_batches
from gigacast.core.time.frequency import Frequency
from gigacast.errors import TimeRangeError

DAY_US = 86_400_000_000
DAILY, MONTHLY = Frequency.parse("D"), Frequency.parse("ME")


def batch(lengths, frequencies=(DAILY,), codes=None, kind=None, last=None) -> SeriesBatch:
    count = len(lengths)
    offsets = np.cumsum([0, *lengths])
    return SeriesBatch(
        item_ids=pa.array([f"i{n}" for n in range(count)]),
        target_names=pa.array(["target"] * count),
        values=np.arange(offsets[-1], dtype=np.float32),
        offsets=offsets,
        last_timestamps=np.array([19_753 * DAY_US] * count if last is None else last),
        frequencies=frequencies,
        frequency_codes=np.array([0] * count if codes is None else codes),
        reasons=np.zeros(count, np.int8),
        timestamp_type=kind or pa.timestamp("us"),
    )


def values_of(series: SeriesBatch) -> list:
    return [values.tolist() for values in series]


def test_a_slice_has_the_selected_series():
    full_batch = batch([2, 0, 3])
    assert values_of(full_batch.slice(1, 3)) == values_of(full_batch)[1:]
    assert full_batch.slice(2, 3).item_ids.to_pylist() == ["i2"]
    assert len(full_batch.slice(1, 1)) == 0


def test_joined_batches_keep_every_series_and_its_frequency():
    first = batch([1, 2], (DAILY,), [0, -1])
    second = batch([3, 1], (MONTHLY, DAILY), [0, 1])
    joined = concat_batches([first, second])
    assert values_of(joined) == values_of(first) + values_of(second)
    frequencies = [
        joined.frequencies[code] if code >= 0 else None for code in joined.frequency_codes
    ]
    assert frequencies == [DAILY, None, MONTHLY, DAILY]
    assert concat_batches([first]) is first


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (pa.timestamp("us"), dt.datetime.fromisoformat("2024-02-01")),
        (pa.timestamp("s"), dt.datetime.fromisoformat("2024-02-01")),
        (pa.date32(), dt.date(2024, 2, 1)),
        (pa.timestamp("ms", "UTC"), dt.datetime(2024, 2, 1, tzinfo=dt.UTC)),
    ],
)
def test_timestamps_are_returned_in_the_type_of_the_input(kind, expected):
    series = batch([1], kind=kind)
    assert series.future_arrow(2).type == kind
    assert series.last_arrow().to_pylist() == [expected - dt.timedelta(days=1)]
    assert series.future_arrow(1).to_pylist() == [expected]


@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_forecasts_beyond_what_nanoseconds_hold_are_in_microseconds(zone):
    last = [int(np.datetime64("2262-04-01", "us").astype(int))]
    series = batch([1], kind=pa.timestamp("ns", zone), last=last)
    assert series.future_type(5) == pa.timestamp("ns", zone)
    assert series.future_type(15) == pa.timestamp("us", zone)
    days = series.future_arrow(15, series.future_type(15))
    # By zoneinfo: Arrow's own wall times lack summer time after 2037.
    start = dt.datetime.fromisoformat("2262-04-01").replace(tzinfo=zone and ZoneInfo(zone))
    assert days.to_pylist() == [start + dt.timedelta(days=n) for n in range(1, 16)]
    with pytest.raises(TimeRangeError, match=r"timestamp\[ns"):
        series.future_arrow(15)


def test_a_type_that_cannot_hold_the_steps_is_refused():
    half_days = batch([1], (Frequency.parse("12h"),), kind=pa.date32())
    with pytest.raises(TimeRangeError, match=r"timestamp\[us\]"):
        half_days.future_arrow(1)


def test_future_times_follow_the_frequency_of_each_series():
    two = batch([1, 1, 1], (DAILY, MONTHLY), [1, -1, 0])
    first, last = dt.datetime.fromisoformat("2024-02-29"), dt.datetime.fromisoformat("2024-02-01")
    assert two.future_arrow(2).to_pylist() == [
        first, dt.datetime.fromisoformat("2024-03-31"), None, None,
        last, last + dt.timedelta(days=1),
    ]  # fmt: skip


def test_plain_steps_stay_whole_numbers():
    steps = batch([1, 1], (Frequency.steps(2),), kind=pa.int64(), last=[5, NO_TIME], codes=[0, -1])
    assert steps.future_arrow(2).to_pylist() == [7, 9, None, None]
    assert steps.last_arrow().to_pylist() == [5, None]


def test_a_skipped_wall_time_becomes_the_next_existing_one():
    zone = pa.timestamp("us", "Europe/Berlin")
    last = int(np.datetime64("2024-03-30T02:30", "us").astype(np.int64))
    (moment,) = batch([1], kind=zone, last=[last]).future_arrow(1).to_pylist()
    assert moment.isoformat() == "2024-03-31T03:00:00+02:00"


@pytest.mark.parametrize(
    ("kind", "last", "expected"),
    [
        (None, [DAY_US, NO_TIME, 3 * DAY_US, 2 * DAY_US], "1970-01-04T00:00:00+00:00"),
        (pa.timestamp("us", "Asia/Tokyo"), [DAY_US], "1970-01-01T15:00:00+00:00"),
    ],
)
def test_the_newest_step_is_the_latest_of_all_in_utc(kind, last, expected):
    assert batch([1] * len(last), kind=kind, last=last).newest().isoformat() == expected


@pytest.mark.parametrize(
    ("kind", "last"),
    [(None, []), (None, [NO_TIME]), (pa.int64(), [5]), (None, [np.iinfo(np.int64).max])],
)
def test_series_without_a_time_have_no_newest_step(kind, last):
    assert batch([1] * len(last), kind=kind, last=last).newest() is None
