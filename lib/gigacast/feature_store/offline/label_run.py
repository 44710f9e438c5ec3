"""The backfills of a day's labels: first the labels, then the features beside them."""

from collections.abc import Iterator
from dataclasses import replace

from gigacast.errors import ConfigError
from gigacast.feature_store.definition.join import Join
from gigacast.feature_store.definition.name import kind_of, name_of, table_name
from gigacast.feature_store.offline.label import labeled_span
from gigacast.feature_store.offline.result import BackfillResult, Days
from gigacast.feature_store.offline.run import backfill_days
from gigacast.feature_store.offline.stage import Backfill
from gigacast.feature_store.table import Tables
from gigacast.job.run import RunEvents, utc_now
from gigacast.lake.feature_layout import feature_table_prefix
from gigacast.lake.plan.audit import Clock


def label_days(
    backfill: Backfill,
    day: str,
    *,
    events: RunEvents | None = None,
    clock: Clock = utc_now,
) -> tuple[BackfillResult, ...]:
    """Compute the labels of a join of a day, and its features beside them.

    Parameters
    ----------
    backfill : Backfill
        Of a join with labels.
    day : str
        Day of the labels.
    events : RunEvents, optional
    clock : callable

    Returns
    -------
    tuple of BackfillResult
        The labels; and the features with labels, where the join is backfilled.

    Raises
    ------
    DefinitionError, DataNotFoundError, ConfigError, StorageError
        As `backfill_days`.
    """
    results: list[BackfillResult] = []
    for stage, days in label_stages(backfill, day):
        results.append(backfill_days(stage, days, events=events, clock=clock))
        if results[-1].failures:
            break
    return tuple(results)


def label_stages(backfill: Backfill, day: str) -> Iterator[tuple[Backfill, Days]]:
    """Yield the backfills of a day's labels, and of the features beside them.

    Each must be done before the next is taken, which reads what it wrote.

    Raises
    ------
    ConfigError
        If the definition is no join with labels.
    """
    definition = backfill.definition
    if not isinstance(definition, Join):
        raise ConfigError(
            f"{name_of(definition)} is a {kind_of(definition)}", hint="name a join with labels"
        )
    span = labeled_span(definition, day)
    days = Days(span.first, span.last)
    yield replace(backfill, kind="labels", label_day=day), days
    store = Tables.at(backfill.root, backfill.places).store
    prefix = feature_table_prefix(table_name(definition))
    if next(iter(store.list(prefix)), None) is not None:
        yield replace(backfill, kind="labeled"), days
