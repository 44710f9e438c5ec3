"""A backfill of features as the children of an array run do it, and as its plan holds it."""

import atexit
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa

from gigacast.batch.work import ArrayJob, Closing, PlainWork, failure_of
from gigacast.core.partition.task import Task
from gigacast.core.problem import Source
from gigacast.core.record import read_record
from gigacast.errors import ConfigError, DataError, PlanError
from gigacast.feature_store.definition.check import check
from gigacast.feature_store.definition.json import from_json, to_json
from gigacast.feature_store.offline.note import Output
from gigacast.feature_store.offline.result import Days
from gigacast.feature_store.offline.run import (
    describe_backfill,
    make_tiles_of,
    outputs_of,
    pending_parents,
    plan_backfill,
    publish_outputs,
)
from gigacast.feature_store.offline.stage import Backfill, executor_of
from gigacast.feature_store.offline.worker import BackfillSetup
from gigacast.feature_store.table import Tables
from gigacast.job.forecast_job import Resources
from gigacast.job.location import check_reach
from gigacast.job.run import utc_now
from gigacast.lake.plan.plan_file import PlanFile
from gigacast.lake.plan.receipt import Receipt
from gigacast.runtime.executor import Executor, Setup
from gigacast.runtime.instance import this_machine
from gigacast.scratch import ScratchFolder
from gigacast.storage.store import Store, StoreAddress, Verify


@dataclass(frozen=True)
class _Table:
    """A table that becomes a dataset, as a plan holds it."""

    table: str
    digest: str
    definition: str
    keys: list[str]


@dataclass(frozen=True)
class _Stored:
    """A backfill as a plan holds it.

    Parameters
    ----------
    kind : str
        ``backfill``: the work of the children.
    definition : mapping
        Definition in its compiled form.
    url, endpoint_url, region : str
        Root of the tables.
    places : mapping of str to str
        The setting ``tables``.
    only : str, optional
    last : str
    n_jobs : int, optional
    memory_limit_bytes : int
    outage_minutes : float
    tables : list of _Table
    stage : str
        What is backfilled, see `Backfill.kind`.
    label_day : str
        Day of the labels.
    verify : str
        Files of published datasets whose recorded digest is checked.
    """

    kind: str
    definition: dict[str, Any]
    url: str
    places: dict[str, str]
    last: str
    memory_limit_bytes: int
    outage_minutes: float
    tables: list[_Table]
    endpoint_url: str | None = None
    region: str | None = None
    only: str | None = None
    n_jobs: int | None = None
    stage: str = "backfill"
    label_day: str = ""
    verify: Verify = "sample"


def dump_backfill(backfill: Backfill, outputs: Iterable[Output]) -> Mapping[str, Any]:
    """Return the setup of a backfill, with the tables that it publishes, as JSON values."""
    root, resources = backfill.root, backfill.resources
    tables = [
        _Table(output.table, output.digest, output.definition, sorted(output.keys))
        for output in outputs
    ]
    values = asdict(
        _Stored(
            kind="backfill",
            definition=to_json(backfill.definition),
            url=root.url,
            endpoint_url=root.endpoint_url,
            region=root.region,
            places=dict(backfill.places),
            only=backfill.only,
            last=backfill.last,
            n_jobs=resources.n_jobs,
            memory_limit_bytes=resources.memory_limit_bytes,
            outage_minutes=resources.outage_minutes,
            tables=tables,
            stage=backfill.kind,
            label_day=backfill.label_day,
            verify=root.verify,
        )
    )
    if backfill.kind == "backfill":
        # Children of the first release can then read the plan, too.
        del values["stage"], values["label_day"]
    # Without the default, older children can read the plan.
    if root.verify == "sample":
        del values["verify"]
    return values


def load_work(plan: PlanFile) -> "BackfillWork":
    """Return the backfill in a plan.

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
    backfill = Backfill(
        definition=from_json(stored.definition),
        root=StoreAddress(stored.url, stored.endpoint_url, stored.region, stored.verify),
        places=stored.places,
        only=stored.only,
        last=stored.last,
        kind=stored.stage,
        label_day=stored.label_day,
        resources=Resources(
            n_jobs=stored.n_jobs,
            memory_limit_bytes=stored.memory_limit_bytes,
            outage_minutes=stored.outage_minutes,
        ),
    )
    outputs = tuple(
        Output(
            table=entry.table,
            digest=entry.digest,
            definition=entry.definition,
            engine=backfill.engine,
            run_id=plan.run_id,
            keys=frozenset(entry.keys),
        )
        for entry in stored.tables
    )
    return BackfillWork(backfill, outputs)


def divide_backfill(backfill: Backfill, days: Days) -> ArrayJob:
    """Plan a backfill for an array.

    Raises
    ------
    DefinitionError
        If the definition is refused, or its tables lack columns.
    DataNotFoundError
        If a table or all days are missing.
    ConfigError
        If the tables are out of reach of other machines, or a join that is read is not done.
    StorageError
    """
    check(backfill.definition)
    backfill = _for_children(backfill, days)
    planned = plan_backfill(backfill, days)

    def setup(run_id: str) -> Mapping[str, Any]:
        return dump_backfill(backfill, outputs_of(planned, run_id))

    return ArrayJob(describe_backfill(planned, days), backfill.root, setup, in_order=True)


def _for_children(backfill: Backfill, days: Days) -> Backfill:
    """Return a backfill as the children of an array do it.

    Raises
    ------
    ConfigError
    """
    check_reach(backfill.root)
    if backfill.engine != "local":
        raise ConfigError(
            f"--executor batch: --engine {backfill.engine} divides the work itself",
            hint="leave one of the two out",
        )
    resources = replace(backfill.resources, executor="auto")
    backfill = replace(backfill, last=days.last, resources=resources)
    for name in pending_parents(backfill, days):
        # Its rows decide the inputs of the tasks, which are planned here.
        raise ConfigError(
            f"--executor batch: days of {name}, whose output is read, are left to do",
            hint=f"run gigacast feature-store backfill {name} --executor batch before",
        )
    return backfill


@dataclass(frozen=True)
class BackfillWork(PlainWork):
    """Days of features.

    Parameters
    ----------
    backfill : Backfill
    outputs : tuple of Output
        Tables that become datasets when every day is done.
    """

    backfill: Backfill
    outputs: tuple[Output, ...]

    @property
    def resources(self) -> Resources:
        """Processes and memory of a child."""
        return self.backfill.resources

    def worker(self, outputs: Store, run_id: str, pending: Sequence[Task]) -> Setup[Task, Receipt]:
        """Return the recipe for the worker, and make the tiles that several days read."""
        del outputs
        if len(pending) < 2:
            return BackfillSetup(self.backfill, run_id)
        rows = ScratchFolder("rows")
        # A child is a process of its own, which ends after its tasks.
        atexit.register(rows.close)
        # Otherwise each process of the child would read the same partitions.
        make_tiles_of(self.backfill, pending, self.executor(len(pending)), rows.path)
        return BackfillSetup(self.backfill, run_id, rows.path)

    def executor(self, tasks: int) -> Executor:
        """Return one process per core, or the number that the settings name."""
        resources = self.backfill.resources
        vcpus = this_machine().vcpus
        if resources.n_jobs is None and vcpus is not None:
            resources = replace(resources, n_jobs=max(1, min(vcpus, tasks)))
        return executor_of(replace(self.backfill, resources=resources), tasks)

    def close(self, closing: Closing, tables: Iterable[pa.Table]) -> None:
        """Publish the tables as versions of datasets, if every day is done."""
        del tables
        if not closing.is_whole:
            return
        try:
            root = Tables.at(self.backfill.root, self.backfill.places)
            closing.notes["datasets"] = publish_outputs(root, self.outputs, utc_now)
        # The days are done, and the run must end nevertheless: `watch` waits for its end.
        except (ConfigError, DataError) as error:
            closing.failures.append(failure_of(error))
