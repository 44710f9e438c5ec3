"""The audit of a run at its start: its id, job, plan, author, software and host."""

import getpass
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from gigacast.core.partition.task import Task
from gigacast.core.time.month import IntRange
from gigacast.core.version import VERSION
from gigacast.job.outage import Answering, Patience
from gigacast.lake.plan.audit import Audit, Clock, new_run_id
from gigacast.lake.plan.discovery import Selection
from gigacast.lake.plan.planner import Plan
from gigacast.lake.publication import Author
from gigacast.storage.store import Store

SOFTWARE = ("gigacast", "numpy", "pyarrow", "obstore")
"""Packages whose version an audit records."""


def make_run_id(job: str, clock: Clock) -> str:
    """Return a new id for a run of a job, as ``forecast_20261121_013702_4f9a``."""
    # Random digits keep runs apart that start within the same second on different machines.
    return new_run_id(clock(), lambda n: os.urandom(n).hex(), job)


@dataclass(frozen=True)
class RunDescription:
    """The fields of an audit that differ from job to job.

    Parameters
    ----------
    job : str
        ``forecast``, ``backtest``, ``clean`` or ``quality``; run ids begin with it.
    settings : mapping
        The job's settings, without secrets.
    plan : mapping
        Counts and specs of the plan, in the order in which the audit lists them.
    engine : str, optional
        Name and revision of the code that runs the model, for jobs with a model.
    """

    job: str
    settings: Mapping[str, object] = field(default_factory=dict)
    plan: Mapping[str, object] = field(default_factory=dict)
    engine: str | None = None


@dataclass(frozen=True)
class PlannedJob:
    """What the plan function of a job returns: the tasks of a run and its description.

    Parameters
    ----------
    outputs : Store
        Output root: holds the outputs, the receipts and the audit.
    plan : Plan
    tasks : sequence of Task
        Tasks of the plan that the run does; a limit may leave some out.
    selection : Selection
        Partitions that the job covers.
    description : RunDescription
    inputs : Store, optional
        Input root, where it is another store.
    patience : Patience
        How long the run waits out an outage of its stores.
    waits_for : tuple of Answering
        Stores besides the roots that the run waits for.
    """

    outputs: Store
    plan: Plan
    tasks: Sequence[Task]
    selection: Selection
    description: RunDescription
    inputs: Store | None = None
    patience: Patience = field(default_factory=Patience)
    waits_for: tuple[Answering, ...] = ()


def new_audit(run_id: str, planned: PlannedJob, clock: Clock) -> Audit:
    """Return the record of a run that is about to start."""
    description, selection = planned.description, planned.selection
    # Where the numbers of two runs differ, versions and host are the first places to look.
    software = versions_of(SOFTWARE)
    if description.engine is not None:
        software["engine"] = description.engine
    return Audit(
        session_id=run_id,
        start_time=clock().isoformat(),
        job=description.job,
        symbol=",".join(sorted(selection.symbols)) or None,
        year_range=_bounds(selection.months.years),
        month_range=_bounds(selection.months.months),
        files_discovered=planned.plan.discovered,
        files_skipped=planned.plan.totals.done,
        settings=dict(description.settings),
        plan=dict(description.plan),
        software=software,
        host=this_host(),
    )


def _bounds(values: IntRange | None) -> list[int] | None:
    return [values.first, values.last] if values is not None else None


def this_host() -> dict[str, object]:
    """Return the name, process id and number of cores of this process, as audits record them."""
    return {"name": platform.node(), "pid": os.getpid(), "cpus": os.cpu_count() or 0}


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Return the version of Python and of those packages that are installed, by name."""
    versions = {"python": platform.python_version()}
    for name in packages:
        if name == "gigacast":  # a checkout need not be installed
            versions[name] = VERSION
            continue
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def this_author() -> Author:
    """Return the user of this process as an author, with the machine's clock."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"  # a container whose user id has no name
    return Author(f"{user}@{platform.node()}", lambda: datetime.now(UTC))
