"""Plan a million partitions of a bucket: processor time, requests and peak memory.

    python benchmarks/plan.py [PARTITIONS] [--done SHARE] [--repeats 3]

The store makes its listings, in pages of a thousand keys like S3's. For the processor time they are
made before, so that the planner alone is measured; for the memory they are made as they are read.
`--latency_ms` adds the round trip of each request. With `--entries` the pages have an object for
each key, as stores have them that do not list in columns.
"""

import argparse
import resource
import time
import tracemalloc
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from paged_lake import MONTHS, PagedLake, spec_folder

from gigacast.core.partition.spec import Spec
from gigacast.lake.plan.planner import PlanRequest, make_plan
from gigacast.storage.listed import Listed
from gigacast.storage.store import ObjectMeta

SPEC = Spec("model", "v1", (0.1, 0.5, 0.9), {"digest": "d"})
HORIZON = 7


class ListedLake(PagedLake):
    """A lake whose listings were made before."""

    pages: dict[str, list[Listed]] | None = None
    has_entries = False
    entries: dict[str, list[list[ObjectMeta]]]

    def make_pages(self, *, entries: bool) -> None:
        """Make the pages of all years."""
        years = sorted({f"{2014 + number}/" for number in range(MONTHS // 12)})
        prefixes = [f"{root}{y}" for root in ("", self.spec, f"timings/{self.spec}") for y in years]
        pages = {prefix: list(super(ListedLake, self).list_columns(prefix)) for prefix in prefixes}
        self.has_entries = entries
        self.entries = {k: [page.entries() for page in own] for k, own in pages.items() if entries}
        self.pages = pages

    def list_columns(self, prefix: str = "") -> Iterator[Listed]:
        if self.pages is None:
            return super().list_columns(prefix)
        if self.has_entries:
            return map(Listed.of, self.list(prefix))
        return iter(self.pages[prefix])

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[list[ObjectMeta]]:
        if self.pages is None:
            return super().list(prefix, start_after=start_after)
        return iter(self.entries[prefix])


def make_lake(partitions: int, done_share: float, latency_s: float = 0.0) -> ListedLake:
    """Return a bucket whose first partitions of each month are forecast."""
    count = partitions - partitions % MONTHS
    sizes = np.full(count, 10**6)
    lake = ListedLake(count, spec_folder(SPEC, HORIZON), sizes, latency_s)
    lake.finish(int(count // MONTHS * done_share))
    return lake


def main() -> None:
    """Measure plans for memory, then for time, because tracing memory costs time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("partitions", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--done", type=float, default=0.9)
    parser.add_argument("--latency_ms", type=float, default=0.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--entries", action="store_true")
    options = parser.parse_args()
    request = PlanRequest(spec=SPEC, horizon=HORIZON, model_horizon=64)

    store = make_lake(options.partitions, options.done, options.latency_ms / 1000)
    start = time.process_time()
    totals = make_plan(store, store, request).totals
    generated_s = time.process_time() - start
    peak_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    listed = totals.done * 3 + totals.pending
    print(f"partitions  {totals.done:,} done, {totals.pending:,} pending; {listed:,} keys listed")
    print(f"requests    {store.counts.total():,}")
    print(f"peak RSS    {peak_rss:,.0f} MiB, Arrow {pa.default_memory_pool().max_memory() >> 20:,}")
    print(f"processor   {generated_s:.2f} s with the making of the listings")

    store.make_pages(entries=options.entries)
    for _ in range(options.repeats):
        start = time.process_time()
        make_plan(store, store, request)
        seconds = time.process_time() - start
        print(f"processor   {seconds:.2f} s, {seconds / len(store.sizes) * 1e6:.2f} us a partition")

    tracemalloc.start()
    lake = make_lake(options.partitions, options.done)
    make_plan(lake, lake, request)
    print(f"peak heap   {tracemalloc.get_traced_memory()[1] / 2**20:,.0f} MiB (Python objects)")


if __name__ == "__main__":
    main()
