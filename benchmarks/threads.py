"""Speed of every division of a machine's cores into processes and threads.

    python benchmarks/threads.py [--cores 2] [--series 20000] [--rounds 3] [--output FILE.json]

`gigacast.forecast` runs the same partitions with every division of the cores: one process with a
thread per core, a process per core with one thread, and those between. Each run is a process of its
own, and the divisions alternate; ratios are between runs of the same round, and medians over the
rounds. "work" is without the start of Python and the imports, which do not grow with the data. On a
shared machine trust processor seconds first: they include the waiting of threads for each other.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bolt_models import save_bolt, write_panels

SCRIPT = """
import sys, gigacast
folder, model, horizon, jobs = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
run = gigacast.forecast(
    folder, model=model, horizon=horizon, n_jobs=jobs, executor="joblib", overwrite=True
)
if run.status != "completed":
    raise SystemExit(str(run.failures[:1]))
print(run.elapsed_s, run.totals.peak_rss_bytes)
"""


def divisions(cores: int) -> list[tuple[int, int]]:
    """Return the processes and threads of each division; the last uses half of the machine."""
    full = [(n, cores // n) for n in range(1, cores + 1) if cores % n == 0]
    return [*full, (1, max(1, cores // 2))] if cores > 1 else full


def run_apart(folder: Path, model: Path, horizon: int, division: tuple[int, int]) -> list[float]:
    """Return seconds from start to end, of the run and of processors, and the peak in MiB."""
    jobs, threads = division
    arguments = [f"file://{folder}", str(model), str(horizon), str(jobs)]
    counts = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    start, used = time.perf_counter(), processor_seconds()
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | counts,
    )
    whole_s = time.perf_counter() - start
    work, peak = map(float, process.stdout.split())
    return [whole_s, work, processor_seconds() - used, peak / 2**20]


def processor_seconds() -> float:
    """Return the processor seconds of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--series", type=int, default=20_000)
    parser.add_argument("--shape", default="tiny", choices=["tiny", "mini", "small", "base"])
    parser.add_argument("--lengths", type=int, nargs=2, default=[100, 200])
    parser.add_argument("--horizon", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    runs: dict[tuple[int, int], list[list[float]]] = {d: [] for d in divisions(options.cores)}
    with tempfile.TemporaryDirectory() as scratch:
        model = save_bolt(Path(scratch) / "bolt" / "v1", options.shape)
        folder = Path(scratch) / "data"
        per_partition = -(-options.series // (2 * options.cores))
        list(write_panels(folder, options.series, per_partition, tuple(options.lengths)))
        for _ in range(options.rounds):
            for division, measurements in runs.items():
                measurements.append(run_apart(folder, model, options.horizon, division))
    load = os.getloadavg()[0]
    print(f"{options.series} series, {options.cores} core(s), load {load:.1f} in the end\n")
    print("| processes x threads | whole s | work s | series/s | ratio | processor s | MiB each |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    base = runs[1, options.cores]
    rows = []
    for (jobs, threads), measurements in runs.items():
        whole_s, work, used, peak = (
            statistics.median(column) for column in zip(*measurements, strict=True)
        )
        ratio = statistics.median(b[1] / s[1] for b, s in zip(base, measurements, strict=True))
        rows.append({"processes": jobs, "threads": threads, "work_s": work, "ratio": ratio})
        print(
            f"| {jobs} x {threads} | {whole_s:.1f} | {work:.1f} | {options.series / work:,.0f} "
            f"| {ratio:.2f} | {used:.1f} | {peak:,.0f} |"
        )
    if options.output:
        options.output.write_text(json.dumps({"load": load, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
