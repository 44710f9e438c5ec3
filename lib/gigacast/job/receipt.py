"""The receipt of a task, made in one place for all jobs."""

import os
import platform
import resource
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from gigacast.core.partition.task import Task
from gigacast.core.version import VERSION
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.lake.plan.receipt import Receipt, input_entries
from gigacast.runtime.instance import this_machine

NO_MODEL = "none"


@dataclass(frozen=True)
class ModelUse:
    """The model of a task, and how series were forecast.

    Parameters
    ----------
    info : ForecasterInfo
    reasons : mapping
        Number of series that the model did not forecast, by reason.
    reason_items : mapping
        Ids of the first of these series, by reason.
    covariates : mapping
        See `job.covariates.describe_companions`.
    batch_sizes : list of int
    """

    info: ForecasterInfo
    reasons: Mapping[str, int] = field(default_factory=dict)
    reason_items: Mapping[str, list[str]] = field(default_factory=dict)
    covariates: Mapping[str, list[str]] = field(default_factory=dict)
    batch_sizes: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Work:
    """The work of a task, for its receipt.

    Parameters
    ----------
    job : str
        ``forecast``, ``backtest``, ``clean``, ``quality``.
    run_id : str
    rows, series : int
        Read from the inputs.
    seconds : mapping
        By stage; see `job.worker.Stopwatch`.
    newest_timestamp : str, optional
        ISO 8601; ``None`` where times are plain step numbers.
    repairs : mapping
        Number of rows or series changed, by kind of change.
    model : ModelUse, optional
        Model of the task, for jobs that run one.
    usage : mapping
        What the task has used of a service: requests, tokens, dollars.
    """

    job: str
    run_id: str
    rows: int
    series: int
    seconds: Mapping[str, float]
    newest_timestamp: str | None = None
    repairs: Mapping[str, int] = field(default_factory=dict)
    model: ModelUse | None = None
    usage: Mapping[str, float] = field(default_factory=dict)


def new_receipt(task: Task, output: Mapping[str, object], work: Work) -> Receipt:
    """Return the receipt of a task that is done.

    Parameters
    ----------
    task : Task
    output : mapping
        ``key``, ``etag``, ``size_bytes`` and ``rows`` of the output; a job may add more.
    work : Work
    """
    return Receipt(
        job=work.job,
        partition=task.partition,
        run_id=work.run_id,
        finished_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        inputs=input_entries(task),
        output=dict(output),
        rows=work.rows,
        series=work.series,
        seconds=dict(work.seconds),
        repairs=dict(work.repairs),
        usage=dict(work.usage),
        newest_timestamp=work.newest_timestamp,
        spec=task.spec,
        horizon=task.horizon,
        # Linux reports the peak in KiB.
        peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        **_model_fields(work.model),
        host={
            "name": platform.node(),
            "pid": os.getpid(),
            **({"engine": work.model.info.engine} if work.model is not None else {}),
            "gigacast": VERSION,
        },
    )


def _model_fields(model: ModelUse | None) -> dict[str, Any]:
    """Return the fields of a receipt that name the model, its device and its machine.

    Receipts of jobs without a model name no machine: estimates of cost read those of forecasts.
    """
    if model is None:
        return {"reasons": {}, "model": NO_MODEL, "version": "", "digest": ""}
    info, machine = model.info, this_machine()
    return {
        "reasons": dict(model.reasons),
        "reason_items": dict(model.reason_items),
        "covariates": dict(model.covariates),
        "model": info.name,
        "version": info.version,
        "digest": info.digest,
        "device": info.device,
        "precision": info.precision,
        "batch_sizes": model.batch_sizes,
        "instance": machine.instance,
        "purchase": machine.purchase,
    }
