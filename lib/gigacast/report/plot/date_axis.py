"""Ticks of a time axis at round calendar times; each label names its own month and year."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gigacast.core.array import IntArray

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_MONDAY = 4  # days from 1970-01-01 to the first Monday
_SECONDS = (1, 5, 15, 30, 60, 300, 900, 1800, _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR)
_DAYS = (1, 2, 7, 14)
_MONTHS = (1, 2, 3, 6, *(12 * n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)))
_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Tick(NamedTuple):
    """A place on a time axis, in seconds since 1970 (UTC), its text, and the year or day below."""

    place: float
    label: str
    below: str = ""


def date_ticks(low: float, high: float, max_ticks: int) -> list[Tick]:
    """Return the finest calendar ticks between two times, at most ``max_ticks`` of them.

    The year stands below the first tick and where it changes; below times of day it is the day.

    Parameters
    ----------
    low, high : float
        Seconds since 1970 (UTC); years 1 to 9999.
    max_ticks : int
        At least 2.
    """
    finer: tuple[str, IntArray] | None = None
    for unit, places in _candidates(low, high, max_ticks):
        if len(places) <= max_ticks:
            if len(places) < 2 and finer is not None:
                # A single tick shows no distance: some of the finer ones do.
                unit, places = finer[0], finer[1][:: -(-len(finer[1]) // max_ticks)]  # noqa: PLW2901
            texts = _labels(unit, places)
            return [Tick(float(p), *t) for p, t in zip(places, texts, strict=True)]
        finer = (unit, places)
    return []


def _candidates(low: float, high: float, max_ticks: int) -> Iterator[tuple[str, IntArray]]:
    """Yield the ticks of each step, from the finest that may fit to the coarsest."""
    span = high - low
    for step in _SECONDS:
        if span / step <= max_ticks:
            yield "time", _multiples(low, high, step)
    for days in _DAYS:
        if span / (days * _DAY) <= max_ticks:
            offset = _MONDAY * _DAY if days >= 7 else 0
            yield "day", _multiples(low - offset, high - offset, days * _DAY) + offset
    first, last = (
        int(np.datetime64(int(np.floor(edge)), "s").astype("datetime64[M]").astype(np.int64))
        for edge in (low, high)
    )
    for months in _MONTHS:
        numbers = np.arange(-(-first // months), last // months + 1, dtype=np.int64) * months
        starts = numbers.astype("datetime64[M]").astype("datetime64[s]").astype(np.int64)
        yield "month" if months < 12 else "year", starts[(starts >= low) & (starts <= high)]


def _multiples(low: float, high: float, step: int) -> IntArray:
    first, last = int(np.ceil(low / step)), int(np.floor(high / step))
    return np.arange(first, last + 1, dtype=np.int64) * step


def _labels(unit: str, places: IntArray) -> list[tuple[str, str]]:
    """Return the text of each tick, and that below it."""
    times = places.astype("datetime64[s]")
    years = (times.astype("datetime64[Y]").astype(np.int64) + 1970).tolist()
    months = (times.astype("datetime64[M]").astype(np.int64) % 12).tolist()
    days = (times.astype("datetime64[D]") - times.astype("datetime64[M]")).astype(np.int64) + 1
    if unit == "year":
        return [(str(year), "") for year in years]
    names = [_NAMES[month] for month in months]
    dates = [f"{day} {name}" for day, name in zip(days.tolist(), names, strict=True)]
    if unit == "time":
        return _where_new(_times_of_day(places), dates)
    return _where_new(names if unit == "month" else dates, [str(year) for year in years])


def _times_of_day(places: IntArray) -> list[str]:
    has_seconds = bool((places % _MINUTE).any())
    seconds = (places % _DAY).tolist()
    end = slice(0, 8 if has_seconds else 5)
    return [f"{s // _HOUR:02d}:{s % _HOUR // _MINUTE:02d}:{s % _MINUTE:02d}"[end] for s in seconds]


def _where_new(labels: list[str], below: list[str]) -> list[tuple[str, str]]:
    """Return labels with the texts below them; these only where they differ from the last."""
    before = ["", *below][: len(below)]
    return [
        (label, text if text != last else "")
        for label, text, last in zip(labels, below, before, strict=True)
    ]
