"""Options of the selection of models."""

from dataclasses import dataclass
from typing import Literal

from gigacast.settings.command.backtest import SEGMENTS
from gigacast.settings.command.common import ReasonOption
from gigacast.settings.flag import flag

SelectMethod = Literal["best", "ensemble"]
SelectMetric = Literal["sql", "wql"]


@dataclass(frozen=True, kw_only=True)
class SelectOptions(ReasonOption):
    """Options of `gigacast models select`."""

    models: tuple[str, ...] = flag(
        (),
        "Model to choose from, as NAME or NAME+auto; may be repeated.",
        name="model",
        placeholder="MODEL",
        group="selection",
        details="What follows the plus is done around the model, as `--enhance` says. By default "
        "it is the shipped model, plain and enhanced. Seasonal naive is always added.",
    )
    method: SelectMethod = flag(
        "best",
        "Choose the best model, or weigh the models' quantiles.",
        group="selection",
        details="Weights are found greedily (Caruana et al., 2004) and drawn towards those of the "
        "whole where a segment has little evidence.",
    )
    segment: str = flag(
        "series",
        "Group that gets one choice: series, all, or a segment of backtests.",
        placeholder="PROPERTY",
        group="selection",
        details=f"Segments of backtests are {', '.join(SEGMENTS[:-1])}, and column:NAME.",
    )
    metric: SelectMetric = flag(
        "sql",
        "Loss that decides: scaled (sql), or weighted by size (wql).",
        group="selection",
    )
    windows: int = flag(4, "Origins per series.", group="selection")
    step: int | None = flag(
        None, "Steps between origins; the horizon by default.", group="selection"
    )
    least_windows: int = flag(
        3,
        "Origins that a choice needs; below, the best model overall is taken.",
        group="selection",
    )
    margin: float = flag(
        1.0,
        "Standard errors of the paired difference by which a model must be better.",
        placeholder="NUMBER",
        group="selection",
        details="It must be so much better than the best model overall.",
    )
    evidence: float = flag(
        20.0,
        "Series at which a segment's weights count as much as the whole's.",
        placeholder="NUMBER",
        group="selection",
    )
    sample_partitions: int | None = flag(
        None, "Size of a sample of the partitions; all by default.", group="selection"
    )
    sample_series: int | None = flag(
        None, "Maximum series per partition; all by default.", group="selection"
    )
    refresh: bool = flag(
        False,
        "Judge the models of the active version again, by new origins only.",
        group="selection",
        details="Origins that are judged already keep their losses. All other options of the "
        "selection are those of that version.",
    )
    model_version: str | None = flag(
        None, "Version to publish as; by default from the digest.", group="version"
    )
    switch: bool = flag(
        False, "Make the version active if there was another before.", group="version"
    )
