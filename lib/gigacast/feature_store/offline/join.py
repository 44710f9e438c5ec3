"""Rows of a join: the left side with the features of its parts, point in time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gigacast.feature_store.definition.group_by import Derivation
from gigacast.feature_store.definition.join import ExternalPart, ExternalSource, Join, JoinPart
from gigacast.feature_store.definition.name import (
    PARTITION_COLUMN,
    TIME_COLUMN,
    aggregated_columns,
    computed_columns,
    derived_columns,
    external_columns,
    group_by_columns,
    name_of,
    part_columns,
    skew_filter,
    skewed_keys,
)
from gigacast.feature_store.engine.engine import Engine
from gigacast.feature_store.offline.bootstrap import Bootstrap
from gigacast.feature_store.offline.left import Left, LeftDay, LeftSide
from gigacast.feature_store.offline.part import PartView
from gigacast.feature_store.offline.source import Catalog, Input
from gigacast.feature_store.offline.value_type import arrow_type

Ready = Callable[[JoinPart], pa.Table | None]
"""Function that returns features of a part that were computed before."""


@dataclass(frozen=True)
class BoundPart:
    """A part of a join, as its left side sees it.

    Parameters
    ----------
    part : JoinPart
    view : PartView
    keys : tuple of str
        Columns of the left side that are the group-by's keys.
    columns : tuple of str
        Names of the features in the join.
    """

    part: JoinPart
    view: PartView
    keys: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True)
class BoundParts:
    """The parts of a join and their tables, for any rows on the left.

    Parameters
    ----------
    join : Join
    parts : tuple of BoundPart
    external : tuple of (ExternalPart, BoundPart or None)
        External parts, with what is backfilled in place of the service's answers.
    bootstraps : tuple of Bootstrap
        Tables whose values come before computed ones.
    """

    join: Join
    parts: tuple[BoundPart, ...]
    external: tuple[tuple[ExternalPart, BoundPart | None], ...]
    bootstraps: tuple[Bootstrap, ...]

    @classmethod
    def of_rows(cls, catalog: Catalog, join: Join) -> "BoundParts":
        """Return the parts of a join whose left side is not its table, but given events.

        Raises
        ------
        DataNotFoundError
            If a table has no files.
        """
        return BoundParts(join, *_bind_all(catalog, join, left_is_events=True), ())

    @property
    def label(self) -> str:
        """Name and place, for messages."""
        place = f"{self.join.place}: " if str(self.join.place) else ""
        return f"{place}join {name_of(self.join)}"

    def part_inputs(self, day: LeftDay) -> list[Input]:
        """Return the partitions that the features of a left partition depend on, sorted."""
        views = [part.view for part in self.parts]
        views += [part.view for _, part in self.external if part is not None]
        return sorted({entry for view in views for entry in view.inputs(day)})

    def beside(self, engine: Engine, base: Left, ready: Ready = lambda _: None) -> pa.Table:
        """Return rows with all features beside them; see `rows`."""
        day = base.day
        served = self.bootstrapped(engine, base)
        features: dict[str, pa.ChunkedArray] = {}
        for part in self.parts:
            features |= self._part(engine, base, part, served, ready)
        for external, bound in self.external:
            features |= self._external(engine, base, external, bound)
        features = {name: _first(served.get(name), values) for name, values in features.items()}
        table = _with_columns(base.rows, features)
        if self.join.derivations:
            names = computed_columns(self.join)
            table = derive(
                engine, _with_day(table, day), names, self.join.derivations, label=self.label
            )
            derived = {
                name: _first(served.get(name), table[name])
                for name in derived_columns(names, self.join.derivations)
            }
            table = _with_columns(base.rows, derived)
        return table

    def bootstrapped(self, engine: Engine, base: Left) -> dict[str, pa.ChunkedArray]:
        """Return the values that come before computed ones, by feature."""
        served: dict[str, pa.ChunkedArray] = {}
        for table in self.bootstraps:
            for name, values in table.values(engine, base).items():
                served[name] = _first(served.get(name), values)
        return served

    def part_rows(self, engine: Engine, base: Left, part: BoundPart) -> pa.Table:
        """Return the features of a part at the left side's rows, by their names in the join."""
        rows = base
        mask = self._skewed(engine, base, part)
        if mask is not None:
            timed = base.timed & mask
            rows = Left(base.day, base.rows, base.times, timed)
        table = part.view.features(engine, rows, part.keys)
        group_by = part.view.group_by
        if group_by.derivations:
            names = aggregated_columns(group_by)
            visible = _with_day(
                _with_columns(
                    _renamed(base.rows, part), dict(zip(names, table.columns, strict=True))
                ),
                base.day,
            )
            label = f"group-by {name_of(group_by)}"
            table = derive(engine, visible, names, group_by.derivations, label=label)
        values = [table[name] for name in group_by_columns(group_by)]
        return pa.table(values, names=list(part.columns))

    def _part(
        self,
        engine: Engine,
        base: Left,
        part: BoundPart,
        served: Mapping[str, pa.ChunkedArray],
        ready: Ready,
    ) -> dict[str, pa.ChunkedArray]:
        covered = [served[name] for name in part.columns if name in served]
        if len(covered) == len(part.columns) and not any(values.null_count for values in covered):
            return dict(zip(part.columns, covered, strict=True))
        table = ready(part.part)
        table = self.part_rows(engine, base, part) if table is None else table
        return {name: table[name] for name in part.columns}

    def _skewed(self, engine: Engine, base: Left, part: BoundPart) -> NDArray[np.bool_] | None:
        """Return the rows that get features of a part; None for all."""
        condition = skew_filter(self.join, part.part)
        if condition is None:
            return None
        keys = skewed_keys(self.join, part.part)
        columns = {
            key: base.rows[name]
            for key, name in zip(part.view.group_by.keys, part.keys, strict=True)
            if key in keys
        }
        table = engine.project(pa.table(columns), {"wanted": condition}, self.label)
        mask: NDArray[np.bool_] = pc.fill_null(table["wanted"], True).to_numpy()
        return mask

    def _external(
        self, engine: Engine, base: Left, part: ExternalPart, bound: BoundPart | None
    ) -> dict[str, pa.ChunkedArray]:
        """Return values of an external part: backfilled, brought by the left side, or null."""
        names = external_columns(part)
        if bound is not None:
            table = self.part_rows(engine, base, bound)
            return {name: table[name] for name in names}
        columns: dict[str, pa.ChunkedArray] = {}
        mapping = {right: mine for mine, right in (part.key_mapping or {}).items()}
        for name, (field, kind) in zip(names, part.source.value_fields, strict=True):
            source = mapping.get(field, field)
            target = arrow_type(kind, self.label)
            brought = (
                not isinstance(part.source, ExternalSource) and source in base.rows.column_names
            )
            values = (
                base.rows[source].cast(target) if brought else pa.nulls(base.rows.num_rows, target)
            )
            columns[name] = pa.chunked_array([values]) if isinstance(values, pa.Array) else values
        return columns


@dataclass(frozen=True)
class BoundJoin(BoundParts):
    """A join, its tables and its parts.

    Parameters
    ----------
    left : LeftSide
    """

    left: LeftSide

    @classmethod
    def of(cls, catalog: Catalog, join: Join) -> "BoundJoin":
        """Return a join with its tables.

        Raises
        ------
        DataNotFoundError
            If a table has no files.
        """
        bound = _bind_all(catalog, join, left_is_events=join.left.is_events)
        return cls(join, *bound, Bootstrap.all_of(catalog, join), LeftSide.of(catalog, join))

    def inputs(self, day: LeftDay) -> list[Input]:
        """Return the partitions that the rows of a day depend on, sorted and each once."""
        return sorted({*self.left_inputs(day), *self.part_inputs(day)})

    def left_inputs(self, day: LeftDay, *, bootstraps: bool = True) -> list[Input]:
        """Return the partitions of the left side, and those of the bootstraps, sorted."""
        bound = self.left.bound
        inputs = [bound.input(group) for group in self.left.groups(day.day)]
        if bootstraps:
            inputs += [entry for table in self.bootstraps for entry in table.inputs(day.day)]
        return sorted(set(inputs))

    def rows(self, engine: Engine, day: str, ready: Ready = lambda _: None) -> pa.Table:
        """Return the left side of a day with all features; the day itself is in the key.

        Parameters
        ----------
        engine : Engine
        day : str
        ready : function, optional
            Returns the features of a part that are in the store; computed by default.

        Raises
        ------
        SchemaError, DataError, ConfigError
            With the name of the definition.
        """
        return self.beside(engine, self.left.read(engine, day), ready)


def _bind_all(
    catalog: Catalog, join: Join, *, left_is_events: bool
) -> tuple[tuple[BoundPart, ...], tuple[tuple[ExternalPart, BoundPart | None], ...]]:
    parts = tuple(
        bind_part(catalog, part, left_is_events=left_is_events) for part in join.right_parts
    )
    external = tuple(
        (part, _bind_external(catalog, part, left_is_events=left_is_events))
        for part in join.online_external_parts or ()
    )
    return parts, external


def bind_part(
    catalog: Catalog, part: JoinPart, *, left_is_events: bool, columns: Sequence[str] | None = None
) -> BoundPart:
    """Return a part with its tables, and the left side's names of its keys."""
    mapping = {right: base for base, right in (part.key_mapping or {}).items()}
    keys = tuple(mapping.get(key, key) for key in part.group_by.keys)
    view = PartView.of(catalog, part.group_by, left_is_events=left_is_events)
    return BoundPart(part, view, keys, tuple(columns or part_columns(part)))


def _bind_external(
    catalog: Catalog, part: ExternalPart, *, left_is_events: bool
) -> BoundPart | None:
    offline = getattr(part.source, "offline_group_by", None)
    if offline is None:
        return None
    inner = JoinPart(
        group_by=offline, key_mapping=part.key_mapping, prefix=part.prefix, place=part.place
    )
    start = external_columns(part)[0].removesuffix(part.source.value_fields[0][0])
    columns = [f"{start}{name}" for name in group_by_columns(offline)]
    return bind_part(catalog, inner, left_is_events=left_is_events, columns=columns)


def derive(
    engine: Engine,
    rows: pa.Table,
    features: Sequence[str],
    derivations: Sequence[Derivation],
    *,
    label: str,
) -> pa.Table:
    """Return the columns of derivations over rows.

    Parameters
    ----------
    engine : Engine
    rows : pyarrow.Table
        Columns that expressions may name.
    features : sequence of str
        Columns that ``*`` stands for.
    derivations : sequence of Derivation
    label : str
        Definition, for messages.
    """
    written = {entry.name: entry.expression for entry in derivations if entry.name != "*"}
    names = derived_columns(features, derivations)
    columns = {name: written.get(name, f"`{name}`") for name in names}
    return engine.project(rows, columns, label)


def _first(
    first: pa.ChunkedArray | None, second: pa.ChunkedArray | pa.Array
) -> pa.ChunkedArray | pa.Array:
    """Return values with those of another column in the place of nulls."""
    if first is None or first is second:
        return second
    return pc.coalesce(first.cast(second.type), second)


def _with_columns(table: pa.Table, columns: Mapping[str, pa.ChunkedArray]) -> pa.Table:
    for name, values in columns.items():
        index = table.schema.get_field_index(name)
        table = (
            table.append_column(name, values)
            if index < 0
            else table.set_column(index, name, values)
        )
    return table


def _with_day(table: pa.Table, day: str) -> pa.Table:
    return _with_columns(table, {PARTITION_COLUMN: pa.repeat(day, table.num_rows)})


def _renamed(rows: pa.Table, part: BoundPart) -> pa.Table:
    """Return the keys of a part by its own names, and the time."""
    names = dict(zip(part.view.group_by.keys, part.keys, strict=True))
    columns = {key: rows[name] for key, name in names.items()}
    if TIME_COLUMN in rows.column_names:
        columns.setdefault(TIME_COLUMN, rows[TIME_COLUMN])
    return pa.table(columns)
