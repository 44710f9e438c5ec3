"""Moments as people give them. Imports ``errors`` and ``core``."""

from datetime import date, datetime, time, timedelta

from gigacast.core.month import Month
from gigacast.errors import ConfigError


def parse_moment(given: datetime | date | str) -> datetime:
    """Return a moment as people write it.

    Raises
    ------
    ConfigError
    """
    if isinstance(given, str):
        try:
            return datetime.fromisoformat(given)
        except ValueError as error:
            raise ConfigError(
                f"last_timestamp: {given!r} is no moment", hint="as 2014-03-31T12:00"
            ) from error
    if isinstance(given, datetime):
        return given
    if isinstance(given, date):
        return datetime.combine(given, time.min)
    raise ConfigError(f"last_timestamp: expected a moment, got {type(given).__name__}")


def first_month_after(since: datetime) -> Month:
    """Return the earliest month that may hold rows after it: a file may be in another zone."""
    day = since.date()
    before = day - timedelta(days=1) if day > date.min else day
    return Month(before.year, before.month)
