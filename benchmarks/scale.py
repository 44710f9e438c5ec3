"""Simulate an array run over millions of partitions, with the real program on simulated machines.

    python benchmarks/scale.py [PARTITIONS] [--children 5000] [--losses 0.05] [--poisoned 1e-5]

The planner, the division of work, the plan file, the child (`run_child`), the receipt protocol, the
closing with its manifest, and the rerun are real. The clock, AWS Batch, machines of varying speed,
spot losses with and without notice (some between an output and its receipt), partitions that fail
once or always, and the work are simulated: a partition takes --seconds on average, in proportion to
its bytes.

The run is repeated until only the poisoned partitions are left. Then every partition is checked for
an output and a single receipt that names it. Printed are the seconds and memory of the planner and
of the closing, requests by kind with their busiest minute, and the makespan relative to the ideal,
in which all machines share the work evenly and start once.
"""

import argparse
import random
import resource
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
from paged_lake import MONTHS, PagedLake, spec_folder
from simulated_batch import Accidents, SimulatedBatch

from gigacast.batch import child as array_child
from gigacast.batch import setup as array_setup
from gigacast.batch.close import close_run
from gigacast.batch.result import array_of
from gigacast.batch.submit import submit_run
from gigacast.forecasting import prepare
from gigacast.forecasting.prepare import prepare_array
from gigacast.job import location
from gigacast.job.batch_options import ArrayOptions
from gigacast.job.forecast_job import ForecastJob
from gigacast.lake.layout import plan_key
from gigacast.lake.plan.audit import Audit
from gigacast.lake.plan.plan_file import PlanFile, read_plan
from gigacast.settings.assembly import job_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.storage.store import Store


@dataclass(frozen=True)
class Measured:
    """Time, requests and memory of a step."""

    seconds: float
    requests: int
    peak_mib: float


class Meter:
    """Measures steps of this process."""

    def __init__(self, lake: PagedLake) -> None:
        self._lake = lake
        self._start = time.perf_counter()
        self._requests = lake.counts.total()

    def take(self) -> Measured:
        """Return the measurements since the last call."""
        now, requests = time.perf_counter(), self._lake.counts.total()
        step = Measured(
            now - self._start,
            requests - self._requests,
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        )
        self._start, self._requests = now, requests
        return step


def make_lake(options: argparse.Namespace, job: ForecastJob) -> PagedLake:
    """Return a bucket without outputs, with log-normal sizes as in real buckets."""
    rng = np.random.default_rng(options.seed)
    sizes = (rng.lognormal(0.0, 1.0, options.partitions) * 60_000).astype(np.int64) + 1000
    lake = PagedLake(options.partitions, "", sizes)
    with opened(lake):
        prepared = prepare_array(job)
        lake.spec = spec_folder(prepared.spec, prepared.info.prediction_length)
    return lake


def opened(lake: PagedLake) -> ExitStack:
    """Return a context in which every address opens the simulated lake."""
    stack = ExitStack()
    for module in (prepare, location, array_setup, array_child):
        stack.enter_context(patch.object(module, "open_store", lambda address: lake))
    stack.enter_context(patch.object(array_child, "read_plan", HeadOnce(read_plan)))
    return stack


class HeadOnce:
    """Reads the head of a plan once for all simulated machines.

    Each real machine holds its own: 5 MB for 5,000 children, which would be 25 GB in one process.
    The object is fetched all the same, so that requests are counted.
    """

    def __init__(self, read: Callable[[Store, str, str], PlanFile]) -> None:
        self._read = read
        self._digest = ""
        self._plan: PlanFile | None = None

    def __call__(self, store: Store, run_id: str, digest: str) -> PlanFile:
        """Return the head of a plan, which nothing changes."""
        if self._plan is None or self._digest != digest:
            self._digest, self._plan = digest, self._read(store, run_id, digest)
        else:
            store.get(plan_key(run_id))
        return self._plan


def run_once(
    lake: PagedLake, job: ForecastJob, batch: SimulatedBatch, options: Any
) -> Audit | None:
    """Submit, run and close a run; return ``None`` if nothing is pending."""
    meter = Meter(lake)
    submission = submit_run(
        job,
        ArrayOptions(children=options.children, help_late=options.help_late),
        batch,
        clock=batch.clock.read,
    )
    planned = meter.take()
    print(f"\nplanned and submitted: {submission.tasks:,} tasks, {submission.children:,} children")
    tell(planned)
    if not submission.tasks:
        return None
    run_id = submission.run_id
    lake.runs.append(run_id)
    del (
        submission
    )  # a run is closed by another process than the one that planned it, without the tasks
    batch.run()
    ran = meter.take()
    print(f"ran (simulated): {dict(batch.attempts)}; the program itself took")
    tell(ran)
    audit = close_run(lake, run_id, batch, clock=batch.clock.read)
    print(f"closed: {audit.status}, {audit.files_processed:,} done, {audit.files_failed:,} failed")
    tell(meter.take())
    return audit


def tell(step: Measured) -> None:
    """Print the measurements of a step."""
    print(f"    {step.seconds:,.0f} s, {step.requests:,} requests, peak {step.peak_mib:,.0f} MiB")


def tell_makespan(
    audit: Audit, batch: SimulatedBatch, seconds: np.ndarray, options: Any, pending: np.ndarray
) -> None:
    """Print the makespan, the ideal one, and the busiest minute of each kind of request."""
    machines = options.machines or options.children
    ideal = float(seconds[pending].sum()) / machines + options.startup
    makespan = max(batch.ends_s)
    lost = float(array_of(audit)["lost_s"])
    print(f"makespan {makespan:,.0f} s, ideal {ideal:,.0f} s: {makespan / ideal:.3f} of it")
    # A child that was lost with nothing left to do starts once more, and the run waits for it.
    forecast_s = batch.last_receipt_s
    print(f"last forecast after {forecast_s:,.0f} s: {forecast_s / ideal:.3f} of the ideal")
    print(
        f"lost with machines: {lost:,.0f} s, {lost / float(seconds[pending].sum()):.2%} of the work"
    )
    for kind, minutes in sorted(batch.busy.items()):
        total, busiest = minutes.total(), max(minutes.values()) / 60
        print(f"    {kind:<16} {total:>12,}   busiest minute {busiest:,.0f}/s")


def main() -> None:
    """Run until only poisoned partitions are left, then check every partition."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("partitions", type=int, nargs="?", default=120_000)
    parser.add_argument("--children", type=int, default=500)
    parser.add_argument("--machines", type=int, help="at the same time; all children by default")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a partition, on average")
    parser.add_argument("--startup", type=float, default=180.0)
    parser.add_argument("--losses", type=float, default=0.05, help="of a machine, in an hour")
    parser.add_argument("--poisoned", type=float, default=1e-5, help="share that fails always")
    parser.add_argument("--failing", type=float, default=1e-4, help="share that fails once")
    parser.add_argument(
        "--help_late", action=argparse.BooleanOptionalAction, help="children help late ones"
    )
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.partitions -= options.partitions % MONTHS
    job = job_of(load_settings(nest_arguments({"bucket": "scale", "model": "seasonal-naive"})))
    lake = make_lake(options, job)
    seconds = lake.sizes / lake.sizes.mean() * options.seconds
    draw = random.Random(options.seed)
    count = options.partitions
    poisoned = frozenset(draw.sample(range(count), round(count * options.poisoned)))
    odds = Accidents(
        options.losses,
        poisoned,
        set(draw.sample(range(count), round(count * options.failing))),
        draw,
    )
    with opened(lake):
        while True:
            pending = lake.receipt == 0
            batch = SimulatedBatch(lake, seconds, odds, options)
            audit = run_once(lake, job, batch, options)
            if audit is None:
                break
            tell_makespan(audit, batch, seconds, options, pending)
            if set(np.flatnonzero(lake.receipt == 0)) <= poisoned:
                break
    check(lake, poisoned)
    twice = int((lake.output > 1).sum())
    print(f"\nevery partition is done but the {len(poisoned):,} poisoned ones")
    print(f"written again, by a helper or for its receipt was lost with the machine: {twice:,}")
    for kind, total in sorted(lake.counts.items()):
        print(f"requests: {kind:<8} {total:>14,}")


def check(lake: PagedLake, poisoned: frozenset[int]) -> None:
    """Check that every partition has an output, and a receipt that names the last one."""
    undone = np.flatnonzero((lake.receipt == 0) | (lake.receipt != lake.output))
    assert set(undone) == set(poisoned), "a partition is lost"


if __name__ == "__main__":
    main()
