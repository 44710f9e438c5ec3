"""Labels of a join's rows, which are known some days after them; and features beside them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.digest import digest_value
from gigacast.errors import ConfigError
from gigacast.feature_store.definition.join import Join, LabelPart
from gigacast.feature_store.definition.json import semantic_digest, to_json
from gigacast.feature_store.definition.name import (
    PARTITION_COLUMN,
    longest_window_days,
    name_of,
    table_name,
)
from gigacast.feature_store.definition.source import Query
from gigacast.feature_store.engine.engine import DaySpan, Engine
from gigacast.feature_store.offline.day import shift
from gigacast.feature_store.offline.join import BoundPart, bind_part
from gigacast.feature_store.offline.left import Left, LeftDay, LeftSide
from gigacast.feature_store.offline.part import PartView
from gigacast.feature_store.offline.product import FORMAT_REVISION
from gigacast.feature_store.offline.source import BoundTable, Catalog, Input
from gigacast.lake.feature_layout import feature_partition_key
from gigacast.storage.store import Store

LABEL_DAY = "label_ds"
LABEL_PREFIX = "label_"


def labeled_span(join: Join, day: str) -> DaySpan:
    """Return the first and last left partition whose labels are those of a day.

    Raises
    ------
    ConfigError
        If the join has no labels.
    """
    labels = _labels_of(join)
    offsets = labels.left_start_offset, labels.left_end_offset
    parts = [entry for part in labels.labels for entry in part.group_by.aggregations or ()]
    if any(entry.windows for entry in parts):
        # The day of the labels is the last of the window, which begins at the left partition.
        days = longest_window_days(parts) - 1
        offsets = days, days
    return DaySpan(shift(day, -offsets[0]), shift(day, -offsets[1]))


@dataclass(frozen=True)
class LabelProduct:
    """The labels of a day, for the rows of the left partitions before it.

    Parameters
    ----------
    join : Join
    left : LeftSide
    parts : tuple of BoundPart
    day : str
        Day of the labels.
    """

    join: Join
    left: LeftSide
    parts: tuple[BoundPart, ...]
    day: str

    @property
    def table(self) -> str:
        """Name of the table."""
        return table_name(self.join, "labels")

    @property
    def label(self) -> str:
        """Kind and name of the definition."""
        return f"labels of the join {name_of(self.join)}"

    @property
    def digest(self) -> str:
        """Digest of what decides the rows besides the inputs."""
        labels = [semantic_digest(part.part.group_by) for part in self.parts]
        mapping = [to_json(part.part) for part in self.parts]
        return digest_value([labels, mapping, to_json(self.join.left), FORMAT_REVISION])

    def key(self, day: LeftDay) -> str:
        """Return the key of the labels of a left partition."""
        return feature_partition_key(self.table, day.day, {LABEL_DAY: self.day})

    def days(self, engine: Engine, store: Store, within: DaySpan) -> list[LeftDay]:
        """Return the left partitions that get labels of the day."""
        labeled = labeled_span(self.join, self.day)
        span = DaySpan(max(labeled.first, within.first), min(labeled.last, within.last))
        return self.left.survey(engine, store, span) if span.first <= span.last else []

    def inputs(self, day: LeftDay) -> list[Input]:
        """Return the partitions of the left side and of the labels."""
        bound = self.left.bound
        inputs = [
            (
                bound.name,
                group,
                bound.digest(group),
                sum(m.size_bytes for m in bound.partitions[group]),
            )
            for group in self.left.groups(day.day)
        ]
        end = LeftDay(self.day, None, None, 0)
        return sorted({*inputs, *(entry for part in self.parts for entry in part.view.inputs(end))})

    def views(self) -> Sequence[PartView]:
        """Return the group-bys of the labels."""
        return [part.view for part in self.parts]

    def rows(self, engine: Engine, day: LeftDay) -> pa.Table:
        """Return the labels of a left partition, a row per key."""
        names = list(dict.fromkeys(key for part in self.parts for key in part.keys))
        rows = self.left.read(engine, day.day).rows
        keys = rows.select(names).group_by(names).aggregate([])
        keys = keys.sort_by([(name, "ascending") for name in names])
        base = Left(self.day, keys, None, np.ones(keys.num_rows, np.bool_))
        table = keys
        for part in self.parts:
            features = part.view.features(engine, base, part.keys)
            for name, values in zip(part.columns, features.columns, strict=True):
                table = table.append_column(name, values)
        return table


def label_products(catalog: Catalog, join: Join, day: str) -> Iterator[LabelProduct]:
    """Yield the labels of a join of a day.

    Raises
    ------
    ConfigError
        If the join has no labels.
    DataNotFoundError
        If a table has no files.
    """
    parts = tuple(
        bind_part(catalog, part, left_is_events=False) for part in _labels_of(join).labels
    )
    yield LabelProduct(join, LeftSide.of(catalog, join), parts, day)


@dataclass(frozen=True)
class LabeledProduct:
    """The features of a join beside its labels: all versions of them, or the newest.

    Parameters
    ----------
    join : Join
    features, labels : BoundTable
        Tables of the join and of its labels.
    newest : bool
        Whether rows have their newest labels alone; rows without labels are then left out.
    """

    join: Join
    features: BoundTable
    labels: BoundTable
    newest: bool

    @classmethod
    def of(cls, catalog: Catalog, join: Join, *, newest: bool) -> "LabeledProduct":
        """Return the features and labels of a join.

        Raises
        ------
        DataNotFoundError
            If the join is not backfilled.
        """
        label = f"labels of the join {name_of(join)}"
        features = BoundTable.of(catalog, table_name(join), Query(), label)
        labels = BoundTable.of(catalog, table_name(join, "labels"), Query(), label)
        return cls(join, features, labels, newest)

    @property
    def table(self) -> str:
        """Name of the table."""
        return table_name(self.join, "labeled_latest" if self.newest else "labeled")

    @property
    def label(self) -> str:
        """Kind and name of the definition."""
        return f"labels of the join {name_of(self.join)}"

    @property
    def digest(self) -> str:
        """Digest of what decides the rows besides the inputs."""
        return digest_value([self.newest, self._keys, FORMAT_REVISION])

    def key(self, day: LeftDay) -> str:
        """Return the key of a day's file."""
        return feature_partition_key(self.table, day.day)

    def days(self, engine: Engine, store: Store, within: DaySpan) -> list[LeftDay]:
        """Return the days that have both features and labels."""
        both = sorted({*self.features.partitions} & {*self.labels.partitions})
        return [LeftDay(day, None, None, 0) for day in both if day in within]

    def inputs(self, day: LeftDay) -> list[Input]:
        """Return the partitions of the features and of the labels."""
        return sorted(table.input(day.day) for table in (self.features, self.labels))

    def views(self) -> Sequence[PartView]:
        """Return nothing: no features are computed."""
        return []

    def rows(self, engine: Engine, day: LeftDay) -> pa.Table:
        """Return the features of a day with their labels."""
        features = engine.rows(self.features.reading(day.day, None, {}))
        labels = engine.rows(self.labels.reading(day.day, None, {}))
        features, labels = (t.drop_columns([PARTITION_COLUMN]) for t in (features, labels))
        versions = sorted(set(labels[LABEL_DAY].to_pylist()))
        tables = []
        labeled = np.zeros(features.num_rows, np.bool_)
        for version in versions[-1:] if self.newest else versions:
            mine = labels.filter(pc.equal(labels[LABEL_DAY], version))
            table = self._beside(engine, features, mine)
            matched = pc.is_valid(table[LABEL_DAY])
            labeled |= matched.to_numpy()
            tables.append(table.filter(matched))
        if not self.newest:
            # Once, whatever the number of versions.
            unlabeled = features.filter(pa.array(~labeled))
            tables.append(self._beside(engine, unlabeled, labels))
        return pa.concat_tables(tables)

    def _beside(self, engine: Engine, features: pa.Table, labels: pa.Table) -> pa.Table:
        keys = self._keys
        matches = engine.join(features, labels, [(key, key) for key in keys])
        for name in matches.column_names:
            prefix = "" if name == LABEL_DAY else LABEL_PREFIX
            features = features.append_column(f"{prefix}{name}", matches[name])
        return features

    @property
    def _keys(self) -> list[str]:
        mapped = [
            {right: base for base, right in (part.key_mapping or {}).items()}.get(key, key)
            for part in _labels_of(self.join).labels
            for key in part.group_by.keys
        ]
        return list(dict.fromkeys(mapped))


def _labels_of(join: Join) -> LabelPart:
    if join.label_part is None:
        raise ConfigError(
            f"join {name_of(join)} has no labels", hint="write Join(label_part=LabelPart(...))"
        )
    return join.label_part
