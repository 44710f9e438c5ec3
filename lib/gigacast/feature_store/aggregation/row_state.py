"""State of all aggregations of a group-by for a key: one value per row of the source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from gigacast.errors import SchemaError
from gigacast.feature_store.aggregation import codec
from gigacast.feature_store.aggregation.container import (
    ColumnAggregator,
    Shape,
    find_output,
    find_shape,
)
from gigacast.feature_store.aggregation.operation import Call
from gigacast.feature_store.aggregation.sketch import PERCENTILES
from gigacast.feature_store.aggregation.value import Value
from gigacast.feature_store.definition.aggregation import Aggregation
from gigacast.feature_store.definition.group_by import GroupBy
from gigacast.feature_store.definition.name import feature_name

Row = Mapping[str, Value]


@dataclass(frozen=True)
class Part:
    """One aggregation of a group-by: a feature column.

    Parameters
    ----------
    name : str
        Name of the feature.
    column : str
        Name of the aggregated column.
    call : Call
        Operation and its arguments.
    window_ms : int, optional
        Length of the window in milliseconds; none for all time.
    bucket : str, optional
        Name of the column whose values are aggregated by themselves.
    element_wise : bool
        Whether each place of lists is aggregated by itself.
    """

    name: str
    column: str
    call: Call
    window_ms: int | None = None
    bucket: str | None = None
    element_wise: bool = field(default=False, kw_only=True)

    def output(self, schema: pa.Schema) -> pa.DataType:
        """Return the type of the feature over a source of that schema."""
        return find_output(self.call, self.shape(schema))

    def aggregator(self, schema: pa.Schema) -> ColumnAggregator:
        """Return the states of this aggregation over a source of that schema."""
        return ColumnAggregator(self.call, self.shape(schema))

    def shape(self, schema: pa.Schema) -> Shape:
        """Return how the column's values reach the operation.

        Raises
        ------
        SchemaError
            If a column is missing, or its type cannot be aggregated so.
        """
        for name in filter(None, (self.column, self.bucket)):
            if schema.get_field_index(name) < 0:
                raise SchemaError(
                    f"{self.name}: there is no column {name!r}",
                    hint=f"columns of the source: {', '.join(schema.names)}",
                )
        if self.bucket and not pat.is_string(schema.field(self.bucket).type):
            raise SchemaError(
                f"{self.name}: buckets are texts, not {schema.field(self.bucket).type}",
                hint=f"cast {self.bucket} to a text in the source's selects",
            )
        return find_shape(
            self.call,
            schema.field(self.column).type,
            element_wise=self.element_wise,
            bucketed=self.bucket is not None,
        )


def parts_of(group_by: GroupBy) -> list[Part]:
    """Return the aggregations of a group-by, one per feature, in the order of its columns."""
    return [part for written in group_by.aggregations or () for part in _parts(written)]


def _parts(written: Aggregation) -> list[Part]:
    operation = written.operation
    call = Call(operation.name, operation.k, operation.percentiles or PERCENTILES)
    column = written.input_column or ""
    return [
        Part(
            feature_name(column, operation, window, bucket),
            column,
            call,
            window.milliseconds if window else None,
            bucket,
            element_wise=written.element_wise,
        )
        for window in written.windows or (None,)
        for bucket in written.buckets or (None,)
    ]


class RowState:
    """States of several aggregations, moved together.

    Parameters
    ----------
    parts : sequence of Part
        Aggregations; their windows are the caller's matter.
    schema : pyarrow.Schema
        Columns of the source.
    """

    def __init__(self, parts: Sequence[Part], schema: pa.Schema) -> None:
        self.parts = tuple(parts)
        self.aggregators = [part.aggregator(schema) for part in parts]

    def empty(self) -> list[Any]:
        """Return the states of no rows."""
        return [None] * len(self.parts)

    def update(self, states: Sequence[Any], row: Row, time: int) -> list[Any]:
        """Return the states with a row more."""
        return [
            aggregator.update(state, row.get(part.column), time, self._bucket(part, row))
            for part, aggregator, state in self._each(states)
        ]

    def delete(self, states: Sequence[Any], row: Row, time: int) -> list[Any]:
        """Return the states with a row less."""
        return [
            aggregator.delete(state, row.get(part.column), time, self._bucket(part, row))
            for part, aggregator, state in self._each(states)
        ]

    def merge(self, left: Sequence[Any], right: Sequence[Any]) -> list[Any]:
        """Return the states of the rows of both."""
        triples = zip(self.aggregators, left, right, strict=True)
        return [aggregator.merge(mine, theirs) for aggregator, mine, theirs in triples]

    def finish(self, states: Sequence[Any]) -> dict[str, Value]:
        """Return the features by name."""
        return {part.name: aggregator.finish(s) for part, aggregator, s in self._each(states)}

    def encode(self, states: Sequence[Any]) -> bytes:
        """Return the bytes of the states."""
        return codec.encode([aggregator.encode(s) for _, aggregator, s in self._each(states)])

    def decode(self, stored: bytes) -> list[Any]:
        """Return the states of bytes.

        Raises
        ------
        DataError
            If the bytes are damaged or of another version.
        """
        return [
            aggregator.decode(state) for _, aggregator, state in self._each(codec.decode(stored))
        ]

    def _each(self, states: Sequence[Any]) -> Any:
        return zip(self.parts, self.aggregators, states, strict=True)

    @staticmethod
    def _bucket(part: Part, row: Row) -> Value:
        return None if part.bucket is None else row.get(part.bucket)


def plain_values(column: pa.Array | pa.ChunkedArray) -> list[Value]:
    """Return a column as values of states: times and dates as integers, maps as lists of pairs."""
    kind = column.type
    if pat.is_date32(kind) or pat.is_time32(kind):
        column = pc.cast(column, pa.int32())
    elif pat.is_temporal(kind):
        column = pc.cast(column, pa.int64())
    values: list[Value] = column.to_pylist()
    return values
