"""The request to a forecaster and the forecast of a batch."""

from dataclasses import dataclass, replace

from gigacast.core.array import AnyArray, ByteArray, FloatArray, IntArray, UintArray
from gigacast.core.series.batch import SeriesBatch


@dataclass(frozen=True, slots=True)
class ForecastRequest:
    """A padded batch for `Forecaster.predict`.

    Parameters
    ----------
    context : float32 [B, T]
        Contexts, padded with NaN on the left; later NaN are missing values. Every row has a finite
        value.
    horizon : int
        Steps to forecast, H.
    levels : tuple of float
        Quantile levels in ascending order, Q.
    seasons : int64 [B]
        Season length of each series in steps, for baselines.
    seeds : uint64 [B]
        Seed of each series, for models that sample; it does not depend on the batch.
    group_size : int
        Number of consecutive rows that are forecast jointly; 1 forecasts each series alone. More
        only for forecasters whose info has ``takes_groups``.
    future : float32 [B, H], optional
        Known values of each row over the horizon, NaN if unknown; none by default.
    exact : bool
        Whether the numbers of a row must not depend on the other rows of its call, not even in
        their rounding: calls then have one shape for each length (`BatchBudget.fixed`), and
        nothing is computed in another way because of what the other rows hold.
    frequencies : object [B], optional
        Alias of each series' frequency as pandas spells it, empty without one, for forecasters
        that need it; none by default.
    spare : int
        Rows at the end that only fill up a call of one shape: copies, whose forecasts nobody reads.
    """

    context: FloatArray
    horizon: int
    levels: tuple[float, ...]
    seasons: IntArray
    seeds: UintArray
    group_size: int = 1
    future: FloatArray | None = None
    exact: bool = False
    frequencies: AnyArray | None = None
    spare: int = 0

    def take(self, rows: IntArray) -> "ForecastRequest":
        """Return the request for some rows, of which none is spare; groups stay whole."""
        return replace(
            self,
            context=self.context[rows],
            seasons=self.seasons[rows],
            seeds=self.seeds[rows],
            frequencies=None if self.frequencies is None else self.frequencies[rows],
            future=None if self.future is None else self.future[rows],
            spare=0,
        )


@dataclass(frozen=True, slots=True)
class ForecastBatch:
    """The forecast of a `SeriesBatch`, in the same order.

    Parameters
    ----------
    series : SeriesBatch
        Forecast series, N.
    levels : tuple of float
        Quantile levels in ascending order, Q.
    quantiles : float32 [N, H, Q]
        Quantiles, monotone along Q; NaN for series without a forecast. Numbers are float64 if the
        series have bases, which are added.
    median : float32 [N, H]
        Quantile at level 0.5, which is always present.
    reasons : int8 [N]
        `Reason` why the model did not forecast a series; 0 if it did.
    mean : float32 [N, H], optional
        Mean of the distribution that the quantiles describe.
    unseen, replaced : int
        Series of a portfolio that no model was chosen for, and those whose own model failed: both
        are forecast by its fallback.
    unchanged : int
        Series that were too short to be changed before the model, as ``enhance`` says; of targets
        that are forecast jointly, one for each item.
    """

    series: SeriesBatch
    levels: tuple[float, ...]
    quantiles: FloatArray
    median: FloatArray
    reasons: ByteArray
    unchanged: int = 0
    mean: FloatArray | None = None
    unseen: int = 0
    replaced: int = 0

    @property
    def horizon(self) -> int:
        """Number of forecast steps, H."""
        return int(self.median.shape[1])
