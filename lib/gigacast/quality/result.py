"""The quality report: its values, table and document."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from gigacast.core.plural import counted
from gigacast.quality.measures import (
    ColumnQuality,
    Judgement,
    PartitionQuality,
    Verdict,
    worst,
)
from gigacast.report.document import (
    Block,
    Cell,
    Column,
    Document,
    Heading,
    Items,
    Kind,
    Paragraph,
    Table,
)
from gigacast.report.markdown import render_markdown
from gigacast.series.frame import to_pandas
from gigacast.storage.parquet.writer import table_bytes

SHARES = ("missing", "duplicates", "unordered", "gaps", "outliers", "noncompliant", "incomplete")
"""Measures of a partition that are shares of its rows, values or steps."""
_RULES = 20
_SHOWN_ROWS = 40
"""Partitions on a screen; files hold all."""
_COLUMNS = (
    Column("partition", Kind.KEY),
    Column("verdict"),
    Column("rows", Kind.COUNT, 1),
    Column("series", Kind.COUNT, 5),
    Column("missing", Kind.PERCENT, 2),
    Column("duplicates", Kind.PERCENT, 3),
    Column("unordered", Kind.PERCENT, 6),
    Column("gaps", Kind.PERCENT, 3),
    Column("outliers", Kind.PERCENT, 4),
    Column("noncompliant", Kind.PERCENT, 6),
    Column("incomplete", Kind.PERCENT, 6),
    Column("why"),
)
_COLUMN_COLUMNS = (
    Column("column", Kind.KEY),
    Column("type"),
    Column("missing", Kind.PERCENT),
    Column("beyond IQR", Kind.PERCENT, 1, "outliers by interquartile range"),
    Column("beyond z", Kind.PERCENT, 2, "outliers by z-score"),
)


@dataclass(frozen=True)
class Judged:
    """A partition with its measures and verdict; without measures if it could not be read."""

    partition: str
    judgement: Judgement
    quality: PartitionQuality | None = None
    shares: Mapping[str, float] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """Verdict of the thresholds."""
        return self.judgement.verdict


@dataclass
class QualityReport:
    """Measures and verdicts of the partitions of a source.

    Parameters
    ----------
    source : str
    at : str
        Time of the judgement.
    thresholds : mapping
    partitions : list of Judged
    location : str
        URL of the stored files without their ending: ``.md``, ``.json``, ``.parquet``.
    """

    source: str
    at: str
    thresholds: Mapping[str, Any]
    partitions: list[Judged] = field(default_factory=list)
    location: str = ""

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all partitions."""
        return worst(judged.verdict for judged in self.partitions)

    @property
    def set_aside(self) -> list[Judged]:
        """Partitions that fail."""
        return [judged for judged in self.partitions if judged.verdict is Verdict.FAIL]

    def count(self, verdict: Verdict) -> int:
        """Count the partitions with a verdict."""
        return sum(judged.verdict is verdict for judged in self.partitions)

    def summary(self) -> dict[str, Any]:
        """Return the summary for the audit: counts, the worst shares, partitions set aside."""
        measured = [judged.quality for judged in self.partitions if judged.quality is not None]
        return {
            "verdict": str(self.verdict),
            **{str(verdict): self.count(verdict) for verdict in Verdict},
            "rows": sum(quality.keys.rows for quality in measured),
            "series": sum(quality.keys.series for quality in measured),
            "newest": max(filter(None, (quality.keys.last for quality in measured)), default=None),
            "worst": self._worst(),
            "reasons": dict(self._reasons().most_common()),
            # Bounded, because the summary goes into the audit; the partitions below have them all.
            "set_aside": [
                {"partition": judged.partition, "reasons": list(judged.judgement.reasons)}
                for judged in self.set_aside[:1000]
            ],
            "location": self.location,
        }

    def _worst(self) -> dict[str, float]:
        names = dict.fromkeys(name for judged in self.partitions for name in judged.shares)
        return {
            name: round(max(j.shares[name] for j in self.partitions if name in j.shares), 6)
            for name in names
        }

    def _reasons(self) -> Counter[str]:
        """Count partitions by the measure that fails or warns, or by the error's name."""
        counts: Counter[str] = Counter()
        for judged in self.partitions:
            for reason in judged.judgement.reasons:
                head = reason.removeprefix("fail: ").removeprefix("warn: ")
                counts[head.split()[0].rstrip(":")] += 1
        return counts

    def to_json(self) -> dict[str, Any]:
        """Return the values of ``--json`` and of the stored file."""
        return {
            "source": self.source,
            "at": self.at,
            **self.summary(),
            "thresholds": self.thresholds,
            "broken_rules": self.broken_rules(),
            "partitions": [
                {
                    "partition": judged.partition,
                    "verdict": str(judged.verdict),
                    "reasons": list(judged.judgement.reasons),
                    "shares": {name: round(value, 6) for name, value in judged.shares.items()},
                    "measures": judged.quality.to_dict() if judged.quality else None,
                }
                for judged in self.partitions
            ],
        }

    def _rows(self) -> list[tuple[Cell, ...]]:
        """Return a row per partition, the worst verdicts first."""
        order = {Verdict.FAIL: 0, Verdict.WARN: 1, Verdict.OK: 2}
        return [
            (
                judged.partition,
                str(judged.verdict),
                judged.quality.keys.rows if judged.quality else None,
                judged.quality.keys.series if judged.quality else None,
                *(judged.shares.get(name) for name in SHARES),
                "; ".join(judged.judgement.reasons),
            )
            for judged in sorted(self.partitions, key=lambda judged: order[judged.verdict])
        ]

    def broken_rules(self) -> list[dict[str, Any]]:
        """Return the broken rules over all partitions, the most often broken first.

        Rules that a whole column breaks stand before them and have the count 0.
        """
        counts = Counter[tuple[str, str]]()
        for judged in self.partitions:
            compliance = judged.quality.compliance if judged.quality else None
            for violation in compliance.violations if compliance else ():
                place = violation.get("column") or "", violation.get("rule", "")
                counts[place] += violation.get("count", 0)
        ordered = sorted(counts.items(), key=lambda entry: (entry[1] > 0, -entry[1]))
        return [
            {"column": column, "rule": rule, "count": count} for (column, rule), count in ordered
        ]

    def column_shares(self) -> list[dict[str, Any]]:
        """Return a record per column over all partitions: type, missing and outlying shares."""
        by_name: dict[str, list[ColumnQuality]] = {}
        for judged in self.partitions:
            for column in judged.quality.columns if judged.quality else ():
                by_name.setdefault(column.name, []).append(column)
        return [_shares_of(name, columns) for name, columns in by_name.items()]

    def to_pandas(self) -> Any:
        """Return the table as a pandas DataFrame.

        Raises
        ------
        MissingExtraError
            If pandas is not installed.
        """
        return to_pandas(self.to_table())

    def _repr_html_(self) -> str:
        from gigacast.report.notebook import render_notebook  # noqa: PLC0415 - notebooks only

        return render_notebook(self.to_document())

    def to_table(self) -> pa.Table:
        """Return a row per partition, with a column per measure."""
        return pa.Table.from_pylist([_flat(judged) for judged in self.partitions], _TABLE)

    def to_document(self) -> Document:
        """Return partitions, columns and broken rules as a document."""
        counts = ", ".join(f"{self.count(verdict)} {verdict}" for verdict in Verdict)
        note = f", no worse: see {self.location}.md"
        blocks: list[Block] = [
            Paragraph(f"{self.at}: {counted(len(self.partitions), 'partition')}, {counts}"),
            Heading("Partitions"),
            Table(_COLUMNS, tuple(self._rows()), limit=_SHOWN_ROWS, rest=note),
            Heading("Columns"),
            Table(
                _COLUMN_COLUMNS, tuple(tuple(shares.values()) for shares in self.column_shares())
            ),
        ]
        blocks[1:1] = self._aggregation()
        if broken := self.broken_rules():
            rows = [(rule["column"], rule["rule"], rule["count"] or "all") for rule in broken]
            columns = (Column("column", Kind.KEY), Column("rule"), Column("count", Kind.COUNT))
            blocks += [Heading("Broken rules"), Table(columns, tuple(rows[:_RULES]))]
        return Document(tuple(blocks), f"Quality of {self.source}")

    def _aggregation(self) -> list[Block]:
        """Return how many rows became bins, and how many did not; nothing without bins."""
        measured = [judged.quality.keys for judged in self.partitions if judged.quality]
        counts = [keys.bins for keys in measured if keys.bins is not None]
        if not counts:
            return []
        bins, partial = sum(c.bins for c in counts), sum(c.partial_bins for c in counts)
        rows = counted(sum(keys.rows for keys in measured), "row")
        text = f"{rows} in {counted(bins, 'calendar bin')}"
        if partial:
            lost = counted(sum(c.partial_rows for c in counts), "row")
            text += f"; {lost} left out, which cover only parts of {counted(partial, 'bin')}"
        return [Paragraph(text)]

    def longest_gaps(self) -> Items:
        """Return the longest gap of each partition, of the first partitions only."""
        return Items.of(
            f"longest gap in {judged.partition}: {_gap_text(judged.quality.keys.longest_gap)}"
            for judged in self.partitions[:_SHOWN_ROWS]
            if judged.quality is not None and judged.quality.keys.longest_gap is not None
        )

    def to_markdown(self) -> str:
        """Return the document as Markdown."""
        return render_markdown(self.to_document())

    def files(self) -> dict[str, bytes]:
        """Return the stored files by ending: Markdown, JSON, Parquet."""
        plain = json.dumps(self.to_json(), indent=1, ensure_ascii=False, default=str)
        return {
            "md": self.to_markdown().encode(),
            "json": plain.encode(),
            "parquet": table_bytes(self.to_table(), checksums=False),
        }


_COUNTS = (
    *("rows", "series", "null_keys", "duplicates", "unordered", "off_grid"),
    *("missing_steps", "expected_steps", "gaps"),
)
_TABLE = pa.schema(
    [
        *((name, pa.string()) for name in ("partition", "verdict", "reasons", "first", "last")),
        *((name, pa.int64()) for name in _COUNTS),
        ("anomalies", pa.int64()),
        ("completeness", pa.float64()),
        ("score", pa.float64()),
        *((f"{name}_share", pa.float64()) for name in SHARES),
    ]
)


def _flat(judged: Judged) -> dict[str, Any]:
    quality = judged.quality
    row: dict[str, Any] = {
        "partition": judged.partition,
        "verdict": str(judged.verdict),
        "reasons": "; ".join(judged.judgement.reasons),
        **{f"{name}_share": judged.shares.get(name) for name in SHARES},
    }
    if quality is not None:
        row |= {name: getattr(quality.keys, name) for name in (*_COUNTS, "first", "last")}
        row |= {"anomalies": quality.anomalies, "completeness": quality.completeness}
        row["score"] = quality.score
    return row


def _gap_text(gap: Mapping[str, Any]) -> str:
    series = f" of {gap['series']}" if gap.get("series") else ""
    after = gap.get("after", "an unknown time")
    return f"{counted(gap.get('steps', 0), 'step')}{series} after {after}"


def _shares_of(name: str, columns: Sequence[ColumnQuality]) -> dict[str, Any]:
    values, missing = sum(c.values for c in columns), sum(c.missing for c in columns)
    outliers = Counter[str]()
    for column in columns:
        outliers.update(column.outliers)
    present = max(values - missing, 1)
    return {
        "column": name,
        "type": ", ".join(dict.fromkeys(column.type for column in columns)),
        "missing": missing / values if values else 0.0,
        **{
            method: outliers[method] / present if method in outliers else None
            for method in ("iqr", "zscore")
        },
    }
