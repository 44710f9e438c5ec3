"""Recipes as data: read, written, refused with the entry named; and what they compute."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
import yaml

from gigacast.errors import ConfigError, SchemaError
from gigacast.feature_sets.kernel.compute import (
    LABEL,
    Setting,
    asset_of,
    compute_features,
    daily_bars,
)
from gigacast.feature_sets.kernel.predefined import RECIPES, get_recipe
from gigacast.feature_sets.kernel.recipe import Recipe
from tests.unit.feature_sets.recipes import EVERYTHING, bars_of, setting_of

LAG = {"kind": "lag", "column": "close"}


@pytest.mark.parametrize("recipe", [EVERYTHING, *RECIPES.values()], ids=lambda r: r.name)
def test_a_recipe_survives_the_round_trip_through_yaml(recipe: Recipe) -> None:
    text = yaml.safe_dump(recipe.to_dict())
    assert Recipe.from_dict(yaml.safe_load(text)) == recipe


def test_a_list_in_a_recipe_is_expanded_to_each_of_its_values() -> None:
    rolling = {"kind": "rolling", "column": ["x", "y"], "window": [2, "3d"], "statistic": "std"}
    recipe = Recipe.from_dict({"name": "r", "features": [rolling]})
    assert recipe.names == ("x_std_2", "x_std_3d", "y_std_2", "y_std_3d")
    assert recipe.columns == ("x", "y")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("nothing", "not a recipe: expected a mapping"),
        ({"features": [LAG]}, "name: missing"),
        ({"name": "r", "features": LAG}, "features: expected a list, got a mapping"),
        ({"name": "r"}, "has no features"),
        ({"name": "r", "more": 1}, "more: unknown key"),
        ({"name": "r", "features": ["lag"]}, "no kind of feature 'lag'"),
        ({"name": "r", "features": [{"kind": "moon"}]}, "no kind of feature 'moon'"),
        ({"name": "r", "features": [{"kind": "lag"}]}, r"features\[0\]\.column: missing"),
        (
            {"name": "r", "features": [LAG | {"column": 3}]},
            "column: expected text, got 3",
        ),
        ({"name": "r", "features": [LAG | {"step": 3}]}, r"features\[0\]\.step: unknown key"),
        ({"name": "r", "features": [LAG | {"steps": 0}]}, "never looks ahead"),
        ({"name": "r", "features": [LAG | {"steps": -1}]}, "never looks ahead"),
        (
            {"name": "r", "features": [LAG | {"steps": 1.5}]},
            r"expected a whole number, got 1\.5",
        ),
        ({"name": "r", "features": [LAG, LAG]}, "makes 'close_lag_1' twice"),
        (
            {"name": "r", "features": [{"kind": "rolling", "column": "x", "window": "3w"}]},
            "'3w' is no window",
        ),
        (
            {
                "name": "r",
                "features": [{"kind": "rolling", "column": "x", "window": 3, "statistic": "mode"}],
            },
            "'mode' is none of mean",
        ),
        ({"name": "r", "features": [{"kind": "macd", "fast": 9, "slow": 9}]}, "not below slow"),
        ({"name": "r", "features": [LAG], "scale": {}}, "scale needs training"),
        ({"name": "r", "features": [LAG], "training": {}}, "give until or share"),
        ({"name": "r", "features": [LAG], "training": {"share": 2}}, "training: share: 2"),
        ({"name": "r", "features": [LAG], "training": {"until": "soon"}}, "no moment"),
        (
            {
                "name": "r",
                "features": [LAG],
                "training": {"share": 0.5},
                "scale": {"columns": ["nothing"]},
            },
            "'nothing' is no feature",
        ),
        (
            {
                "name": "r",
                "features": [LAG],
                "training": {"share": 0.5},
                "select": {"target": "close", "ahead": 0},
            },
            "select: ahead: 0",
        ),
    ],
)
def test_a_wrong_entry_is_named(wrong: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Recipe.from_dict(wrong)


def test_features_may_be_computed_from_features_that_are_not_published() -> None:
    recipe = Recipe.from_dict(
        {
            "name": "r",
            "features": [
                {"kind": "rolling", "column": "close", "window": 3, "name": "_level"},
                {"kind": "ratio", "above": "close", "below": "_level", "name": "stretch"},
            ],
        }
    )
    table = bars_of({"a": 9}, missing=0)
    features = compute_features(table, recipe, Setting("timestamp", ("symbol",)))
    close = table["close"].to_numpy()
    assert features.column_names == ["symbol", "timestamp", "stretch"]
    assert features["stretch"].to_pylist()[:2] == [None, None]
    assert features["stretch"][5].as_py() == pytest.approx(close[5] / close[3:6].mean())


def test_another_asset_is_compared_at_the_same_times() -> None:
    times = np.datetime64("2024-01-01", "s") + np.arange(4) * 86_400
    x = pa.table({"timestamp": times, "close": [1.0, 2.0, 4.0, 8.0]})
    y = pa.table({"timestamp": times[[3, 0, 2]], "close": [9.0, 1.0, 4.0]})
    asset = asset_of(y, Setting("timestamp"), ("close",))
    stamps = x["timestamp"].cast(pa.int64()).to_numpy()
    np.testing.assert_array_equal(asset.at(stamps, "close"), [1, np.nan, 4, 9])
    recipe = Recipe.from_dict(
        {
            "name": "r",
            "features": [
                {
                    "kind": "correlation",
                    "column": "close",
                    "other": "close",
                    "item": "Y",
                    "window": 9,
                }
            ],
        }
    )
    with pytest.raises(SchemaError, match="no item 'Y'"):
        compute_features(x, recipe, Setting("timestamp"))


def test_windows_in_days_need_the_rows_of_a_day() -> None:
    recipe = get_recipe("price_volatility")
    table = bars_of({"a": 200}, missing=0)
    with pytest.raises(ConfigError, match="a window of 30d needs bars_per_day"):
        compute_features(table, recipe, Setting("timestamp", ("symbol",)))
    features = compute_features(table, recipe, Setting("timestamp", ("symbol",), bars_per_day=2))
    assert features["volatility_30d"].null_count == 60
    assert features["volatility_60d"].null_count == 120


@pytest.mark.parametrize(("hours", "expected"), [(24, 1), (1, None), (168, None)])
def test_daily_rows_are_recognised_by_their_steps(hours: int, expected: int | None) -> None:
    stamps = (np.arange(50) * hours * 3600).astype("M8[s]")
    table = pa.table({"timestamp": stamps, "close": np.ones(50)})
    assert daily_bars(table, Setting("timestamp")) == expected


def test_a_label_is_the_target_ahead_and_never_beyond_the_training_part() -> None:
    recipe = Recipe.from_dict(
        {
            "name": "r",
            "features": [LAG],
            "training": {"share": 0.5},
            "select": {"target": "close", "ahead": 2},
        }
    )
    table = pa.table({"t": [0, 1, 2, 3, 4, 5], "close": [0.0, 10, 20, 30, 40, 50]})
    features = compute_features(table, recipe, Setting("t"), train_until=3)
    assert features[LABEL].to_pylist() == [20, 30, None, None, None, None]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            pa.table({"timestamp": [1, None], "close": [1.0, 2.0]}),
            "'timestamp' is missing in 1 row",
        ),
        (pa.table({"timestamp": ["a"], "close": [1.0]}), "holds no times"),
        (pa.table({"timestamp": [1], "close": ["a"]}), "holds no numbers"),
        (pa.table({"timestamp": [1]}), "there is no column 'close'"),
        (pa.table({"close": [1.0]}), "there is no column 'timestamp'"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(table: pa.Table, message: str) -> None:
    recipe = Recipe.from_dict({"name": "r", "features": [LAG]})
    with pytest.raises(SchemaError, match=message):
        compute_features(table, recipe, Setting("timestamp"))


def test_infinite_values_are_missing_and_integers_are_numbers() -> None:
    table = pa.table({"timestamp": [1, 2, 3], "close": [1.0, np.inf, 3.0], "n": [1, 2, 4]})
    recipe = Recipe.from_dict({"name": "r", "features": [LAG, LAG | {"column": "n"}]})
    features = compute_features(table, recipe, Setting("timestamp"))
    assert features["close_lag_1"].to_pylist() == [None, 1, None]
    assert features["n_lag_1"].to_pylist() == [None, 1, 2]


def test_every_feature_of_the_large_recipe_has_values() -> None:
    table = bars_of({"a": 200, "b": 200})
    features = compute_features(table, EVERYTHING, setting_of(table))
    empty = [n for n in EVERYTHING.names if features[n].null_count > 260]
    assert empty == []


def test_rows_of_several_items_without_an_item_column_are_refused() -> None:
    times = [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2, 3, 4)]
    table = pa.table({"timestamp": times * 2, "ticker": ["A"] * 4 + ["B"] * 4, "x": range(8)})
    recipe = Recipe.from_dict(
        {"name": "r", "features": [{"kind": "lag", "column": "x", "steps": [1]}]}
    )
    with pytest.raises(SchemaError, match="4 of 8 rows repeat a 'timestamp'"):
        compute_features(table, recipe, Setting("timestamp"))
    named = compute_features(table, recipe, Setting("timestamp", ("ticker",)))
    assert named.column("x_lag_1").null_count == 2


def test_integers_that_no_float_represents_become_the_nearest_float() -> None:
    table = pa.table({"timestamp": [datetime(2024, 1, 1, tzinfo=UTC)], "x": [2**53 + 1]})
    recipe = Recipe.from_dict(
        {"name": "r", "features": [{"kind": "lag", "column": "x", "steps": [1]}]}
    )
    assert compute_features(table, recipe, Setting("timestamp")).num_rows == 1
