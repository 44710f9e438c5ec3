"""Results of backfills for people and programs."""

from dataclasses import asdict
from typing import Any

from gigacast.feature_store.offline.result import BackfillResult
from gigacast.report.document import Column, Document, KeyValues, Kind, Table, Tone

_SHOWN_DAYS = 8


def backfill_document(result: BackfillResult) -> Document:
    """Return the tables, days and counts of a backfill."""
    facts = [
        ("tables", ", ".join(result.tables)),
        ("days", _days_text(result.days)),
        ("computed", f"{result.totals.partitions:,} of {result.pending:,} pending"),
        ("done before", f"{result.done:,}"),
        ("rows", f"{result.totals.rows_written:,}"),
        ("run", result.run_id or "planned only"),
    ]
    facts += [("dataset", name) for name in result.datasets]
    facts += [
        (f"missing in {table}", _days_text(days)) for table, days in sorted(result.missing.items())
    ]
    facts += [
        ("parent", f"{parent.name}: {parent.totals.partitions:,} days computed")
        for parent in result.parents
    ]
    return Document((KeyValues.of(facts),), result.name)


def failures_document(result: BackfillResult) -> Document:
    """Return the days that failed, and why."""
    columns = (Column("partition", Kind.KEY), Column("error"), Column("hint", priority=1))
    rows = tuple(
        (task.partition, f"{failure.error}: {failure.message}", failure.hint or "")
        for task, failure in result.all_failures
    )
    return Document((Table(columns, rows),), f"{len(rows)} failed", Tone.BAD)


def backfill_json(result: BackfillResult) -> dict[str, Any]:
    """Return the result of a backfill as plain values."""
    return {
        "name": result.name,
        "run_id": result.run_id,
        "tables": list(result.tables),
        "days": list(result.days),
        "pending": result.pending,
        "done": result.done,
        "computed": result.totals.partitions,
        "rows": result.totals.rows_written,
        "missing": {table: list(days) for table, days in result.missing.items()},
        "failures": [
            {"partition": task.partition, **asdict(failure)} for task, failure in result.failures
        ],
        "datasets": list(result.datasets),
        "parents": [backfill_json(parent) for parent in result.parents],
    }


def _days_text(days: tuple[str, ...]) -> str:
    if len(days) <= _SHOWN_DAYS:
        return ", ".join(days)
    return f"{len(days):,} days, {days[0]} to {days[-1]}"
