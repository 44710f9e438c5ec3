"""Processor seconds of a partition by stage, and the functions that take most of them.

    python benchmarks/stages.py [20000] [--lengths 100 200] [--horizon 7] [--top 12]

One process, one thread of torch. Reading, preparing, predicting and writing overlap in threads, so
elapsed seconds mean little on one core. Here each stage gets the processor time of its own thread;
the time of no stage (publishing, receipts) is in "rest".
"""

import argparse
import cProfile
import io
import os
import pstats
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")

from bolt_models import save_bolt, write_panels

import gigacast
from gigacast.job import worker
from gigacast.storage import prefetch

STAGES = ("read", "prepare", "predict", "write")


def run(folder: Path, model: Path, horizon: int) -> dict[str, float]:
    """Forecast the folder and return processor seconds by stage."""
    with mock.patch.object(worker.time, "perf_counter", time.thread_time):
        result = gigacast.forecast(
            f"file://{folder}", model=str(model), horizon=horizon, n_jobs=1, overwrite=True
        )
    if result.status != "completed":
        raise SystemExit(f"{result.status}: {[str(f) for _, f in result.failures]}")
    return result.totals.seconds


@contextmanager
def profiled(text: io.StringIO, top: int):
    """Profile the threads around the model, and write the largest functions to ``text``."""
    profiles: list[cProfile.Profile] = []
    original = prefetch.Prefetched._fill  # noqa: SLF001

    def fill(self, source) -> None:
        profiles.append(cProfile.Profile(time.thread_time))
        profiles[-1].runcall(original, self, source)

    with mock.patch.object(prefetch.Prefetched, "_fill", fill):
        main = cProfile.Profile(time.thread_time)
        with main:
            yield
    stats = pstats.Stats(main, *profiles, stream=text)
    stats.sort_stats("tottime").print_stats(top)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("series", type=int, nargs="?", default=20_000)
    parser.add_argument("--shape", default="tiny", choices=["tiny", "mini", "small", "base"])
    parser.add_argument("--lengths", type=int, nargs=2, default=[100, 200])
    parser.add_argument("--horizon", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--top", type=int, default=0, help="functions to list")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        model = save_bolt(Path(scratch) / "bolt" / "v1", options.shape)
        folder = Path(scratch) / "data"
        list(write_panels(folder, options.series, options.series, tuple(options.lengths)))
        run(folder, model, options.horizon)  # the first run starts torch
        for _ in range(options.repeats):
            before = time.process_time()
            seconds = run(folder, model, options.horizon)
            total_s = time.process_time() - before
            rest_s = total_s - sum(seconds[stage] for stage in STAGES)
            parts = {**{stage: seconds[stage] for stage in STAGES}, "rest": rest_s}
            print(f"{options.series} series, processor s {total_s:.2f}: ", end="")
            print(", ".join(f"{name} {s:.2f} ({s / total_s:.1%})" for name, s in parts.items()))
        if options.top:
            text = io.StringIO()
            with profiled(text, options.top):
                run(folder, model, options.horizon)
            print(text.getvalue())


if __name__ == "__main__":
    main()
