"""The numbers the stock Chronos pipelines give: what ours are checked against.

Shares no batching, padding or forward with the rest.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigacast.core.array import FloatArray
from gigacast.core.series.batch import SeriesBatch
from gigacast.forecasters.levels import interpolate_levels, plan_levels
from gigacast.forecasters.options import ForecastOptions
from gigacast.forecasters.postprocess import postprocess

TOLERANCES = {"float32": 1e-4, "bfloat16": 1e-1}
"""By precision: the largest difference from the float32 reference, in the context's scale."""


def reference_quantiles(
    folder: Path,
    contexts: Sequence[FloatArray],
    levels: tuple[float, ...],
    options: ForecastOptions,
) -> FloatArray:
    """Forecast by the stock pipeline in float32, in one batch.

    Parameters
    ----------
    folder : Path
        A Bolt or Chronos-2 model.
    contexts : sequence of float32 [T_n]
        N series.
    levels : tuple of float
        The levels to give, Q of them.
    options : ForecastOptions
        Horizon and what is done to the numbers afterwards.

    Returns
    -------
    float32 [N, H, Q]
    """
    import torch  # noqa: PLC0415 - planning and workers without a model start without torch

    inputs = [torch.from_numpy(np.array(context)) for context in contexts]
    found = _stock_quantiles(folder, inputs, levels, options)
    return np.concatenate(found) if isinstance(found, list) else found


def reference_groups(
    folder: Path,
    groups: Sequence[SeriesBatch],
    levels: tuple[float, ...],
    options: ForecastOptions,
) -> list[FloatArray]:
    """Forecast the first series of each batch by the stock pipeline, with what is beside it.

    Parameters
    ----------
    folder : Path
        A Chronos-2 model.
    groups : sequence of SeriesBatch
        With covariates; of each the first series is wanted, the others are of the same item.
    levels : tuple of float
    options : ForecastOptions
        With ``joint`` the series of a batch are one multivariate target.

    Returns
    -------
    list of float32 [H, Q]
    """
    forecasts = []
    for group in groups:  # one by one: the stock pipeline numbers categories over all of its inputs
        (values,) = _stock_quantiles(folder, [_stock_input(group, options)], levels, options)
        forecasts.append(values[0])
    return forecasts


def _stock_input(group: SeriesBatch, options: ForecastOptions) -> dict[str, Any]:
    covariates = group.covariates
    assert covariates is not None  # noqa: S101 - the caller looked
    series = list(group if options.joint else group.slice(0, 1))
    length = min(max(len(one) for one in series), options.context_length or 2**62)
    targets = [np.concatenate([np.full(length, np.nan), one])[-length:] for one in series]
    item = covariates.items[:1]
    past, ahead = covariates.windows(item, length)[0], covariates.future(item, options.horizon)[0]
    told = {
        name: (_stock_column(past[n], texts), _stock_column(ahead[n], texts))
        for n, (name, texts) in enumerate(zip(covariates.names, covariates.categories, strict=True))
    }
    known = covariates.names[len(covariates.names) - covariates.known :]
    return {
        "target": np.stack(targets).astype(np.float32),
        "past_covariates": {name: values for name, (values, _) in told.items()},
        "future_covariates": {name: told[name][1] for name in known},
    }


def _stock_column(values: FloatArray, texts: tuple[str, ...] | None) -> NDArray[Any]:
    if texts is None:
        return values
    named = [texts[int(code)] if code >= 0 else None for code in values]
    return np.array(named, dtype=object)


def _stock_quantiles(
    folder: Path, inputs: Sequence[Any], levels: tuple[float, ...], options: ForecastOptions
) -> FloatArray | list[FloatArray]:
    """Return what the stock pipeline gives: for each input [K, H, Q], or [N, H, Q] for all."""
    import torch  # noqa: PLC0415 - planning and workers without a model start without torch

    from gigacast.forecasters.chronos.loading import load_pipeline  # noqa: PLC0415

    pipeline = load_pipeline(folder, torch.device("cpu"), torch.float32)
    trained = tuple(float(level) for level in pipeline.quantiles)
    plan = plan_levels(levels, trained, extrapolate=options.extrapolate_levels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that long horizons are less sure: the job knows
        quantiles, _ = pipeline.predict_quantiles(
            inputs, prediction_length=options.horizon, quantile_levels=list(trained)
        )

    def finish(stock: object) -> FloatArray:
        ordered = np.sort(np.asarray(stock, dtype=np.float32), axis=-1)
        return postprocess(
            plan.finish(interpolate_levels(ordered, trained, plan.asked)),
            non_negative=options.non_negative,
            integer=options.integer,
        )

    # Chronos-2 gives a list, Bolt an array.
    return [finish(one) for one in quantiles] if isinstance(quantiles, list) else finish(quantiles)


def context_scale(context: FloatArray) -> float:
    """Return the unit of differences: the context's spread, or its size when it is constant."""
    values = np.asarray(context[np.isfinite(context)], dtype=np.float64)
    if not values.size:
        return 1.0
    return float(max(values.std(), 1e-6 * np.abs(values).max(), 1e-30))
