"""Days as texts (``2024-01-31``), and their first moments in epoch milliseconds (UTC)."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from gigacast.errors import ConfigError, SchemaError
from gigacast.feature_store.definition.window_edge import DAY


def start_of(day: str) -> int:
    """Return the first millisecond of a day."""
    return (date.fromisoformat(day) - date(1970, 1, 1)).days * DAY


def end_of(day: str) -> int:
    """Return the first millisecond after a day."""
    return start_of(day) + DAY


def day_of(time: int) -> str:
    """Return the day of a time.

    Raises
    ------
    SchemaError
        If the calendar has no such day, as of nanoseconds that are taken for milliseconds.
    """
    return moment_of(time).date().isoformat()


def moment_of(time: int) -> datetime:
    """Return the moment of a time; see `day_of`."""
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time)
    except OverflowError as error:
        raise SchemaError(
            f"a row at {time} milliseconds since 1970, which the calendar does not have",
            hint="a time column is in milliseconds: select it so, as ts / 1000000",
        ) from error


def shift(day: str, days: int) -> str:
    """Return the day some days later, or earlier if negative; the calendar's first day at least."""
    ordinal = date.fromisoformat(day).toordinal() + days
    return date.fromordinal(max(ordinal, 1)).isoformat()


def days_between(first: str, last: str) -> list[str]:
    """Return the days from a first to a last one, both included."""
    start, stop = (date.fromisoformat(day).toordinal() for day in (first, last))
    return [date.fromordinal(n).isoformat() for n in range(start, stop + 1)]


def midnights(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the last midnight at or before each time."""
    return times // DAY * DAY


def read_day(text: str, flag: str) -> str:
    """Return a day that a person typed.

    Raises
    ------
    ConfigError
    """
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise ConfigError(f"{flag}: {text[:40]!r} is no day", hint="write 2024-01-31") from error


def is_day(text: str) -> bool:
    """Return whether a text is a day."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
