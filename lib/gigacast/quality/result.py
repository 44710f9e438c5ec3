"""How good data is, for people and programs."""

import io
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gigacast.backtesting.leaderboard.result import markdown_table
from gigacast.quality.measures import Judgement, PartitionQuality, Verdict, worst

SHARES = ("missing", "duplicates", "unordered", "gaps", "outliers", "noncompliant", "incomplete")
"""What is shown of each partition, as shares."""
_RULES = 20


@dataclass(frozen=True)
class Judged:
    """A partition, what was measured of it, and what follows; nothing if it could not be read."""

    partition: str
    judgement: Judgement
    quality: PartitionQuality | None = None
    shares: Mapping[str, float] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """What thresholds make of it."""
        return self.judgement.verdict


@dataclass
class QualityReport:
    """How good the partitions of a source are.

    Parameters
    ----------
    source : str
    at : str
        When it was judged.
    thresholds : mapping
    partitions : list of Judged
    location : str
        URL of the report, but for its ending: ``.md``, ``.json``, ``.parquet``.
    """

    source: str
    at: str
    thresholds: Mapping[str, Any]
    partitions: list[Judged] = field(default_factory=list)
    location: str = ""

    @property
    def verdict(self) -> Verdict:
        """The worst of all partitions'."""
        return worst(one.verdict for one in self.partitions)

    @property
    def set_aside(self) -> list[Judged]:
        """The partitions that fail, each with its reason."""
        return [one for one in self.partitions if one.verdict is Verdict.FAIL]

    def count(self, verdict: Verdict) -> int:
        """Count the partitions with a verdict."""
        return sum(one.verdict is verdict for one in self.partitions)

    def summary(self) -> dict[str, Any]:
        """Return what the audit keeps: counts, the worst shares, and what is set aside."""
        known = [one.quality for one in self.partitions if one.quality is not None]
        return {
            "verdict": str(self.verdict),
            **{str(verdict): self.count(verdict) for verdict in Verdict},
            "rows": sum(one.keys.rows for one in known),
            "series": sum(one.keys.series for one in known),
            "newest": max((one.keys.last for one in known if one.keys.last), default=None),
            "worst": self._worst(),
            "reasons": dict(self._reasons().most_common()),
            "set_aside": [
                {"partition": one.partition, "reasons": list(one.judgement.reasons)}
                for one in self.set_aside[:1000]
            ],
            "location": self.location,
        }

    def _worst(self) -> dict[str, float]:
        names = dict.fromkeys(name for one in self.partitions for name in one.shares)
        return {
            name: round(max(one.shares[name] for one in self.partitions if name in one.shares), 6)
            for name in names
        }

    def _reasons(self) -> Counter[str]:
        """Count partitions by what is wrong with them: the measure, or the error's name."""
        found: Counter[str] = Counter()
        for one in self.partitions:
            for reason in one.judgement.reasons:
                head = reason.removeprefix("fail: ").removeprefix("warn: ")
                found[head.split()[0].rstrip(":")] += 1
        return found

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "source": self.source,
            "at": self.at,
            **self.summary(),
            "thresholds": self.thresholds,
            "broken_rules": self.broken_rules(),
            "partitions": [
                {
                    "partition": one.partition,
                    "verdict": str(one.verdict),
                    "reasons": list(one.judgement.reasons),
                    "shares": {name: round(value, 6) for name, value in one.shares.items()},
                    "measures": one.quality.to_dict() if one.quality else None,
                }
                for one in self.partitions
            ],
        }

    def rows(self) -> list[list[Any]]:
        """Return a line for each partition, the worst first."""
        order = {Verdict.FAIL: 0, Verdict.WARN: 1, Verdict.OK: 2}
        return [
            [
                one.partition,
                str(one.verdict),
                one.quality.keys.rows if one.quality else None,
                one.quality.keys.series if one.quality else None,
                *(percent(one.shares.get(name)) for name in SHARES),
                "; ".join(one.judgement.reasons),
            ]
            for one in sorted(self.partitions, key=lambda one: order[one.verdict])
        ]

    def broken_rules(self) -> list[dict[str, Any]]:
        """Return the rules that are broken, over all partitions, the most often broken first.

        Before them stand those that a whole column breaks, whose count is 0.
        """
        counts = Counter[tuple[str, str]]()
        for one in self.partitions:
            known = one.quality.compliance if one.quality else None
            for violation in known.violations if known else ():
                counts[violation["column"] or "", violation["rule"]] += violation["count"]
        ordered = sorted(counts.items(), key=lambda entry: (entry[1] > 0, -entry[1]))
        return [
            {"column": column, "rule": rule, "count": count} for (column, rule), count in ordered
        ]

    def columns(self) -> list[list[Any]]:
        """Return a line for each column over all partitions: type, missing and outlying shares."""
        names = dict.fromkeys(
            column.name for one in self.partitions if one.quality for column in one.quality.columns
        )
        return [self._column(name) for name in names]

    def _column(self, name: str) -> list[Any]:
        found = [
            column
            for one in self.partitions
            if one.quality
            for column in one.quality.columns
            if column.name == name
        ]
        values, missing = sum(c.values for c in found), sum(c.missing for c in found)
        methods = Counter[str]()
        for column in found:
            methods.update(column.outliers)
        there = max(values - missing, 1)
        return [
            name,
            ", ".join(dict.fromkeys(column.type for column in found)),
            percent(missing / values if values else 0.0),
            *(
                percent(methods[method] / there) if method in methods else ""
                for method in ("iqr", "zscore")
            ),
        ]

    def to_table(self) -> pa.Table:
        """Return a row for each partition, with everything in a column of its own."""
        return pa.Table.from_pylist([_flat(one) for one in self.partitions], _TABLE)

    def to_markdown(self) -> str:
        """Return it for people."""
        counts = ", ".join(f"{self.count(v)} {v}" for v in Verdict)
        head = ["partition", "verdict", "rows", "series", *SHARES, "why"]
        rows = [["" if cell is None else str(cell) for cell in row] for row in self.rows()]
        columns = [[str(cell) for cell in row] for row in self.columns()]
        parts = [
            f"# Quality of {self.source}",
            f"{self.at}: {len(self.partitions)} partitions, {counts}",
            "## Partitions",
            markdown_table(head, rows),
            "## Columns",
            markdown_table(COLUMN_HEAD, columns),
        ]
        if broken := self.broken_rules():
            lines = [
                [one["column"], one["rule"], f"{one['count']:,}" if one["count"] else "all"]
                for one in broken[:_RULES]
            ]
            parts += ["## Broken rules", markdown_table(["column", "rule", "count"], lines)]
        return "\n\n".join(parts) + "\n"

    def files(self) -> dict[str, bytes]:
        """Return what is stored of it, by ending."""
        sink = io.BytesIO()
        pq.write_table(self.to_table(), sink)
        plain = json.dumps(self.to_json(), indent=1, ensure_ascii=False, default=str)
        return {
            "md": self.to_markdown().encode(),
            "json": plain.encode(),
            "parquet": sink.getvalue(),
        }


COLUMN_HEAD = ["column", "type", "missing", "beyond IQR", "beyond z"]
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


def _flat(one: Judged) -> dict[str, Any]:
    quality = one.quality
    row: dict[str, Any] = {
        "partition": one.partition,
        "verdict": str(one.verdict),
        "reasons": "; ".join(one.judgement.reasons),
        **{f"{name}_share": one.shares.get(name) for name in SHARES},
    }
    if quality is not None:
        row |= {name: getattr(quality.keys, name) for name in (*_COUNTS, "first", "last")}
        row |= {"anomalies": quality.anomalies, "completeness": quality.completeness}
        row["score"] = quality.score
    return row


def percent(share: float | None) -> str:
    """Return a share for people: nothing where there is none, ``0`` only where it is."""
    if share is None:
        return ""
    if share == 0:
        return "0"
    return f"{share:.2%}" if share >= 5e-5 else "<0.01%"
