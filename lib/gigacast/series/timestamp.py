"""Timestamp columns as int64.

`gigacast.core.time.number` finds the unit of columns of numbers; the setting ``timestamp_unit``
overrides it.

Forecasts get numbers since 1970 back as timestamps of their unit (microseconds if a number has a
fraction), plain steps as int64, dates and timestamps in their own type, numbers that spell
calendars and text as timestamps in microseconds. A type that cannot hold the steps of the frequency
becomes timestamps in microseconds (`widened`).

Databases write the year 9999 for "open end" and the year 1 for "missing"; moments beyond them
cannot be counted in microseconds. None of these is a time: their rows are dropped and counted.
Fractions of a microsecond are cut off; times less than a microsecond apart are refused.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import IntArray
from gigacast.core.column import to_numpy
from gigacast.core.series.batch import NO_TIME, wide_type
from gigacast.core.time.calendar_grid import DAY_US
from gigacast.core.time.frequency import Frequency
from gigacast.core.time.number import (
    CALENDAR_FORMS,
    NOISE,
    NumberRange,
    check_floats,
    fraction_error,
    unit_of,
)
from gigacast.core.time.zone import to_wall, with_readable_zone, zone_of
from gigacast.errors import SchemaError
from gigacast.series.timestamp_text import has_offsets, mixed_offsets, parse_times, too_fine

_UNIT_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_YEAR_2, _YEAR_9999 = -62_104_060_800_000_000, 253_370_764_800_000_000  # microseconds
# Steps are bounded to half of int64, so that sums and differences of them cannot overflow.
_STEP_END = 2**62
_SAMPLE = 1000
"""Texts of a column in which its first time is looked for."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Rules to read a timestamp column and to write it back.

    Parameters
    ----------
    output_type : pa.DataType
        Type of the forecasts' timestamps (`SeriesBatch.timestamp_type`); int64 for plain steps.
    unit : str, optional
        Unit of a column of numbers: ``s``, ``ms``, ``us``, ``ns``, ``step``, ``date`` (yyyymmdd) or
        another of `CALENDAR_FORMS`; ``None`` for other columns.
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

    @property
    def end(self) -> int:
        """The first number that is no time any more."""
        return _STEP_END if self.counts_steps else _YEAR_9999

    def read(self, column: pa.Array, name: str = "timestamps") -> IntArray:
        """Return the times of a column, int64 [R]: microseconds or steps, `NO_TIME` for nulls.

        Parameters
        ----------
        column : pa.Array
            Column of the type for which the clock is made.
        name : str
            Name of the object, for error messages.

        Raises
        ------
        SchemaError
            If steps have a fraction, or times are less than a microsecond apart.
        """
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        times = self._read(column, name)
        if len(times) == 0:
            return times
        first = -_STEP_END if self.counts_steps else _YEAR_2
        if times.max() >= self.end or times.min() < first:
            return np.where((times >= first) & (times < self.end), times, NO_TIME)
        return times

    def _read(self, column: pa.Array, name: str) -> IntArray:
        kind = column.type
        if pa.types.is_timestamp(kind):
            return _scale(column.cast(pa.int64()), _UNIT_NS[kind.unit], name)
        if pa.types.is_date(kind):
            return _read_dates(column)
        if pa.types.is_null(kind):
            return np.full(len(column), NO_TIME, np.int64)
        if is_text(kind) or is_bytes(kind):
            return parse_times(column.cast(pa.string()) if is_bytes(kind) else column, name)
        if pa.types.is_floating(kind):
            return self._read_floats(column, name)
        return self._read_integers(column, name)

    def _read_integers(self, column: pa.Array, name: str) -> IntArray:
        if pa.types.is_uint64(column.type):
            # Numbers beyond int64 are no times in any unit.
            is_number = pc.less(column, pa.scalar(_STEP_END, pa.uint64()))
            column = pc.if_else(is_number, column, pa.scalar(None, pa.uint64()))
        numbers = column.cast(pa.int64())
        if (form := CALENDAR_FORMS.get(str(self.unit))) is not None:
            return form.read(_fill(numbers))
        if self.unit == "step":
            return _fill(numbers)
        return _scale(numbers, _UNIT_NS[str(self.unit)], name)

    def _read_floats(self, column: pa.Array, name: str) -> IntArray:
        numbers = column.fill_null(np.nan).to_numpy(zero_copy_only=False).astype(np.float64)
        factor = _UNIT_NS.get(str(self.unit), 1000) / 1000
        # Converting a float beyond int64 is undefined in C.
        is_valid = np.isfinite(numbers) & (np.abs(numbers) * factor < _STEP_END)
        times = np.full(len(numbers), NO_TIME, np.int64)
        times[is_valid] = np.rint(numbers[is_valid] * factor)
        if self.unit in _UNIT_NS:
            return times
        off = np.abs(numbers[is_valid] - times[is_valid])
        if len(off) and off.max() > NOISE:
            raise fraction_error(numbers[is_valid][off.argmax()], name)
        form = CALENDAR_FORMS.get(str(self.unit))
        return times if form is None else form.read(times)


class OffsetGuard:
    """Notices columns of texts with an offset from UTC among columns of wall times.

    Within a column `parse_times` does. The rows of one partition come in batches, of several files.
    """

    def __init__(self) -> None:
        self._seen: dict[bool, tuple[str, str]] = {}

    def check(self, column: pa.Array, name: str) -> None:
        """Compare the first time of a column with those of the columns before.

        Raises
        ------
        SchemaError
            If one has an offset and the other has none; the message names both objects.
        """
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if not (is_text(column.type) or is_bytes(column.type)):
            return
        texts = column.drop_null()[:_SAMPLE].cast(pa.string())
        readable = np.flatnonzero(parse_times(texts, name) != NO_TIME)
        if len(readable) == 0:
            return
        text = str(texts[int(readable[0])])
        is_zoned = has_offsets(pa.array([text.strip()]))
        if len(self._seen) == 1 and is_zoned not in self._seen:
            earlier = self._seen[not is_zoned]
            zoned, bare = ((name, text), earlier) if is_zoned else (earlier, (name, text))
            elsewhere = f" in {bare[0]}" if bare[0] != zoned[0] else ""
            raise mixed_offsets(zoned[0], zoned[1], bare[1], elsewhere)
        self._seen.setdefault(is_zoned, (name, text))


def is_text(kind: pa.DataType) -> bool:
    """Check whether a column holds text."""
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def needs_range(kind: pa.DataType) -> bool:
    """Check whether the numbers of a column decide its unit."""
    if pa.types.is_dictionary(kind):
        return needs_range(kind.value_type)
    is_whole = pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0)
    return bool(is_whole or pa.types.is_floating(kind))


def is_bytes(kind: pa.DataType) -> bool:
    """Check whether a column holds bytes, which some writers of Parquet make of texts."""
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )


def is_time_type(kind: pa.DataType) -> bool:
    """Check that a column of this type can hold timestamps."""
    if pa.types.is_dictionary(kind):
        return is_time_type(kind.value_type)
    return bool(
        pa.types.is_timestamp(kind)
        or pa.types.is_date(kind)
        or is_text(kind)
        or is_bytes(kind)
        or needs_range(kind)
        or pa.types.is_null(kind)
    )


def clock_of(kind: pa.DataType, name: str, unit: str | None, numbers: NumberRange | None) -> Clock:
    """Return the clock for a column type.

    Parameters
    ----------
    kind : pa.DataType
        Type of the timestamp column.
    name : str
        Name of the object, for error messages.
    unit : str or None
        Unit from the settings.
    numbers : NumberRange or None
        Evidence of a column of numbers; ``None`` if it has none, or is not needed.

    Raises
    ------
    SchemaError
        If the time zone is unknown, or the numbers are no timestamps of one unit.
    """
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if needs_range(kind):
        unit = unit or unit_of(numbers, name)
        check_floats(kind, numbers, unit, name)
        if unit == "step":
            return Clock(pa.int64(), unit)
        has_fraction = numbers is not None and numbers.fraction is not None
        return Clock(pa.timestamp(unit if unit in _UNIT_NS and not has_fraction else "us"), unit)
    if pa.types.is_timestamp(kind):
        _check_zone(kind, name)
        return Clock(with_readable_zone(kind))
    return Clock(kind if pa.types.is_date(kind) else pa.timestamp("us"))


def widened(kind: pa.DataType, freq: Frequency) -> pa.DataType:
    """Return an output type; timestamps in microseconds if it cannot hold the steps of freq."""
    if freq.kind != "fixed" or pa.types.is_integer(kind):
        return kind
    unit_us = DAY_US if pa.types.is_date(kind) else _UNIT_NS[kind.unit] // 1000 or 1
    if freq.count % unit_us == 0:
        return kind
    return wide_type(kind)


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


def _scale(numbers: pa.Array, unit_ns: int, name: str = "") -> IntArray:
    times = _fill(numbers)
    if unit_ns == 1000 or len(times) == 0:
        return times
    if unit_ns == 1:
        # Floor division: a time before 1970 must not round to a later one.
        scaled = times // 1000
        _check_nanoseconds(times, scaled, name)
    else:
        factor = unit_ns // 1000
        limit = _STEP_END // factor  # beyond the year 140,000, where the product would wrap
        is_wide = times.max() > limit or times.min() < -limit
        fits = np.clip(times, -limit, limit) if is_wide else times
        scaled = fits * factor
    if numbers.null_count:
        scaled[times == NO_TIME] = NO_TIME
    return scaled


def _read_dates(column: pa.Array) -> IntArray:
    if pa.types.is_date64(column.type):
        return _scale(column.cast(pa.int64()), _UNIT_NS["ms"])
    return _scale(column.cast(pa.int32()).cast(pa.int64()), DAY_US * 1000)


def _check_nanoseconds(times: IntArray, scaled: IntArray, name: str) -> None:
    """Check that no times become equal because a fraction of a microsecond is cut off."""
    if (scaled * 1000 == times).all():
        return
    gaps = np.abs(np.diff(times))
    if ((gaps > 0) & (gaps < 1000)).any():
        raise too_fine(name)
