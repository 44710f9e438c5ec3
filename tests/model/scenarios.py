"""What the model tries: some of it in the suite, the rest by ``make model``."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from gigacast.core.time.month import IntRange, MonthFilter
from gigacast.lake.plan.discovery import Selection
from gigacast.lake.plan.manifest import read_manifest
from tests.model.bucket import MANIFEST, Law
from tests.model.explorer import Scenario
from tests.model.replay import TIMINGS, Ended, Program, World, note_of, store_of, world_of
from tests.model.runs import JobOverFiles, prune, read, run
from tests.unit.lake.plans import PART, REQUEST

FIRST, SECOND = PART, "2024/02/part-00000.parquet"
LAW = Law([FIRST, SECOND], [b"one", b"two"])
KEEPING = Law([FIRST, SECOND], [b"one", b"two", b"three"], keeps_origins=True)
"""The law of buckets in which forecasts alone are written, and none is cleared away."""


def _months(month: int) -> Selection:
    return Selection(MonthFilter(months=IntRange(month, month)))


PROGRAMS: Mapping[str, Program] = {
    "run": run,
    "redo": partial(run, request=replace(REQUEST, overwrite=True)),
    "january": partial(run, request=replace(REQUEST, selection=_months(1))),
    "february": partial(run, request=replace(REQUEST, selection=_months(2))),
    "files": partial(run, worker=JobOverFiles),
    "prune": prune,
    "read": read,
}
ONE, TWO, GONE = (FIRST, b"one"), (FIRST, b"two"), (FIRST, None)
THREE = (FIRST, b"three")


def left_by(*contents: bytes, more: World | None = None) -> World:
    """Return the bucket after a run for each content of the first input, but not for the last."""
    world: World = {}
    for content in contents:
        world[FIRST] = content
        if content is not contents[-1]:
            store = store_of(world)
            run(store)
            world = {k: c for k, c in world_of(store).items() if not k.startswith("audit/")}
    return _noted(world) | (more or {})


def _noted(world: World) -> World:
    store = store_of(world)
    keys = [key for key in world if f"{TIMINGS}{key}." in " ".join(world)]
    return world | {note_of(key, store.head(key).etag): b"" for key in keys}


def both_months_listed(world: World, ends: list[tuple[str, Ended]]) -> None:
    """Two runs that end at the same time leave the forecasts of both in the manifest."""
    assert [end.result for _, end in ends] == ["completed"] * 2, f"a run failed: {ends}"
    rows = read_manifest(store_of(world), MANIFEST)[0].to_pylist()
    assert len(rows) == 2, "the manifest lacks the forecasts of a run that completed"


def read_whole(world: World, ends: list[tuple[str, Ended]]) -> None:
    """A reader gets a set that some run left, or a refusal that says why."""
    (end,) = [end for name, end in ends if name == "read"]
    sets = [("one",), ("one", "one"), ("two",), ("two", "one")]
    refusals = ("InputChangedError", "DataNotFoundError")
    assert end.result in sets or end.error in refusals, f"a reader got {end}"


def _scenario(*running: str, world: World, **more: object) -> Scenario:
    return Scenario(PROGRAMS, running, world, **more)  # type: ignore[arg-type]


_NEW: World = {FIRST: b"one"}
_TWO_PARTITIONS: World = {FIRST: b"one", SECOND: b"one"}
_CHANGED = left_by(b"one", b"two")
_SECOND: World = {SECOND: b"one"}
OVER = "two runs over a forecast, an input that changes"

QUICK: Mapping[str, Scenario] = {
    "a run, faults and stale listings": _scenario(
        "run", world=_CHANGED, changes=(ONE, TWO), faults=2, stale=1
    ),
    "a job over files": _scenario("files", world=_CHANGED, changes=(ONE,), faults=1, stale=1),
    "two runs, an input that changes": _scenario("run", "run", world=_NEW, changes=(TWO,)),
    "a run beside a clean-up, an input that goes and comes back": _scenario(
        "run", "prune", world=left_by(b"one", b"one", more=_SECOND), changes=(GONE, ONE)
    ),
    "two runs of two months": _scenario(
        "january", "february", world=_TWO_PARTITIONS, at_rest=both_months_listed
    ),
    "a reader beside a run": _scenario(
        "run", "read", world=left_by(b"one", b"two", more=_SECOND), at_rest=read_whole
    ),
}
"""Seconds in all: the slice of the suite."""

DEEP: Mapping[str, Scenario] = {
    OVER: _scenario("run", "run", world=_CHANGED, changes=(THREE,)),
    "two runs, an input that changes back": _scenario(
        "run", "run", world=_NEW, changes=(TWO, ONE, TWO)
    ),
    "two runs over forecasts, an input that changes back, a stale listing": _scenario(
        "run", "run", world=_CHANGED, changes=(ONE, TWO), stale=1, memory=2
    ),
    "two runs, faults": _scenario("run", "run", world=_NEW, changes=(TWO,), faults=2),
    "two runs and a clean-up": _scenario("run", "run", "prune", world=_CHANGED, changes=(ONE,)),
    "two runs that do all again, faults": _scenario(
        "redo", "run", world=_CHANGED, changes=(ONE,), faults=1
    ),
    "a run beside a clean-up, faults and a stale listing": _scenario(
        "run",
        "prune",
        world=left_by(b"one", b"one", more=_SECOND),
        changes=(GONE, ONE),
        faults=1,
        stale=1,
    ),
    "two runs of two months, faults": _scenario(
        "january", "february", world=_TWO_PARTITIONS, faults=1, at_rest=both_months_listed
    ),
    "a reader beside a run and a clean-up": _scenario(
        "run",
        "prune",
        "read",
        world=left_by(b"one", b"two", more=_SECOND),
        changes=(ONE,),
        at_rest=read_whole,
    ),
}
"""Minutes in all: ``make model``."""


def law_of(scenario: Scenario) -> Law:
    """Return the law of the buckets of a scenario."""
    return KEEPING if {*scenario.running} <= {"run", "redo", "january", "february"} else LAW
