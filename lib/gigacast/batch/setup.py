"""The setup that the children of an array run share: a resolved job as plain values."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

import pyarrow as pa

from gigacast.batch.work import ArrayWork, Closing, dump_record, find_done, load_record
from gigacast.core.cost.price import PriceTable
from gigacast.core.partition.task import Task
from gigacast.errors import ModelIntegrityError, PlanError
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasting.manifest import ManifestDraft
from gigacast.forecasting.partition import ForecastSetup
from gigacast.forecasting.prepare import Prepared
from gigacast.forecasting.run import make_executor_for
from gigacast.job.forecast_job import KEEP_ORIGINS, ForecastJob, Method
from gigacast.job.location import open_inputs
from gigacast.job.model_choice import memory_of
from gigacast.job.outage import DEFAULT_MINUTES, Patience
from gigacast.job.spec import make_spec
from gigacast.lake.model.resolve import ResolvedModel, resolve_model
from gigacast.lake.plan.plan_file import PlanFile
from gigacast.lake.plan.planner import make_plan
from gigacast.lake.plan.receipt import Receipt
from gigacast.runtime.executor import Executor, Setup
from gigacast.runtime.instance import this_machine
from gigacast.runtime.processes import PROCESS_BYTES, free_memory
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store

KIND = "kind"
"""Entry of a setup that names the work; setups of forecasts have none."""
KINDS = {
    "anomalies": "search",
    "backfill": "backfill",
    "backtest": "past",
    "bucket": "division",
    "clean": "cleaning",
    "evaluate": "comparison",
    "quality": "quality",
    "upload": "upload",
}
"""Modules whose `load_work` reads the setups of a kind of work."""


@dataclass(frozen=True)
class ArraySetup:
    """A resolved job, as the plan file holds it for the children.

    Parameters
    ----------
    job : ForecastJob
        Names its model so that another machine finds the same files.
    info : ForecasterInfo
        The forecaster of the plan's spec.
    digest : str
        Digest of the model's files.
    ignored : tuple of str
        Covariates that the model does not support and that the settings leave out.
    """

    job: ForecastJob
    info: ForecasterInfo
    digest: str
    ignored: tuple[str, ...] = ()


_LATER_FIELDS = (
    *("duplicates", "duplicate_share", "csv"),
    *("aggregate", "partial_bins", "zone"),
    *("enhance", "long_horizon", "calibrate", "calibration", "mean"),
    *("covariate_regressor", "calendar", "holidays", "holiday_tables"),
)
"""Fields of `Method` that plans of the first release do not have."""


def dump_setup(prepared: Prepared) -> Mapping[str, Any]:
    """Return the setup of a prepared job as JSON values."""
    setup = ArraySetup(prepared.job, prepared.info, prepared.model.digest, prepared.ignored)
    values = dump_record(setup)
    _drop_unused(values["job"], prepared.job)
    return values


def _drop_unused(values: dict[str, Any], job: ForecastJob) -> None:
    """Remove later fields of a job that does not use them, in place.

    Plans of such jobs stay the same, and older children can read them.
    """
    method, default = values["method"], Method()
    for name in _LATER_FIELDS:
        if getattr(job.method, name) == getattr(default, name):
            del method[name]
    if not job.method.columns.items:
        del method["columns"]["items"]
    if job.method.aggregate is None and method["frequency"] is not None:
        del method["frequency"]["anchor"]
    unused = (
        (job.model.engine == "auto", values["model"], "engine"),
        (job.keep_origins == KEEP_ORIGINS, values, "keep_origins"),
        (not job.incremental, values, "incremental"),
        (job.table is None, values, "table"),
        (not job.selection.by_bucket, values["selection"], "by_bucket"),
        (job.resources.outage_minutes == DEFAULT_MINUTES, values["resources"], "outage_minutes"),
    )
    for is_default, place, name in unused:
        if is_default:
            del place[name]
    for address in (values["inputs"], values["outputs"], values["bucket"]):
        if address["verify"] == "sample":
            del address["verify"]


def load_setup(plan: PlanFile) -> ArraySetup:
    """Return the setup in a plan.

    Raises
    ------
    PlanError
        When another version of the package wrote it.
    """
    return load_record(ArraySetup, plan)


def prepared_of(setup: ArraySetup) -> Prepared:
    """Return the prepared job of a setup with its stores open; the model is not downloaded."""
    job, info = setup.job, setup.info
    inputs = open_inputs(job.inputs)
    outputs = inputs if job.outputs == job.inputs else open_store(job.outputs)
    model = ResolvedModel(info.name, info.version, setup.digest, None, "plan")
    return Prepared(job, inputs, outputs, model, info, make_spec(info, job.method, job.selection))


def fetch_model(setup: ArraySetup, outputs: Store) -> ResolvedModel:
    """Return the model of a setup, downloaded to this machine where needed.

    Raises
    ------
    ModelNotFoundError
    ModelIntegrityError
        When its digest is not that of the plan.
    """
    choice, info = setup.job.model, setup.info
    model = resolve_model(choice.reference, outputs, version=choice.version)
    if model.digest != setup.digest:
        raise ModelIntegrityError(
            f"{choice.reference}: digest {model.digest[:12]}, the plan was made for "
            f"{setup.digest[:12]}",
            hint="the model was replaced after the plan was made: start a new run",
        )
    return replace(model, name=info.name, version=info.version)


def load_work(plan: PlanFile) -> ArrayWork:
    """Return the work of a plan.

    Raises
    ------
    PlanError
        When another version of the package wrote it.
    """
    kind = plan.setup.get(KIND, "forecast")
    if kind in KINDS:
        # Of each kind the code is imported by its own children alone.
        work: ArrayWork = import_module(f"gigacast.batch.{KINDS[str(kind)]}").load_work(plan)
        return work
    if kind != "forecast":
        raise PlanError(
            f"the plan of {plan.run_id} is of another kind of work: {str(kind)[:40]!r}",
            hint="use the same version of gigacast on every machine",
        )
    return ForecastWork(load_setup(plan))


@dataclass(frozen=True)
class ForecastWork:
    """Forecasts of the partitions of a resolved job.

    Parameters
    ----------
    setup : ArraySetup
    fetched : list of ResolvedModel
        The model that the worker has, once there is one.
    """

    setup: ArraySetup
    fetched: list[ResolvedModel] = field(default_factory=list, compare=False)

    @property
    def engine(self) -> str | None:
        """Name and revision of the code that runs the model."""
        return self.setup.info.engine

    @property
    def overwrite(self) -> bool:
        """Whether only receipts of this run count."""
        return self.setup.job.overwrite

    @property
    def prices(self) -> PriceTable | None:
        """Prices of machine time."""
        return self.setup.job.prices

    @property
    def patience(self) -> Patience:
        """How long an outage of the store is waited out."""
        return self.setup.job.resources.patience

    def find(self, outputs: Store, task: Task, run_id: str) -> Receipt | None:
        """Return the receipt of a task that is done already, else ``None``."""
        return find_done(outputs, task, run_id, self.overwrite)

    def worker(self, outputs: Store, run_id: str, pending: Sequence[Task]) -> Setup[Task, Receipt]:
        """Return the recipe for the worker; the model is downloaded where it is needed."""
        # Without a task pending, the model's files are not even downloaded.
        model = fetch_model(self.setup, outputs) if pending else prepared_of(self.setup).model
        self.fetched[:] = [model]
        job, info = self.setup.job, self.setup.info
        return ForecastSetup(job, model, info, run_id, ignored=self.setup.ignored)

    def executor(self, tasks: int) -> Executor:
        """Return as many processes as keep the GPUs busy, or one per core without a GPU."""
        return child_executor(self.setup, self.fetched, tasks)

    def close(self, closing: Closing, tables: Iterable[pa.Table]) -> None:
        """Update the manifests with all partitions that are done now, by whichever run."""
        prepared = prepared_of(self.setup)
        draft = ManifestDraft(prepared.outputs, prepared.spec)
        for table in tables:
            draft.add_rows(table)
        # Planned again: a partition that another run did belongs into the manifest as well.
        make_plan(
            prepared.inputs, prepared.outputs, prepared.request_to_read(), on_done=draft.add_all
        )
        draft.commit(closing.run_id, self.setup.job.keep_origins)


def child_executor(setup: ArraySetup, fetched: Sequence[ResolvedModel], tasks: int) -> Executor:
    """Return the executor of a child: how many processes fit and pay depends on its model.

    Parameters
    ----------
    setup : ArraySetup
    fetched : sequence of ResolvedModel
        The model, if it is on this machine.
    tasks : int
    """
    prepared = prepared_of(setup)
    for model in fetched:
        prepared = replace(prepared, model=model)
    return make_executor_for(fill_cores(prepared, tasks), (), tasks)


def fill_cores(prepared: Prepared, tasks: int) -> Prepared:
    """Return a prepared job with one process for each core, for a child without a GPU.

    With fewer tasks than cores there are as many processes as tasks, and each gets several cores.
    """
    # Several processes use the cores better than one process with as many threads.
    resources, vcpus = prepared.job.resources, this_machine().vcpus
    if resources.n_jobs is not None or vcpus is None or prepared.info.device != "cpu":
        return prepared
    # Fewer than cores where the model is large. Reading rarely holds what it may.
    fitting = free_memory() // (PROCESS_BYTES + memory_of(prepared.model))
    resources = replace(resources, n_jobs=max(1, min(vcpus, tasks, fitting)))
    return replace(prepared, job=replace(prepared.job, resources=resources))
