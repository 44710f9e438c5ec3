"""One series and its forecast, ready to be drawn."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gigacast.core.array import AnyArray, RealArray
from gigacast.report.document import Curve, Figure
from gigacast.report.plot.axis import time_labels

_TOLERANCE = 1e-6
_CONTEXT_PER_HORIZON = 3
_FEWEST_CONTEXT = 32


@dataclass(frozen=True, slots=True)
class Band:
    """The space between two quantiles, in which ``share`` of the outcomes should fall.

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
    """The content of a picture of one forecast.

    Parameters
    ----------
    title : str
        The series.
    context_times : datetime64 or int [T]
        Times of the context, ascending.
    context : float [T]
        Observed values; NaN where missing.
    times : datetime64 or int [H]
        Times of the forecast, ascending.
    median : float [H]
        The 0.5 quantile.
    levels : sequence of float [Q]
        Quantile levels; may be empty.
    quantiles : float [H, Q]
        Quantiles, a column per level.
    actuals : float [H], optional
        Values that came later; NaN where still unknown.
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
        for name, (shape, expected) in shapes.items():
            if shape != expected:
                raise ValueError(f"{name} of panel {self.title!r} is {shape}, not {expected}")

    def _shape(self, values: RealArray | None, *further: int) -> tuple[int, ...]:
        return (len(self.times), *further) if values is None else np.shape(values)

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

        By default three times the horizon, 32 at least: a longer context would press the forecast,
        which people want to see, into a corner.
        """
        if steps is None:
            steps = max(_FEWEST_CONTEXT, _CONTEXT_PER_HORIZON * len(self.times))
        start = max(0, len(self.context) - steps)
        return replace(self, context=self.context[start:], context_times=self.context_times[start:])

    def to_figure(self) -> Figure:
        """Return the panel as a figure: T + H positions, NaN where a curve has no value."""
        past, ahead = len(self.context), len(self.times)

        def after(values: RealArray) -> tuple[float, ...]:
            return (*[np.nan] * past, *np.asarray(values, np.float64).tolist())

        history = (*np.asarray(self.context, np.float64).tolist(), *[np.nan] * ahead)
        curves = [
            Curve("context", "history", history),
            Curve("median", "forecast", after(self.median)),
        ]
        curves += [
            Curve(band.label, "band", after(band.high), after(band.low), band.share)
            for band in self.bands()
        ]
        if self.actuals is not None:
            curves.append(Curve("actual", "actual", after(self.actuals)))
        labels = time_labels(np.concatenate([self.context_times, self.times]))
        return Figure(self.title, tuple(labels), tuple(curves), border=past)
