"""Whether calls of one shape give each series the same bits, whatever is beside it."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from gigacast.core.array import FloatArray
from gigacast.core.series.forecast import ForecastRequest
from gigacast.forecasters.budget import BatchBudget, fixed_length
from gigacast.forecasters.forecaster import Forecaster, ForecasterInfo

_LENGTHS = (1, 200, 1_000)
"""Steps of the contexts of a trial."""
_HORIZON = 24
_SEED = 5


def keeps_numbers(forecaster: Forecaster) -> bool:
    """Return whether a series keeps its bits when others of its call change.

    All engines do so on a CPU: a test of each holds it. Libraries of GPUs choose their kernels by
    shape and device, so a GPU is asked by a trial: the same series at other places of a call, and
    beside others.
    """
    if forecaster.info.device == "cpu":
        return True
    try:
        return all(_is_kept(forecaster, request) for request in _trials(forecaster.info))
    except MemoryError:
        return False  # its calls would be halved, and have other shapes


def _trials(info: ForecasterInfo) -> Iterator[ForecastRequest]:
    """Yield calls of the shapes that incremental runs have."""
    horizon = min(_HORIZON, info.prediction_length)
    lengths = {fixed_length(min(steps, info.context_length), info) for steps in _LENGTHS}
    for length in sorted(lengths):
        rows = BatchBudget(fixed=True).rows(info, length, horizon)
        for size in (1, 2) if info.takes_groups and rows > 1 else (1,):
            yield ForecastRequest(
                context=_series(rows, length),
                horizon=horizon,
                levels=info.levels or (0.1, 0.5, 0.9),
                seasons=np.full(rows, 7),
                seeds=np.arange(rows, dtype=np.uint64),
                group_size=size,
                exact=True,
            )


def _series(rows: int, length: int) -> FloatArray:
    steps = np.random.default_rng(_SEED).normal(size=(rows, length))
    walks: FloatArray = steps.cumsum(axis=1).astype(np.float32)
    return walks


def _is_kept(forecaster: Forecaster, request: ForecastRequest) -> bool:
    size = request.group_size
    together = forecaster.predict(request)
    # Whole groups change places.
    order = np.arange(len(request.context)).reshape(-1, size)[::-1].ravel()
    moved = replace(request, context=request.context[order], seeds=request.seeds[order])
    if forecaster.predict(moved).tobytes() != together[order].tobytes():
        return False
    beside = request.context.copy()
    beside[size:] *= np.float32(1e6)
    beside[size:, : beside.shape[1] // 2] = np.nan
    alone = forecaster.predict(replace(request, context=beside))
    return alone[:size].tobytes() == together[:size].tobytes()
