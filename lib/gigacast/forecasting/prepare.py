"""Preparation of a forecasting job: its stores are opened, its model resolved, its spec made."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from gigacast.core.cost.array_plan import QueueKind
from gigacast.core.partition.name import EXPECTED_NAMES, year_of_folder
from gigacast.core.partition.spec import Spec
from gigacast.core.partition.task import Task, sizes_of
from gigacast.core.text import blank_secrets
from gigacast.errors import ConfigError, DataError, DataNotFoundError
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasters.gpu_sharing import operations_per_point, processes_per_gpu
from gigacast.forecasters.hardware import are_gpus, count_processes, describe_gpu
from gigacast.job.calibration import with_calibration
from gigacast.job.covariates import check_context, fit_method, refuse_pooled, warn_of_horizon
from gigacast.job.engine_choice import settle_engine
from gigacast.job.forecast_job import ForecastJob, ModelChoice
from gigacast.job.location import (
    check_reach,
    exact_inputs,
    open_inputs,
    pin_inputs,
    reachable_inputs,
)
from gigacast.job.model_choice import memory_of, resolve_choice, usable_devices
from gigacast.job.spec import make_spec
from gigacast.lake.layout import spec_prefix
from gigacast.lake.model.resolve import ResolvedModel
from gigacast.lake.plan.months import find_years, with_latest_month
from gigacast.lake.plan.planner import Plan, PlanRequest
from gigacast.lake.table.address import is_table
from gigacast.runtime.cores import resolve_jobs
from gigacast.runtime.processes import Processes, choose_processes, share_gpus
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress

_MOST_YEARS = 4  # that a message names one by one


@dataclass(frozen=True)
class Prepared:
    """A job with everything resolved.

    Parameters
    ----------
    job : ForecastJob
        The job with a pinned version of its inputs, and the method as the model supports it.
    inputs, outputs : Store
    model : ResolvedModel
    info : ForecasterInfo
    spec : Spec
    model_horizon : int, optional
        Horizon in place of the model's own, where several models have to agree.
    ignored : tuple of str
        Covariates and joint targets that the model does not support and the settings leave out.
    engine_reason : str
        Why the engine was chosen, for people; empty if nothing was left open.
    """

    job: ForecastJob
    inputs: Store
    outputs: Store
    model: ResolvedModel
    info: ForecasterInfo
    spec: Spec
    model_horizon: int | None = None
    ignored: tuple[str, ...] = ()
    engine_reason: str = ""

    def request(self) -> PlanRequest:
        """Return the request to the planner."""
        return PlanRequest(
            spec=self.spec,
            horizon=self.job.method.horizon,
            model_horizon=self.model_horizon or self.info.prediction_length,
            pattern=self.job.pattern,
            selection=self.job.selection,
            overwrite=self.job.overwrite,
        )

    @property
    def panel_folder(self) -> str:
        """Folder of the forecasts of partitions whose names state no horizon."""
        horizon = self.job.method.horizon or self.request().model_horizon
        spec = self.spec
        return spec_prefix(spec.model, spec.version, spec.id(horizon))

    def request_to_read(self) -> PlanRequest:
        """Return a request that finds all partitions that are done, by whichever run."""
        return replace(self.request(), overwrite=False)


def prepare(
    job: ForecastJob,
    *,
    compares: bool = False,
    models: StoreAddress | None = None,
    settles: bool = True,
) -> Prepared:
    """Open the stores of a job and resolve its settings that are ``auto`` or ``ACTIVE``.

    Parameters
    ----------
    job : ForecastJob
    compares : bool
        Whether several models are compared: a context that is too long for a model is then cut
        instead of refused.
    models : StoreAddress, optional
        Root of ``models/``; that of the outputs by default.
    settles : bool
        Whether an engine that is left open is that of earlier forecasts, or else by the amount of
        work; see `job.engine_choice`. Jobs whose outputs are no forecasts leave it as it is.

    Raises
    ------
    BucketNotFoundError, AccessDeniedError, ModelError, ConfigError
    """
    job = replace(job, inputs=pin_inputs(job.inputs))
    inputs = open_inputs(job.inputs)
    job = replace(job, selection=with_latest_month(inputs, job.selection))
    outputs = inputs if job.outputs == job.inputs else open_store(job.outputs)
    # A table was read when it was opened.
    places = [job.outputs, *([] if is_table(job.inputs.url) else [job.inputs])]
    for address in {checked_address(job, place) for place in places}:
        open_store(address).check()
    model, info = resolve_choice(job.model, outputs if models is None else open_store(models))
    if not compares:
        check_context(job.method, info)
        warn_of_horizon(job.method.horizon, info)
    method, ignored = fit_method(job.method, info)
    if job.incremental:
        refuse_pooled(method, "--incremental")
    if method.calibrate:
        method = with_calibration(method, info, outputs)
    job = replace(job, method=method)
    reason = ""
    if settles:
        info, reason = settle_engine(model, info, job, inputs, outputs)
    spec = make_spec(info, job.method, job.selection)
    return Prepared(job, inputs, outputs, model, info, spec, ignored=ignored, engine_reason=reason)


def pin_months(job: ForecastJob) -> ForecastJob:
    """Return a job with the newest month of its inputs in place of ``--months latest``.

    Of a table the snapshot is pinned, too: each process opens it anew.

    Raises
    ------
    DataNotFoundError, StorageError
    """
    job = replace(job, inputs=exact_inputs(job.inputs))
    if not job.selection.months.latest:
        return job
    inputs = open_inputs(pin_inputs(job.inputs))
    return replace(job, selection=with_latest_month(inputs, job.selection))


def checked_address(job: ForecastJob, address: StoreAddress) -> StoreAddress:
    """Return the address that must exist before a run starts.

    For local folders that is the folder of the job, since a prefix below it is made when needed. On
    S3 it is the prefix: permissions may not cover the bucket itself.
    """
    is_folder = address.url.startswith("file://")
    return job.bucket if is_folder and address.is_below(job.bucket) else address


def processes_for(
    prepared: Prepared, tasks: Sequence[Task], n_tasks: int | None = None
) -> Processes:
    """Return the number of processes that a job gets on this machine for some tasks.

    Parameters
    ----------
    prepared : Prepared
    tasks : sequence of Task
    n_tasks : int, optional
        Their number, where the tasks themselves are not at hand.
    """
    count = len(tasks) if n_tasks is None else n_tasks
    resources = prepared.job.resources
    devices = usable_devices(prepared.job.model, prepared.info)
    named = count_processes(resources.n_jobs, devices)
    if named is not None and resources.executor != "inline":
        return Processes(resolve_jobs(named))
    if resources.executor not in ("auto", "joblib"):
        return Processes(1)
    if are_gpus(devices):
        operations = operations_per_point(prepared.model.folder, prepared.info)
        wanted = processes_per_gpu(operations, describe_gpu(), prepared.info.precision)
        memory = resources.memory_limit_bytes + memory_of(prepared.model)
        return share_gpus(len(devices), wanted, count, memory)
    work = sum(sizes_of(tasks))
    limit = resources.memory_limit_bytes
    return choose_processes(count, work, limit, memory_of(prepared.model))


def check_discovered(plan: Plan, job: ForecastJob) -> None:
    """Refuse a plan without a single partition.

    Raises
    ------
    DataNotFoundError
        The message names a few objects whose names match no pattern of partitions.
    DataError
        See `check_spellings`.
    """
    check_spellings(plan, job)
    if plan.discovered:
        return
    ignored = [*plan.unmatched[:3], *plan.foreign_folders[:3]]
    instead = f"; found instead: {', '.join(ignored)}" if ignored else ""
    if others := _years_of(job):
        instead += f"; there are months of {others}"
    raise DataNotFoundError(
        f"no partition under {job.inputs.url} matches the selection{instead}",
        hint=f"{EXPECTED_NAMES}; see --prefix, --years, --symbol, and "
        "parquet_loader.file_patterns in the settings",
    )


def _years_of(job: ForecastJob) -> str:
    """Return the years of the input, where the job selects some months; empty without any."""
    chosen = job.selection.months
    if (chosen.years is None and chosen.months is None) or is_table(job.inputs.url):
        return ""
    folders = find_years(open_inputs(job.inputs)).years
    years = sorted({year for name in folders if (year := year_of_folder(name)) is not None})
    if len(years) < _MOST_YEARS:
        return ", ".join(map(str, years))
    return f"{years[0]} to {years[-1]}"


def check_spellings(plan: Plan, job: ForecastJob) -> None:
    """Refuse folders that spell one month in two ways, where months are taken as wholes.

    Raises
    ------
    DataError
    """
    if plan.spellings and (job.selection.by_month or job.selection.context_partitions):
        first, second = plan.spellings[0]
        raise DataError(
            f"{first} and {second} are two spellings of one month, of which each would count as "
            "the whole month",
            hint="move their objects into one folder",
        )


def describe_job(job: ForecastJob) -> dict[str, object]:
    """Return the settings of a job as audits record them; none of them is secret."""
    method = asdict(job.method) | {"columns": job.method.columns.spec_fields}
    method["frequency"] = job.method.frequency.alias if job.method.frequency else None
    if job.method.calibration is not None:
        method["calibration"] = job.method.calibration.digest
    # The days themselves are long lists; the spec has their digests as well.
    method["holiday_tables"] = [table.digest for table in job.method.holiday_tables]
    return {
        "inputs": job.inputs.url,
        "outputs": job.outputs.url,
        "model": asdict(job.model),
        "method": method,
        "resources": asdict(job.resources),
        "overwrite": job.overwrite,
        "limit": job.limit,
        **({"table": asdict(job.table)} if job.table is not None else {}),
    }


PRECISION = "bfloat16"
"""Precision of array runs if ``auto`` is set: all machines of the queues (``infra/``) have it."""

_SHIPPED = {"built in", "ships with the package"}
"""Sources of models that every machine with the package has: their name is enough."""


def prepare_array(
    job: ForecastJob,
    *,
    compares: bool = False,
    models: StoreAddress | None = None,
    settles: bool = True,
) -> Prepared:
    """Open the stores of a job and resolve it for the machines of the queues.

    This machine only plans: its devices must not decide anything in the spec. The keywords are
    those of `prepare`.

    Raises
    ------
    ConfigError
        When the data or the model is out of reach of the children.
    BucketNotFoundError, AccessDeniedError, ModelError
    """
    job = replace(job, inputs=reachable_inputs(job.inputs))
    check_reach(job.outputs)
    for address in (job.inputs, job.outputs):
        # Whoever may describe jobs of AWS Batch would read them in the command of the job.
        if blank_secrets(address.endpoint_url or "") != (address.endpoint_url or ""):
            raise ConfigError(
                "endpoint_url: the URL holds credentials, which the job would show",
                hint="give --endpoint_url without them; jobs take credentials from their role",
            )
    choice = replace(job.model, device="cpu")
    # This machine need not have torch; those of the queues do.
    if choice.engine == "auto" and choice.precision != "int8":
        choice = replace(choice, engine="torch")
    for_cpu = replace(job, model=choice)
    prepared = prepare(for_cpu, compares=compares, models=models, settles=settles)
    # The models of a portfolio have a precision each, which this machine must not decide either.
    if prepared.model.members and choice.precision == "auto":
        for_cpu = replace(job, model=replace(choice, precision="float32"))
        prepared = prepare(for_cpu, compares=compares, models=models, settles=settles)
    info = prepared.info
    if info.is_remote:
        # A key in the definition of a job could be read by whoever may describe it.
        raise ConfigError(
            f"model: {info.name} is asked over its API, for which the machines of the queues have "
            "no key",
            hint="use --executor joblib",
        )
    # A model that samples is kept in float32; one without weights has no precision to choose.
    is_one = prepared.model.folder is not None and not prepared.model.members
    has_choice = is_one and choice.engine != "numpy"
    if has_choice and choice.precision == "auto":
        info = replace(info, precision="float32" if info.samples else PRECISION)
    model = portable_choice(replace(job.model, engine=choice.engine), prepared.model)
    spec = make_spec(info, prepared.job.method, job.selection)
    # Each child decides how it uses its own machine.
    resources = replace(job.resources, executor="auto")
    job = replace(prepared.job, model=model, resources=resources)
    return replace(prepared, job=job, info=info, spec=spec)


def prepare_for(job: ForecastJob) -> Prepared:
    """Prepare a job for the machines that do it: those of the queues, or this one.

    Raises
    ------
    ConfigError, BucketNotFoundError, AccessDeniedError, ModelError
    """
    return prepare_array(job) if job.resources.executor == "batch" else prepare(job)


def portable_choice(choice: ModelChoice, model: ResolvedModel) -> ModelChoice:
    """Return a choice by which another machine finds the same files of a model.

    Raises
    ------
    ConfigError
        When the model is a folder of this machine.
    """
    # The exact version: ACTIVE may be switched while the children wait.
    named = replace(choice, otherwise=None, detect=True, version=model.version)
    if model.source in _SHIPPED:
        return replace(named, reference=model.name)
    kind, _, place = model.source.partition(" ")
    if kind == "hub":
        return replace(named, reference=place)
    if kind == "cache":
        return replace(named, reference=f"sha256:{model.digest}", version=None)
    if "://" in choice.reference and not choice.reference.startswith("file://"):
        check_reach(StoreAddress(choice.reference))
        return replace(named, reference=choice.reference)
    if "://" in kind:
        return replace(named, reference=f"{model.name}/{model.version}")
    raise ConfigError(
        f"model: {choice.reference} is a folder of this machine",
        hint="publish it first: `gigacast models publish FOLDER`, then use --model NAME",
    )


def with_queue(prepared: Prepared, queue: QueueKind) -> Prepared:
    """Return a prepared job for the machines of a queue.

    The device is not part of the spec: the forecasts stay the same.
    """
    device = "cuda" if queue == "gpu" and prepared.model.folder is not None else "cpu"
    model = replace(prepared.job.model, device=device)
    return replace(
        prepared,
        job=replace(prepared.job, model=model),
        info=replace(prepared.info, device=device),
    )
