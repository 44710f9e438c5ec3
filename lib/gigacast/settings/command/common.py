"""Flags that commands of several groups have."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gigacast.settings.flag import flag
from gigacast.settings.option import Range

DEFAULT_CONFIG = Path("config/settings.yaml")
AT_LEAST_ONE = Range(1)


@dataclass(frozen=True, kw_only=True)
class ConfigOption:
    """The settings file of a command."""

    config: Path | None = flag(
        None,
        f"Settings file; {DEFAULT_CONFIG} by default, if it exists.",
        group="other",
        kind="file",
    )


@dataclass(frozen=True, kw_only=True)
class JsonOption:
    """JSON in place of text."""

    as_json: bool = flag(False, "Print JSON on stdout.", name="json")


@dataclass(frozen=True, kw_only=True)
class QuietOption:
    """No output but errors."""

    quiet: bool = flag(False, "Print errors only.")


@dataclass(frozen=True, kw_only=True)
class LogOption:
    """The form of progress and events."""

    log: Literal["bar", "json"] = flag(
        "bar", "On stderr: a progress bar, or JSON lines with embedded CloudWatch metrics."
    )


@dataclass(frozen=True, kw_only=True)
class ReportOption:
    """A page of the result."""

    report: bool = flag(
        False,
        "Write the result as a page under reports/ of the bucket.",
        details="The setting `report.write` does so for every run.",
    )


@dataclass(frozen=True, kw_only=True)
class ReportRunOptions:
    """Options of `gigacast report`."""

    output: Path | None = flag(
        None,
        "Local file to write the page to, in place of the bucket.",
        kind="file",
        aliases=("o",),
    )


@dataclass(frozen=True, kw_only=True)
class ServeReportOptions:
    """Options of `gigacast serve-report`."""

    port: int = flag(8642, "Port on this machine; 0 for any free one.", range_=Range(0, 65_535))


@dataclass(frozen=True, kw_only=True)
class DeletionOption:
    """Permission to delete."""

    yes: bool = flag(False, "Delete; without it nothing is deleted.", group="amount")


@dataclass(frozen=True, kw_only=True)
class ReasonOption:
    """Reason of a change."""

    why: str = flag("", "Reason, kept in the history.", group="version")


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """Sample of partitions."""

    partitions: int = flag(
        5, "Number of partitions to sample.", group="amount", range_=AT_LEAST_ONE
    )
    sample_seed: int = flag(0, "Seed of the sample.", group="amount", range_=Range(0))


@dataclass(frozen=True, kw_only=True)
class NewVersionOption:
    """Version to publish trained weights as."""

    new_version: str | None = flag(
        None, "Version to publish as; the start of its digest by default.", group="version"
    )
