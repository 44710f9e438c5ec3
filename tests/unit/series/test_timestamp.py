"""Timestamps of every type as microseconds."""

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.core.series.batch import NO_TIME
from gigacast.core.time.frequency import Frequency
from gigacast.core.time.number import number_range, unit_of
from gigacast.errors import SchemaError
from gigacast.series.timestamp import clock_of, widened
from gigacast.series.timestamp_text import parse_times
from tests.unit.series.reading import moment, read


def micros(text: str) -> int:
    return int(pd.Timestamp(text).asm8.astype("datetime64[us]").astype(np.int64))


def times(array: pa.Array, unit: str | None = None) -> list:
    bounds = None
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        bounds = number_range(array)
    return clock_of(array.type, "part", unit, bounds).read(array).tolist()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_timestamps_of_any_unit_and_zone_are_utc_microseconds(unit, zone):
    moments = [moment("1950-03-01 12:00"), None, moment("2024-02-29 23:59:59")]
    array = pa.array(moments, pa.timestamp(unit, zone))
    assert times(array) == [micros("1950-03-01 12:00"), NO_TIME, micros("2024-02-29 23:59:59")]
    assert clock_of(array.type, "part", None, None).output_type == array.type


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()])
def test_dates_are_their_midnights_and_stay_dates(kind):
    array = pa.array([dt.date(1969, 12, 31), None], kind)
    assert times(array) == [-86_400_000_000, NO_TIME]
    assert clock_of(kind, "part", None, None).output_type == kind


@pytest.mark.parametrize(
    ("number", "unit"),
    [(0, "step"), (99_999_999, "step"), (-5, "step"), (1_700_000_000, "s"), (10**8, "s"),
     (1_700_000_000_000, "ms"), (1_700_000_000_000_000, "us"), (1_700_000_000_000_000_000, "ns"),
     (20240229, "date")],
)  # fmt: skip
def test_the_greatest_magnitude_of_a_column_decides_the_unit(number, unit):
    assert unit_of(number_range(pa.array([number]))) == unit


def test_whole_numbers_are_scaled_to_microseconds():
    assert times(pa.array([0, None, 1_700_000_000])) == [0, NO_TIME, 1_700_000_000_000_000]
    assert times(pa.array([1, None, 3], pa.int16())) == [1, NO_TIME, 3]
    assert times(pa.array([0, 86_400], pa.uint32()), "s") == [0, 86_400_000_000]
    assert times(pa.array([1.5e9, np.nan, 1.5e9 + 0.25])) == [
        15 * 10**14,
        NO_TIME,
        15 * 10**14 + 250_000,
    ]


def test_eight_digit_dates_are_dates_and_impossible_ones_have_no_time():
    dates = pa.array([20240229, 20230229, 20241301, 20240301])
    expected = [micros("2024-02-29"), NO_TIME, NO_TIME, micros("2024-03-01")]
    assert times(dates) == expected


def test_a_column_of_nulls_has_no_times():
    assert times(pa.nulls(2)) == [NO_TIME, NO_TIME]


def test_dictionaries_are_decoded():
    assert times(pa.array(["2024-01-01", None, "2024-01-01"]).dictionary_encode())[1] == NO_TIME


def test_an_unknown_zone_is_named():
    with pytest.raises(SchemaError, match="Mars/Olympus"):
        clock_of(pa.timestamp("us", "Mars/Olympus"), "part", None, None)


def test_a_fraction_of_a_second_widens_the_output_type_to_microseconds():
    tenths = pa.array([1.5e9, 1.5e9 + 0.1])
    clock = clock_of(tenths.type, "part", None, number_range(tenths))
    assert (clock.unit, clock.output_type) == ("s", pa.timestamp("us"))
    assert times(tenths) == [15 * 10**14, 15 * 10**14 + 100_000]
    numbers = pa.array([1.5e9, 1.5e9 + 1])
    assert clock_of(numbers.type, "part", None, number_range(numbers)).output_type == pa.timestamp(
        "s"
    )


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
@pytest.mark.parametrize("number", [2**63 - 1, -(2**63) + 1, 2**62])
def test_moments_beyond_the_calendar_have_no_time_and_do_not_wrap(unit, number):
    assert times(pa.array([number, 0], pa.timestamp(unit))) == [NO_TIME, 0]
    assert times(pa.array([number, 0]), unit) == [NO_TIME, 0]


def test_dates_beyond_the_calendar_have_no_time():
    days = pa.array([2**31 - 1, -(2**31), 0], pa.int32()).cast(pa.date32())
    assert times(days) == [NO_TIME, NO_TIME, 0]
    assert times(pa.array([2**64 - 1, 0], pa.uint64()), "s") == [NO_TIME, 0]


@pytest.mark.parametrize("form", ["timestamp", "date", "text", "seconds"])
def test_open_ends_and_missing_moments_have_no_time(form):
    moments = [moment("9999-12-31"), moment("0001-01-01"), moment("2024-01-01")]
    columns = {
        "timestamp": pa.array(moments, pa.timestamp("us")),
        "date": pa.array([m.date() for m in moments]),
        "text": pa.array([str(m) for m in moments]),
        "seconds": pa.array(moments, pa.timestamp("us")).cast(pa.timestamp("s")).cast(pa.int64()),
    }
    unit = "s" if form == "seconds" else None
    assert times(columns[form], unit) == [NO_TIME, NO_TIME, micros("2024-01-01")]


def test_times_less_than_a_microsecond_apart_are_refused():
    first = 1_700_000_000_000_000_000
    apart = pa.array([first, first + 500], pa.timestamp("ns"))
    with pytest.raises(SchemaError, match=r"part: .* less than a microsecond apart"):
        clock_of(apart.type, "part", None, None).read(apart, "part")
    with pytest.raises(SchemaError, match="less than a microsecond apart"):
        parse_times(pa.array(["2024-01-01 00:00:00.0000001", "2024-01-01 00:00:00.0000002"]))
    same = pa.array([first + 1, first + 1, first + 2001], pa.timestamp("ns"))
    assert times(same) == [first // 1000, first // 1000, first // 1000 + 2]


@pytest.mark.parametrize(
    ("kind", "freq", "wide"),
    [
        (pa.date32(), "12h", pa.timestamp("us")), (pa.date64(), "90min", pa.timestamp("us")),
        (pa.date32(), "2D", pa.date32()), (pa.date32(), "MS", pa.date32()),
        (pa.date32(), "B", pa.date32()), (pa.timestamp("s"), "100ms", pa.timestamp("us")),
        (pa.timestamp("s", "UTC"), "1500ms", pa.timestamp("us", "UTC")),
        (pa.timestamp("s"), "min", pa.timestamp("s")),
        (pa.timestamp("ms"), "5us", pa.timestamp("us")),
        (pa.timestamp("ns"), "us", pa.timestamp("ns")), (pa.int64(), "5", pa.int64()),
    ],
)  # fmt: skip
def test_an_output_type_is_widened_only_if_it_cannot_hold_the_steps(kind, freq, wide):
    assert widened(kind, Frequency.parse(freq)) == wide


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2024-03-01", "2024-03-01"), ("2024-03-01 10", "2024-03-01 10:00"),
        ("2024-03-01T10:15", "2024-03-01 10:15"), ("2024-03-01 10:15:30", "2024-03-01 10:15:30"),
        ("2024-03-01 10:15:30.5", "2024-03-01 10:15:30.5"),
        ("2024-03-01 10:15:30.123456789", "2024-03-01 10:15:30.123456"),
        ("2024-03-01T10:15:30Z", "2024-03-01 10:15:30"),
        ("2024-03-01T10:15:30+02:00", "2024-03-01 08:15:30"),
        ("2024-03-01 10:15:30-0530", "2024-03-01 15:45:30"),
        ("2024/3/1", "2024-03-01"), ("2024.03.01 7:05", "2024-03-01 07:05"),
        ("20240301", "2024-03-01"), ("20240301T101530", "2024-03-01 10:15:30"),
        ("2024030110", "2024-03-01 10:00"), ("202403011015", "2024-03-01 10:15"),
        ("20240301101530", "2024-03-01 10:15:30"),
        ("20240301101530250", "2024-03-01 10:15:30.25"),
        ("20240301101530Z", "2024-03-01 10:15:30"),
        ("2024-03", "2024-03-01"), ("202403", "2024-03-01"), ("2024Q2", "2024-04-01"),
        ("2024-q4", "2024-10-01"), ("2024", "2024-01-01"), (" 1931-02-28 ", "1931-02-28"),
    ],
)  # fmt: skip
def test_iso_and_common_forms_of_text_are_read(text, same):
    assert parse_times(pa.array([text])).tolist() == [micros(same)]
    assert parse_times(pa.array([text, "?"])).tolist() == [micros(same), NO_TIME]


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2024-02-30", "2024-13-01", "2024-00-10", "2024-01-00",
     "2024-01-01 10:60", "01/02/2024", "2024-01-01x", "2024-01-01 10:15:30+", "12",
     "1704067200", "1712010112", "2024013124", "202401311260", "20240131101560"],
)  # fmt: skip
def test_unreadable_text_has_no_time(text):
    assert parse_times(pa.array([text, None])).tolist() == [NO_TIME, NO_TIME]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.datetimes(moment("1700-01-01"), moment("2250-01-01")), min_size=1))
def test_the_patterns_read_what_arrow_reads_to_the_same_time(moments):
    text = [str(moment) for moment in moments]
    fast = parse_times(pa.array(text)).tolist()
    assert parse_times(pa.array([*text, "no time"])).tolist() == [*fast, NO_TIME]
    assert fast == [micros(moment) for moment in text]


def test_the_end_of_a_day_is_the_start_of_the_next_one() -> None:
    texts = ["2024-02-28 24:00", "2024-12-31T24:00:00", "20240229T240000", "2024-01-01 00:00"]
    times = parse_times(pa.array([*texts, "2024-01-01 24:01", "2024-01-01 25:00"]))
    expected = ["2024-02-29", "2025-01-01", "2024-03-01", "2024-01-01"]
    assert times[:4].tolist() == [to_us(day) for day in expected]
    assert times[4:].tolist() == [NO_TIME, NO_TIME]


def to_us(day: str) -> int:
    return int(np.datetime64(day, "us").astype(np.int64))


def test_days_of_a_spreadsheet_in_a_column_of_dates_are_refused() -> None:
    days = pa.array(range(45_292, 45_312))  # from 1 January 2024
    table = pa.table({"item_id": ["a"] * 20, "date": days, "value": [1.0] * 20})
    with pytest.raises(
        SchemaError, match=r"'date', such as 45292, may be days of a spread"
    ) as caught:
        read(table)
    assert "--timestamp_unit step" in str(caught.value.hint)
    assert len(read(table, timestamp_unit="step")) == 1
    with pytest.raises(SchemaError, match="may be days of a spreadsheet"):
        read(table.rename_columns(["item_id", "timestamp", "value"]))
