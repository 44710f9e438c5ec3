"""Figures of a GPU: speed, busy share, ceiling, and where the rest of the time goes.

    python benchmarks/gpu.py [--shapes tiny base] [--contexts 208 2048] [--output gpu.json]

For each shape and context, random weights in bfloat16:

- *engine*: series/s of the forward alone, contexts already on the device, at its best batch;
- *graph*: the same from a recorded CUDA graph;
- *fed*: the same through `forecast_batch`, from arrays on the host to arrays on the host;
- *end to end*: a folder of partitions through `gigacast.forecast`, all GPUs, reading and writing,
  with one process for each GPU and with as many as the run chooses;
- *busy*: the share of the fed run's elapsed time in which the device ran kernels;
- *ceiling*: series/s if every operation ran at the speed of a large matrix product, which is
  measured on the spot;
- *limit*: where the fed run's time went: products, attention, other kernels, copies, or waiting for
  the host.

Without a CUDA device it ends with exit code 2.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bolt_models import LEVELS, random_walks, save_bolt, write_panels

import gigacast
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.time.frequency import Frequency
from gigacast.forecasters.batching import ForecastOptions, forecast_batch
from gigacast.forecasters.config import read_model_config
from gigacast.forecasters.forecaster import ModelFiles
from gigacast.forecasters.gpu_sharing import MOST_PER_GPU
from gigacast.forecasters.hardware import count_gpus
from gigacast.forecasters.lean.forecaster import load_lean
from gigacast.forecasters.lean.shape import count_operations, read_shape
from gigacast.forecasters.network.graphs import GraphedPass

ROWS = (1_024, 4_096, 16_384, 65_536)
HORIZONS = {208: 7, 2048: 64}
KINDS = {
    "copies": ("memcpy", "memset"),
    "attention": ("flash", "fmha", "attention", "softmax"),
    "products": ("gemm", "cutlass", "matmul", "nvjet", "xmma", "splitk"),
}


@dataclass(frozen=True)
class Row:
    """Figures of a shape at a context length."""

    shape: str
    context: int
    horizon: int
    engine: float
    batch: int
    graph: float
    fed: float
    one_process: float
    end_to_end: float
    processes: int
    gpus: int
    busy: float
    ceiling: float
    seconds: dict[str, float]

    @property
    def limit(self) -> str:
        """Kind of work that took most of the fed run's time."""
        return max(self.seconds, key=lambda name: self.seconds[name])


def measure_peak(device: torch.device, size: int = 8_192) -> float:
    """Return operations per second of a large bfloat16 product."""
    first, second = (torch.randn(size, size, device=device).bfloat16() for _ in range(2))
    seconds = best_time(lambda: first @ second, device)
    return 2 * size**3 / seconds


def best_time(work: Callable[[], object], device: torch.device, rounds: int = 7) -> float:
    """Return the median seconds of the work, after a round of warming up."""
    seconds = []
    for _ in range(rounds + 1):
        torch.cuda.synchronize(device)
        start = time.perf_counter()
        work()
        torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def measure_engine(
    forward: Callable[..., torch.Tensor], context: int, horizon: int, device: torch.device
) -> tuple[float, int]:
    """Return the best series/s of a forward alone, and its batch size."""
    rates = {}
    for rows in ROWS:
        try:
            values = torch.from_numpy(random_walks(rows, context)).to(device)
            with torch.inference_mode():
                seconds = best_time(
                    lambda: forward(values, horizon, masked=False),  # noqa: B023
                    device,
                )
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
        rates[rows] = rows / seconds
    best = max(rates, key=lambda rows: rates[rows])
    return rates[best], best


def series_batch(rows: int, length: int) -> SeriesBatch:
    """Return daily random walks of equal length."""
    import pyarrow as pa

    return SeriesBatch(
        item_ids=pa.array([str(n) for n in range(rows)]),
        target_names=pa.array(["target"] * rows),
        values=random_walks(rows, length).ravel(),
        offsets=np.arange(rows + 1, dtype=np.int64) * length,
        last_timestamps=np.zeros(rows, np.int64),
        timestamp_type=pa.timestamp("us"),
        frequencies=(Frequency.parse("D"),),
        frequency_codes=np.zeros(rows, np.int64),
        reasons=np.zeros(rows, np.uint8),
    )


def measure_fed(
    forecaster: Any, rows: int, context: int, horizon: int, device: torch.device
) -> tuple[float, dict[str, float]]:
    """Return series/s from host to host, and the seconds of a run by kind of work."""
    batch = series_batch(rows, context)
    options = ForecastOptions(horizon, LEVELS)

    def work() -> None:
        forecast_batch(forecaster, batch, options)

    seconds = best_time(work, device, rounds=3)
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        work()
        torch.cuda.synchronize(device)
    kernels = {
        event.key: event.self_device_time_total / 1e6
        for event in profile.key_averages()
        if event.device_type == torch.autograd.DeviceType.CUDA
    }
    return rows / seconds, share_seconds(kernels, seconds)


def share_seconds(kernels: dict[str, float], elapsed: float) -> dict[str, float]:
    """Divide the elapsed seconds of a run into kinds of kernels and waiting for the host.

    Copies run beside kernels, so they are shown but not subtracted from the waiting.
    """
    shares = {**dict.fromkeys(KINDS, 0.0), "other kernels": 0.0}
    for name, seconds in kernels.items():
        shares[kind_of(name)] += seconds
    computing = sum(shares.values()) - shares["copies"]
    return {**shares, "waiting for the host": max(0.0, elapsed - computing)}


def kind_of(kernel: str) -> str:
    """Return the kind of work of a kernel by its name."""
    name = kernel.lower()
    kinds = (kind for kind, signs in KINDS.items() if any(sign in name for sign in signs))
    return next(kinds, "other kernels")


def busy_share(shares: dict[str, float]) -> float:
    """Return the share of the time in which kernels ran."""
    idle = shares["waiting for the host"]
    computing = sum(shares.values()) - shares["copies"] - idle
    return computing / (computing + idle)


def measure_whole(
    folder: Path, model: Path, context: int, horizon: int, series: int
) -> tuple[float, float, int]:
    """Return series/s of a folder, reading and writing included, and the processes of the second.

    The first is with one process for each GPU, the second with as many as the run chooses.
    """
    per_partition = -(-series // (2 * MOST_PER_GPU * count_gpus()))
    if not folder.exists():
        list(write_panels(folder, series, per_partition, (context, context)))
    options: dict[str, Any] = {"model": str(model), "horizon": horizon, "device": "cuda"}
    gigacast.forecast(f"file://{folder}", limit=1, **options)  # files of libraries are read once
    rates = []
    for n_jobs in (-1, None):
        result = gigacast.forecast(f"file://{folder}", overwrite=True, n_jobs=n_jobs, **options)
        if result.status == "failed":
            raise SystemExit(str(result.failures[:1]))
        rates.append(series / result.elapsed_s)
    chosen = str(gigacast.plan(f"file://{folder}", overwrite=True, **options).processes)
    return rates[0], rates[1], int(chosen.split(" ", maxsplit=1)[0])


def measure(shape: str, context: int, series: int, scratch: Path, peak: float) -> Row:
    device = torch.device("cuda")
    horizon = HORIZONS.get(context, 64)
    model = save_bolt(scratch / shape / "v1", shape)
    ours = load_lean(ModelFiles(model, shape, "v1", "d", "cuda", "bfloat16"))
    engine, batch = measure_engine(ours._model, context, horizon, device)  # noqa: SLF001
    graph, _ = measure_engine(GraphedPass(ours._model), context, horizon, device)  # noqa: SLF001
    fed, seconds = measure_fed(ours, batch, context, horizon, device)
    whole = measure_whole(scratch / f"{shape}-{context}", model, context, horizon, series)
    operations = count_operations(read_shape(read_model_config(model)), context, horizon)
    return Row(
        *(shape, context, horizon, engine, batch, graph, fed, *whole, count_gpus()),
        *(busy_share(seconds), peak / operations, seconds),
    )


def report(row: Row) -> None:
    print(
        f"| {row.shape} | {row.context} | {row.horizon} | {row.engine:,.0f} ({row.batch:,}) "
        f"| {row.graph:,.0f} | {row.fed:,.0f} | {row.one_process:,.0f} "
        f"| {row.end_to_end:,.0f} ({row.processes}) | {row.busy:.0%} | {row.ceiling:,.0f} "
        f"| {row.engine / row.ceiling:.0%} | {row.limit} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shapes", nargs="+", default=["tiny", "base"])
    parser.add_argument("--contexts", type=int, nargs="+", default=[208, 2048])
    parser.add_argument("--series", type=int, default=2_000_000, help="end to end, at context 208")
    parser.add_argument("--output", type=Path, help="write the figures there, as JSON")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print(
            "benchmarks/gpu.py: no CUDA device on this machine: nothing measured", file=sys.stderr
        )
        raise SystemExit(2)
    peak = measure_peak(torch.device("cuda"))
    print(
        f"{count_gpus()} x {torch.cuda.get_device_name()}, {peak / 1e12:.0f} TFLOP/s in products\n"
    )
    print(
        "| shape | context | h | engine (batch) | graph | fed | end to end, one process a GPU "
        "| as chosen (processes) | busy | ceiling | | limit |"
    )
    print("| " + "--- | " * 12)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for shape in options.shapes:
            for context in options.contexts:
                series = max(1, options.series * 208 // context // (20 if shape == "base" else 1))
                rows.append(measure(shape, context, series, Path(scratch), peak))
                report(rows[-1])
    if options.output:
        machine = {"device": torch.cuda.get_device_name(), "products": peak}
        options.output.write_text(
            json.dumps({**machine, "rows": [asdict(r) for r in rows]}, indent=1)
        )


if __name__ == "__main__":
    main()
