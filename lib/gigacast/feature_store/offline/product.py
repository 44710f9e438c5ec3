"""What a backfill writes: for each day a table, made of partitions that are known beforehand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from gigacast.core.digest import digest_value
from gigacast.errors import DataNotFoundError
from gigacast.feature_store.definition.json import semantic_digest
from gigacast.feature_store.definition.name import (
    TIME_COLUMN,
    name_of,
    part_table_name,
    table_name,
)
from gigacast.feature_store.engine.engine import DaySpan, Engine
from gigacast.feature_store.offline.join import BoundJoin, BoundPart
from gigacast.feature_store.offline.left import LeftDay
from gigacast.feature_store.offline.part import PartView
from gigacast.feature_store.offline.source import Input
from gigacast.lake.feature_layout import feature_partition_key
from gigacast.storage.store import Store

FORMAT_REVISION = 2
"""Part of the digest. Raise it when the same inputs start to give other rows."""
Ready = Callable[[str, str], pa.Table]
"""Function that returns the rows of a table and a day that are done."""


class Product(Protocol):
    """A table that a backfill writes, a day at a time."""

    @property
    def table(self) -> str:
        """Name of the table."""

    @property
    def label(self) -> str:
        """Kind and name of the definition, for messages."""

    @property
    def digest(self) -> str:
        """Digest of what decides the rows besides the inputs."""

    def days(self, engine: Engine, store: Store, within: DaySpan) -> list[LeftDay]:
        """Return the days that can be made, in order."""

    def inputs(self, day: LeftDay) -> list[Input]:
        """Return the partitions that a day is made of, sorted."""

    def views(self) -> Sequence[PartView]:
        """Return the group-bys whose source partitions are read as tiles."""

    def rows(self, engine: Engine, day: LeftDay) -> pa.Table:
        """Return the rows of a day."""

    def key(self, day: LeftDay) -> str:
        """Return the key of a day's file."""


@dataclass(frozen=True)
class JoinProduct:
    """A join: its left side with all features.

    Parameters
    ----------
    bound : BoundJoin
    ready : function, optional
        Returns tables that are done; features are computed by default.
    """

    bound: BoundJoin
    ready: Ready | None = None

    @property
    def table(self) -> str:
        """Name of the table."""
        return table_name(self.bound.join)

    @property
    def label(self) -> str:
        """Kind and name of the definition."""
        return f"join {name_of(self.bound.join)}"

    @property
    def digest(self) -> str:
        """Digest of what decides the rows besides the inputs."""
        return digest_value([semantic_digest(self.bound.join), FORMAT_REVISION])

    def key(self, day: LeftDay) -> str:
        """Return the key of a day's file."""
        return feature_partition_key(self.table, day.day)

    def days(self, engine: Engine, store: Store, within: DaySpan) -> list[LeftDay]:
        """Return the days of the left side."""
        days = self.bound.left.survey(engine, store, within)
        # Without it, holes of the past are not filled: the newest day alone is made.
        return days[-1:] if self.bound.join.historical_backfill is False else days

    def inputs(self, day: LeftDay) -> list[Input]:
        """Return the partitions that a day is made of."""
        return self.bound.inputs(day)

    def views(self) -> Sequence[PartView]:
        """Return the group-bys whose source partitions are read as tiles."""
        external = [part for _, part in self.bound.external if part is not None]
        return [part.view for part in (*self.bound.parts, *external)]

    def rows(self, engine: Engine, day: LeftDay) -> pa.Table:
        """Return the rows of a day."""
        if self.ready is None:
            return self.bound.rows(engine, day.day)
        ready, join = self.ready, self.bound.join
        return self.bound.rows(
            engine, day.day, lambda part: ready(part_table_name(join, part), day.day)
        )


@dataclass(frozen=True)
class LeftProduct(JoinProduct):
    """The left side of a join with bootstrapped values."""

    @property
    def table(self) -> str:
        """Name of the table."""
        return table_name(self.bound.join, "bootstrap")

    def inputs(self, day: LeftDay) -> list[Input]:
        """Return the partitions of the left side and of the bootstraps."""
        return self.bound.left_inputs(day)

    def views(self) -> Sequence[PartView]:
        """Return nothing: no features are computed."""
        return []

    def rows(self, engine: Engine, day: LeftDay) -> pa.Table:
        """Return the rows of a day."""
        base = self.bound.left.read(engine, day.day)
        table = base.rows
        for name, values in self.bound.bootstrapped(engine, base).items():
            table = table.append_column(name, values)
        return table


@dataclass(frozen=True)
class PartProduct(JoinProduct):
    """The features of a part of a join, beside the keys and times of its left side.

    Parameters
    ----------
    part : BoundPart, optional
    """

    part: BoundPart | None = None

    @property
    def _part(self) -> BoundPart:
        assert self.part is not None  # noqa: S101 - made by `stage.products_of` alone
        return self.part

    @property
    def table(self) -> str:
        """Name of the table."""
        return part_table_name(self.bound.join, self._part.part)

    def inputs(self, day: LeftDay) -> list[Input]:
        """Return the partitions of the left side and of the part."""
        inputs = {*self.bound.left_inputs(day, bootstraps=False), *self._part.view.inputs(day)}
        return sorted(inputs)

    def views(self) -> Sequence[PartView]:
        """Return the part's group-by."""
        return [self._part.view]

    def rows(self, engine: Engine, day: LeftDay) -> pa.Table:
        """Return the rows of a day, in the order of the left side."""
        base = self.bound.left.read(engine, day.day)
        table = self.bound.part_rows(engine, base, self._part)
        names = dict.fromkeys([*self._part.keys, TIME_COLUMN])
        keys = [name for name in names if name in base.rows.column_names]
        for place, name in enumerate(keys):
            table = table.add_column(place, name, base.rows[name])
        return table


def refuse_missing(label: str, days: Sequence[LeftDay], within: DaySpan) -> None:
    """Refuse a backfill without a day.

    Raises
    ------
    DataNotFoundError
    """
    if not days:
        raise DataNotFoundError(
            f"{label}: there is no day from {within.first} to {within.last}",
            hint="see --start_ds and --ds; gigacast feature-store analyze lists the days",
        )
