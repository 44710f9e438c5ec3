"""The backfill job: plans the days that are left, computes them, and records what was read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gigacast.core.partition.task import Task
from gigacast.core.time.month import Month
from gigacast.errors import ConfigError
from gigacast.feature_store.definition.check import check
from gigacast.feature_store.definition.check_schema import find_schema_problems
from gigacast.feature_store.definition.join import Join
from gigacast.feature_store.definition.name import kind_of, name_of, table_name
from gigacast.feature_store.definition.problem import refusal
from gigacast.feature_store.definition.staging_query import StagingQuery
from gigacast.feature_store.offline.dataset import Output, publish_version
from gigacast.feature_store.offline.label import labeled_span
from gigacast.feature_store.offline.left import LeftDay, LeftSide
from gigacast.feature_store.offline.product import Product, refuse_missing
from gigacast.feature_store.offline.result import FIRST_DAY, BackfillResult, Days
from gigacast.feature_store.offline.source import Catalog, oldest_day
from gigacast.feature_store.offline.stage import Backfill, executor_of
from gigacast.feature_store.offline.worker import (
    JOB,
    BackfillSetup,
    OpenBackfill,
    TileSetup,
    TileTask,
    make_task,
    open_backfill,
)
from gigacast.feature_store.rows import read_schema
from gigacast.feature_store.table import Tables
from gigacast.job.audit import PlannedJob, RunDescription, this_author
from gigacast.job.run import Run, RunEvents, Totals, start_run, utc_now
from gigacast.lake.layout import feature_table_prefix, receipt_prefix
from gigacast.lake.plan.audit import Clock
from gigacast.lake.plan.discovery import Selection
from gigacast.lake.plan.listing import receipts_by_output, valid_receipt
from gigacast.lake.plan.planner import Plan
from gigacast.runtime.choice import InlineExecutor
from gigacast.runtime.executor import Executor, Failure


@dataclass(frozen=True)
class _Planned:
    opened: OpenBackfill
    plan: Plan
    days: dict[int, list[LeftDay]]
    pending: dict[int, list[LeftDay]]


def backfill_days(
    backfill: Backfill,
    days: Days,
    *,
    is_dry: bool = False,
    events: RunEvents | None = None,
    executor: Executor | None = None,
    clock: Clock = utc_now,
) -> BackfillResult:
    """Compute the days of a definition that are new, or of which a partition changed.

    Parameters
    ----------
    backfill : Backfill
    days : Days
    is_dry : bool
        Whether to plan and compute nothing.
    events : RunEvents, optional
        Receives the progress; ignored by default.
    executor : Executor, optional
        Runs the tasks; made from the backfill's resources by default.
    clock : callable
        Gives the current time, with its zone.

    Raises
    ------
    DefinitionError
        If the definition is refused, or its tables lack columns.
    DataNotFoundError
        If a table or all days are missing.
    ConfigError, StorageError
        When the run cannot start. Later failures are in the result.
    """
    check(backfill.definition)
    options: dict[str, Any] = {"events": events, "executor": executor, "clock": clock}
    options |= {"is_dry": is_dry}
    parents = tuple(
        backfill_days(parent, span, **options) for parent, span in _parents(backfill, days)
    )
    if any(parent.failures for parent in parents) or (is_dry and _lacks_parent(backfill)):
        return BackfillResult(
            name_of(backfill.definition), "", (), backfill.root.url, (), 0, 0, parents=parents
        )
    backfill = replace(backfill, last=days.last)
    planned = _plan(backfill, days)
    if is_dry:
        return _result(planned, "", Totals(), [], parents)
    tasks = planned.plan.tasks
    executor = executor or executor_of(backfill, len(tasks))
    run = start_run(_job(planned, days), events=events, clock=clock)
    # For a single task the start of the processes takes longer than its tiles. Without processes
    # the local engine makes tiles as it meets them, and Spark needs a job of its own for each.
    is_divided = backfill.engine == "spark" or not isinstance(executor, InlineExecutor)
    if is_divided and len(tasks) > 1:
        _make_tiles(planned, executor)
    datasets: list[str] = []
    run.execute(
        tasks,
        BackfillSetup(backfill, run.run_id),
        executor,
        on_results=lambda run: datasets.extend(_publish(planned, run, clock)),
    )
    result = _result(planned, run.run_id, run.totals, run.failures, parents)
    return replace(result, datasets=tuple(datasets))


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
    definition = backfill.definition
    if not isinstance(definition, Join):
        raise ConfigError(
            f"{name_of(definition)} is a {kind_of(definition)}", hint="name a join with labels"
        )
    first, last = labeled_span(definition, day)
    labels = replace(backfill, kind="labels", label_day=day)
    results = [backfill_days(labels, Days(first, last), events=events, clock=clock)]
    store = Tables.at(backfill.root, backfill.places).store
    is_done = next(iter(store.list(feature_table_prefix(table_name(definition)))), None)
    if is_done is not None and not results[0].failures:
        beside = replace(backfill, kind="labeled")
        results.append(backfill_days(beside, Days(first, last), events=events, clock=clock))
    return tuple(results)


def _plan(backfill: Backfill, days: Days) -> _Planned:
    _check_schemas(backfill)
    opened = open_backfill(backfill)
    planned = _Planned(opened, Plan(), {}, {})
    for number, product in enumerate(opened.products):
        ready = product.days(opened.engine, opened.store, days.span)
        refuse_missing(product.label, ready, days.span)
        planned.days[number] = ready
        planned.pending[number] = list(_add_tasks(planned, product, ready))
    return planned


def _publish(planned: _Planned, run: Run, clock: Clock) -> list[str]:
    """Publish the tables of a run as versions of datasets, and return their names."""
    opened = planned.opened
    # Readers never see half a backfill: a day that failed is missing from every version.
    if run.failures or opened.backfill.only in {"left", "parts"}:
        return []
    author = replace(this_author(), clock=clock)
    names = []
    for number, product in enumerate(opened.products):
        output = Output(
            table=product.table,
            digest=product.digest,
            definition=product.label,
            engine=opened.backfill.engine,
            run_id=run.run_id,
            keys=frozenset(product.key(day) for day in planned.days[number]),
        )
        # Listed anew: the run has written days that its own tables are made of.
        manifest = publish_version(opened.store, output, Catalog(opened.tables), author)
        names += [] if manifest is None else [str(manifest.ref)]
    run.audit.plan["datasets"] = list(names)
    return names


def _add_tasks(planned: _Planned, product: Product, days: Sequence[LeftDay]) -> Iterator[LeftDay]:
    """Add the days that are left to do to the plan, and yield them."""
    store, plan = planned.opened.store, planned.plan
    prefix = feature_table_prefix(product.table)
    outputs = {entry.key: entry for page in store.list(prefix) for entry in page}
    pages = store.list(receipt_prefix(prefix))
    receipts = receipts_by_output(entry for page in pages for entry in page)
    plan.specs.add(product.digest[:8])
    for day in days:
        own = receipts.pop(product.key(day), [])
        stale = tuple(key for _, key in own)
        task = make_task(planned.opened.backfill.definition, product, day, stale)
        counts = plan.months[Month(int(day.day[:4]), int(day.day[5:7]))]
        if valid_receipt(task, outputs.get(task.output_key), own) is not None:
            counts.done += 1
            plan.done_bytes += task.size_bytes
            continue
        counts.pending += 1
        plan.tasks.append(task)
        yield day


def _job(planned: _Planned, days: Days) -> PlannedJob:
    backfill, totals = planned.opened.backfill, planned.plan.totals
    description = RunDescription(
        job=JOB,
        settings={
            "definition": name_of(backfill.definition),
            "kind": backfill.kind,
            "root": backfill.root.url,
            "start_ds": days.first,
            "ds": days.last,
            "only": backfill.only,
            "engine": backfill.engine,
        },
        plan={"tasks": totals.pending, "pending": totals.pending, "done": totals.done},
    )
    store, plan = planned.opened.store, planned.plan
    return PlannedJob(store, plan, plan.tasks, Selection(), description)


def _make_tiles(planned: _Planned, executor: Executor) -> None:
    """Make the tiles of all days first, so that no two tasks read the same partition for them."""
    tasks = []
    for number, pending in planned.pending.items():
        if not pending or planned.opened.backfill.only == "final":
            continue
        for place, view in enumerate(planned.opened.products[number].views()):
            count = sum(1 for _ in view.tiles(planned.opened.engine, pending))
            tasks += [TileTask(number, place, n) for n in range(count)]
    for _ in (
        executor.run(tasks, TileSetup(planned.opened.backfill, planned.pending)) if tasks else ()
    ):
        pass  # a tile that failed is made, or fails, with the day that needs it


def _result(
    planned: _Planned,
    run_id: str,
    totals: Totals,
    failures: list[tuple[Task, Failure]],
    parents: tuple[BackfillResult, ...],
) -> BackfillResult:
    opened = planned.opened
    names = tuple(product.table for product in opened.products)
    days = sorted({day.day for days in planned.days.values() for day in days})
    counts = planned.plan.totals
    return BackfillResult(
        name_of(opened.backfill.definition),
        run_id,
        tuple(dict.fromkeys(names)),
        opened.backfill.root.url,
        tuple(days),
        counts.pending,
        counts.done,
        totals,
        failures,
        _missing(planned),
        parents,
    )


def _missing(planned: _Planned) -> dict[str, tuple[str, ...]]:
    """Return the days between those that a table has, which windows see and it does not have."""
    missing: dict[str, set[str]] = {}
    for number, days in planned.days.items():
        for view in planned.opened.products[number].views():
            for table, gaps in view.gaps(days):
                missing.setdefault(table, set()).update(gaps)
    return {table: tuple(sorted(gaps)) for table, gaps in missing.items() if gaps}


def _parents(backfill: Backfill, days: Days) -> Iterator[tuple[Backfill, Days]]:
    """Yield the joins whose output the group-bys read, and the days of it that they see."""
    definition = backfill.definition
    if isinstance(definition, StagingQuery) or backfill.kind == "labeled":
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


def _lacks_parent(backfill: Backfill) -> bool:
    """Return whether the output of a join that is read is not there yet."""
    tables = Tables.at(backfill.root, backfill.places)
    for parent, _ in _parents(backfill, Days()):
        definition: Any = parent.definition
        if (
            next(iter(tables.store.list(feature_table_prefix(table_name(definition)))), None)
            is None
        ):
            return True
    return False


def _check_schemas(backfill: Backfill) -> None:
    """Check the definition against the columns of the newest file of each table.

    Raises
    ------
    DefinitionError
    """
    definition = backfill.definition
    if isinstance(definition, StagingQuery):
        return
    catalog = Catalog(Tables.at(backfill.root, backfill.places))
    group_bys = definition.group_bys if isinstance(definition, Join) else (definition,)
    sources = [source for group_by in group_bys for source in group_by.sources]
    sources += [definition.left] if isinstance(definition, Join) else []
    label = f"{kind_of(definition)} {name_of(definition)}"
    schemas: dict[str, Mapping[str, str]] = {}
    for source in sources:
        column = source.query.partition_column or "ds"
        for name in source.tables:
            table, files = catalog.find(name, label, column)
            newest = files[max(files)][-1]
            schema = read_schema(table, newest, column)
            schemas[table.name] = {field.name: str(field.type) for field in schema}
    problems = find_schema_problems(definition, schemas)
    if problems:
        raise refusal(problems)
