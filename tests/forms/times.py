"""Columns of times in the types and spellings that people and programs write."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from tests.forms.panel import Moment, Panel
from tests.forms.values import Made, runs_of

_UNITS = {"month": 0, "day": 1, "hour": 2, "minute": 3, "second": 4, "ms": 5}


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


def _to_the_end_of_a_day(t: datetime) -> str:
    """Return a time as text, midnight as the end of the day before."""
    if (t.hour, t.minute, t.second) != (0, 0, 0):
        return t.isoformat(" ")
    return f"{t - timedelta(days=1):%Y-%m-%d} 24:00:00"


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
    TimeForm("timestamp[us] in +0530", _in_zone("us", "+0530", "Asia/Kolkata"),
             zone="Asia/Kolkata"),
    TimeForm("timestamp[ns] in UTC", _in_zone("ns", "UTC"), zone="UTC"),
    TimeForm("timestamp[s] in Europe/Berlin", _in_zone("s", "Europe/Berlin"), "second",
             zone="Europe/Berlin"),
    TimeForm("date32", _of(pa.date32()), "day", csv=True),
    TimeForm("date64", _of(pa.date64()), "day"),
    TimeForm("dictionary of date32", _encoded(pa.date32()), "day"),
    TimeForm("dictionary of timestamp[us]", _encoded(pa.timestamp("us"))),
    TimeForm("run ends of timestamp[us]", runs_of(pa.timestamp("us"))),
    TimeForm("texts yyyy-mm-dd", _text(lambda t: t.strftime("%Y-%m-%d")), "day", csv=True),
    TimeForm("texts yyyy/mm/dd", _text(lambda t: t.strftime("%Y/%m/%d")), "day", csv=True),
    TimeForm("texts yyyy.mm.dd", _text(lambda t: t.strftime("%Y.%m.%d")), "day", csv=True),
    TimeForm("texts y-m-d", _text(lambda t: f"{t.year}-{t.month}-{t.day}"), "day", csv=True),
    TimeForm("texts yyyymmdd", _text(lambda t: t.strftime("%Y%m%d")), "day"),
    TimeForm("texts yyyy-mm", _text(lambda t: t.strftime("%Y-%m")), "month", csv=True),
    TimeForm("texts y-m", _text(lambda t: f"{t.year}-{t.month}"), "month", csv=True),
    TimeForm("texts y.m", _text(lambda t: f"{t.year}.{t.month}"), "month", only=("months",),
             refused="in no form that is read"),
    TimeForm("texts yyyy mm", _text(lambda t: t.strftime("%Y %m")), "month",
             refused=_UNREADABLE, csv=True),
    TimeForm("texts yyyy-dd-mm", _text(lambda t: t.strftime("%Y-%d-%m")), "day", only=("days",),
             refused="in no form that is read"),
    TimeForm("texts HH.MM", _text(lambda t: t.strftime("%Y-%m-%d %H.%M")), "minute",
             refused=_UNREADABLE, csv=True),
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
    TimeForm("texts with 24:00", _text(_to_the_end_of_a_day), "second", csv=True),
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


def instant(moment: Moment, zone: str) -> Moment:
    """Return the time that forecasts have for a wall time in a zone: UTC, without its zone."""
    if isinstance(moment, int) or not zone:
        return moment
    return moment.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).replace(tzinfo=None)
