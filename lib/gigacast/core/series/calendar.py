"""Covariates that no column has to hold: weekdays, the time of the year, public holidays.

They follow from the time of a step alone, so they are known over every horizon. A step covers the
time up to the next one, a month its calendar month. The columns are the same for all series,
whatever their frequency; one that means nothing for a frequency is constant there.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from gigacast.core.array import BoolArray, DoubleArray, IntArray
from gigacast.core.digest import digest_value
from gigacast.core.series.batch import NO_TIME, SeriesBatch
from gigacast.core.series.covariate import Covariates
from gigacast.core.time.calendar_grid import (
    DAY_US,
    business_number,
    first_days,
    months_of,
    split_months,
    weekdays,
)
from gigacast.core.time.frequency import Frequency
from gigacast.errors import SchemaError

CALENDAR_REVISION = 1
"""Part of the spec. Raise it when the columns change."""
HARMONICS = (1, 2)
"""Waves per year."""
_YEAR_DAYS = 365.2425
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True)
class HolidayTable:
    """The public holidays of a country over some years.

    Parameters
    ----------
    country : str
        Code of the country, as ``GB``, or of a part of it, as ``GB-SCT``.
    first, last : int
        First and last day that the table covers, in days since 1970.
    names : tuple of str
        Holidays of most years.
    days : tuple of tuple of int
        Days of each of these, ascending.
    others : tuple of int
        Days of all other holidays, ascending.
    """

    country: str
    first: int
    last: int
    names: tuple[str, ...]
    days: tuple[tuple[int, ...], ...]
    others: tuple[int, ...] = ()

    @cached_property
    def digest(self) -> str:
        """Digest of the days, which the spec names."""
        return digest_value(
            [self.first, self.last, list(self.names), list(self.days), self.others], length=8
        )

    @cached_property
    def all_days(self) -> IntArray:
        """Days of all holidays, ascending and each once."""
        parts = [day for days in (*self.days, self.others) for day in days]
        return np.unique(np.array(parts, np.int64))


class _Column(NamedTuple):
    """A column of all steps: its name, its values and the texts of a category."""

    name: str
    values: DoubleArray
    texts: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class CalendarColumns:
    """Columns of the calendar.

    Parameters
    ----------
    calendar : bool
        Whether weekdays, ends of months and the time of the year are among them.
    holidays : tuple of HolidayTable
    compact : bool
        Whether weekdays and holidays are one category each, instead of a column for each of them:
        for a model that attends to covariates, every column is another row to compute.
    """

    calendar: bool = False
    holidays: tuple[HolidayTable, ...] = ()
    compact: bool = False

    def __bool__(self) -> bool:
        return self.calendar or bool(self.holidays)

    def add_to(self, batch: SeriesBatch, steps: int, horizon: int) -> SeriesBatch:
        """Return series with these columns among their known covariates.

        Parameters
        ----------
        batch : SeriesBatch
        steps : int
            Most steps of history that are needed; earlier values of covariates are left out.
        horizon : int
            Steps after the end of each series.

        Raises
        ------
        SchemaError
            If times are plain steps, or a table does not cover them.
        """
        if not self or not len(batch):
            return batch
        if any(frequency.kind == "steps" for frequency in batch.frequencies):
            raise SchemaError(
                "known_calendar: the times of the series are plain numbers, which have no weekday",
                hint="give timestamps, or leave --known_calendar and --known_holidays out",
            )
        covariates = _widened(batch, steps, horizon)
        columns = list(self._columns(batch, covariates))
        values = np.array([column.values for column in columns], np.float32)
        return replace(
            batch,
            covariates=replace(
                covariates,
                names=(*covariates.names, *(column.name for column in columns)),
                known=covariates.known + len(columns),
                categories=(*covariates.categories, *(column.texts for column in columns)),
                values=np.concatenate([covariates.values, values]),
            ),
        )

    def _columns(self, batch: SeriesBatch, covariates: Covariates) -> Iterator[_Column]:
        """Yield the columns over all steps of covariates, [R] each."""
        spans = _Spans.of(batch, covariates)
        if self.calendar:
            yield from _calendar_columns(spans, compact=self.compact)
        for table in self.holidays:
            spans.check_covered(table)
            yield from _holiday_columns(spans, table, compact=self.compact)


def _widened(batch: SeriesBatch, steps: int, horizon: int) -> Covariates:
    """Return covariates over the needed history and the whole horizon, of the batch's items only.

    Without covariates, each series is an item of its own.
    """
    old = batch.covariates
    rows = np.arange(len(batch))
    if old is None:
        empty = np.zeros((0, 0), np.float32)
        zeros = np.zeros(len(batch) + 1, np.int64)
        old = Covariates((), 0, (), empty, zeros, zeros[1:], rows)
    kept, items = np.unique(old.items, return_inverse=True)
    longest = np.zeros(len(kept), np.int64)
    np.maximum.at(longest, items, batch.lengths)
    starts, stops, ends = old.offsets[kept], old.offsets[kept + 1], old.ends[kept]
    past = np.minimum(np.maximum(longest, ends - starts), steps)
    lengths = past + np.maximum(horizon, stops - ends)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    within = np.arange(offsets[-1]) - np.repeat(offsets[:-1] + past, lengths)
    place = within + np.repeat(ends, lengths)
    inside = (place >= np.repeat(starts, lengths)) & (place < np.repeat(stops, lengths))
    values = np.full((len(old.names), offsets[-1]), np.nan, np.float32)
    values[:, inside] = old.values[:, place[inside]]
    return replace(old, values=values, offsets=offsets, ends=offsets[:-1] + past, items=items)


@dataclass(frozen=True)
class _Spans:
    """The days that each step covers.

    Parameters
    ----------
    first, stop : int64 [R]
        First day of each step, and the day after its last; days since 1970.
    is_long : bool [R]
        Whether the step is longer than a day.
    has_time : bool [R]
    """

    first: IntArray
    stop: IntArray
    is_long: BoolArray
    has_time: BoolArray

    @classmethod
    def of(cls, batch: SeriesBatch, covariates: Covariates) -> "_Spans":
        """Return the spans of all steps of covariates."""
        lengths = np.diff(covariates.offsets)
        # Series of an item end together: any of them knows the times.
        series = np.zeros(len(lengths), np.int64)
        series[covariates.items] = np.arange(len(batch))
        rows = np.repeat(series, lengths)
        steps = np.arange(len(rows)) - np.repeat(covariates.ends - 1, lengths)
        times = batch.times_after(rows, steps)
        first, stop = times // DAY_US, times // DAY_US + 1
        is_long = np.zeros(len(rows), np.bool_)
        for code, frequency in enumerate(batch.frequencies):
            if _is_long(frequency):
                at = np.flatnonzero(batch.frequency_codes[rows] == code)
                is_long[at] = True
                first[at], stop[at] = _days_of(frequency, first[at])
        has_time = (times != NO_TIME) & (batch.last_timestamps[rows] != NO_TIME)
        return cls(np.where(has_time, first, 0), np.where(has_time, stop, 1), is_long, has_time)

    @property
    def size(self) -> IntArray:
        """Days of each step, [R]."""
        return self.stop - self.first

    def count(self, days: IntArray, shift: int = 0) -> DoubleArray:
        """Return how many days are within each step, or the one that is ``shift`` later, [R]."""
        move = shift * self.size
        low = np.searchsorted(days, self.first + move)
        high = np.searchsorted(days, self.stop + move)
        return np.where(self.has_time, high - low, 0).astype(np.float64)

    def check_covered(self, table: HolidayTable) -> None:
        """Refuse a table that does not cover all steps.

        Raises
        ------
        SchemaError
        """
        first, last = self.first[self.has_time], self.stop[self.has_time]
        if len(first) and (first.min() < table.first or last.max() - 1 > table.last):
            low, high = (np.datetime64(day, "D") for day in (table.first, table.last))
            raise SchemaError(
                f"known_holidays: those of {table.country} are known from {low} to {high}, and the "
                f"series go from {np.datetime64(int(first.min()), 'D')} to "
                f"{np.datetime64(int(last.max()) - 1, 'D')}",
                hint="leave --known_holidays out for series of other years",
            )


def _is_long(frequency: Frequency) -> bool:
    return frequency.kind == "months" or (frequency.kind == "fixed" and frequency.count > DAY_US)


def _days_of(frequency: Frequency, days: IntArray) -> tuple[IntArray, IntArray]:
    """Return the first day of long steps at these days, and the day after their last."""
    if frequency.kind == "fixed":
        # Whether a week is named by its first or its last day, rows do not say.
        return days, days + -(-frequency.count // DAY_US)
    months = months_of(days)
    # The end of a quarter names the three months up to it, its start those from it on.
    _, day, length = split_months(days)
    start = np.where(day == length, months - frequency.count + 1, months)
    return first_days(start), first_days(start + frequency.count)


def _calendar_columns(spans: _Spans, *, compact: bool) -> Iterator[_Column]:
    is_day = ~spans.is_long & spans.has_time
    weekday = weekdays(spans.first)
    if compact:
        codes = np.where(is_day, weekday, -1).astype(np.float64)
        yield _Column("weekday", codes, _WEEKDAYS)
    else:
        for number, name in enumerate(_WEEKDAYS):
            yield _Column(name, (is_day & (weekday == number)).astype(np.float64))
    _, day, length = split_months(spans.first)
    yield _Column("month_start", (is_day & (day == 1)).astype(np.float64))
    yield _Column("month_end", (is_day & (day == length)).astype(np.float64))
    working = business_number(spans.stop - 1) - business_number(spans.first - 1)
    yield _Column("working_days", np.where(spans.is_long, working, 0).astype(np.float64))
    # From the middle of the step, so that months and days have the same year.
    middle = (spans.first + spans.stop - 1) / 2
    for waves in HARMONICS:
        angle = 2 * np.pi * waves * middle / _YEAR_DAYS
        yield _Column(f"year_sin_{waves}", np.sin(angle))
        yield _Column(f"year_cos_{waves}", np.cos(angle))


def _holiday_columns(spans: _Spans, table: HolidayTable, *, compact: bool) -> Iterator[_Column]:
    country = table.country
    total = spans.count(table.all_days)
    if compact:
        codes = np.where(total > 0, len(table.names), -1)
        for number, days in enumerate(table.days):
            codes = np.where(spans.count(np.array(days, np.int64)) > 0, number, codes)
        texts = (*table.names, "another holiday")
        yield _Column(f"holiday {country}", codes.astype(np.float64), texts)
    else:
        yield _Column(f"holiday {country}", total)
        for name, days in zip(table.names, table.days, strict=True):
            yield _Column(f"{name} {country}", spans.count(np.array(days, np.int64)))
    yield _Column(f"before holiday {country}", spans.count(table.all_days, 1))
    yield _Column(f"after holiday {country}", spans.count(table.all_days, -1))
