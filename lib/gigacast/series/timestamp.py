"""Timestamp columns as int64.

The unit of integers follows from the least and greatest value of the column, over all sources, so
that the order of the rows does not matter:

========================  ================================================================
all in 19000101-22001231  dates written as numbers
greatest magnitude        below 1e8: plain steps; below 1e11: seconds; below 1e14:
                          milliseconds; below 1e17: microseconds; else nanoseconds since 1970
========================  ================================================================

In each unit the range stands for the years 1973 to 5138 (1e8 and 1e11 seconds after 1970), so no
current time is in the range of another unit. The setting ``timestamp_unit`` overrides the rule.

Forecasts get numbers since 1970 back as timestamps of their unit, plain steps as int64, dates and
timestamps in their own type, and text as timestamps in microseconds. Fractions of a microsecond are
cut off.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import IntArray
from gigacast.core.column import to_numpy
from gigacast.core.series.batch import NO_TIME
from gigacast.core.time.calendar_grid import DAY_US, first_days
from gigacast.core.time.zone import to_wall, with_readable_zone, zone_of
from gigacast.errors import SchemaError
from gigacast.series.timestamp_text import parse_times

_UNIT_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_BOUNDS = ((10**8, "step"), (10**11, "s"), (10**14, "ms"), (10**17, "us"))
_FIRST_DATE, _LAST_DATE = 19_000_101, 22_001_231


@dataclass(frozen=True, slots=True)
class Clock:
    """Rules to read a timestamp column and to write it back.

    Parameters
    ----------
    output_type : pa.DataType
        Type of the forecasts' timestamps (`SeriesBatch.timestamp_type`); int64 for plain steps.
    unit : str, optional
        Unit of a column of numbers: ``s``, ``ms``, ``us``, ``ns``, ``date`` or ``step``; ``None``
        for other columns.
    """

    output_type: pa.DataType
    unit: str | None = None

    @property
    def counts_steps(self) -> bool:
        """Whether times are plain steps."""
        return self.unit == "step"

    @property
    def zone(self) -> str | None:
        """The zone that defines days and wall time; ``None`` if the stored time is wall time."""
        return zone_of(self.output_type)

    def read(self, column: pa.Array) -> IntArray:
        """Return the times of a column, int64 [R]: microseconds or steps, `NO_TIME` for nulls."""
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
        # Converting a float beyond int64 is undefined in C. Half of the range is the bound, so that
        # later sums and differences of times cannot overflow either.
        is_valid = np.isfinite(numbers) & (np.abs(numbers) * factor < 2.0**62)
        times = np.full(len(numbers), NO_TIME, np.int64)
        times[is_valid] = np.rint(numbers[is_valid] * factor)
        return _read_dates(times) if self.unit == "date" else times


def is_text(kind: pa.DataType) -> bool:
    """Check whether a column holds text."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def needs_range(kind: pa.DataType) -> bool:
    """Check whether the least and greatest value of a column decide its unit."""
    if pa.types.is_dictionary(kind):
        return needs_range(kind.value_type)
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def is_time_type(kind: pa.DataType) -> bool:
    """Check that a column of this type can hold timestamps."""
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
    """Return the clock for a column type.

    Parameters
    ----------
    kind : pa.DataType
        Type of the timestamp column.
    name : str
        Name of the object, for error messages.
    unit : str or None
        Unit from the settings.
    bounds : tuple of float or None
        Least and greatest number of the column; ``None`` if it has none.

    Raises
    ------
    SchemaError
        If the time zone is unknown.
    """
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if needs_range(kind):
        unit = unit or unit_of(bounds)
        written = {"step": pa.int64(), "date": pa.timestamp("us")}
        return Clock(written.get(unit) or pa.timestamp(unit), unit)
    if pa.types.is_timestamp(kind):
        _check_zone(kind, name)
        return Clock(with_readable_zone(kind))
    return Clock(kind if pa.types.is_date(kind) else pa.timestamp("us"))


def unit_of(bounds: tuple[float, float] | None) -> str:
    """Return the unit of a column from its least and greatest number."""
    if bounds is None:
        return "step"
    least, greatest = bounds
    if least >= _FIRST_DATE and greatest <= _LAST_DATE:
        return "date"
    magnitude = max(abs(least), abs(greatest))
    return next((unit for bound, unit in _BOUNDS if magnitude < bound), "ns")


def number_range(column: pa.Array) -> tuple[float, float] | None:
    """Return the least and greatest number of a column, or ``None`` if it has none."""
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
            f"{name}: the time zone {kind.tz!r} is not known on this machine",
            hint="install the system's time zone data (tzdata), or write UTC",
        ) from error


def _fill(numbers: pa.Array) -> IntArray:
    filled: IntArray = to_numpy(numbers.fill_null(NO_TIME) if numbers.null_count else numbers)
    return filled


def _scale(numbers: pa.Array, unit_ns: int) -> IntArray:
    times = _fill(numbers)
    if unit_ns == 1000:
        return times
    # Floor division: a time before 1970 must not round to a later one. The multiplication would
    # turn NO_TIME into another number.
    scaled = times // 1000 if unit_ns == 1 else times * (unit_ns // 1000)
    if numbers.null_count:
        scaled[times == NO_TIME] = NO_TIME
    return scaled


def _read_dates(numbers: IntArray) -> IntArray:
    is_valid = (numbers >= _FIRST_DATE) & (numbers <= _LAST_DATE)
    years, rest = np.divmod(np.where(is_valid, numbers, _FIRST_DATE), 10_000)
    month, day = np.divmod(rest, 100)
    is_valid &= (month >= 1) & (month <= 12)
    months = (years - 1970) * 12 + np.where(is_valid, month, 1) - 1
    first = first_days(months)
    is_valid &= (day >= 1) & (day <= first_days(months + 1) - first)
    return np.where(is_valid, (first + day - 1) * DAY_US, NO_TIME)
