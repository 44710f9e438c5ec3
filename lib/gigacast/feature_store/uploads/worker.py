"""The task of an upload: the batch of a group-by is written and then served."""

import json
from dataclasses import asdict, dataclass, replace

import pyarrow as pa

from gigacast.core.partition.task import Task
from gigacast.feature_store.aggregation.spill import Limits
from gigacast.feature_store.definition.name import name_of
from gigacast.feature_store.engine.local import LocalEngine
from gigacast.feature_store.offline.part import PartView
from gigacast.feature_store.offline.source import Catalog
from gigacast.feature_store.online.opening import open_online_store
from gigacast.feature_store.online.serving import (
    STATES,
    Batch,
    ServedGroupBy,
    serving_digest,
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
from gigacast.feature_store.uploads.plan import (
    FORMAT,
    UploadJob,
    batch_id,
)
from gigacast.feature_store.uploads.writer import BatchCount, BatchWriter, now_ms
from gigacast.job.receipt import Work, new_receipt
from gigacast.job.worker import Stopwatch, inputs_pinned
from gigacast.lake.plan.receipt import Receipt, write_receipt
from gigacast.storage.store import StoreAddress


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
            etag = job.tables.store.put_unless_equal(task.output_key, content)
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
