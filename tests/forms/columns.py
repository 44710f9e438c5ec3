"""Columns of ids, times and values in the types and spellings that people and programs write.

Each form of a column is a row of a table: its name, what it can spell, and how it is made.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from tests.forms.panel import Moment, Panel

Made = Callable[[Sequence[Any]], pa.Array]
_UNITS = {"month": 0, "day": 1, "hour": 2, "minute": 3, "second": 4, "ms": 5}


@dataclass(frozen=True)
class IdForm:
    """A form of ids.

    Parameters
    ----------
    name : str
    names : tuple
        Id of each item, as its forecasts have it.
    make : callable
        Makes the column from the numbers of the items.
    refused : str
        Pattern of the refusal; empty for forms that are read.
    csv : bool
        Whether CSV and JSON can spell them.
    """

    name: str
    names: tuple[Any, ...]
    make: Made
    refused: str = ""
    csv: bool = False


@dataclass(frozen=True)
class TimeForm:
    """A form of times.

    Parameters
    ----------
    name : str
    make : callable
        Makes the column from the times.
    finest : str
        Finest unit that it can spell, as of `tests.forms.panel.Step`; ``step`` for step numbers.
    zone : str
        Zone in which the times are wall time; empty for none.
    only : tuple of str
        Steps whose panels it can spell; all by default.
    refused : str
        Pattern of the refusal; empty for forms that are read.
    csv : bool
        Whether CSV and JSON can spell them.
    options : mapping
        Options with which CSV of them is read, if it is refused in other files.
    """

    name: str
    make: Made
    finest: str = "ms"
    zone: str = ""
    only: tuple[str, ...] = ()
    refused: str = ""
    csv: bool = False
    options: dict[str, str] = field(default_factory=dict)

    def spells(self, panel: Panel) -> bool:
        """Check whether the form can spell the times of a panel."""
        finest = panel.step.finest
        if self.only and panel.step.name not in self.only:
            return False
        if "step" in {finest, self.finest}:
            return finest == self.finest
        return _UNITS[finest] <= _UNITS[self.finest]


@dataclass(frozen=True)
class ValueForm:
    """A form of values.

    Parameters
    ----------
    name : str
    make : callable
        Makes the column from floats and ``None``.
    convert : callable
        Value that the form holds, of any value.
    refused : str
        Pattern of the refusal; empty for forms that are read.
    """

    name: str
    make: Made
    convert: Callable[[float], float] = float
    refused: str = ""


# -- ids -------------------------------------------------------------------------------------------


def _typed(names: Sequence[Any], kind: pa.DataType, given: Sequence[Any] | None = None) -> Made:
    return lambda numbers: pa.array([(given or names)[n] for n in numbers], kind)


def _extension(kind: Any, stored: Sequence[Any], storage: pa.DataType) -> Made:
    return lambda numbers: pa.ExtensionArray.from_storage(
        kind, pa.array([stored[n] for n in numbers], storage)
    )


def _dictionary(names: Sequence[Any], index: pa.DataType, value: pa.DataType) -> Made:
    codes = list(reversed(range(len(names))))  # the codes' order is not that of the texts
    values = pa.array([names[n] for n in codes], value)
    return lambda numbers: pa.DictionaryArray.from_arrays(
        pa.array([codes[n] for n in numbers], index), values
    )


def _runs(kind: pa.DataType) -> Made:
    def make(values: Sequence[Any]) -> pa.Array:
        ends = pa.array(range(1, len(values) + 1), pa.int32())
        return pa.RunEndEncodedArray.from_arrays(ends, pa.array(values, kind))

    return make


_TEXTS = ("b", "a", "c")
_NUMBERS = (7, 2, 100)
_DAYS = (date(2020, 1, 2), date(2019, 5, 5), date(2021, 7, 1))
_CLOCKS = (time(1, 0), time(0, 30), time(23, 59))
_SPANS = (timedelta(1), timedelta(hours=5), timedelta(3))
_MOMENTS = tuple(datetime(2020, 1, 1 + n, 3) for n in (4, 1, 9))  # noqa: DTZ001 - wall time
_DECIMALS = (Decimal("1.10"), Decimal("0.20"), Decimal("12.00"))
_UUIDS = tuple(uuid.UUID(int=n << 64 | n) for n in (9, 3, 77))
_ODD = ("007", "7", "1.10", "NA", "null", "true", "12E3", "99999999999999999998", "+49", " x ", "é")
_NOT_AN_ID = "cannot hold item ids"

_ID_LIST = [
    IdForm("texts", _TEXTS, _typed(_TEXTS, pa.string()), csv=True),
    IdForm("texts like numbers", _ODD[:3], _typed(_ODD[:3], pa.string()), csv=True),
    IdForm("texts like words", _ODD[3:6], _typed(_ODD[3:6], pa.string()), csv=True),
    IdForm("texts of digits", _ODD[6:9], _typed(_ODD[6:9], pa.string()), csv=True),
    IdForm("texts like dates", ("2024-01-01", "10:30:00", "2024"),
           _typed(("2024-01-01", "10:30:00", "2024"), pa.string()), csv=True),
    IdForm("texts with spaces", (" x ", "é", "x"),
           _typed((" x ", "é", "x"), pa.string()), csv=True),
    IdForm("texts with marks", ('a,"b"', "a;b", "a\tb"),
           _typed(('a,"b"', "a;b", "a\tb"), pa.string()), csv=True),
    IdForm("large texts", _TEXTS, _typed(_TEXTS, pa.large_string())),
    IdForm("views of texts", _TEXTS, _typed(_TEXTS, pa.string_view())),
    *(
        IdForm(f"dictionary of {value} by {index}", _TEXTS, _dictionary(_TEXTS, index, value))
        for index, value in (
            (pa.int8(), pa.string()),
            (pa.int32(), pa.large_string()),
            (pa.uint32(), pa.string()),
            (pa.int64(), pa.string_view()),
        )
    ),
    IdForm("dictionary of int64", _NUMBERS, _dictionary(_NUMBERS, pa.int16(), pa.int64())),
    IdForm("dictionary of binary", _TEXTS,
           _dictionary((b"b", b"a", b"c"), pa.int16(), pa.binary())),
    IdForm("run ends of texts", _TEXTS, lambda n: _runs(pa.string())([_TEXTS[k] for k in n])),
    *(
        IdForm(str(kind), _NUMBERS, _typed(_NUMBERS, kind), csv=False)
        for kind in (
            *(pa.int8(), pa.int16(), pa.int32(), pa.int64()),
            *(pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
        )
    ),
    IdForm("uint64 beyond int64", (2**64 - 1, 2**63, 1),
           _typed((2**64 - 1, 2**63, 1), pa.uint64())),
    *(
        IdForm(str(kind), _TEXTS, _typed(_TEXTS, kind, (b"b", b"a", b"c")))
        for kind in (pa.binary(), pa.large_binary(), pa.binary(1), pa.binary_view())
    ),
    *(
        IdForm(str(kind), _DECIMALS, _typed(_DECIMALS, kind))
        for kind in (pa.decimal32(9, 2), pa.decimal64(18, 2), pa.decimal128(10, 2),
                     pa.decimal256(40, 2))
    ),
    IdForm("decimal128(38, 0)", tuple(map(Decimal, _NUMBERS)),
           _typed(tuple(map(Decimal, _NUMBERS)), pa.decimal128(38, 0))),
    IdForm("date32", _DAYS, _typed(_DAYS, pa.date32())),
    IdForm("date64", _DAYS, _typed(_DAYS, pa.date64())),
    *(
        IdForm(str(kind), _CLOCKS, _typed(_CLOCKS, kind))
        for kind in (pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns"))
    ),
    *(
        IdForm(f"id {kind}", _MOMENTS, _typed(_MOMENTS, kind))
        for kind in (pa.timestamp("s"), pa.timestamp("ms"), pa.timestamp("us"), pa.timestamp("ns"))
    ),
    IdForm("id timestamp in UTC", tuple(m.replace(tzinfo=UTC) for m in _MOMENTS),
           _typed(_MOMENTS, pa.timestamp("us", "UTC"))),
    *(
        IdForm(str(kind), _SPANS, _typed(_SPANS, kind))
        for kind in (pa.duration("s"), pa.duration("ms"), pa.duration("us"), pa.duration("ns"))
    ),
    IdForm("booleans", (True, False), _typed((True, False), pa.bool_())),
    IdForm("uuid", tuple(map(str, _UUIDS)),
           _extension(pa.uuid(), [u.bytes for u in _UUIDS], pa.binary(16))),
    IdForm("json", ('"b"', '"a"', '"c"'),
           _extension(pa.json_(), ('"b"', '"a"', '"c"'), pa.string())),
    IdForm("bool8", (True, False), _extension(pa.bool8(), (1, 0), pa.int8())),
    IdForm("floats", (1.0, 2.0, 3.0), _typed((1.0, 2.0, 3.0), pa.float64()), _NOT_AN_ID),
    IdForm("halves", (1.0, 2.0, 3.0), _typed((1.0, 2.0, 3.0), pa.float16()), _NOT_AN_ID),
    IdForm("structs", (1, 2, 3),
           _typed([{"a": n} for n in range(3)], pa.struct([("a", pa.int64())])), _NOT_AN_ID),
    IdForm("lists", (1, 2, 3), _typed([[n] for n in range(3)], pa.list_(pa.int64())), _NOT_AN_ID),
    IdForm("intervals", (1, 2, 3),
           _typed([(0, n, 0) for n in range(3)], pa.month_day_nano_interval()), _NOT_AN_ID),
    IdForm("nulls", (None, None, None), lambda n: pa.nulls(len(n)), "no row has an item id"),
    IdForm("texts that are null", (None, None, None), lambda n: pa.nulls(len(n), pa.string()),
           "no row has an item id"),
]  # fmt: skip
IDS = {form.name: form for form in _ID_LIST}

# -- times -----------------------------------------------------------------------------------------


def _of(kind: pa.DataType) -> Made:
    return lambda times: pa.array(times, kind)


def _in_zone(unit: str, zone: str, region: str | None = None) -> Made:
    """Return a maker of the instants of wall times in a zone."""

    def make(times: Sequence[datetime]) -> pa.Array:
        place = ZoneInfo(region or zone)
        instants = [t.replace(tzinfo=place).astimezone(UTC).replace(tzinfo=None) for t in times]
        stored = pa.array(instants, pa.timestamp("us")).cast(pa.timestamp(unit))
        return pa.Array.from_buffers(pa.timestamp(unit, zone), len(stored), stored.buffers())

    return make


def _text(spell: Callable[[Any], str], kind: pa.DataType | None = None) -> Made:
    return lambda times: pa.array([spell(t) for t in times], kind or pa.string())


def _number(number: Callable[[Any], Any], kind: pa.DataType) -> Made:
    return lambda times: pa.array([number(t) for t in times], kind)


def _since_1970(t: datetime, per_second: int) -> int:
    micro = (t - datetime(1970, 1, 1)) // timedelta(microseconds=1)  # noqa: DTZ001 - wall time
    return micro * per_second // 1_000_000


def _digits(form: str) -> Callable[[datetime], int]:
    return lambda t: int(t.strftime(form))


def _decimal_year(t: datetime) -> float:
    return t.year + (t.month - 1) / 12


def _encoded(kind: pa.DataType) -> Made:
    return lambda times: pa.array(times, kind).dictionary_encode()


_DMY = tuple(name for name in ("days", "weeks", "business days", "month ends"))
_EPOCHS = {"s": (1, "second"), "ms": (1000, "ms"), "us": (10**6, "ms"), "ns": (10**9, "ms")}
_CALENDARS = {
    "yyyymm": ("%Y%m", "month"),
    "yyyymmdd": ("%Y%m%d", "day"),
    "yyyymmddHH": ("%Y%m%d%H", "hour"),
    "yyyymmddHHMM": ("%Y%m%d%H%M", "minute"),
    "yyyymmddHHMMSS": ("%Y%m%d%H%M%S", "second"),
}
_UNREADABLE = r"(?i)no row of \d+ has a readable time(stamp)? in .*(timestamp|ds|date|start)"
_NOT_A_TIME = "(?i)column '(timestamp|ds|date|start)' of type .* cannot hold timestamps"

_TIME_LIST = [
    *(TimeForm(f"timestamp[{u}]", _of(pa.timestamp(u)), "second" if u == "s" else "ms", csv=True)
      for u in ("s", "ms", "us", "ns")),
    *(TimeForm(f"timestamp[us] in {zone}", _in_zone("us", zone, region), zone=region or zone)
      for zone, region in (("UTC", None), ("Etc/UTC", None), ("GMT", None), ("Z", "UTC"),
                           ("+00:00", "UTC"), ("+05:30", "Asia/Kolkata"),
                           ("Europe/Berlin", None), ("America/New_York", None))),
    TimeForm("timestamp[ns] in UTC", _in_zone("ns", "UTC"), zone="UTC"),
    TimeForm("timestamp[s] in Europe/Berlin", _in_zone("s", "Europe/Berlin"), "second",
             zone="Europe/Berlin"),
    TimeForm("date32", _of(pa.date32()), "day", csv=True),
    TimeForm("date64", _of(pa.date64()), "day"),
    TimeForm("dictionary of date32", _encoded(pa.date32()), "day"),
    TimeForm("dictionary of timestamp[us]", _encoded(pa.timestamp("us"))),
    TimeForm("run ends of timestamp[us]", _runs(pa.timestamp("us"))),
    TimeForm("texts yyyy-mm-dd", _text(lambda t: t.strftime("%Y-%m-%d")), "day", csv=True),
    TimeForm("texts yyyy/mm/dd", _text(lambda t: t.strftime("%Y/%m/%d")), "day", csv=True),
    TimeForm("texts yyyy.mm.dd", _text(lambda t: t.strftime("%Y.%m.%d")), "day", csv=True),
    TimeForm("texts y-m-d", _text(lambda t: f"{t.year}-{t.month}-{t.day}"), "day", csv=True),
    TimeForm("texts yyyymmdd", _text(lambda t: t.strftime("%Y%m%d")), "day"),
    TimeForm("texts yyyy-mm", _text(lambda t: t.strftime("%Y-%m")), "month", csv=True),
    TimeForm("texts yyyyQq", _text(lambda t: f"{t.year}Q{t.month // 3 + 1}"), "month",
             only=("quarters", "years"), csv=True),
    TimeForm("texts yyyy-Qq", _text(lambda t: f"{t.year}-Q{t.month // 3 + 1}"), "month",
             only=("quarters", "years"), csv=True),
    TimeForm("texts yyyy", _text(lambda t: t.strftime("%Y")), "month", only=("years",)),
    TimeForm("texts with T", _text(lambda t: t.isoformat()), csv=True),
    TimeForm("texts with a space", _text(lambda t: t.isoformat(" ")), csv=True),
    TimeForm("texts to the minute", _text(lambda t: t.isoformat(" ", "minutes")), "minute",
             csv=True),
    TimeForm("texts to the hour", _text(lambda t: t.isoformat("T", "hours")), "hour", csv=True),
    TimeForm("texts to nanoseconds", _text(lambda t: t.isoformat("T", "microseconds") + "000"),
             csv=True),
    TimeForm("texts with a comma", _text(
        lambda t: t.isoformat("T", "milliseconds").replace(".", ",")), csv=True),
    TimeForm("texts in basic form", _text(lambda t: t.strftime("%Y%m%dT%H%M%S")), "second",
             csv=True),
    TimeForm("texts of digits", _text(lambda t: t.strftime("%Y%m%d%H%M%S")), "second"),
    TimeForm("texts with Z", _text(lambda t: t.isoformat() + "Z"), zone="UTC", csv=True),
    TimeForm("texts with +00:00", _text(lambda t: t.isoformat() + "+00:00"), zone="UTC", csv=True),
    TimeForm("texts with +02:00", _text(
        lambda t: (t + timedelta(hours=2)).isoformat() + "+02:00"), zone="UTC", csv=True),
    TimeForm("texts with +0200", _text(
        lambda t: (t + timedelta(hours=2)).isoformat(" ") + "+0200"), zone="UTC", csv=True),
    TimeForm("texts with blanks", _text(lambda t: f" {t.isoformat()} ")),
    TimeForm("large texts", _text(lambda t: t.isoformat(" "), pa.large_string())),
    TimeForm("views of texts", _text(lambda t: t.isoformat(" "), pa.string_view())),
    TimeForm("dictionary of texts", lambda times: pa.array(
        [t.isoformat(" ") for t in times]).dictionary_encode()),
    TimeForm("texts of seconds since 1970", _text(lambda t: str(_since_1970(t, 1))), "second",
             refused=_UNREADABLE),
    TimeForm("texts of milliseconds since 1970", _text(lambda t: str(_since_1970(t, 1000))),
             refused=_UNREADABLE),
    *(TimeForm(f"{kind} {name}", _number(_digits(form), kind), finest, csv=kind == pa.int64())
      for name, (form, finest) in _CALENDARS.items()
      for kind in (pa.int64(), pa.float64(), pa.int32(), pa.uint64(), pa.decimal128(20, 0))
      if kind != pa.int32() or name in {"yyyymm", "yyyymmdd"}),
    TimeForm("int64 yyyymmddHHMMSSmmm", _number(
        lambda t: int(t.strftime("%Y%m%d%H%M%S")) * 1000 + t.microsecond // 1000, pa.int64())),
    *(TimeForm(f"{kind} {unit} since 1970",
               _number(lambda t, n=per_second: _since_1970(t, n), kind), finest,
               csv=kind == pa.int64())
      for unit, (per_second, finest) in _EPOCHS.items()
      for kind in (pa.int64(), pa.float64(), pa.int32(), pa.uint32(), pa.uint64(),
                   pa.decimal128(20, 0))
      if kind not in {pa.int32(), pa.uint32()} or unit == "s"),
    TimeForm("float64 s since 1970 with fractions", _number(
        lambda t: _since_1970(t, 10**6) / 10**6, pa.float64())),
    TimeForm("dictionary of int64 s since 1970", lambda times: pa.array(
        [_since_1970(t, 1) for t in times]).dictionary_encode(), "second"),
    TimeForm("decimal years", _number(_decimal_year, pa.float64()), "month",
             only=("months", "quarters"), refused="numbers with a fraction|plain numbers"),
    *(TimeForm(f"step {kind}", _of(kind), "step", csv=kind == pa.int64())
      for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(),
                   pa.uint32(), pa.uint64(), pa.float32(), pa.float64())),
    TimeForm("step float16", lambda n: pa.array(np.array(n, np.float16)), "step"),
    TimeForm("step decimal128", _of(pa.decimal128(20, 0)), "step"),
    TimeForm("step halves", _number(lambda n: n + 0.5, pa.float64()), "step",
             refused="numbers with a fraction"),
    TimeForm("texts dd/mm/yyyy", _text(lambda t: t.strftime("%d/%m/%Y")), "day",
             refused=_UNREADABLE, csv=True, options={"csv_dates": "day_first"}),
    TimeForm("texts dd.mm.yyyy", _text(lambda t: t.strftime("%d.%m.%Y")), "day",
             refused=_UNREADABLE, csv=True, options={"csv_dates": "day_first"}),
    TimeForm("texts mm/dd/yyyy", _text(lambda t: t.strftime("%m/%d/%Y")), "day",
             refused=_UNREADABLE, csv=True, options={"csv_dates": "month_first"}),
    TimeForm("texts of words", _text(lambda t: t.strftime("%d %b %Y")), "day",
             refused=_UNREADABLE, csv=True),
    TimeForm("texts of ISO weeks", _text(lambda t: t.strftime("%G-W%V")), "day", only=("weeks",),
             refused=_UNREADABLE, csv=True),
    TimeForm("texts of twelve hours", _text(lambda t: t.strftime("%Y-%m-%d %I:%M:%S %p")),
             "second", refused=_UNREADABLE, csv=True),
    TimeForm("nulls", lambda times: pa.nulls(len(times)), refused=_UNREADABLE),
    TimeForm("times that are null", lambda times: pa.nulls(len(times), pa.timestamp("us")),
             refused=_UNREADABLE),
    TimeForm("times of day", lambda times: pa.array(
        [t.time() for t in times], pa.time64("us")), refused=_NOT_A_TIME),
    TimeForm("durations", lambda times: pa.array(
        [t - times[0] for t in times], pa.duration("us")), refused=_NOT_A_TIME),
    TimeForm("binary", lambda times: pa.array(
        [t.isoformat().encode() for t in times], pa.binary())),
    TimeForm("booleans", lambda times: pa.array([True for _ in times]), refused=_NOT_A_TIME),
    TimeForm("structs", lambda times: pa.array([{"t": t} for t in times]), refused=_NOT_A_TIME),
]  # fmt: skip
TIMES = {form.name: form for form in _TIME_LIST}

# -- values ----------------------------------------------------------------------------------------


def _whole(value: float) -> float:
    return float(int(value))


def _rounded(kind: pa.DataType, scale: int) -> Made:
    return lambda values: pa.array(
        [None if v is None else round(Decimal(v), scale) for v in values], kind
    )


def _cast(kind: pa.DataType) -> Made:
    return lambda values: pa.array(values, pa.float64()).cast(kind)


def _with_nan(kind: pa.DataType) -> Made:
    return lambda values: pa.array([float("nan") if v is None else v for v in values], kind)


_NO_TARGET = "(?i)column '(target|y|value|target_.)' of type .* cannot hold values"

_VALUE_LIST = [
    *(ValueForm(str(kind), _cast(kind)) for kind in (pa.float64(), pa.float32())),
    ValueForm("halffloat", lambda values: pa.array(
        [None if v is None else np.float16(v) for v in values], pa.float16())),
    ValueForm("double with NaN", _with_nan(pa.float64())),
    ValueForm("float with NaN", _with_nan(pa.float32())),
    *(ValueForm(str(kind), _cast(kind), _whole)
      for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64(),
                   pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())),
    *(ValueForm(str(kind), _rounded(kind, 2))
      for kind in (pa.decimal32(9, 2), pa.decimal64(18, 2), pa.decimal128(10, 2),
                   pa.decimal256(50, 2))),
    ValueForm("decimal128(38, 0)", _rounded(pa.decimal128(38, 0), 0), _whole),
    ValueForm("booleans", lambda values: pa.array(
        [None if v is None else bool(v) for v in values]), lambda value: float(value > 60)),
    ValueForm("bool8", lambda values: pa.ExtensionArray.from_storage(
        pa.bool8(), pa.array([None if v is None else int(v) for v in values], pa.int8())),
        lambda value: float(value > 60)),
    ValueForm("dictionary of double", lambda values: pa.array(
        values, pa.float64()).dictionary_encode()),
    ValueForm("run ends of double", _runs(pa.float64())),
    ValueForm("texts", lambda values: pa.array(
        [None if v is None else str(v) for v in values], pa.string()), refused=_NO_TARGET),
    ValueForm("binary", lambda values: pa.array(
        [None if v is None else str(v).encode() for v in values], pa.binary()),
        refused=_NO_TARGET),
    ValueForm("durations", lambda values: pa.array(
        [None if v is None else timedelta(seconds=v) for v in values], pa.duration("us")),
        refused=_NO_TARGET),
    ValueForm("structs", lambda values: pa.array(
        [None if v is None else {"v": v} for v in values], pa.struct([("v", pa.float64())])),
        refused=_NO_TARGET),
]  # fmt: skip
VALUES = {form.name: form for form in _VALUE_LIST}


def instant(moment: Moment, zone: str) -> Moment:
    """Return the time that forecasts have for a wall time in a zone: UTC, without its zone."""
    if isinstance(moment, int) or not zone:
        return moment
    return moment.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).replace(tzinfo=None)
