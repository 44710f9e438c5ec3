"""Timestamps written as text.

Accepted forms: ISO 8601 (``2024-03-01``, with ``T`` or a space and ``10``, ``10:15``, ``10:15:30``,
``10:15:30.123456``; ``24:00`` is the start of the next day), its basic form (``20240301``,
``20240301T101530``), from 1900 to 2199 the basic form without ``T`` (``2024030110`` to
``20240301101530123``), ``/`` or ``.`` between year, month and day, ``2024-03``, ``2024Q1`` and
``2024``; months and days with one digit; ``Z``, ``UTC``, ``GMT`` and ``+02:00``, which are
converted to UTC, in all texts or in none. Only the
order year, month, day is accepted: others, such as ``03/04/2024``, are ambiguous. Rows with any
other text have no time, and are dropped and counted.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import BoolArray, IntArray
from gigacast.core.column import to_arrow, to_numpy
from gigacast.core.series.batch import NO_TIME
from gigacast.core.time.calendar_grid import DAY_US, first_days
from gigacast.errors import SchemaError

_SECOND_US = 1_000_000
_ZONE = r"(?P<zone>[Zz]|UTC|GMT|[+-]\d{2}:?(?:\d{2})?)?"
# Only seconds have a fraction: 10.30 is half past ten in some countries, and to ISO 8601 10:18.
_CLOCK = (
    r"(?:[Tt ]\s*(?P<hour>\d{1,2})(?::?(?P<minute>\d{2})(?::?(?P<second>\d{2})"
    r"(?:[.,](?P<fraction>\d{1,9}))?)?)?\s*" + _ZONE + r")?"
)
_DATES = (
    r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})",
    r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})",
)
# Without a day there is no clock: 2024 10 and 2024-01 05 are a month and a day.
_MONTHS = (
    r"(?P<year>\d{4})[-/](?P<month>\d{1,2})",
    # One digit after a point may be a number that has lost its zero: 2024.1 is 2024.10.
    r"(?P<year>\d{4})\.?(?P<month>\d{2})",
    r"(?P<year>\d{4})-?[Qq](?P<quarter>[1-4])",
    # Years of four digits alone: 2401 would be January 2024 elsewhere.
    r"(?P<year>1\d{3}|20\d{2}|21\d{2})",
)
# The digits of an hour and more follow those of the day. Numbers since 1970 have as many digits;
# today's begin with 17 and would be of the 18th century.
_DIGITS = (
    r"(?P<year>(?:19|20|21)\d{2})(?P<month>\d{2})(?P<day>\d{2})(?P<hour>\d{2})"
    r"(?:(?P<minute>\d{2})(?:(?P<second>\d{2})(?:[.,]?(?P<fraction>\d{1,9}))?)?)?" + _ZONE
)
_ALL_DIGITS = f"^{_DIGITS}$"
_PATTERNS = (
    *(f"^{date}{_CLOCK}$" for date in _DATES),
    *(f"^{month}$" for month in _MONTHS),
    _ALL_DIGITS,
)
_OFFSET = r"\d[Tt ].*(?:[Zz]|UTC|GMT|[+-]\d{2}:?(?:\d{2})?)\s*$"
_BELOW_MICROSECOND = r"[.,]\d{6}\d*[1-9]"
_FEW = 10
"""Texts that are too few to tell a column by the share that is unreadable."""
_LAST_OFFSET_HOUR = 18
_MISSING = (
    r"(?i)^\s*(?:|n/?a|#n/a|<na>|null|nil|none|nan|nat|\\n|[-?.]+|[0\-/.: T]+"
    r"|(?:0001-01-01|9999-12-31).*)\s*$"
)
"""Texts that stand for a missing time, or an open end."""


def parse_times(text: pa.Array, name: str = "timestamps") -> IntArray:
    """Return the microseconds since 1970 of each text, int64 [R]; `NO_TIME` if it is unreadable.

    Raises
    ------
    SchemaError
        If texts differ by less than a microsecond; the message begins with ``name``.
    """
    # Arrow's parser is fast but refuses the whole column for a single text. Then the distinct
    # texts are parsed by patterns, with the same result for those that Arrow can read.
    try:
        times = text.cast(pa.timestamp("us"))
    except pa.ArrowInvalid:
        return _parse_distinct(text, name)
    result: IntArray = times.cast(pa.int64()).fill_null(NO_TIME).to_numpy()
    return result


def _parse_distinct(text: pa.Array, name: str) -> IntArray:
    encoded = text.dictionary_encode()
    distinct = pc.utf8_trim_whitespace(encoded.dictionary.cast(pa.string()))
    times = np.full(len(distinct) + 1, NO_TIME, np.int64)
    for pattern in _PATTERNS:
        fields = pc.extract_regex(distinct, pattern=pattern)
        matches = np.flatnonzero(fields.is_valid().to_numpy(zero_copy_only=False))
        matches = matches[times[matches] == NO_TIME]  # the first pattern that fits wins
        # Digits alone may be a time since 1970: with an hour of 24 they most likely are.
        times[matches] = _assemble(fields.take(pa.array(matches)), has_end=pattern != _ALL_DIGITS)
    _check_zones(distinct.filter(to_arrow(times[:-1] != NO_TIME)), name)
    _check_months(distinct, times[:-1], name)
    is_cut = pc.fill_null(pc.match_substring_regex(distinct, _BELOW_MICROSECOND), False)
    cut = times[:-1][to_numpy(is_cut) & (times[:-1] != NO_TIME)]
    if len(np.unique(cut)) < len(cut):
        raise too_fine(name)
    result: IntArray = times[encoded.indices.fill_null(len(distinct)).to_numpy()]
    return result


def _check_zones(distinct: pa.Array, name: str) -> None:
    """Refuse times with an offset from UTC among wall times: their distance is not known."""
    is_zoned = pc.match_substring_regex(distinct, _OFFSET)
    if not pc.any(is_zoned).as_py() or pc.all(is_zoned).as_py():
        return
    zoned, bare = distinct.filter(is_zoned)[0], distinct.filter(pc.invert(is_zoned))[0]
    raise mixed_offsets(name, zoned.as_py(), bare.as_py())


def mixed_offsets(name: str, zoned: str, bare: str, elsewhere: str = "") -> SchemaError:
    """Return the refusal of times with an offset from UTC and others without."""
    return SchemaError(
        f"{name}: some timestamps have an offset from UTC, such as {zoned[:40]!r}, and others"
        f"{elsewhere} have none, such as {bare[:40]!r}",
        hint="write all of them with an offset, or all without",
    )


def _check_months(distinct: pa.Array, times: IntArray, name: str) -> None:
    """Refuse texts of six digits of which some are no year and month: they may be yymmdd."""
    is_short = pc.match_substring_regex(distinct, r"^\d{6}$")
    short = to_numpy(pc.fill_null(is_short, False))
    if short.any() and not (times[short] != NO_TIME).all():
        odd = distinct.filter(to_arrow(short & (times == NO_TIME)))[0].as_py()
        raise SchemaError(
            f"{name}: timestamps of six digits, such as {odd!r}, are no year and month",
            hint="write dates, as 2024-01-31",
        )


class UnreadTexts:
    """Counts of the texts of a column that are no times, over the batches of a partition.

    A few are dropped and counted. If they are many, the others are read in a form that is not
    theirs, as the first twelve days of each month are of texts as ``2024-31-12``.

    Attributes
    ----------
    readable, unread : int
        Texts that are times; texts that are not, besides words for a missing time.
    example : str or None
        First of the texts that are not.
    """

    def __init__(self) -> None:
        self.readable = self.unread = 0
        self.example: str | None = None

    def add(self, texts: pa.Array, times: IntArray) -> None:
        """Count the texts of a batch, whose times are given, int64 [R]."""
        is_unread = times == NO_TIME
        self.readable += len(times) - int(np.count_nonzero(is_unread))
        if not is_unread.any():
            return
        texts = texts.filter(to_arrow(is_unread)).drop_null().cast(pa.string())
        odd = texts.filter(pc.invert(pc.match_substring_regex(texts, _MISSING)))
        self.unread += len(odd)
        if len(odd) and self.example is None:
            self.example = odd[0].as_py()

    def check(self, name: str, column: str) -> None:
        """Refuse more than a tenth of texts that are no times.

        Raises
        ------
        SchemaError
        """
        count = self.unread + self.readable
        if self.readable and count >= _FEW and self.unread * 10 > count:
            raise SchemaError(
                f"{name}: {self.unread:,} of {count:,} timestamps in "
                f"{column!r}, such as {str(self.example)[:40]!r}, are in no form that is read",
                hint="write all of them as 2024-01-31 or 2024-01-31T10:15:00, or leave them empty",
            )


def has_offsets(text: pa.Array) -> bool:
    """Check whether a text is a time with ``Z`` or an offset from UTC."""
    return bool(pc.any(pc.match_substring_regex(text, _OFFSET)).as_py())


def too_fine(name: str) -> SchemaError:
    """Return the refusal of times that are less than a microsecond apart."""
    return SchemaError(
        f"{name}: some timestamps are less than a microsecond apart, the unit of times",
        hint="write the numbers of the steps (1, 2, 3), with timestamp_unit: step",
    )


def _assemble(fields: pa.StructArray, *, has_end: bool) -> IntArray:
    """Return the times of parts of texts; with ``has_end`` 24:00 is the start of the next day."""
    names = {field.name for field in fields.type}
    month = _number(fields, "month", 1) if "month" in names else np.ones(len(fields), np.int64)
    if "quarter" in names:
        month = _number(fields, "quarter", 1) * 3 - 2
    day = _number(fields, "day", 1) if "day" in names else np.ones(len(fields), np.int64)
    hour, minute, second = (
        _number(fields, name, 0) if name in names else np.zeros(len(fields), np.int64)
        for name in ("hour", "minute", "second")
    )
    micro = _microseconds(fields) if "fraction" in names else np.zeros(len(fields), np.int64)
    is_valid = (month >= 1) & (month <= 12) & (day >= 1)
    # Meters of energy write the end of a day like this.
    is_end = has_end & (hour == 24) & (minute == 0) & (second == 0) & (micro == 0)
    is_valid &= ((hour < 24) | is_end) & (minute < 60) & (second < 60)
    months = (_number(fields, "year", 1970) - 1970) * 12 + np.where(is_valid, month, 1) - 1
    # 30 February has no time: it must not become a day of March.
    is_valid &= day <= first_days(months + 1) - first_days(months)
    clock = (hour * 3600 + minute * 60 + second) * _SECOND_US + micro
    if "zone" in names:
        offsets, is_offset = _offsets(fields)
        clock, is_valid = clock - offsets, is_valid & is_offset
    times = (first_days(months) + day - 1) * DAY_US + clock
    result: IntArray = np.where(is_valid, times, NO_TIME)
    return result


def _number(fields: pa.StructArray, name: str, empty: int) -> IntArray:
    return _to_int(fields.field(name), empty)


def _to_int(digits: pa.Array, empty: int) -> IntArray:
    filled = pc.if_else(pc.equal(pc.fill_null(digits, ""), ""), str(empty), digits)
    numbers: IntArray = filled.cast(pa.int64()).to_numpy()
    return numbers


def _microseconds(fields: pa.StructArray) -> IntArray:
    digits = pc.utf8_slice_codeunits(pc.fill_null(fields.field("fraction"), ""), 0, 6)
    return _to_int(pc.utf8_rpad(digits, 6, padding="0"), 0)


def _offsets(fields: pa.StructArray) -> tuple[IntArray, BoolArray]:
    """Return the offsets from UTC, int64 [N], and the mask of those that clocks have, bool [N]."""
    zone = pc.replace_substring(pc.fill_null(fields.field("zone"), ""), ":", "")
    zone = pc.replace_substring_regex(zone, "^([Zz]|UTC|GMT)?$", "+0000")
    sign = np.where(pc.starts_with(zone, "-").to_numpy(zero_copy_only=False), -1, 1)
    hours = _to_int(pc.utf8_slice_codeunits(zone, 1, 3), 0)
    minutes = _to_int(pc.utf8_slice_codeunits(zone, 3, 5), 0)
    offsets: IntArray = sign * (hours * 60 + minutes) * 60 * _SECOND_US
    return offsets, (hours <= _LAST_OFFSET_HOUR) & (minutes < 60)
