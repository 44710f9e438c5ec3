"""Consistency: logged answers are backfilled again and compared, by hour."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.partition.task import Task
from gigacast.errors import ConfigError
from gigacast.feature_store.definition.name import (
    TIME_COLUMN,
    kind_of,
    name_of,
    table_name,
)
from gigacast.feature_store.definition.staging_query import StagingQuery
from gigacast.feature_store.offline.result import BackfillResult, Days
from gigacast.feature_store.offline.run import backfill_days
from gigacast.feature_store.offline.source import Catalog
from gigacast.feature_store.offline.stage import Backfill
from gigacast.feature_store.offline.worker import encode
from gigacast.feature_store.table import Tables
from gigacast.feature_store.trust.comparison import (
    BACKFILLED,
    ERRORS,
    INSIDE,
    SERVED,
    ComparisonProduct,
    failed_features,
    uncompared,
)
from gigacast.feature_store.trust.equality import Ints
from gigacast.feature_store.trust.figures import SCHEMA, Pair, figures_by_hour
from gigacast.feature_store.trust.logged_definition import Logged
from gigacast.feature_store.trust.record import HOUR_MS
from gigacast.job.run import RunEvents, utc_now
from gigacast.lake.feature_layout import feature_partition_key
from gigacast.lake.plan.audit import Clock
from gigacast.runtime.executor import Executor, Failure
from gigacast.storage.parquet.read import read_table
from gigacast.storage.store import Store

DIFFERENT = ("mismatch", "left_null", "right_null")
"""Counts of rows whose answer is not that of the backfill."""


@dataclass(frozen=True)
class ConsistencyResult:
    """The result of a comparison.

    Parameters
    ----------
    name : str
        Join or group-by.
    run_id : str
        Id of the run; empty if no day was left to backfill.
    days : tuple of str
        Days compared.
    figures : pyarrow.Table
        Rows of `figures.SCHEMA`: a row per hour and feature.
    waiting : mapping of str to tuple of str
        Tables that do not have a day of requests yet, by day.
    others : int
        Answers of other definitions of the name, which are not compared.
    uncompared : mapping of str to str
        Features that a backfill says nothing of, and why.
    failures : list of (Task, Failure)
        Days that could not be backfilled.
    """

    name: str
    run_id: str
    days: tuple[str, ...]
    figures: pa.Table
    waiting: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    others: int = 0
    uncompared: Mapping[str, str] = field(default_factory=dict)
    failures: list[tuple[Task, Failure]] = field(default_factory=list)

    @property
    def different(self) -> int:
        """Number of answers of features that are not those of the backfill."""
        return sum(int(pc.sum(self.figures[name]).as_py() or 0) for name in DIFFERENT)

    @property
    def is_consistent(self) -> bool:
        """Whether every day was backfilled, and every answer is that of the backfill."""
        return not self.failures and not self.different


def compare_logged(
    backfill: Backfill,
    days: Days,
    *,
    events: RunEvents | None = None,
    executor: Executor | None = None,
    clock: Clock = utc_now,
) -> ConsistencyResult:
    """Backfill the logged requests of a join or group-by, and compare the answers.

    The rows are the table ``_comparison``, the figures by hour the table ``_consistency``. Days
    that are done, and whose log and sources did not change, are not backfilled again.

    Parameters
    ----------
    backfill : Backfill
        Of a join or group-by.
    days : Days
    events : RunEvents, optional
    executor : Executor, optional
    clock : callable

    Raises
    ------
    ConfigError
        If the definition is neither.
    DataNotFoundError
        If nothing is logged.
    DefinitionError, StorageError
    """
    logged = _logged_of(backfill)
    tables = Tables.at(backfill.root, backfill.places)
    product = ComparisonProduct.of(Catalog(tables), logged.definition)
    within = [d for d in product.log.days if days.first <= d <= days.last]
    surveys = [product.log.survey(day) for day in within]
    waiting = {d.day: tuple(product.waits_for(d.day)) for d in surveys if d.rows}
    ready = [day for day, missing in waiting.items() if not missing]
    result: BackfillResult | None = None
    if ready:
        job = replace(backfill, kind="comparison", only=None)
        span = Days(ready[0], ready[-1])
        result = backfill_days(job, span, events=events, executor=executor, clock=clock)
    failures = result.all_failures if result else []
    failed = {task.partition.rpartition("ds=")[2] for task, _ in failures}
    done = [day for day in ready if day not in failed]
    figures = [_figures_of(tables.store, logged, day) for day in done]
    return ConsistencyResult(
        name_of(logged.definition),
        result.run_id if result else "",
        tuple(done),
        pa.concat_tables(figures) if figures else SCHEMA.empty_table(),
        {day: missing for day, missing in waiting.items() if missing},
        sum(day.others for day in surveys),
        uncompared(logged),
        failures,
    )


def flatten_log(
    backfill: Backfill, days: Days, *, events: RunEvents | None = None, clock: Clock = utc_now
) -> BackfillResult:
    """Write the logged answers as the table ``_logged``, a column per feature.

    Parameters
    ----------
    backfill : Backfill
        Of a join or group-by.
    days : Days
    events : RunEvents, optional
    clock : callable

    Raises
    ------
    ConfigError, DataNotFoundError, DefinitionError, StorageError
        As `compare_logged`.
    """
    _logged_of(backfill)
    job = replace(backfill, kind="logged", only=None)
    return backfill_days(job, days, events=events, clock=clock)


def _logged_of(backfill: Backfill) -> Logged:
    definition = backfill.definition
    if isinstance(definition, StagingQuery):
        raise ConfigError(
            f"{name_of(definition)} is a {kind_of(definition)}",
            hint="name a join or a group-by, whose answers are logged",
        )
    return Logged(definition)


def _figures_of(store: Store, logged: Logged, day: str) -> pa.Table:
    """Return the figures of a day, which are stored as well."""
    join = logged.join
    rows = read_table(store, feature_partition_key(table_name(join, "comparison"), day))
    hours: Ints = rows[TIME_COLUMN].to_numpy() // HOUR_MS * HOUR_MS
    figures = figures_by_hour(hours, _pairs(logged, rows))
    store.put(feature_partition_key(table_name(join, "consistency"), day), encode(figures))
    return figures


def _pairs(logged: Logged, rows: pa.Table) -> list[Pair]:
    failed = failed_features(logged, rows[ERRORS])
    skipped = uncompared(logged)
    pairs = []
    for name in logged.columns:
        if name in skipped:
            continue
        left, right = (_column(rows, f"{name}{end}") for end in (SERVED, BACKFILLED))
        within = f"{name}{INSIDE}"
        inside = _column(rows, within) if within in rows.column_names else None
        mask = None if inside is None else inside.to_numpy(zero_copy_only=False)
        pairs.append(Pair(name, left, right, mask, failed[name]))
    return pairs


def _column(rows: pa.Table, name: str) -> pa.Array:
    values = rows[name]
    return pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
