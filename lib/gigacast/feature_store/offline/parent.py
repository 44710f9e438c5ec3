"""The joins whose output a backfill reads, which are backfilled before it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gigacast.feature_store.definition.join import Join
from gigacast.feature_store.definition.name import name_of, table_name
from gigacast.feature_store.definition.staging_query import StagingQuery
from gigacast.feature_store.offline.left import LeftSide
from gigacast.feature_store.offline.result import FIRST_DAY, Days
from gigacast.feature_store.offline.source import Catalog, oldest_day
from gigacast.feature_store.offline.stage import FINISHED, Backfill
from gigacast.feature_store.table import Tables
from gigacast.lake.feature_layout import feature_table_prefix


def parents_of(backfill: Backfill, days: Days) -> Iterator[tuple[Backfill, Days]]:
    """Yield the joins whose output the group-bys read, and the days of it that they see."""
    definition = backfill.definition
    if isinstance(definition, StagingQuery) or backfill.kind in FINISHED:
        return
    group_bys = definition.group_bys if isinstance(definition, Join) else (definition,)
    parents: dict[str, tuple[Any, str]] = {}
    for group_by in group_bys:
        for source in group_by.sources:
            if source.joinSource is None:
                continue
            parent: Any = source.joinSource.join
            first = _first_day(backfill, days)
            oldest = max(oldest_day(group_by, first) if first else "", FIRST_DAY)
            _, before = parents.get(name_of(parent), (parent, oldest))
            parents[name_of(parent)] = parent, min(before, oldest)
    for parent, first in parents.values():
        span = Days(first, days.last)
        yield replace(backfill, definition=parent, only=None, kind="backfill"), span


def _first_day(backfill: Backfill, days: Days) -> str | None:
    """Return the first day of a run: that of the left side if none is given."""
    if days.first > FIRST_DAY or not isinstance(backfill.definition, Join):
        return days.first if days.first > FIRST_DAY else None
    catalog = Catalog(Tables.at(backfill.root, backfill.places))
    partitions = LeftSide.of(catalog, backfill.definition).bound.partitions
    return min((day for day in partitions if day), default=None)


def lacks_parent(backfill: Backfill) -> bool:
    """Return whether the output of a join that is read is not there yet."""
    tables = Tables.at(backfill.root, backfill.places)
    for parent, _ in parents_of(backfill, Days()):
        definition: Any = parent.definition
        if (
            next(iter(tables.store.list(feature_table_prefix(table_name(definition)))), None)
            is None
        ):
            return True
    return False
