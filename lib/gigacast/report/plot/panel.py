"""One series and its forecast, ready to be drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gigacast.core.array import AnyArray, RealArray
from gigacast.forecasters.metric import interval_name, intervals_of
from gigacast.report.document import Curve, Figure, Scale
from gigacast.report.plot.axis import time_labels


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
        if self.quantiles is not None:
            for interval in intervals_of(self.levels):
                low, high = interval
                upper, lower = (after(self.quantiles[:, column]) for column in (high, low))
                share = self.levels[high] - self.levels[low]
                name = interval_name(self.levels, interval)
                curves.append(Curve(name, "band", upper, lower, share))
        if self.actuals is not None:
            curves.append(Curve("actual", "actual", after(self.actuals)))
        times = np.concatenate([self.context_times, self.times])
        labels, places = tuple(time_labels(times)), tuple(_places(times).tolist())
        scale = Scale.TIME if times.dtype.kind == "M" else Scale.STEP
        return Figure(self.title, labels, tuple(curves), past, places, scale)


def _places(times: AnyArray) -> RealArray:
    """Return times as seconds since 1970, and steps as they are."""
    if times.dtype.kind == "M":
        return times.astype("datetime64[us]").astype(np.int64) / 1e6
    return times.astype(np.float64)
