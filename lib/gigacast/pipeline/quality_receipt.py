"""Receipts of jobs without a model. Imports ``core`` and ``lake``."""

import os
import platform
import resource
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version

from gigacast.core.quality import KeyQuality
from gigacast.core.task import Task
from gigacast.lake.receipt import Receipt, input_entries

NO_MODEL = "none"


@dataclass(frozen=True)
class Work:
    """What was done: the job, its run, and what was changed."""

    job: str
    run_id: str
    repairs: Mapping[str, int] = field(default_factory=dict)


def new_receipt(
    work: Work,
    task: Task,
    output: dict[str, object],
    keys: KeyQuality,
    seconds: dict[str, float],
) -> Receipt:
    """Return what a worker has to show for a task."""
    newest = keys.last if keys.last is not None and "T" in keys.last else None
    return Receipt(
        job=work.job,
        partition=task.partition,
        run_id=work.run_id,
        finished_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        inputs=input_entries(task),
        output=output,
        rows=keys.rows,
        series=keys.series,
        seconds=seconds,
        reasons={},
        repairs=dict(work.repairs),
        newest_timestamp=newest,
        model=NO_MODEL,
        version="",
        digest="",
        spec=task.spec,
        horizon=0,
        peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        host={"name": platform.node(), "pid": os.getpid(), "gigacast": version("gigacast")},
    )
