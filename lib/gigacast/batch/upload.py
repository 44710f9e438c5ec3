"""An upload of features as the children of an array run do it, and as its plan holds it."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing as closed
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa

from gigacast.batch.work import ArrayJob, Closing, PlainWork, closing_job
from gigacast.core.partition.task import Task
from gigacast.core.problem import Source
from gigacast.core.record import read_record
from gigacast.errors import ConfigError, PlanError
from gigacast.feature_store.definition.json import from_json, to_json
from gigacast.feature_store.online.opening import open_online_store
from gigacast.feature_store.table import Tables
from gigacast.feature_store.uploads.plan import UploadJob, plan_upload
from gigacast.feature_store.uploads.run import describe_upload, serve_joins
from gigacast.feature_store.uploads.worker import UploadSetup
from gigacast.job.forecast_job import Resources
from gigacast.job.location import check_reach
from gigacast.lake.plan.plan_file import PlanFile
from gigacast.lake.plan.receipt import Receipt
from gigacast.runtime.executor import Setup
from gigacast.storage.store import Store, StoreAddress

_SHARED = ("dynamodb:", "redis:", "rediss:")
"""Beginnings of addresses of online stores that other machines reach."""


@dataclass(frozen=True)
class _Stored:
    """An upload as a plan holds it.

    Parameters
    ----------
    kind : str
        ``upload``: the work of the children.
    group_bys, joins : list of mapping
        Definitions in their compiled form.
    day : str
        Newest day of the rows.
    online_store : str
        Address of the online store.
    serving_days : int
    overwrite : bool
    url, endpoint_url, region : str
        Root of the tables.
    places : mapping of str to str
        The setting ``tables``.
    n_jobs : int, optional
    memory_limit_bytes : int
    outage_minutes : float
    """

    kind: str
    group_bys: list[dict[str, Any]]
    joins: list[dict[str, Any]]
    day: str
    online_store: str
    serving_days: int
    overwrite: bool
    url: str
    places: dict[str, str]
    memory_limit_bytes: int
    outage_minutes: float
    endpoint_url: str | None = None
    region: str | None = None
    n_jobs: int | None = None


def dump_upload(job: UploadJob) -> Mapping[str, Any]:
    """Return the setup of an upload as JSON values."""
    root, resources = job.tables.root, job.resources
    assert job.online_store is not None  # noqa: S101 - checked before
    return asdict(
        _Stored(
            kind="upload",
            group_bys=[to_json(group_by) for group_by in job.group_bys],
            joins=[to_json(join) for join in job.joins],
            day=job.day,
            online_store=job.online_store,
            serving_days=job.serving_days,
            overwrite=job.overwrite,
            url=root.url,
            endpoint_url=root.endpoint_url,
            region=root.region,
            places=dict(job.tables.places),
            n_jobs=resources.n_jobs,
            memory_limit_bytes=resources.memory_limit_bytes,
            outage_minutes=resources.outage_minutes,
        )
    )


def load_work(plan: PlanFile) -> "UploadWork":
    """Return the upload in a plan.

    Raises
    ------
    PlanError
        When another version of the package wrote it.
    """
    source = Source(
        f"the plan of {plan.run_id}",
        PlanError,
        "can't be read",
        "use the same version of gigacast on every machine",
    )
    stored = read_record(_Stored, dict(plan.setup), source)
    root = StoreAddress(stored.url, stored.endpoint_url, stored.region)
    job = UploadJob(
        Tables.at(root, stored.places),
        tuple(from_json(group_by) for group_by in stored.group_bys),
        stored.day,
        tuple(from_json(join) for join in stored.joins),
        online_store=stored.online_store,
        serving_days=stored.serving_days,
        resources=Resources(
            n_jobs=stored.n_jobs,
            memory_limit_bytes=stored.memory_limit_bytes,
            outage_minutes=stored.outage_minutes,
        ),
        overwrite=stored.overwrite,
    )
    return UploadWork(job)


def divide_upload(job: UploadJob) -> ArrayJob:
    """Plan an upload for an array; where every group-by is served, the joins are written.

    Raises
    ------
    DataNotFoundError
        If a table is missing.
    ConfigError
        If the tables or the online store are out of reach of other machines.
    StorageError
    """
    root = job.tables.root
    check_reach(root)
    address = job.online_store or ""
    if not address.startswith(_SHARED):
        raise ConfigError(
            f"--executor batch: the online store {address[:80]!r} is out of reach of other machines"
            if address
            else "--executor batch: no online store is named",
            hint="give --online_store dynamodb:TABLE or redis://HOST:PORT/0",
        )
    with closed(open_online_store(address, root)) as store:
        plan, _ = plan_upload(job, store)
        if not plan.tasks:
            serve_joins(job, store)
    planned = describe_upload(job, plan)
    return ArrayJob(planned, root, lambda run_id: dump_upload(job), in_order=True)


@dataclass(frozen=True)
class UploadWork(PlainWork):
    """Batches of group-bys.

    Parameters
    ----------
    job : UploadJob
    """

    job: UploadJob

    @property
    def overwrite(self) -> bool:
        """True: a receipt of another run does not say that the store still has its values."""
        return True

    @property
    def resources(self) -> Resources:
        """Processes and memory of a child."""
        return self.job.resources

    def worker(self, outputs: Store, run_id: str, pending: Sequence[Task]) -> Setup[Task, Receipt]:
        """Return the recipe for the worker."""
        del outputs, pending
        return UploadSetup(self.job, run_id)

    def close(self, closing: Closing, tables: Iterable[pa.Table]) -> None:
        """Let the joins be fetched whose group-bys are all served."""
        del tables
        # Of an upload that replaces batches every task would be left to do again.
        job = replace(self.job, overwrite=False)
        with (
            closing_job(closing),
            closed(open_online_store(job.online_store, job.tables.root)) as store,
        ):
            closing.notes["joins"] = serve_joins(job, store)
