"""Plan a million partitions on a paged store in memory: seconds, requests and peak memory.

    python benchmarks/plan.py [PARTITIONS] [--done SHARE]

The store generates its listings, in pages of a thousand keys like S3's, so that the planner is
measured. `--latency_ms` adds the round trip of each request.
"""

import argparse
import resource
import time
import tracemalloc

import numpy as np
from paged_lake import MONTHS, PagedLake, spec_folder

from gigacast.core.partition.spec import Spec
from gigacast.lake.plan.planner import PlanRequest, make_plan

SPEC = Spec("model", "v1", (0.1, 0.5, 0.9), {"digest": "d"})
HORIZON = 7


def make_lake(partitions: int, done_share: float, latency_s: float = 0.0) -> PagedLake:
    """Return a bucket whose first partitions of each month are forecast."""
    count = partitions - partitions % MONTHS
    sizes = np.full(count, 10**6)
    lake = PagedLake(count, spec_folder(SPEC, HORIZON), sizes, latency_s)
    lake.finish(int(count // MONTHS * done_share))
    return lake


def main() -> None:
    """Measure a plan twice: for time, then for memory, because tracing memory costs time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("partitions", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--done", type=float, default=0.9)
    parser.add_argument("--latency_ms", type=float, default=0.0)
    options = parser.parse_args()
    request = PlanRequest(spec=SPEC, horizon=HORIZON, model_horizon=64)

    store = make_lake(options.partitions, options.done, options.latency_ms / 1000)
    start = time.perf_counter()
    plan = make_plan(store, store, request)
    seconds = time.perf_counter() - start
    peak_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    totals = plan.totals
    listed = totals.done * 3 + totals.pending
    print(f"partitions  {totals.done:,} done, {totals.pending:,} pending; {listed:,} keys listed")
    print(f"seconds     {seconds:.1f}  ({listed / seconds:,.0f} keys/s)")
    print(f"requests    {store.counts.total():,}")
    print(f"peak RSS    {peak_rss:,.0f} MiB")

    tracemalloc.start()
    lake = make_lake(options.partitions, options.done)
    make_plan(lake, lake, request)
    print(f"peak heap   {tracemalloc.get_traced_memory()[1] / 2**20:,.0f} MiB (Python objects)")


if __name__ == "__main__":
    main()
