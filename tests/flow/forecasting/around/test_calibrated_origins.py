"""Calibrations of stored forecasts: what kept origins and their actuals tell of the quantiles."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gigacast
from gigacast.errors import ConfigError
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.panels import put_frame
from tests.support.tiny_models import session_folder, tiny_bolt

H, DAYS = 6, 60
KEY = "2024/01/part-0.parquet"


@pytest.fixture
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_bolt(session_folder(tmp_path_factory), context_length=64, prediction_length=16))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(StoreAddress(f"file://{tmp_path}"))


def panel(days: int) -> pd.DataFrame:
    """Ten series of noise, up to one of their days."""
    times = pd.date_range("2024-01-01", periods=DAYS + H)
    frames = [
        pd.DataFrame(
            {
                "item_id": f"item-{n}",
                "timestamp": times,
                "target": 100 + np.random.default_rng(n).normal(0, 5, len(times)),
            }
        )[:days]
        for n in range(10)
    ]
    return pd.concat(frames, ignore_index=True)


def forecast(store: Store, model: str, **options: Any) -> Any:
    run = gigacast.forecast(
        store.address.url, model=model, model_engine="numpy", horizon=H, **options
    )
    assert run.status == "completed", run.failures
    return run


def test_kept_origins_calibrate_as_a_backtest_of_the_same_windows_does(
    store: Store, model: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ends = [DAYS - 2 * H, DAYS - H, DAYS]
    for end in ends:
        put_frame(store, KEY, panel(end))
        forecast(store, model)
    with pytest.raises(ConfigError, match="no backtest or evaluation has measured"):
        forecast(store, model, calibrate=True)
    put_frame(store, KEY, panel(DAYS + H))
    evaluation = gigacast.evaluate(store.address.url, calibrate=True)
    (measured,) = evaluation.calibrations
    assert measured.horizon == H
    assert measured.forecasts == 10 * len(ends)
    assert measured.stored is not None
    second = open_store(StoreAddress(f"file://{tmp_path_factory.mktemp('other')}"))
    put_frame(second, KEY, panel(DAYS + H))
    (expected,) = gigacast.backtest(
        bucket=second.address.url,
        models=[model],
        windows=3,
        horizon=H,
        calibrate=True,
        model_engine="numpy",
    ).calibrations
    assert expected.stored is not None
    assert measured.key == expected.key
    # The halves, by which coverage is measured, are others; factors are of all series.
    assert measured.stored.before == expected.stored.before
    np.testing.assert_allclose(measured.stored.factors, expected.stored.factors, rtol=0.02)
    plain = gigacast.read_forecasts(store.address.url)
    forecast(store, model, calibrate=True)
    calibrated = gigacast.read_forecasts(store.address.url)
    assert not np.array_equal(plain["0.1"], calibrated["0.1"])


def test_calibrated_forecasts_say_nothing_of_the_model(
    store: Store, model: str, caplog: pytest.LogCaptureFixture
) -> None:
    put_frame(store, KEY, panel(DAYS))
    gigacast.backtest(
        bucket=store.address.url,
        models=[model],
        windows=3,
        horizon=H,
        calibrate=True,
        model_engine="numpy",
    )
    forecast(store, model, calibrate=True)
    put_frame(store, KEY, panel(DAYS + H))
    assert gigacast.evaluate(store.address.url, calibrate=True).calibrations == ()
    assert "are calibrated, and are left out" in caplog.text
