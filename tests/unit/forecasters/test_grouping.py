"""Series forecast together, and with covariates: the stock pipeline's numbers, and no leaks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.holdout import hold_out
from gigacast.core.series.reason import Reason
from gigacast.forecasters.batching import forecast_batch
from gigacast.forecasters.chronos.forecaster import ChronosForecaster, load_chronos
from gigacast.forecasters.chronos.reference import reference_groups
from gigacast.forecasters.encoding import encode_categories
from gigacast.forecasters.forecaster import ModelFiles
from gigacast.forecasters.options import ForecastOptions
from gigacast.series.source import ColumnNames
from tests.support.companions import COLUMNS, panel, read
from tests.support.tiny_models import session_folder, tiny_chronos2

BOTH = ColumnNames(targets=("x", "y"))
H = 12
OPTIONS = ForecastOptions(horizon=H, levels=(0.1, 0.5, 0.9), long_horizon="stock")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_chronos2(session_folder(tmp_path_factory))


@pytest.fixture(scope="module")
def forecaster(folder: Path) -> ChronosForecaster:
    return load_chronos(ModelFiles(folder, "c2", "1", "d", "cpu", "float32"))


def quantiles(
    forecaster: ChronosForecaster, batch: SeriesBatch, options: ForecastOptions = OPTIONS
) -> np.ndarray:
    forecast = forecast_batch(forecaster, batch, options)
    assert set(forecast.reasons) <= {Reason.OK}
    return forecast.quantiles


def groups_of(batch: SeriesBatch, *, joint: bool) -> list[SeriesBatch]:
    """Each series, followed by the others of its item where they are forecast together."""
    parts = []
    for row in range(len(batch)):
        assert batch.covariates is not None
        item = np.flatnonzero(batch.covariates.items == batch.covariates.items[row])
        group_rows = item[item != row] if joint else item[:0]
        parts.append(batch.take(np.array([row, *group_rows])))
    return parts


CASES = {
    "past": replace(COLUMNS, known_covariates=()),
    "known": replace(COLUMNS, past_covariates=()),
    "numbers": ColumnNames(past_covariates=("temperature",), known_covariates=("price",)),
    "all": COLUMNS,
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("horizon", [5, 100])
def test_forecasts_with_covariates_are_those_of_the_stock_pipeline(
    folder: Path, forecaster: ChronosForecaster, case: str, horizon: int
) -> None:
    ahead = horizon if CASES[case].known_covariates else 0
    frame = panel(steps=150, ahead=ahead)
    batch = read(frame, CASES[case], horizon=horizon)
    options = replace(OPTIONS, horizon=horizon)
    expected = reference_groups(folder, groups_of(batch, joint=False), OPTIONS.levels, options)
    np.testing.assert_allclose(
        quantiles(forecaster, batch, options), np.stack(expected), rtol=2e-4, atol=2e-4
    )


@pytest.mark.parametrize("columns", [BOTH, replace(COLUMNS, targets=("x", "y"))])
@pytest.mark.parametrize("horizon", [5, 100])
def test_joint_forecasts_are_those_of_the_stock_pipeline(
    folder: Path, forecaster: ChronosForecaster, columns: ColumnNames, horizon: int
) -> None:
    frame = panel(steps=150, targets=("x", "y"), ahead=horizon if columns.covariates else 0)
    batch = read(frame, columns, horizon=horizon, joint=True)
    options = replace(OPTIONS, horizon=horizon, joint=True)
    expected = reference_groups(folder, groups_of(batch, joint=True), OPTIONS.levels, options)
    forecast = quantiles(forecaster, batch, options)
    np.testing.assert_allclose(forecast, np.stack(expected), rtol=2e-4, atol=2e-4)
    alone = quantiles(forecaster, batch, replace(options, joint=False))
    assert np.abs(forecast - alone).max() > 1e-3


def test_covariates_change_forecasts_of_joint_and_of_single_targets(
    forecaster: ChronosForecaster,
) -> None:
    frame = panel(targets=("x", "y"))
    columns = replace(COLUMNS, targets=("x", "y"))
    together = quantiles(forecaster, read(frame, columns))
    single = quantiles(forecaster, read(frame.drop(columns="x"), replace(columns, targets=("y",))))
    np.testing.assert_allclose(together[1::2], single, rtol=1e-4, atol=1e-4)
    bare = quantiles(forecaster, replace(read(frame, columns), covariates=None))
    assert np.abs(together - bare).max() > 1e-3


@pytest.mark.parametrize("joint", [False, True])
def test_a_forecast_depends_on_its_own_item_only_in_any_batch(
    forecaster: ChronosForecaster, joint: bool
) -> None:
    items = [f"i{n}" for n in range(7)]
    columns = replace(COLUMNS, targets=("x", "y"))
    options = replace(OPTIONS, joint=joint)
    frame = panel(items, targets=("x", "y"), steps=130)
    together = quantiles(forecaster, read(frame, columns, joint=joint), options)
    small = quantiles(forecaster, read(frame, columns, joint=joint), replace(options, batch_size=1))
    np.testing.assert_allclose(together, small, rtol=1e-4, atol=1e-4)
    alone = quantiles(
        forecaster, read(frame[frame["item_id"] == "i4"], columns, joint=joint), options
    )
    np.testing.assert_allclose(together[8:10], alone, rtol=1e-4, atol=1e-4)


@settings(max_examples=15)
@given(st.data())
def test_nothing_after_the_cut_off_but_known_covariates_changes_a_forecast(
    forecaster: ChronosForecaster, data: st.DataObject
) -> None:
    """Any value of any column after the last target, or after an origin, may be changed."""
    frame = panel(items=("a", "b"), steps=80)
    row = data.draw(st.integers(80, 91), label="row of the first item")
    name = data.draw(st.sampled_from(["temperature", "weather", "price", "event", "open"]))
    value = {"weather": "hail", "event": "fair", "open": True}.get(name, 7.5)
    changed = frame.copy()
    changed.loc[row, name] = value
    before, after = (quantiles(forecaster, read(rows)) for rows in (frame, changed))
    np.testing.assert_array_equal(before[1], after[1])
    if name in COLUMNS.past_covariates:
        np.testing.assert_array_equal(before[0], after[0])
    elif name == "price":
        assert np.abs(before[0] - after[0]).max() > 0


@settings(max_examples=10)
@given(st.integers(68, 79), st.sampled_from(["target", "temperature", "weather", "later price"]))
def test_nothing_after_an_origin_but_known_covariates_changes_a_backtest(
    forecaster: ChronosForecaster, row: int, name: str
) -> None:
    frame = panel(items=("a", "b"), steps=80, ahead=H)
    changed = frame.copy()
    if name == "later price":  # beyond the horizon of the origin
        changed.loc[row + H, "price"] = 9.0
    else:
        changed.loc[row, name] = "hail" if name == "weather" else 1e3
    before, after = (
        quantiles(forecaster, hold_out(read(data, horizon=H), H).contexts)
        for data in (frame, changed)
    )
    np.testing.assert_array_equal(before, after)
    changed = frame.copy()
    changed.loc[row, "price"] = 9.0
    shortened = quantiles(forecaster, hold_out(read(changed, horizon=H), H).contexts)
    assert np.abs(before[0] - shortened[0]).max() > 0


def test_a_series_without_a_known_value_gets_a_reason_or_is_forecast_by_the_past(
    forecaster: ChronosForecaster,
) -> None:
    frame = panel()
    frame.loc[frame[frame["item_id"] == "b"].index[-2], "price"] = np.nan
    forecast = forecast_batch(forecaster, read(frame), OPTIONS)
    assert forecast.reasons.tolist() == [Reason.OK, Reason.NO_FUTURE, Reason.OK]
    assert np.isfinite(forecast.quantiles).all()  # the fallback's
    lenient = forecast_batch(forecaster, read(frame), replace(OPTIONS, missing_future="past"))
    assert lenient.reasons.tolist() == [Reason.OK] * 3
    np.testing.assert_array_equal(forecast.quantiles[[0, 2]], lenient.quantiles[[0, 2]])


def test_a_target_without_values_leaves_its_item_to_the_others(
    forecaster: ChronosForecaster,
) -> None:
    frame = panel(targets=("x", "y"), ahead=0)
    frame.loc[frame["item_id"] == "b", "y"] = np.nan
    options = replace(OPTIONS, joint=True)
    forecast = forecast_batch(forecaster, read(frame, BOTH, joint=True), options)
    assert forecast.reasons.tolist() == [0, 0, 0, Reason.ALL_NULL, 0, 0]
    single = read(frame.drop(columns="y"), ColumnNames(targets=("x",)), joint=True)
    alone = quantiles(forecaster, single, options)
    np.testing.assert_allclose(forecast.quantiles[2], alone[1], rtol=1e-4, atol=1e-4)


# -- categories ------------------------------------------------------------------------------------


@pytest.mark.parametrize("targets", [1, 2])
def test_categories_are_encoded_as_in_chronos(targets: int) -> None:
    from chronos.chronos2.preprocess import from_list_of_dicts

    rng = np.random.default_rng(3)
    texts = ("pear", "fig", "apple", "plum")
    past = rng.integers(0, 3, (5, 40)).astype(np.float32)
    past[rng.random(past.shape) < 0.1] = np.nan
    ahead = rng.integers(0, 4, (5, 8)).astype(np.float32)
    ahead[0, 2] = np.nan
    values = rng.normal(size=(5, targets, 40)).astype(np.float32)
    values[:, 0, rng.integers(1, 40, 4)] = np.nan
    past_codes, future_codes = encode_categories(past, ahead, texts, values)

    def named(codes: np.ndarray) -> np.ndarray:
        return np.array([texts[int(c)] if c >= 0 else None for c in codes], dtype=object)

    for n in range(5):
        task = {
            "target": values[n],
            "past_covariates": {"c": named(past[n])},
            "future_covariates": {"c": named(ahead[n])},
        }
        (stock,) = from_list_of_dicts([task], 8)
        np.testing.assert_allclose(past_codes[n], stock["context"][-1], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            future_codes[n], stock["future_covariates"][-1], rtol=1e-5, atol=1e-6
        )


def test_padding_before_a_series_is_not_a_missing_category() -> None:
    past = np.array([[np.nan, np.nan, 0.0, 1.0]], np.float32)
    target = np.array([[[np.nan, np.nan, 5.0, 7.0]]], np.float32)
    codes, _ = encode_categories(past, np.full((1, 2), np.nan, np.float32), ("a", "b"), target)
    assert np.isnan(codes[0, :2]).all()
    short, _ = encode_categories(
        past[:, 2:], np.full((1, 2), np.nan, np.float32), ("a", "b"), target[..., 2:]
    )
    np.testing.assert_array_equal(codes[0, 2:], short[0])
    assert pd.notna(codes[0, 2:]).all()
