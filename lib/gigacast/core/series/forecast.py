"""What is asked of a forecaster and what it gives."""

from dataclasses import dataclass

from gigacast.core.array import ByteArray, FloatArray, IntArray, UintArray
from gigacast.core.series.batch import SeriesBatch


@dataclass(frozen=True, slots=True)
class ForecastRequest:
    """One padded batch for `Forecaster.predict`.

    Parameters
    ----------
    context : float32 [B, T]
        Left-padded with NaN; NaN inside is a missing value. Every row has a finite value.
    horizon : int
        Steps to forecast, H.
    levels : tuple of float
        Quantile levels in ascending order, Q of them.
    seasons : int64 [B]
        Season length of each series in steps (for baselines).
    seeds : uint64 [B]
        A seed of each series' own (for models that sample): the same whatever the batch.
    group_size : int
        So many rows each, one after the other, are forecast together; 1 for series alone. Only
        forecasters whose info says ``takes_groups`` are asked for more.
    future : float32 [B, H], optional
        What is known of each row over the horizon; NaN where nothing is.
    """

    context: FloatArray
    horizon: int
    levels: tuple[float, ...]
    seasons: IntArray
    seeds: UintArray
    group_size: int = 1
    future: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class ForecastBatch:
    """The forecast of a `SeriesBatch`, in its order.

    Parameters
    ----------
    series : SeriesBatch
        What was forecast, N series.
    levels : tuple of float
        Quantile levels, Q of them, ascending.
    quantiles : float32 [N, H, Q]
        Monotone along Q; NaN where nothing could be said.
    median : float32 [N, H]
        The 0.5 level, asked for or not.
    reasons : int8 [N]
        `Reason` each series was not forecast by the model; 0 where it was.
    """

    series: SeriesBatch
    levels: tuple[float, ...]
    quantiles: FloatArray
    median: FloatArray
    reasons: ByteArray

    @property
    def horizon(self) -> int:
        """Steps forecast, H."""
        return int(self.median.shape[1])
