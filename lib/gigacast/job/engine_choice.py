"""The engine of a job that leaves it open: that of earlier forecasts, else by the work at hand.

Torch computes fastest where a processor has bfloat16, but loading it takes as long as forecasting
some 15,000 series with the shipped model. NumPy starts at once. OpenVINO goes on where
it has begun.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from gigacast.core.partition.spec import Spec, horizon_of_spec
from gigacast.errors import MissingExtraError
from gigacast.forecasters.catalog import describe_forecaster
from gigacast.forecasters.engine import has_former_engine, has_openvino_beside, kind_of_engine
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.job.forecast_job import ForecastJob, ModelChoice
from gigacast.job.model_choice import describe_quick, describe_resolved
from gigacast.job.spec import make_spec
from gigacast.lake.layout import version_prefix
from gigacast.lake.model.resolve import ResolvedModel
from gigacast.storage.store import ObjectMeta, Store

MOST_QUICK_BYTES = 16 * 1024**2
"""Parquet of about 15,000 series of 150 steps: less is done before torch is loaded."""

MOST_QUICK_SERIES = 15_000
MOST_QUICK_ROWS = 2_250_000
"""The same as series, and as rows of a table in memory."""

MOST_PAGES = 3
"""Pages of a listing that are read to measure the work; a bucket of more objects is not small."""

AS_BEFORE = "the forecasts that are there were made by it"
AS_OTHERS = "as forecasts of this model by other settings, most likely"
FOR_LITTLE = "little work: another would take longer to start"
FOR_MUCH = "enough work for torch to be worth its start"
WITHOUT_TORCH = "torch is not installed"
TORCH_IS_GONE = "torch, which made the forecasts that are there, is not installed"
ONLY_INT8 = "no other computes in int8"


class Settled(NamedTuple):
    """The forecaster of a job, and why its engine was chosen; empty if nothing was left open."""

    info: ForecasterInfo
    reason: str = ""


def former_info(
    model: ResolvedModel, info: ForecasterInfo, choice: ModelChoice
) -> ForecasterInfo | None:
    """Return the forecaster that earlier releases had for a model; ``None`` if it is the same.

    Parameters
    ----------
    model : ResolvedModel
    info : ForecasterInfo
        Of the engine that computes fastest.
    choice : ModelChoice
    """
    if model.folder is None or not has_former_engine(choice.engine_choice, info.engine):
        return None
    stock = replace(choice, engine="stock", device=info.device, precision=info.precision)
    try:
        return describe_forecaster(
            model.folder,
            name=info.name,
            version=info.version,
            digest=info.digest,
            choice=stock.engine_choice,
        )
    except MissingExtraError:
        return None  # what the stock code has made, only the stock code can go on with


def settle_engine(
    model: ResolvedModel, info: ForecasterInfo, job: ForecastJob, inputs: Store, outputs: Store
) -> Settled:
    """Return the forecaster of a job over a bucket.

    The engine is part of the spec. A choice by the amount of work alone would forecast everything
    again as soon as the amount passes the limit, so forecasts that are there decide, whichever of
    the engines has made them; only a model that has made none yet is chosen an engine for.

    Raises
    ------
    StorageError
    """
    quick = describe_quick(model, info, job.model)
    possible = (
        quick or former_info(model, info, job.model),
        _openvino_info(model, info, job.model),
    )
    alternatives = [entry for entry in possible if entry is not None]
    reason = _reason_alone(info, job.model)
    if not alternatives and reason != WITHOUT_TORCH:
        return Settled(info, reason)
    root = version_prefix(info.name, info.version)
    names = [name.removeprefix(root).rstrip("/") for name in outputs.list_folder(root).folders]
    for candidate in (info, *alternatives):
        if _is_among(make_spec(candidate, job.method, job.selection), names):
            return Settled(candidate, AS_BEFORE)
    if reason == WITHOUT_TORCH:
        # It need not be here to be described.
        gone = describe_resolved(model, replace(job.model, engine="torch").engine_choice)
        if _is_among(make_spec(gone, job.method, job.selection), names):
            reason, quick = TORCH_IS_GONE, None
    if quick is None:
        return Settled(info, reason)
    # Forecasts by other settings: their engine is not in their keys, and the first one of all
    # releases was torch.
    if any(map(horizon_of_spec, names)):
        return Settled(info, AS_OTHERS)
    is_little = _is_little(job, inputs)
    return Settled(quick, FOR_LITTLE) if is_little else Settled(info, reason or FOR_MUCH)


def _openvino_info(
    model: ResolvedModel, info: ForecasterInfo, choice: ModelChoice
) -> ForecasterInfo | None:
    """Return the forecaster of OpenVINO beside torch; ``None`` where it is no choice.

    It is never the first one there; somebody named it, or torch was installed later.
    """
    if model.folder is None or model.members or info.device != "cpu":
        return None
    if not has_openvino_beside(choice.engine_choice, info.engine):
        return None
    return describe_resolved(model, replace(choice, engine="openvino").engine_choice)


def _reason_alone(info: ForecasterInfo, choice: ModelChoice) -> str:
    """Return why an engine was chosen that had no other beside it; empty if somebody named it."""
    if choice.engine != "auto":
        return ""
    if choice.precision == "int8" and kind_of_engine(info.engine) == "openvino":
        return ONLY_INT8
    return WITHOUT_TORCH if kind_of_engine(info.engine) in ("openvino", "numpy") else ""


def _is_among(spec: Spec, names: Iterable[str]) -> bool:
    horizons = ((name, horizon_of_spec(name)) for name in names)
    return any(horizon is not None and spec.id(horizon) == name for name, horizon in horizons)


def _is_little(job: ForecastJob, inputs: Store) -> bool:
    """Return whether the partitions of a job are so small that starting torch takes longer."""
    if job.synthetic is not None:
        made = job.synthetic.partitions * job.synthetic.series_per_partition
        return made <= MOST_QUICK_SERIES
    total = 0
    for number, page in enumerate(inputs.list()):
        total += sum(entry.size_bytes for entry in page if _is_wanted(job, entry))
        if total > MOST_QUICK_BYTES or number == MOST_PAGES:
            return False
    return True


def _is_wanted(job: ForecastJob, entry: ObjectMeta) -> bool:
    name = job.pattern.parse(entry.key)
    return name is not None and job.selection.wants(name)


def settle_rows(
    model: ResolvedModel, info: ForecasterInfo, choice: ModelChoice, rows: int
) -> ForecasterInfo:
    """Return the forecaster of a table or a file of about this many rows."""
    quick = describe_quick(model, info, choice) if rows <= MOST_QUICK_ROWS else None
    return quick or info
