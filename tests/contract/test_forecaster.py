"""What every forecaster promises, run over all of them; and Chronos against its own pipeline.

Two forecasts are the same when they differ by at most a share of the context's spread plus the
rounding of float32 at the context's magnitude: no float32 computation can promise less.
"""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gigacast.core.array import FloatArray
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.forecast import ForecastRequest
from gigacast.core.time.frequency import Frequency
from gigacast.errors import UnsupportedForecastError
from gigacast.forecasters.batching import BatchBudget, ForecastOptions, forecast_batch
from gigacast.forecasters.forecaster import Forecaster, ModelFiles
from gigacast.forecasters.naive import SeasonalNaive
from tests.support.tiny_models import session_folder, tiny_bolt, tiny_chronos2, tiny_t5

TENTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
NAMES = ("naive", "bolt", "lean", "numpy", "openvino", "chronos2", "lean chronos2", "t5")
EXACT = ("bolt", "lean", "numpy", "openvino", "chronos2", "lean chronos2")
"""Forecasters that give the numbers of Chronos' own pipeline in float32."""
BUILDERS: dict[str, Callable[..., Path]] = {
    "bolt": tiny_bolt,
    "lean": tiny_bolt,
    "numpy": tiny_bolt,
    "openvino": tiny_bolt,
    "chronos2": tiny_chronos2,
    "lean chronos2": tiny_chronos2,
    "t5": tiny_t5,
}
FLOAT32_SHARE = 1e-5
BFLOAT16_SHARE = 0.1
"""Random weights amplify rounding more than trained ones do."""


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return session_folder(tmp_path_factory)


@cache
def load(name: str, folder: Path, precision: str = "float32") -> Forecaster:
    if name == "naive":
        return SeasonalNaive()
    files = ModelFiles(BUILDERS[name](folder), name, "1", "0", "cpu", precision)
    if name == "numpy":
        from gigacast.forecasters.plain.forecaster import load_plain

        return load_plain(files)
    if name == "openvino":
        pytest.importorskip("openvino")
        from gigacast.forecasters.openvino.forecaster import load_openvino

        return load_openvino(files)
    from gigacast.forecasters.chronos.forecaster import load_chronos, set_threads
    from gigacast.forecasters.chronos2.forecaster import load_lean_chronos2
    from gigacast.forecasters.lean.forecaster import load_lean

    if "PYTEST_XDIST_WORKER" in os.environ:
        set_threads(1)
    loaders = {"lean": load_lean, "lean chronos2": load_lean_chronos2}
    return loaders.get(name, load_chronos)(files)


@pytest.fixture(params=NAMES)
def forecaster(request: pytest.FixtureRequest, folder: Path) -> Forecaster:
    return load(request.param, folder)


def pad(series: list[FloatArray], length: int | None = None) -> FloatArray:
    width = length or max(map(len, series))
    rows = [np.concatenate([np.full(width - len(values), np.nan), values]) for values in series]
    return np.array(rows, np.float32)


def ask(
    forecaster: Forecaster,
    context: FloatArray,
    horizon: int = 7,
    levels: tuple[float, ...] = TENTHS,
    seeds: np.ndarray | None = None,
) -> FloatArray:
    count = len(context)
    numbers = np.arange(count, dtype=np.uint64) if seeds is None else seeds
    seasons = np.full(count, 7)
    return forecaster.predict(ForecastRequest(context, horizon, levels, seasons, numbers))


def make_batch(series: list[FloatArray]) -> SeriesBatch:
    count = len(series)
    return SeriesBatch(
        item_ids=pa.array([f"item-{n}" for n in range(count)]),
        target_names=pa.array(["target"] * count),
        values=np.concatenate(series).astype(np.float32),
        offsets=np.cumsum([0, *map(len, series)]),
        last_timestamps=np.zeros(count, np.int64),
        frequencies=(Frequency.parse("1d"),),
        frequency_codes=np.zeros(count, np.int64),
        reasons=np.zeros(count, np.int8),
        timestamp_type=pa.timestamp("us"),
    )


def distance(actual: FloatArray, expected: FloatArray, context: FloatArray) -> FloatArray:
    """Return the largest difference of each row, beyond rounding, in spreads of its context.

    A constant has the spread that Chronos gives it.
    """
    exact = context.astype(np.float64)
    peak = np.nanmax(np.abs(exact), axis=1)
    spread = np.nanstd(exact, axis=1)
    spread = np.where(spread > 0, spread, 1e-5 * np.where(peak > 0, peak, 1).clip(max=1))
    difference = np.abs(actual.astype(np.float64) - expected).reshape(len(actual), -1).max(axis=1)
    return np.maximum(difference - 2.0**-21 * peak, 0) / spread


def ordinary(count: int = 12, seed: int = 0) -> list[FloatArray]:
    """Return series of lengths 1 to beyond the context, with seasons, trends and gaps."""
    rng = np.random.default_rng(seed)
    lengths = [1, 2, 15, 16, 17, 64, 100, 200, 511, 512, 513, 700][:count]
    series = []
    for n, length in enumerate(lengths):
        steps = np.arange(length)
        values = np.sin(2 * np.pi * steps / 7) + 0.3 * rng.normal(size=length) + n * steps / 300
        values[:-1][rng.random(length - 1) < 0.1 * (n % 3)] = np.nan
        series.append(values * 10.0 ** (n % 4) + n)
    return series


STRANGE = {
    "one value": [3.0],
    "constant": [0.1] * 100,
    "large constant": [1e7] * 50,
    "zeros": [0.0] * 40,
    "one value among gaps": [np.nan] * 50 + [2.0] + [np.nan] * 60,
    "gaps at the end": [1.0, 2.0, 3.0] * 10 + [np.nan] * 40,
    "every second value missing": [1.0, np.nan, 3.0, np.nan] * 20,
    "one spike": [0.0] * 99 + [1e6],
    "huge": list(1e30 * np.sin(np.arange(90))),
    "largest": list(1e37 * np.sin(np.arange(90))),
    "tiny": list(1e-30 * np.sin(np.arange(90))),
    "huge constant": [1e35] * 30,
    "tiny constant": [1e-30] * 30,
    "far from zero": list(1e6 + np.sin(np.arange(90))),
}


@pytest.mark.parametrize("horizon", [1, 7, 64, 65, 150])
def test_a_forecast_has_the_requested_shape(forecaster: Forecaster, horizon: int):
    context = pad(ordinary(4))
    answer = ask(forecaster, context, horizon, (0.1, 0.5, 0.9))
    assert answer.shape == (4, horizon, 3)
    assert answer.dtype == np.float32
    assert np.isfinite(answer).all()


@pytest.mark.parametrize("name", STRANGE)
def test_an_unusual_series_has_a_finite_forecast_of_its_own_magnitude(
    forecaster: Forecaster, name: str
):
    context = pad([np.array(STRANGE[name])])
    answer = ask(forecaster, context, 20)
    assert np.isfinite(answer).all()
    limit = 50 * float(np.nanmax(np.abs(context)))
    assert float(np.abs(answer).max()) <= (limit or 15)  # zeros: T5 has bins from -15 to 15


@pytest.mark.parametrize("horizon", [5, 70])
def test_other_series_their_order_and_padding_do_not_change_a_forecast(
    forecaster: Forecaster, horizon: int
):
    series = ordinary() + [np.array(values) for values in STRANGE.values()]
    if forecaster.info.samples:
        series, horizon = series[::3], min(horizon, 20)
    context, seeds = pad(series), np.arange(len(series), dtype=np.uint64)
    together = ask(forecaster, context, horizon)
    order = np.random.default_rng(1).permutation(len(series))
    shuffled = ask(forecaster, context[order], horizon, seeds=seeds[order])
    assert distance(shuffled, together[order], context[order]).max() <= FLOAT32_SHARE
    for n in range(0, len(series), 3):
        alone = ask(forecaster, pad(series[n : n + 1]), horizon, seeds=seeds[n : n + 1])
        row = context[n : n + 1]
        assert distance(alone, together[n : n + 1], row).max() <= FLOAT32_SHARE


def test_in_calls_of_one_shape_other_series_do_not_change_a_bit(forecaster: Forecaster):
    series = [*ordinary(), *(np.array(values) for values in STRANGE.values())]
    batch = make_batch(series)
    options = ForecastOptions(horizon=5)
    together = forecast_batch(forecaster, batch, options, BatchBudget(fixed=True)).quantiles
    for rows in (np.arange(0, 26, 3), np.array([7])):
        part = forecast_batch(forecaster, batch.take(rows), options, BatchBudget(fixed=True))
        assert part.quantiles.tobytes() == together[rows].tobytes()
    plain = forecast_batch(forecaster, batch, options).quantiles
    assert distance(together, plain, pad(series)).max() <= FLOAT32_SHARE


def test_equal_requests_give_bitwise_equal_forecasts(forecaster: Forecaster):
    context = pad(ordinary(6))
    assert np.array_equal(ask(forecaster, context), ask(forecaster, context))


def test_a_context_that_is_too_long_is_cut(forecaster: Forecaster):
    length = forecaster.info.context_length
    long = np.random.default_rng(0).normal(size=(2, length + 90)).astype(np.float32)
    cut = ask(forecaster, long[:, -length:])
    assert distance(ask(forecaster, long), cut, long).max() <= FLOAT32_SHARE


def test_a_forecast_does_not_modify_its_request(forecaster: Forecaster):
    context = pad(ordinary(4))
    original = context.copy()
    ask(forecaster, context, 70)
    assert np.array_equal(context, original, equal_nan=True)


def test_levels_match_within_a_tolerance_and_keep_the_requested_order(forecaster: Forecaster):
    context = pad(ordinary(4))
    expected = ask(forecaster, context, levels=(0.3, 0.5))
    actual = ask(forecaster, context, levels=(0.1 + 0.2, 0.5 + 1e-9))
    assert distance(actual, expected, context).max() <= FLOAT32_SHARE


def test_a_level_between_trained_levels_has_a_quantile_between_theirs(forecaster: Forecaster):
    context = pad(ordinary(4))
    levels = (0.2, 0.23, 0.25 if 0.25 in forecaster.info.levels else 0.3)
    low, between, high = np.moveaxis(ask(forecaster, context, levels=levels), -1, 0)
    slack = 1e-6 * np.nanmax(np.abs(context), axis=1, keepdims=True)
    assert (np.minimum(low, high) - slack <= between).all()
    assert (between <= np.maximum(low, high) + slack).all()


def test_a_level_outside_the_trained_range_is_refused(forecaster: Forecaster):
    levels = (0.001, 0.5)
    context = pad(ordinary(2))
    if not forecaster.info.levels:
        assert np.isfinite(ask(forecaster, context, levels=levels)).all()
        return
    with pytest.raises(UnsupportedForecastError, match=r"0\.001"):
        ask(forecaster, context, levels=levels)


@pytest.mark.parametrize("name", EXACT)
def test_shifting_and_scaling_a_series_shifts_and_scales_its_forecast(name: str, folder: Path):
    forecaster, context = load(name, folder), pad(ordinary()[2:])
    plain = ask(forecaster, context)
    moved = ask(forecaster, context * np.float32(2**70))
    assert distance(moved * np.float32(2**-70), plain, context).max() <= FLOAT32_SHARE


@pytest.mark.parametrize("name", ["bolt", "lean", "chronos2", "lean chronos2"])
def test_normalisation_stays_exact_far_from_zero_in_either_precision(name: str, folder: Path):
    """What bfloat16 normalisation would ruin: a spread of 1 at an offset of 2^20."""
    wave = np.round(np.sin(np.arange(96)) * 8) / 8
    near, far = pad([wave]), pad([wave + 2.0**20])
    for precision in ("float32", "bfloat16"):
        forecaster = load(name, folder, precision)
        shifted = ask(forecaster, far).astype(np.float64) - 2.0**20
        assert np.abs(shifted - ask(forecaster, near)).max() <= 0.07  # one step of float32 there


@pytest.mark.parametrize("name", ["lean", "lean chronos2"])
@pytest.mark.parametrize("horizon", [7, 64, 150])
def test_bfloat16_stays_near_float32(name: str, horizon: int, folder: Path):
    context = pad(ordinary()[2:])
    exact = ask(load(name, folder), context, horizon)
    rough = ask(load(name, folder, "bfloat16"), context, horizon)
    assert distance(rough, exact, context).max() <= BFLOAT16_SHARE


@pytest.mark.parametrize("name", ["lean", "lean chronos2"])
def test_in_bfloat16_other_series_change_a_forecast_by_rounding_only(name: str, folder: Path):
    forecaster, series = load(name, folder, "bfloat16"), ordinary()[2:]
    context = pad(series)
    together = ask(forecaster, context)
    alone = np.concatenate([ask(forecaster, pad([values])) for values in series])
    assert distance(alone, together, context).max() <= BFLOAT16_SHARE


def stock_quantiles(path: Path, context: FloatArray, horizon: int) -> FloatArray:
    """Return what the stock pipeline gives, one series at a time."""
    import torch
    from chronos import BaseChronosPipeline

    pipeline = BaseChronosPipeline.from_pretrained(path, dtype=torch.float32)
    answers = []
    for row in context:
        series = torch.from_numpy(row[np.argmax(~np.isnan(row)) :])
        quantiles, _ = pipeline.predict_quantiles(
            [series], prediction_length=horizon, quantile_levels=list(TENTHS)
        )
        answers.append(np.asarray(quantiles[0]).reshape(horizon, 9))
    return np.stack(answers)


@pytest.mark.filterwarnings("ignore:We recommend keeping prediction length")
@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("horizon", [1, 64, 65, 200])
def test_the_numbers_are_those_of_the_stock_pipeline(name: str, horizon: int, folder: Path):
    context = pad(ordinary())
    stock = stock_quantiles(BUILDERS[name](folder), context, horizon)
    ours = ask(load(name, folder), context, horizon)
    assert distance(ours, stock, context).max() <= FLOAT32_SHARE


@pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")  # chronos infers with it
@pytest.mark.parametrize("name", EXACT)
def test_the_numbers_are_those_of_predict_df(name: str, folder: Path):
    import torch
    from chronos import BaseChronosPipeline

    series = [np.random.default_rng(n).normal(size=60).cumsum() for n in range(3)]
    frame = pd.DataFrame(
        {
            "item_id": np.repeat(["a", "b", "c"], 60),
            "timestamp": np.tile(pd.date_range("2024-01-01", periods=60), 3),
            "target": np.concatenate(series),
        }
    )
    pipeline = BaseChronosPipeline.from_pretrained(BUILDERS[name](folder), dtype=torch.float32)
    stock = pipeline.predict_df(frame, prediction_length=7, quantile_levels=list(TENTHS))
    columns = stock[[str(level) for level in TENTHS]].to_numpy(np.float32).reshape(3, 7, 9)
    context = pad(series)
    ours = ask(load(name, folder), context)
    assert distance(ours, columns, context).max() <= FLOAT32_SHARE
