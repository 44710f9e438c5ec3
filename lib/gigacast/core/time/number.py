"""Timestamps written as numbers: the evidence for their unit, and numbers that spell calendars.

The unit of a column follows from all its numbers, over all sources, so that neither the order of
the rows nor their division into files matters:

1. *Calendars.* All numbers are valid ones of a form, ``yyyymm``, ``yyyymmdd``, ``yyyymmddHH``,
   ``yyyymmddHHMM``, ``yyyymmddHHMMSS`` or the same with milliseconds, from 1900 to 2200. Numbers
   that stand for "missing" or "open end" have no time and do not count: 0, -1, the first moment of
   the year 1, the year 9999. A few impossible ones (``20230229``) have no time either, as
   unreadable text has none. A column with any other number among them is refused.
2. *Since 1970.* The greatest magnitude decides: below 1e11 seconds, below 1e14 milliseconds, below
   1e17 microseconds, else nanoseconds. In each unit the range stands for the years 1973 to 5138, so
   no current time is in the range of another unit. The year 9999 ("open end") does not count. A
   column of two units is refused.
3. *Steps.* Numbers below 1e8 are plain steps. Steps with a fraction are refused.
4. Numbers that all look like dates of another form, such as ``ddmmyyyy``, or like seconds since
   another year than 1970, are refused, and so are steps that look like days, hours or minutes since
   some year in a column that is called a time (`gigacast.core.time.spelling`).

The setting ``timestamp_unit`` overrides the rules.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gigacast.core.array import BoolArray, IntArray
from gigacast.core.column import to_numpy
from gigacast.core.series.batch import NO_TIME
from gigacast.core.time.calendar_grid import DAY_US, first_days
from gigacast.core.time.spelling import (
    LEAST_NUMBERS,
    SPELLINGS,
    count_of_time,
    count_spelled,
    spelling_of,
)
from gigacast.errors import SchemaError

_BOUNDS = ((10**8, "step"), (10**11, "s"), (10**14, "ms"), (10**17, "us"))
_UNITS = ("s", "ms", "us", "ns")
# Each unit's magnitudes in two parts: numbers of the years 1973 to 2042, and greater ones.
_EDGES = np.array([1e8, 2.3e9, 1e11, 2.3e12, 1e14, 2.3e15, 1e17])
_YEAR_9999_S = (253_370_764_800, 253_402_300_800)  # seconds since 1970
_FEW = 10
NOISE = 1e-6
"""The most that float arithmetic adds to a whole number of steps."""
_WHOLE_DIGITS = {2: 2**11, 4: 2**24, 8: 2**53}  # whole numbers a float holds, by its bytes

_Numbers = npt.NDArray[np.int64] | npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CalendarForm:
    """A form of numbers that spell a calendar.

    Parameters
    ----------
    name : str
        Unit of a column of such numbers (`Clock.unit`).
    scale : int
        Factor of the year.
    """

    name: str
    scale: int

    def covers(self, numbers: _Numbers) -> BoolArray:
        """Return the mask of the numbers from 1900 to 2200, valid or not."""
        inside: BoolArray = (numbers >= 1900 * self.scale) & (numbers < 2201 * self.scale)
        return inside

    def read(self, numbers: IntArray) -> IntArray:
        """Return the microseconds since 1970 of each number; `NO_TIME` for those of no moment."""
        is_valid = self.covers(numbers)
        # All forms are filled up to the longest, yyyymmddHHMMSS and milliseconds: 17 digits.
        digits = np.where(is_valid, numbers, 1900 * self.scale) * (10**13 // self.scale)
        if self.scale == 100:
            digits = digits + 10**9  # months have no day: the first
        year, month, day = digits // 10**13, digits // 10**11 % 100, digits // 10**9 % 100
        hour, minute, second = (digits // 10**n % 100 for n in (7, 5, 3))
        is_valid &= (month >= 1) & (month <= 12) & (hour < 24) & (minute < 60) & (second < 60)
        months = (year - 1970) * 12 + np.where(is_valid, month, 1) - 1
        first = first_days(months)
        is_valid &= (day >= 1) & (day <= first_days(months + 1) - first)
        clock = ((hour * 60 + minute) * 60 + second) * 1000 + digits % 1000
        return np.where(is_valid, (first + day - 1) * DAY_US + clock * 1000, NO_TIME)

    def markers(self, numbers: _Numbers) -> BoolArray:
        """Return the mask of the numbers that stand for "missing" or "open end"."""
        is_marker: BoolArray = (numbers == 0) | (numbers == -1)
        is_marker |= (numbers >= 9999 * self.scale) & (numbers < 10_000 * self.scale)
        is_marker |= numbers == self.first_moment
        return is_marker

    @property
    def first_moment(self) -> int:
        """Number of the first moment of the year 1, which databases write for "missing"."""
        return self.scale + (self.scale * 101 // 10_000 or 1)


CALENDAR_FORMS = {
    form.name: form
    for form in (
        CalendarForm("yyyymm", 10**2),
        CalendarForm("date", 10**4),
        CalendarForm("yyyymmddHH", 10**6),
        CalendarForm("yyyymmddHHMM", 10**8),
        CalendarForm("yyyymmddHHMMSS", 10**10),
        CalendarForm("yyyymmddHHMMSSmmm", 10**13),
    )
}


@dataclass(frozen=True, slots=True)
class CalendarCount:
    """Count of a column's numbers in a calendar form.

    Parameters
    ----------
    inside : int
        Numbers from 1900 to 2200.
    valid : int
        Those that spell a moment.
    markers : int
        Numbers that stand for "missing" or "open end".
    other : float, optional
        Example of a number that is neither inside nor a marker.
    """

    inside: int = 0
    valid: int = 0
    markers: int = 0
    other: float | None = None

    def __add__(self, more: "CalendarCount") -> "CalendarCount":
        return CalendarCount(
            self.inside + more.inside,
            self.valid + more.valid,
            self.markers + more.markers,
            more.other if self.other is None else self.other,
        )


@dataclass(frozen=True, slots=True)
class NumberRange:
    """Evidence for the unit of a column of numbers.

    Parameters
    ----------
    count : int
        Numbers; nulls, NaN and infinities are not counted.
    least, greatest : float
        Least and greatest of them, without the year 9999 in a unit since 1970.
    parts : int
        Bits of the parts of `_EDGES` in which there are magnitudes.
    fraction : float, optional
        Example of a number with a fraction.
    calendars : tuple of CalendarCount
        Counts by calendar form, in the order of `CALENDAR_FORMS`.
    spelled : tuple of int
        Counts of `count_spelled`.
    """

    count: int
    least: float
    greatest: float
    parts: int
    fraction: float | None
    calendars: tuple[CalendarCount, ...]
    spelled: tuple[int, ...]

    def __add__(self, more: "NumberRange") -> "NumberRange":
        return NumberRange(
            self.count + more.count,
            min(self.least, more.least),
            max(self.greatest, more.greatest),
            self.parts | more.parts,
            more.fraction if self.fraction is None else self.fraction,
            tuple(a + b for a, b in zip(self.calendars, more.calendars, strict=True)),
            tuple(a + b for a, b in zip(self.spelled, more.spelled, strict=True)),
        )

    @property
    def magnitude(self) -> float:
        """Greatest magnitude."""
        return max(abs(self.least), abs(self.greatest))


def number_range(column: pa.Array) -> NumberRange | None:
    """Return the evidence of a column of numbers, or ``None`` if it has no number."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    numbers = _numbers(column.drop_null())
    if len(numbers) == 0:
        return None
    fraction = None
    if numbers.dtype == np.float64:
        # Arithmetic in floats leaves noise that is not a fraction of a step.
        has_fraction = np.abs(numbers - np.rint(numbers)) > NOISE
        if has_fraction.any():
            fraction = float(numbers[has_fraction.argmax()])
    least, greatest = numbers.min().item(), numbers.max().item()
    calendars = tuple(_count(form, numbers, least, greatest) for form in CALENDAR_FORMS.values())
    near = _without_year_9999(numbers, least, greatest)
    if near is not numbers:
        least, greatest = near.min().item(), near.max().item()
    parts = _parts(near, least, greatest)
    spelled = _spelled(numbers, fraction)
    return NumberRange(len(numbers), least, greatest, parts, fraction, calendars, spelled)


def _spelled(numbers: _Numbers, fraction: float | None) -> tuple[int, ...]:
    """Return the counts of look-alikes; none of numbers with fractions or beyond exact floats."""
    if numbers.dtype == np.float64:
        if fraction is not None or np.abs(numbers).max() >= _WHOLE_DIGITS[8]:
            return (0,) * len(SPELLINGS)
        numbers = np.rint(numbers).astype(np.int64)
    return count_spelled(numbers)  # type: ignore[arg-type]


def _numbers(column: pa.Array) -> _Numbers:
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.int64())
    numbers: _Numbers = to_numpy(column)
    if pa.types.is_floating(column.type):
        numbers = numbers.astype(np.float64, copy=False)
        finite: _Numbers = numbers[np.isfinite(numbers)]
        return finite
    if pa.types.is_uint64(column.type):
        return np.minimum(numbers, np.iinfo(np.int64).max).astype(np.int64)
    return numbers.astype(np.int64, copy=False)


def _count(form: CalendarForm, numbers: _Numbers, least: float, greatest: float) -> CalendarCount:
    # Mostly no number is in the range of the form or a marker, which two comparisons show.
    valid, is_inside, is_marker = 0, None, None
    if greatest >= 1900 * form.scale and least < 2201 * form.scale:
        is_inside = form.covers(numbers)
        inside = numbers[is_inside].astype(np.int64)
        valid = int(np.count_nonzero(form.read(inside) != NO_TIME))
    is_open = greatest >= 9999 * form.scale and least < 10_000 * form.scale
    if least <= 0 or least <= form.first_moment <= greatest or is_open:
        is_marker = form.markers(numbers)
    masks = [mask for mask in (is_inside, is_marker) if mask is not None]
    is_other = ~np.logical_or.reduce(masks) if masks else np.ones(1, np.bool_)
    place = int(is_other.argmax())
    return CalendarCount(
        0 if is_inside is None else int(np.count_nonzero(is_inside)),
        valid,
        0 if is_marker is None else int(np.count_nonzero(is_marker)),
        numbers[place].item() if is_other[place] else None,
    )


def _without_year_9999(numbers: _Numbers, least: float, greatest: float) -> _Numbers:
    """Return the numbers outside of the year 9999 in seconds, milliseconds and microseconds.

    They are all numbers if none is outside.
    """
    near = numbers
    for factor in (1, 1000, 1_000_000):
        first, end = (second * factor for second in _YEAR_9999_S)
        if least < end and greatest >= first:
            near = near[(near < first) | (near >= end)]
    return near if len(near) else numbers


def _parts(numbers: _Numbers, least: float, greatest: float) -> int:
    ends = np.searchsorted(_EDGES, [least, greatest], side="right")
    if least >= 0 and ends[0] == ends[1]:
        return 1 << int(ends[0])
    parts = np.unique(np.searchsorted(_EDGES, np.abs(numbers.astype(np.float64)), side="right"))
    return sum(1 << int(part) for part in parts)


def unit_of(numbers: NumberRange | None, name: str = "table") -> str:
    """Return the unit of a column of numbers.

    Raises
    ------
    SchemaError
        If numbers of several kinds are mixed.
    """
    if numbers is None:
        return "step"
    _refuse_look_alikes(numbers, name)
    for form, count in zip(CALENDAR_FORMS, numbers.calendars, strict=True):
        if _spells(form, count, numbers, name):
            return form
    magnitude = numbers.magnitude
    unit = next((unit for bound, unit in _BOUNDS if magnitude < bound), "ns")
    if unit in _UNITS:
        _check_one_unit(unit, numbers.parts, name)
    return unit


def _refuse_look_alikes(numbers: NumberRange, name: str) -> None:
    if any(count.valid + count.markers == numbers.count for count in numbers.calendars):
        return
    form = spelling_of(numbers.count, numbers.spelled, numbers.least, numbers.greatest)
    if form is not None:
        raise SchemaError(
            f"{name}: the timestamps are numbers, such as {numbers.least:.15g}, that may be {form}",
            hint="write dates, as 2024-01-31; or set --timestamp_unit to step, s, ms, us or ns if "
            "they are such numbers",
        )


def check_steps(numbers: NumberRange | None, column: str, name: str) -> None:
    """Check that numbers of a column that would be plain steps do not count days or minutes.

    Raises
    ------
    SchemaError
        If the column is called a time, and all numbers are of the years 2015 to 2035 as a count of
        days, hours or minutes.
    """
    if numbers is None or numbers.count < LEAST_NUMBERS:
        return
    if (counted := count_of_time(column, numbers.least, numbers.greatest)) is not None:
        raise SchemaError(
            f"{name}: the numbers of {column!r}, such as {numbers.least:.15g}, may be {counted}",
            hint="write dates, as 2024-01-31; or set --timestamp_unit step if they count steps",
        )


def _spells(form: str, count: CalendarCount, numbers: NumberRange, name: str) -> bool:
    """Check whether a column spells a calendar.

    Counters and times since 1970 in the range of a form are valid by chance: 12 % of the numbers as
    months, 4 % as days. So a column with less than a quarter of valid ones spells no calendar. A
    long counter may touch the range with its last numbers: 1 % of all are needed.
    """
    if count.valid * 4 < count.inside or count.valid * 100 < numbers.count or count.valid == 0:
        return False
    odd = numbers.count - count.inside - count.markers
    # Of few numbers half suffice; of more, as many impossible ones are of another form: yyyyddmm.
    needed = count.inside / 2 if count.inside < _FEW else count.inside * 4 / 5
    if odd == 0 and count.valid >= needed:
        return True
    topic = "yyyymmdd" if form == "date" else form
    example = "" if count.other is None else f", such as {count.other:.15g}"
    raise SchemaError(
        f"{name}: {count.valid} of {numbers.count} timestamps are numbers of the form {topic}, "
        f"{numbers.count - count.valid - count.markers} are others{example}",
        hint="correct them or leave them empty, or set timestamp_unit to step, s, ms, us or ns",
    )


def _check_one_unit(unit: str, parts: int, name: str) -> None:
    # Part 1 + 2k holds the magnitudes of 1973 to 2042 in unit k, part 2 + 2k the greater ones. In a
    # greater unit the former are the first days or minutes of 1970. Times of those days alone, and
    # none between them and 1973, are times in two units.
    for place, lower in enumerate(_UNITS[: _UNITS.index(unit)]):
        if parts & 1 << (1 + 2 * place) and not parts & 1 << (2 + 2 * place):
            raise SchemaError(
                f"{name}: some timestamps are numbers of the magnitude of {lower} since 1970, "
                f"others of {unit}",
                hint="write all in one unit, or set timestamp_unit",
            )


def check_floats(kind: pa.DataType, numbers: NumberRange | None, unit: str, name: str) -> None:
    """Check that a column of floats holds its timestamps exactly.

    Raises
    ------
    SchemaError
        If steps or calendars have fractions, or the type is too short for its numbers.
    """
    if numbers is None or not pa.types.is_floating(kind):
        return
    # Times since 1970 in float64 are exact to a microsecond, although not in nanoseconds.
    is_exact = numbers.magnitude <= _WHOLE_DIGITS[kind.bit_width // 8]
    if not is_exact and (kind != pa.float64() or unit not in _UNITS):
        raise SchemaError(
            f"{name}: the timestamps are {kind}, which cannot hold numbers as great as "
            f"{numbers.magnitude:.15g} exactly",
            hint="write them as int64 or float64, or as timestamps",
        )
    if numbers.fraction is not None and unit not in _UNITS:
        raise fraction_error(numbers.fraction, name)


def fraction_error(number: float, name: str) -> SchemaError:
    """Return the refusal of steps with a fraction."""
    return SchemaError(
        f"{name}: the timestamps are numbers with a fraction, such as {number:.15g}, and no times "
        "since 1970",
        hint="write whole steps (1, 2, 3) or timestamps: a decimal year as its date, 2024.25 as "
        "2024-04-01; or set timestamp_unit to s, ms, us or ns",
    )
