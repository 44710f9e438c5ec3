"""The night of the feature store: backfill, upload and comparison of definitions, in their order.

Each step is a command of `gigacast feature-store`, and a job that begins when those before it have
ended well. Steps that were done are skipped by the commands: a night that runs again changes
nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gigacast.feature_store.definition.group_by import GroupBy
from gigacast.feature_store.definition.join import Join
from gigacast.feature_store.definition.name import name_of


@dataclass(frozen=True)
class NightJob:
    """A step of a night.

    Parameters
    ----------
    step : str
        ``backfill``, ``upload`` or ``consistency``.
    name : str
        Definition.
    command : tuple of str
        Words after ``gigacast feature-store``.
    after : tuple of int
        Places of the steps that must have ended well.
    """

    step: str
    name: str
    command: tuple[str, ...]
    after: tuple[int, ...]


def day_before(time: datetime) -> str:
    """Return the day before a time, in its zone, as 2024-01-31."""
    return (time.date() - timedelta(1)).isoformat()


def plan_night(definitions: Sequence[GroupBy | Join], day: str) -> list[NightJob]:
    """Return the steps of a night; each stands after those that it waits for.

    Uploads of definitions that share a group-by follow each other: of two at the same time the
    later one would be refused.

    Parameters
    ----------
    definitions : sequence of GroupBy or Join
    day : str
        Newest day of the rows.
    """
    jobs: list[NightJob] = []
    uploads: dict[str, int] = {}

    def add(step: str, name: str, after: Sequence[int]) -> int:
        jobs.append(NightJob(step, name, (step, name, "--ds", day), tuple(sorted({*after}))))
        return len(jobs) - 1

    for definition in definitions:
        name, parts = name_of(definition), _group_bys(definition)
        place = add("backfill", name, ())
        place = add("upload", name, [place, *(uploads[p] for p in parts if p in uploads)])
        uploads |= dict.fromkeys(parts, place)
        if isinstance(definition, Join):
            add("consistency", name, [place])
    return jobs


def _group_bys(definition: GroupBy | Join) -> list[str]:
    if isinstance(definition, GroupBy):
        return [name_of(definition)]
    return [name_of(part.group_by) for part in definition.right_parts]
