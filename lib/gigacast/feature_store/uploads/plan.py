"""The plan of an upload: a task for each group-by that does not serve the day's batch yet."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from gigacast.core.digest import digest_value
from gigacast.core.partition.task import InputObject, Task
from gigacast.errors import ConfigError
from gigacast.feature_store.definition.group_by import GroupBy
from gigacast.feature_store.definition.join import Join
from gigacast.feature_store.definition.json import semantic_digest
from gigacast.feature_store.definition.name import kind_of, name_of
from gigacast.feature_store.offline.day import end_of
from gigacast.feature_store.offline.part import PartView
from gigacast.feature_store.offline.source import Catalog
from gigacast.feature_store.online.batch_state import Span
from gigacast.feature_store.online.key import DAY_MS, group_by_key
from gigacast.feature_store.online.serving import (
    ServedGroupBy,
)
from gigacast.feature_store.online.store import OnlineStore
from gigacast.feature_store.table import Tables
from gigacast.feature_store.uploads.batch import (
    BatchSource,
)
from gigacast.job.forecast_job import Resources
from gigacast.lake.feature_layout import upload_key
from gigacast.lake.plan.listing import valid_receipt
from gigacast.lake.plan.planner import NO_MONTH, Plan
from gigacast.lake.plan.receipt import list_receipts
from gigacast.settings.command.feature_store import UploadOptions
from gigacast.storage.store import ObjectMeta

FORMAT = 1
"""Part of the ids of batches. Raise it when the same rows start to give other values."""
SERVING_DAYS = UploadOptions.serving_days


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
