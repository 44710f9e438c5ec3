"""Check batches of rows against a contract: types, ranges, rules and order.

A key is proven unique without memory as long as each row is above the one before it. Keys for which
that fails need all rows at once, which the caller searches: see `ContractCheck.unproven`.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import BoolArray, IntArray
from gigacast.core.column import may_hold_nan, to_numpy, to_scalar
from gigacast.core.contract.cast import cast_column, is_text, target_type, text_time_type
from gigacast.core.contract.definition import Column, Contract, Mode, Scalar
from gigacast.core.contract.order import OrderWatch
from gigacast.core.contract.report import (
    MISSING_COLUMN,
    NOT_NULL,
    ORDERED,
    SAMPLES,
    TYPE,
    UNIQUE,
    ContractReport,
    Tally,
    Violation,
)

Finding = tuple[tuple[str, str], tuple[str, ...], Any]
"""(Column, rule), the columns whose values the report shows, and the mask of the broken rows."""


class ContractCheck:
    """Checks rows of one schema that come in batches.

    Parameters
    ----------
    contract : Contract
    schema : pyarrow.Schema
        Schema of the incoming rows.
    mode : Mode
    order_later : bool
        Whether rows out of order are only noted in `went_back` and not reported, because the caller
        searches them within each file.

    Attributes
    ----------
    schema : pyarrow.Schema
        Schema of the returned rows.
    order : tuple of str
        Present columns in whose order the rows must be.
    went_back : bool
        Whether a row so far was below an earlier one of its file.
    """

    def __init__(
        self,
        contract: Contract,
        schema: pa.Schema,
        mode: Mode = Mode.STRICT,
        *,
        order_later: bool = False,
    ) -> None:
        self._contract = contract
        self._mode = mode
        self._order_later = order_later
        self.went_back = False
        self._structural: list[Violation] = []
        self._warnings: list[str] = []
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._rows = 0
        self._bad = _BadRows()
        self._open_times: set[str] = set()
        self._targets = self._match_columns(schema)
        self.schema = pa.schema([f.with_type(self._targets.get(f.name, f.type)) for f in schema])
        usable = [name for name in self._targets if name not in self._unusable]
        self._columns = [c for c in contract.columns if c.name in usable]
        self._rules = [r for r in contract.rules if set(r.columns) <= set(usable)]
        # A key with a column that is already reported can't be checked. An optional column that is
        # absent is left out of its keys.
        faulty = self._unusable | {violation.column for violation in self._structural}
        present = faulty.union(usable)
        self._keys = [key for key in contract.keys(present) if faulty.isdisjoint(key)]
        order = tuple(name for name in contract.ordered_by if name in present)
        self.order = order if faulty.isdisjoint(order) else ()
        self._order = OrderWatch(self.order) if self.order else None
        self._proofs = {key: _proofs(key, self.order) for key in self._keys}

    def _match_columns(self, schema: pa.Schema) -> dict[str, pa.DataType]:
        targets: dict[str, pa.DataType] = {}
        self._unusable: set[str] = set()
        for column in self._contract.columns:
            if column.name not in schema.names:
                if column.required:
                    self._structural.append(Violation(column.name, MISSING_COLUMN))
                continue
            stored = schema.field(column.name).type
            # IGNORE converts nothing, but reports each type that STRICT would refuse.
            target = (
                stored if self._mode is Mode.IGNORE else target_type(column, stored, self._mode)
            )
            if self._mode is Mode.IGNORE and target_type(column, stored, Mode.STRICT) is None:
                target = None
            if target is None:
                detail = f"expected {column.type}, found {stored}"
                self._structural.append(Violation(column.name, TYPE, detail=detail))
                self._unusable.add(column.name)
            elif column.any_unit and is_text(stored):
                self._open_times.add(column.name)
            targets[column.name] = target if target is not None else stored
        extra = [name for name in schema.names if name not in targets]
        if extra and self._mode is Mode.STRICT:
            self._warnings.append(f"columns the contract does not know: {', '.join(extra)}")
        return targets

    # -- rows --------------------------------------------------------------------------------------

    def begin_file(self) -> None:
        """Start the order anew for the next file; keys stay unique over all files."""
        self._order = OrderWatch(self.order) if self.order else None

    def convert(self, rows: pa.RecordBatch) -> tuple[pa.RecordBatch, dict[str, Any]]:
        """Return rows in the contract's types, and masks of unconverted values by column."""
        if self._mode is Mode.IGNORE:
            return rows, {}
        self._settle_times(rows)
        failed: dict[str, Any] = {}
        arrays = []
        fields = [self.schema.field(name) for name in rows.schema.names]
        for field in fields:
            values, mask = rows.column(field.name), None
            if field.name in self._targets and field.name not in self._unusable:
                values, mask = cast_column(values, field.type, self._mode)
            if mask is not None:
                failed[field.name] = mask
            arrays.append(values)
        schema = pa.schema(fields, self.schema.metadata)
        return pa.RecordBatch.from_arrays(arrays, schema=schema), failed

    def _settle_times(self, rows: pa.RecordBatch) -> None:
        """Decide, with the first rows, whether timestamps written as text have a zone."""
        for name in self._open_times & set(rows.schema.names):
            place = self.schema.get_field_index(name)
            kind = text_time_type(rows.column(name))
            self.schema = self.schema.set(place, self.schema.field(place).with_type(kind))
            self._open_times.discard(name)

    def add(
        self, rows: pa.RecordBatch, duplicates: BoolArray | None = None
    ) -> tuple[pa.RecordBatch, BoolArray]:
        """Check the next rows.

        Parameters
        ----------
        rows : RecordBatch [N]
        duplicates : bool [N], optional
            Rows that repeat a key: bad as well, and counted elsewhere.

        Returns
        -------
        RecordBatch [N]
            Rows in the contract's types.
        bool [N]
            Rows that break no rule.
        """
        converted, failed = self.convert(rows)
        good = np.ones(rows.num_rows, bool)
        if duplicates is not None:
            good &= ~duplicates
        for (column, rule), shown, mask in self._findings(converted, failed):
            broken = mask if isinstance(mask, np.ndarray) else to_numpy(mask)
            # A value that could not be converted is null by now, so the report shows the original.
            source = rows if rule == TYPE else converted
            self._count(column, rule, shown, broken, source)
            good &= ~broken
        for key, proofs in self._proofs.items():
            for proof in proofs:
                proof.add(converted)
            # Once two rows are equal or out of order, this order never proves the key again.
            self._proofs[key] = [proof for proof in proofs if proof.strictly]
        self._bad.add(self._rows, ~good)
        self._rows += rows.num_rows
        return converted, good

    def _findings(self, rows: pa.RecordBatch, failed: dict[str, Any]) -> Iterator[Finding]:
        for name, mask in failed.items():
            yield (name, TYPE), (name,), mask
        for column in self._columns:
            yield from _column_findings(column, rows.column(column.name), failed.get(column.name))
        for rule in self._rules:
            met = rule.holds(rows)
            # min_count=0: without rows the rule is met, where Arrow's default would return null.
            if not pc.all(met, min_count=0).as_py():
                yield (", ".join(rule.columns), rule.text), rule.columns, pc.invert(met)
        if self._order is not None:
            back = self._order.add(rows)
            self.went_back = self.went_back or back is not None
            if back is not None and not self._order_later:
                yield (", ".join(self._order.columns), ORDERED), self._order.columns, back

    def _count(
        self, column: str, rule: str, shown: tuple[str, ...], broken: BoolArray, rows: Any
    ) -> None:
        tally = self._tallies.setdefault((column, rule), Tally(column, rule, shown))
        positions = np.flatnonzero(broken)
        tally.count += len(positions)
        for row in positions[: SAMPLES - len(tally.sample)]:
            values = {name: rows.column(name)[int(row)].as_py() for name in shown}
            tally.sample.append({"row": self._rows + int(row), **values})

    # -- what needs all rows -----------------------------------------------------------------------

    @property
    def keys(self) -> list[tuple[str, ...]]:
        """Unique keys among the present columns."""
        return self._keys

    @property
    def unproven(self) -> list[tuple[str, ...]]:
        """Keys whose uniqueness is not proven by the order of the rows so far."""
        return [key for key, proofs in self._proofs.items() if not proofs]

    def add_duplicates(
        self, key: tuple[str, ...], rows: IntArray, sample: list[dict[str, Any]]
    ) -> None:
        """Count the rows that repeat a key."""
        if len(rows):
            name = ", ".join(key)
            self._tallies[(name, UNIQUE)] = Tally(name, UNIQUE, key, "", len(rows), sample)
            self._bad.add_rows(rows)

    def add_disorder(self, rows: IntArray, sample: list[dict[str, Any]]) -> None:
        """Count the rows that are out of order within their file."""
        if len(rows):
            name = ", ".join(self.order)
            self._tallies[(name, ORDERED)] = Tally(name, ORDERED, self.order, "", len(rows), sample)
            self._bad.add_rows(rows)

    def report(self) -> ContractReport:
        """Return the report on the rows so far."""
        return ContractReport(
            contract=self._contract.name,
            mode=str(self._mode),
            rows=self._rows,
            bad_rows=self._bad.count,
            violations=(*self._structural, *(t.violation() for t in self._tallies.values())),
            warnings=tuple(self._warnings),
        )


class _BadRows:
    """The bad rows, one bit per row of the batches that have any."""

    def __init__(self) -> None:
        self._batches: list[tuple[int, int, Any]] = []
        self._rows = np.empty(0, np.int64)

    def add(self, start: int, bad: BoolArray) -> None:
        if bad.any():
            self._batches.append((start, len(bad), np.packbits(bad)))

    def add_rows(self, rows: IntArray) -> None:
        self._rows = np.union1d(self._rows, rows)

    @property
    def count(self) -> int:
        total = len(self._rows)
        for start, length, bits in self._batches:
            bad = np.unpackbits(bits, count=length)
            low, high = np.searchsorted(self._rows, [start, start + length])
            bad[self._rows[low:high] - start] = 0  # in `total` already
            total += int(np.count_nonzero(bad))
        return total


def _proofs(key: tuple[str, ...], order: tuple[str, ...]) -> list[OrderWatch]:
    """Return a watch for each order that may prove a key: as written, reversed, or the contract's.

    Data of many items are sorted by item and time or by time and item; both prove the same key.
    """
    orders = {key, tuple(reversed(key))}
    if set(order) == set(key):
        orders.add(tuple(order))
    return [OrderWatch(columns) for columns in sorted(orders)]


def _column_findings(column: Column, values: pa.Array, failed: Any) -> Iterator[Finding]:
    name = column.name
    if not column.nullable:
        missing = _missing(values)
        if missing is not None and failed is not None:
            missing = pc.and_not(missing, failed)  # a value of another type is reported as that
        if missing is not None and pc.any(missing).as_py():
            yield (name, NOT_NULL), (name,), missing
    limits = (
        (column.minimum, ">=", pc.less, "min"),
        (column.maximum, "<=", pc.greater, "max"),
    )
    if pa.types.is_float16(values.type):
        values = values.cast(pa.float32())  # Arrow has no comparisons of half floats
    if column.minimum is not None or column.maximum is not None:
        # Nearly all batches keep the limits. Comparing the two extremes first spares the masks.
        bounds = pc.min_max(values)
        for limit, sign, beyond, side in limits:
            if limit is not None:
                yield from _limit_findings(name, sign, partial(beyond), bounds[side], limit, values)
    if column.allowed is not None:
        allowed = pa.array(column.allowed).cast(values.type)
        wrong = pc.and_(pc.invert(pc.is_in(values, value_set=allowed)), values.is_valid())
        if pc.any(wrong).as_py():
            yield (name, "allowed"), (name,), wrong


def _missing(values: pa.Array) -> Any:
    """Return a mask of null or NaN values; ``None`` when there can be none."""
    if values.null_count or may_hold_nan(values):
        return pc.is_null(values, nan_is_null=True)
    return None


def _limit_findings(
    name: str,
    sign: str,
    beyond: Callable[[Any, Any], Any],
    extreme: pa.Scalar,
    limit: Scalar,
    values: pa.Array,
) -> Iterator[Finding]:
    if not extreme.is_valid:
        return
    bound = to_scalar(limit).cast(values.type, safe=False)
    if beyond(extreme, bound).as_py():
        broken = pc.fill_null(beyond(values, bound), to_scalar(False))
        yield (name, f"{sign} {limit}"), (name,), broken
