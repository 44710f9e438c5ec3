"""Processor seconds of a partition by stage, and the functions that take most of them.

    python benchmarks/stages.py [20000] [--lengths 100 200] [--horizon 7] [--top 12]
    python benchmarks/stages.py 100000 --model none

One process, one thread of torch. Reading, preparing, predicting and writing overlap in threads, so
elapsed seconds mean little on one core. Here each stage gets the processor time of its own thread;
the time of no stage (threads of Arrow, publishing, receipts) is in "rest".

With `--model none` a forecaster of the shape of the shipped model returns zeros: what is left is
the work around a model. Beside it are the floor, which is what pyarrow takes to decode the columns
of the file once without anything else, and a run of two series, which is what does not grow.
"""

import argparse
import cProfile
import io
import os
import pstats
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow.parquet as pq
from bolt_models import save_bolt, write_panels

import gigacast
from gigacast.core.array import FloatArray
from gigacast.core.series.forecast import ForecastRequest
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasting.worker import ModelSetup
from gigacast.job import worker
from gigacast.storage import prefetch

STAGES = ("read", "prepare", "predict", "write")
SHIPPED = "gigacast-bolt-nano"


class Zeros:
    """A forecaster that costs nothing."""

    def __init__(self, info: ForecasterInfo) -> None:
        self.info = info

    def predict(self, request: ForecastRequest) -> FloatArray:
        """Return zeros."""
        return np.zeros((len(request.context), request.horizon, len(request.levels)), np.float32)


def run(folder: Path, model: str, horizon: int) -> dict[str, float]:
    """Forecast the folder and return processor seconds by stage."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(worker.time, "perf_counter", time.thread_time))
        if model == "none":
            stack.enter_context(mock.patch.object(ModelSetup, "load", lambda own: Zeros(own.info)))
        result = gigacast.forecast(
            f"file://{folder}",
            model=SHIPPED if model == "none" else model,
            horizon=horizon,
            n_jobs=1,
            overwrite=True,
        )
    if result.status != "completed":
        raise SystemExit(f"{result.status}: {[str(f) for _, f in result.failures]}")
    return result.totals.seconds


def measure(folder: Path, model: str, horizon: int) -> tuple[float, dict[str, float]]:
    """Return the processor seconds of a run, and those of each stage."""
    before = time.process_time()
    seconds = run(folder, model, horizon)
    total_s = time.process_time() - before
    parts = {stage: seconds.get(stage, 0.0) for stage in STAGES}
    return total_s, {**parts, "rest": total_s - sum(parts.values())}


def floor(folder: Path) -> float:
    """Return the processor seconds in which pyarrow decodes all columns of the inputs."""
    before = time.process_time()
    for path in sorted(folder.glob("2024/*/*.parquet")):
        with pq.ParquetFile(path, read_dictionary=["item_id"]) as file:
            for _ in file.iter_batches(1 << 16, use_threads=False):
                pass
    return time.process_time() - before


@contextmanager
def profiled(text: io.StringIO, top: int) -> Iterator[None]:
    """Profile the threads around the model, and write the largest functions to ``text``."""
    profiles: list[cProfile.Profile] = []
    original = prefetch.Prefetched._fill  # noqa: SLF001

    def fill(self: prefetch.Prefetched, source: object) -> None:
        profiles.append(cProfile.Profile(time.thread_time))
        profiles[-1].runcall(original, self, source)

    with mock.patch.object(prefetch.Prefetched, "_fill", fill):
        main = cProfile.Profile(time.thread_time)
        with main:
            yield
    stats = pstats.Stats(main, *profiles, stream=text)
    stats.sort_stats("tottime").print_stats(top)


def parse() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("series", type=int, nargs="?", default=20_000)
    parser.add_argument("--shape", default="tiny", choices=["tiny", "mini", "small", "base"])
    parser.add_argument("--model", default="bolt", help="bolt (of --shape), none, or any other")
    parser.add_argument("--lengths", type=int, nargs=2, default=[100, 200])
    parser.add_argument("--horizon", type=int, default=7)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--top", type=int, default=0, help="functions to list")
    return parser.parse_args()


def main() -> None:
    """Measure runs, with the floor and a small run between them."""
    options = parse()
    with tempfile.TemporaryDirectory() as scratch:
        folder, few = Path(scratch) / "data", Path(scratch) / "few"
        model = options.model
        if model == "bolt":
            model = str(save_bolt(Path(scratch) / "bolt" / "v1", options.shape))
        list(write_panels(folder, options.series, options.series, tuple(options.lengths)))
        list(write_panels(few, 2, 2, tuple(options.lengths)))
        run(few, model, options.horizon)  # the first run starts torch
        for _ in range(options.repeats):
            total_s, parts = measure(folder, model, options.horizon)
            fixed_s, _ = measure(few, model, options.horizon)
            print(f"{options.series} series, processor s {total_s:.2f}: ", end="")
            print(", ".join(f"{name} {s:.3f} ({s / total_s:.1%})" for name, s in parts.items()))
            print(f"    of two series {fixed_s:.3f}; floor of decoding {floor(folder):.3f}")
        if options.top:
            text = io.StringIO()
            with profiled(text, options.top):
                run(folder, model, options.horizon)
            print(text.getvalue())


if __name__ == "__main__":
    main()
