"""Backfill of a group-by: the features of all keys as of the end of each day."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.digest import digest_value
from gigacast.feature_store.definition.group_by import GroupBy
from gigacast.feature_store.definition.json import semantic_digest
from gigacast.feature_store.definition.name import (
    PARTITION_COLUMN,
    aggregated_columns,
    group_by_columns,
    name_of,
    table_name,
)
from gigacast.feature_store.engine.engine import DaySpan, Engine
from gigacast.feature_store.offline.join import derive
from gigacast.feature_store.offline.left import Left, LeftDay, LeftSide
from gigacast.feature_store.offline.part import PartView
from gigacast.feature_store.offline.product import FORMAT_REVISION
from gigacast.feature_store.offline.source import Input
from gigacast.lake.feature_layout import feature_partition_key
from gigacast.storage.store import Store


@dataclass(frozen=True)
class GroupByProduct:
    """The features of all keys of a group-by as of the end of each day.

    Parameters
    ----------
    view : PartView
    """

    view: PartView

    @property
    def group_by(self) -> GroupBy:
        """The group-by."""
        return self.view.group_by

    @property
    def table(self) -> str:
        """Name of the table."""
        return table_name(self.group_by)

    @property
    def label(self) -> str:
        """Kind and name of the definition."""
        return f"group-by {name_of(self.group_by)}"

    @property
    def digest(self) -> str:
        """Digest of what decides the rows besides the inputs."""
        return digest_value([semantic_digest(self.group_by), FORMAT_REVISION])

    def key(self, day: LeftDay) -> str:
        """Return the key of a day's file."""
        return feature_partition_key(self.table, day.day)

    def days(self, engine: Engine, store: Store, within: DaySpan) -> list[LeftDay]:
        """Return the days of the sources, from the day on that the group-by names."""
        first = max(within.first, self.group_by.backfill_start_date or "")
        days: dict[str, LeftDay] = {}
        for source in self.view.sources:
            side = LeftSide(source.source, source.main, source.time)
            days |= {
                day.day: day for day in side.survey(engine, store, DaySpan(first, within.last))
            }
        ordered = [days[day] for day in sorted(days)]
        return ordered[-1:] if self.group_by.historical_backfill is False else ordered

    def inputs(self, day: LeftDay) -> list[Input]:
        """Return the partitions that a day is made of."""
        return sorted(set(self.view.inputs(day)))

    def views(self) -> Sequence[PartView]:
        """Return the group-by."""
        return [self.view]

    def rows(self, engine: Engine, day: LeftDay) -> pa.Table:
        """Return a row per key that has features, sorted by key."""
        keys = self.view.keys(engine, day.day)
        base = Left(day.day, keys, None, np.ones(keys.num_rows, np.bool_))
        names = list(self.group_by.keys)
        table = self.view.features(engine, base, names)
        for place, name in enumerate(names):
            table = table.add_column(place, name, keys[name])
        features: Sequence[str] = aggregated_columns(self.group_by)
        valid = [pc.is_valid(table[name]).to_numpy() for name in features]
        table = table.filter(pa.array(np.any(valid, axis=0))) if valid else table
        if self.group_by.derivations:
            timed = table.append_column(PARTITION_COLUMN, pa.repeat(day.day, table.num_rows))
            derived = derive(engine, timed, features, self.group_by.derivations, label=self.label)
            features = group_by_columns(self.group_by)
            table = pa.table([*(table[n] for n in names), *derived.columns], [*names, *features])
        return table.select([*names, *features]).sort_by([(name, "ascending") for name in names])
