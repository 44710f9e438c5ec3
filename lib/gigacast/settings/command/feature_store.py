"""Flags of the group `feature-store`."""

from dataclasses import dataclass
from typing import Literal

from gigacast.settings.command.common import AT_LEAST_ONE
from gigacast.settings.flag import flag

Stage = Literal["left", "parts", "final"]
EngineName = Literal["local"]


@dataclass(frozen=True, kw_only=True)
class CompileOptions:
    """Compilation of definitions."""

    force: bool = flag(
        False, "Change definitions that are online, or that others use.", group="amount"
    )
    lists_names: bool = flag(False, "List the names of features and tables.", name="show")


@dataclass(frozen=True, kw_only=True)
class AnalyzeOptions:
    """Analysis of a definition's tables."""

    days: int = flag(
        7,
        "Newest days of each table that are read for hot keys.",
        group="amount",
        range_=AT_LEAST_ONE,
    )


@dataclass(frozen=True, kw_only=True)
class LineageOptions:
    """Lineage of a definition's columns."""

    column: str | None = flag(None, "Only this column; all by default.")


@dataclass(frozen=True, kw_only=True)
class DayOptions:
    """Days of a table."""

    start_ds: str | None = flag(
        None, "First day, as 2024-01-31; the first there is by default.", placeholder="DAY"
    )
    ds: str | None = flag(
        None, "Last day, as 2024-01-31; the newest by default.", placeholder="DAY"
    )


@dataclass(frozen=True, kw_only=True)
class BackfillOptions(DayOptions):
    """Backfill of a definition."""

    only: Stage | None = flag(
        None,
        "Stage of a join: its left side, its parts, or the joined table; all by default.",
        details="`final` takes the tables of the parts, which must be done.",
    )
    engine: EngineName = flag(
        "local", "Engine that reads and aggregates: DuckDB and NumPy on this machine."
    )
    dry_run: bool = flag(False, "Plan, and compute nothing.")


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """Labels of a join."""

    label_day: str = flag(
        ..., "Day on which the labels are known, as 2024-01-31.", name="ds", placeholder="DAY"
    )


@dataclass(frozen=True, kw_only=True)
class FeaturesOption:
    """Features as covariates of a forecasting job."""

    features: str | None = flag(
        None,
        "Compiled join whose features become past covariates of the series.",
        placeholder="JOIN",
        group="covariates",
    )
