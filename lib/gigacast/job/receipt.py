"""The receipts of jobs without a model."""

import os
import platform
import resource
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version

from gigacast.core.partition.task import Task
from gigacast.lake.plan.receipt import Receipt, input_entries

NO_MODEL = "none"


@dataclass(frozen=True)
class Work:
    """What was done: the job, its run, and what was changed."""

    job: str
    run_id: str
    repairs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Content:
    """The rows and series that were read, and the time of the newest row.

    Parameters
    ----------
    rows, series : int
    newest_timestamp : str, optional
        ISO 8601; absent where times are plain step numbers.
    """

    rows: int
    series: int
    newest_timestamp: str | None = None


def new_receipt(
    work: Work,
    task: Task,
    output: dict[str, object],
    content: Content,
    seconds: dict[str, float],
) -> Receipt:
    """Return what a worker has to show for a task."""
    return Receipt(
        job=work.job,
        partition=task.partition,
        run_id=work.run_id,
        finished_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        inputs=input_entries(task),
        output=output,
        rows=content.rows,
        series=content.series,
        seconds=seconds,
        reasons={},
        repairs=dict(work.repairs),
        newest_timestamp=content.newest_timestamp,
        model=NO_MODEL,
        version="",
        digest="",
        spec=task.spec,
        horizon=0,
        peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        host={"name": platform.node(), "pid": os.getpid(), "gigacast": version("gigacast")},
    )
