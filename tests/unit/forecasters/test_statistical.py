"""Statistical baselines; fitted for real where statsforecast is installed."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from gigacast.core.series.forecast import ForecastRequest
from gigacast.errors import MissingExtraError
from gigacast.forecasters.forecaster import Forecaster
from gigacast.forecasters.statistical import INTERMITTENT, KINDS, StatisticalForecaster

NAN = float("nan")


def request_of(*contexts: list[float], season: int = 1) -> ForecastRequest:
    length = max(map(len, contexts))
    padded = [[NAN] * (length - len(values)) + values for values in contexts]
    count = len(contexts)
    return ForecastRequest(
        context=np.array(padded, np.float32),
        horizon=3,
        levels=(0.1, 0.5, 0.9),
        seasons=np.full(count, season),
        seeds=np.zeros(count, np.uint64),
    )


@pytest.mark.parametrize("name", KINDS)
def test_without_the_extra_the_error_says_what_to_install(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "statsforecast", None)
    with pytest.raises(MissingExtraError, match="statsforecast") as caught:
        StatisticalForecaster(name)
    assert "gigacast[baselines]" in str(caught.value.hint)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", sorted(set(KINDS) - INTERMITTENT))
def test_a_trend_is_continued_with_ordered_quantiles(name: str) -> None:
    pytest.importorskip("statsforecast", reason="the extra `baselines` is not installed")
    forecaster = StatisticalForecaster(name)
    assert isinstance(forecaster, Forecaster)
    rng = np.random.default_rng(0)
    line = list(np.arange(40) * 2.0 + rng.normal(0, 0.1, 40))
    gap = [*line[:20], NAN, NAN, *line[22:]]
    result = forecaster.predict(request_of(line, gap, [5.0] * 6))
    assert result.shape == (3, 3, 3)
    assert (np.diff(result, axis=2) >= 0).all()
    np.testing.assert_allclose(result[0, :, 1], [80, 82, 84], atol=2)
    np.testing.assert_allclose(result[2, :, 1], 5, atol=0.1)


@pytest.mark.filterwarnings("default")
def test_a_series_that_cannot_be_fitted_is_left_to_the_fallback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("statsforecast", reason="the extra `baselines` is not installed")
    forecaster = StatisticalForecaster("auto-ets")

    class Failing:
        def __init__(self, season_length: int) -> None: ...

        def forecast(self, *_: object, **__: object) -> dict[str, object]:
            raise ValueError("no model able to be fitted")

    monkeypatch.setattr(forecaster, "_kind", Failing)
    assert np.isnan(forecaster.predict(request_of([1.0, 2.0]))).all()


@pytest.mark.filterwarnings("default")
def test_demand_that_is_mostly_zero_has_quantiles_of_zero_and_the_mean_of_its_rate() -> None:
    pytest.importorskip("statsforecast", reason="the extra `baselines` is not installed")
    forecaster = StatisticalForecaster("croston-sba")
    rng = np.random.default_rng(0)
    demand = np.where(rng.random(200) < 0.2, rng.integers(1, 9, 200), 0).astype(float).tolist()
    request = request_of(demand, [0.0] * 9, [1.0, -1.0, 2.0], [NAN, *demand[1:]])
    request = replace(request, levels=tuple((n + 0.5) / 100 for n in range(100)))
    quantiles = forecaster.predict(request)
    assert (quantiles[0][:, :70] == 0).all()
    # Their mean is the rate of Croston's method, less than that of the past by its correction.
    assert quantiles[0].mean() == pytest.approx(np.mean(demand), rel=0.3)
    assert (quantiles[1] == 0).all()
    assert np.isnan(quantiles[2]).all()
    assert np.isfinite(quantiles[3]).all()
