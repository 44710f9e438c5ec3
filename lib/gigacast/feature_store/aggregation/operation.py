"""Operations of aggregations: the protocol of their states, and the table of all of them.

A state is absent (None) until it holds a value. ``update`` and ``delete`` may reuse the state they
get; ``merge`` leaves both of its states as they are.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.types as pat

from gigacast.errors import SchemaError
from gigacast.feature_store.aggregation.distinct import Distinct
from gigacast.feature_store.aggregation.histogram import Histogram
from gigacast.feature_store.aggregation.moment import Moment
from gigacast.feature_store.aggregation.ordered import Best
from gigacast.feature_store.aggregation.scalar import Count, Extreme, Total
from gigacast.feature_store.aggregation.sketch import (
    PERCENTILES,
    DistinctSketch,
    HistogramSketch,
    QuantileSketch,
)
from gigacast.feature_store.aggregation.timed import Ends
from gigacast.feature_store.aggregation.value import Value


class Operation(Protocol):
    """Mergeable states of an aggregation over single values."""

    def update(self, state: Any, value: Value, time: int) -> Any:
        """Return the state with a value more."""

    def delete(self, state: Any, value: Value, time: int) -> Any:
        """Return the state with a value less; unchanged where the operation cannot delete."""

    def merge(self, left: Any, right: Any) -> Any:
        """Return the state of both states' values; None where they cancel."""

    def finish(self, state: Any) -> Value:
        """Return the feature."""

    def encode(self, state: Any) -> Any:
        """Return the state as msgpack holds it: equal states, equal bytes, but for sketches."""

    def decode(self, stored: Any) -> Any:
        """Return the state of ``encode``."""


@dataclass(frozen=True)
class Call:
    """An operation with its arguments.

    Parameters
    ----------
    name : str
        Name in the table, for example ``"LAST_K"``.
    k : int, optional
        Number of values kept, or logarithm of a sketch's size.
    percentiles : tuple of float
        Ranks between 0 and 1, of ``APPROX_PERCENTILE``.
    """

    name: str
    k: int | None = None
    percentiles: tuple[float, ...] = PERCENTILES


Build = Callable[[Call, pa.DataType], Operation]
TypeOf = Callable[[pa.DataType, Call], pa.DataType]


@dataclass(frozen=True)
class Kind:
    """Row of the table of operations.

    Parameters
    ----------
    build : callable
        Maker of the states' operation from call and type of the values.
    output : callable
        Type of the feature from type of the values and call.
    accepts : callable
        Whether values of a type can be aggregated.
    deletable : bool
        Whether reversals subtract; else they are ignored.
    timed : bool
        Whether the order of times matters. Lists are values then, and are not flattened.
    k : int or None
        Default of ``k``; none where the operation has no ``k`` or keeps all without it.
    needs_k : bool
        Whether ``k`` must be given.
    exact : bool
        Whether a served answer has the bits of a backfill. Sketches are within their bound.
    """

    build: Build
    output: TypeOf
    accepts: Callable[[pa.DataType], bool]
    deletable: bool = False
    timed: bool = False
    k: int | None = None
    needs_k: bool = False
    exact: bool = True


def _is_number(kind: pa.DataType) -> bool:
    return bool(pat.is_integer(kind) or pat.is_floating(kind))


def is_ordered(kind: pa.DataType) -> bool:
    """Return whether values of a type have an order of their own."""
    temporal = pat.is_date(kind) or pat.is_timestamp(kind) or pat.is_time(kind)
    text = pat.is_string(kind) or pat.is_large_string(kind)
    binary = pat.is_binary(kind) or pat.is_large_binary(kind)
    plain = _is_number(kind) or pat.is_boolean(kind) or pat.is_duration(kind)
    return bool(plain or temporal or text or binary)


def _is_plain(kind: pa.DataType) -> bool:
    return is_ordered(kind) or bool(pat.is_list(kind) and is_ordered(kind.value_type))


def _double(kind: pa.DataType, call: Call) -> pa.DataType:
    return pa.float64()


def _count(kind: pa.DataType, call: Call) -> pa.DataType:
    return pa.int64()


def _sum_type(kind: pa.DataType, call: Call) -> pa.DataType:
    return pa.int64() if pat.is_integer(kind) else pa.float64()


def _same(kind: pa.DataType, call: Call) -> pa.DataType:
    return kind


def _list(kind: pa.DataType, call: Call) -> pa.DataType:
    return pa.list_(kind)


def _map(kind: pa.DataType, call: Call) -> pa.DataType:
    return pa.map_(kind, pa.int64())


def _total(average: bool) -> Build:
    return lambda call, kind: Total(whole=bool(pat.is_integer(kind)), average=average)


def _extreme(greatest: bool) -> Build:
    return lambda call, kind: Extreme(greatest=greatest)


def _ends(newest: bool) -> Build:
    return lambda call, kind: Ends(call.k, newest=newest)


def _best(greatest: bool) -> Build:
    return lambda call, kind: Best(call.k or 1, greatest=greatest)


_MOMENT = partial(Kind, output=_double, accepts=_is_number)
_TIMED = partial(Kind, accepts=_is_plain, timed=True)
_VALUES = partial(Kind, accepts=is_ordered)

OPERATIONS: dict[str, Kind] = {
    "COUNT": _VALUES(lambda call, kind: Count(), _count, deletable=True),
    "SUM": Kind(_total(average=False), _sum_type, _is_number, deletable=True),
    "AVERAGE": Kind(_total(average=True), _double, _is_number, deletable=True),
    "MIN": _VALUES(_extreme(greatest=False), _same),
    "MAX": _VALUES(_extreme(greatest=True), _same),
    "VARIANCE": _MOMENT(lambda call, kind: Moment(2)),
    "SKEW": _MOMENT(lambda call, kind: Moment(3)),
    "KURTOSIS": _MOMENT(lambda call, kind: Moment(4)),
    "FIRST": _TIMED(_ends(newest=False), _same),
    "LAST": _TIMED(_ends(newest=True), _same),
    "FIRST_K": _TIMED(_ends(newest=False), _list, needs_k=True),
    "LAST_K": _TIMED(_ends(newest=True), _list, needs_k=True),
    "TOP_K": _VALUES(_best(greatest=True), _list, needs_k=True),
    "BOTTOM_K": _VALUES(_best(greatest=False), _list, needs_k=True),
    "UNIQUE_COUNT": _VALUES(lambda call, kind: Distinct(None), _count),
    "BOUNDED_UNIQUE_COUNT": _VALUES(lambda call, kind: Distinct(call.k), _count, k=8),
    "HISTOGRAM": _VALUES(lambda call, kind: Histogram(call.k), _map, deletable=True),
    "APPROX_UNIQUE_COUNT": _VALUES(lambda call, kind: DistinctSketch(call.k), _count, exact=False),
    "APPROX_HISTOGRAM_K": _VALUES(
        lambda call, kind: HistogramSketch(call.k or 8), _map, k=8, exact=False
    ),
    "APPROX_PERCENTILE": Kind(
        lambda call, kind: QuantileSketch(call.percentiles, call.k),
        lambda kind, call: pa.list_(pa.float32()),
        _is_number,
        exact=False,
    ),
}


def find_kind(call: Call) -> Kind:
    """Return the row of the table for a call.

    Raises
    ------
    SchemaError
        If there is no such operation, or ``k`` is missing or not positive.
    """
    kind = OPERATIONS.get(call.name)
    if kind is None:
        raise SchemaError(
            f"there is no operation {call.name!r}", hint=f"use {', '.join(OPERATIONS)}"
        )
    # Zero keeps all values of a histogram, as in Chronon.
    least = 0 if call.name == "HISTOGRAM" else 1
    if (call.k is None and kind.needs_k) or (call.k is not None and call.k < least):
        raise SchemaError(
            f"{call.name} needs a positive number of values k, not {call.k}",
            hint=f"write Operation.{call.name}(10)",
        )
    return kind


def with_default(call: Call) -> Call:
    """Return the call with the default ``k`` of its operation; ``HISTOGRAM(0)`` keeps all."""
    default = find_kind(call).k
    return replace(call, k=call.k or default)


def make_operation(call: Call, values: pa.DataType) -> Operation:
    """Return the operation of a call over values of a type.

    Raises
    ------
    SchemaError
        If the values cannot be aggregated so.
    """
    kind = find_kind(call)
    if not kind.accepts(values):
        raise SchemaError(
            f"{call.name} cannot aggregate values of type {values}",
            hint="cast the column in the source's selects, or choose another operation",
        )
    return kind.build(with_default(call), values)
