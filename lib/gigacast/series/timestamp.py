"""Timestamp columns as int64.

Whole numbers are told by the least and greatest value of the whole column, over all sources, so
that the order of rows does not matter:

========================  ================================================================
all in 19000101-22001231  dates written as numbers
greatest magnitude        below 1e8: plain steps; 1e11: seconds; 1e14: milliseconds; 1e17:
                          microseconds; else nanoseconds since 1970
========================  ================================================================

The setting ``timestamp_unit`` overrides this. Times since 1970 are written back as timestamps of
their unit, plain steps as int64, dates and timestamps as what they were, text as microseconds.
Below a microsecond times are truncated.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import IntArray
from gigacast.core.column import to_numpy
from gigacast.core.series.batch import NO_TIME
from gigacast.core.time.calendar_grid import DAY_US, first_days
from gigacast.core.time.zone import to_wall, zone_of
from gigacast.errors import SchemaError
from gigacast.series.timestamp_text import parse_times

_UNIT_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_BOUNDS = ((10**8, "step"), (10**11, "s"), (10**14, "ms"), (10**17, "us"))
_FIRST_DATE, _LAST_DATE = 19_000_101, 22_001_231


@dataclass(frozen=True, slots=True)
class Clock:
    """How a timestamp column is read and written back.

    Parameters
    ----------
    output_type : pa.DataType
        `SeriesBatch.timestamp_type`; int64 for plain steps.
    unit : str, optional
        Of columns of numbers: ``s``, ``ms``, ``us``, ``ns``, ``date`` or ``step``.
    """

    output_type: pa.DataType
    unit: str | None = None

    @property
    def counts_steps(self) -> bool:
        """Whether times are plain numbers."""
        return self.unit == "step"

    @property
    def zone(self) -> str | None:
        """The zone whose wall time days follow, ``None`` where that is the stored time."""
        return zone_of(self.output_type)

    def read(self, column: pa.Array) -> IntArray:
        """Return a column's times, int64 [R]: microseconds or steps, `NO_TIME` where null."""
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        kind = column.type
        if pa.types.is_timestamp(kind):
            return _scale(column.cast(pa.int64()), _UNIT_NS[kind.unit])
        if pa.types.is_date(kind):
            return self.read(column.cast(pa.timestamp("ms" if kind == pa.date64() else "s")))
        if pa.types.is_null(kind):
            return np.full(len(column), NO_TIME, np.int64)
        if is_text(kind):
            return parse_times(column)
        return self._read_numbers(column)

    def _read_numbers(self, column: pa.Array) -> IntArray:
        if pa.types.is_floating(column.type):
            return self._read_floats(column)
        numbers = column.cast(pa.int64())
        if self.unit == "date":
            return _read_dates(_fill(numbers))
        return _fill(numbers) if self.unit == "step" else _scale(numbers, _UNIT_NS[str(self.unit)])

    def _read_floats(self, column: pa.Array) -> IntArray:
        numbers = column.fill_null(np.nan).to_numpy(zero_copy_only=False).astype(np.float64)
        factor = 1.0 if self.unit in {"step", "date"} else _UNIT_NS[str(self.unit)] / 1000
        known = np.isfinite(numbers) & (np.abs(numbers) * factor < 2.0**62)
        times = np.full(len(numbers), NO_TIME, np.int64)
        times[known] = np.rint(numbers[known] * factor)
        return _read_dates(times) if self.unit == "date" else times


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a column holds text."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def needs_range(kind: pa.DataType) -> bool:
    """Tell whether the least and greatest value decide how a column is read."""
    if pa.types.is_dictionary(kind):
        return needs_range(kind.value_type)
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def is_time_type(kind: pa.DataType) -> bool:
    """Tell whether a column of this type can hold timestamps."""
    if pa.types.is_dictionary(kind):
        return is_time_type(kind.value_type)
    return bool(
        pa.types.is_timestamp(kind)
        or pa.types.is_date(kind)
        or is_text(kind)
        or needs_range(kind)
        or pa.types.is_null(kind)
    )


def clock_of(
    kind: pa.DataType, name: str, unit: str | None, bounds: tuple[float, float] | None
) -> Clock:
    """Return the clock of a column type.

    Parameters
    ----------
    kind : pa.DataType
    name : str
        Of the object, for the error.
    unit : str, optional
        The setting.
    bounds : tuple of float, optional
        Least and greatest number of the column; ``None`` when it has none.

    Raises
    ------
    SchemaError
        When the zone is unknown.
    """
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if needs_range(kind):
        unit = unit or unit_of(bounds)
        written = {"step": pa.int64(), "date": pa.timestamp("us")}
        return Clock(written.get(unit) or pa.timestamp(unit), unit)
    if pa.types.is_timestamp(kind):
        _check_zone(kind, name)
        return Clock(kind)
    return Clock(kind if pa.types.is_date(kind) else pa.timestamp("us"))


def unit_of(bounds: tuple[float, float] | None) -> str:
    """Return the unit that the least and greatest number of a column tell."""
    if bounds is None:
        return "step"
    least, greatest = bounds
    if least >= _FIRST_DATE and greatest <= _LAST_DATE:
        return "date"
    magnitude = max(abs(least), abs(greatest))
    return next((unit for bound, unit in _BOUNDS if magnitude < bound), "ns")


def number_range(column: pa.Array) -> tuple[float, float] | None:
    """Return the least and greatest number of a column, ``None`` when it has none."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_floating(column.type):
        column = column.filter(pc.is_finite(column))
    least, greatest = pc.min_max(column).values()
    return None if least.as_py() is None else (least.as_py(), greatest.as_py())


def _check_zone(kind: pa.DataType, name: str) -> None:
    try:
        to_wall(np.zeros(1, np.int64), zone_of(kind))
    except pa.ArrowInvalid as error:
        raise SchemaError(
            f"{name}: the time zone {kind.tz!r} is not known here",
            hint="install the system's time zone data (tzdata), or write UTC",
        ) from error


def _fill(numbers: pa.Array) -> IntArray:
    filled: IntArray = to_numpy(numbers.fill_null(NO_TIME) if numbers.null_count else numbers)
    return filled


def _scale(numbers: pa.Array, unit_ns: int) -> IntArray:
    times = _fill(numbers)
    if unit_ns == 1000:
        return times
    scaled = times // 1000 if unit_ns == 1 else times * (unit_ns // 1000)
    if numbers.null_count:
        scaled[times == NO_TIME] = NO_TIME
    return scaled


def _read_dates(numbers: IntArray) -> IntArray:
    known = (numbers >= _FIRST_DATE) & (numbers <= _LAST_DATE)
    years, rest = np.divmod(np.where(known, numbers, _FIRST_DATE), 10_000)
    month, day = np.divmod(rest, 100)
    known &= (month >= 1) & (month <= 12)
    months = (years - 1970) * 12 + np.where(known, month, 1) - 1
    first = first_days(months)
    known &= (day >= 1) & (day <= first_days(months + 1) - first)
    return np.where(known, (first + day - 1) * DAY_US, NO_TIME)
