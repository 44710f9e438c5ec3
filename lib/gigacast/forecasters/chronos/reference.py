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
from gigacast.forecasters.batching import forecast_batch
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasters.levels import plan_levels, postprocess
from gigacast.forecasters.options import ForecastOptions

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
        # Without the padding, which the stock pipeline adds itself.
        contexts = [row[np.isfinite(row).argmax() :] for row in request.context]
        options = ForecastOptions(request.horizon, request.levels)
        return reference_quantiles(self._folder, contexts, request.levels, options)


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
    import torch  # noqa: PLC0415 - planning and workers without a model start without torch

    from gigacast.forecasters.chronos.loading import load_pipeline  # noqa: PLC0415

    pipeline = load_pipeline(folder, torch.device("cpu"), torch.float32)
    trained = tuple(float(level) for level in pipeline.quantiles)
    plan = plan_levels(levels, trained, extrapolate=options.extrapolate_levels)
    with warnings.catch_warnings():
        # The pipeline warns that horizons beyond the trained one are less certain.
        warnings.simplefilter("ignore")
        quantiles, _ = pipeline.predict_quantiles(
            inputs, prediction_length=options.horizon, quantile_levels=list(trained)
        )

    def finish(stock: object) -> FloatArray:
        return postprocess(
            plan.finish(np.asarray(stock, dtype=np.float32)),
            non_negative=options.non_negative,
            integer=options.integer,
        )

    # Chronos-2 returns a list, Bolt an array.
    if isinstance(quantiles, list):
        return [finish(values) for values in quantiles]
    return finish(quantiles)


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
