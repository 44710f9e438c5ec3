"""Results of consistency for people and programs."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from gigacast.feature_store.trust.consistency import DIFFERENT, ConsistencyResult
from gigacast.feature_store.trust.figures import COUNTS
from gigacast.report.document import Column, Document, Items, KeyValues, Kind, Table, Tone

_SHOWN_FEATURES = 30
_LARGEST = "largest_difference"


def consistency_document(result: ConsistencyResult) -> Document:
    """Return which features differ from their backfill, and what was not compared."""
    totals = features_of(result.figures)
    facts = [
        ("days compared", ", ".join(result.days) or "none"),
        ("answers of features", f"{sum(row['total'] for row in totals):,}"),
        ("different", f"{result.different:,}"),
        ("of other definitions", f"{result.others:,} answers" if result.others else ""),
    ]
    facts += [
        (f"waits for {day}", f"{', '.join(tables)} without that day")
        for day, tables in result.waiting.items()
    ]
    facts += [(f"not compared: {name}", why) for name, why in result.uncompared.items()]
    blocks: list[KeyValues | Table | Items] = [KeyValues.of(facts)]
    if totals:
        blocks.append(_table(totals))
    if result.failures:
        blocks.append(
            Items.of([f"{task.partition}: {failure.message}" for task, failure in result.failures])
        )
    tone = Tone.GOOD if result.is_consistent else Tone.BAD
    return Document(tuple(blocks), f"consistency of {result.name}", tone)


def consistency_json(result: ConsistencyResult) -> dict[str, Any]:
    """Return the result of a comparison as plain values."""
    return {
        "name": result.name,
        "run_id": result.run_id,
        "consistent": result.is_consistent,
        "days": list(result.days),
        "different": result.different,
        "waiting": {day: list(tables) for day, tables in result.waiting.items()},
        "other_definitions": result.others,
        "not_compared": dict(result.uncompared),
        "features": features_of(result.figures),
        "hours": result.figures.to_pylist(),
        "failures": [
            {"partition": task.partition, **asdict(failure)} for task, failure in result.failures
        ],
    }


def features_of(figures: pa.Table) -> list[dict[str, Any]]:
    """Return the figures of each feature over all hours, those that differ most first."""
    grouped = figures.group_by("feature", use_threads=False).aggregate(
        [(name, "sum") for name in COUNTS] + [("smape", "max")]
    )
    rows = grouped.rename_columns(["feature", *COUNTS, "smape"]).to_pylist()
    largest: dict[str, float] = {}
    for name, spread in zip(
        figures["feature"].to_pylist(),
        figures["left_minus_right_percentiles"].to_pylist(),
        strict=True,
    ):
        if spread is not None:
            largest[name] = max(largest.get(name, 0.0), float(np.abs(spread).max()))
    for row in rows:
        row[_LARGEST] = largest.get(row["feature"])
    return sorted(rows, key=lambda row: -sum(row[name] for name in DIFFERENT))


def _table(rows: list[dict[str, Any]]) -> Table:
    columns = (
        Column("feature"),
        Column("answers", Kind.COUNT),
        Column("differ", Kind.COUNT),
        Column("only served null", Kind.COUNT),
        Column("only backfilled null", Kind.COUNT),
        Column("failed", Kind.COUNT, 1),
        Column("both null", Kind.COUNT, 2),
        Column("largest difference", Kind.NUMBER, 1),
        Column("sMAPE", Kind.NUMBER, 2),
    )
    names = ("total", "mismatch", "left_null", "right_null", "failed", "both_null")
    cells = tuple(
        (row["feature"], *(row[name] for name in names), row[_LARGEST], row["smape"])
        for row in rows
    )
    return Table(columns, cells, limit=_SHOWN_FEATURES, rest="in --json")
