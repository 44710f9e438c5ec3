"""Scores of series of large numbers that change little are those of the same series near zero."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import gigacast
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.read import read_table
from gigacast.storage.store import Store, StoreAddress
from tests.support.panels import put_frame

H, LEVEL, STEPS = 6, 1.7e9, 60
NANO = "gigacast-bolt-nano"
HOW: dict[str, Any] = {"horizon": H, "quantiles": (0.1, 0.5, 0.9), "model_engine": "numpy"}
RELATIVE = 1e-4
"""Series near zero are not moved to a base: float32 rounds them elsewhere."""


def meters(level: float, count: int = 12, part: int = 0) -> pd.DataFrame:
    """Counters that grow by 60 an hour, with a day; the first values are as large as the others."""
    times = pd.date_range("2024-01-01", periods=STEPS, freq="h")
    frames = []
    for n in range(count):
        rng = np.random.default_rng([part, n])
        growth = 60 + 40 * np.sin(np.arange(STEPS) / 24 * 2 * np.pi + n) + rng.normal(0, 15, STEPS)
        values = level + 1000 + growth.cumsum().round()
        item = {"site": n % 2, "item_id": f"{part}-{n}"}
        frames.append(pd.DataFrame({**item, "timestamp": times, "target": values}))
    return pd.concat(frames, ignore_index=True)


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[[float], Store]:
    def make(level: float) -> Store:
        store = open_store(StoreAddress(f"file://{tmp_path / f'{level:g}'}"))
        (tmp_path / f"{level:g}").mkdir(exist_ok=True)
        put_frame(store, "2024/01/part-0.parquet", meters(level).drop(columns="site"))
        return store

    return make


def scale_free(figures: Any) -> np.ndarray:
    return np.array(
        [figures.mase, figures.sql, figures.rmse, *figures.coverage, *figures.intervals]
    )


def test_backtests_and_calibrations_do_not_depend_on_the_level(
    make_store: Callable[[float], Store],
) -> None:
    sides = []
    for level in (LEVEL, 0.0):
        store = make_store(level)
        models = [NANO, "seasonal-naive"]
        result = gigacast.backtest(
            store.address.url, models=models, windows=3, calibrate=True, **HOW
        )
        figures = {s.model: s.figures for s in result.leaderboard.standings}
        assert all(entry.forecasts == 36 for entry in figures.values())
        factors = {c.model: c.stored and c.stored.factors for c in result.calibrations}
        sides.append((figures, factors))
    (high, stretched), (low, expected) = sides
    assert len(low) == 2
    for model, figures in low.items():
        np.testing.assert_allclose(scale_free(high[model]), scale_free(figures), rtol=RELATIVE)
    for model, factors in expected.items():
        assert factors is not None
        np.testing.assert_allclose(stretched[model], factors, rtol=0.05)


@pytest.mark.parametrize("model", ["seasonal-naive", NANO])
def test_evaluations_do_not_depend_on_the_level(
    make_store: Callable[[float], Store], model: str
) -> None:
    sides = []
    for level in (LEVEL, 0.0):
        store, panel = make_store(level), meters(level).drop(columns="site")
        history = panel.groupby("item_id").head(STEPS - H)
        put_frame(store, "2024/01/part-0.parquet", history)
        assert gigacast.forecast(store.address.url, model=model, **HOW).status == "completed"
        put_frame(store, "2024/01/part-0.parquet", panel)
        (figures,) = gigacast.evaluate(store.address.url).figures["version"].values()
        sides.append(scale_free(figures))
        of_frame = gigacast.evaluate(gigacast.forecast(history, model=model, **HOW), actuals=panel)
        assert of_frame["mase"].iloc[0] == pytest.approx(figures.mase, rel=1e-5)
    np.testing.assert_allclose(*sides, rtol=RELATIVE)


def test_weights_of_an_ensemble_do_not_depend_on_the_level(
    make_store: Callable[[float], Store],
) -> None:
    choices = []
    for level in (LEVEL, 0.0):
        store = make_store(level)
        options: dict[str, Any] = {"method": "ensemble", "segment": "all", "windows": 3, **HOW}
        models = [NANO, f"{NANO}+trend"]
        chosen = gigacast.select_model(store.address.url, "mix", models=models, **options)
        version = chosen.published.manifest.version
        recipe = json.loads(store.get(f"models/mix/{version}/portfolio.json"))
        choices.append((recipe["mixtures"], chosen.ahead))
        keys = [e.key for page in store.list("backtests/") for e in page if "part-0.p" in e.key]
        kinds = {read_table(store, k).schema.field("actuals").type.value_type for k in keys}
        assert kinds == {pa.float64() if level else pa.float32()}
        run = gigacast.forecast(store.address.url, model="mix", **HOW)
        assert run.status == "completed"
        stored = gigacast.read_forecasts(store.address.url, model="mix")
        choices[-1] += (stored["0.9"].to_numpy() - level,)
    (high, ahead, numbers), (low, expected, near) = choices
    np.testing.assert_allclose(high, low, atol=1e-3)
    np.testing.assert_allclose(ahead, expected, rtol=1e-3)
    np.testing.assert_allclose(numbers, near, rtol=RELATIVE)


def test_sums_of_meters_add_up_at_any_level(tmp_path: Path) -> None:
    sides = []
    for level in (LEVEL, 0.0):
        store = open_store(StoreAddress(f"file://{tmp_path / f'{level:g}'}"))
        (tmp_path / f"{level:g}").mkdir()
        put_frame(store, "2024/01/part-0.parquet", meters(level, 4))
        result = gigacast.reconcile(
            store.address.url,
            model=NANO,
            item_columns=["site", "item_id"],
            sums=["site"],
            windows=2,
            **HOW,
        )
        assert result.failures == []
        frame = result.to_pandas()
        series = frame[frame["sum_by"].isna()]
        parts = np.where(frame["sum_by"] == "(total)", 4, np.where(frame["sum_by"] == "site", 2, 1))
        total = series.groupby("timestamp")["mean"].sum().to_numpy()
        stated = frame[frame["sum_by"] == "(total)"]["mean"].to_numpy()
        np.testing.assert_allclose(stated, total, rtol=1e-12)
        columns = ["mean", "0.1", "predictions", "0.9"]
        sides.append(frame[columns].to_numpy(float) - level * parts[:, None])
    np.testing.assert_allclose(*sides, rtol=2e-3)
