"""Flags of `forecast`, `demo`, and of the commands on finished forecasts and runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gigacast.settings.command.common import AT_LEAST_ONE, DeletionOption, SampleOptions
from gigacast.settings.flag import flag
from gigacast.settings.option import Range


@dataclass(frozen=True, kw_only=True)
class ForecastFlags:
    """Flags of `gigacast forecast` that are no settings."""

    output: str | None = flag(
        None,
        "File for the forecasts of FILE: .parquet, .csv or .json, or - for CSV on stdout; a plot "
        "and the first rows are shown by default.",
        placeholder="FILE",
        aliases=("o",),
    )
    dry_run: bool = flag(False, "Plan, and write nothing.", group="amount")
    log: Literal["bar", "json"] = flag(
        "bar", "On stderr: a progress bar, or JSON lines with embedded CloudWatch metrics."
    )


@dataclass(frozen=True, kw_only=True)
class PlanFlags:
    """Series that `gigacast plan` prices without data."""

    series: int | None = flag(
        None,
        "Number of series to estimate the cost of, in place of a bucket's partitions.",
        group="amount",
        range_=AT_LEAST_ONE,
        details="A sample is made, and forecast on this machine.",
    )
    points: int = flag(
        1000,
        "Values of each of the --series.",
        group="amount",
        range_=Range(2, 1_000_000),
    )


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """Options of `gigacast demo`."""

    output: Path = flag(Path("demo-output"), "Folder of the picture.", kind="folder")
    n_jobs: int = flag(2, "Number of processes.", group="with")
    model: str | None = flag(
        None, "Model to forecast with; the bundled one by default.", group="how"
    )


@dataclass(frozen=True, kw_only=True)
class SpecOption:
    """Choice of finished forecasts."""

    spec: str | None = flag(
        None,
        "Forecasts of this spec, by the start of its name or digest; the latest by default.",
        group="which",
        placeholder="SPEC",
        details="What they were made with is in their metadata: no other flag is needed. Flags "
        "that describe forecasts choose those in its place.",
    )


@dataclass(frozen=True, kw_only=True)
class ListOptions(SpecOption):
    """Options of `gigacast ls`."""

    like: str = flag("", "Text that the names contain; any by default.", group="amount")
    count: int = flag(50, "Maximum number of names to list.", group="amount", range_=AT_LEAST_ONE)


@dataclass(frozen=True, kw_only=True)
class SeriesOptions:
    """Series to draw."""

    items: tuple[str, ...] = flag(
        (), "Item id to show; may be repeated.", name="item", group="series", placeholder="TEXT"
    )
    count: int = flag(
        1, "Number of series to show without --item.", group="series", range_=AT_LEAST_ONE
    )
    worst: int | None = flag(
        None,
        "Number of series to show, those with the largest errors in the last evaluation.",
        group="series",
        range_=AT_LEAST_ONE,
    )
    steps: int = flag(96, "Steps of context to show.", group="series", range_=AT_LEAST_ONE)


@dataclass(frozen=True, kw_only=True)
class PlotOptions(SeriesOptions):
    """Options of `gigacast plot`."""

    output: Path = flag(Path("forecast.png"), "Picture to write.", kind="file", aliases=("o",))


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """Options of `gigacast read`."""

    spec: str | None = flag(
        None, "Spec of the forecasts; the one finished last by default.", group="which"
    )
    origin: str = flag(
        "latest",
        "Forecasts to read: latest, all that are kept, or those of a day, as 2024-01-31.",
        group="which",
        placeholder="ORIGIN",
        details="A day is that of the newest `cutoff` of a partition's forecast.",
    )
    run: str | None = flag(
        None,
        "Run whose forecasts are read as it left them; the last one by default.",
        group="which",
        placeholder="RUN",
        details="As far as they are kept; `gigacast ls runs` lists the runs.",
    )
    partitions: tuple[str, ...] = flag(
        (),
        "Partition to read, as 2024/01/part-00000; may be repeated.",
        name="partition",
        group="which",
        placeholder="TEXT",
    )
    items: tuple[str, ...] = flag(
        (), "Item id to read; may be repeated.", name="item", group="series", placeholder="TEXT"
    )
    output: str = flag(
        "-",
        "File to write: .parquet, .csv or .json, or - for CSV on standard output.",
        placeholder="FILE",
        aliases=("o",),
    )


@dataclass(frozen=True, kw_only=True)
class VerifyOptions(SampleOptions):
    """Options of `gigacast verify`."""

    series: int = flag(
        20, "Number of series to sample per partition.", group="amount", range_=AT_LEAST_ONE
    )


@dataclass(frozen=True, kw_only=True)
class PruneOptions(DeletionOption):
    """Options of `gigacast prune`."""

    old_specs: bool = flag(False, "Also delete the forecasts of other specs.", group="amount")


@dataclass(frozen=True, kw_only=True)
class LogsOptions:
    """Options of `gigacast logs`."""

    lines: int = flag(50, "Number of last lines to show.", range_=Range(1, 10_000))
