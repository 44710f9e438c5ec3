"""The recognition of a table's layout: which column holds ids, timestamps and targets.

The columns alone decide between three layouts:

======  ==============================================================================
long    item id, timestamp and one or more targets, with a row per point
wide    the same without an item id: the whole table is a single item
list    lists of values (and of timestamps, or a scalar ``start``), with a row per series
======  ==============================================================================

Names in the settings win. Otherwise the first group of `_IDS`, `_TIMES` and `_TARGETS` with a
present name decides, whatever the case of its letters and the spaces around it; two names of a
group are ambiguous. ``target_*`` columns win over ``target`` in a table without ids (where
``target`` is a derived feature); in a table with ids, having both is ambiguous. The flags that
cleaning adds (booleans named ``x_outlier``) are never recognised. Columns of an unusable type are
not recognised, and are an error if named in the settings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pyarrow as pa

from gigacast.core.listing import are_times, listed_columns, near_column, proposed_columns
from gigacast.errors import SchemaError
from gigacast.series.identity import is_id_type
from gigacast.series.source import ColumnNames
from gigacast.series.timestamp import is_text, is_time_type
from gigacast.series.value import is_category_type, is_covariate_type, is_value_type

_IDS = (("item_id", "unique_id"), ("series_id", "ts_id", "id", "item", "symbol"))
_TIMES = (("timestamp", "ds"), ("datetime", "date", "time"))
_UNNAMED = (("__index_level_0__", ""),)
_LIKE_TIMES = {"datum", "day", "dt", "hour", "month", "period", "quarter", "week", "year"}
"""Names that are proposed, and not recognised: the year may be beside the month."""
_STARTS = (("start",),)
_TARGETS = (("target", "y"), ("value", "values"))
_PREFIX = "target_"
_ITEMS_SETTING = "--item_columns (schema.item_columns)"
_TIMESTAMP_SETTING = "--timestamp_column (schema.datetime_column)"

FLAG_SUFFIX = "_outlier"
"""Ending of the boolean columns that cleaning adds: whether a column's value is an outlier."""

JOIN_HALVES = "write both in one column, as 2024-01-31 10:15 or 2024-01"
"""What to do with dates and times of day in two columns."""

ITEM_KEY = "\0item_key"
"""Column that the reader makes of several id columns. No column of a file has such a name."""

ANOMALY = f"row{FLAG_SUFFIX}"
"""Column that cleaning adds: whether the whole row is an outlier."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a table.

    Parameters
    ----------
    kind : str
        Layout: ``long``, ``wide`` or ``list``.
    item_id : str or None
        Column of item ids; ``None`` in wide tables.
    timestamp : str
        Column of timestamps, or of the starts of lists.
    targets : tuple of str
        Columns of targets, K.
    freq : str, optional
        Column with the frequency of each list that has a start.
    covariates : tuple of str
        Columns of covariates, V.
    items : tuple of str
        Columns whose values make up the item key, which ``item_id`` then names; none by default.
    """

    kind: Literal["long", "wide", "list"]
    item_id: str | None
    timestamp: str
    targets: tuple[str, ...]
    freq: str | None = None
    covariates: tuple[str, ...] = ()
    items: tuple[str, ...] = ()

    @property
    def id_names(self) -> tuple[str, ...]:
        """Columns of item ids as they are in the source; none in wide tables."""
        return self.items or ((self.item_id,) if self.item_id is not None else ())

    @property
    def columns(self) -> list[str]:
        """All columns to read."""
        names = (self.item_id, self.timestamp, self.freq, *self.targets, *self.covariates)
        return [name for name in names if name is not None]


@dataclass(frozen=True, slots=True)
class _Table:
    """A schema, with the name of its object for error messages.

    In a file that ``holds_text`` the types are guesses, and any column can be read as text.
    """

    schema: pa.Schema
    name: str
    holds_text: bool = False

    def of_type(self, usable: Callable[[pa.DataType], bool]) -> list[str]:
        return [
            field.name
            for field in self.schema
            if usable(field.type) and not _is_flag(field.name, field.type)
        ]

    def type_of(self, column: str) -> pa.DataType:
        self.check_unique(column)
        return self.schema.field(column).type

    def check_unique(self, column: str) -> None:
        if self.schema.names.count(column) > 1:
            raise SchemaError(
                f"{self.name}: more than one column is called {column!r}",
                hint="rename one of them, or leave it out",
            )

    def refuse(self, problem: str, setting: str, candidates: Sequence[str] = ()) -> SchemaError:
        """Return the refusal of a table; the hint proposes the candidates, if they are few."""
        hint = f"name the column by {proposed_columns(setting, candidates)}"
        if are_times(self.schema.names):
            hint = f"write a row for each time, as the columns are times (pandas: melt); or {hint}"
        listing = listed_columns(self.schema)
        return SchemaError(f"{self.name}: {problem}; the columns are {listing}", hint=hint)

    def named(self, column: str, setting: str, usable: Callable[[pa.DataType], bool]) -> str:
        indices = self.schema.get_all_field_indices(column)
        if len(indices) != 1:
            problem = "there is no column" if not indices else "there is more than one column"
            near = "" if indices else near_column(column, self.schema.names)
            raise self.refuse(f"{problem} {column!r}", f"{setting}; {near}" if near else setting)
        if not usable(kind := self.type_of(column)):
            if usable is _is_target_type and is_category_type(kind):
                setting += "; text is no value: write plain numbers, without units or marks as %"
            raise self.refuse(f"column {column!r} has the unusable type {kind}", setting)
        return column


def _is_flag(name: str, kind: pa.DataType) -> bool:
    """Check whether a column holds the outlier flags of another column."""
    return name.endswith(FLAG_SUFFIX) and bool(pa.types.is_boolean(kind))


def names_ids(name: str) -> bool:
    """Check whether a column of this name is recognised as that of item ids."""
    return _plain(name) in {*_IDS[0], *_IDS[1]}


def names_values(name: str) -> bool:
    """Check whether a column of this name is recognised as a target."""
    return _plain(name) in {*_TARGETS[0], *_TARGETS[1]} or _plain(name).startswith(_PREFIX)


def _plain(name: str) -> str:
    """Return a name without what does not tell names apart: case, marks and spaces around it."""
    return name.strip().strip("\ufeff").strip().lower()


def recognise(
    schema: pa.Schema, columns: ColumnNames, name: str, *, holds_text: bool = False
) -> Layout:
    """Return the layout of a table.

    Parameters
    ----------
    schema : pa.Schema
        Schema of the table.
    columns : ColumnNames
        Columns named by the settings.
    name : str
        Name of the object, for error messages.
    holds_text : bool
        Whether the types are guesses, as those of CSV are. Ids are then text, whatever they look
        like.

    Raises
    ------
    SchemaError
        If a column is missing, ambiguous or of an unusable type.
    """
    table = _Table(schema, name, holds_text)
    item_id = _find_ids(table, columns)
    targets = _find_targets(table, columns.targets, has_ids=item_id is not None)
    covariates = _named_covariates(table, columns, item_id, targets)
    lists = [is_list_type(table.type_of(target)) for target in targets]
    if any(lists):
        if not all(lists):
            raise table.refuse(
                "some targets are lists and some are not", "--targets (schema.target_columns)"
            )
        lists_layout = _list_layout(table, columns, item_id, targets)
        layout = replace(lists_layout, covariates=covariates, items=columns.items)
        return _checked_items(layout, table)
    timestamp = _find_times(table, columns)
    kind: Literal["long", "wide"] = "long" if item_id else "wide"
    return _checked_items(
        Layout(kind, item_id, timestamp, targets, None, covariates, columns.items), table
    )


def _checked_items(layout: Layout, table: _Table) -> Layout:
    """Return a layout whose item columns have no other use, and each of whose names is unique."""
    for name in {*layout.columns, *layout.items}:
        table.check_unique(name)
    used = [n for n in (*layout.id_names, layout.timestamp, layout.freq, *layout.targets) if n]
    doubled = next((name for name in used if used.count(name) > 1), None)
    if doubled is not None:
        role = "a column of items" if doubled in layout.items else "two columns"
        raise table.refuse(f"{doubled!r} can't be {role}: it is already in use", _ITEMS_SETTING)
    return layout


def recognise_keys(
    schema: pa.Schema, columns: ColumnNames, name: str
) -> tuple[tuple[str, ...], str]:
    """Return the columns of ids, none in a wide table, and the column of timestamps.

    Unlike in `recognise`, the other columns do not matter.

    Raises
    ------
    SchemaError
        If there are no timestamps, or a column is ambiguous or of an unusable type.
    """
    table = _Table(schema, name)
    item_id = _find_ids(table, columns)
    timestamp = _find_times(table, columns)
    return Layout("long", item_id, timestamp, (), items=columns.items).id_names, timestamp


def _find_times(table: _Table, columns: ColumnNames) -> str:
    """Return the column of timestamps, or raise that there is none."""
    timestamp = _find(table, columns.timestamp, _TIMES, _TIMESTAMP_SETTING, is_time_type)
    # An index without a name, as pandas writes it.
    timestamp = timestamp or _find(table, None, _UNNAMED, _TIMESTAMP_SETTING, _is_moment)
    if timestamp is None:
        problem = _none_of(table, _TIMES, "timestamps", "no timestamp column is recognised")
        names = table.of_type(is_time_type)
        moments = table.of_type(_is_moment) or [n for n in names if _plain(n) in _LIKE_TIMES]
        raise table.refuse(problem, _TIMESTAMP_SETTING, moments[:1])
    return timestamp


def _is_moment(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _find_ids(table: _Table, columns: ColumnNames) -> str | None:
    """Return the column of ids, `ITEM_KEY` for several, or ``None`` if there is none.

    Raises
    ------
    SchemaError
        If a column has the name of an id column but a type that names nothing, as floats do.
    """
    setting = "--item_column (schema.item_id_column)"
    usable = (lambda _: True) if table.holds_text else is_id_type
    if columns.items:
        for name in columns.items:
            table.named(name, _ITEMS_SETTING, usable)
        return ITEM_KEY
    id_column = _find(table, columns.item_id, _IDS, setting, usable)
    # pandas turns integer ids into floats when one is missing. Without the error such a table
    # would count as wide, and the rows of all items would silently become a single series.
    if id_column is None:
        candidates = [n for n in table.schema.names if names_ids(n)]
        if candidates:
            kind = table.schema.field(table.schema.names.index(candidates[0])).type
            raise SchemaError(
                f"{table.name}: column {candidates[0]!r} of type {kind} cannot hold item ids",
                hint="make them whole numbers or texts (whole numbers with one missing become "
                "floats), or rename the column if it is a value",
            )
    return id_column


def is_list_type(kind: pa.DataType) -> bool:
    """Check whether a column holds a list per row."""
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _find(
    table: _Table,
    named: str | None,
    groups: Sequence[tuple[str, ...]],
    setting: str,
    usable: Callable[[pa.DataType], bool],
) -> str | None:
    """Return the column named by the settings, or the one of the first group that is present."""
    if named is not None:
        return table.named(named, setting, usable)
    names = table.of_type(usable)
    for group in groups:
        candidates = [name for name in names if _plain(name) in group]
        if len(candidates) > 1:
            problem = f"the columns {' and '.join(candidates)} are ambiguous"
            halves = [name for name in candidates if _plain(name) == "time"]
            remedy = (
                f"{setting}; if {halves[0]!r} has times of day, {JOIN_HALVES}"
                if halves
                else setting
            )
            raise table.refuse(problem, remedy)
        if candidates:
            return candidates[0]
    return None


def _none_of(table: _Table, groups: Sequence[tuple[str, ...]], content: str, problem: str) -> str:
    """Return why no column is recognised: one has the name but not the type, or the problem."""
    names = {name for group in groups for name in group}
    for field in table.schema:
        name = _plain(field.name)
        if name in names or (groups is _TARGETS and name.startswith(_PREFIX)):
            return f"{problem}: column {field.name!r} of type {field.type} cannot hold {content}"
    return problem


def _find_targets(table: _Table, named: tuple[str, ...], *, has_ids: bool) -> tuple[str, ...]:
    setting = "--targets (schema.target_columns)"
    if named:
        return tuple(table.named(target, setting, _is_target_type) for target in named)
    several = tuple(
        name for name in table.of_type(_is_target_type) if _plain(name).startswith(_PREFIX)
    )
    if several and not has_ids:
        return several
    single = _find(table, None, _TARGETS[:1], setting, _is_target_type)
    if several and single:
        raise table.refuse(f"{single} and {_PREFIX}* are ambiguous targets", setting)
    single = single or (None if several else _find(table, None, _TARGETS, setting, _is_target_type))
    if not several and single is None:
        problem = _none_of(table, _TARGETS, "values", "no target column is recognised")
        raise table.refuse(problem, setting, _like_values(table))
    return several or (str(single),)


def _like_values(table: _Table) -> list[str]:
    """Return the columns that may be targets: numbers whose names are not those of ids or times."""
    reserved = {*_TIMES[0], *_TIMES[1], *_LIKE_TIMES}
    names = table.of_type(is_value_type)
    return [n for n in names if n.strip() and not names_ids(n) and _plain(n) not in reserved]


def _named_covariates(
    table: _Table, columns: ColumnNames, item_id: str | None, targets: tuple[str, ...]
) -> tuple[str, ...]:
    setting = "--past_covariates or --known_covariates"
    for name in columns.covariates:
        if name in {item_id, *columns.items} or columns.covariates.count(name) > 1:
            raise table.refuse(f"{name!r} can't be a covariate: it is already in use", setting)
        if name in targets:
            raise table.refuse(f"{name!r} is both a target and a covariate", setting)
    usable = (
        _is_covariate_list
        if any(is_list_type(table.type_of(target)) for target in targets)
        else is_covariate_type
    )
    return tuple(table.named(name, setting, usable) for name in columns.covariates)


def _is_covariate_list(kind: pa.DataType) -> bool:
    return is_list_type(kind) and is_covariate_type(kind.value_type)


def _list_layout(
    table: _Table, columns: ColumnNames, item_id: str | None, targets: tuple[str, ...]
) -> Layout:
    groups = (*_TIMES, *_STARTS)
    timestamp = _find(table, columns.timestamp, groups, _TIMESTAMP_SETTING, _is_clock)
    if timestamp is None:
        problem = "the lists have neither timestamps nor a start"
        raise table.refuse(_none_of(table, groups, "timestamps", problem), _TIMESTAMP_SETTING)
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
