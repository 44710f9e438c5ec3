"""Numbers and texts that look like times of forms that are not read are refused, not misread."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.core.series.batch import NO_TIME
from gigacast.core.time.number import number_range, unit_of
from gigacast.core.time.spelling import SPELLINGS, spelling_of
from gigacast.errors import SchemaError
from gigacast.series.timestamp import clock_of
from gigacast.series.timestamp_text import parse_times
from tests.unit.series.reading import moment

FORMATS = {
    "ddmmyyyy": "%d%m%Y",
    "mmddyyyy": "%m%d%Y",
    "yymmdd": "%y%m%d",
    "yymm": "%y%m",
    "yyyyddd": "%Y%j",
    "yyyyww": "%G%V",
    "ddmmyyyyHHMM": "%d%m%Y%H%M",
    "mmddyyyyHHMM": "%m%d%Y%H%M",
    "ddmmyyyyHHMMSS": "%d%m%Y%H%M%S",
    "mmddyyyyHHMMSS": "%m%d%Y%H%M%S",
    "yymmddHHMM": "%y%m%d%H%M",
    "yymmddHHMMSS": "%y%m%d%H%M%S",
}


def moments(count: int = 420, hours: int = 29) -> list[dt.datetime]:
    start = moment("2023-06-03 01:07:09")
    return [start + dt.timedelta(hours=hours * k) for k in range(count)]


def quarters() -> list[int]:
    return [(2015 + k // 4) * 10 + k % 4 + 1 for k in range(20)]


@pytest.mark.parametrize("name", [spelling.name for spelling in SPELLINGS])
@pytest.mark.parametrize("kind", [pa.int64(), pa.float64(), pa.decimal128(20)])
def test_dates_in_another_order_are_refused_and_named(name: str, kind: pa.DataType) -> None:
    numbers = [int(t.strftime(FORMATS[name])) for t in moments()] if name in FORMATS else quarters()
    array = pa.array(numbers).cast(kind)
    # A date whose first number is the day and the month at once has two such forms.
    with pytest.raises(SchemaError, match="may be dates of the form") as refused:
        unit_of(number_range(array), "part")
    assert name in str(refused.value) or name.startswith("mmdd")
    assert "--timestamp_unit" in str(refused.value.hint)
    assert clock_of(array.type, "part", "step", number_range(array)).unit == "step"


@pytest.mark.parametrize(
    ("epoch", "words"), [(moment("0001-01-01"), "NET"), (moment("1601-01-01"), "FILETIME")]
)
def test_counts_of_a_hundred_nanoseconds_are_refused(epoch: dt.datetime, words: str) -> None:
    numbers = [int((time - epoch).total_seconds()) * 10**7 for time in moments()]
    with pytest.raises(SchemaError, match=words):
        unit_of(number_range(pa.array(numbers)), "part")
    assert clock_of(pa.int64(), "part", "ns", number_range(pa.array(numbers))).unit == "ns"


@given(start=st.integers(0, 10**7), step=st.integers(1, 12), count=st.integers(400, 600))
def test_counters_are_steps(start: int, step: int, count: int) -> None:
    numbers = start + step * np.arange(count)
    assert unit_of(number_range(pa.array(numbers)), "part") == "step"


@given(
    start=st.datetimes(moment("1975-01-01"), moment("2040-01-01")),
    minutes=st.sampled_from([1, 15, 60, 1440]),
    unit=st.sampled_from(["s", "ms", "us", "ns"]),
)
def test_times_since_1970_keep_their_unit(start: dt.datetime, minutes: int, unit: str) -> None:
    factor = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    first = int((start - moment("1970-01-01")).total_seconds())
    numbers = [(first + 60 * minutes * k) * factor for k in range(200)]
    # In nanoseconds, a few months of 1974 and 1990 are FILETIMEs and ticks of today.
    if unit == "ns" and spelling_of(200, (0,) * len(SPELLINGS), numbers[0], numbers[-1]):
        return
    assert unit_of(number_range(pa.array(numbers)), "part") == unit


def test_months_and_days_that_are_all_valid_stay_what_they_were() -> None:
    months = pa.array([202401 + k for k in range(12)])
    days = pa.array([20240101 + k for k in range(20)])
    years = pa.array(list(range(2001, 2021)))
    assert [unit_of(number_range(a), "p") for a in (months, days, years)] == [
        "yyyymm",
        "date",
        "step",
    ]


def test_the_evidence_of_several_batches_is_that_of_their_numbers() -> None:
    numbers = [int(t.strftime("%d%m%Y")) for t in moments()]
    first, second = number_range(pa.array(numbers[:200])), number_range(pa.array(numbers[200:]))
    assert first is not None
    assert second is not None
    with pytest.raises(SchemaError, match="ddmmyyyy"):
        unit_of(first + second, "part")
    counter = number_range(pa.array([5]))
    assert counter is not None
    assert unit_of(first + counter, "part") == "step"


def test_texts_of_six_digits_that_are_no_months_are_refused() -> None:
    days = [time.strftime("%y%m%d") for time in moments()]
    with pytest.raises(SchemaError, match="no year and month"):
        parse_times(pa.array(days), "part")
    months = parse_times(pa.array(["202401", "202412", None]), "part")
    assert (months != NO_TIME).tolist() == [True, True, False]


def test_texts_of_four_digits_are_years_of_our_time_only() -> None:
    times = parse_times(pa.array(["2024", "2401", "2312", "1999"]), "part")
    assert (times != NO_TIME).tolist() == [True, False, False, True]


@pytest.mark.parametrize("bare", ["2024-01-02T00:00:00", "2024-01-02", "2024-01-02 00:00"])
@pytest.mark.parametrize("zoned", ["2024-01-01T00:00:00Z", "2024-01-01 00:00+02:00"])
def test_times_with_and_without_an_offset_are_not_mixed(bare: str, zoned: str) -> None:
    with pytest.raises(SchemaError, match="have an offset from UTC") as refused:
        parse_times(pa.array([zoned, bare, None]), "part")
    assert refused.value.hint == "write all of them with an offset, or all without"
    # Texts that are no times have no say.
    assert parse_times(pa.array([zoned, "unknown"]), "part")[1] == NO_TIME


def test_utc_and_gmt_are_offsets() -> None:
    texts = ["2024-01-01 10:00:00 UTC", "2024-01-01T10:00 GMT", "2024-01-01T12:00:00+02:00"]
    assert len(set(parse_times(pa.array(texts), "part").tolist())) == 1
