"""The values of a batch: for each entity its features, or the states that they go on from."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.feature_store.aggregation.kernel import Queries, aggregate
from gigacast.feature_store.aggregation.row_state import parts_of, plain_values
from gigacast.feature_store.aggregation.spill import Columns, Limits, key_groups
from gigacast.feature_store.aggregation.timeline import code_keys
from gigacast.feature_store.aggregation.value import pack
from gigacast.feature_store.definition.group_by import Accuracy, GroupBy
from gigacast.feature_store.definition.name import aggregated_columns, name_of
from gigacast.feature_store.engine.engine import TIME, DaySpan, Engine, Reading
from gigacast.feature_store.engine.match import fit
from gigacast.feature_store.offline.day import shift
from gigacast.feature_store.offline.part import PartView
from gigacast.feature_store.offline.source import BoundSource
from gigacast.feature_store.online.batch_state import Span, build_batch
from gigacast.feature_store.online.features import Features
from gigacast.feature_store.online.key import key_digest
from gigacast.feature_store.online.serving import FEATURES, STATES

# Memory of values as Python objects over that of their columns; measured on integers and texts.
_OBJECTS = 8
Item = tuple[str, bytes]
"""Digest of an entity's key, and its value."""


def form_of(group_by: GroupBy) -> str:
    """Return the form of a group-by's values: states only where streamed events go on from them."""
    is_temporal = group_by.used_accuracy == Accuracy.TEMPORAL
    return STATES if is_temporal and group_by.aggregations is not None else FEATURES


@dataclass(frozen=True)
class BatchSource:
    """The rows of a group-by that a batch is made of.

    Parameters
    ----------
    view : PartView
    day : str
        Newest day of the rows.
    """

    view: PartView
    day: str

    @property
    def group_by(self) -> GroupBy:
        """The group-by."""
        return self.view.group_by

    def days(self, source: BoundSource) -> list[str]:
        """Return the partitions of a source that are read."""
        # Features up to the millisecond are those of queries on the day after.
        is_states = form_of(self.group_by) == STATES
        first = shift(self.day, 1) if is_states and source.source.is_events else self.day
        return source.scanned_days(first, self.day)

    def partitions(self) -> Iterator[tuple[str, str, str, int]]:
        """Yield table, day, digest and bytes of each partition that is read."""
        for source in self.view.sources:
            for day in self.days(source):
                size = sum(meta.size_bytes for meta in source.main.partitions[day])
                yield source.main.name, day, source.main.digest(day), size

    def readings(self) -> Iterator[Reading]:
        """Yield the readings of the rows."""
        for source in self.view.sources:
            for day in self.days(source):
                within = DaySpan(last=self.day)
                if not source.source.is_events:
                    within = DaySpan(self.day, self.day)
                yield source.rows(day, within)

    def schema(self, engine: Engine) -> pa.Schema:
        """Return the columns of the rows."""
        return self.view.schema(engine, self.day, self.day)

    def rows(self, engine: Engine, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """Yield the rows with a time, in the types of a schema; at least one batch."""
        yield pa.RecordBatch.from_pylist([], schema=schema)
        for reading in self.readings():
            table = fit(engine.rows(reading), schema, f"group-by {name_of(self.group_by)}")
            if table[TIME].null_count:
                table = table.filter(pc.is_valid(table[TIME]))  # such rows are in no window
            yield from table.to_batches()


def batch_items(
    source: BatchSource, engine: Engine, schema: pa.Schema, span: Span, limits: Limits
) -> Iterator[Item]:
    """Yield the values of a batch by entity, in groups of keys that fit in memory.

    Parameters
    ----------
    source : BatchSource
    engine : Engine
    schema : pyarrow.Schema
        Columns of the rows.
    span : Span
        End of the batch and time of serving.
    limits : Limits

    Raises
    ------
    SchemaError, DataError, ConfigError
        With the name of the group-by.
    """
    group_by = source.group_by
    keys = tuple(group_by.keys)
    smaller = Limits(limits.memory // _OBJECTS, 1, limits.folder)
    for rows in key_groups(source.rows(engine, schema), keys, smaller):
        if form_of(group_by) == STATES:
            yield from _states(group_by, rows, span)
        elif group_by.aggregations is None:
            yield from _columns(group_by, rows)
        else:
            yield from _features(group_by, rows, span)


def feature_schema(group_by: GroupBy, schema: pa.Schema) -> pa.Schema:
    """Return the keys and features of values in the form `FEATURES`, with their types."""
    keys = [schema.field(name) for name in group_by.keys]
    if group_by.aggregations is None:
        return pa.schema([*keys, *(schema.field(name) for name in aggregated_columns(group_by))])
    parts = parts_of(group_by)
    return pa.schema([*keys, *((part.name, part.output(schema)) for part in parts)])


def _states(group_by: GroupBy, rows: pa.Table, span: Span) -> Iterator[Item]:
    features = Features(parts_of(group_by), rows.schema)
    table = rows.combine_chunks()
    for key, value in build_batch(features, Columns(tuple(group_by.keys), TIME).rows(table), span):
        yield key_digest(key), value


def _features(group_by: GroupBy, rows: pa.Table, span: Span) -> Iterator[Item]:
    """Yield the features of each entity at the end of the batch."""
    source = Columns(tuple(group_by.keys), TIME).rows(rows.combine_chunks())
    codes, _, _ = code_keys(source.keys, source.keys)
    _, first = np.unique(codes, return_index=True)
    first = first[codes[first] >= 0] if len(first) else first
    keys = [key.take(pa.array(first)) for key in source.keys]
    queries = Queries(keys, np.full(len(first), span.end))
    features = aggregate(queries, source, parts_of(group_by))
    columns = [plain_values(column) for column in features.columns]
    for key, values in zip(
        zip(*map(plain_values, keys), strict=True), zip(*columns, strict=True), strict=True
    ):
        # An entity without any feature answers as one that is in no batch.
        if any(value is not None for value in values):
            yield key_digest(key), pack(values)


def _columns(group_by: GroupBy, rows: pa.Table) -> Iterator[Item]:
    """Yield the columns of each entity's last row."""
    keys = zip(*(plain_values(rows[name]) for name in group_by.keys), strict=True)
    columns = [plain_values(rows[name]) for name in aggregated_columns(group_by)]
    values = zip(*columns, strict=True) if columns else [()] * rows.num_rows
    last = {key: value for key, value in zip(keys, values, strict=True) if None not in key}
    for key, value in last.items():
        yield key_digest(key), pack(value)
