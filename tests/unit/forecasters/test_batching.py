"""Batching: order, size, fallback and memory, with a forecaster that records its requests."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.core.array import FloatArray
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.forecast import ForecastBatch, ForecastRequest
from gigacast.core.series.reason import Reason
from gigacast.errors import ModelError, UnsupportedForecastError
from gigacast.forecasters.around.calibration import Calibration
from gigacast.forecasters.batching import BatchBudget, ForecastOptions, forecast_batch
from gigacast.forecasters.forecaster import (
    Forecaster,
    ForecasterInfo,
    PendingForecast,
    StartingForecaster,
)
from gigacast.forecasters.naive import SeasonalNaive
from tests.support.tiny_models import series_batch

NAN, INF = float("nan"), float("inf")
TENTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

INFO = ForecasterInfo(
    name="record",
    version="1",
    digest="record-1",
    engine="record-1",
    device="cpu",
    precision="float32",
    context_length=64,
    prediction_length=64,
    levels=TENTHS,
    patch_size=16,
)


class RecordingForecaster:
    """Forecasts sum of the context plus level; keeps its requests; fails above ``most`` rows."""

    def __init__(self, info: ForecasterInfo = INFO, max_series: int = 10**9) -> None:
        self.info = info
        self.most = max_series
        self.tried: list[int] = []
        self.requests: list[ForecastRequest] = []

    def predict(self, request: ForecastRequest) -> FloatArray:
        self.tried.append(len(request.context))
        if len(request.context) > self.most:
            raise MemoryError
        self.requests.append(request)
        with np.errstate(over="ignore"):
            total = np.nansum(request.context, axis=1, dtype=np.float32)[:, None, None]
        steps = np.zeros((1, request.horizon, 1), np.float32)
        return total + steps + np.array(request.levels, np.float32)


def forecast(
    series: list[list[float]], forecaster: Forecaster | None = None, **options: object
) -> ForecastBatch:
    forecast_options = ForecastOptions(**{"horizon": 3, "levels": TENTHS, **options})  # type: ignore[arg-type]
    return forecast_batch(
        forecaster or RecordingForecaster(), series_batch(series), forecast_options
    )


def test_the_test_doubles_implement_the_protocols():
    assert isinstance(StartingRecorder(), StartingForecaster)
    assert not isinstance(RecordingForecaster(), StartingForecaster)
    assert isinstance(RecordingForecaster(), Forecaster)
    assert isinstance(SeasonalNaive(), Forecaster)


def test_forecasts_come_back_in_the_order_of_the_series():
    series = [[float(n)] * (1 + 37 * n % 60) for n in range(100)]
    result = forecast(series)
    assert result.quantiles.shape == (100, 3, 9)
    expected = [sum(values) + 0.1 for values in series]
    assert result.quantiles[:, 0, 0] == pytest.approx(expected, rel=1e-6)


def test_the_context_is_cut_to_the_requested_length_and_to_the_model_s():
    for requested, used in ((None, 64), (200, 64), (10, 10)):
        result = forecast([[1.0] * 100], context_length=requested)
        assert result.median[0, 0] == pytest.approx(used + 0.5)
    longer = RecordingForecaster(replace(INFO, context_length=2048))
    assert forecast([[1.0] * 300], longer).median[0, 0] == pytest.approx(300.5)


def test_padding_is_not_computed():
    forecaster = RecordingForecaster()
    forecast([[1.0] * length for length in range(1, 65) for _ in range(100)], forecaster)
    assert sorted({request.context.shape[1] for request in forecaster.requests}) == [16, 32, 48, 64]
    patches = sum(request.context.size // 16 for request in forecaster.requests)
    assert patches == sum(-(-length // 16) for length in range(1, 65)) * 100


def test_an_automatic_batch_holds_fewer_series_the_longer_they_are():
    forecaster = RecordingForecaster()
    forecast([[1.0] * 16] * 9000 + [[1.0] * 64] * 9000, forecaster)
    largest = {}
    for request in forecaster.requests:
        rows, length = request.context.shape
        largest[length] = max(rows, largest.get(length, 0))
    assert largest[16] > 2 * largest[64]


def test_a_long_horizon_has_smaller_batches():
    budget = BatchBudget()
    assert budget.rows(INFO, 64, 65) == budget.rows(INFO, 64, 64) // 9


def test_samples_have_smaller_batches():
    budget = BatchBudget()
    sampling = replace(INFO, samples=20, levels=())
    assert budget.rows(sampling, 64, 64) == budget.rows(INFO, 64, 64) // 20


def test_a_fixed_batch_size_is_not_exceeded_and_batches_are_even():
    forecaster = RecordingForecaster()
    forecast([[1.0]] * 10, forecaster, batch_size=4)
    assert forecaster.tried == [4, 3, 3]


def test_a_fixed_budget_has_one_shape_for_each_length_whoever_is_beside():
    def calls(lengths: list[int], *, fixed: bool) -> set[tuple[int, ...]]:
        forecaster, budget = RecordingForecaster(), BatchBudget(fixed=fixed)
        series = [[1.0] * length for length in lengths]
        result = forecast_batch(
            forecaster, series_batch(series), ForecastOptions(horizon=3), budget
        )
        assert result.median[:, 0] == pytest.approx(np.array(lengths) + 0.5)
        assert all(request.exact is fixed for request in forecaster.requests)
        return {request.context.shape for request in forecaster.requests}

    lengths = [*range(1, 65)] * 3
    shapes = calls(lengths, fixed=True)
    assert len({length for _, length in shapes}) == len(shapes)
    for some in ([5], [5, 64, 64], lengths[10:40]):
        assert calls(some, fixed=True) <= shapes
    assert not calls(lengths[10:40], fixed=False) <= shapes


def test_series_that_are_fitted_one_by_one_fill_up_no_call():
    """As members of a portfolio: a copy would be fitted like a series."""
    recorder = RecordingForecaster(replace(INFO, levels=()))
    budget = BatchBudget(fixed=True)
    forecast_batch(
        recorder, series_batch([[1.0] * n for n in (9, 30, 30)]), ForecastOptions(horizon=2), budget
    )
    assert sum(len(request.context) for request in recorder.requests) == 3


def test_a_batch_that_does_not_fit_is_halved_until_it_does():
    forecaster = RecordingForecaster(max_series=3)
    result = forecast([[float(n)] for n in range(20)], forecaster, batch_size=16)
    assert forecaster.tried[:3] == [10, 5, 2]
    assert set(forecaster.tried[3:]) == {2}
    assert result.median[:, 0] == pytest.approx(np.arange(20) + 0.5)


def test_a_budget_keeps_its_limit_for_later_batches():
    forecaster, budget = RecordingForecaster(max_series=3), BatchBudget(8)
    options = ForecastOptions(horizon=1)
    for _ in range(2):
        forecast_batch(forecaster, series_batch([[1.0]] * 8), options, budget)
    assert forecaster.tried == [8, 4, *[2] * 4, *[2] * 4]
    assert budget.largest == 2


def test_a_single_series_that_does_not_fit_is_an_error_with_a_hint():
    with pytest.raises(ModelError, match="context_length"):
        forecast([[1.0]] * 4, RecordingForecaster(max_series=0))


class StartingRecorder(RecordingForecaster):
    """Forecasts when it is asked for the result; ``room`` rows may be under way at once."""

    def __init__(self, room: int = 10**9) -> None:
        super().__init__()
        self.room = room
        self.under_way: list[int] = []
        self.most_under_way = 0

    def start(self, request: ForecastRequest) -> PendingForecast:
        rows = len(request.context)
        if sum(self.under_way) + rows > self.room:
            raise MemoryError
        self.under_way.append(rows)
        self.most_under_way = max(self.most_under_way, len(self.under_way))

        def result() -> FloatArray:
            self.under_way.remove(rows)
            return self.predict(request)

        return result


SOME = [[float(n)] * (1 + n % 40) for n in range(50)]


def test_the_next_batch_starts_before_the_last_result_is_awaited():
    forecaster = StartingRecorder()
    ahead = forecast(SOME, forecaster, batch_size=8)
    assert forecaster.most_under_way == 2
    assert forecaster.under_way == []
    at_once = forecast(SOME, RecordingForecaster(), batch_size=8)
    assert np.array_equal(ahead.quantiles, at_once.quantiles)


def test_batches_that_fit_alone_but_not_side_by_side_are_not_halved():
    forecaster, budget = StartingRecorder(room=9), BatchBudget(8)
    series = series_batch(SOME)
    result = forecast_batch(forecaster, series, ForecastOptions(7, batch_size=8), budget)
    alone = RecordingForecaster()
    expected = forecast_batch(alone, series, ForecastOptions(7, batch_size=8))
    assert np.array_equal(result.quantiles, expected.quantiles)
    assert budget.limit_tokens is None
    assert forecaster.tried == alone.tried


def test_bad_series_get_a_flagged_fallback_and_good_ones_do_not_change():
    series = [[1.0, 2.0], [], [NAN, NAN], [5.0, INF], [7.0, NAN, NAN]]
    result = forecast(series, min_length=2)
    assert result.reasons.tolist() == [
        Reason.OK,
        Reason.EMPTY,
        Reason.ALL_NULL,
        Reason.NOT_FINITE,
        Reason.TOO_SHORT,
    ]
    assert result.median[0] == pytest.approx([3.5] * 3)
    assert np.isnan(result.quantiles[1:3]).all()
    assert result.median[3:].tolist() == [[5.0] * 3, [7.0] * 3]


def test_dropped_series_are_nan_and_keep_their_reason():
    result = forecast([[1.0], [5.0, INF]], fallback="drop")
    assert np.isnan(result.quantiles).all(axis=(1, 2)).tolist() == [False, True]
    assert np.isnan(result.median[1]).all()
    assert result.reasons.tolist() == [Reason.OK, Reason.NOT_FINITE]


def test_a_reason_of_the_reader_leads_to_the_fallback():
    batch = series_batch([[1.0, 2.0]], reasons=[Reason.IRREGULAR])
    result = forecast_batch(RecordingForecaster(), batch, ForecastOptions(horizon=1))
    assert result.median.tolist() == [[2.0]]
    assert result.reasons.tolist() == [Reason.IRREGULAR]


def test_the_fallback_sees_more_than_the_context():
    result = forecast([[4.0, NAN, NAN, NAN]], context_length=2)
    assert result.reasons.tolist() == [Reason.ALL_NULL]
    assert result.median.tolist() == [[4.0] * 3]


def test_a_series_on_which_the_model_fails_gets_the_fallback():
    result = forecast([[1.0], [1e38] * 5 + [1.0]], integer=True, non_negative=True)
    assert result.reasons.tolist() == [Reason.OK, Reason.MODEL_FAILED]
    assert result.median[1].tolist() == pytest.approx([1.0, 1e38, 1e38], rel=1e-6)


def test_an_unknown_frequency_has_a_season_of_one():
    batch = replace(series_batch([[1.0, 2.0, 3.0]] * 2), frequency_codes=np.array([0, -1]))
    forecaster = RecordingForecaster()
    forecast_batch(forecaster, batch, ForecastOptions(horizon=1))
    assert forecaster.requests[0].seasons.tolist() == [7, 1]


def test_only_sampling_models_get_seeds():
    for samples in (0, 20):
        forecaster = RecordingForecaster(replace(INFO, samples=samples))
        forecast([[1.0], [2.0]], forecaster)
        assert len(set(forecaster.requests[0].seeds.tolist())) == (2 if samples else 1)


def test_the_median_is_returned_whether_requested_or_not():
    result = forecast([[1.0]], levels=(0.1, 0.9))
    assert result.quantiles[0, 0] == pytest.approx([1.1, 1.9])
    assert result.median[0, 0] == pytest.approx(1.5)


def test_levels_out_of_range_need_extrapolation():
    with pytest.raises(UnsupportedForecastError):
        forecast([[1.0]], levels=(0.05, 0.5))
    result = forecast([[1.0]], levels=(0.05, 0.5), extrapolate_levels=True)
    assert result.quantiles[0, 0, 0] < 1.1


@pytest.mark.parametrize("trained", [TENTHS, ()])
def test_a_mean_is_the_same_whatever_levels_are_requested(trained: tuple[float, ...]):
    """Of levels that are above the sum by themselves, the mean of all is a half above it."""
    model = RecordingForecaster(replace(INFO, levels=trained))
    for levels in (TENTHS, (0.1, 0.9), (0.2,)):
        mean = forecast([[1.0, 2.0]], model, levels=levels, mean=True).mean
        np.testing.assert_allclose(mean, [[3.5] * 3], rtol=1e-5)
    assert forecast([[1.0]], model).mean is None


def test_the_mean_of_calibrated_forecasts_is_that_of_the_levels_that_were_measured():
    def mean_of(levels: tuple[float, ...], *factors: float) -> float:
        calibration = Calibration(levels, (factors,) * 3)
        both = {"levels": levels, "calibration": calibration, "mean": True}
        answer = forecast([[1.0, 2.0]], RecordingForecaster(), **both)
        assert answer.mean is not None
        return float(answer.mean[0, 0])

    assert mean_of((0.1, 0.9), 1.0, 1.0) == pytest.approx(3.5, abs=1e-5)
    assert mean_of((0.1, 0.9), 1.0, 4.0) > 3.6


def test_a_mean_of_what_is_never_negative_is_not_either():
    negative = forecast([[-9.0, 1.0]], mean=True)
    assert negative.mean is not None
    assert (negative.mean < 0).all()
    clipped = forecast([[-9.0, 1.0]], mean=True, non_negative=True)
    assert clipped.mean is not None
    assert (clipped.mean == 0).all()


def test_an_empty_batch_gives_an_empty_forecast():
    result = forecast([])
    assert result.quantiles.shape == (0, 3, 9)
    assert result.median.shape == (0, 3)


RAGGED = st.lists(
    st.lists(st.floats(-100, 100, width=16) | st.just(NAN), max_size=40), min_size=1, max_size=30
)


@settings(deadline=None)
@given(RAGGED, st.randoms(use_true_random=False), st.integers(1, 5))
def test_neither_order_nor_batch_size_changes_a_forecast(series, random, batch_size):
    order = list(range(len(series)))
    random.shuffle(order)
    together = forecast(series, SeasonalNaive())
    shuffled = forecast([series[n] for n in order], SeasonalNaive(), batch_size=batch_size)
    assert np.array_equal(shuffled.quantiles, together.quantiles[order], equal_nan=True)
    assert np.array_equal(shuffled.reasons, together.reasons[order])


def test_a_slice_of_a_batch_has_the_same_forecast():
    batch: SeriesBatch = series_batch([[float(n)] * n for n in range(1, 30)])
    options = ForecastOptions(horizon=4)
    full = forecast_batch(SeasonalNaive(), batch, options)
    part = forecast_batch(SeasonalNaive(), batch.slice(7, 12), options)
    assert np.array_equal(part.quantiles, full.quantiles[7:12])
