"""What is done around a model: option, spec, plan, forecast, verification, backtest."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import gigacast
from gigacast.cli.program import program
from gigacast.forecasting.stored.recipe import recipe_of
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.read import open_object
from gigacast.storage.store import Store, StoreAddress
from tests.support.panels import hourly_panel, put_frame
from tests.support.tiny_models import session_folder, tiny_bolt

TRAINED = 16


@pytest.fixture
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = session_folder(tmp_path_factory)
    return str(tiny_bolt(folder, context_length=128, prediction_length=TRAINED))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(StoreAddress(f"file://{tmp_path}"))
    put_frame(store, "2024/01/part-00000.parquet", panel())
    return store


def panel() -> pd.DataFrame:
    """Two long series, and one that is too short for a season of a day."""
    frame = hourly_panel(items=("a", "b", "c"), steps=96)
    frame["target"] += frame.groupby("item_id").cumcount() * 0.1
    return frame[(frame["item_id"] != "c") | (frame.groupby("item_id").cumcount() < 20)]


def invoke(store: Store, model: str, *words: str) -> Any:
    flags = ["--bucket", store.address.url, "--model", model, "--model_engine", "numpy"]
    result = CliRunner().invoke(program, [*words, *flags], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result


def forecast(store: Store, model: str, **options: Any) -> tuple[str, pd.DataFrame]:
    run = gigacast.forecast(store.address.url, model=model, model_engine="numpy", **options)
    assert run.status == "completed"
    (spec,) = run.plan.specs
    return spec, gigacast.read_forecasts(store.address.url, spec=spec)


def test_a_forecast_names_how_it_was_enhanced(store: Store, model: str) -> None:
    plain, before = forecast(store, model, horizon=5)
    enhanced, after = forecast(store, model, horizon=5, enhance="auto")
    assert plain != enhanced
    assert np.abs(before["predictions"] - after["predictions"]).max() > 1e-3
    frame = gigacast.forecast(panel(), model=model, model_engine="numpy", horizon=5, enhance="auto")
    np.testing.assert_allclose(after["predictions"], frame["predictions"], rtol=1e-5)
    key = f"{_folder(store, enhanced)}/2024/01/part-00000.parquet"
    with open_object(store, key) as file:
        recipe = recipe_of(pq.read_schema(file).metadata, enhanced, key)
    assert recipe is not None
    assert (recipe.method.enhance, recipe.flags["enhance"]) == ("auto", "auto")
    receipts = [e.key for page in store.list("timings/") for e in page if enhanced in e.key]
    assert json.loads(store.get(receipts[0]))["repairs"]["not_enhanced"] == 1


def _folder(store: Store, spec: str) -> str:
    keys = [e.key for page in store.list("forecasts/") for e in page]
    return next(key for key in keys if f"/{spec}/2024" in key).rpartition("/2024/")[0]


def test_a_plan_shows_the_passes(store: Store, model: str) -> None:
    shown = invoke(store, model, "plan", "--horizon", "5", "--enhance", "auto").output
    assert "up to 4 over the model for each series, by --enhance auto" in " ".join(shown.split())
    flags = ["--horizon", "40", "--long_horizon", "dilated", "--json"]
    assert json.loads(invoke(store, model, "plan", *flags).output)["passes"] == 4
    assert "over the model" not in invoke(store, model, "plan", "--horizon", "40").output


def test_bands_are_another_spec_beyond_the_trained_horizon_alone(store: Store, model: str) -> None:
    """What was done within the trained horizon stays done, whatever the default is."""
    short, _ = forecast(store, model, horizon=TRAINED)
    same, _ = forecast(store, model, horizon=TRAINED, long_horizon="stock")
    stock, _ = forecast(store, model, horizon=TRAINED + 1, long_horizon="stock")
    bands, _ = forecast(store, model, horizon=TRAINED + 1)
    assert (short == same, len({stock, bands})) == (True, 2)


@pytest.mark.parametrize("long_horizon", ["bands", "dilated"])
def test_the_stock_pipeline_verifies_what_is_around_it(
    store: Store, model: str, long_horizon: str
) -> None:
    flags = ["--horizon", "40", "--enhance", "trend", "--long_horizon", long_horizon]
    forecast(store, model, horizon=40, enhance="trend", long_horizon=long_horizon)
    report = json.loads(invoke(store, model, "verify", *flags, "--json").output)
    assert (report["series"], report["differences"]) == (3, [])


def test_a_backtest_enhances_the_model_and_not_the_baseline(store: Store, model: str) -> None:
    figures: dict[str, list[Any]] = {}
    for enhance in (None, "trend"):
        options: dict[str, Any] = {"enhance": enhance} if enhance else {}
        run = gigacast.backtest(
            store.address.url, models=[model, "seasonal-naive"], horizon=6, **options
        )
        for standing in run.leaderboard.standings:
            figures.setdefault(standing.model.partition("-")[0], []).append(standing.figures)
    plain, enhanced = figures["seasonal"]
    assert plain == enhanced
    plain, enhanced = figures["bolt"]
    assert plain != enhanced


@pytest.mark.parametrize("layout", ["long", "wide"])
def test_the_mean_is_a_column_at_the_end_where_it_is_asked_for(
    store: Store, model: str, layout: str
) -> None:
    """It does not depend on the levels that are requested, and neither does the median."""
    options = {"horizon": 5, "layout": layout}
    plain, without = forecast(store, model, **options)
    spec, all_columns = forecast(store, model, mean=True, **options)
    _, few = forecast(store, model, mean=True, quantiles=(0.2, 0.8), **options)
    assert plain != spec
    assert ("mean" in without.columns, all_columns.columns[-1], few.columns[-1]) == (
        False,
        "mean",
        "mean",
    )
    np.testing.assert_array_equal(np.stack(few["mean"]), np.stack(all_columns["mean"]))
    np.testing.assert_array_equal(
        np.stack(without["predictions"]), np.stack(all_columns["predictions"])
    )
    means, low, high = (np.stack(all_columns[name]) for name in ("mean", "0.1", "0.9"))
    assert ((means > low) & (means < high)).mean() > 0.9


def test_levels_of_uneven_distances_are_verified_beyond_the_trained_horizon(
    store: Store, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The stock pipeline takes their quantiles for equally likely; only its passes are compared."""
    folder, levels = session_folder(tmp_path_factory), (0.1, 0.2, 0.5, 0.9)
    model = str(tiny_bolt(folder, levels=levels, context_length=128, prediction_length=TRAINED))
    forecast(store, model, horizon=40, quantiles=levels)
    flags = ["--horizon", "40", "--quantiles", "0.1,0.2,0.5,0.9", "--json"]
    report = json.loads(invoke(store, model, "verify", *flags).output)
    assert (report["series"], report["differences"]) == (3, [])


def test_the_estimate_of_a_plan_counts_the_passes_of_other_specs(store: Store, model: str) -> None:
    forecast(store, model, enhance="flip")
    once, twice, more = (
        gigacast.plan(store.address.url, model=model, model_engine="numpy", **options)
        for options in ({}, {"enhance": "flip", "seed": 1}, {"enhance": "auto"})
    )
    (receipt,) = twice.receipts
    predict, total = receipt.seconds["predict"], receipt.seconds["total"]
    assert twice.estimate.seconds == pytest.approx(total)
    assert once.estimate.seconds == pytest.approx(max(0, total - predict / 2))
    assert more.estimate.seconds == pytest.approx(total + predict)
