"""Numbers and texts that look like times of forms that are not read are refused, not misread."""

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gigacast
from gigacast.core.series.batch import NO_TIME
from gigacast.core.time.number import check_steps, number_range, unit_of
from gigacast.core.time.spelling import SPELLINGS, spelling_of
from gigacast.errors import GigacastError, SchemaError
from gigacast.job.file_job import FileJob, Reading, Sources
from gigacast.quality.run import QualityJob, measure_quality
from gigacast.series.source import ColumnNames
from gigacast.series.timestamp import clock_of
from gigacast.series.timestamp_text import parse_times
from gigacast.storage.store import StoreAddress
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


SECONDS = {"Cocoa": 2001, "SAS": 1960, "NTP": 1900, "HFS": 1904, "Stata": 1960}
COUNTS = {
    "days since 1970": ("1970-01-01", 24 * 60),
    "1960": ("1960-01-01", 24 * 60),
    "spreadsheet": ("1899-12-30", 24 * 60),
    "modified Julian": ("1858-11-17", 24 * 60),
    "year 0 or 1": ("0001-01-01", 24 * 60),
    "hours since 1970": ("1970-01-01", 60),
    "minutes since 1970": ("1970-01-01", 1),
}
"""Start and minutes of counts of time."""


@pytest.mark.parametrize("name", SECONDS)
def test_seconds_since_another_year_than_1970_are_refused(name: str) -> None:
    factor = 1000 if name == "Stata" else 1
    epoch = moment(f"{SECONDS[name]}-01-01")
    numbers = [int((time - epoch).total_seconds()) * factor for time in moments()]
    with pytest.raises(SchemaError, match=f"econds since .*{name}") as refused:
        unit_of(number_range(pa.array(numbers)), "part")
    assert "--timestamp_unit" in str(refused.value.hint)
    assert clock_of(pa.int64(), "part", "s", number_range(pa.array(numbers))).unit == "s"


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("column", ["timestamp", "ds", "order_date", "Day", "epoch_minutes"])
def test_counts_of_days_and_minutes_in_a_column_called_a_time_are_refused(
    name: str, column: str
) -> None:
    start, minutes = COUNTS[name]
    numbers = [int((t - moment(start)).total_seconds()) // 60 // minutes for t in moments()]
    counts = number_range(pa.array(numbers))
    assert unit_of(counts, "part") == "step"
    with pytest.raises(SchemaError, match=f"'{column}', such as .* may be .*{name}") as refused:
        check_steps(counts, column, "part")
    assert "--timestamp_unit step" in str(refused.value.hint)
    for steps in ("step", "cycle", "index"):
        check_steps(counts, steps, "part")


@given(start=st.integers(0, 15_000), step=st.integers(1, 50))
def test_counters_from_the_start_are_steps_whatever_their_column_is_called(
    start: int, step: int
) -> None:
    check_steps(number_range(pa.array(start + step * np.arange(500))), "timestamp", "part")


@pytest.mark.parametrize("column", ["timestamp", "step"])
def test_counts_are_refused_or_steps_in_every_door(column: str, tmp_path: Path) -> None:
    table = pa.table(
        {"item_id": ["a"] * 30, column: range(28_401_120, 28_401_150), "target": [1.0] * 30}
    )
    (tmp_path / "2024/01").mkdir(parents=True)
    pq.write_table(table, tmp_path / "2024/01/part-0.parquet")
    config = tmp_path / "loader.yaml"
    schema = f"schema: {{datetime_column: {column}}}"
    config.write_text(f"parquet_loader: {{data_paths: {{root_dir: '{tmp_path}'}}, {schema}}}\n")
    naive = {"model": "seasonal-naive", "horizon": 2, "timestamp_column": column}
    files = FileJob(
        Sources(StoreAddress(tmp_path.as_uri())),
        StoreAddress(tmp_path.as_uri()),
        reading=Reading(ColumnNames(timestamp=column)),
    )
    doors: list[Callable[[], Any]] = [
        lambda: gigacast.forecast(table, **naive),
        lambda: gigacast.ParquetDataLoader(config).load_training_data("part-0", year=2024),
        lambda: raise_failure(measure_quality(QualityJob(files)).failures),
    ]
    for door in doors:
        if column == "timestamp":
            with pytest.raises(GigacastError, match="may be minutes since 1970"):
                door()
        else:
            door()


def raise_failure(failures: Sequence[Any]) -> None:
    for failure in failures:
        raise SchemaError(str(failure))


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
    # In nanoseconds, a few months of 1974 and 1990 are FILETIMEs and ticks of today; in seconds,
    # the years 1988 to 1997 are those of Cocoa, and 2032 to 2038 those of SAS.
    if spelling_of(200, (0,) * len(SPELLINGS), numbers[0], numbers[-1]):
        assert unit == "ns" or start.year in {*range(1988, 1998), *range(2031, 2039)}
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
