"""Covariates for models that take none: from a frame or a bucket to forecasts and backtests."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import gigacast
from gigacast.cli.program import program
from gigacast.errors import ConfigError, SchemaError
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.panels import put_frame
from tests.support.tiny_models import session_folder, tiny_bolt, tiny_chronos2

H, STEPS = 14, 120
EFFECT = 40.0
RIDGE: dict[str, Any] = {"covariate_regressor": "ridge", "horizon": H, "model": "seasonal-naive"}


def panel(items: tuple[str, ...] = ("a", "b", "c"), *, ahead: bool = True) -> pd.DataFrame:
    """Daily sales to the end of April 2024 that follow promotions, and these two weeks longer."""
    frames = []
    for number, item in enumerate(items):
        rng = np.random.default_rng(number)
        days = pd.date_range(end="2024-04-30", periods=STEPS)
        days = days.append(pd.date_range("2024-05-01", periods=H if ahead else 0))
        promo = (rng.random(len(days)) < 0.2).astype(float)
        sales = 100 + 5 * np.sin(np.arange(len(days)) * 2 * np.pi / 7) + EFFECT * promo
        sales += rng.normal(0, 1, len(days))
        sales[STEPS:] = np.nan
        frames.append(
            pd.DataFrame({"item_id": item, "timestamp": days, "target": sales, "promo": promo})
        )
    return pd.concat(frames, ignore_index=True)


def numbers(forecast: pd.DataFrame) -> np.ndarray:
    columns = [name for name in forecast if str(name).startswith("0.")]
    return forecast.sort_values(["item_id", "timestamp"])[columns].to_numpy(np.float32)


def test_a_known_effect_comes_back_over_the_horizon() -> None:
    frame = panel()
    forecast = gigacast.forecast(frame, known_covariates="promo", **RIDGE)
    promo = frame[frame["target"].isna()]["promo"].to_numpy()
    median = forecast["predictions"].to_numpy()
    expected = 100 + EFFECT * promo
    assert np.abs(median - expected).max() < 12
    difference = median[promo > 0].mean() - median[promo == 0].mean()
    assert difference == pytest.approx(EFFECT, rel=0.1)


def test_a_frame_of_the_future_is_rows_after_the_data() -> None:
    frame = panel()
    past, coming = frame[frame["target"].notna()], frame[frame["target"].isna()]
    complete = gigacast.forecast(frame, known_covariates="promo", **RIDGE)
    future = coming.drop(columns="target")
    apart = gigacast.forecast(past, future=future, **RIDGE)
    pd.testing.assert_frame_equal(apart, complete)
    explicit = gigacast.forecast(past, future=coming, known_covariates="promo", **RIDGE)
    pd.testing.assert_frame_equal(explicit, complete)
    for refused, message in (
        (future.drop(columns="promo"), "no column of a covariate"),
        (future.drop(columns="timestamp"), "no column 'timestamp'"),
        (future.assign(item_id="z"), "'z' is not in the data"),
        (future.assign(target=1.0), "'target' has values"),
        (future.assign(promo="much"), "'promo' is"),
    ):
        with pytest.raises(SchemaError, match=f"future: .*{message}"):
            gigacast.forecast(past, future=refused, **RIDGE)
    with pytest.raises(ConfigError, match="future is for data frames"):
        gigacast.forecast("bucket", future=future)


def test_covariates_without_an_effect_change_nothing_bit_for_bit() -> None:
    frame = panel()
    frame["promo"] = 1.0
    forecast = gigacast.forecast(frame, known_covariates="promo", **RIDGE)
    plain = gigacast.forecast(
        frame.dropna().drop(columns="promo"), horizon=H, model="seasonal-naive"
    )
    np.testing.assert_array_equal(numbers(forecast), numbers(plain))


def test_nothing_after_the_end_of_a_series_matters_but_known_covariates() -> None:
    frame = panel(ahead=False)
    # A series that ends before the last values is forecast alike, whatever these would have been.
    early = frame.groupby("item_id").head(STEPS - H)
    forecast = gigacast.forecast(early, known_calendar=True, **RIDGE)
    again = gigacast.forecast(frame[frame.index.isin(early.index)], known_calendar=True, **RIDGE)
    np.testing.assert_array_equal(numbers(forecast), numbers(again))
    frame = panel()
    changed = frame.copy()
    coming = changed["target"].isna()
    changed.loc[coming, "promo"] = 1 - changed.loc[coming, "promo"]
    first = gigacast.forecast(frame, known_covariates="promo", **RIDGE)
    second = gigacast.forecast(changed, known_covariates="promo", **RIDGE)
    moved = numbers(second)[:, 4] - numbers(first)[:, 4]
    signs = np.where(changed.loc[coming, "promo"].to_numpy() > 0, 1, -1)
    np.testing.assert_allclose(moved, signs * EFFECT, rtol=0.05)


def test_a_covariate_of_large_numbers_keeps_its_steps() -> None:
    low, high = panel(), panel()
    high["promo"] = 1.7e9 + 30 * low["promo"]
    forecasts = [gigacast.forecast(f, known_covariates="promo", **RIDGE) for f in (low, high)]
    np.testing.assert_allclose(*map(numbers, forecasts), rtol=1e-5)


def test_a_series_is_forecast_alone_as_beside_others() -> None:
    frame = panel()
    together = gigacast.forecast(frame, known_covariates="promo", known_calendar=True, **RIDGE)
    alone = gigacast.forecast(
        frame[frame["item_id"] == "b"], known_covariates="promo", known_calendar=True, **RIDGE
    )
    np.testing.assert_array_equal(numbers(alone), numbers(together[together["item_id"] == "b"]))


def test_holidays_need_no_column() -> None:
    pytest.importorskip("holidays")
    frame = panel(ahead=False).drop(columns="promo")
    closed = frame["timestamp"].isin(pd.to_datetime(["2024-01-01", "2024-03-29", "2024-04-01"]))
    frame.loc[closed, "target"] -= EFFECT
    forecast = gigacast.forecast(frame, known_holidays="GB", **RIDGE)
    is_closed = forecast["timestamp"] == "2024-05-06"  # Early May bank holiday
    median = forecast["predictions"]
    assert median[is_closed].mean() < median[~is_closed].mean() - EFFECT / 2


def test_a_missing_future_is_refused_or_forecast_without_it() -> None:
    frame = panel(ahead=False)
    with pytest.raises(SchemaError, match="no series has values of promo"):
        gigacast.forecast(frame, known_covariates="promo", **RIDGE)
    lenient = gigacast.forecast(frame, known_covariates="promo", missing_future="past", **RIDGE)
    plain = gigacast.forecast(frame.drop(columns="promo"), horizon=H, model="seasonal-naive")
    np.testing.assert_array_equal(numbers(lenient), numbers(plain))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no covariate is known over the horizon"),
        ({"past_covariates": "promo", "known_calendar": True}, "no use for promo"),
        ({"known_calendar": True, "joint_targets": True}, "no use for joint targets"),
    ],
)
def test_what_a_regression_cannot_use_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        gigacast.forecast(panel(ahead=False), **RIDGE, **options)
    if options:
        gigacast.forecast(panel(ahead=False), **RIDGE, **options, unsupported_covariates="ignore")


def test_a_calendar_needs_a_model_or_a_regression_that_uses_it() -> None:
    with pytest.raises(ConfigError, match=r"no use for calendar, holidays GB") as refused:
        gigacast.forecast(
            panel(ahead=False), model="seasonal-naive", known_calendar=True, known_holidays="GB"
        )
    assert "--covariate_regressor ridge" in (refused.value.hint or "")


@pytest.fixture
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = session_folder(tmp_path_factory)
    return str(tiny_bolt(folder, context_length=128, prediction_length=16))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(StoreAddress(f"file://{tmp_path}"))
    put_frame(store, "2024/04/part-00000.parquet", panel())
    return store


def test_a_bucket_has_it_in_spec_recipe_verification_and_backtest(store: Store, model: str) -> None:
    pytest.importorskip("holidays")
    url, shared = store.address.url, {"model": model, "model_engine": "numpy", "horizon": H}
    options = {"covariate_regressor": "ridge", "known_covariates": "promo", "known_calendar": True}
    run = gigacast.forecast(url, known_holidays="GB", **options, **shared)
    assert run.status == "completed"
    assert run.totals.series == 3
    (spec,) = run.plan.specs
    assert gigacast.forecast(url, known_holidays="GB", **options, **shared).totals.series == 0
    another = gigacast.plan(url, known_holidays="GB,FR", **options, **shared)
    assert another.plan.specs != run.plan.specs
    words = ["verify", "--bucket", url, "--spec", spec, "--model", model, "--model_engine", "numpy"]
    verified = CliRunner().invoke(program, words)
    assert verified.exit_code == 0, verified.output
    document = json.loads(CliRunner().invoke(program, [*words, "--json"]).output)
    assert document["series"] == 3
    assert document["worst"] < 1e-4


def test_a_backtest_measures_what_covariates_are_worth(store: Store, model: str) -> None:
    url, shared = store.address.url, {"models": [model], "model_engine": "numpy", "horizon": H}
    covariates = {"known_covariates": "promo", "covariate_regressor": "ridge"}
    with_promo = gigacast.backtest(bucket=url, windows=2, **covariates, **shared).leaderboard
    ignored = {"known_covariates": "promo", "unsupported_covariates": "ignore"}
    plain = gigacast.backtest(bucket=url, windows=2, **ignored, **shared).leaderboard
    first, second = (
        {standing.model.partition("/")[0]: standing.figures for standing in board.standings}
        for board in (with_promo, plain)
    )
    assert first.pop("seasonal-naive") == second.pop("seasonal-naive")
    (regressed,), (alone,) = first.values(), second.values()
    assert regressed.wql < 0.6 * alone.wql


def test_chronos_2_attends_to_the_calendar_as_to_columns_of_the_data(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = str(tiny_chronos2(session_folder(tmp_path_factory)))
    options: dict[str, Any] = {"model": folder, "horizon": H, "device": "cpu"}
    options["precision"] = "float32"
    spelled = panel(("a", "b")).drop(columns="promo")
    frame = spelled.dropna()
    forecast = gigacast.forecast(frame, known_calendar=True, **options)
    days = pd.DatetimeIndex(spelled["timestamp"])
    spelled["weekday"] = days.day_name()
    spelled["month_start"] = days.is_month_start.astype(float)
    spelled["month_end"] = days.is_month_end.astype(float)
    spelled["working_days"] = 0.0
    angle = 2 * np.pi * (days - pd.Timestamp(0)).days.to_numpy() / 365.2425
    for waves in (1, 2):
        spelled[f"sin_{waves}"] = np.sin(waves * angle)
        spelled[f"cos_{waves}"] = np.cos(waves * angle)
    columns = [name for name in spelled if name not in {"item_id", "timestamp", "target"}]
    explicit = gigacast.forecast(spelled, known_covariates=columns, **options)
    np.testing.assert_allclose(numbers(forecast), numbers(explicit), rtol=1e-4, atol=1e-3)
    assert not np.array_equal(numbers(forecast), numbers(gigacast.forecast(frame, **options)))
