"""The aliases of frequencies: pandas' old and new ones, and our own.

A `gigacast.core.time.frequency.Frequency` consists of the parts kind, count, day and anchor.
"""

import re
from typing import Literal

from gigacast.errors import ConfigError

Parts = tuple[Literal["fixed", "steps", "business", "months"], int, int | None, int | None]

_UNITS_US = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "min": 60_000_000,
    "h": 3_600_000_000,
    "D": 86_400_000_000,
    "W": 604_800_000_000,
}
_MONTHS = {"M": 1, "Q": 3, "Y": 12}
_LENGTHS_US = {"M": 30 * _UNITS_US["D"], "Q": 90 * _UNITS_US["D"], "Y": 365 * _UNITS_US["D"]}
_LONGEST_US = 1000 * 366 * _UNITS_US["D"]
_DAYS = {"": None, "S": 1, "E": 31}

# Used only if the text as written is not one of the units above.
_SPELLINGS = {
    "u": "us", "l": "ms", "sec": "s", "second": "s", "secondly": "s", "t": "min", "minute": "min",
    "minutely": "min", "hour": "h", "hourly": "h", "day": "D", "daily": "D", "week": "W",
    "weekly": "W", "monthly": "M", "month": "M", "quarterly": "Q", "quarter": "Q", "yearly": "Y",
    "year": "Y", "annual": "Y", "annually": "Y", "business": "B", "a": "Y", "as": "YS", "ae": "YE",
}  # fmt: skip
_ANY_CASE = {
    name.lower(): name
    for name in ("us", "s", "min", "h", "D", "W", "B", "ME", "Q", "QS", "QE", "Y", "YS", "YE")
}
_CASE_MATTERS = {"m", "Ms", "mS"}
_TEXT = re.compile(r"^(\d*)\s*([A-Za-z]*)(?:@(\d{1,2}))?(?:-([A-Za-z]{3}))?$")
# By the first letters of the units that an anchor may follow, as in W-MON or QS-JAN.
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_MONTH_NAMES = (
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"
)  # fmt: skip
_ANCHORS = {"W": _WEEKDAYS, "QY": _MONTH_NAMES}
_HINT = "use an alias such as 15min, h, D, B, W, MS, ME, QS, QE, YS or YE"


def parse_alias(text: str) -> Parts:
    """Return kind, count, day and anchor of an alias.

    The anchor of weeks is the weekday of their last day, 0 for Monday; it is Sunday by default. The
    anchor of quarters and years is the month in which one starts, or ends: January or December.

    Raises
    ------
    ConfigError
        If the text is not an alias of a frequency.
    """
    match = _TEXT.match(text.strip())
    if match is None or not (match[1] or match[2]):
        raise _refusal(text)
    count = int(match[1] or 1)
    if count < 1:
        raise ConfigError(f"freq: {text!r} does not move forward", hint=_HINT)
    if not match[2]:
        _check_length(count, text)
        return _plain_steps(text, count, bare=match[3] is None and match[4] is None)
    unit = _unit_of(match[2], text)
    anchor = _anchor_of(unit, match[4], text)
    _check_length(count * _LENGTHS_US.get(unit[0], _UNITS_US.get(unit, 1)), text)
    if unit[0] in _MONTHS:
        return "months", count * _MONTHS[unit[0]], _day_of(unit, match[3], text), anchor
    if match[3] is not None:
        raise _refusal(text)
    if unit == "B":
        if count > 1:
            raise ConfigError(f"freq: {text!r}: business days come one at a time", hint="use B")
        return "business", 1, None, None
    return "fixed", count * _UNITS_US[unit], None, anchor


def _check_length(count: int, text: str) -> None:
    # Times are microseconds in 64 bits, and a horizon has many steps.
    if count > _LONGEST_US:
        raise ConfigError(f"freq: {text!r} is longer than a thousand years", hint=_HINT)


def spell_fixed(count: int) -> str:
    """Return the alias of a step in microseconds, in the largest unit that divides it."""
    unit = next(name for name in reversed(_UNITS_US) if count % _UNITS_US[name] == 0)
    number = count // _UNITS_US[unit]
    return unit if number == 1 else f"{number}{unit}"


def spell_months(count: int, day: int | None) -> str:
    """Return the alias of a step in months on a day of the month."""
    unit = next(name for name in reversed(_MONTHS) if count % _MONTHS[name] == 0)
    number = count // _MONTHS[unit]
    suffix = {None: "", 1: "S", 31: "E"}.get(day, f"@{day}")
    return f"{'' if number == 1 else number}{unit}{suffix}"


def spell_anchor(kind: str, anchor: int | None) -> str:
    """Return the ending of an alias for an anchor, as ``-MON`` or ``-FEB``; empty without one."""
    if anchor is None:
        return ""
    return f"-{_WEEKDAYS[anchor]}" if kind == "fixed" else f"-{_MONTH_NAMES[anchor - 1]}"


def _plain_steps(text: str, count: int, *, bare: bool) -> Parts:
    if not bare:
        raise _refusal(text)
    return "steps", count, None, None


def _unit_of(name: str, text: str) -> str:
    if name in _UNITS_US or name in {"M", "MS", "B"}:
        return name
    # "m" is a minute for numpy, "M" a month for pandas. A wrong guess would forecast nonsense.
    if name in _CASE_MATTERS:
        raise ConfigError(
            f"freq: {text!r} may be minutes or months", hint="write min or M, ms or MS"
        )
    unit = _ANY_CASE.get(name.lower()) or _SPELLINGS.get(name.lower())
    if unit is None:
        raise _refusal(text)
    return unit


def _anchor_of(unit: str, anchor: str | None, text: str) -> int | None:
    if anchor is None:
        return _WEEKDAYS.index("SUN") if unit == "W" else None
    family = next((kind for kind in _ANCHORS if unit[0] in kind), None)
    if family is None or anchor.upper() not in _ANCHORS[family]:
        raise _refusal(text)
    names = _ANCHORS[family]
    return names.index(anchor.upper()) + int(names is _MONTH_NAMES)


def _day_of(unit: str, day: str | None, text: str) -> int | None:
    if day is None:
        return _DAYS[unit[1:]]
    if len(unit) > 1 or not 1 <= int(day) <= 31:
        raise _refusal(text)
    return int(day)


def _refusal(text: str) -> ConfigError:
    return ConfigError(f"freq: {text!r} is not a known frequency", hint=_HINT)
