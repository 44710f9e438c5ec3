"""Effects that the series of a partition have in common: frames, buckets and backtests."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gigacast
from gigacast.errors import ConfigError
from gigacast.forecasting.partition import PartitionForecaster
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.panels import put_frame

H, STEPS, ITEMS = 4, 16, 30
NANO = "gigacast-bolt-nano"
HOW: dict[str, Any] = {
    "covariate_regressor": "pooled",
    "known_covariates": "price",
    "horizon": H,
    "model": "seasonal-naive",
    "freq": "MS",
    "model_engine": "numpy",
}


def panel(steps: int = STEPS) -> pd.DataFrame:
    """Monthly sales that fall with a price, and the prices of the months to come."""
    frames = []
    months = pd.date_range("2022-01-01", periods=steps + H, freq="MS")
    for n in range(ITEMS):
        rng = np.random.default_rng(n)
        price = rng.normal(5, 1, STEPS + 2 * H)[: steps + H]
        sales = np.exp(rng.normal(3, 1)) * (20 - 0.8 * price + rng.normal(0, 1, len(price)))
        sales[steps:] = np.nan
        columns = {"timestamp": months, "target": sales, "price": price}
        frames.append(pd.DataFrame({"item_id": f"{n:02d}", **columns}))
    return pd.concat(frames, ignore_index=True)


def numbers(forecast: pd.DataFrame) -> np.ndarray:
    columns = [name for name in forecast if str(name).startswith("0.")]
    return forecast.sort_values(["item_id", "timestamp"])[columns].to_numpy(np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(StoreAddress(tmp_path.as_uri()))
    put_frame(store, "2023/04/part-0.parquet", panel())
    return store


def test_a_common_effect_comes_back_in_series_too_short_to_show_it() -> None:
    frame = panel()
    ridge = numbers(gigacast.forecast(frame, **{**HOW, "covariate_regressor": "ridge"}))
    pooled = numbers(gigacast.forecast(frame, **HOW))
    plain = numbers(
        gigacast.forecast(
            frame.drop(columns="price").dropna(), horizon=H, model="seasonal-naive", freq="MS"
        )
    )
    alone = (ridge != plain).any(axis=1).mean()
    assert alone < 0.7
    assert (pooled != plain).any(axis=1).all()
    price = frame[frame["target"].isna()]["price"].to_numpy()
    moved = (pooled - plain)[:, 4] / np.abs(plain[:, 4])
    assert np.corrcoef(moved, price)[0, 1] < -0.4


def test_buckets_have_the_numbers_of_frames_whatever_the_batches(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = numbers(gigacast.forecast(panel(), **HOW))
    read = PartitionForecaster._read_options
    for batch in (4096, 7):
        monkeypatch.setattr(
            PartitionForecaster,
            "_read_options",
            lambda worker, task, size=batch: replace(read(worker, task), batch_series=size),
        )
        run = gigacast.forecast(store.address.url, overwrite=True, **HOW)
        assert run.status == "completed"
        stored = gigacast.read_forecasts(store.address.url)
        np.testing.assert_array_equal(numbers(stored), expected)


def test_a_backtest_sees_nothing_after_its_origins() -> None:
    """Its scores are those of forecasts of data that end there."""
    longer = panel(STEPS + H)
    cut = panel()
    scored = gigacast.evaluate(
        gigacast.forecast(cut, **{**HOW, "model": NANO}),
        actuals=longer.dropna().drop(columns="price"),
    )
    pooled, ridge = (mase_of(longer.dropna(), name) for name in ("pooled", "ridge"))
    assert scored["mase"].iloc[0] == pytest.approx(pooled, rel=1e-5)
    assert pooled < ridge


def mase_of(frame: pd.DataFrame, regressor: str) -> float:
    options = {**HOW, "covariate_regressor": regressor}
    del options["model"]
    rows = gigacast.backtest(frame, windows=1, models=[NANO], **options)
    own = rows[(rows["segment"] == "(all)") & rows["model"].str.startswith(NANO)]
    return float(own["mase"].iloc[0])


@pytest.mark.parametrize(
    ("job", "options"),
    [
        (gigacast.forecast, {"incremental": True}),
        (gigacast.detect_anomalies, {}),
        (partial(gigacast.select_model, name="mix"), {"model": None, "models": [NANO]}),
    ],
)
def test_jobs_that_look_at_series_alone_refuse_it(
    store: Store, job: Any, options: dict[str, Any]
) -> None:
    chosen = {name: value for name, value in {**HOW, **options}.items() if value is not None}
    with pytest.raises(ConfigError, match="pooled") as refused:
        job(store.address.url, **chosen)
    assert "--covariate_regressor ridge" in (refused.value.hint or "")
