"""The recipes of the package, which compute features of price bars.

Each is named after the contract of `core.contract.predefined` that its features keep.
"""

from gigacast.errors import ConfigError
from gigacast.feature_sets.kernel.definition import Difference, Ratio
from gigacast.feature_sets.kernel.definition_bar import (
    Convergence,
    Profile,
    RelativeStrength,
    Volatility,
)
from gigacast.feature_sets.kernel.recipe import Recipe

OHLCV_RECIPE = Recipe(
    "ohlcv",
    (),
    keep=("open", "high", "low", "close", "volume"),
    contract="ohlcv",
    description="The bars themselves, for feature sets that are joined with them.",
)
PRICE_VOLATILITY_RECIPE = Recipe(
    "price_volatility",
    (
        Volatility("30d", name="volatility_30d"),
        Volatility("60d", name="volatility_60d"),
        Ratio("volatility_30d", "volatility_60d", name="volatility_ratio"),
    ),
    contract="price_volatility",
    description="Standard deviation of the log returns of 30 and 60 days, and their ratio.",
)
MOMENTUM_INDICATORS_RECIPE = Recipe(
    "momentum_indicators",
    (
        RelativeStrength("close", 14),
        Convergence("close", 12, 26, 9),
        Difference("close", steps=10, name="momentum"),
    ),
    contract="momentum_indicators",
    description="RSI of 14 bars, MACD of 12, 26 and 9, momentum over 10.",
)
VOLUME_PROFILE_RECIPE = Recipe(
    "volume_profile",
    (Profile(60),),
    contract="volume_profile",
    description="The volume profile of the last 60 bars: 24 price bins, 70% of the volume.",
)
RECIPES = {
    recipe.name: recipe
    for recipe in (
        OHLCV_RECIPE,
        PRICE_VOLATILITY_RECIPE,
        MOMENTUM_INDICATORS_RECIPE,
        VOLUME_PROFILE_RECIPE,
    )
}


def get_recipe(name: str) -> Recipe:
    """Return a recipe of the package by its name.

    Raises
    ------
    ConfigError
        If there is no such recipe.
    """
    if not isinstance(name, str) or name.lower() not in RECIPES:
        raise ConfigError(f"there is no recipe {name!r}", hint=f"there are {', '.join(RECIPES)}")
    return RECIPES[name.lower()]
