"""The result of a search for anomalies: counts, the worst series, table and document."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gigacast.anomalies.kernel import Kind, Limits
from gigacast.core.plural import counted
from gigacast.core.series.item_key import items_of
from gigacast.report.document import (
    Block,
    Column,
    Document,
    Figure,
    Heading,
    Items,
    Paragraph,
    Table,
    Tone,
)
from gigacast.report.document import Kind as Form
from gigacast.report.markdown import render_markdown
from gigacast.report.plot.panel import ForecastPanel
from gigacast.series.frame import to_pandas
from gigacast.storage.parquet.writer import table_bytes

MAX_SERIES = 1000
"""Worst series that a result lists; the dataset has all."""
MAX_PANELS = 6
_SHOWN = 20
_COLUMNS = (
    Column("item", Form.KEY),
    Column("target", Form.KEY, 3),
    Column("kind"),
    Column("steps", Form.COUNT),
    Column("score", Form.NUMBER, label="largest score, standard deviations of the forecast"),
    Column("direction", priority=2),
    Column("run", Form.COUNT, 1, "most anomalies in a row"),
    Column("first", Form.DATE, 2),
    Column("last", Form.DATE, 1),
    Column("partition", Form.KEY, 4),
)


@dataclass(frozen=True, slots=True)
class SeriesAnomalies:
    """The anomalies of one kind in a series.

    Parameters
    ----------
    partition, item, target, kind : str
    steps : int
        Anomalous values.
    score : float
        The score furthest from 0 of these values.
    direction : str
        ``above``, ``below`` or ``within`` the band, of the value with this score.
    run : int
        Most of them in a row.
    first, last : str
        Times of the first and the last.
    """

    partition: str
    item: str
    target: str
    kind: str
    steps: int
    score: float
    direction: str
    run: int
    first: str
    last: str


@dataclass
class AnomalyReport:
    """Anomalies of many series.

    Parameters
    ----------
    basis : str
        ``stored`` forecasts, or ``rolling`` ones that were made for it.
    limits : Limits
    values, compared : int
        Steps in all, and those with both a value and a forecast.
    series : int
        Series compared.
    kinds : Counter
        Anomalous values by kind.
    anomalous : int
        Series with an anomaly.
    worst : list of SeriesAnomalies
        The worst first: by their number of anomalies and scores.
    failures : list of (str, str)
        What could not be compared, and why.
    location : str
        URL of the stored files without their ending.
    dataset : str
        URL of the folder of the dataset: a row per anomalous value.
    run_id : str
        Run that made the forecasts; empty for stored ones.
    panels : list of (float, ForecastPanel)
        Pictures of a few of the worst series with their weights.
    origin : str
        Stored forecasts that were compared, see `AnomalyJob.origin`.
    origins : int
        Most origins of a partition that were compared; 0 for rolling forecasts.
    """

    basis: str
    limits: Limits
    values: int = 0
    compared: int = 0
    series: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    anomalous: int = 0
    worst: list[SeriesAnomalies] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    location: str = ""
    dataset: str = ""
    run_id: str = ""
    panels: list[tuple[float, ForecastPanel]] = field(default_factory=list)
    origin: str = "latest"
    origins: int = 0

    @property
    def count(self) -> int:
        """Anomalous values."""
        return sum(self.kinds.values())

    def add(self, partition: str, rows: pa.Table) -> None:
        """Add the anomalies of a part of a partition."""
        self.kinds.update(_counts(rows["kind"]))
        entries = summarise(partition, rows)
        self.anomalous += len({(entry.item, entry.target) for entry in entries})
        self.worst = sorted([*self.worst, *entries], key=_badness)[:MAX_SERIES]

    def add_panels(self, panels: Sequence[tuple[float, ForecastPanel]]) -> None:
        """Add pictures of series; the worst `MAX_PANELS` are kept."""
        order = sorted([*self.panels, *panels], key=lambda entry: (-entry[0], entry[1].title))
        self.panels = order[:MAX_PANELS]

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Pictures of the worst series: the band, and what came."""
        return tuple(panel.to_figure() for _, panel in self.panels)

    def to_json(self) -> dict[str, Any]:
        """Return the values of ``--json``."""
        return {
            "basis": self.basis,
            # Left out by default: stored reports of the same figures stay as they are.
            **({"origin": self.origin} if self.origin != "latest" else {}),
            "limits": {**asdict(self.limits), "score": self.limits.score},
            "values": self.values,
            "compared": self.compared,
            "series": self.series,
            "anomalous_series": self.anomalous,
            "anomalies": self.count,
            "kinds": {kind.label: self.kinds.get(kind.label, 0) for kind in Kind},
            "worst": [asdict(entry) for entry in self.worst],
            "failures": [{"key": key, "message": message} for key, message in self.failures],
            "location": self.location,
            "dataset": self.dataset,
            "run_id": self.run_id,
        }

    def to_table(self) -> pa.Table:
        """Return a row per series and kind, the worst first."""
        return pa.Table.from_pylist([asdict(entry) for entry in self.worst], _SCHEMA)

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

    def to_document(self) -> Document:
        """Return counts by kind and the worst series as a document."""
        blocks: list[Block] = [Paragraph(self._summary())]
        if self.count:
            kinds = tuple((_name(kind), count) for kind, count in self.kinds.most_common())
            columns = (Column("kind"), Column("values", Form.COUNT, has_bar=True))
            blocks += [Heading("Kinds"), Table(columns, kinds), Heading("Worst series")]
            rows = tuple(_row(entry) for entry in self.worst)
            more = f": see {self.dataset}"
            blocks.append(Table(_COLUMNS, rows, limit=_SHOWN, rest=more))
        blocks += self.failed_document().blocks
        tone = Tone.WARNING if self.count else Tone.GOOD
        title = f"{counted(self.count, 'anomaly', 'anomalies')} in {self.anomalous:,} of "
        return Document(tuple(blocks), title + counted(self.series, "series", "series"), tone)

    def failed_document(self) -> Document:
        """Return what could not be compared."""
        texts = [f"{key}: {message}" for key, message in self.failures]
        blocks = (Heading("Not compared"), Items.of(texts, limit=_SHOWN)) if texts else ()
        return Document(blocks)

    def _summary(self) -> str:
        compared = counted(self.compared, "value")
        against = "stored forecasts" if self.basis == "stored" else "forecasts from before them"
        if self.origin != "latest":
            against = (
                f"stored forecasts of {self.origin if self.origin != 'all' else 'all origins'}"
            )
        return f"{compared} compared with the {100 * self.limits.level:.6g}% band of {against}"

    def files(self) -> dict[str, bytes]:
        """Return the stored files by ending: Markdown, JSON, Parquet."""
        values = self.to_json()
        if self.basis == "stored":
            # The same values give the same report, whichever run found them.
            values["run_id"] = ""
        return {
            "md": render_markdown(self.to_document()).encode(),
            "json": json.dumps(values, indent=1, ensure_ascii=False).encode(),
            "parquet": table_bytes(self.to_table()),
        }


_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("partition", "item", "target", "kind")),
        ("steps", pa.int64()),
        ("score", pa.float64()),
        ("direction", pa.string()),
        ("run", pa.int64()),
        ("first", pa.string()),
        ("last", pa.string()),
    ]
)


def summarise(partition: str, rows: pa.Table) -> list[SeriesAnomalies]:
    """Return the anomalies of a table by series and kind, the worst `MAX_SERIES` of them."""
    if not rows.num_rows:
        return []
    size = pc.abs(pc.fill_null(rows["score"], 0.0))
    table = pa.table(
        {
            "item": items_of(rows).cast(pa.string()),
            "target": rows["target_name"].cast(pa.string()),
            "kind": rows["kind"].cast(pa.string()),
            "time": rows["timestamp"],
            "size": size,
            "score": pc.fill_null(rows["score"], 0.0),
            "direction": rows["direction"].cast(pa.string()),
            "run": rows["run"],
        }
    )
    # The value with the largest score comes first in its group, ties by time.
    ordered = table.sort_by(
        [("item", "ascending"), ("target", "ascending"), ("kind", "ascending"),
         ("size", "descending"), ("time", "ascending")]
    )  # fmt: skip
    groups = ordered.group_by(["item", "target", "kind"], use_threads=False).aggregate(
        [("size", "count"), ("size", "first"), ("score", "first"), ("direction", "first"),
         ("run", "max"), ("time", "min"), ("time", "max")]
    )  # fmt: skip
    worst = groups.sort_by([("size_count", "descending"), ("size_first", "descending")])
    return [
        SeriesAnomalies(
            partition=partition,
            item=str(row["item"]),
            target=str(row["target"]),
            kind=str(row["kind"]),
            steps=int(row["size_count"]),
            score=float(row["score_first"]),
            direction=str(row["direction_first"]),
            run=int(row["run_max"]),
            first=_time_text(row["time_min"]),
            last=_time_text(row["time_max"]),
        )
        for row in worst.slice(0, MAX_SERIES).to_pylist()
    ]


def _time_text(value: Any) -> str:
    return "" if value is None else str(value).removesuffix(" 00:00:00")


def _counts(kinds: pa.ChunkedArray) -> dict[str, int]:
    counted_kinds = pc.value_counts(kinds.cast(pa.string())).to_pylist()
    return {str(entry["values"]): int(entry["counts"]) for entry in counted_kinds}


def weight_of(entry: SeriesAnomalies) -> float:
    """Return how bad the anomalies of a series are."""
    # Many values somewhat beyond the band are as bad as a few far beyond it.
    return entry.steps * max(abs(entry.score), 1.0)


def _badness(entry: SeriesAnomalies) -> tuple[float, float, str, str, str]:
    return -weight_of(entry), -abs(entry.score), entry.partition, entry.item, entry.kind


def _row(entry: SeriesAnomalies) -> tuple[Any, ...]:
    return (
        entry.item,
        entry.target,
        _name(entry.kind),
        entry.steps,
        entry.score,
        entry.direction,
        entry.run,
        entry.first,
        entry.last,
        entry.partition,
    )


def _name(kind: str) -> str:
    return kind.replace("_", " ")
