"""One series and its forecast, ready to be drawn."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gigacast.core.array import AnyArray, RealArray

_TOLERANCE = 1e-6
_CONTEXT_PER_HORIZON = 3
_FEWEST_CONTEXT = 32


@dataclass(frozen=True, slots=True)
class Band:
    """The space between two quantiles: ``share`` of the outcomes should fall in it.

    Parameters
    ----------
    share : float
        Upper level minus lower level, as 0.8.
    low, high : float [H]
        The two quantiles.
    """

    share: float
    low: RealArray
    high: RealArray

    @property
    def label(self) -> str:
        """As ``80%``."""
        return f"{100 * self.share:.3g}%"


@dataclass(frozen=True, slots=True)
class ForecastPanel:
    """What one picture of a forecast shows.

    Parameters
    ----------
    title : str
        The series.
    context_times : datetime64 or int [T]
        When the context was observed, ascending.
    context : float [T]
        What was observed; NaN where missing.
    times : datetime64 or int [H]
        When the forecast is for, ascending.
    median : float [H]
        The 0.5 quantile.
    levels : sequence of float [Q]
        Quantile levels; may be empty.
    quantiles : float [H, Q]
        Quantiles, a column per level.
    actuals : float [H], optional
        What happened, where it is known; NaN where it is not.
    """

    title: str
    context_times: AnyArray
    context: RealArray
    times: AnyArray
    median: RealArray
    levels: Sequence[float] = ()
    quantiles: RealArray | None = None
    actuals: RealArray | None = None

    def __post_init__(self) -> None:
        horizon = len(self.times)
        shapes = {
            "context": (np.shape(self.context), np.shape(self.context_times)),
            "median": (np.shape(self.median), (horizon,)),
            "quantiles": (
                self._shape(self.quantiles, len(self.levels)),
                (horizon, len(self.levels)),
            ),
            "actuals": (self._shape(self.actuals), (horizon,)),
        }
        for name, (found, wanted) in shapes.items():
            if found != wanted:
                raise ValueError(f"{name} of panel {self.title!r} is {found}, not {wanted}")

    def _shape(self, values: RealArray | None, *rest: int) -> tuple[int, ...]:
        return (len(self.times), *rest) if values is None else np.shape(values)

    def bands(self) -> list[Band]:
        """Return a band per pair of levels around the median, the widest first."""
        if self.quantiles is None:
            return []
        lower = sorted(i for i, level in enumerate(self.levels) if level < 0.5 - _TOLERANCE)
        pairs = [
            (i, j)
            for i in lower
            for j, upper in enumerate(self.levels)
            if abs(upper + self.levels[i] - 1) < _TOLERANCE
        ]
        bands = [
            Band(self.levels[j] - self.levels[i], self.quantiles[:, i], self.quantiles[:, j])
            for i, j in pairs
        ]
        return sorted(bands, key=lambda band: -band.share)

    def last(self, steps: int | None = None) -> "ForecastPanel":
        """Return the panel with no more than the last ``steps`` of the context.

        By default that is three times the horizon, 32 at least: the forecast is what one looks at.
        """
        if steps is None:
            steps = max(_FEWEST_CONTEXT, _CONTEXT_PER_HORIZON * len(self.times))
        start = max(0, len(self.context) - steps)
        return replace(self, context=self.context[start:], context_times=self.context_times[start:])
