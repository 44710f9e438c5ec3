"""A recipe with every kind of feature, and bars of a few items to compute it on."""

import numpy as np
import pyarrow as pa

from gigacast.feature_sets.kernel.compute import Setting, asset_of
from gigacast.feature_sets.kernel.recipe import KINDS, Recipe
from gigacast.feature_sets.kernel.volatility import ESTIMATORS
from gigacast.feature_sets.kernel.window import STATISTICS

EVERYTHING = Recipe.from_dict(
    {
        "name": "everything",
        "keep": ["close"],
        "bars_per_day": 4,
        "features": [
            {"kind": "lag", "column": "close", "steps": [1, 5]},
            {"kind": "rolling", "column": "close", "window": [3, "2d"], "statistic": [*STATISTICS]},
            {"kind": "rolling", "column": "volume", "window": 9, "min_count": 2},
            {"kind": "difference", "column": "close", "order": [1, 2]},
            {"kind": "difference", "column": "close", "steps": 7, "name": "momentum"},
            {"kind": "return", "column": "close", "steps": [1, 3]},
            {"kind": "return", "column": "close", "log": False},
            {"kind": "spread", "above": "high", "below": "low"},
            {"kind": "spread", "above": "high", "below": "low", "relative": True},
            {"kind": "ratio", "above": "close", "below": "close_mean_3"},
            {
                "kind": "correlation",
                "column": "close",
                "other": "volume",
                "window": 6,
                "of": "none",
            },
            {"kind": "correlation", "column": "close", "other": "close", "item": "b", "window": 5},
            {"kind": "volatility", "window": 6, "estimator": [*ESTIMATORS]},
            {"kind": "volatility", "window": 6, "bars_per_year": 252, "name": "annual"},
            {"kind": "rsi", "window": 5},
            {"kind": "macd", "fast": 3, "slow": 6, "signal": 4},
            {"kind": "volume_profile", "window": 8, "bins": 6},
        ],
    }
)
assert {type(feature) for feature in EVERYTHING.features} == set(KINDS.values())


def bars_of(rows: dict[str, int], seed: int = 0, *, missing: float = 0.03) -> pa.Table:
    """Bars of some items, by item and time; with holes, and steps of time that vary."""
    rng = np.random.default_rng(seed)
    parts = []
    for item, count in rows.items():
        close = 100 * np.exp(rng.normal(0, 0.01, count).cumsum())
        first = close * np.exp(rng.normal(0, 0.003, count))
        prices = {
            "open": first,
            "high": np.maximum(first, close) * 1.002,
            "low": np.minimum(first, close) * 0.998,
            "close": close,
            "volume": rng.integers(0, 50, count).astype(float),
        }
        for column in prices.values():
            column[rng.random(count) < missing] = np.nan
        times = np.cumsum(rng.choice([1, 1, 1, 2], count)) * 3_600_000_000
        stamps = pa.array(times, pa.int64()).cast(pa.timestamp("us"))
        parts.append(pa.table({"symbol": [item] * count, "timestamp": stamps, **prices}))
    return pa.concat_tables(parts)


def setting_of(table: pa.Table, recipe: Recipe = EVERYTHING) -> Setting:
    """The setting of a table, with the items that the recipe compares with."""
    bare = Setting("timestamp", ("symbol",))
    assets = {}
    for item, columns in recipe.assets.items():
        own = table.filter(pa.compute.equal(table["symbol"], item))
        assets[item] = asset_of(own, bare, columns)
    return Setting("timestamp", ("symbol",), None, assets)
