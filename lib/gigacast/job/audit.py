"""The audit of a run that is about to start: its job, plan, author, software and host."""

import getpass
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from gigacast.core.time.month import IntRange
from gigacast.lake.model.registry import Author
from gigacast.lake.plan.audit import Audit, Clock
from gigacast.lake.plan.discovery import Selection
from gigacast.lake.plan.planner import Plan

SOFTWARE = ("gigacast", "numpy", "pyarrow", "obstore")
"""Packages whose version an audit records."""


@dataclass(frozen=True)
class RunDescription:
    """The fields of an audit that differ from job to job.

    Parameters
    ----------
    job : str
        ``forecast``, ``backtest``, ``clean`` or ``quality``.
    settings : mapping
        The job's settings; nothing secret.
    plan : mapping
        Counts and specs beside those that every plan has.
    engine : str, optional
        Name and revision of the code that ran the model, for jobs with a model.
    """

    job: str
    settings: Mapping[str, object] = field(default_factory=dict)
    plan: Mapping[str, object] = field(default_factory=dict)
    engine: str | None = None


def new_audit(
    run_id: str, description: RunDescription, plan: Plan, selection: Selection, clock: Clock
) -> Audit:
    """Return the record of a run that is about to start."""
    software = {**versions_of(SOFTWARE)}
    if description.engine is not None:
        software["engine"] = description.engine
    return Audit(
        session_id=run_id,
        start_time=clock().isoformat(),
        job=description.job,
        symbol=",".join(sorted(selection.symbols)) or None,
        year_range=_bounds(selection.months.years),
        month_range=_bounds(selection.months.months),
        files_discovered=plan.discovered,
        files_skipped=plan.totals.done,
        settings=dict(description.settings),
        plan=dict(description.plan),
        software=software,
        host={"name": platform.node(), "pid": os.getpid(), "cpus": os.cpu_count() or 0},
    )


def _bounds(values: IntRange | None) -> list[int] | None:
    return [values.first, values.last] if values is not None else None


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Return the version of Python and of those packages that are installed, by name."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def this_author() -> Author:
    """Return who runs this process, by its clock."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"  # a container whose user has no name
    return Author(f"{user}@{platform.node()}", lambda: datetime.now(UTC))
