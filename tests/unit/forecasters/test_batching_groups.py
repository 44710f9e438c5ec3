"""Batches of groups: their size, their seasons and seeds, and missing futures."""

from dataclasses import replace

import numpy as np
import pytest

from gigacast.core.array import FloatArray
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.covariate import Covariates
from gigacast.core.series.forecast import ForecastRequest
from gigacast.core.series.reason import Reason
from gigacast.core.time.frequency import Frequency
from gigacast.errors import ModelError
from gigacast.forecasters.batching import (
    BatchBudget,
    ForecastOptions,
    count_between,
    forecast_batch,
    screen,
    window_starts,
)
from gigacast.forecasters.forecaster import API_ENGINE
from gigacast.forecasters.naive import SeasonalNaive
from tests.support.tiny_models import series_batch
from tests.unit.forecasters.test_batching import INFO, RecordingForecaster

H = 2


class GroupForecaster(RecordingForecaster):
    """Takes groups; forecasts the place of each row in the request, so that mix-ups are seen."""

    def __init__(self, max_series: int = 10**9, **info: object) -> None:
        super().__init__(replace(INFO, takes_groups=True, **info), max_series)  # type: ignore[arg-type]

    def predict(self, request: ForecastRequest) -> FloatArray:
        super().predict(request)
        # A covariate's row is recognised by its values from 1000 on, a series' by those below.
        last = request.context[:, -1]
        return np.broadcast_to(last[:, None, None], (len(last), request.horizon, 9)).copy()


def items(count: int, width: int, names: int = 1, *, known: int = 0) -> SeriesBatch:
    """Items of ``width`` series of 4 steps, with covariates that end two steps after them."""
    batch = series_batch([[n, n, n, float(n)] for n in range(count * width)])
    steps = 4 + H
    values = 1000.0 + np.arange(names * count * steps, dtype=np.float32).reshape(
        names, count * steps
    )
    covariates = Covariates(
        names=tuple(f"c{n}" for n in range(names)),
        known=known,
        categories=(None,) * names,
        values=values,
        offsets=np.arange(count + 1) * steps,
        ends=np.arange(count) * steps + 4,
        items=np.repeat(np.arange(count), width),
    )
    return replace(batch, covariates=covariates)


def options(**more: object) -> ForecastOptions:
    return ForecastOptions(**{"horizon": H, "levels": (0.1, 0.5, 0.9), **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("width", "names", "batch_size", "sizes"),
    [
        (1, 1, 4, [4, 4, 4]),
        (1, 0, 4, [3, 3]),
        (2, 1, 6, [6, 6, 6]),
        (2, 2, 9, [8, 8, 8]),
        (2, 0, 12, [12]),
        (2, 2, 3, [4] * 6),
    ],
)
def test_a_batch_size_counts_the_rows_of_series_and_of_covariates(
    width: int, names: int, batch_size: int, sizes: list[int]
) -> None:
    forecaster = GroupForecaster()
    result = forecast_batch(
        forecaster, items(6, width, names), options(batch_size=batch_size, joint=True)
    )
    assert forecaster.tried == sizes
    assert result.median[:, 0].tolist() == list(range(6 * width))


def test_covariates_take_season_and_seed_of_the_first_series_of_their_group() -> None:
    batch = items(3, 2, 2)
    batch = replace(batch, frequency_codes=np.array([0, 0, -1, -1, 0, 0]))
    forecaster = GroupForecaster(samples=5)
    forecast_batch(forecaster, batch, options(joint=True))
    (request,) = forecaster.requests
    assert request.seasons.tolist() == [7] * 4 + [1] * 4 + [7] * 4
    groups = request.seeds.reshape(3, 4)
    assert (groups == groups[:, :1]).all()
    assert len(set(groups[:, 0].tolist())) == 3
    assert request.group_size == 4


def test_series_of_a_group_without_covariates_have_their_own_seeds() -> None:
    forecaster = GroupForecaster(samples=5)
    forecast_batch(forecaster, items(2, 2, 0), options(joint=True))
    assert len(set(forecaster.requests[0].seeds.tolist())) == 4


@pytest.mark.parametrize("missing_future", ["error", "past"])
def test_a_series_without_a_known_value_gets_a_reason_unless_the_past_is_enough(
    missing_future: str,
) -> None:
    batch = items(3, 2, 2, known=1)
    assert batch.covariates is not None
    values = batch.covariates.values.copy()
    values[1, 2 * (4 + H) - 1] = np.nan  # the last step of the second item
    batch = replace(batch, covariates=replace(batch.covariates, values=values))
    batch = replace(batch, reasons=np.array([0, 0, Reason.IRREGULAR, 0, 0, 0], np.int8))
    result = forecast_batch(GroupForecaster(), batch, options(missing_future=missing_future))
    lacking = Reason.NO_FUTURE if missing_future == "error" else Reason.OK
    assert result.reasons.tolist() == [0, 0, Reason.IRREGULAR, lacking, 0, 0]


def test_a_forecaster_without_groups_sees_no_covariates() -> None:
    forecaster = RecordingForecaster()
    result = forecast_batch(forecaster, items(2, 1, 1, known=1), options())
    assert [request.future for request in forecaster.requests] == [None]
    assert result.reasons.tolist() == [0, 0]


def test_a_group_is_not_divided_where_memory_is_short() -> None:
    forecaster = GroupForecaster(max_series=4)
    forecast_batch(forecaster, items(6, 2, 2), options(joint=True))
    assert forecaster.tried == [24, 12, *[4] * 6]
    with pytest.raises(ModelError, match="a single series of 16 steps"):
        forecast_batch(GroupForecaster(max_series=3), items(6, 2, 2), options(joint=True))


def test_the_largest_batch_is_that_of_the_most_rows() -> None:
    budget = BatchBudget(4)
    batch = series_batch([[1.0]] * 7)
    forecast_batch(RecordingForecaster(), batch, ForecastOptions(1), budget)
    assert budget.largest == 4
    forecast_batch(RecordingForecaster(), batch.slice(0, 2), ForecastOptions(1), budget)
    assert budget.largest == 4


# -- the parts -------------------------------------------------------------------------------------

NAN, INF = float("nan"), float("inf")


def test_only_the_steps_that_the_model_sees_are_screened() -> None:
    series = [[INF, 1, 2], [1, INF, 2], [NAN, NAN, 1], [1, 1, NAN], [1, NAN, NAN], [], [2]]
    reasons = screen(series_batch(series), 2, 1)
    assert [Reason(r).name for r in reasons] == [
        "OK", "NOT_FINITE", "OK", "OK", "ALL_NULL", "EMPTY", "OK",
    ]  # fmt: skip
    reasons = screen(series_batch(series), 3, 2)
    assert [Reason(r).name for r in reasons] == [
        "NOT_FINITE", "NOT_FINITE", "TOO_SHORT", "OK", "TOO_SHORT", "EMPTY", "TOO_SHORT",
    ]  # fmt: skip


def test_a_reason_of_the_reader_is_kept_by_the_screening() -> None:
    batch = series_batch([[], [NAN], [1]], reasons=[Reason.NO_TIMESTAMP, Reason.IRREGULAR, 0])
    assert screen(batch, 5, 2).tolist() == [
        Reason.NO_TIMESTAMP,
        Reason.IRREGULAR,
        Reason.TOO_SHORT,
    ]
    assert batch.reasons.tolist() == [Reason.NO_TIMESTAMP, Reason.IRREGULAR, 0]


def test_windows_end_with_their_series() -> None:
    batch = series_batch([[1.0] * 5, [], [1.0] * 2])
    assert window_starts(batch, 3).tolist() == [2, 5, 5]


@pytest.mark.parametrize("flags", ["1111", "0000", "1011"])
def test_flags_are_counted_in_ranges_that_may_be_empty(flags: str) -> None:
    mask = np.array([flag == "1" for flag in flags])
    starts, stops = np.array([0, 1, 2, 4, 0]), np.array([4, 2, 2, 4, 1])
    expected = [flags[a:b].count("1") for a, b in zip(starts, stops, strict=True)]
    assert count_between(mask, starts, stops).tolist() == expected


def test_the_seasonal_naive_fallback_leaves_good_forecasts_alone() -> None:
    series = [[float(n)] * 9 for n in range(5)]
    series[2] = [1.0, 2.0, 3.0, INF]
    result = forecast_batch(GroupForecaster(), series_batch(series), options())
    assert result.median[:, 0].tolist() == [0, 1, 3, 3, 4]
    assert result.median[2].tolist() == [3, 3]


def test_a_fixed_season_is_that_of_every_series() -> None:
    forecaster = RecordingForecaster()
    batch = replace(series_batch([[1.0, 2.0]] * 2), frequency_codes=np.array([0, -1]))
    forecast_batch(forecaster, batch, options(season=3))
    assert forecaster.requests[0].seasons.tolist() == [3, 3]


def test_options_shape_the_forecasts() -> None:
    class Negative(RecordingForecaster):
        def predict(self, request: ForecastRequest) -> FloatArray:
            levels = np.array([-1.6, *[0.4] * 7, 2.5], np.float32)
            return np.broadcast_to(levels, (len(request.context), request.horizon, 9)).copy()

    def shaped(**more: bool) -> list[float]:
        batch = series_batch([[1.0]])
        return forecast_batch(Negative(), batch, options(**more)).quantiles[0, 0].tolist()

    assert shaped() == pytest.approx([-1.6, 0.4, 2.5])
    assert shaped(integer=True) == [-2, 0, 3]
    assert shaped(non_negative=True) == pytest.approx([0, 0.4, 2.5])
    assert shaped(non_negative=True, integer=True) == [0, 0, 3]


@pytest.mark.parametrize("takes_groups", [True, False])
def test_the_calendar_is_a_covariate_of_models_that_take_some(takes_groups: bool) -> None:
    """Of daily series there are rows of the calendar beside each target."""
    forecaster = GroupForecaster() if takes_groups else RecordingForecaster()
    batch = series_batch([[1.0, 2.0, 3.0, 4.0]] * 3)
    forecast_batch(forecaster, batch, options(calendar=True))
    assert all((request.group_size > 1) == takes_groups for request in forecaster.requests)
    assert all((request.future is not None) == takes_groups for request in forecaster.requests)


def test_covariates_that_a_regression_takes_out_are_no_rows_of_a_batch() -> None:
    forecaster = RecordingForecaster()
    forecast_batch(
        forecaster, items(6, 1, 2, known=2), options(batch_size=3, covariate_regressor="ridge")
    )
    assert forecaster.tried == [3, 3]


def mixed_batch() -> SeriesBatch:
    batch = series_batch([[1.0, 2.0, 3.0, 4.0]] * 3)
    frequencies = (Frequency.parse("h"), Frequency.parse("D"))
    return replace(batch, frequencies=frequencies, frequency_codes=np.array([1, 0, -1]))


@pytest.mark.parametrize("needs", [True, False])
def test_each_series_has_the_season_and_the_name_of_its_frequency(needs: bool) -> None:
    forecaster = RecordingForecaster(replace(INFO, engine=f"{API_ENGINE}-1" if needs else "lean"))
    forecast_batch(forecaster, mixed_batch(), options())
    (request,) = forecaster.requests
    assert request.seasons.tolist() == [7, 24, 1]
    names = None if request.frequencies is None else request.frequencies.tolist()
    assert names == (["D", "h", ""] if needs else None)
    fixed = RecordingForecaster()
    forecast_batch(fixed, mixed_batch(), options(season=5))
    assert fixed.requests[0].seasons.tolist() == [5, 5, 5]


def test_bases_are_added_at_the_end_and_in_doubles() -> None:
    batch = series_batch([[1.0, 5.0, 2.0, 6.0]] * 2)
    plain = forecast_batch(SeasonalNaive(), batch, options(season=2, integer=True))
    high = replace(batch, bases=np.array([0.0, 3e9]))
    moved = forecast_batch(SeasonalNaive(), high, options(season=2, integer=True, mean=True))
    assert moved.quantiles.dtype == np.float64
    np.testing.assert_array_equal(moved.quantiles[0], plain.quantiles[0])
    np.testing.assert_allclose(moved.quantiles[1] - 3e9, plain.quantiles[1], atol=1)
    np.testing.assert_array_equal(moved.median[1] - 3e9, plain.median[1])
    assert plain.quantiles.dtype == np.float32


def test_a_regression_is_halved_by_its_series_until_they_fit() -> None:
    forecaster = RecordingForecaster(max_series=2)
    batch = items(6, 1, 2, known=2)
    forecast = forecast_batch(forecaster, batch, options(covariate_regressor="ridge"))
    assert (forecast.reasons == Reason.OK).all()
    assert max(len(request.context) for request in forecaster.requests) <= 2
    with pytest.raises(ModelError, match="a single series"):
        forecast_batch(
            RecordingForecaster(max_series=0), batch, options(covariate_regressor="ridge")
        )
