"""Statistics of each day and column of a table of features, and the drift between days."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from gigacast.core.digest import digest_value
from gigacast.errors import ConfigError
from gigacast.feature_store.definition.name import (
    Definition,
    columns_of,
    kind_of,
    name_of,
    table_name,
)
from gigacast.feature_store.definition.source import Query
from gigacast.feature_store.engine.engine import DaySpan, Engine
from gigacast.feature_store.offline.day import is_day
from gigacast.feature_store.offline.left import LeftDay
from gigacast.feature_store.offline.part import PartView
from gigacast.feature_store.offline.source import BoundTable, Catalog, Input
from gigacast.feature_store.trust.equality import Floats, as_floats, is_list, is_number, lengths_of
from gigacast.feature_store.trust.figures import LEVELS
from gigacast.feature_store.trust.summary import (
    Summary,
    largest_distance,
    points_of,
    stability_index,
)
from gigacast.lake.feature_layout import feature_partition_key
from gigacast.storage.parquet.read import read_table
from gigacast.storage.store import Store

FORMAT = 1
"""Part of the digest. Raise it when the same rows start to give other statistics."""
SCHEMA = pa.schema(
    [
        pa.field("feature", pa.string(), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        pa.field("total", pa.int64(), nullable=False),
        pa.field("nulls", pa.int64(), nullable=False),
        pa.field("distinct", pa.int64()),
        pa.field("mean", pa.float64()),
        pa.field("percentiles", pa.list_(pa.float64())),
        pa.field("points", pa.list_(pa.float64())),
    ]
)
"""Columns of statistics: a row per feature. Of lists the numbers are their lengths."""


@dataclass(frozen=True)
class StatsProduct:
    """The statistics of a table of features, or of its logged answers.

    Parameters
    ----------
    definition : Join, GroupBy or StagingQuery
    bound : BoundTable
    end : str
        Suffix of the table that is described.
    """

    definition: Definition
    bound: BoundTable
    end: str

    @classmethod
    def of(cls, catalog: Catalog, definition: Definition, *, logged: bool) -> "StatsProduct":
        """Return the statistics of a definition's table.

        Raises
        ------
        DataNotFoundError
            If it has no rows yet.
        """
        end = "logged" if logged else ""
        label = f"statistics of the {kind_of(definition)} {name_of(definition)}"
        bound = BoundTable.of(catalog, table_name(definition, end), Query(), label)
        return cls(definition, bound, end)

    @property
    def table(self) -> str:
        """Name of the table."""
        return stats_table(self.definition, logged=bool(self.end))

    @property
    def label(self) -> str:
        """Kind and name of the definition."""
        return self.bound.label

    @property
    def digest(self) -> str:
        """Digest of what decides the rows besides the inputs."""
        return digest_value([columns_of(self.definition), FORMAT])

    def key(self, day: LeftDay) -> str:
        """Return the key of a day's file."""
        return feature_partition_key(self.table, day.day)

    def days(self, engine: Engine, store: Store, within: DaySpan) -> list[LeftDay]:
        """Return the days of the table."""
        days = [day for day in self.bound.partitions if is_day(day)]
        return [LeftDay(d, None, None, 0) for d in sorted(days) if d in within]

    def inputs(self, day: LeftDay) -> list[Input]:
        """Return the partition of the table."""
        return [self.bound.input(day.day)]

    def views(self) -> Sequence[PartView]:
        """Return nothing: no features are computed."""
        return []

    def rows(self, engine: Engine, day: LeftDay) -> pa.Table:
        """Return the statistics of a day."""
        rows = engine.rows(self.bound.reading(day.day, None, {}))
        names = columns_of(self.definition) or tuple(rows.column_names)
        return describe({name: rows[name] for name in names if name in rows.column_names})


def stats_table(definition: Definition, *, logged: bool) -> str:
    """Return the name of the table of a definition's statistics."""
    return table_name(definition, "logged_daily_stats" if logged else "daily_stats")


def describe(columns: Mapping[str, pa.ChunkedArray]) -> pa.Table:
    """Return the statistics of columns, a row for each."""
    rows = [_row(name, _one(column)) for name, column in columns.items()]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _one(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _row(name: str, values: pa.Array) -> dict[str, Any]:
    numbers = _numbers(values)
    row: dict[str, Any] = {
        "feature": name,
        "type": str(values.type),
        "total": len(values),
        "nulls": values.null_count,
        "distinct": None if pat.is_nested(values.type) else pc.count_distinct(values).as_py(),
    }
    if numbers is not None and len(numbers):
        ordered = np.sort(numbers)
        places = np.minimum((np.array(LEVELS) * len(ordered)).astype(np.int64), len(ordered) - 1)
        row["mean"] = float(ordered.mean())
        row["percentiles"] = ordered[places].tolist()
        row["points"] = points_of(ordered)
    return row


def _numbers(values: pa.Array) -> Floats | None:
    """Return the numbers of a column without nulls; None if it has no order."""
    present = values.drop_null()
    if is_list(values.type):
        lengths: Floats = lengths_of(present).astype(np.float64)
        return lengths
    if pat.is_boolean(values.type):
        return as_floats(present.cast(pa.int8()))
    if not is_number(values.type):
        return None
    numbers = as_floats(present)
    finite: Floats = numbers[np.isfinite(numbers)]
    return finite


@dataclass(frozen=True)
class DriftLimits:
    """Changes from which a feature has drifted.

    Parameters
    ----------
    psi : float
        Population stability index.
    l_infinity : float
        Largest difference of the shares up to any value.
    nulls : float
        Difference of the shares of nulls.
    """

    psi: float = 0.25
    l_infinity: float = 0.2
    nulls: float = 0.1


@dataclass(frozen=True)
class Drift:
    """The change of a feature between two ranges of days.

    Parameters
    ----------
    feature : str
    nulls : (float, float)
        Shares of nulls.
    means : (float or None, float or None)
    psi, l_infinity : float, optional
        None for a feature without numbers on a side.
    limits : DriftLimits
    """

    feature: str
    nulls: tuple[float, float]
    means: tuple[float | None, float | None]
    psi: float | None
    l_infinity: float | None
    limits: DriftLimits = field(default_factory=DriftLimits)

    @property
    def has_drifted(self) -> bool:
        """Whether a change is beyond its limit."""
        changes = (
            (self.psi, self.limits.psi),
            (self.l_infinity, self.limits.l_infinity),
            (abs(self.nulls[0] - self.nulls[1]), self.limits.nulls),
        )
        return any(change is not None and change > limit for change, limit in changes)


@dataclass(frozen=True)
class DayRange:
    """Days from a first to a last.

    Parameters
    ----------
    first, last : str
    """

    first: str
    last: str

    @classmethod
    def parse(cls, text: str) -> tuple["DayRange", "DayRange"]:
        """Return the two ranges of ``A:B``, each a day or ``FIRST..LAST``.

        Raises
        ------
        ConfigError
        """
        ranges = []
        for side in text.split(":"):
            first, dots, last = side.partition("..")
            ranges.append(cls(first, last if dots else first))
        if len(ranges) != 2 or not all(is_day(d) for r in ranges for d in (r.first, r.last)):
            raise ConfigError(
                f"--drift {text[:80]!r}: are no two ranges of days",
                hint="write 2024-01-01:2024-01-02, or 2024-01-01..2024-01-07:2024-01-08",
            )
        return ranges[0], ranges[1]


@dataclass(frozen=True)
class DriftQuestion:
    """Ranges of days whose drift is wanted.

    Parameters
    ----------
    before, after : DayRange
    limits : DriftLimits
    """

    before: DayRange
    after: DayRange
    limits: DriftLimits = field(default_factory=DriftLimits)


def find_drift(days: Mapping[str, pa.Table], question: DriftQuestion) -> list[Drift]:
    """Return the drift of each feature between two ranges of days.

    Parameters
    ----------
    days : mapping of str to pyarrow.Table
        Statistics by day.
    question : DriftQuestion

    Raises
    ------
    ConfigError
        If a range has no day.
    """
    sides = []
    for span in (question.before, question.after):
        mine = [table for day, table in days.items() if span.first <= day <= span.last]
        if not mine:
            raise ConfigError(
                f"--drift: there are no statistics from {span.first} to {span.last}",
                hint="backfill these days first; --start_ds and --ds choose them",
            )
        rows = [row for table in mine for row in table.to_pylist()]
        sides.append({name: [r for r in rows if r["feature"] == name] for name in _names(rows)})
    both = [name for name in sides[0] if name in sides[1]]
    return [_drift(name, sides[0][name], sides[1][name], question.limits) for name in both]


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["feature"] for row in rows))


def _drift(name: str, left: Sequence[Any], right: Sequence[Any], limits: DriftLimits) -> Drift:
    summaries = [_merged(rows) for rows in (left, right)]
    psi = distance = None
    if all(summary.count for summary in summaries):
        psi, distance = stability_index(*summaries), largest_distance(*summaries)
    return Drift(
        name,
        (_null_share(left), _null_share(right)),
        (_mean(left), _mean(right)),
        psi,
        distance,
        limits,
    )


def _merged(rows: Sequence[Any]) -> Summary:
    return Summary.merged(
        [Summary.of(row["points"], row["total"] - row["nulls"]) for row in rows if row["points"]]
    )


def _null_share(rows: Sequence[Any]) -> float:
    total = sum(row["total"] for row in rows)
    return float(sum(row["nulls"] for row in rows) / total) if total else 0.0


def _mean(rows: Sequence[Any]) -> float | None:
    known = [(row["mean"], row["total"] - row["nulls"]) for row in rows if row["mean"] is not None]
    count = sum(n for _, n in known)
    return float(sum(mean * n for mean, n in known) / count) if count else None


def read_stats(
    store: Store, definition: Definition, days: Sequence[str], *, logged: bool
) -> dict[str, pa.Table]:
    """Return the statistics of some days that are done."""
    table = stats_table(definition, logged=logged)
    return {day: read_table(store, feature_partition_key(table, day)) for day in days}
