"""The document and the JSON of a cleaning run."""

from dataclasses import asdict
from typing import Any

from gigacast.cleaning.run import CleanResult
from gigacast.core.plural import counted
from gigacast.datasets.document import extent_text
from gigacast.lake.dataset.metadata import describe_manifest
from gigacast.report import quantity
from gigacast.report.document import (
    Block,
    Column,
    Document,
    Items,
    Kind,
    Paragraph,
    Table,
    titled,
)
from gigacast.report.summary import table_text

_MAX_SHOWN = 40
_HINTS_SHOWN = 5
_CHANGES = ("null_keys", "sorted", "duplicates", "filled", "outliers", "moved", "broken_rows")
_COLUMNS = (
    Column("partition", Kind.KEY),
    Column("verdict"),
    Column("rows", Kind.COUNT, 1),
    *(
        Column(name, Kind.COUNT, rank)
        for name, rank in zip(_CHANGES, (5, 6, 3, 2, 4, 6, 5), strict=True)
    ),
    Column("why"),
)


def clean_json(result: CleanResult) -> dict[str, Any]:
    """Return the result of a cleaning run for ``--json``."""
    return {
        "run_id": result.run_id,
        "new": result.new,
        "computed": result.computed,
        "skipped": result.skipped,
        "pending": result.pending,
        "changes": dict(result.changes),
        "set_aside": [
            {
                "partition": judged.partition,
                "reasons": list(judged.judgement.reasons),
                "changes": dict(result.changes_by_partition.get(judged.partition, {})),
            }
            for judged in result.set_aside
        ],
        "failures": [
            {"partition": task.partition, **asdict(failure)} for task, failure in result.failures
        ],
        "dataset": describe_manifest(result.manifest) if result.manifest else None,
        **({"table": result.table.describe()} if result.table is not None else {}),
    }


def clean_document(result: CleanResult, title: str) -> Document:
    """Return the changes of each partition, the totals, and the version published."""
    rows = [
        (
            judged.partition,
            str(judged.verdict),
            judged.quality.keys.rows if judged.quality else None,
            *(
                result.changes_by_partition.get(judged.partition, {}).get(name, 0)
                for name in _CHANGES
            ),
            "; ".join(judged.judgement.reasons),
        )
        for judged in result.partitions
    ]
    hints = dict.fromkeys(failure.hint for _, failure in result.failures if failure.hint)
    changes = ", ".join(f"{quantity.count(n)} {name}" for name, n in result.changes.items())
    totals = f": {changes or 'no changes'}" if result.manifest is not None or changes else ""
    table = result.table.describe() if result.table is not None else {}
    blocks: tuple[Block, ...] = (
        *titled(f"Cleaned {title}", Table(_COLUMNS, tuple(rows), limit=_MAX_SHOWN)),
        Items.of(f"what to do: {hint}" for hint in list(hints)[:_HINTS_SHOWN]),
        Paragraph(f"cleaned {result.computed}, known before {result.skipped}{totals}"),
        Paragraph(_version_text(result)),
        *([Paragraph(f"table {table_text(table)}")] if table else []),
    )
    return Document(blocks)


def _version_text(result: CleanResult) -> str:
    """Return which version was published, or why none was."""
    manifest = result.manifest
    if manifest is not None:
        state = "published" if result.new else "there already, unchanged:"
        size = quantity.size(manifest.size_bytes)
        files = f"{extent_text(manifest)}, {size}"
        return f"{state} {manifest.ref}: {files}"
    if result.pending:
        return f"nothing published: left for later: {counted(result.pending, 'partition')}"
    if result.failures and len(result.set_aside) < len(result.partitions):
        return "nothing published: some partitions could not be read or written; run it again"
    if len(result.set_aside) == len(result.partitions):
        return "nothing published: no partition is good enough"
    return "nothing published: no partition that is good enough has a row"
