"""Ticks and labels of the axes of a plot made of characters."""

import math
from typing import Any, NamedTuple

import numpy as np

from gigacast.core.array import AnyArray, RealArray

_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)


class ValueRange(NamedTuple):
    """The lowest and the highest value of an axis."""

    low: float
    high: float


def value_range(values: RealArray) -> ValueRange | None:
    """Return the lowest and the highest finite value, moved apart if they are nearly equal.

    ``None`` if nothing is finite.
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    if not len(finite):
        return None
    low, high = float(finite.min()), float(finite.max())
    if high - low > 1e-9 * max(abs(low), abs(high)):
        return ValueRange(low, high)
    # A constant series would have an axis without height.
    room = 0.1 * abs(high) or 1.0
    return ValueRange(low - room, high + room)


def nice_ticks(low: float, high: float, n_ticks: int) -> list[float]:
    """Return about ``n_ticks`` round values within the range, ascending, two at least."""
    step_wanted = (high - low) / max(n_ticks, 1)
    power = 10.0 ** math.floor(math.log10(step_wanted))
    # From the coarsest step to the finest: the first with enough ticks is chosen.
    for step in reversed([nice * power for nice in _NICE]):
        ticks = [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
        if len(ticks) >= max(2, n_ticks):
            return ticks
    return ticks


def tick_labels(ticks: list[float]) -> list[str]:
    """Return the ticks as text, all with the same number of decimals, all different."""
    largest, step = max(map(abs, ticks)), ticks[1] - ticks[0]
    # A step of 1e-4 is a little less in binary.
    if 1e-4 <= largest < 1e7 and step >= 0.99e-5:
        decimals = _decimals(step)
        return [f"{tick:,.{decimals}f}" for tick in ticks]
    digits = max(0, _decimals(step / 10.0 ** math.floor(math.log10(largest))))
    return [f"{tick:.{digits}e}" if tick else "0" for tick in ticks]


def time_labels(times: AnyArray) -> list[str]:
    """Return times as text, as precise as they need: days, minutes or seconds; integers as such."""
    if times.dtype.kind != "M":
        return [str(time) for time in times]
    return [str(text).replace("T", " ") for text in np.datetime_as_string(times, _unit(times))]


def _unit(times: AnyArray) -> Any:
    seconds = times.astype("datetime64[s]").astype(np.int64)
    if not (seconds % 86_400).any():
        return "D"
    return "s" if (seconds % 60).any() else "m"


def _decimals(step: float) -> int:
    exponent = math.floor(math.log10(step))
    is_round = math.isclose(step, round(step / 10.0**exponent) * 10.0**exponent, rel_tol=1e-6)
    return max(0, -exponent if is_round else 1 - exponent)
