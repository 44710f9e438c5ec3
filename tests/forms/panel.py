"""Canonical panels: the series that every form spells, as plain values."""

import calendar
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property, partial

Moment = datetime | int
"""A time of a series: wall time, or the number of a step."""


@dataclass(frozen=True)
class Step:
    """A distance of times.

    Parameters
    ----------
    name : str
    alias : str
        Frequency alias.
    finest : str
        Coarsest unit that can spell its times: ``month``, ``day``, ``hour``, ``minute``,
        ``second``, ``ms`` or ``step``.
    at : callable
        Returns the time of step k.
    """

    name: str
    alias: str
    finest: str
    at: Callable[[int], Moment]


@dataclass(frozen=True)
class Panel:
    """Items with their rows in the order of time.

    Parameters
    ----------
    name : str
    step : Step
    items : tuple of tuple of (int, float or None)
        Number of the step and value of each row, by item.
    """

    name: str
    step: Step
    items: tuple[tuple[tuple[int, float | None], ...], ...]

    @cached_property
    def is_aligned(self) -> bool:
        """Whether all items have rows at the same times."""
        return len({tuple(k for k, _ in rows) for rows in self.items}) == 1

    @cached_property
    def is_complete(self) -> bool:
        """Whether no item lacks a row between its first and its last."""
        return all(rows[-1][0] - rows[0][0] + 1 == len(rows) for rows in self.items)

    @property
    def is_whole(self) -> bool:
        """Whether all values are whole numbers."""
        return all(v is None or v == int(v) for rows in self.items for _, v in rows)

    def rows(self) -> list[tuple[int, Moment, float | None]]:
        """Return item, time and value of each row, item by item."""
        return [(i, self.step.at(k), v) for i, rows in enumerate(self.items) for k, v in rows]

    def with_values(self, convert: Callable[[float], float]) -> "Panel":
        """Return the panel with other values."""
        items = tuple(
            tuple((k, None if v is None else convert(v)) for k, v in rows) for rows in self.items
        )
        return replace(self, items=items)


def _fixed(start: datetime, **step: float) -> Callable[[int], datetime]:
    return lambda k: start + k * timedelta(**step)


def _months(count: int, *, at_end: bool = False) -> Callable[[int], datetime]:
    def at(k: int) -> datetime:
        year, month = divmod(count * k, 12)
        year, month = 2010 + year, month + 1
        day = calendar.monthrange(year, month)[1] if at_end else 1
        return datetime(year, month, day)  # noqa: DTZ001 - wall time

    return at


def _business(k: int) -> datetime:
    weeks, day = divmod(k, 5)
    return datetime(2024, 1, 1) + timedelta(days=7 * weeks + day)  # noqa: DTZ001 - a Monday


_FIRST = datetime(2024, 1, 5)  # noqa: DTZ001 - wall time
STEPS = {
    step.name: step
    for step in (
        Step("years", "YS", "month", _months(12)),
        Step("quarters", "QS", "month", _months(3)),
        Step("months", "MS", "month", _months(1)),
        Step("month ends", "ME", "day", _months(1, at_end=True)),
        Step("weeks", "W", "day", _fixed(_FIRST, weeks=1)),
        Step("days", "D", "day", _fixed(_FIRST, days=1)),
        Step("business days", "B", "day", _business),
        Step("hours", "h", "hour", _fixed(_FIRST, hours=1)),
        Step("quarter hours", "15min", "minute", _fixed(_FIRST, minutes=15)),
        Step("half minutes", "30s", "second", _fixed(_FIRST, seconds=30)),
        Step("tenths", "100ms", "ms", _fixed(_FIRST, milliseconds=100)),
        Step("numbers", "1", "step", lambda k: 100 + k),
    )
}


def draw_panel(step: Step, seed: int, *, shape: str = "ragged", items: int = 3) -> Panel:
    """Return a panel of small values.

    Parameters
    ----------
    step : Step
    seed : int
    shape : str
        ``ragged``: items of different lengths, with gaps and nulls; ``aligned``: the same times,
        with nulls; ``complete``: different lengths without gaps, with nulls.
    items : int
    """
    chance = random.Random(f"{step.name} {shape} {seed} {items}")
    rows = []
    for number in range(items):
        length = 24 if shape == "aligned" else chance.randrange(16, 30)
        first = 0 if shape == "aligned" else chance.randrange(4)
        value = partial(chance.choice, [n / 2 for n in range(240)])
        own = [(first + k, value() if chance.random() > 0.05 else None) for k in range(length)]
        if shape == "ragged":
            gaps = {chance.randrange(5, length - 5) for _ in range(2)} if number else set()
            own = [row for place, row in enumerate(own) if place not in gaps]
        # A series ends with a value, so that its last time is the same whether nulls are rows.
        rows.append((*own[:-1], (own[-1][0], 7.0)))
    return Panel(f"{step.name}, {shape}", step, tuple(rows))


SHAPES = ("ragged", "aligned", "complete")
PANELS = {
    panel.name: panel
    for panel in (draw_panel(step, 1, shape=shape) for step in STEPS.values() for shape in SHAPES)
}
