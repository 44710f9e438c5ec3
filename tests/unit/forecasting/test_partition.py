"""The bounds of the memory of a task."""

import pytest

from gigacast.forecasting.worker import MAX_SERIES, batch_series


@pytest.mark.parametrize("horizon", [1, 7, 64, 1000, 100_000])
@pytest.mark.parametrize("levels", [1, 9, 99])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_forecasts_of_a_batch_fit_into_the_memory_limit_for_every_horizon(
    horizon: int, levels: int, device: str
) -> None:
    limit = 2**30
    series = batch_series(horizon, levels, limit, device)
    assert 1 <= series <= MAX_SERIES[device]
    assert series == 1 or series * horizon * (levels + 1) * 4 * 8 <= limit / 4


def test_with_usual_horizons_batches_stay_large() -> None:
    assert batch_series(64, 9, 2**30) == MAX_SERIES["cpu"]
    assert batch_series(7, 9, 2**30, "cuda") == MAX_SERIES["cuda"]
