"""Public holidays by country, from the `holidays` package: the only place where it is used.

Tables are made where a job is prepared, and travel with it: workers need no package, and another
version of it elsewhere cannot change a number.
"""

import re
from collections import Counter
from datetime import date
from functools import lru_cache
from typing import Any

from gigacast.core.series.calendar import HolidayTable
from gigacast.errors import ConfigError, MissingExtraError

FIRST_YEAR, LAST_YEAR = 1950, 2060
"""Years of a table."""
USUAL_YEARS = range(2001, 2031)
"""Years, in half of which a holiday has to be for a column of its own."""
MOST_NAMES = 20
_NOTE = re.compile(r"\s*\([^()]*\)\s*$")
"""Note after the name of a holiday that is kept on another day, or whose day is a guess."""
_EPOCH = date(1970, 1, 1).toordinal()


@lru_cache(maxsize=32)
def holiday_table(country: str) -> HolidayTable:
    """Return the holidays of a country, as ``GB``, or of a part of it, as ``GB-SCT``.

    Raises
    ------
    ConfigError
        If nobody knows them.
    MissingExtraError
        If the package is not installed.
    """
    library = _library()
    code, _, part = country.partition("-")
    years = range(FIRST_YEAR, LAST_YEAR + 1)
    try:
        days = library.country_holidays(code, subdiv=part or None, years=years)
    except NotImplementedError as error:
        raise ConfigError(
            f"known_holidays: {country!r} is no country or part of one whose holidays are known",
            hint="use codes as GB, US or DE-BY; see the documentation of the holidays package",
        ) from error
    named: dict[str, set[int]] = {}
    for day, text in days.items():
        for name in str(text).split("; "):
            plain = _NOTE.sub("", name) or name
            named.setdefault(plain, set()).add(day.toordinal() - _EPOCH)
    usual = _usual(named)
    return HolidayTable(
        country=country,
        first=date(FIRST_YEAR, 1, 1).toordinal() - _EPOCH,
        last=date(LAST_YEAR, 12, 31).toordinal() - _EPOCH,
        names=usual,
        days=tuple(tuple(sorted(named[name])) for name in usual),
        others=tuple(sorted({d for n, days in named.items() if n not in usual for d in days})),
    )


def _usual(named: dict[str, set[int]]) -> tuple[str, ...]:
    """Return the names of the holidays of most years, in the order of the alphabet."""
    years = Counter(
        name
        for name, days in named.items()
        for year in {date.fromordinal(day + _EPOCH).year for day in days}
        if year in USUAL_YEARS
    )
    often = [name for name, count in years.most_common() if 2 * count >= len(USUAL_YEARS)]
    return tuple(sorted(often[:MOST_NAMES]))


def _library() -> Any:
    try:
        import holidays  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError(
            "known_holidays: the dates need the package `holidays`",
            hint='pip install "gigacast[calendar]"',
        ) from error
    return holidays
