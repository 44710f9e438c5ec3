"""The upload job: a task for each group-by, whose batch of a day is written and then served."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace

import pyarrow as pa

from gigacast.core.digest import digest_value
from gigacast.core.partition.task import InputObject, Task
from gigacast.errors import ConfigError
from gigacast.feature_store.aggregation.spill import Limits
from gigacast.feature_store.definition.group_by import GroupBy
from gigacast.feature_store.definition.join import Join
from gigacast.feature_store.definition.json import semantic_digest
from gigacast.feature_store.definition.name import kind_of, name_of
from gigacast.feature_store.engine.local import LocalEngine
from gigacast.feature_store.offline.day import end_of
from gigacast.feature_store.offline.part import PartView
from gigacast.feature_store.offline.source import Catalog
from gigacast.feature_store.online.batch_state import Span
from gigacast.feature_store.online.key import DAY_MS, group_by_key
from gigacast.feature_store.online.opening import open_online_store
from gigacast.feature_store.online.serving import (
    STATES,
    Batch,
    ServedGroupBy,
    serving_digest,
    write_join,
)
from gigacast.feature_store.online.store import OnlineStore
from gigacast.feature_store.rows import read_schema
from gigacast.feature_store.table import Tables
from gigacast.feature_store.uploads.batch import (
    BatchSource,
    batch_items,
    feature_schema,
    form_of,
)
from gigacast.feature_store.uploads.writer import BatchCount, BatchWriter, now_ms
from gigacast.job.audit import PlannedJob, RunDescription
from gigacast.job.forecast_job import Resources
from gigacast.job.receipt import Work, new_receipt
from gigacast.job.run import Run, RunEvents, start_run, utc_now
from gigacast.job.worker import Stopwatch, inputs_pinned
from gigacast.lake.layout import upload_key
from gigacast.lake.plan.audit import Clock
from gigacast.lake.plan.discovery import Selection
from gigacast.lake.plan.listing import valid_receipt
from gigacast.lake.plan.planner import NO_MONTH, Plan
from gigacast.lake.plan.receipt import Receipt, list_receipts, write_receipt
from gigacast.runtime.choice import make_executor
from gigacast.runtime.executor import Executor, Failure
from gigacast.storage.store import ObjectMeta, StoreAddress

FORMAT = 1
"""Part of the ids of batches. Raise it when the same rows start to give other values."""
SERVING_DAYS = 3


@dataclass(frozen=True)
class UploadJob:
    """What is uploaded, and to which store.

    Parameters
    ----------
    tables : Tables
    group_bys : tuple of GroupBy
    day : str
        Newest day of the rows, as ``2023-12-01``.
    joins : tuple of Join
        Joins whose definitions are written when their group-bys are served.
    online_store : str, optional
        Address of the online store; a SQLite file below the root by default.
    serving_days : int
        Days after the end of a batch for which it is served.
    resources : Resources
    overwrite : bool
        Whether finished uploads are done again, and a later batch may be replaced.
    """

    tables: Tables
    group_bys: tuple[GroupBy, ...]
    day: str
    joins: tuple[Join, ...] = ()
    online_store: str | None = None
    serving_days: int = SERVING_DAYS
    resources: Resources = field(default_factory=Resources)
    overwrite: bool = False

    @property
    def span(self) -> Span:
        """Times that the batch answers."""
        return Span(end_of(self.day), self.serving_days * DAY_MS)


@dataclass(frozen=True)
class UploadResult:
    """The result of an upload.

    Parameters
    ----------
    run_id : str
    day : str
    receipts : list of Receipt
        Of the group-bys that this run uploaded.
    skipped : list of str
        Group-bys that serve this batch already.
    failures : list of (Task, Failure)
    joins : list of str
        Joins whose definitions are served.
    """

    run_id: str
    day: str
    receipts: list[Receipt]
    skipped: list[str]
    failures: list[tuple[Task, Failure]]
    joins: list[str]


def parts_to_upload(definition: GroupBy | Join) -> tuple[GroupBy, ...]:
    """Return the group-bys that a definition is served of: itself, or the parts of a join.

    Raises
    ------
    ConfigError
        If it has none.
    """
    if isinstance(definition, GroupBy):
        return (definition,)
    if not isinstance(definition, Join):
        raise ConfigError(
            f"{name_of(definition)} is a {kind_of(definition)}, which is not served",
            hint="name a group-by or a join",
        )
    return tuple({name_of(p.group_by): p.group_by for p in definition.right_parts}.values())


def upload(
    job: UploadJob,
    *,
    store: OnlineStore | None = None,
    events: RunEvents | None = None,
    executor: Executor | None = None,
    clock: Clock = utc_now,
) -> UploadResult:
    """Upload the group-bys that do not serve the day's batch yet, and then the joins.

    Parameters
    ----------
    job : UploadJob
    store : OnlineStore, optional
        Opened online store, for runs in this process; that of the job's address by default.
    events : RunEvents, optional
        Receives the progress; ignored by default.
    executor : Executor, optional
        Runs the tasks; made from the job's resources by default.
    clock : callable
        Gives the current time, with its zone.

    Raises
    ------
    ConfigError, DataNotFoundError, StorageError
        When the run can't start. Later failures are in the result.
    """
    own = store or open_online_store(job.online_store, job.tables.root)
    plan, skipped = plan_upload(job, own)
    run = start_run(_planned(job, plan), events=events, clock=clock)
    receipts: list[Receipt] = []
    joins: list[str] = []

    def write_joins(run: Run) -> None:
        failed = {task.partition.partition("/")[0] for task, _ in run.failures}
        for join in job.joins:
            # A join before its parts would answer with errors.
            if failed.isdisjoint(name_of(part.group_by) for part in join.right_parts):
                write_join(own, join)
                joins.append(name_of(join))

    try:
        setup = UploadSetup(job, run.run_id, store)
        resources = job.resources
        run.execute(
            plan.tasks,
            setup,
            executor
            or make_executor(resources.executor, resources.n_jobs, n_tasks=len(plan.tasks)),
            on_done=lambda task, receipt: receipts.append(receipt),
            on_results=write_joins,
        )
    finally:
        if store is None:
            own.close()
    return UploadResult(run.run_id, job.day, receipts, skipped, run.failures, joins)


def plan_upload(job: UploadJob, store: OnlineStore) -> tuple[Plan, list[str]]:
    """Return the plan of an upload, and the group-bys that are done.

    A group-by is done if a receipt names its inputs, and the store serves that batch or a later
    one.
    """
    plan, skipped = Plan(), []
    catalog = Catalog(job.tables)
    for group_by in job.group_bys:
        source = BatchSource(PartView.of(catalog, group_by, left_is_events=True), job.day)
        task = _task(job, source)
        receipts = [(named, key) for key, named in list_receipts(job.tables.store, task.output_key)]
        output = next(_listed(job, task.output_key), None)
        counts = plan.months[NO_MONTH]
        is_done = valid_receipt(task, output, receipts) and _is_served(store, job, task)
        if is_done and not job.overwrite:
            counts.done += 1
            skipped.append(name_of(group_by))
        else:
            counts.pending += 1
            plan.tasks.append(replace(task, stale_receipts=tuple(key for _, key in receipts)))
    return plan, skipped


def _listed(job: UploadJob, key: str) -> Iterator[ObjectMeta]:
    for page in job.tables.store.list(key):
        yield from (meta for meta in page if meta.key == key)


def _task(job: UploadJob, source: BatchSource) -> Task:
    group_by = source.group_by
    name = name_of(group_by)
    values = [semantic_digest(group_by), job.serving_days, FORMAT, job.online_store]
    rows = [
        InputObject(f"{table}/{day}", digest, size, "parquet")
        for table, day, digest, size in source.partitions()
    ]
    # What else decides the values: another definition, or another store, is another upload.
    decisive = InputObject("definition", digest_value(values), 0, "parquet")
    return Task(
        partition=f"{name}/{job.day}",
        month="",
        inputs=(decisive, *rows),
        own=1,
        horizon=0,
        spec=digest_value(values, 8),
        output_key=upload_key(name, job.day),
    )


def batch_id(job: UploadJob, task: Task) -> str:
    """Return the id of a batch: its end and the digest of its inputs."""
    return f"{job.span.end}-{task.input_id}"


def _is_served(store: OnlineStore, job: UploadJob, task: Task) -> bool:
    """Return whether the store serves the batch of a task, or a later one."""
    name = task.partition.partition("/")[0]
    stored = store.get_many([group_by_key(name)])[0]
    if stored is None:
        return False
    batch = ServedGroupBy.decode(stored.value, group_by_key(name)).batch
    return batch.id == batch_id(job, task) or batch.end > job.span.end


def _planned(job: UploadJob, plan: Plan) -> PlannedJob:
    description = RunDescription(
        job="upload",
        settings={
            "group_bys": [name_of(group_by) for group_by in job.group_bys],
            "joins": [name_of(join) for join in job.joins],
            "day": job.day,
            "serving_days": job.serving_days,
            "root": job.tables.root.url,
            "resources": asdict(job.resources),
        },
        plan={"tasks": len(plan.tasks), "pending": plan.totals.pending, "done": plan.totals.done},
    )
    return PlannedJob(job.tables.store, plan, plan.tasks, Selection(), description)


@dataclass(frozen=True)
class UploadSetup:
    """A picklable recipe for the worker of an upload.

    Parameters
    ----------
    job : UploadJob
    run_id : str
    store : OnlineStore, optional
        Opened online store, for workers in this process.
    """

    job: UploadJob
    run_id: str
    store: OnlineStore | None = None

    def __reduce__(self) -> tuple[object, ...]:
        # Connections do not pickle; each process opens its own.
        job = self.job
        parts = (job.tables.root, job.tables.places, replace(job, tables=None))  # type: ignore[arg-type]
        return _open_setup, (*parts, self.run_id)

    def __call__(self) -> "Uploader":
        """Open the stores and return the worker."""
        return Uploader(self)


def _open_setup(
    root: StoreAddress, places: dict[str, str], job: UploadJob, run_id: str
) -> UploadSetup:
    return UploadSetup(replace(job, tables=Tables.at(root, places)), run_id)


class Uploader:
    """Uploads one group-by per call.

    Parameters
    ----------
    setup : UploadSetup
    """

    def __init__(self, setup: UploadSetup) -> None:
        self._job = setup.job
        self._run_id = setup.run_id
        self._store = setup.store or open_online_store(
            setup.job.online_store, setup.job.tables.root
        )
        self._limits = Limits(setup.job.resources.memory_limit_bytes)
        self._engine = LocalEngine(self._limits)
        self._catalog = Catalog(setup.job.tables)
        self._group_bys = {name_of(group_by): group_by for group_by in setup.job.group_bys}

    def __call__(self, task: Task) -> Receipt:
        """Write the batch of a group-by, let it serve, then write record and receipt.

        Raises
        ------
        InputChangedError, DataError, ConfigError, StorageError
        """
        watch = Stopwatch()
        job = self._job
        group_by = self._group_bys[task.partition.partition("/")[0]]
        with watch.measure("total"), inputs_pinned(task):
            view = PartView.of(self._catalog, group_by, left_is_events=True)
            served, count = self._write(task, BatchSource(view, job.day), watch)
            content = json.dumps(_record(served, count), indent=1).encode()
            # Without a condition: the record of a former upload of the day is replaced.
            etag = job.tables.store.put(task.output_key, content)
        output = {
            "key": task.output_key,
            "etag": etag,
            "size_bytes": count.size_bytes,
            "rows": count.keys,
        }
        work = Work("upload", self._run_id, count.keys, count.keys, watch.rounded())
        receipt = new_receipt(task, output, work)
        # Last: a crash before leaves a pending task, which writes the same values again.
        write_receipt(job.tables.store, task, receipt, etag)
        return receipt

    def _write(
        self, task: Task, source: BatchSource, watch: Stopwatch
    ) -> tuple[ServedGroupBy, BatchCount]:
        job, group_by = self._job, source.group_by
        schema = source.schema(self._engine)
        batch = Batch(
            batch_id(job, task),
            serving_digest(group_by, schema),
            job.day,
            job.span.end,
            job.span.serving_ms,
        )
        writer = BatchWriter(self._store, name_of(group_by), overwrite=job.overwrite)
        writer.check(batch)
        items = batch_items(source, self._engine, schema, job.span, self._limits)
        with watch.measure("write"):
            count = writer.write(batch, items)
        form = form_of(group_by)
        served = ServedGroupBy(
            group_by,
            batch,
            form,
            schema if form == STATES else feature_schema(group_by, schema),
            _event_schema(source),
            now_ms(),
            count.keys,
        )
        writer.serve(served)
        return served, count


def _event_schema(source: BatchSource) -> pa.Schema:
    """Return the columns of the streamed source's tables: the types of its events."""
    streamed = [s for s in source.view.sources if s.source.topic] or [source.view.sources[0]]
    fields: dict[str, pa.Field] = {}
    for table in (streamed[0].main, streamed[0].mutations):
        if table is not None:
            newest = table.partitions[table.newest_first[0]][0]
            schema = read_schema(table.table, newest, table.query.partition_column or "ds")
            fields = {field.name: field for field in schema} | fields
    return pa.schema(list(fields.values()))


def _record(served: ServedGroupBy, count: BatchCount) -> dict[str, object]:
    return {
        "format": FORMAT,
        "group_by": served.name,
        "batch": asdict(served.batch),
        "form": served.form,
        "uploaded_ms": served.uploaded_ms,
        "keys": count.keys,
        "bytes": count.size_bytes,
    }
