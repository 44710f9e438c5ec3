"""The contracts of the package: bars, volatility, momentum, volume profiles."""

from gigacast.core.contract.definition import Column, Contract
from gigacast.core.contract.rule import Rule

_TIME = Column("timestamp", "timestamp", nullable=False, description="Start of the bar.")
_ASSET = Column("symbol", "string", nullable=False, required=False, description="The asset.")
_KEY = (("symbol", "timestamp"),)
_ORDER = ("symbol", "timestamp")


def _price(name: str, description: str) -> Column:
    return Column(name, "float64", nullable=False, description=description)


def _indicator(
    name: str, description: str, minimum: float | None = None, maximum: float | None = None
) -> Column:
    # The first rows of a window have no value yet: indicators may be missing.
    return Column(name, "float64", minimum=minimum, maximum=maximum, description=description)


OHLCV_SCHEMA = Contract(
    "ohlcv",
    (
        _TIME,
        _ASSET,
        _price("open", "First price."),
        _price("high", "Highest price."),
        _price("low", "Lowest price."),
        _price("close", "Last price."),
        Column("volume", "float64", minimum=0, description="Traded volume."),
    ),
    unique=_KEY,
    ordered_by=_ORDER,
    rules=(
        Rule("high >= low"),
        Rule("high >= open"),
        Rule("high >= close"),
        Rule("low <= open"),
        Rule("low <= close"),
    ),
    description="Open, high, low, close and volume of each bar.",
)
PRICE_VOLATILITY_SCHEMA = Contract(
    "price_volatility",
    (
        _TIME,
        _ASSET,
        _indicator("volatility_30d", "Of the returns of 30 days.", 0),
        _indicator("volatility_60d", "Of the returns of 60 days.", 0),
        _indicator("volatility_ratio", "The first by the second.", 0),
    ),
    unique=_KEY,
    ordered_by=_ORDER,
    description="Volatility over 30 and 60 days, and their ratio.",
)
MOMENTUM_INDICATORS_SCHEMA = Contract(
    "momentum_indicators",
    (
        _TIME,
        _ASSET,
        _indicator("rsi", "Relative strength index.", 0, 100),
        _indicator("macd", "Fast less slow moving average."),
        _indicator("macd_signal", "Moving average of the MACD."),
        _indicator("macd_histogram", "MACD less its signal."),
        _indicator("momentum", "Price less the price a window ago."),
    ),
    unique=_KEY,
    ordered_by=_ORDER,
    description="RSI, MACD and momentum.",
)
VOLUME_PROFILE_SCHEMA = Contract(
    "volume_profile",
    (
        _TIME,
        _ASSET,
        _indicator("vwap", "Price weighted by volume."),
        _indicator("point_of_control", "Price at which most was traded."),
        _indicator("value_area_high", "Upper end of the prices of most of the volume."),
        _indicator("value_area_low", "Lower end of it."),
        _indicator("total_volume", "Traded in the window.", 0),
    ),
    unique=_KEY,
    ordered_by=_ORDER,
    rules=(
        Rule("value_area_high >= value_area_low"),
        Rule("value_area_high >= point_of_control"),
        Rule("value_area_low <= point_of_control"),
    ),
    description="How volume is distributed over prices.",
)
PREDEFINED = (
    OHLCV_SCHEMA,
    PRICE_VOLATILITY_SCHEMA,
    MOMENTUM_INDICATORS_SCHEMA,
    VOLUME_PROFILE_SCHEMA,
)
