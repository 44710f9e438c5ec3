"""The setup that the children of an array run share: a resolved job as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from gigacast.errors import ModelIntegrityError, PlanError
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasting.prepare import Prepared
from gigacast.job.forecast_job import ForecastJob, Method
from gigacast.job.spec import make_spec
from gigacast.lake.model.resolve import ResolvedModel, resolve_model
from gigacast.lake.plan.plan_file import PlanFile
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store


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


# A plan is read from the bucket, where others can write: every field is checked by its type.
_ADAPTER = TypeAdapter(ArraySetup)
_LATER_FIELDS = (
    *("duplicates", "duplicate_share", "csv"),
    *("aggregate", "partial_bins", "zone"),
)
"""Fields of `Method` that plans of the first release do not have."""


def dump_setup(prepared: Prepared) -> Mapping[str, Any]:
    """Return the setup of a prepared job as JSON values."""
    setup = ArraySetup(prepared.job, prepared.info, prepared.model.digest, prepared.ignored)
    values: dict[str, Any] = _ADAPTER.dump_python(setup, mode="json")
    method, default = values["job"]["method"], Method()
    # Plans of jobs that do not use them stay the same, and older children can read them.
    for name in _LATER_FIELDS:
        if getattr(prepared.job.method, name) == getattr(default, name):
            del method[name]
    if not prepared.job.method.columns.items:
        del method["columns"]["items"]
    if prepared.job.method.aggregate is None and method["frequency"] is not None:
        del method["frequency"]["anchor"]
    return values


def load_setup(plan: PlanFile) -> ArraySetup:
    """Return the setup in a plan.

    Raises
    ------
    PlanError
        When another version of the package wrote it.
    """
    try:
        return _ADAPTER.validate_python(dict(plan.setup))
    except ValidationError as error:
        problem = error.errors()[0]
        path = ".".join(str(part) for part in problem["loc"])
        raise PlanError(
            f"the plan of {plan.run_id} can't be read: {path}: {problem['msg']}",
            hint="use the same version of gigacast on every machine",
        ) from error


def prepared_of(setup: ArraySetup) -> Prepared:
    """Return the prepared job of a setup with its stores open; the model is not downloaded."""
    job, info = setup.job, setup.info
    inputs = open_store(job.inputs)
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
