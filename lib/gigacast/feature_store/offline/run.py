"""The backfill job: plans the days that are left, computes them, and records what was read."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from gigacast.core.partition.task import Task
from gigacast.core.time.month import Month
from gigacast.feature_store.definition.check import check
from gigacast.feature_store.definition.join import Join
from gigacast.feature_store.definition.name import kind_of, name_of
from gigacast.feature_store.definition.problem import refusal
from gigacast.feature_store.definition.staging_query import StagingQuery
from gigacast.feature_store.engine.engine import DaySpan
from gigacast.feature_store.offline.dataset import publish_version
from gigacast.feature_store.offline.left import LeftDay
from gigacast.feature_store.offline.note import Output
from gigacast.feature_store.offline.parent import lacks_parent, parents_of
from gigacast.feature_store.offline.product import Product, refuse_missing
from gigacast.feature_store.offline.result import BackfillResult, Days
from gigacast.feature_store.offline.source import Catalog
from gigacast.feature_store.offline.stage import LOGGED, Backfill, executor_of
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
from gigacast.feature_store.type_check import find_type_problems
from gigacast.job.audit import PlannedJob, RunDescription, this_author
from gigacast.job.run import Run, RunEvents, start_run, utc_now
from gigacast.job.totals import Totals
from gigacast.lake.feature_layout import feature_table_prefix
from gigacast.lake.layout import receipt_prefix
from gigacast.lake.plan.audit import Clock
from gigacast.lake.plan.discovery import Selection
from gigacast.lake.plan.listing import receipts_by_output, valid_receipt
from gigacast.lake.plan.planner import Plan
from gigacast.runtime.choice import InlineExecutor
from gigacast.runtime.executor import Executor, Failure
from gigacast.scratch import ScratchFolder


@dataclass(frozen=True)
class PlannedBackfill:
    """A backfill with the days that it covers.

    Parameters
    ----------
    opened : OpenBackfill
    plan : Plan
    days : mapping of int to list of LeftDay
        All days, by the place of their product.
    pending : mapping of int to list of LeftDay
        Days that are left to do.
    """

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
        backfill_days(parent, span, **options) for parent, span in parents_of(backfill, days)
    )
    if any(parent.failures for parent in parents) or (is_dry and lacks_parent(backfill)):
        return BackfillResult(
            name_of(backfill.definition), "", (), backfill.root.url, (), 0, 0, parents=parents
        )
    backfill = replace(backfill, last=days.last)
    planned = plan_backfill(backfill, days)
    if is_dry:
        return _result(planned, "", Totals(), [], parents)
    tasks = planned.plan.tasks
    executor = executor or executor_of(backfill, len(tasks))
    run = start_run(describe_backfill(planned, days), events=events, clock=clock)
    published: list[str] = []

    def publish(run: Run) -> None:
        published[:] = _publish(planned, run, clock)  # again after an outage

    with _rows_folder(executor) as rows:
        if len(tasks) > 1:
            _make_tiles(planned.opened, planned.pending, executor, rows)
        setup, order = BackfillSetup(backfill, run.run_id, rows), _order_for(executor)
        run.execute(tasks, setup, executor, on_results=publish, **order)
    result = _result(planned, run.run_id, run.totals, run.failures, parents)
    return replace(result, datasets=tuple(published))


def plan_backfill(backfill: Backfill, days: Days) -> PlannedBackfill:
    """Return a backfill with the days that are left to do.

    Raises
    ------
    DefinitionError, DataNotFoundError, StorageError
    """
    _check_schemas(backfill)
    opened = open_backfill(backfill)
    planned = PlannedBackfill(opened, Plan(), {}, {})
    for number, product in enumerate(opened.products):
        ready = product.days(opened.engine, opened.store, days.span)
        refuse_missing(product.label, ready, days.span)
        planned.days[number] = ready
        planned.pending[number] = list(_add_tasks(planned, product, ready))
    return planned


def _rows_folder(executor: Executor) -> AbstractContextManager[Path | None]:
    # Processes divide the tiles and then the days: the rows that a day of the left side sees of
    # the same day's partition are on this machine's disk by then, and the source is read once.
    return nullcontext() if isinstance(executor, InlineExecutor) else ScratchFolder("rows")


def _order_for(executor: Executor) -> dict[str, Any]:
    # Without processes day by day: each day leaves the tile of the partition that it read row by
    # row for the next one, which would otherwise be read a second time.
    by_day = isinstance(executor, InlineExecutor)
    return {"order": lambda task: task.partition} if by_day else {}


def _publish(planned: PlannedBackfill, run: Run, clock: Clock) -> list[str]:
    """Publish the tables of a run as versions of datasets, and return their names."""
    # Readers never see half a backfill: a day that failed is missing from every version.
    if run.failures:
        return []
    names = publish_outputs(planned.opened.tables, outputs_of(planned, run.run_id), clock)
    run.audit.plan["datasets"] = list(names)
    return names


def outputs_of(planned: PlannedBackfill, run_id: str) -> list[Output]:
    """Return the tables of a run that become datasets; none for stages of a join."""
    backfill = planned.opened.backfill
    if backfill.only in {"left", "parts"}:
        return []
    return [
        Output(
            table=product.table,
            digest=product.digest,
            definition=product.label,
            engine=backfill.engine,
            run_id=run_id,
            keys=frozenset(product.key(day) for day in planned.days[number]),
        )
        for number, product in enumerate(planned.opened.products)
    ]


def publish_outputs(tables: Tables, outputs: Sequence[Output], clock: Clock) -> list[str]:
    """Publish tables as versions of datasets, and return the names of the versions.

    Raises
    ------
    SchemaError, DatasetConflictError, StorageError
        As `publish_version`.
    """
    author = replace(this_author(), clock=clock)
    # Listed anew: the run has written days that its own tables are made of.
    manifests = [
        publish_version(tables.store, output, Catalog(tables), author) for output in outputs
    ]
    return [str(manifest.ref) for manifest in manifests if manifest is not None]


def _add_tasks(
    planned: PlannedBackfill, product: Product, days: Sequence[LeftDay]
) -> Iterator[LeftDay]:
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


def describe_backfill(planned: PlannedBackfill, days: Days) -> PlannedJob:
    """Return the tasks of a backfill and its description, for the shell of every job."""
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
    patience = backfill.resources.patience
    return PlannedJob(store, plan, plan.tasks, Selection(), description, patience=patience)


def make_tiles_of(
    backfill: Backfill, tasks: Sequence[Task], executor: Executor, rows: Path
) -> None:
    """Make the tiles that the days of some tasks read, so that no two tasks make the same.

    Rows that days see a part of are kept in a folder.
    """
    opened = open_backfill(backfill)
    keys = {task.output_key for task in tasks}
    days = sorted(task.partition[-10:] for task in tasks)
    span = DaySpan(days[0], days[-1])
    pending = {
        number: [
            day
            for day in product.days(opened.engine, opened.store, span)
            if product.key(day) in keys
        ]
        for number, product in enumerate(opened.products)
    }
    _make_tiles(opened, pending, executor, rows)


def _make_tiles(
    opened: OpenBackfill,
    pending: Mapping[int, Sequence[LeftDay]],
    executor: Executor,
    rows: Path | None = None,
) -> None:
    # For a single task the start of the processes takes longer than its tiles. Without processes
    # the local engine makes tiles as it meets them, and Spark needs a job of its own for each.
    if opened.backfill.engine != "spark" and isinstance(executor, InlineExecutor):
        return
    tasks = []
    for number, days in pending.items():
        if not days or opened.backfill.only == "final":
            continue
        for place, view in enumerate(opened.products[number].views()):
            count = sum(1 for _ in view.tiles(opened.engine, days))
            tasks += [TileTask(number, place, n) for n in range(count)]
    for _ in executor.run(tasks, TileSetup(opened.backfill, pending, rows)) if tasks else ():
        pass  # a tile that failed is made, or fails, with the day that needs it


def _result(
    planned: PlannedBackfill,
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


def _missing(planned: PlannedBackfill) -> dict[str, tuple[str, ...]]:
    """Return the days between those that a table has, which windows see and it does not have."""
    missing: dict[str, set[str]] = {}
    for number, days in planned.days.items():
        for view in planned.opened.products[number].views():
            for table, gaps in view.gaps(days):
                missing.setdefault(table, set()).update(gaps)
    return {table: tuple(sorted(gaps)) for table, gaps in missing.items() if gaps}


def pending_parents(backfill: Backfill, days: Days) -> Iterator[str]:
    """Yield the names of the joins that are read and have days left to do."""
    for parent, span in parents_of(backfill, days):
        if plan_backfill(replace(parent, last=span.last), span).plan.tasks:
            yield name_of(parent.definition)
        yield from pending_parents(parent, span)


def _check_schemas(backfill: Backfill) -> None:
    """Check the definition against the columns of the newest file of each table.

    Raises
    ------
    DefinitionError
    """
    definition = backfill.definition
    if isinstance(definition, StagingQuery) or backfill.kind.endswith("stats"):
        return
    catalog = Catalog(Tables.at(backfill.root, backfill.places))
    group_bys = definition.group_bys if isinstance(definition, Join) else (definition,)
    sources = [source for group_by in group_bys for source in group_by.sources]
    if isinstance(definition, Join) and backfill.kind not in LOGGED:
        sources.append(definition.left)
    label = f"{kind_of(definition)} {name_of(definition)}"
    schemas: dict[str, pa.Schema] = {}
    for source in sources:
        column = source.query.partition_column or "ds"
        for name in source.tables:
            table, files = catalog.find(name, label, column)
            schemas[table.name] = read_schema(table, files[max(files)][-1], column)
    problems = find_type_problems(definition, schemas)
    if problems:
        raise refusal(problems)
