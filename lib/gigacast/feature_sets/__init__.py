"""Features from Python: recipes, and feature sets of datasets and of frames.

>>> import pandas as pd
>>> from gigacast.feature_sets import compute_features
>>> days = pd.date_range("2024-01-01", periods=4)
>>> bars = pd.DataFrame({"timestamp": days, "close": [1.0, 2, 4, 8]})
>>> recipe = {"name": "mine", "features": [{"kind": "difference", "column": "close"}]}
>>> compute_features(bars, recipe)["close_diff_1"].tolist()
[nan, 1.0, 2.0, 4.0]
"""

from typing import TYPE_CHECKING

from gigacast.core.lazy import lazy_names

if TYPE_CHECKING:
    from gigacast.feature_sets.api import AnyRecipe as AnyRecipe
    from gigacast.feature_sets.api import (
        FeatureProcessor,
        FeatureSet,
        Recipe,
        Scaler,
        build_features,
        compute_features,
        get_recipe,
        load_recipe,
        read_feature_set,
        save_recipe,
    )

__all__ = [
    "FeatureProcessor",
    "FeatureSet",
    "Recipe",
    "Scaler",
    "build_features",
    "compute_features",
    "get_recipe",
    "load_recipe",
    "read_feature_set",
    "save_recipe",
]

__getattr__, __dir__ = lazy_names(
    __name__, dict.fromkeys([*__all__, "AnyRecipe"], "gigacast.feature_sets.api")
)
