"""Which column is what: the layout of a table.

Three layouts are known, told by the columns alone:

======  ==============================================================================
long    item id, timestamp and one or more targets, a row per point
wide    the same without an item id: the whole table is one item
list    lists of values (and of timestamps, or a scalar ``start``), a row per series
======  ==============================================================================

Names given in the settings win. Otherwise the first group of `_IDS`, `_TIMES` and the target names
that is present decides, whatever the case of its letters; two names of one group are ambiguous.
``target_*`` columns win over ``target`` in a table without ids (there ``target`` is a derived
feature); in a table with ids having both is ambiguous. The flags that cleaning adds (`x_outlier`,
of truth values) are never recognised. Recognised columns are of a usable type,
named ones must be.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pyarrow as pa

from gigacast.errors import SchemaError
from gigacast.series.identity import is_id_type
from gigacast.series.source import ColumnNames
from gigacast.series.timestamp import is_text, is_time_type
from gigacast.series.value import is_value_type

_IDS = (("item_id", "unique_id"), ("series_id", "ts_id", "id", "item", "symbol"))
_TIMES = (("timestamp", "ds"), ("datetime", "date", "time"))
_STARTS = (("start",),)
_TARGETS = (("target", "y"), ("value", "values"))
_PREFIX = "target_"


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of one table.

    Parameters
    ----------
    kind : str
        ``long``, ``wide`` or ``list``.
    item_id : str, optional
        ``None`` in wide tables.
    timestamp : str
        The timestamps, or the start of a list.
    targets : tuple of str
        K columns.
    freq : str, optional
        The column that says the frequency of each list with a start.
    covariates : tuple of str
        V columns.
    """

    kind: Literal["long", "wide", "list"]
    item_id: str | None
    timestamp: str
    targets: tuple[str, ...]
    freq: str | None = None
    covariates: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """All columns to read."""
        names = (self.item_id, self.timestamp, self.freq, *self.targets, *self.covariates)
        return [name for name in names if name is not None]


@dataclass(frozen=True, slots=True)
class _Table:
    """A schema with the name of its object, for errors."""

    schema: pa.Schema
    name: str

    def of_type(self, usable: Callable[[pa.DataType], bool]) -> list[str]:
        return [
            field.name
            for field in self.schema
            if usable(field.type) and not _is_flag(field.name, field.type)
        ]

    def type_of(self, column: str) -> pa.DataType:
        return self.schema.field(column).type

    def refuse(self, problem: str, setting: str) -> SchemaError:
        found = ", ".join(f"{field.name}: {field.type}" for field in self.schema) or "none"
        return SchemaError(
            f"{self.name}: {problem}; the columns are {found}",
            hint=f"name the column by {setting}",
        )

    def named(self, column: str, setting: str, usable: Callable[[pa.DataType], bool]) -> str:
        indices = self.schema.get_all_field_indices(column)
        if len(indices) != 1:
            problem = "there is no column" if not indices else "there is more than one column"
            raise self.refuse(f"{problem} {column!r}", setting)
        if not usable(self.type_of(column)):
            kind = self.type_of(column)
            raise self.refuse(f"column {column!r} of type {kind} cannot serve", setting)
        return column


def _is_flag(name: str, kind: pa.DataType) -> bool:
    """Tell whether a column only says of another one that a value is an outlier."""
    return name.endswith(FLAG_SUFFIX) and bool(pa.types.is_boolean(kind))


def recognise(schema: pa.Schema, wanted: ColumnNames, name: str) -> Layout:
    """Return the layout of a table.

    Parameters
    ----------
    schema : pa.Schema
    wanted : ColumnNames
        What the settings name.
    name : str
        Of the object, for errors.

    Raises
    ------
    SchemaError
        When a column is missing, ambiguous or of an unusable type.
    """
    table = _Table(schema, name)
    item_id = _find_ids(table, wanted)
    targets = _find_targets(table, wanted.targets, has_ids=item_id is not None)
    covariates = _named_covariates(table, wanted, item_id, targets)
    lists = [is_list_type(table.type_of(target)) for target in targets]
    if any(lists):
        if not all(lists):
            raise table.refuse(
                "some targets are lists and some are not", "--targets (schema.target_columns)"
            )
        return replace(_list_layout(table, wanted, item_id, targets), covariates=covariates)
    timestamp = _find(
        table, wanted.timestamp, _TIMES, "--timestamp_column (schema.datetime_column)", is_time_type
    )
    if timestamp is None:
        raise table.refuse(
            "no timestamp column is recognised", "--timestamp_column (schema.datetime_column)"
        )
    kind: Literal["long", "wide"] = "long" if item_id else "wide"
    return Layout(kind, item_id, timestamp, targets, covariates=covariates)


def recognise_keys(schema: pa.Schema, wanted: ColumnNames, name: str) -> tuple[str | None, str]:
    """Return the columns of ids and of timestamps; ``None`` in place of ids where all is one item.

    What else a table holds does not matter here, as it does in `recognise`.

    Raises
    ------
    SchemaError
        When there are no timestamps, or a column is ambiguous or of an unusable type.
    """
    table = _Table(schema, name)
    item_id = _find_ids(table, wanted)
    setting = "--timestamp_column (schema.datetime_column)"
    timestamp = _find(table, wanted.timestamp, _TIMES, setting, is_time_type)
    if timestamp is None:
        raise table.refuse("no timestamp column is recognised", setting)
    return item_id, timestamp


def _find_ids(table: _Table, wanted: ColumnNames) -> str | None:
    """Return the column of ids; one that is called so and cannot serve is no value to be passed by.

    Without it the rows of all items would be those of one.
    """
    setting = "--item_column (schema.item_id_column)"
    found = _find(table, wanted.item_id, _IDS, setting, is_id_type)
    if found is None:
        called = [n for n in table.schema.names if n.lower() in {*_IDS[0], *_IDS[1]}]
        if called and pa.types.is_floating(table.type_of(called[0])):
            raise SchemaError(
                f"{table.name}: ids of type {table.type_of(called[0])} in {called[0]!r} cannot "
                "name items",
                hint="make them whole numbers or texts (whole numbers with one missing become "
                "floats), or rename the column if it is a value",
            )
    return found


def is_list_type(kind: pa.DataType) -> bool:
    """Tell whether a column holds a list per row."""
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _find(
    table: _Table,
    given: str | None,
    groups: Sequence[tuple[str, ...]],
    setting: str,
    usable: Callable[[pa.DataType], bool],
) -> str | None:
    if given is not None:
        return table.named(given, setting, usable)
    names = table.of_type(usable)
    for group in groups:
        found = [name for name in names if name.lower() in group]
        if len(found) > 1:
            raise table.refuse(f"{' and '.join(found)} could both be it", setting)
        if found:
            return found[0]
    return None


def _find_targets(table: _Table, given: tuple[str, ...], *, has_ids: bool) -> tuple[str, ...]:
    setting = "--targets (schema.target_columns)"
    if given:
        return tuple(table.named(target, setting, _is_target_type) for target in given)
    several = tuple(
        name for name in table.of_type(_is_target_type) if name.lower().startswith(_PREFIX)
    )
    if several and not has_ids:
        return several
    single = _find(table, None, _TARGETS[:1], setting, _is_target_type)
    if several and single:
        raise table.refuse(f"{single} and {_PREFIX}* could both be the target", setting)
    single = single or (None if several else _find(table, None, _TARGETS, setting, _is_target_type))
    if not several and single is None:
        raise table.refuse("no target column is recognised", setting)
    return several or (str(single),)


def _named_covariates(
    table: _Table, wanted: ColumnNames, item_id: str | None, targets: tuple[str, ...]
) -> tuple[str, ...]:
    setting = "--past_covariates or --known_covariates"
    for name in wanted.covariates:
        if name == item_id or wanted.covariates.count(name) > 1:
            raise table.refuse(f"{name!r} can't be a covariate: it is in use already", setting)
        if name in targets:
            raise table.refuse(f"{name!r} is a target, and a covariate as well", setting)
    usable = (
        _is_covariate_list
        if any(is_list_type(table.type_of(target)) for target in targets)
        else is_covariate_type
    )
    return tuple(table.named(name, setting, usable) for name in wanted.covariates)


def is_covariate_type(kind: pa.DataType) -> bool:
    """Tell whether a column of this type can be a covariate: a number or a category."""
    return is_value_type(kind) or is_category_type(kind)


def is_category_type(kind: pa.DataType) -> bool:
    """Tell whether a column holds categories: texts or truth values."""
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(is_text(plain) or pa.types.is_boolean(plain))


def _is_covariate_list(kind: pa.DataType) -> bool:
    return is_list_type(kind) and is_covariate_type(kind.value_type)


def _list_layout(
    table: _Table, wanted: ColumnNames, item_id: str | None, targets: tuple[str, ...]
) -> Layout:
    timestamp = _find(
        table,
        wanted.timestamp,
        (*_TIMES, *_STARTS),
        "--timestamp_column (schema.datetime_column)",
        _is_clock,
    )
    if timestamp is None:
        raise table.refuse(
            "no timestamps or start for the lists", "--timestamp_column (schema.datetime_column)"
        )
    freq = None
    if not is_list_type(table.type_of(timestamp)):
        freq = _find(table, None, (("freq", "frequency"),), "freq", _is_text_or_code)
    return Layout("list", item_id, timestamp, targets, freq)


def _is_clock(kind: pa.DataType) -> bool:
    return is_time_type(kind.value_type if is_list_type(kind) else kind)


def _is_target_type(kind: pa.DataType) -> bool:
    return is_value_type(kind.value_type if is_list_type(kind) else kind)


def _is_text_or_code(kind: pa.DataType) -> bool:
    return is_text(kind.value_type if pa.types.is_dictionary(kind) else kind)


FLAG_SUFFIX = "_outlier"


ANOMALY = f"row{FLAG_SUFFIX}"
