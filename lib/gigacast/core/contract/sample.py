"""Made-up rows that keep a contract, for tests, demonstrations and dry runs.

The same seed gives the same rows.
"""

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.contract.cast import is_text
from gigacast.core.contract.check import ContractCheck
from gigacast.core.contract.definition import Column, Contract
from gigacast.errors import ConfigError

_START = datetime(2024, 1, 1)  # noqa: DTZ001 - wall time, zoned where the column is
_ROUNDS = 50
_ATTEMPTS = 20


def sample_rows(contract: Contract, rows: int, seed: int = 0) -> pa.Table:
    """Return rows that keep a contract, optional columns included.

    Columns are drawn on their own; rules of the form ``high >= low`` are then made to hold by
    raising and lowering values, other rules by drawing anew the rows that break them.

    Raises
    ------
    ConfigError
        When no such rows are found: rules contradict each other, or are kept too rarely.
    """
    rng = np.random.default_rng(seed)
    parts = [_draw(contract, 0, rng)]  # an empty table, so that zero rows have columns too
    for _ in range(_ATTEMPTS):
        missing = rows - sum(map(len, parts))
        if missing <= 0:
            break
        # Drawn in excess, because some of the rows break a rule.
        drawn = _raise_and_lower(contract, _draw(contract, max(missing * 2, 64), rng))
        mask = np.ones(len(drawn), bool)
        for rule in contract.rules:
            mask &= np.asarray(rule.holds(drawn))
        parts.append(drawn.filter(pa.array(mask)).slice(0, missing))
    table = _with_keys(contract, pa.concat_tables(parts).combine_chunks())
    if len(table) < rows or not _keeps(contract, table):
        raise ConfigError(
            f"no rows found that keep the contract {contract.name!r}",
            hint="do its rules and ranges contradict each other?",
        )
    return table


def _keeps(contract: Contract, table: pa.Table) -> bool:
    check = ContractCheck(contract, table.schema)
    for batch in table.to_batches():
        check.add(batch)
    repeated = any(
        table.group_by(list(key)).aggregate([]).num_rows < len(table) for key in check.unproven
    )
    return check.report().ok and not repeated


def _draw(contract: Contract, rows: int, rng: np.random.Generator) -> pa.Table:
    arrays = [_draw_column(column, rows, rng) for column in contract.columns]
    return pa.table(arrays, schema=contract.schema)


def _draw_column(column: Column, rows: int, rng: np.random.Generator) -> pa.Array:
    kind = column.arrow_type
    mask = rng.random(rows) < 0.05 if column.nullable and not column.unique else None
    if column.allowed is not None:
        chosen = [column.allowed[i] for i in rng.integers(0, len(column.allowed), rows)]
        return _array(chosen, kind, mask)
    if pa.types.is_boolean(kind):
        return _array((rng.random(rows) < 0.5).tolist(), kind, mask)
    if is_text(kind):
        return _array([f"{column.name}-{i}" for i in rng.integers(0, 5, rows)], kind, mask)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _draw_times(column, kind, rows)
    low, high = _range(column, kind)
    if pa.types.is_integer(kind):
        return _array(rng.integers(int(low), int(high) + 1, rows).tolist(), kind, mask)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _array(np.round(rng.uniform(low, high, rows), 6).tolist(), kind, mask)
    raise ConfigError(f"{column.name}: no values can be made up for the type {column.type}")


def _draw_times(column: Column, kind: pa.DataType, rows: int) -> pa.Array:
    start: Any = column.minimum if column.minimum is not None else _START
    if isinstance(start, date) and not isinstance(start, datetime):
        start = datetime(start.year, start.month, start.day)  # noqa: DTZ001 - as `_START`
    day = pa.types.is_date(kind)
    first = int(start.replace(tzinfo=start.tzinfo or UTC).timestamp())
    seconds = first + np.arange(rows) * (86_400 if day else 60)
    times = pa.array(seconds.astype("datetime64[s]"))
    if getattr(kind, "tz", None):
        return times.cast(pa.timestamp("s", "UTC")).cast(kind)
    return times.cast(kind)


def _range(column: Column, kind: pa.DataType) -> tuple[float, float]:
    """Return a range to draw from: the column's own, or 100 units beside its only limit."""
    low, high = column.minimum, column.maximum
    if low is None and high is None:
        return (0, 100) if pa.types.is_integer(kind) else (1.0, 100.0)
    if low is None:
        return float(high) - 100, float(high)  # type: ignore[arg-type]
    return float(low), float(high) if high is not None else float(low) + 100  # type: ignore[arg-type]


def _array(values: list[Any], kind: pa.DataType, mask: Any) -> pa.Array:
    return pa.array(values, mask=mask).cast(kind, safe=False)


def _raise_and_lower(contract: Contract, table: pa.Table) -> pa.Table:
    """Make rules that compare two columns hold, by exchanging their values where needed."""
    orders = [order for rule in contract.rules if (order := rule.as_order()) is not None]
    # An exchange for one rule can break another, so the rules are gone through repeatedly.
    for _ in range(_ROUNDS if orders else 0):
        changed = False
        for greater, lesser in orders:
            high, low = table.column(greater), table.column(lesser)
            wrong = pc.fill_null(pc.less(high, low), fill_value=False)
            if not pc.any(wrong).as_py():
                continue
            changed = True
            top, bottom = pc.if_else(wrong, low, high), pc.if_else(wrong, high, low)
            table = table.set_column(table.schema.get_field_index(greater), greater, top)
            table = table.set_column(table.schema.get_field_index(lesser), lesser, bottom)
        if not changed:
            break
    return table.cast(contract.schema)


def _with_keys(contract: Contract, table: pa.Table) -> pa.Table:
    """Give unique columns distinct values, in the contract's order."""
    rows = len(table)
    keyed = {key for key in contract.keys(contract.names) if len(key) == 1}
    times = {
        column.name
        for column in contract.columns
        if pa.types.is_timestamp(column.arrow_type) or pa.types.is_date(column.arrow_type)
    }
    timed = {name for key in contract.keys(contract.names) for name in key} & times
    for column in contract.columns:
        place = table.schema.get_field_index(column.name)
        if column.name in timed | {n for n in contract.ordered_by if n in times}:
            fresh = _draw_times(column, column.arrow_type, rows)
        elif (column.name,) in keyed:
            fresh = _numbers(column, rows)
        else:
            continue
        table = table.set_column(place, table.schema.field(place), fresh)
    order = [(name, "ascending") for name in contract.ordered_by]
    return table.sort_by(order) if order else table


def _numbers(column: Column, rows: int) -> pa.Array:
    kind = column.arrow_type
    if is_text(kind):
        return pa.array([f"{column.name}-{i:06d}" for i in range(rows)], kind)
    low = column.minimum if column.minimum is not None else 0
    return pa.array(np.arange(rows) + low).cast(kind)  # type: ignore[operator]
