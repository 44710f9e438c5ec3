"""Options of backtests: of the command, and of the condition of a switch."""

from dataclasses import dataclass
from pathlib import Path

from gigacast.settings.flag import flag
from gigacast.settings.option import Range

SEGMENTS = (
    "partition",
    "symbol",
    "timeframe",
    "month",
    "target",
    "frequency",
    "length",
    "window",
)
"""Properties by which figures are grouped; ``column:NAME`` is one as well."""
STORED_SEGMENTS = ("partition", "symbol", "timeframe", "month", "target")
"""Those that stored forecasts have."""


@dataclass(frozen=True, kw_only=True)
class BacktestOptions:
    """Options of `gigacast.backtest` and of the command."""

    models: tuple[str, ...] = flag(
        (),
        "Model to compare; may be repeated.",
        name="model",
        placeholder="MODEL",
        group="backtest",
        details="By default it is the model of forecasts. Seasonal naive is always added.",
    )
    windows: int = flag(
        1,
        "Origins per series.",
        group="backtest",
        details="A whole horizon follows the last one.",
    )
    step: int | None = flag(
        None, "Steps between origins; the horizon by default.", group="backtest"
    )
    segment: str = flag(
        "partition",
        f"Property by which figures are grouped: {', '.join(SEGMENTS)}, or column:NAME.",
        placeholder="PROPERTY",
        group="backtest",
        details="`column:region` is the column `region` of the input, with one value per item.",
    )
    sample_partitions: int | None = flag(
        None,
        "Size of a sample of the partitions; all by default.",
        group="backtest",
        details="They are the same in every run.",
    )
    sample_series: int | None = flag(
        None,
        "Maximum series per partition; all by default.",
        group="backtest",
        details="They are the first ones.",
    )
    season: int | None = flag(
        None,
        "Steps of a season; by frequency by default.",
        group="backtest",
        details="It counts for scales and for seasonal naive: 24 for hours, 7 for days, 52 for "
        "weeks. GluonTS, and figures published with it, as those of M4's weekly series, use 1 for "
        "days and weeks.",
    )


@dataclass(frozen=True, kw_only=True)
class BacktestFlags(BacktestOptions):
    """Flags of `gigacast backtest` that are no settings."""

    plot: Path | None = flag(
        None,
        "Picture of the calibration to write: PNG, SVG or PDF. The terminal shows it as well.",
        kind="file",
    )


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Options of `gigacast.evaluate` and of the command."""

    segment: str | None = flag(
        None,
        f"Property by which figures are grouped as well: {', '.join(STORED_SEGMENTS)}, or "
        "column:NAME.",
        placeholder="PROPERTY",
        group="backtest",
        details="`column:region` is the column `region` of the input, with one value per item.",
    )
    worst: int = flag(
        0,
        "Number of series to list, those with the largest MASE first; none by default.",
        group="backtest",
        range_=Range(0, 100_000),
    )


@dataclass(frozen=True, kw_only=True)
class GateOptions:
    """Size of the backtest before a switch, and the criterion."""

    if_better: bool = flag(
        False, "Switch only if a backtest shows that the version is better.", group="gate"
    )
    sample_partitions: int = flag(20, "Number of partitions to sample.", group="gate")
    sample_series: int = flag(1000, "Maximum series per partition.", group="gate")
    windows: int = flag(2, "Origins per series.", group="gate")
    segment: str = flag(
        "partition",
        "Property that divides the comparison, as for backtest.",
        placeholder="PROPERTY",
        group="gate",
    )
    tolerance: float = flag(
        0.05,
        "Share by which it may be worse in a segment.",
        group="gate",
        placeholder="SHARE",
        details="Segments are small, so that their WQL varies even between equally good versions.",
    )
