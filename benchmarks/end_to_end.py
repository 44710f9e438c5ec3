"""Time to forecast a folder of partitions, by Gigacast and by the script of a good user.

    python benchmarks/end_to_end.py [1000 10000 100000] [--per_partition 10000] [--cores N]

The script is `pandas.read_parquet`, `predict_df`, `to_parquet`, partition by partition, with its
default batch size and with the best of several, which a sample decides before. Both use the same
random weights of a published shape, the same partitions and cores: the script's torch with a thread
per core, Gigacast with a process per core, up to one per partition. Each run is a process of its
own, and the ways alternate. "whole" is from the start of the process to its end, with imports and
loading of the model. "work" is without the script's imports and loading; Gigacast's are included,
as they are part of a run. AutoGluon-TimeSeries is measured if it is installed and requested.
`--output` keeps the figures for `plots.py`.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bolt_models import LEVELS, save_bolt, write_panels

BATCH_SIZES = (16, 32, 64, 128, 256, 512, 1024)
SCRIPT_DEFAULT_BATCH = 256


@dataclass(frozen=True)
class Work:
    """Parameters of a run.

    Parameters
    ----------
    kind : str
        One of `RUNNERS`.
    folder, model : str
        Folders of the partitions and of the weights.
    horizon, cores : int
        Steps ahead, and number of cores.
    batch_size : int, optional
        Batch size of the script; its own default if not given.
    precision : str
        Precision: ``float32`` or ``bfloat16``; ``auto`` for Gigacast only.
    n_jobs : int
        Processes of Gigacast.
    """

    kind: str
    folder: str
    model: str
    horizon: int
    cores: int
    batch_size: int | None = None
    precision: str = "float32"
    n_jobs: int = 1


@dataclass
class Stages:
    """Seconds by stage, and the memory of the largest process that was started."""

    seconds: dict[str, float] = field(default_factory=dict)
    largest_mib: float = 0.0

    @contextmanager
    def measure(self, name: str) -> Any:
        start = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


# -- in a process of its own -----------------------------------------------------------------------


def run_ours(work: Work, stages: Stages) -> None:
    with stages.measure("load"):
        import gigacast
    result = gigacast.forecast(
        f"file://{work.folder}",
        model=work.model,
        horizon=work.horizon,
        precision=work.precision,
        n_jobs=work.n_jobs,
    )
    if result.status != "completed":
        raise SystemExit(f"{result.status}: {[str(f) for _, f in result.failures][:3]}")
    summed = {name: s / work.n_jobs for name, s in result.totals.seconds.items()}
    stages.seconds |= {name: summed.get(name, 0.0) for name in ("read", "predict", "write")}
    stages.seconds["work"] = result.elapsed_s
    stages.largest_mib = result.totals.peak_rss_bytes / 2**20 if work.n_jobs > 1 else 0.0


def run_script(work: Work, stages: Stages) -> None:
    """Forecast every partition with the script."""
    with stages.measure("load"):
        import pandas as pd
        import torch
        from chronos import BaseChronosPipeline

        torch.set_num_threads(work.cores)
        dtype = getattr(torch, work.precision)
        pipeline = BaseChronosPipeline.from_pretrained(work.model, device_map="cpu", dtype=dtype)
    options = {} if work.batch_size is None else {"batch_size": work.batch_size}
    output = Path(work.folder) / "predictions"
    output.mkdir()
    with stages.measure("work"):
        for path in sorted(Path(work.folder).glob("2024/*/*.parquet")):
            with stages.measure("read"):
                frame = pd.read_parquet(path)
            with stages.measure("predict"):
                predictions = pipeline.predict_df(
                    frame, prediction_length=work.horizon, quantile_levels=list(LEVELS), **options
                )
            with stages.measure("write"):
                predictions.to_parquet(output / path.name, index=False)


def run_autogluon(work: Work, stages: Stages) -> None:
    with stages.measure("load"):
        import pandas as pd
        from autogluon.timeseries import TimeSeriesDataFrame, TimeSeriesPredictor
    output = Path(work.folder) / "predictions"
    output.mkdir()
    with stages.measure("work"):
        for path in sorted(Path(work.folder).glob("2024/*/*.parquet")):
            with stages.measure("read"):
                frame = TimeSeriesDataFrame.from_data_frame(pd.read_parquet(path))
            with stages.measure("predict"):
                predictor = TimeSeriesPredictor(
                    prediction_length=work.horizon, freq="D", quantile_levels=list(LEVELS)
                )
                chronos = {"model_path": work.model, "device": "cpu"}
                predictor.fit(frame, hyperparameters={"Chronos": chronos}, verbosity=0)
                predictions = predictor.predict(frame)
            with stages.measure("write"):
                predictions.to_data_frame().reset_index().to_parquet(output / path.name)


RUNNERS: dict[str, Callable[[Work, Stages], None]] = {
    "ours": run_ours,
    "script": run_script,
    "autogluon": run_autogluon,
}


def run_here(work: Work) -> None:
    """Do the work in this process; print its seconds and its peak, as JSON, on the last line."""
    warnings.simplefilter("ignore")
    stages = Stages()
    RUNNERS[work.kind](work, stages)
    print(json.dumps([stages.seconds, max(own_peak_mib(), stages.largest_mib)]))


def own_peak_mib() -> float:
    """Return this process' peak of memory. `getrusage` also counts the time before the exec."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


# -- the measurement -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """A run measured from outside; the peak is that of its largest process."""

    whole_s: float
    stages: dict[str, float]
    peak_mib: float


def run_apart(work: Work) -> Measured:
    """Run the work in a process of its own."""
    threads = {"OMP_NUM_THREADS": str(work.cores), "MKL_NUM_THREADS": str(work.cores)}
    if work.kind == "ours" and work.n_jobs > 1:
        threads = {}  # divided by the executor
    command = [sys.executable, __file__, "--work", json.dumps(work.__dict__)]
    with tempfile.TemporaryFile() as answer:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=answer, env=os.environ | threads)
        if child.wait():
            raise SystemExit(f"{work} ended with {child.returncode}")
        whole_s = time.perf_counter() - start
        answer.seek(0)
        stages, peak_mib = json.loads(answer.read().splitlines()[-1])
    clean(Path(work.folder))
    return Measured(whole_s, stages, peak_mib)


def clean(folder: Path) -> None:
    """Remove the outputs of a run, so that the next one has to forecast everything again."""
    for path in folder.iterdir():
        if path.name != "2024":
            shutil.rmtree(path)


def find_batch_size(sample: Path, model: Path, options: argparse.Namespace, precision: str) -> int:
    """Return the batch size with which the script is fastest on a sample."""
    seconds = {}
    for size in BATCH_SIZES:
        work = Work(
            "script", str(sample), str(model), options.horizon, options.cores, size, precision
        )
        seconds[size] = run_apart(work).stages["predict"]
    shown = ", ".join(f"{size}: {s:.1f} s" for size, s in seconds.items())
    print(f"batch sizes of the script, {precision}, on a sample: {shown}", flush=True)
    return min(seconds, key=lambda size: seconds[size])


def plan_runs(
    folder: Path, model: Path, parts: int, options: argparse.Namespace
) -> dict[str, Work]:
    jobs = options.n_jobs or min(options.cores, parts)
    place = (str(folder), str(model), options.horizon, options.cores)
    runs = {
        f"gigacast, auto, {jobs} job(s)": Work("ours", *place, precision="auto", n_jobs=jobs),
        f"gigacast, float32, {jobs} job(s)": Work("ours", *place, n_jobs=jobs),
        f"script, batch {SCRIPT_DEFAULT_BATCH} (default)": Work("script", *place),
    }
    if options.best != SCRIPT_DEFAULT_BATCH:
        runs[f"script, batch {options.best} (best)"] = Work("script", *place, options.best)
    if options.script_bfloat16:
        size = options.best_bfloat16
        runs[f"script, bfloat16, batch {size}"] = Work("script", *place, size, "bfloat16")
    if options.autogluon:
        runs["AutoGluon-TimeSeries"] = Work("autogluon", *place)
    return runs


def summarise(series: int, measured: dict[str, list[Measured]]) -> list[dict[str, Any]]:
    """Return the medians of one size as plain values, a row for each way."""
    rows = []
    for name, runs in measured.items():
        stages = {
            stage: statistics.median(run.stages.get(stage, 0.0) for run in runs)
            for stage in ("load", "read", "predict", "write", "work")
        }
        whole_s = statistics.median(run.whole_s for run in runs)
        peak = statistics.median(run.peak_mib for run in runs)
        row = {"series": series, "name": name, "whole_s": whole_s, "peak_mib": peak}
        rows.append({**row, "stages": stages})
    return rows


def report(series: int, measured: dict[str, list[Measured]]) -> None:
    """Print the table of one size; ratios are against the better of the two scripts."""

    def median(name: str, pick: Callable[[Measured], float]) -> float:
        return statistics.median(pick(run) for run in measured[name])

    scripts = [name for name in measured if name.startswith("script, batch")]
    script_whole_s = min(median(name, lambda m: m.whole_s) for name in scripts)
    script_work_s = min(median(name, lambda m: m.stages["work"]) for name in scripts)
    print(f"\n{series:,} series          whole s series/s ratio | work s series/s ratio |", end="")
    print("   load   read predict  write | peak MiB")
    for name in measured:
        full = median(name, lambda m: m.whole_s)
        busy = median(name, lambda m: m.stages["work"])
        parts = [
            median(name, lambda m, s=stage: m.stages.get(s, 0.0))  # type: ignore[misc]
            for stage in ("load", "read", "predict", "write")
        ]
        print(
            f"{name:28}{full:8.1f}{series / full:9,.0f}{script_whole_s / full:6.2f} |"
            f"{busy:7.1f}{series / busy:9,.0f}{script_work_s / busy:6.2f} |"
            + "".join(f"{seconds:7.1f}" for seconds in parts)
            + f" |{median(name, lambda m: m.peak_mib):9,.0f}",
            flush=True,
        )


def measure(options: argparse.Namespace, scratch: Path) -> list[dict[str, Any]]:
    rows = []
    model = save_bolt(scratch / "bolt" / "v1", options.shape)
    lengths = (options.lengths[0], options.lengths[1])
    sample = scratch / "sample"
    list(write_panels(sample, options.sample, options.sample, lengths))
    options.best = find_batch_size(sample, model, options, "float32")
    if options.script_bfloat16:
        options.best_bfloat16 = find_batch_size(sample, model, options, "bfloat16")
    for series in options.series:
        folder = scratch / str(series)
        parts = len(list(write_panels(folder, series, options.per_partition, lengths)))
        runs = plan_runs(folder, model, parts, options)
        measured: dict[str, list[Measured]] = {name: [] for name in runs}
        for _ in range(options.repeats):
            for name, work in runs.items():
                measured[name].append(run_apart(work))
        report(series, measured)
        rows += summarise(series, measured)
        if options.output:  # after each size, because the largest take hours
            options.output.write_text(json.dumps({**describe(options), "rows": rows}, indent=1))
        shutil.rmtree(folder)
    return rows


def describe(options: argparse.Namespace) -> dict[str, Any]:
    """Return a description of the measurement: machine, time, parameters."""
    case = {name: getattr(options, name) for name in ("shape", "lengths", "horizon", "cores")}
    return {**case, "date": datetime.now(UTC).date().isoformat(), "machine": platform.machine()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("series", type=int, nargs="*", default=[1_000, 10_000])
    parser.add_argument("--per_partition", type=int, default=10_000)
    parser.add_argument("--shape", default="tiny", choices=["tiny", "mini", "small", "base"])
    parser.add_argument("--lengths", type=int, nargs=2, default=[100, 200])
    parser.add_argument("--horizon", type=int, default=7)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--n_jobs", type=int, help="our processes; by default one per core")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--sample", type=int, default=1_000, help="series to find batch sizes with")
    parser.add_argument("--script_bfloat16", action="store_true", help="the script in bfloat16 too")
    parser.add_argument("--autogluon", action="store_true")
    parser.add_argument("--output", type=Path, help="write the figures there, as JSON")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        run_here(Work(**json.loads(options.work)))
        return
    print(
        f"bolt-{options.shape}, lengths {options.lengths}, h={options.horizon}, "
        f"{options.cores} core(s)"
    )
    with tempfile.TemporaryDirectory() as scratch:
        measure(options, Path(scratch))


if __name__ == "__main__":
    main()
