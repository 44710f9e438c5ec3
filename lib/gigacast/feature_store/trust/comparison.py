"""Logged answers as tables: by themselves, and beside a backfill of the same requests."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.digest import digest_value
from gigacast.feature_store.definition.expression import columns_in
from gigacast.feature_store.definition.group_by import Derivation, GroupBy
from gigacast.feature_store.definition.join import ContextualSource, Join, JoinPart
from gigacast.feature_store.definition.name import (
    TIME_COLUMN,
    aggregated_columns,
    computed_columns,
    derived_columns,
    external_columns,
    join_columns,
    part_columns,
    part_name,
    table_name,
)
from gigacast.feature_store.engine.engine import DaySpan, Engine
from gigacast.feature_store.offline.join import BoundPart, BoundParts
from gigacast.feature_store.offline.left import Left, LeftDay
from gigacast.feature_store.offline.part import PartView
from gigacast.feature_store.offline.product import FORMAT_REVISION
from gigacast.feature_store.offline.source import Catalog, Input
from gigacast.feature_store.offline.value_type import arrow_type
from gigacast.feature_store.trust.bound import bounding, columns_of_bounds, inside, sketched
from gigacast.feature_store.trust.equality import Bools
from gigacast.feature_store.trust.log_days import RequestLogDays
from gigacast.feature_store.trust.logged import batch_ends_of, failures_of, features_of, keys_of
from gigacast.feature_store.trust.logged_definition import Logged
from gigacast.lake.feature_layout import feature_partition_key
from gigacast.storage.store import Store

LOGGED_AT, ERRORS = "logged_ms", "errors"
SERVED, BACKFILLED, INSIDE = "_served", "_backfilled", "_inside"
"""Ends of the columns of a feature: the answer, the backfill, and whether a sketch is in bounds."""


@dataclass(frozen=True)
class LoggedProduct:
    """The logged answers of a definition as a table, of which features may be bootstrapped.

    Parameters
    ----------
    bound : BoundParts
    log : RequestLogDays
    """

    bound: BoundParts
    log: RequestLogDays

    @classmethod
    def of(cls, catalog: Catalog, definition: Join | GroupBy) -> Self:
        """Return the logged answers of a join or group-by.

        Raises
        ------
        DataNotFoundError
            If nothing is logged, or a table has no files.
        """
        logged = Logged(definition)
        log = RequestLogDays.of(catalog.tables.store, logged)
        return cls(BoundParts.of_rows(catalog, logged.join), log)

    @property
    def table(self) -> str:
        """Name of the table."""
        return table_name(self.bound.join, "logged")

    @property
    def label(self) -> str:
        """Kind and name of the definition."""
        return f"logged answers of the {self.log.logged.label}"

    @property
    def digest(self) -> str:
        """Digest of what decides the rows besides the inputs."""
        return digest_value([type(self).__name__, self.log.definition, FORMAT_REVISION])

    def key(self, day: LeftDay) -> str:
        """Return the key of a day's file."""
        return feature_partition_key(self.table, day.day)

    def days(self, engine: Engine, store: Store, within: DaySpan) -> list[LeftDay]:
        """Return the days with answers of the definition."""
        days = [self.log.survey(day) for day in self.log.days if day in within]
        return [LeftDay(day.day, day.first, day.last, day.rows) for day in days if day.rows]

    def inputs(self, day: LeftDay) -> list[Input]:
        """Return the files of the log."""
        return [self.log.input(day.day)]

    def views(self) -> Sequence[PartView]:
        """Return nothing: no features are computed."""
        return []

    def rows(self, engine: Engine, day: LeftDay) -> pa.Table:
        """Return the answers of a day with the keys of their requests."""
        records = self.log.read(day.day)
        base = self._left(engine, records, day)
        empty = Left(day.day, base.rows.slice(0, 0), np.empty(0, np.int64), np.empty(0, np.bool_))
        kinds = self.bound.beside(engine, empty).schema
        columns = self.log.logged.columns
        served = features_of(records, {n: kinds.field(own).type for n, own in columns.items()})
        table = base.rows
        for name in columns:
            if name not in table.column_names:
                table = table.append_column(name, served[name])
        for name in (LOGGED_AT, ERRORS):
            table = table.append_column(name, records[name])
        return table

    def _left(self, engine: Engine, records: pa.Table, day: LeftDay) -> Left:
        """Return the requests as rows of a left side."""
        columns = keys_of(records, dict(self._key_types(engine, day)))
        times = records["at"].to_numpy()
        columns[TIME_COLUMN] = pa.array(times, pa.int64())
        return Left(day.day, pa.table(columns), times, np.ones(len(times), np.bool_))

    def _key_types(self, engine: Engine, day: LeftDay) -> Iterator[tuple[str, pa.DataType]]:
        """Yield the keys and contextual fields of requests; the first type of a name counts."""
        names: set[str] = set()
        external = [part for _, part in self.bound.external if part is not None]
        for part in (*self.bound.parts, *external):
            schema = part.view.schema(engine, day.day, day.day)
            for own, name in zip(part.view.group_by.keys, part.keys, strict=True):
                if name not in names:
                    names.add(name)
                    yield name, schema.field(own).type
        for written, _ in self.bound.external:
            mapping = {right: mine for mine, right in (written.key_mapping or {}).items()}
            for field, kind in written.source.key_fields:
                name = mapping.get(field, field)
                if name not in names:
                    names.add(name)
                    yield name, arrow_type(kind, self.label)


@dataclass(frozen=True)
class ComparisonProduct(LoggedProduct):
    """The logged answers of a join beside a backfill of the same requests."""

    @property
    def table(self) -> str:
        """Name of the table."""
        return table_name(self.bound.join, "comparison")

    def days(self, engine: Engine, store: Store, within: DaySpan) -> list[LeftDay]:
        """Return the days with answers of the definition whose sources have come."""
        return [day for day in super().days(engine, store, within) if not self.waits_for(day.day)]

    def waits_for(self, day: str) -> list[str]:
        """Return the tables of events that do not have a day of requests yet."""
        return [
            source.main.name
            for part in self.bound.parts
            if part.view.is_temporal
            for source in part.view.sources
            # Files outside folders of days may have any; of changes of entities there may be none.
            if source.source.is_events and "" < max(source.main.partitions) < day
        ]

    def inputs(self, day: LeftDay) -> list[Input]:
        """Return the files of the log and the partitions that the backfill reads."""
        return sorted({*super().inputs(day), *self.bound.part_inputs(day)})

    def views(self) -> Sequence[PartView]:
        """Return the group-bys whose source partitions are read as tiles."""
        external = [part for _, part in self.bound.external if part is not None]
        return [part.view for part in (*self.bound.parts, *external)]

    def rows(self, engine: Engine, day: LeftDay) -> pa.Table:
        """Return the answers of a day, each feature as it was served and as it is backfilled."""
        records = self.log.read(day.day)
        base = self._left(engine, records, day)
        moments = _Moments(self.bound, base, self._ends(records))
        right = self.bound.beside(engine, base, lambda part: moments.rows(engine, part))
        skipped = uncompared(self.log.logged)
        columns = {n: own for n, own in self.log.logged.columns.items() if n not in skipped}
        served = features_of(records, {n: right.field(own).type for n, own in columns.items()})
        bounds = self._bounds(engine, moments, {columns[n]: v for n, v in served.items()})
        table = base.rows
        for name, column in columns.items():
            table = table.append_column(f"{name}{SERVED}", served[name])
            table = table.append_column(f"{name}{BACKFILLED}", right[column])
            if column in bounds:
                table = table.append_column(f"{name}{INSIDE}", bounds[column])
        for name in (LOGGED_AT, ERRORS):
            table = table.append_column(name, records[name])
        return table

    def _ends(self, records: pa.Table) -> dict[str, pa.Array]:
        parts = self.log.logged.parts
        ends = batch_ends_of(records, list(parts))
        return {part: ends[name] for name, part in parts.items()}

    def _bounds(
        self, engine: Engine, moments: "_Moments", served: Mapping[str, pa.Array]
    ) -> dict[str, pa.Array]:
        """Return whether each answer of a sketch is within its bounds, by feature."""
        found: dict[str, pa.Array] = {}
        for part in self.bound.parts:
            group_by = bounding(part.view.group_by)
            if group_by is None:
                continue
            sources = tuple(replace(s, group_by=group_by) for s in part.view.sources)
            view = replace(part.view, group_by=group_by, sources=sources)
            exact = moments.features(engine, part, view)
            for name, (operation, bound) in columns_of_bounds(part.view.group_by).items():
                column = f"{part_name(part.part)}_{name}"
                if column in served:
                    values = exact[bound].combine_chunks()
                    found[column] = pa.array(inside(operation, served[column], values))
        return found


@dataclass(frozen=True)
class _Moments:
    """The moments at which the parts of answers were served.

    Parameters
    ----------
    bound : BoundParts
    base : Left
        Requests.
    ends : mapping of str to pyarrow.Array
        Ends of the batches that answered, by part.
    """

    bound: BoundParts
    base: Left
    ends: Mapping[str, pa.Array]

    def rows(self, engine: Engine, part: JoinPart) -> pa.Table | None:
        """Return the features of a part that is served as of the end of its batch; None if not."""
        bound = next(entry for entry in self.bound.parts if entry.part is part)
        if bound.view.is_temporal:
            return None
        return self.bound.part_rows(engine, self._left(bound), bound)

    def features(self, engine: Engine, part: BoundPart, view: PartView) -> pa.Table:
        """Return other features of a part's keys at the same moments."""
        return view.features(engine, self._left(part), part.keys)

    def _left(self, part: BoundPart) -> Left:
        if part.view.is_temporal:
            return self.base
        ends = self.ends[part_name(part.part)]
        times = pc.fill_null(ends, 0).to_numpy()
        return Left(self.base.day, self.base.rows, times, pc.is_valid(ends).to_numpy(False))


def uncompared(logged: Logged) -> dict[str, str]:
    """Return the features that a backfill says nothing of, and why."""
    join = logged.join
    reasons: dict[str, str] = {}
    for part in join.right_parts:
        group_by = part.group_by
        unknown = {
            name: "a sketch without bounds"
            for name in sketched(group_by)
            if name not in columns_of_bounds(group_by)
        }
        names = aggregated_columns(group_by)
        approximate = dict.fromkeys(sketched(group_by), "derived from a sketch")
        derived = _derived(names, group_by.derivations, approximate) if group_by.derivations else {}
        for name, reason in {**unknown, **derived}.items():
            reasons[f"{part_name(part)}_{name}"] = reason
    for external in join.online_external_parts or ():
        has_backfill = getattr(external.source, "offline_group_by", None) is not None
        if not isinstance(external.source, ContextualSource) and not has_backfill:
            reasons |= dict.fromkeys(external_columns(external), "an external source")
    if join.derivations:
        sketches = {
            f"{part_name(part)}_{name}": "derived from a sketch"
            for part in join.right_parts
            for name in sketched(part.group_by)
        }
        reasons |= _derived(computed_columns(join), join.derivations, {**sketches, **reasons})
    return {name: reasons[own] for name, own in logged.columns.items() if own in reasons}


def _derived(
    columns: Sequence[str], derivations: Sequence[Derivation], reasons: Mapping[str, str]
) -> dict[str, str]:
    """Return the reasons of columns that are computed of those with a reason."""
    written = {entry.name: entry.expression for entry in derivations if entry.name != "*"}
    return {
        name: reason
        for name in derived_columns(columns, derivations)
        if name in written
        for reason in [next((reasons[c] for c in columns_in(written[name]) if c in reasons), "")]
        if reason
    }


def failed_features(logged: Logged, errors: pa.ChunkedArray) -> dict[str, Bools]:
    """Return the rows without an answer, by feature.

    With derivations, all features of a row in which any part failed.
    """
    join = logged.join
    by_part, anything = failures_of(errors, [part_name(part) for part in join.right_parts])
    failed = dict.fromkeys(join_columns(join), anything)
    for part in () if join.derivations else join.right_parts:
        failed |= dict.fromkeys(part_columns(part), by_part[part_name(part)])
    return {name: failed[own] for name, own in logged.columns.items()}
