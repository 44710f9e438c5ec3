"""Changes between two versions of a dataset or contract, by field."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import pyarrow as pa

from gigacast.core.contract.definition import Column, Contract
from gigacast.core.contract.evolution import is_alike, is_wider
from gigacast.core.dataset.version import Change


@dataclass(frozen=True, slots=True)
class Drift:
    """One change of a field.

    Parameters
    ----------
    field : str
        Name of the column, or text of a contract's rule, key or order.
    kind : str
        ``added``, ``removed``, ``widened``, ``retyped``, ``nullability``, ``nulls``, ``minimum``,
        ``rule added``, ...
    before, after : object
    change : Change
        Effect on programs that read the data.
    """

    field: str
    kind: str
    before: Any
    after: Any
    change: Change

    def __str__(self) -> str:
        return f"{self.field}: {self.kind} ({self.before} -> {self.after})"


def drift_of_schemas(old: pa.Schema, new: pa.Schema) -> list[Drift]:
    """Return the changes of columns in the order of the new schema, removed ones last."""
    drifts = []
    for column in new:
        if column.name not in old.names:
            drifts.append(Drift(column.name, "added", None, str(column.type), Change.MINOR))
            continue
        before = old.field(column.name)
        if not is_alike(before.type, column.type):
            wider = is_wider(column.type, before.type)
            kind, change = ("widened", Change.MINOR) if wider else ("retyped", Change.MAJOR)
            entry = Drift(column.name, kind, str(before.type), str(column.type), change)
            drifts.append(entry)
        if before.nullable != column.nullable:
            # Readers that rely on values break once there may be nulls; the other way round none
            # does.
            change = Change.MAJOR if column.nullable else Change.MINOR
            entry = Drift(column.name, "nullability", before.nullable, column.nullable, change)
            drifts.append(entry)
    gone = [column for column in old if column.name not in new.names]
    return drifts + [Drift(c.name, "removed", str(c.type), None, Change.MAJOR) for c in gone]


def drift_of_nulls(
    old: Mapping[str, int], old_rows: int, new: Mapping[str, int], new_rows: int
) -> list[Drift]:
    """Return the columns whose share of missing values moved by more than a percentage point."""
    drifts = []
    for name in new:
        if name not in old or not old_rows or not new_rows:
            continue
        before, after = old[name] / old_rows, new[name] / new_rows
        if abs(after - before) > 0.01:
            shares = f"{before:.1%}", f"{after:.1%}"
            drifts.append(Drift(name, "nulls", *shares, Change.PATCH))
    return drifts


def drift_of_contracts(old: Contract, new: Contract) -> list[Drift]:
    """Return the changes of a contract: a broken promise is major, a new one minor."""
    drifts = []
    for column in new.columns:
        before = old.column(column.name)
        if before is None:
            drifts.append(Drift(column.name, "added", None, column.type, Change.MINOR))
        else:
            drifts += _drift_of_columns(before, column)
    drifts += [
        Drift(column.name, "removed", column.type, None, Change.MAJOR)
        for column in old.columns
        if new.column(column.name) is None
    ]
    promises = (
        ("rule", [rule.text for rule in old.rules], [rule.text for rule in new.rules]),
        ("key", [", ".join(key) for key in old.unique], [", ".join(key) for key in new.unique]),
        ("order", [", ".join(old.ordered_by)], [", ".join(new.ordered_by)]),
    )
    for promise, before_all, after_all in promises:
        gone = [text for text in before_all if text and text not in after_all]
        fresh = [text for text in after_all if text and text not in before_all]
        drifts += [Drift(text, f"{promise} removed", text, None, Change.MAJOR) for text in gone]
        drifts += [Drift(text, f"{promise} added", None, text, Change.MINOR) for text in fresh]
    return drifts


def _drift_of_columns(old: Column, new: Column) -> list[Drift]:
    drifts = []
    for entry in fields(Column):
        before, after = getattr(old, entry.name), getattr(new, entry.name)
        if before == after or entry.name in {"name", "description"}:
            continue
        drifts.append(
            Drift(new.name, entry.name, before, after, _weight(entry.name, before, after))
        )
    return drifts


def _weight(kind: str, before: Any, after: Any) -> Change:
    """Return the weight of a change of one promise: giving one up breaks readers."""
    if kind == "type":
        wider = is_wider(Column("", after).arrow_type, Column("", before).arrow_type)
        return Change.MINOR if wider else Change.MAJOR
    if kind in {"nullable", "required", "unique"}:
        promised = {"nullable": False, "required": True, "unique": True}[kind]
        return Change.MINOR if after == promised else Change.MAJOR
    if before is None or after is None:
        return Change.MINOR if before is None else Change.MAJOR
    if kind == "allowed":
        return Change.MINOR if set(after) <= set(before) else Change.MAJOR
    narrower = after >= before if kind == "minimum" else after <= before
    return Change.MINOR if narrower else Change.MAJOR


def needed_change(drifts: list[Drift]) -> Change:
    """Return the heaviest of some changes."""
    return max((drift.change for drift in drifts), default=Change.PATCH)
