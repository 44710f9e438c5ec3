"""Plan a million partitions on a paged store in memory: seconds, requests and peak memory.

    python benchmarks/plan.py [PARTITIONS] [--done SHARE]

The store makes its listings up as it goes, a thousand keys a page as S3 does, so that what is
measured is the planner. `--latency_ms` adds the round trip of each request.
"""

import argparse
import resource
import time
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path

from gigacast.core.digest import digest_etags
from gigacast.core.spec import Spec
from gigacast.lake.layout import receipt_key
from gigacast.lake.planner import PlanRequest, make_plan
from gigacast.storage.store import Folder, ObjectMeta, Store, StoreAddress

PAGE = 1000
MONTHS = 120
SPEC = Spec("model", "v1", (0.1, 0.5, 0.9), {"digest": "d"})
ROOT = f"forecasts/model/v1/{SPEC.id(7)}/"


class PagedStore(Store):
    """Listings of `count` partitions over ten years, the first `done` of each month forecast."""

    def __init__(self, count: int, done: float, latency_s: float) -> None:
        self.address = StoreAddress("memory://paged")
        self.requests = 0
        self._per_month = count // MONTHS
        self._done = int(self._per_month * done)
        self._latency_s = latency_s

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[list[ObjectMeta]]:
        page: list[ObjectMeta] = []
        for meta in self._keys(prefix):
            page.append(meta)
            if len(page) == PAGE:
                yield self._asked(page)
                page = []
        yield self._asked(page)

    def _asked(self, page: "list[ObjectMeta]") -> "list[ObjectMeta]":
        self.requests += 1
        time.sleep(self._latency_s)
        return page

    def _keys(self, prefix: str) -> Iterator[ObjectMeta]:
        year = int(prefix.rstrip("/").rpartition("/")[2])
        for month in range(1, 13):
            for part in range(self._per_month):
                name = f"{year}/{month:02d}/part-{part:07d}.parquet"
                etag = f"input-{year}-{month}-{part}"
                if prefix.startswith("timings/") and part < self._done:
                    key = receipt_key(ROOT + name, digest_etags([etag]), f"output-{etag}")
                    yield ObjectMeta(key, "r", 900, 0)
                elif prefix.startswith("forecasts/") and part < self._done:
                    yield ObjectMeta(ROOT + name, f"output-{etag}", 10**6, 0)
                elif prefix[0].isdigit():
                    yield ObjectMeta(name, etag, 10**6, 0)

    def list_folder(self, prefix: str = "") -> Folder:
        self.requests += 1
        if prefix in {"", ROOT}:
            return Folder(tuple(f"{prefix}{2014 + n}/" for n in range(MONTHS // 12)), ())
        return Folder((ROOT,), ()) if prefix == "forecasts/model/v1/" else Folder((), ())

    def check(self) -> None:
        raise NotImplementedError

    def head(self, key: str) -> ObjectMeta:
        raise AssertionError("planning asks for no object")

    def get(
        self, key: str, *, if_match: str | None = None, start: int = 0, stop: int | None = None
    ) -> bytes:
        raise AssertionError("planning reads no object")

    def put(self, key: str, content: bytes | Path) -> str:
        raise NotImplementedError

    def put_if_absent(self, key: str, content: bytes) -> str:
        raise NotImplementedError

    def put_if_match(self, key: str, content: bytes, etag: str) -> str:
        raise NotImplementedError

    def delete(self, keys: Iterable[str]) -> None:
        raise NotImplementedError


def main() -> None:
    """Measure one plan, twice: for time, then for memory (tracing costs time)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("partitions", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--done", type=float, default=0.9)
    parser.add_argument("--latency_ms", type=float, default=0.0)
    given = parser.parse_args()
    request = PlanRequest(spec=SPEC, horizon=7, model_horizon=64)

    store = PagedStore(given.partitions, given.done, given.latency_ms / 1000)
    start = time.perf_counter()
    plan = make_plan(store, store, request)
    seconds = time.perf_counter() - start
    peak_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    totals = plan.totals
    listed = totals.done * 3 + totals.pending
    print(f"partitions  {totals.done:,} done, {totals.pending:,} pending; {listed:,} keys listed")
    print(f"seconds     {seconds:.1f}  ({listed / seconds:,.0f} keys/s)")
    print(f"requests    {store.requests:,}")
    print(f"peak RSS    {peak_rss:,.0f} MiB")

    tracemalloc.start()
    make_plan(PagedStore(given.partitions, given.done, 0.0), store, request)
    print(f"peak heap   {tracemalloc.get_traced_memory()[1] / 2**20:,.0f} MiB (Python objects)")


if __name__ == "__main__":
    main()
