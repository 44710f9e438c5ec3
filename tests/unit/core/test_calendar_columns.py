"""Columns of the calendar, against pandas and loops over single steps."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gigacast.core.series.batch import NO_TIME, SeriesBatch
from gigacast.core.series.calendar import CalendarColumns, HolidayTable
from gigacast.core.series.covariate import Covariates
from gigacast.core.time.frequency import Frequency
from gigacast.errors import SchemaError

H = 6
LENGTHS = (20, 9)


def day(text: str) -> int:
    return (pd.Timestamp(text) - pd.Timestamp(0)).days


TABLE = HolidayTable(
    "XX",
    day("2010-01-01"),
    day("2030-12-31"),
    ("May Day", "New Year"),
    tuple(tuple(day(f"{y}-{d}") for y in range(2010, 2031)) for d in ("05-01", "01-01")),
    (day("2024-01-10"),),
)


def batch_of(alias: str, last: str, zone: str | None = None) -> SeriesBatch:
    lengths = np.array(LENGTHS)
    frequency = Frequency.parse(alias)
    moment = pd.Timestamp(last).value // 1000
    return SeriesBatch(
        item_ids=pa.array(["a", "b"]),
        target_names=pa.array(["target", "target"]),
        values=np.arange(lengths.sum(), dtype=np.float32),
        offsets=np.append(0, lengths.cumsum()),
        last_timestamps=np.array([moment, moment]),
        frequencies=(frequency,),
        frequency_codes=np.array([0, 0]),
        reasons=np.zeros(2, np.int8),
        timestamp_type=pa.timestamp("us", zone),
    )


def columns_of(batch: SeriesBatch, columns: CalendarColumns, steps: int = 100) -> pd.DataFrame:
    """Columns of the first series, past and future."""
    covariates = columns.add_to(batch, steps, H).covariates
    assert covariates is not None
    assert covariates.known == len(covariates.names)
    past = covariates.windows(np.array([0]), min(steps, LENGTHS[0]))[0]
    values = np.concatenate([past, covariates.future(np.array([0]), H)[0]], axis=1)
    return pd.DataFrame(values.T, columns=list(covariates.names))


def times_of(alias: str, last: str, steps: int = LENGTHS[0]) -> pd.DatetimeIndex:
    before = pd.date_range(end=last, periods=steps, freq=alias)
    return before.append(pd.date_range(last, periods=H + 1, freq=alias)[1:])


@pytest.mark.parametrize("alias", ["D", "B", "6h"])
def test_days_have_their_weekday_and_place_in_the_month(alias: str) -> None:
    table = columns_of(batch_of(alias, "2024-01-31"), CalendarColumns(calendar=True))
    times = times_of(alias, "2024-01-31")
    names = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
    np.testing.assert_array_equal(table[names].to_numpy().argmax(axis=1), times.day_of_week)
    np.testing.assert_array_equal(table[names].sum(axis=1), 1)
    np.testing.assert_array_equal(table["month_end"], times.normalize().is_month_end)
    np.testing.assert_array_equal(table["month_start"], times.normalize().is_month_start)
    assert not table["working_days"].any()


@pytest.mark.parametrize(("alias", "last"), [("MS", "2024-06-01"), ("ME", "2024-05-31")])
def test_months_have_their_working_days(alias: str, last: str) -> None:
    table = columns_of(batch_of(alias, last), CalendarColumns(calendar=True))
    expected = [
        len(pd.bdate_range(time.to_period("M").start_time, time.to_period("M").end_time))
        for time in times_of(alias, last)
    ]
    np.testing.assert_array_equal(table["working_days"], expected)
    assert not table["monday"].any()


@pytest.mark.parametrize(("alias", "last"), [("QS", "2024-04-01"), ("QE", "2024-06-30")])
def test_a_quarter_is_named_by_its_start_or_its_end(alias: str, last: str) -> None:
    table = columns_of(batch_of(alias, last), CalendarColumns(holidays=(TABLE,)))
    expected = [time.to_period("Q").quarter == 2 for time in times_of(alias, last)]
    np.testing.assert_array_equal(table["May Day XX"], expected)


@pytest.mark.parametrize("alias", ["D", "12h"])
def test_days_know_holidays_and_those_beside_them(alias: str) -> None:
    table = columns_of(batch_of(alias, "2024-01-08"), CalendarColumns(holidays=(TABLE,)))
    days = times_of(alias, "2024-01-08").normalize()
    both = pd.DatetimeIndex(["2024-01-01", "2024-01-10"])
    np.testing.assert_array_equal(table["New Year XX"], days == "2024-01-01")
    np.testing.assert_array_equal(table["holiday XX"], days.isin(both))
    day_length = pd.Timedelta(days=1)
    np.testing.assert_array_equal(table["before holiday XX"], days.isin(both - day_length))
    np.testing.assert_array_equal(table["after holiday XX"], days.isin(both + day_length))


def test_the_day_is_that_of_the_time_zone() -> None:
    # Wall times are kept in the batch; the end of the year in Tokyo is still the year in UTC.
    batch = batch_of("h", "2023-12-31 23:00", "Asia/Tokyo")
    table = columns_of(batch, CalendarColumns(holidays=(TABLE,)))
    np.testing.assert_array_equal(table["New Year XX"], [0] * LENGTHS[0] + [1] * H)


def test_compact_columns_are_categories_of_the_same_days() -> None:
    batch = batch_of("D", "2024-01-08")
    compact = CalendarColumns(calendar=True, holidays=(TABLE,), compact=True)
    covariates = compact.add_to(batch, 100, H).covariates
    assert covariates is not None
    assert len(covariates.names) < 12
    table = columns_of(batch, compact)
    wide = columns_of(batch, CalendarColumns(calendar=True, holidays=(TABLE,)))
    np.testing.assert_array_equal(table["weekday"], times_of("D", "2024-01-08").day_of_week)
    texts = covariates.categories[covariates.names.index("holiday XX")]
    assert texts == ("May Day", "New Year", "another holiday")
    np.testing.assert_array_equal(table["holiday XX"] == 1, wide["New Year XX"])
    np.testing.assert_array_equal(table["holiday XX"] >= 0, wide["holiday XX"])


def test_columns_of_the_data_stay_beside_those_of_the_calendar() -> None:
    batch = batch_of("D", "2024-01-31")
    lengths = np.array(LENGTHS) + H
    price = np.arange(lengths.sum(), dtype=np.float32)[None]
    offsets = np.append(0, lengths.cumsum())
    own = Covariates(("price",), 1, (None,), price, offsets, offsets[1:] - H, np.arange(2))
    table = columns_of(
        SeriesBatch(**{n: getattr(batch, n) for n in batch.__slots__} | {"covariates": own}),
        CalendarColumns(calendar=True),
        steps=8,
    )
    np.testing.assert_array_equal(table["price"], price[0, LENGTHS[0] - 8 : LENGTHS[0] + H])
    days = times_of("D", "2024-01-31", 8).day_of_week
    np.testing.assert_array_equal(table["sunday"], days == 6)


def test_plain_steps_and_years_without_a_table_are_refused() -> None:
    batch = batch_of("D", "1999-01-31")
    with pytest.raises(
        SchemaError, match=r"XX are known from 2010-01-01 to 2030-12-31.*1999-01-12"
    ):
        CalendarColumns(holidays=(TABLE,)).add_to(batch, 100, H)
    steps = SeriesBatch(
        **{n: getattr(batch, n) for n in batch.__slots__} | {"frequencies": (Frequency.steps(),)}
    )
    with pytest.raises(SchemaError, match="plain numbers"):
        CalendarColumns(calendar=True).add_to(steps, 100, H)


def test_series_without_times_have_no_day() -> None:
    batch = batch_of("D", "2024-01-01")
    blank = SeriesBatch(
        **{n: getattr(batch, n) for n in batch.__slots__}
        | {"last_timestamps": np.array([NO_TIME, NO_TIME]), "frequency_codes": np.array([-1, -1])}
    )
    table = columns_of(blank, CalendarColumns(calendar=True, holidays=(TABLE,)))
    assert not table[["monday", "holiday XX", "month_end"]].any().any()
