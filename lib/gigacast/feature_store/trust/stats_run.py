"""The job of statistics: each day of a table of features is described once; drift between days."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import pyarrow as pa

from gigacast.core.partition.task import Task
from gigacast.feature_store.offline.result import Days
from gigacast.feature_store.offline.run import backfill_days
from gigacast.feature_store.offline.stage import Backfill
from gigacast.feature_store.table import Tables
from gigacast.feature_store.trust.compare import DIFFERENT, TablesComparison
from gigacast.feature_store.trust.document import features_of
from gigacast.feature_store.trust.stats import (
    Drift,
    DriftQuestion,
    find_drift,
    read_stats,
)
from gigacast.job.run import RunEvents, utc_now
from gigacast.lake.plan.audit import Clock
from gigacast.report.document import Column, Document, Items, KeyValues, Kind, Table, Tone, titled
from gigacast.runtime.executor import Failure

_SHOWN = 30


@dataclass(frozen=True)
class StatsResult:
    """The result of a job of statistics.

    Parameters
    ----------
    name : str
        Definition.
    run_id : str
    days : mapping of str to pyarrow.Table
        Rows of `stats.SCHEMA` by day.
    computed : int
        Days that this run described.
    drift : list of Drift
        Changes between two ranges, if these are wanted.
    failures : list of (Task, Failure)
    """

    name: str
    run_id: str
    days: Mapping[str, pa.Table]
    computed: int = 0
    drift: list[Drift] = field(default_factory=list)
    failures: list[tuple[Task, Failure]] = field(default_factory=list)

    @property
    def drifted(self) -> list[str]:
        """Features that have drifted."""
        return [change.feature for change in self.drift if change.has_drifted]


def run_stats(
    backfill: Backfill,
    days: Days,
    *,
    logged: bool = False,
    drift: DriftQuestion | None = None,
    events: RunEvents | None = None,
    clock: Clock = utc_now,
) -> StatsResult:
    """Describe the days of a definition's table that are new or changed, and find drift.

    Parameters
    ----------
    backfill : Backfill
    days : Days
    logged : bool
        Whether the logged answers of a join are described, in place of its table.
    drift : DriftQuestion, optional
        Ranges of days whose drift is wanted.
    events : RunEvents, optional
    clock : callable

    Raises
    ------
    DataNotFoundError
        If the table has no rows.
    ConfigError, StorageError
    """
    kind = "logged_stats" if logged else "stats"
    job = replace(backfill, kind=kind, only=None)
    result = backfill_days(job, days, events=events, clock=clock)
    failed = {task.partition.rpartition("ds=")[2] for task, _ in result.failures}
    done = [day for day in result.days if day not in failed]
    store = Tables.at(backfill.root, backfill.places).store
    stats = read_stats(store, backfill.definition, done, logged=logged)
    changes = find_drift(stats, drift) if drift else []
    return StatsResult(
        result.name, result.run_id, stats, result.totals.partitions, changes, result.failures
    )


def stats_document(result: StatsResult) -> Document:
    """Return the statistics of the newest day, and the drift."""
    newest = max(result.days, default="")
    rows = result.days[newest].to_pylist() if newest else []
    columns = (
        Column("feature"),
        Column("rows", Kind.COUNT),
        Column("nulls", Kind.COUNT),
        Column("distinct", Kind.COUNT, 2),
        Column("mean", Kind.NUMBER, 1),
        Column("least", Kind.NUMBER, 2),
        Column("median", Kind.NUMBER, 1),
        Column("greatest", Kind.NUMBER, 2),
    )
    cells = tuple(
        (
            *(row["feature"], row["total"], row["nulls"], row["distinct"], row["mean"]),
            *((p[0], p[3], p[-1]) if (p := row["percentiles"]) else (None, None, None)),
        )
        for row in rows
    )
    facts = KeyValues.of([("days", f"{len(result.days):,}"), ("computed", f"{result.computed:,}")])
    blocks: list[Any] = [facts]
    if newest:
        blocks += titled(f"Day {newest}", Table(columns, cells, limit=_SHOWN, rest="in --json"))
    if result.drift:
        blocks += titled("Drift", _drift_table(result.drift))
    blocks += [Items.of([f"{t.partition}: {f.message}" for t, f in result.failures])]
    count = len(result.drifted)
    summary = f"{count} of {len(result.drift)} features have drifted" if count else result.name
    return Document(tuple(blocks), summary, Tone.BAD if count or result.failures else Tone.PLAIN)


def _drift_table(drift: Sequence[Drift]) -> Table:
    columns = (
        Column("feature"),
        Column("PSI", Kind.NUMBER),
        Column("L-infinity", Kind.NUMBER),
        Column("nulls before", Kind.PERCENT, 1),
        Column("nulls after", Kind.PERCENT, 1),
        Column("state"),
    )
    rows = tuple(
        (d.feature, d.psi, d.l_infinity, *d.nulls, "drifted" if d.has_drifted else "")
        for d in sorted(drift, key=lambda d: (not d.has_drifted, -(d.psi or 0)))
    )
    return Table(columns, rows, limit=_SHOWN, rest="in --json")


def stats_json(result: StatsResult) -> dict[str, Any]:
    """Return statistics and drift as plain values."""
    return {
        "name": result.name,
        "run_id": result.run_id,
        "computed": result.computed,
        "days": {
            day: table.drop_columns(["points"]).to_pylist() for day, table in result.days.items()
        },
        "day_count": len(result.days),
        "drift": [{**asdict(d), "drifted": d.has_drifted} for d in result.drift],
        "failures": [{"partition": t.partition, **asdict(f)} for t, f in result.failures],
    }


def tables_document(result: TablesComparison) -> Document:
    """Return which rows and columns of two tables differ."""
    facts = [
        ("days of both", f"{len(result.days):,}"),
        ("rows of both", f"{result.rows:,}"),
        ("rows of the first alone", f"{result.missing[0]:,}"),
        ("rows of the second alone", f"{result.missing[1]:,}"),
        ("days of the first alone", ", ".join(result.only[0])),
        ("days of the second alone", ", ".join(result.only[1])),
    ]
    columns = (
        Column("column"),
        Column("differ", Kind.COUNT),
        Column("first null", Kind.COUNT),
        Column("second null", Kind.COUNT),
        Column("largest difference", Kind.NUMBER, 1),
        Column("sMAPE", Kind.NUMBER, 2),
    )
    names = (*DIFFERENT, "largest_difference", "smape")
    rows = tuple(
        (row["feature"], *(row[name] for name in names)) for row in features_of(result.figures)
    )
    table = Table(columns, rows, limit=_SHOWN, rest="in --json")
    title = f"{result.names[0]} and {result.names[1]}"
    tone = Tone.GOOD if result.is_equal else Tone.BAD
    return Document((KeyValues.of(facts), table), title, tone)


def tables_json(result: TablesComparison) -> dict[str, Any]:
    """Return a comparison of tables as plain values."""
    return {
        "tables": list(result.names),
        "equal": result.is_equal,
        "days": list(result.days),
        "day_count": len(result.days),
        "only_first": list(result.only[0]),
        "only_second": list(result.only[1]),
        "rows": result.rows,
        "rows_only_first": result.missing[0],
        "rows_only_second": result.missing[1],
        "columns": features_of(result.figures),
    }
