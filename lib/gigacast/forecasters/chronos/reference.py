"""Forecasts by the stock Chronos pipelines, the reference for the forecasts of this package.

Shares no code for batching, padding or the forward pass with the forecasters, so that an error
there cannot hide in the reference as well.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigacast.core.array import FloatArray
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.forecast import ForecastRequest
from gigacast.forecasters.around.horizon import is_continued
from gigacast.forecasters.batching import forecast_batch
from gigacast.forecasters.engine import require_torch
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasters.levels import interpolate_levels, plan_levels, postprocess
from gigacast.forecasters.options import ForecastOptions
from gigacast.forecasters.plain.unrolling import ArrayUnrolling, is_even

TOLERANCES = {"float32": 1e-4, "bfloat16": 1e-1, "int8": 2.0}
"""Largest accepted difference from the float32 reference, in units of `context_scale`.

Measured on random weights: float32 within 1e-5, bfloat16 0.011 to 0.013 root mean square
(docs/decisions/0004-lean-bolt-engine.md). Of int8 on the shipped model and 8,000 synthetic series
the root mean square is 0.02 and the worst 1.4, so that only gross errors are found.
"""
SMALLEST_SCALE = 1e-3
"""Unit of differences where the context is zero throughout. A Bolt divides such a context by 1e-5,
so that its forecasts are of that size, and their rounding is far below."""


def reference_quantiles(
    folder: Path,
    contexts: Sequence[FloatArray],
    levels: tuple[float, ...],
    options: ForecastOptions,
) -> FloatArray:
    """Forecast series by the stock pipeline in float32, in one batch.

    Parameters
    ----------
    folder : Path
        Folder of a Bolt or Chronos-2 model.
    contexts : sequence of float32 [T_n]
        N series.
    levels : tuple of float
        Q quantile levels.
    options : ForecastOptions
        Horizon and post-processing.

    Returns
    -------
    float32 [N, H, Q]
    """
    require_torch("a comparison with the stock pipeline")
    import torch  # noqa: PLC0415 - planning and workers without a model start without torch

    inputs = [torch.from_numpy(np.array(context)) for context in contexts]
    quantiles = _stock_quantiles(folder, inputs, levels, options)
    return np.concatenate(quantiles) if isinstance(quantiles, list) else quantiles


def reference_groups(
    folder: Path,
    groups: Sequence[SeriesBatch],
    levels: tuple[float, ...],
    options: ForecastOptions,
) -> list[FloatArray]:
    """Forecast the first series of each batch by the stock pipeline, with its covariates.

    Parameters
    ----------
    folder : Path
        Folder of a Chronos-2 model.
    groups : sequence of SeriesBatch
        Batches with covariates; all series of a batch belong to the same item.
    levels : tuple of float
        Q quantile levels.
    options : ForecastOptions
        Horizon and post-processing; with ``joint``, the series of a batch form one multivariate
        target.

    Returns
    -------
    list of float32 [H, Q]
    """
    forecasts = []
    # One call per group: the stock pipeline numbers categories over all inputs of a call.
    for group in groups:
        (values,) = _stock_quantiles(folder, [_stock_input(group, options)], levels, options)
        forecasts.append(values[0])
    return forecasts


class StockForecaster:
    """The stock pipeline in float32 as a `Forecaster`, for what is done around a model.

    Parameters
    ----------
    folder : Path
        Folder of a Bolt or Chronos-2 model.
    info : ForecasterInfo
        Limits of the model.
    """

    def __init__(self, folder: Path, info: ForecasterInfo) -> None:
        self._folder = folder
        self.info = info

    def predict(self, request: ForecastRequest) -> FloatArray:
        """Forecast one batch, see `Forecaster.predict`; the levels must be trained ones."""
        if not continues_otherwise(self.info, request.horizon):
            return self._pass(request.context, request.levels, request.horizon)
        info, steps = self.info, self.info.prediction_length
        unrolling = ArrayUnrolling(info.levels, info.context_length, steps)
        raw = unrolling.forecast(
            request.context,
            request.horizon,
            lambda paths: self._pass(paths, info.levels, steps).transpose(0, 2, 1),
        )
        return interpolate_levels(raw.transpose(0, 2, 1), info.levels, request.levels)

    def _pass(self, context: FloatArray, levels: tuple[float, ...], horizon: int) -> FloatArray:
        import torch  # noqa: PLC0415 - planning and workers without a model start without torch

        # Without the padding, which the stock pipeline adds itself.
        inputs = [torch.from_numpy(row[np.isfinite(row).argmax() :]) for row in context]
        raw, trained = _raw_quantiles(self._folder, inputs, horizon)
        rows = np.concatenate(raw) if isinstance(raw, list) else raw
        return interpolate_levels(rows, trained, levels)


def continues_otherwise(info: ForecasterInfo, horizon: int) -> bool:
    """Return whether the stock pipeline of a Bolt continues its quantiles in another way.

    It takes them for equally likely samples, which those of uneven levels are not: this package
    weights them.
    """
    is_bolt = not info.takes_groups
    return is_bolt and is_continued(info, horizon) and not is_even(info.levels)


def reference_around(
    folder: Path, info: ForecasterInfo, sample: Sequence[SeriesBatch], options: ForecastOptions
) -> list[FloatArray]:
    """Forecast the first series of each batch by the stock pipeline, with all that is around it.

    Parameters
    ----------
    folder : Path
        Folder of a Bolt or Chronos-2 model.
    info : ForecasterInfo
        Limits of the model.
    sample : sequence of SeriesBatch
        Batches without covariates.
    options : ForecastOptions

    Returns
    -------
    list of float32 [H, Q]
    """
    stock = StockForecaster(folder, info)
    # One series at a time, and without the memory and the batches of a job.
    return [forecast_batch(stock, batch.slice(0, 1), options).quantiles[0] for batch in sample]


def _stock_input(group: SeriesBatch, options: ForecastOptions) -> dict[str, Any]:
    """Return the stock pipeline's input for the first item of a batch."""
    covariates = group.covariates
    assert covariates is not None  # noqa: S101 - the caller checks it
    series = list(group if options.joint else group.slice(0, 1))
    length = min(max(len(values) for values in series), options.context_length or 2**62)
    targets = [np.concatenate([np.full(length, np.nan), values])[-length:] for values in series]
    item = covariates.items[:1]
    past, ahead = covariates.windows(item, length)[0], covariates.future(item, options.horizon)[0]
    columns = {
        name: (_stock_column(past[n], texts), _stock_column(ahead[n], texts))
        for n, (name, texts) in enumerate(zip(covariates.names, covariates.categories, strict=True))
    }
    known_ahead = covariates.names[len(covariates.names) - covariates.known :]
    return {
        "target": np.stack(targets).astype(np.float32),
        "past_covariates": {name: values for name, (values, _) in columns.items()},
        "future_covariates": {name: columns[name][1] for name in known_ahead},
    }


def _stock_column(values: FloatArray, texts: tuple[str, ...] | None) -> NDArray[Any]:
    """Return a covariate's values; categories as texts, which the stock pipeline encodes itself."""
    if texts is None:
        return values
    categories = [texts[int(code)] if code >= 0 else None for code in values]
    return np.array(categories, dtype=object)


def _stock_quantiles(
    folder: Path, inputs: Sequence[Any], levels: tuple[float, ...], options: ForecastOptions
) -> FloatArray | list[FloatArray]:
    """Return the stock pipeline's quantiles: [K, H, Q] per input, or [N, H, Q] for all of them."""
    quantiles, trained = _raw_quantiles(folder, inputs, options.horizon)
    plan = plan_levels(levels, trained, extrapolate=options.extrapolate_levels)

    def finish(stock: FloatArray) -> FloatArray:
        return postprocess(
            plan.finish(stock), non_negative=options.non_negative, integer=options.integer
        )

    if isinstance(quantiles, list):
        return [finish(values) for values in quantiles]
    return finish(quantiles)


def _raw_quantiles(
    folder: Path, inputs: Sequence[Any], horizon: int
) -> tuple[FloatArray | list[FloatArray], tuple[float, ...]]:
    """Return the stock pipeline's quantiles as they are, and their trained levels."""
    require_torch("a comparison with the stock pipeline")
    import torch  # noqa: PLC0415 - planning and workers without a model start without torch

    from gigacast.forecasters.chronos.loading import load_pipeline  # noqa: PLC0415

    pipeline = load_pipeline(folder, torch.device("cpu"), torch.float32)
    trained = tuple(float(level) for level in pipeline.quantiles)
    with warnings.catch_warnings():
        # The pipeline warns that horizons beyond the trained one are less certain.
        warnings.simplefilter("ignore")
        quantiles, _ = pipeline.predict_quantiles(
            inputs, prediction_length=horizon, quantile_levels=list(trained)
        )
    # Chronos-2 returns a list, Bolt an array.
    if isinstance(quantiles, list):
        return [np.asarray(values, np.float32) for values in quantiles], trained
    return np.asarray(quantiles, np.float32), trained


def context_scale(context: FloatArray) -> float:
    """Return the unit in which differences are measured.

    It is the standard deviation of the context. Of a nearly constant one it is the magnitude, or
    `SMALLEST_SCALE` if that is greater.
    """
    values = np.asarray(context[np.isfinite(context)], dtype=np.float64)
    if not values.size:
        return 1.0
    deviation, magnitude = values.std(), np.abs(values).max()
    # The rounding of float32 alone is a tenth of a millionth of the magnitude: no smaller unit can
    # tell it from a fault.
    is_constant = deviation <= 1e-6 * magnitude
    return float(max(magnitude, SMALLEST_SCALE) if is_constant else deviation)
