"""Bootstraps: tables whose values come before computed ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from gigacast.errors import DataNotFoundError, SchemaError
from gigacast.feature_store.definition.join import BootstrapPart, Join
from gigacast.feature_store.definition.name import (
    PARTITION_COLUMN,
    computed_columns,
    join_columns,
    name_of,
    table_name,
)
from gigacast.feature_store.definition.source import Query
from gigacast.feature_store.engine.engine import DaySpan, Engine
from gigacast.feature_store.offline.left import Left
from gigacast.feature_store.offline.source import ANY_DAY, BoundTable, Catalog, Input


@dataclass(frozen=True)
class Bootstrap:
    """A table of a join's own values.

    Parameters
    ----------
    bound : BoundTable
    keys : tuple of str
        Columns, on both sides, that a row must match in.
    features : tuple of str
        Features of the join: of other columns nothing is taken.
    """

    bound: BoundTable
    keys: tuple[str, ...]
    features: tuple[str, ...]

    @classmethod
    def all_of(cls, catalog: Catalog, join: Join) -> tuple["Bootstrap", ...]:
        """Return the bootstraps of a join in the order in which their values count.

        Served values, where they are logged, come after the tables.

        Raises
        ------
        DataNotFoundError
            If a table has no files.
        """
        label = f"join {name_of(join)}: the bootstrap"
        features = tuple(dict.fromkeys([*computed_columns(join), *join_columns(join)]))
        rows = tuple(join.row_ids or ())
        tables = [
            cls(
                BoundTable.of(catalog, part.table, part.query or Query(place=part.place), label),
                tuple(part.key_columns or rows),
                features,
            )
            for part in join.bootstrap_parts or ()
        ]
        if join.bootstrap_from_log:
            log = BootstrapPart(table=table_name(join, "logged"), place=join.place)
            try:
                bound = BoundTable.of(catalog, log.table, Query(place=join.place), label)
            except DataNotFoundError:
                return tuple(tables)  # nothing was served yet
            tables.append(cls(bound, rows, features))
        return tuple(tables)

    def groups(self, day: str) -> list[str]:
        """Return the groups of files that may have rows of a day."""
        return [group for group in (ANY_DAY, day) if group in self.bound.partitions]

    def inputs(self, day: str) -> list[Input]:
        """Return the partitions that the values of a day are read of."""
        return [self.bound.input(group) for group in self.groups(day)]

    def values(self, engine: Engine, base: Left) -> dict[str, pa.ChunkedArray]:
        """Return values of features at the rows of the left side; of several rows the last counts.

        Raises
        ------
        SchemaError
            If the table lacks a column to match on, or has no feature of the join.
        """
        span = DaySpan(base.day, base.day)
        tables = [
            engine.rows(self.bound.reading(group, self.bound.query.selects, {}, span))
            for group in self.groups(base.day)
        ]
        if not tables:
            return {}
        rows = pa.concat_tables(tables, promote_options="default")
        names = [name for name in self.features if name in rows.column_names]
        self._check(rows.column_names, base.rows.column_names, names)
        rows = rows.select([*self.keys, *names])
        matches = engine.join(base.rows, rows, [(key, key) for key in self.keys])
        return {name: matches[name] for name in names}

    def _check(self, right: Sequence[str], base: Sequence[str], features: Sequence[str]) -> None:
        label = f"{self.bound.label} {self.bound.name}"
        for key in self.keys:
            for side, columns in (("it", right), ("the left side", base)):
                if key not in columns:
                    raise SchemaError(
                        f"{label}: {side} has no column {key}, which rows are matched on",
                        hint=f"{side} has {', '.join(columns[:12])}",
                    )
        if not features:
            columns = [c for c in right if c not in {*self.keys, PARTITION_COLUMN}]
            raise SchemaError(
                f"{label}: none of its columns is a feature of the join: {', '.join(columns[:12])}",
                hint=f"select them by the features' names, as {', '.join(self.features[:3])}",
            )
