"""Calibration: measured by a backtest, applied by forecasts."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gigacast
from gigacast.backtesting.document import backtest_document, backtest_json
from gigacast.cli.program import run
from gigacast.errors import ConfigError
from gigacast.report.markdown import render_markdown
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.panels import hourly_panel, put_frame
from tests.support.tiny_models import session_folder, tiny_bolt

HOW: dict[str, Any] = {"horizon": 4, "quantiles": (0.1, 0.9), "model_engine": "numpy"}


@pytest.fixture
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(
        tiny_bolt(session_folder(tmp_path_factory), context_length=128, prediction_length=16)
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(StoreAddress(f"file://{tmp_path}"))
    for part in range(2):
        frame = hourly_panel(items=[f"{part}-{n}" for n in range(10)], steps=96, seed=part)
        put_frame(store, f"2024/01/part-{part}.parquet", frame)
    return store


def backtest(store: Store, model: str, windows: int = 3) -> Any:
    return gigacast.backtest(
        store.address.url, models=[model], windows=windows, calibrate=True, **HOW
    )


def forecast(store: Store, model: str, **options: Any) -> tuple[str, pd.DataFrame]:
    done = gigacast.forecast(store.address.url, model=model, **{**HOW, **options})
    assert (done.status, done.failures) == ("completed", [])
    (spec,) = done.plan.specs
    return spec, gigacast.read_forecasts(store.address.url, spec=spec)


def test_forecasts_are_calibrated_by_the_backtest_of_their_settings(
    store: Store, model: str
) -> None:
    with pytest.raises(ConfigError, match=r"no backtest or evaluation has measured .* at 4 steps"):
        forecast(store, model, calibrate=True)
    result = backtest(store, model)
    (measured,) = result.calibrations
    assert (measured.horizon, measured.forecasts) == (4, 60)
    assert measured.stored is not None
    # By its random weights the model is far off, and by factors of other series it is not.
    before, after = np.array(measured.stored.before), np.array(measured.stored.after)
    assert np.abs(after - [0.1, 0.9]).max() < np.abs(before - [0.1, 0.9]).max()
    plain, raw = forecast(store, model)
    calibrated, stretched = forecast(store, model, calibrate=True)
    assert plain != calibrated
    factors = np.tile(np.array(measured.stored.factors), (20, 1))
    for place, name in enumerate(("0.1", "0.9")):
        expected = raw["predictions"] + (raw[name] - raw["predictions"]) * factors[:, place]
        np.testing.assert_allclose(stretched[name], expected, rtol=1e-5)
    np.testing.assert_array_equal(stretched["predictions"], raw["predictions"])
    flags = ["--model", model, "--model_engine", "numpy", "--horizon", "4", "--calibrate"]
    place = ["--bucket", store.address.url, "--quantiles", "0.1,0.9"]
    assert run(["verify", *place, *flags, "--series", "2"]) == 0


def test_a_backtest_shows_what_it_measured(store: Store, model: str) -> None:
    result = backtest(store, model)
    shown = render_markdown(backtest_document(result))
    assert "Calibration, measured on other series" in shown
    (entry,) = backtest_json(result)["calibrations"]
    assert entry["key"].startswith("calibrations/bolt-")
    assert store.get(entry["key"])
    again = backtest(store, model)
    assert (again.computed, again.calibrations) == (0, result.calibrations)
    assert [
        row.model
        for row in gigacast.backtest(
            store.address.url, models=[model], windows=3, **HOW
        ).leaderboard.standings
    ] == [row.model for row in result.leaderboard.standings]


def test_few_forecasts_are_no_calibration(store: Store, model: str) -> None:
    result = backtest(store, model, windows=1)
    assert result.calibrations[0].stored is None
    assert "20 forecasts are fewer than 30" in render_markdown(backtest_document(result))


def test_frames_have_no_place_for_calibrations(model: str) -> None:
    with pytest.raises(ConfigError, match="calibrations are stored in a bucket"):
        gigacast.forecast(hourly_panel(), model=model, calibrate=True, **HOW)
