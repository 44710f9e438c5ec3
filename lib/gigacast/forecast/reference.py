"""The numbers the stock Chronos pipelines give: what ours are checked against.

Shares no batching, padding or forward with the rest. Imports torch and chronos when called.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gigacast.core.series import FloatArray
from gigacast.forecast.level import interpolate_levels, plan_levels
from gigacast.forecast.option import ForecastOptions
from gigacast.forecast.postprocess import postprocess

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

    from gigacast.forecast.loading import load_pipeline  # noqa: PLC0415

    pipeline = load_pipeline(folder, torch.device("cpu"), torch.float32)
    trained = tuple(float(level) for level in pipeline.quantiles)
    plan = plan_levels(levels, trained, extrapolate=options.extrapolate_levels)
    inputs = [torch.from_numpy(np.array(context)) for context in contexts]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that long horizons are less sure: the job knows
        quantiles, _ = pipeline.predict_quantiles(
            inputs, prediction_length=options.horizon, quantile_levels=list(trained)
        )
    if isinstance(quantiles, list):  # Chronos-2 gives a list of [1, H, Q]
        quantiles = torch.cat(quantiles)
    stock = np.asarray(quantiles, dtype=np.float32)
    return postprocess(
        plan.finish(interpolate_levels(np.sort(stock, axis=-1), trained, plan.asked)),
        non_negative=options.non_negative,
        integer=options.integer,
    )


def context_scale(context: FloatArray) -> float:
    """Return the unit of differences: the context's spread, or its size when it is constant."""
    values = np.asarray(context[np.isfinite(context)], dtype=np.float64)
    if not values.size:
        return 1.0
    return float(max(values.std(), 1e-6 * np.abs(values).max(), 1e-30))
