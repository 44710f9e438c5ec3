"""Flags of the group `feature-store`."""

from dataclasses import dataclass

from gigacast.settings.command.common import AT_LEAST_ONE
from gigacast.settings.flag import flag


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
