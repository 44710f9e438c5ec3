"""A `Forecaster` that asks TimeGPT, Nixtla's model, over its API.

Series are sent in batches of one frequency each. The point forecast is the median; other levels are
ends of central intervals. Nothing pins the model behind a name: the same series may get other
numbers later, and neither spec nor digest can say so.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from gigacast.core.array import DoubleArray, FloatArray, IntArray
from gigacast.core.series.forecast import ForecastRequest
from gigacast.errors import ModelError
from gigacast.forecasters.forecaster import API_ENGINE, ForecasterInfo
from gigacast.forecasters.levels import MEDIAN, same_level
from gigacast.forecasters.timegpt.api import TimeGptApi, price_of_environment

NAMES: Mapping[str, str] = {
    "timegpt": "timegpt-1",
    "timegpt-long-horizon": "timegpt-1-long-horizon",
}
"""Models of the service by the names that they have here."""
CONTEXT_LENGTH = 2048
"""Steps of history that are sent."""
MOST_SERIES, MOST_VALUES = 1000, 500_000
"""Series and values of a request."""
_PATH = "/v2/forecast"


def describe_timegpt(name: str) -> ForecasterInfo:
    """Return the info of one of `NAMES`.

    Raises
    ------
    ConfigError
        If the environment has no key: better now than in every worker.
    """
    TimeGptApi.of_environment()
    return ForecasterInfo(
        name=name,
        version="1",
        digest=f"{name}-1",
        engine=f"{API_ENGINE}-v2-1",
        device="cpu",
        precision="float32",
        context_length=CONTEXT_LENGTH,
        prediction_length=24,  # the horizon of jobs that name none; any other is possible too
        levels=(),
    )


class TimeGptForecaster:
    """A `Forecaster` of the service.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    api : TimeGptApi, optional
        The service; that of the environment by default.

    Raises
    ------
    ConfigError
        If the environment has no key.
    """

    def __init__(self, name: str, api: TimeGptApi | None = None) -> None:
        self._info = describe_timegpt(name)
        self._api = api or TimeGptApi.of_environment()
        self._price = price_of_environment()

    @property
    def info(self) -> ForecasterInfo:
        """Identity and limits of this forecaster."""
        return self._info

    @property
    def usage(self) -> Mapping[str, float]:
        """Requests, tokens and, where their price is known, dollars so far."""
        return self._api.usage.described(self._price)

    def predict(self, request: ForecastRequest) -> FloatArray:
        """Forecast one batch, see `Forecaster.predict`.

        Raises
        ------
        ModelError
            If a series has no frequency of time, or the service does not answer.
        """
        names = request.frequencies
        if names is None or not all(names):
            raise ModelError(
                "timegpt: the service needs the frequency of every series, and plain steps have "
                "none",
                hint="give series with timestamps, by `gigacast.forecast`",
            )
        shape = (len(request.context), request.horizon, len(request.levels))
        quantiles = np.full(shape, np.nan, np.float32)
        context = request.context[:, -CONTEXT_LENGTH:]
        for name in np.unique(names):
            rows = np.flatnonzero(names == name)
            for part in _parts(rows, np.isfinite(context[rows])):
                quantiles[part] = self._forecast(context[part], str(name), request)
        return quantiles

    def _forecast(
        self, context: FloatArray, frequency: str, request: ForecastRequest
    ) -> DoubleArray:
        """Return the quantiles of series of one frequency, [B, H, Q]."""
        values, sizes = _filled(context)
        widths = sorted({_width(level) for level in request.levels} - {0.0})
        body = {
            "series": {"y": values.tolist(), "sizes": sizes.tolist()},
            "model": NAMES[self._info.name],
            "h": request.horizon,
            "freq": frequency,
            "level": widths or None,
            "clean_ex_first": True,
            "finetune_steps": 0,
        }
        answer = self._api.ask(_PATH, body)
        usage = self._api.usage
        usage.series += len(sizes)
        usage.values += len(values)
        usage.input_tokens += _count(answer.get("input_tokens"))
        usage.output_tokens += _count(answer.get("output_tokens"))
        shape = (len(context), request.horizon)
        columns = [_column(answer, level, shape) for level in request.levels]
        return np.stack(columns, axis=2)


def _parts(rows: IntArray, is_value: Any) -> list[IntArray]:
    """Return rows in parts that one request can hold."""
    total = np.cumsum(is_value.shape[1] - is_value.argmax(axis=1))
    borders = [0]
    for place in range(1, len(rows)):
        sent = total[borders[-1] - 1] if borders[-1] else 0
        if place - borders[-1] >= MOST_SERIES or total[place] - sent > MOST_VALUES:
            borders.append(place)
    return [rows[first:last] for first, last in pairwise([*borders, len(rows)])]


def _filled(context: FloatArray) -> tuple[DoubleArray, IntArray]:
    """Return all values from each row's first on, gaps filled by the value before, and lengths."""
    is_value = np.isfinite(context)
    # Screening lets only contexts with a value through, so there is a first one.
    first = is_value.argmax(axis=1)
    steps = np.arange(context.shape[1])
    last = np.maximum.accumulate(np.where(is_value, steps, 0), axis=1)
    filled = np.take_along_axis(context, last, axis=1).astype(np.float64)
    return filled[steps >= first[:, None]], context.shape[1] - first


def _width(level: float) -> float:
    """Return the width in percent of the central interval that ends at a quantile level."""
    return round(abs(1 - 2 * level) * 100, 6)


def _column(answer: Mapping[str, Any], level: float, shape: tuple[int, int]) -> DoubleArray:
    """Return the quantile of a level, [B, H], from an answer.

    Raises
    ------
    ModelError
        If the answer lacks it, or has another number of values.
    """
    if same_level(level, MEDIAN):
        name, column = "mean", answer.get("mean")
    else:
        name = f"{'lo' if level < MEDIAN else 'hi'}-{_width(level):.10g}"
        column = _interval(answer.get("intervals"), name)
    count = shape[0] * shape[1]
    if not isinstance(column, list) or len(column) != count:
        raise ModelError(f"timegpt: the answer has not the {count} values of {name}")
    try:
        return np.array([np.nan if v is None else v for v in column], np.float64).reshape(shape)
    except (TypeError, ValueError) as error:
        raise ModelError(f"timegpt: the answer has values of {name} that are no numbers") from error


def _interval(intervals: Any, name: str) -> Any:
    """Return a column of intervals, whether their levels are written as 80 or as 80.0."""
    if not isinstance(intervals, Mapping):
        return None
    side, _, width = name.partition("-")
    spellings = (name, f"{side}-{float(width)}")
    return next((intervals[text] for text in spellings if text in intervals), None)


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0
