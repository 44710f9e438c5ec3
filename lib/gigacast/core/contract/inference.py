"""Inference of a contract from data: a proposal for people to review and tighten.

It promises no more than the rows show: types, whether values are missing, ranges of numbers, few
distinct texts, sorted and unique timestamps, and between columns of bars that the high is the
highest and the low the lowest.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.contract.cast import is_text, plain_type
from gigacast.core.contract.definition import Column, Contract
from gigacast.core.contract.order import OrderWatch
from gigacast.core.contract.rule import Rule
from gigacast.core.plural import counted

MAX_ALLOWED_VALUES = 20
"""Maximum distinct texts of a column that gets a list of allowed values."""
_PAIRS = (("high", "low"), ("high", "open"), ("high", "close"), ("open", "low"), ("close", "low"))
_MORE = (("ask", "bid"), ("value_area_high", "value_area_low"))


class ContractInference:
    """Infers from batches of rows the contract that all of them keep.

    Parameters
    ----------
    name : str
    schema : pyarrow.Schema

    Examples
    --------
    >>> summary = ContractInference("bars", pa.schema({"high": pa.float64(), "low": pa.float64()}))
    >>> summary.add(pa.record_batch({"high": [2.0, 3.0], "low": [1.0, 2.5]}))
    >>> [rule.text for rule in summary.contract().rules]
    ['high >= low']
    """

    def __init__(self, name: str, schema: pa.Schema) -> None:
        self._name = name
        self._rows = 0
        self._columns = {
            field.name: _ColumnSummary(field) for field in schema if _is_plain(field.type)
        }
        nested = [field.name for field in schema if field.name not in self._columns]
        self._without = f", without {', '.join(nested)} (nested or empty)" if nested else ""
        times = [n for n, summary in self._columns.items() if pa.types.is_timestamp(summary.kind)]
        self._time = OrderWatch(times[:1]) if times else None
        self._sorted = True
        names = set(self._columns)
        pairs = [pair for pair in (*_PAIRS, *_MORE) if set(pair) <= names]
        self._rules = [Rule(f"{high} >= {low}") for high, low in pairs]

    def add(self, rows: pa.RecordBatch) -> None:
        """Add the next rows."""
        self._rows += rows.num_rows
        for name, summary in self._columns.items():
            summary.add(rows.column(name))
        if self._time is not None and self._sorted:
            self._sorted = self._time.add(rows) is None
        kept_rules = [rule for rule in self._rules if pc.all(rule.holds(rows), min_count=0).as_py()]
        self._rules = kept_rules

    def contract(self) -> Contract:
        """Return the contract that all rows so far keep."""
        filled = self._rows > 0
        time = self._time.columns if self._time is not None and filled else ()
        strictly = self._time is not None and self._time.strictly
        return Contract(
            self._name,
            tuple(summary.column(filled=filled) for summary in self._columns.values()),
            unique=(time,) if time and strictly else (),
            ordered_by=time if self._sorted else (),
            rules=tuple(self._rules) if filled else (),
            description=f"Inferred from {counted(self._rows, 'row')}{self._without}.",
        )


def infer_contract(name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Contract:
    """Return the contract that all rows keep."""
    inference = ContractInference(name, schema)
    for batch in batches:
        inference.add(batch)
    return inference.contract()


def _is_plain(kind: pa.DataType) -> bool:
    kind = plain_type(kind)
    return not (pa.types.is_nested(kind) or pa.types.is_null(kind))


class _ColumnSummary:
    """A summary of the values of one column so far."""

    def __init__(self, field: pa.Field) -> None:
        self.kind = plain_type(field.type)
        self._name = field.name
        self._missing = False
        self._values: set[Any] | None = set() if is_text(self.kind) else None
        self._nonnegative = True

    def add(self, values: pa.Array) -> None:
        plain = values.cast(self.kind) if values.type != self.kind else values
        self._missing = self._missing or bool(pc.any(pc.is_null(plain, nan_is_null=True)).as_py())
        if pa.types.is_integer(self.kind) or pa.types.is_floating(self.kind):
            numbers = plain.cast(pa.float32()) if pa.types.is_float16(self.kind) else plain
            least = pc.min(numbers).as_py()
            self._nonnegative = self._nonnegative and not (least is not None and least < 0)
        if self._values is not None:
            distinct = plain.drop_null().unique()
            # Given up for good beyond the limit, so that memory does not grow with the data.
            many = len(distinct) > MAX_ALLOWED_VALUES
            self._values = None if many else self._values | set(distinct.to_pylist())
            if self._values is not None and len(self._values) > MAX_ALLOWED_VALUES:
                self._values = None

    def column(self, *, filled: bool) -> Column:
        """Return the column's promise; the only range is "not below zero", which tends to last."""
        plain = Column(self._name, str(self.kind), nullable=self._missing or not filled)
        number = pa.types.is_integer(self.kind) or pa.types.is_floating(self.kind)
        if filled and number and self._nonnegative:
            plain = replace(plain, minimum=0)
        if filled and self._values:
            plain = replace(plain, allowed=tuple(sorted(self._values)))
        return plain
