"""Aggregation of a column: buckets, maps, lists and element-wise lists over an operation's states.

A state is the operation's own, a table from bucket or key of a map to states, or a list of states
by place. Null values, null buckets and nulls within lists are skipped; a null within an
element-wise list is refused.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.types as pat

from gigacast.errors import DataError, SchemaError
from gigacast.feature_store.aggregation.operation import (
    Call,
    Operation,
    find_kind,
    make_operation,
    with_default,
)
from gigacast.feature_store.aggregation.value import Value, rank, sane

Step = Callable[[Operation, Any, Value, int], Any]


@dataclass(frozen=True)
class Shape:
    """Way in which a column's values reach the operation.

    Parameters
    ----------
    values : pyarrow.DataType
        Type of the single values.
    flatten : bool
        Whether a row holds a list of values.
    element_wise : bool
        Whether each place of the rows' lists is aggregated by itself.
    by_key : bool
        Whether a row holds a map whose keys are aggregated by themselves.
    by_bucket : bool
        Whether rows are aggregated by the value of a bucket column.
    """

    values: pa.DataType
    flatten: bool = False
    element_wise: bool = False
    by_key: bool = False
    by_bucket: bool = False


def is_list(kind: pa.DataType) -> bool:
    """Return whether a type is of lists."""
    return bool(pat.is_list(kind) or pat.is_large_list(kind) or pat.is_fixed_size_list(kind))


def find_shape(
    call: Call, column: pa.DataType, *, element_wise: bool = False, bucketed: bool = False
) -> Shape:
    """Return how a column's values reach an operation.

    Raises
    ------
    SchemaError
        If the column's type, element-wise aggregation and bucket do not go together.
    """
    by_key = bool(pat.is_map(column))
    if bucketed and (element_wise or by_key):
        raise SchemaError(
            f"{call.name} over {column} cannot have buckets",
            hint="buckets are for plain columns and flattened lists",
        )
    if element_wise and not is_list(column):
        raise SchemaError(f"element-wise {call.name} needs lists, not {column}")
    if by_key and not pat.is_string(column.key_type):
        raise SchemaError(f"keys of maps are texts, not {column.key_type}")
    if by_key:
        shape = Shape(column.item_type, by_key=True)
    elif element_wise:
        shape = Shape(column.value_type, element_wise=True)
    elif is_list(column) and not find_kind(call).timed:
        shape = Shape(column.value_type, flatten=True, by_bucket=bucketed)
    else:
        shape = Shape(column, by_bucket=bucketed)
    make_operation(call, shape.values)
    return shape


def find_output(call: Call, shape: Shape) -> pa.DataType:
    """Return the Arrow type of a feature."""
    single = find_kind(call).output(shape.values, with_default(call))
    if shape.element_wise:
        return pa.list_(single)
    return pa.map_(pa.string(), single) if shape.by_key or shape.by_bucket else single


class Direct(NamedTuple):
    """Functions of states that are not absent."""

    decode: Callable[[Any], Any]
    merge: Callable[[Any, Any], Any]
    finish: Callable[[Any], Value]


class ColumnAggregator:
    """States of an aggregation over the rows of a column.

    Parameters
    ----------
    call : Call
        Operation and its arguments.
    shape : Shape
        Way in which the column's values reach the operation.
    """

    def __init__(self, call: Call, shape: Shape) -> None:
        self.shape = shape
        self.operation = make_operation(call, shape.values)
        self._exact = find_kind(call).exact
        self._keyed = shape.by_key or shape.by_bucket

    @property
    def is_plain(self) -> bool:
        """Whether states are the operation's own: neither by key, by bucket nor by place."""
        return not (self._keyed or self.shape.element_wise)

    def direct(self) -> "Direct":
        """Return `decode`, `merge` and `finish` of states that are there, for many calls."""
        if not self.is_plain:
            return Direct(self.decode, self.merge, self.finish)
        finish = self.operation.finish
        merge = self.operation.merge if self._exact else self.merge
        return Direct(self.operation.decode, merge, lambda state: sane(finish(state)))

    def update(self, state: Any, value: Value, time: int, bucket: Value = None) -> Any:
        """Return the state with a row more."""
        return self._step(_update, state, (value, time, bucket))

    def delete(self, state: Any, value: Value, time: int, bucket: Value = None) -> Any:
        """Return the state with a row less."""
        return self._step(_delete, state, (value, time, bucket))

    def merge(self, left: Any, right: Any) -> Any:
        """Return the state of the rows of two states; either may be absent."""
        if left is None and right is None:
            return None
        if self._keyed:
            mine, theirs = left or {}, right or {}
            merged: dict[Value, Any] = {}
            for key in {**mine, **theirs}:
                _put(merged, key, self._merge(mine.get(key), theirs.get(key)))
            return merged or None
        if self.shape.element_wise:
            left = [None] * len(right) if left is None else left
            right = [None] * len(left) if right is None else right
            _check_places(left, right)
            places = [self._merge(*pair) for pair in zip(left, right, strict=True)]
            return places if any(place is not None for place in places) else None
        return self._merge(left, right)

    def finish(self, state: Any) -> Value:
        """Return the feature of a state; NaN and infinity are null but within buckets and maps."""
        if state is None:
            return None
        if self._keyed:
            # Keys in order; a key that may be null sorts first.
            ordered = sorted(state, key=lambda key: (key is not None, rank(key or "")))
            features = {key: self.operation.finish(state[key]) for key in ordered}
            return {key: value for key, value in features.items() if value is not None} or None
        if self.shape.element_wise:
            places = [None if part is None else self.operation.finish(part) for part in state]
            return places if any(place is not None for place in places) else None
        return sane(self.operation.finish(state))

    def encode(self, state: Any) -> Any:
        """Return the state as msgpack holds it."""
        if state is None:
            return None
        if self._keyed:
            ordered = sorted(state, key=lambda key: (key is not None, rank(key or "")))
            return [part for key in ordered for part in (key, self.operation.encode(state[key]))]
        if self.shape.element_wise:
            return [None if part is None else self.operation.encode(part) for part in state]
        return self.operation.encode(state)

    def decode(self, stored: Any) -> Any:
        """Return the state of ``encode``."""
        if stored is None:
            return None
        if self._keyed:
            pairs = zip(stored[::2], stored[1::2], strict=True)
            return {key: self.operation.decode(part) for key, part in pairs}
        if self.shape.element_wise:
            return [None if part is None else self.operation.decode(part) for part in stored]
        return self.operation.decode(stored)

    def _merge(self, left: Any, right: Any) -> Any:
        if left is not None and right is not None:
            return self.operation.merge(left, right)
        state = right if left is None else left
        # An update reuses a sketch, and must not reach into the states that were merged.
        if state is None or self._exact:
            return state
        return self.operation.decode(self.operation.encode(state))

    def _step(self, step: Step, state: Any, row: tuple[Value, int, Value]) -> Any:
        value, time, bucket = row
        if value is None or (self.shape.by_bucket and bucket is None):
            return state
        if self.shape.element_wise:
            return self._place_by_place(step, state, value, time)
        if not self._keyed:
            return self._fold(step, state, value, time)
        table = dict(state or {})
        for key, item in [(bucket, value)] if self.shape.by_bucket else _pairs(value):
            _put(table, key, self._fold(step, table.get(key), item, time))
        return table or None

    def _fold(self, step: Step, state: Any, value: Value, time: int) -> Any:
        for item in value if self.shape.flatten else [value]:
            if item is not None:
                state = step(self.operation, state, item, time)
        return state

    def _place_by_place(self, step: Step, state: Any, value: Sequence[Value], time: int) -> Any:
        if any(item is None for item in value):
            raise DataError(
                "a null within a list that is aggregated element-wise",
                hint="fill or filter the list in the source's selects",
            )
        places = [None] * len(value) if state is None else state
        _check_places(places, value)
        moved = [
            step(self.operation, place, item, time)
            for place, item in zip(places, value, strict=True)
        ]
        return moved if any(place is not None for place in moved) else None


def _update(operation: Operation, state: Any, value: Value, time: int) -> Any:
    return operation.update(state, value, time)


def _delete(operation: Operation, state: Any, value: Value, time: int) -> Any:
    return operation.delete(state, value, time)


def _put(table: dict[Value, Any], key: Value, state: Any) -> None:
    if state is None:
        table.pop(key, None)
    else:
        table[key] = state


def _pairs(value: Any) -> Iterable[tuple[Value, Value]]:
    # Arrow gives maps as lists of pairs, streams as mappings.
    return value.items() if isinstance(value, dict) else value


def _check_places(left: Sequence[Any], right: Sequence[Any]) -> None:
    if len(left) != len(right):
        raise DataError(
            f"lists of {len(left)} and {len(right)} places cannot be aggregated element-wise",
            hint="lists of a key must have the same length",
        )
