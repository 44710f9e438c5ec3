"""Speed and accuracy of every engine and precision beside stock Chronos, in one run.

    python benchmarks/engine.py [--shape tiny] [--rounds 5] [--threads N] [--engines ...]
                                [--compiled] [--output FILE]

Random weights of a published shape, or of the shipped model (``--shape nano``). All paths get the
same batches alternately, each is judged at its best batch size, and medians over the rounds are
printed. On a shared machine trust the ratios, and those of processor time (in brackets) more than
those of elapsed time. The processor's name and what its cores reach in large products stand above:
the ratios are properties of the processor.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from bolt_models import LEVELS, random_walks, save_bolt

import gigacast
from gigacast.core.series.forecast import ForecastRequest
from gigacast.forecasters.catalog import describe_forecaster, load_forecaster
from gigacast.forecasters.engine import EngineChoice
from gigacast.forecasters.forecaster import ModelFiles
from gigacast.forecasters.lean import linear as lean_linear
from gigacast.forecasters.lean.forecaster import LeanForecaster, load_lean
from gigacast.forecasters.padding import group_by_length, pad_left
from gigacast.runtime.cores import divide_threads

SHIPPED = Path(gigacast.__file__).parent / "forecasters" / "weights" / "gigacast-bolt-nano"
Predict = Callable[[np.ndarray, int], Any]
BUDGETS = (1_024, 2_048, 4_096, 8_192, 32_768)
PATCH = 16


@dataclass(frozen=True)
class Case:
    """Series to forecast: how many, of which lengths, how far."""

    name: str
    series: int
    lengths: tuple[int, int]
    horizon: int

    def batches(self, budget: int) -> list[np.ndarray]:
        """Return the series as a run would batch them: by length, within a budget of tokens."""
        rng = np.random.default_rng(0)
        lengths = rng.integers(self.lengths[0], self.lengths[1] + 1, self.series)
        stops = np.cumsum(lengths)
        values = random_walks(1, int(stops[-1])).ravel()
        batches = []
        for group in group_by_length(lengths, PATCH):
            size = max(1, budget // (group.length // PATCH))
            for start in range(0, len(group.rows), size):
                rows = group.rows[start : start + size]
                batches.append(
                    pad_left(values, stops[rows] - lengths[rows], stops[rows], group.length)
                )
        return batches


CASES = (
    Case("lengths 100-200, h=7", 2_000, (100, 200), 7),
    Case("context 2048, h=64", 48, (2048, 2048), 64),
)


@dataclass
class Timing:
    """Seconds per round, elapsed and of the processor."""

    elapsed: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def add(self, work: Callable[[], object]) -> None:
        before = time.perf_counter(), time.process_time()
        work()
        self.elapsed.append(time.perf_counter() - before[0])
        self.processor.append(time.process_time() - before[1])

    def ratios(self, baseline: "Timing") -> tuple[float, float]:
        """Return how much faster this is than another, in the median round."""
        pairs = (baseline.elapsed, self.elapsed), (baseline.processor, self.processor)
        slow, fast = (statistics.median(a / b for a, b in zip(*p, strict=True)) for p in pairs)
        return slow, fast


ENGINES = (
    ("torch", "float32"),
    ("torch", "bfloat16"),
    ("numpy", "float32"),
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
    ("openvino", "int8"),
)


def make_paths(
    folder: Path, engines: list[str], *, compiled: bool
) -> Iterator[tuple[str, Predict]]:
    for precision in ("float32", "bfloat16"):
        yield f"stock {precision}", stock_path(folder, getattr(torch, precision))
    has_bfloat16 = bool(cpu_flags() & {"avx512_bf16", "amx_bf16"})
    for engine, precision in ENGINES:
        # OpenVINO computes in float32 where the processor has no bfloat16.
        emulated = engine == "openvino" and precision == "bfloat16" and not has_bfloat16
        if engine in engines and not emulated:
            choice = EngineChoice(engine, "cpu", precision)  # type: ignore[arg-type]
            info = describe_forecaster(folder, name="b", version="1", digest="d", choice=choice)
            yield f"{engine} {precision}", protocol_path(load_forecaster(folder, info))
    for precision in ("float32", "bfloat16") if compiled else ():
        yield f"lean {precision}, compiled", compiled_path(folder, precision)


def stock_path(folder: Path, dtype: torch.dtype) -> Predict:
    from chronos import BaseChronosPipeline

    pipeline = BaseChronosPipeline.from_pretrained(folder, dtype=dtype)
    return lambda context, horizon: (
        pipeline.predict_quantiles(
            torch.from_numpy(context), prediction_length=horizon, quantile_levels=list(LEVELS)
        )[0]
        .float()
        .numpy()
    )


def protocol_path(forecaster: Any) -> Predict:
    def predict(context: np.ndarray, horizon: int) -> object:
        rows = len(context)
        seasons, seeds = np.ones(rows, np.int64), np.zeros(rows, np.uint64)
        return forecaster.predict(ForecastRequest(context, horizon, LEVELS, seasons, seeds))

    return predict


def compiled_path(folder: Path, precision: str) -> Predict:
    """Compile the forward with plain products, because the compiler does not accept ours as inputs.

    It is compiled once per length and precision; beyond the compiler's limit it would run eagerly.
    """
    torch._dynamo.config.recompile_limit = 256  # noqa: SLF001
    with mock.patch.object(lean_linear, "_can_pack", return_value=False):
        ours = load_lean(ModelFiles(folder, "b", "1", "d", "cpu", precision))
        for case in CASES:
            ours._model._weights.head.cut(case.horizon)  # noqa: SLF001
    forward = torch.compile(ours._model.__call__, dynamic=None)  # noqa: SLF001

    def call(context: torch.Tensor, steps: int, *, masked: bool) -> torch.Tensor:
        torch._dynamo.mark_dynamic(context, 0)  # noqa: SLF001
        result: torch.Tensor = forward(context, steps, masked=masked)
        return result

    return protocol_path(LeanForecaster(ours.info, call, torch.device("cpu")))  # type: ignore[arg-type]


def measure(
    case: Case, paths: dict[str, Predict], budgets: list[int], rounds: int
) -> list[dict[str, Any]]:
    batches = {budget: case.batches(budget) for budget in budgets}
    timings = {(name, budget): Timing() for name in paths for budget in budgets}
    truth = None
    errors = {}
    for name, predict in paths.items():
        start = time.perf_counter()
        answers = [np.asarray(predict(batch, case.horizon)) for batch in batches[budgets[0]]]
        print(f"  first round of {name:26} {time.perf_counter() - start:6.1f} s", flush=True)
        truth = truth or answers
        errors[name] = deviation(answers, truth)
    for _ in range(rounds):
        for budget in budgets:
            for name, predict in paths.items():
                work = batches[budget]
                timings[name, budget].add(lambda: [predict(b, case.horizon) for b in work])  # noqa: B023
    return report(case, errors, budgets, timings)


def deviation(answers: list[np.ndarray], truth: list[np.ndarray]) -> float:
    """Return the mean difference from stock float32, in distances of its outermost quantiles."""
    moved = np.concatenate(
        [np.abs(a - t).mean(axis=(1, 2)) for a, t in zip(answers, truth, strict=True)]
    )
    width = np.concatenate([np.abs(t[..., -1] - t[..., 0]).mean(axis=1) for t in truth])
    return float((moved / width).mean())


def report(
    case: Case, errors: dict[str, float], budgets: list[int], timings: dict[Any, Timing]
) -> list[dict[str, Any]]:
    """Print series/s per budget, then each path at its best against the stock model at its best."""
    print(f"\n{case.name}: series/s by tokens per call")
    print(f"  {'':26}" + "".join(f"{budget:>9,}" for budget in budgets))
    best = {}
    for name in errors:
        seconds = {b: statistics.median(timings[name, b].elapsed) for b in budgets}
        best[name] = min(seconds, key=lambda b: seconds[b])
        print(f"  {name:26}" + "".join(f"{case.series / seconds[b]:9,.0f}" for b in budgets))
    stock = [timings[f"stock {kind}", best[f"stock {kind}"]] for kind in ("float32", "bfloat16")]
    print(
        "\n  each at its best          tokens  series/s  times stock float32   bfloat16   deviation"
    )
    rows = []
    for name, budget in best.items():
        timing = timings[name, budget]
        (elapsed, processor), (elapsed16, processor16) = (timing.ratios(base) for base in stock)
        rate = case.series / statistics.median(timing.elapsed)
        print(
            f"  {name:26}{budget:6,} {rate:9,.0f}   {elapsed:9.2f} ({processor:.2f}) "
            f"{elapsed16:9.2f} ({processor16:.2f})   {errors[name]:.1e}"
        )
        rows.append(
            {
                "case": case.name,
                "path": name,
                "tokens": budget,
                "series_per_second": round(rate),
                "times_stock_float32": round(processor, 2),
                "times_stock_bfloat16": round(processor16, 2),
                "deviation": float(f"{errors[name]:.2g}"),
            }
        )
    print(flush=True)
    return rows


def cpu_flags() -> set[str]:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def processor() -> dict[str, Any]:
    """Return the processor's name, its instructions, and GFLOP/s of large products here and now."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "?")
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
    return {
        "processor": name,
        "instructions": [flag for flag in wanted if flag in cpu_flags()],
        "gflops": {kind: round(product_speed(kind)) for kind in ("float32", "bfloat16", "int8")},
    }


def product_speed(kind: str, size: int = 1024) -> float:
    """Return the billions of operations per second of a product of two square matrices."""
    if kind == "int8":
        left = torch.randint(-9, 9, (size, size), dtype=torch.int8)
        multiply = torch._int_mm  # noqa: SLF001 - torch has no public one
    else:
        left = torch.randn(size, size, dtype=getattr(torch, kind))
        multiply = torch.mm
    fastest = min(_seconds(lambda: multiply(left, left)) for _ in range(7))
    return 2e-9 * size**3 / fastest


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def start_with_threads(count: int) -> None:
    """Start this program again if NumPy was imported with another number of threads."""
    if os.environ.get("OMP_NUM_THREADS") != str(count):
        environment = {**os.environ, **divide_threads(1, count)}
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--shape", default="tiny", choices=["nano", "tiny", "mini", "small", "base"]
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--tokens", type=int, nargs="+", default=list(BUDGETS))
    parser.add_argument("--engines", nargs="+", default=["torch", "numpy", "openvino"])
    parser.add_argument("--compiled", action="store_true", help="compile too: takes minutes")
    parser.add_argument("--output", type=Path, help="JSON of all figures")
    options = parser.parse_args()
    start_with_threads(options.threads)
    torch.set_num_threads(options.threads)
    machine = processor()
    print(
        f"{machine['processor']}, {', '.join(machine['instructions'])}, {options.threads} thread(s)"
    )
    print(f"GFLOP/s of a core in large products: {machine['gflops']}")
    print(f"bolt-{options.shape}, torch {torch.__version__}", flush=True)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch, torch.inference_mode():
        is_shipped = options.shape == "nano"
        folder = SHIPPED if is_shipped else save_bolt(Path(scratch), options.shape)
        paths = dict(make_paths(folder, options.engines, compiled=options.compiled))
        for case in CASES:
            rows += measure(case, paths, options.tokens, options.rounds)
    if options.output:
        record = {**machine, "shape": options.shape, "threads": options.threads, "rows": rows}
        options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
