"""What the children of an array run share: a job with nothing left to resolve, as plain values.

Imports everything below ``pipeline``, and pydantic, which turns the values to JSON and back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from gigacast.core.array import QueueKind
from gigacast.errors import ConfigError, ModelIntegrityError, PlanError
from gigacast.forecast.forecaster import ForecasterInfo
from gigacast.lake.model import ResolvedModel, resolve_model
from gigacast.lake.plan_file import PlanFile
from gigacast.pipeline.forecast import Prepared, prepare
from gigacast.pipeline.job import ForecastJob, ModelChoice
from gigacast.pipeline.spec import make_spec
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store

PRECISION = "bfloat16"
"""What ``auto`` means in an array: every machine of its queues computes in it (``infra/``)."""

_SHIPPED = {"built in", "ships with the package"}


@dataclass(frozen=True)
class ArraySetup:
    """A job as children get it.

    Parameters
    ----------
    job : ForecastJob
        Its model is named so that another machine finds the same one.
    info : ForecasterInfo
        What the plan's spec was made from.
    digest : str
        Of the model's files.
    ignored : tuple of str
        Covariates that were asked for and that the model has no use for.
    """

    job: ForecastJob
    info: ForecasterInfo
    digest: str
    ignored: tuple[str, ...] = ()


_ADAPTER = TypeAdapter(ArraySetup)


def prepare_array(job: ForecastJob) -> Prepared:
    """Open the stores and resolve what is ``auto`` or ``ACTIVE``, for the machines of the queues.

    What this machine is like does not matter: it plans, and others compute.

    Raises
    ------
    ConfigError
        When the children could not reach the data or the model.
    BucketNotFoundError, AccessDeniedError, ModelError
    """
    for address in (job.inputs, job.outputs):
        if not address.url.startswith("s3://"):
            raise ConfigError(
                f"run.bucket: {address.url} is out of reach of other machines",
                hint="use a bucket, or --executor joblib",
            )
    prepared = prepare(replace(job, model=replace(job.model, device="cpu")))
    info = prepared.info
    if prepared.model.folder is not None and job.model.precision == "auto":
        info = replace(info, precision="float32" if info.samples else PRECISION)
    model = portable_choice(job.model, prepared.model)
    spec = make_spec(info, prepared.job.method, job.selection)
    # What a child does with its machine is decided there.
    resources = replace(job.resources, executor="auto")
    job = replace(prepared.job, model=model, resources=resources)
    return replace(prepared, job=job, info=info, spec=spec)


def prepare_for(job: ForecastJob) -> Prepared:
    """Resolve a job for where it runs: on the machines of the queues, or on this one.

    Raises
    ------
    ConfigError, BucketNotFoundError, AccessDeniedError, ModelError
    """
    return prepare_array(job) if job.resources.executor == "batch" else prepare(job)


def portable_choice(choice: ModelChoice, model: ResolvedModel) -> ModelChoice:
    """Name a model so that another machine finds the very same one.

    Raises
    ------
    ConfigError
        When it lies in a folder of this machine.
    """
    named = replace(choice, otherwise=None, detect=True, version=model.version)
    if model.source in _SHIPPED:
        return replace(named, reference=model.name)
    kind, _, place = model.source.partition(" ")
    if kind == "hub":
        return replace(named, reference=place)
    if kind == "cache":
        return replace(named, reference=f"sha256:{model.digest}", version=None)
    if "://" in kind:
        return replace(named, reference=f"{model.name}/{model.version}")
    raise ConfigError(
        f"model.model_path: {choice.reference} is a folder of this machine",
        hint="publish it first: `gigacast models publish FOLDER`, then use --model NAME",
    )


def with_queue(prepared: Prepared, queue: QueueKind) -> Prepared:
    """Return what was prepared, for the machines of a queue: it changes no number."""
    device = "cuda" if queue == "gpu" and prepared.model.folder is not None else "cpu"
    model = replace(prepared.job.model, device=device)
    return replace(
        prepared,
        job=replace(prepared.job, model=model),
        info=replace(prepared.info, device=device),
    )


def dump_setup(prepared: Prepared) -> Mapping[str, Any]:
    """Return what was prepared as JSON-able values."""
    setup = ArraySetup(prepared.job, prepared.info, prepared.model.digest, prepared.ignored)
    values: dict[str, Any] = _ADAPTER.dump_python(setup, mode="json")
    return values


def load_setup(plan: PlanFile) -> ArraySetup:
    """Read a setup back.

    Raises
    ------
    PlanError
        When it is of another version of this program.
    """
    try:
        return _ADAPTER.validate_python(dict(plan.setup))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise PlanError(
            f"the plan of {plan.run_id} can't be read: {where}: {problem['msg']}",
            hint="use the same version of gigacast on every machine",
        ) from error


def prepared_of(setup: ArraySetup) -> Prepared:
    """Open the stores of a setup again, to look at what was done; the model is not fetched."""
    job, info = setup.job, setup.info
    inputs = open_store(job.inputs)
    outputs = inputs if job.outputs == job.inputs else open_store(job.outputs)
    model = ResolvedModel(info.name, info.version, setup.digest, None, "plan")
    return Prepared(job, inputs, outputs, model, info, make_spec(info, job.method, job.selection))


def fetch_model(setup: ArraySetup, outputs: Store) -> ResolvedModel:
    """Find the model of a setup on this machine.

    Raises
    ------
    ModelNotFoundError
    ModelIntegrityError
        When it is not the model that was planned with.
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
