"""Flags of the group `feature-store`."""

from dataclasses import dataclass
from typing import Literal

from gigacast.settings.command.common import AT_LEAST_ONE
from gigacast.settings.flag import flag
from gigacast.settings.option import ENV_PREFIX, Range

Stage = Literal["left", "parts", "final"]
EngineName = Literal["local", "spark"]
TOKEN_VARIABLE = f"{ENV_PREFIX}SERVE_TOKEN"
"""Variable with the token of served features: no flag, which lists of processes would show."""


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
        "local",
        "Engine that reads and aggregates: DuckDB and NumPy on this machine, or Spark.",
        details="`spark` needs `gigacast[spark]` and Java; the answers are the same.",
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


@dataclass(frozen=True, kw_only=True)
class OnlineOptions:
    """The store of served features."""

    online_store: str | None = flag(
        None,
        "Store of served features, as sqlite:FILE or dynamodb:TABLE; by default that of the "
        "settings, else a SQLite file in the feature store's folder.",
        group="where",
    )


@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """The log of answers."""

    log_share: float | None = flag(
        None,
        "Share of the answers that are logged, 0 to 1; that of the settings by default.",
        group="amount",
        range_=Range(0, 1),
    )


@dataclass(frozen=True, kw_only=True)
class UploadOptions:
    """Upload of a day."""

    ds: str = flag(..., "Newest day of the rows, as 2023-12-01.", group="which")
    serving_days: int = flag(
        3,
        "Days after the end of the batch for which it is served.",
        group="amount",
        range_=Range(1, 30),
    )
    overwrite: bool = flag(
        False, "Upload again what is served, and replace later days.", group="amount"
    )


@dataclass(frozen=True, kw_only=True)
class FetchOptions:
    """Questions for served features."""

    keys: str = flag(
        ...,
        "Keys as JSON: an object, or a list of objects for several answers.",
        group="which",
        placeholder="JSON",
        aliases=("k",),
    )
    at: int | None = flag(
        None, "Moment in milliseconds since 1970 (UTC); now by default.", group="which"
    )
    kind: Literal["join", "group-by"] | None = flag(
        None, "Kind of NAME, if a join and a group-by are called so.", name="type", group="which"
    )


@dataclass(frozen=True, kw_only=True)
class StatusOptions:
    """The state of what is served."""

    metrics: bool = flag(
        False, "Write lines of JSON with embedded CloudWatch metrics of each group-by on stderr."
    )


@dataclass(frozen=True, kw_only=True)
class StatsOptions:
    """Statistics and drift."""

    logged: bool = flag(False, "Describe the logged answers of a join, which `logs` wrote.")
    drift: str | None = flag(
        None,
        "Two ranges of days whose drift is wanted, as 2024-01-01..2024-01-07:2024-01-08.",
        placeholder="DAYS:DAYS",
    )
    max_psi: float = flag(
        0.25, "Population stability index from which a feature has drifted.", range_=Range(0)
    )
    max_l_infinity: float = flag(
        0.2,
        "Largest difference of the shares of rows up to any value, from which it has drifted.",
        range_=Range(0, 1),
    )
    max_nulls: float = flag(
        0.1, "Difference of the shares of nulls from which it has drifted.", range_=Range(0, 1)
    )


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """Comparison of two tables."""

    keys: str = flag(..., "Columns that tell the rows of a day apart, with commas.", group="which")
    columns: str | None = flag(
        None,
        "Columns to compare, as NAME or NAME=OTHER with commas; all by default.",
        group="which",
    )


@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """Application of a stream."""

    local: bool = flag(False, "Read lines of standard input in place of the topic.", group="which")
    stream_url: str | None = flag(
        None,
        "Place of the topic, as kafka://HOST:PORT or kinesis:; by default that of the definition.",
        group="where",
    )
    idle: float | None = flag(
        None,
        "Seconds without a record after which the command ends; never by default.",
        group="amount",
        range_=Range(0),
    )


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """Answers over HTTP."""

    host: str = flag(
        "127.0.0.1", "Address to listen at: this machine only by default.", group="where"
    )
    port: int = flag(
        8080, "Port to listen at; 0 chooses a free port.", group="where", range_=Range(0, 65535)
    )
    max_items: int = flag(1000, "Keys of a request at most.", group="amount", range_=AT_LEAST_ONE)
    max_body: int = flag(
        1 << 20, "Bytes of a request's body at most.", group="amount", range_=AT_LEAST_ONE
    )
    max_concurrent: int = flag(
        64, "Requests answered at a time; more are refused.", group="amount", range_=AT_LEAST_ONE
    )
    timeout: float = flag(
        5.0,
        "Seconds for a request, its body included.",
        group="amount",
        range_=Range(0, above=True),
    )
