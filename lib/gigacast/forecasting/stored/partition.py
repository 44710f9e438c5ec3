"""A finished partition, found by its name."""

from contextlib import suppress
from dataclasses import dataclass, replace

from gigacast.core.partition.name import month_of_folder
from gigacast.core.partition.task import Task
from gigacast.core.problem import did_you_mean
from gigacast.core.time.month import IntRange, MonthFilter
from gigacast.errors import ConfigError, DataNotFoundError, ObjectNotFoundError
from gigacast.forecasting.prepare import Prepared
from gigacast.lake.plan.planner import make_plan
from gigacast.lake.plan.rows import DoneEntry


@dataclass(frozen=True)
class Finished:
    """A finished partition of a prepared job; stale if its input has changed since."""

    prepared: Prepared
    entry: DoneEntry
    is_stale: bool = False


def find_partition(prepared: Prepared, partition: str) -> Finished:
    """Return a finished partition of a prepared job by its name, input key or output key.

    Raises
    ------
    ConfigError
        When the name contains no month.
    DataNotFoundError
        When the partition does not exist, or was never forecast.
    """
    name = partition.strip("/")
    folder = name.rpartition("/")[0]
    month = month_of_folder(folder)
    if month is None:
        raise ConfigError(
            f"partition {partition!r}: expected a name such as 2014/03/part-00042",
            hint="`gigacast status` and the manifest list them",
        )
    # One month only, so that planning lists its folder and nothing else. `overwrite` is off, since
    # with it no partition would count as done.
    only = MonthFilter(IntRange(month.year, month.year), IntRange(month.month, month.month))
    selection = replace(prepared.job.selection, months=only)
    narrow = replace(prepared.job, selection=selection, overwrite=False)
    prepared = replace(prepared, job=narrow)
    finished: list[DoneEntry] = []
    plan = make_plan(prepared.inputs, prepared.outputs, prepared.request(), on_done=finished.extend)
    for entry in finished:
        if _is_named(entry.task, name):
            return Finished(prepared, entry)
    pending = next((task for task in plan.tasks if _is_named(task, name)), None)
    if pending is not None:
        # A day that has arrived since makes a forecast stale, and worth a look.
        with suppress(ObjectNotFoundError):
            former = prepared.outputs.head(pending.output_key)
            return Finished(prepared, DoneEntry(pending, former, ""), is_stale=True)
        raise DataNotFoundError(
            f"{name} is not forecast yet by this model and these settings",
            hint="run the job first, with the same flags",
        )
    existing = ", ".join(
        [*(e.task.partition for e in finished), *(t.partition for t in plan.tasks)][:5]
    )
    names = [task.partition for task in (*(e.task for e in finished), *plan.tasks)]
    raise DataNotFoundError(
        f"no partition {name}; in {folder} there are: {existing or 'none'}",
        hint=did_you_mean(name, names) or None,
    )


def _is_named(task: Task, name: str) -> bool:
    own = task.inputs[-task.own :]
    return name in {task.partition, task.output_key} or any(i.key == name for i in own)
