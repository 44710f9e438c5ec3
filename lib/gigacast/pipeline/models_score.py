"""Held-out ends and how well they were forecast. Pure; imports ``core`` and numpy.

WQL is the mean over levels of the summed quantile loss over the summed absolute actuals; MASE is
the mean absolute error of the median over the in-sample error of the seasonal naive (Hyndman and
Koehler, 2006), averaged over the series where that is defined; the others are counted.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gigacast.core.forecast import ForecastBatch
from gigacast.core.series import FloatArray, SeriesBatch

DoubleArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Series without their ends, and the ends.

    Parameters
    ----------
    contexts : SeriesBatch
        N series, cut by the horizon.
    actuals : float32 [N, H]
        What came after; NaN where missing.
    scales : float64 [N]
        Mean absolute seasonal difference of each context; NaN where undefined.
    """

    contexts: SeriesBatch
    actuals: FloatArray
    scales: DoubleArray


def hold_out(batch: SeriesBatch, horizon: int) -> HeldOut:
    """Cut the last ``horizon`` steps off each series that has a value before and in them.

    The contexts keep the time of their last step: what follows looks at numbers only.
    """
    long = batch.take(np.flatnonzero(batch.lengths > horizon))
    ends = long.offsets[1:, None] - horizon + np.arange(horizon)
    actuals = long.values[ends]
    inside = np.arange(len(long.values)) < np.repeat(long.offsets[1:] - horizon, long.lengths)
    cut = SeriesBatch(
        item_ids=long.item_ids,
        target_names=long.target_names,
        values=long.values[inside],
        offsets=long.offsets - horizon * np.arange(len(long.offsets)),
        last_timestamps=long.last_timestamps,
        frequencies=long.frequencies,
        frequency_codes=long.frequency_codes,
        reasons=long.reasons,
        timestamp_type=long.timestamp_type,
    )
    known = [bool(np.isfinite(values).any()) for values in cut]
    kept = np.flatnonzero(np.array(known, bool) & np.isfinite(actuals).any(axis=1))
    cut = cut.take(kept)
    return HeldOut(cut, actuals[kept], _scales(cut))


def _scales(batch: SeriesBatch) -> DoubleArray:
    seasons = np.array([*(f.season_length for f in batch.frequencies), 1])[batch.frequency_codes]
    return np.array([_scale(v, int(m)) for v, m in zip(batch, seasons, strict=True)], np.float64)


def _scale(values: FloatArray, season: int) -> float:
    differences = np.abs(np.asarray(values[season:] - values[:-season], np.float64))
    known = differences[np.isfinite(differences)]
    scale = float(known.mean()) if len(known) else 0.0
    return scale if scale > 0 else float("nan")


@dataclass(frozen=True, slots=True)
class Score:
    """How well held-out ends were forecast; ``None`` where nothing defines it.

    ``undefined`` counts the series whose context is too short or too constant for MASE.
    """

    name: str
    series: int
    wql: float | None
    mase: float | None
    undefined: int


class Tally:
    """Adds up losses over partitions.

    Parameters
    ----------
    name : str
        Of what made the forecasts.
    levels : tuple of float
        Q of them.
    """

    def __init__(self, name: str, levels: tuple[float, ...]) -> None:
        self._name = name
        self._levels = np.array(levels)
        self._losses = np.zeros(len(levels))
        self._actuals = 0.0
        self._errors: list[DoubleArray] = []
        self._series = 0

    def add(self, forecast: ForecastBatch, held: HeldOut) -> None:
        """Count one batch."""
        actual = held.actuals.astype(np.float64)
        losses = quantile_loss(actual, forecast.quantiles.astype(np.float64), self._levels)
        self._losses += np.nansum(losses, axis=(0, 1))
        self._actuals += float(np.nansum(np.abs(actual)))
        self._errors.append(np.nanmean(np.abs(actual - forecast.median), axis=1) / held.scales)
        self._series += len(actual)

    def score(self) -> Score:
        """Return the figures so far."""
        errors = np.concatenate([np.empty(0), *self._errors])
        known = errors[np.isfinite(errors)]
        wql = float(self._losses.mean() / self._actuals) if self._actuals > 0 else None
        mase = float(known.mean()) if len(known) else None
        return Score(self._name, self._series, wql, mase, len(errors) - len(known))


def quantile_loss(actual: DoubleArray, quantiles: DoubleArray, levels: DoubleArray) -> DoubleArray:
    """Return ``2 |(y - q) (1[y <= q] - level)|``, [N, H, Q]; NaN where y is.

    Parameters
    ----------
    actual : float64 [N, H]
    quantiles : float64 [N, H, Q]
    levels : float64 [Q]
    """
    y = actual[..., None]
    return 2 * np.abs((y - quantiles) * ((y <= quantiles) - levels))
