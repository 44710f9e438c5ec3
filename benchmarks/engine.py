"""Speed and accuracy of every engine and precision beside stock Chronos, in one run.

    python benchmarks/engine.py [--shape tiny] [--rounds 5] [--threads N] [--engines ...]
                                [--compiled] [--output FILE]

Random weights of a published shape, or of the shipped model (``--shape nano``). All paths get the
same series alternately, each is judged at its best batch size, and medians over the rounds are
printed. On a shared machine trust the ratios, and those of processor time (in brackets) more than
those of elapsed time. The processor's name and what its cores reach in large products stand above:
the ratios are properties of the processor.

Two baselines: what a user calls, ``predict_df`` on a frame, and the stock model on batches that are
already arrays of one length ("stock"), which no user has. Our engines get such batches ("torch",
"numpy", "openvino"), or the frame, from `gigacast.forecast` with loading of the model ("forecast").
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
import pandas as pd
import torch
from bolt_models import LEVELS, random_walks, save_bolt
from chronos import BaseChronosPipeline

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
Predict = Callable[[np.ndarray, int], Any]  # context, horizon -> (series, steps, levels)
Work = Callable[[int], np.ndarray]  # tokens per call -> (series, steps, levels)
BASELINES = tuple(f"predict_df {precision}" for precision in ("float32", "bfloat16"))
BUDGETS = (1_024, 2_048, 4_096, 8_192, 32_768)
PATCH = 16


@dataclass(frozen=True)
class Case:
    """Series to forecast: how many, of which lengths, how far."""

    name: str
    series: int
    lengths: tuple[int, int]
    horizon: int

    def panel(self) -> tuple[np.ndarray, np.ndarray]:
        """Return all values, series after series, and the length of each."""
        lengths = np.random.default_rng(0).integers(
            self.lengths[0], self.lengths[1] + 1, self.series
        )
        return random_walks(1, int(lengths.sum())).ravel(), lengths

    def batches(self, budget: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return rows and contexts as a run would batch them: by length, in a budget of tokens."""
        values, lengths = self.panel()
        stops = np.cumsum(lengths)
        batches = []
        for group in group_by_length(lengths, PATCH):
            size = max(1, budget // (group.length // PATCH))
            for start in range(0, len(group.rows), size):
                rows = group.rows[start : start + size]
                context = pad_left(values, stops[rows] - lengths[rows], stops[rows], group.length)
                batches.append((rows, context))
        return batches

    def frame(self) -> pd.DataFrame:
        """Return the series as users have them: a row per value, days as times."""
        values, lengths = self.panel()
        days = np.concatenate([np.arange(length) for length in lengths])
        names = np.array([f"series-{row:06}" for row in range(self.series)])
        return pd.DataFrame(
            {
                "item_id": np.repeat(names, lengths),
                "timestamp": pd.Timestamp("2020-01-01") + pd.to_timedelta(days, unit="D"),
                "target": values,
            }
        )

    def batch_size(self, budget: int) -> int:
        """Return the series of a batch in which all are as long as the longest."""
        return max(1, budget // -(-self.lengths[1] // PATCH))


CASES = (
    Case("lengths 100-200, h=7", 4_000, (100, 200), 7),
    Case("context 2048, h=64", 192, (2048, 2048), 64),
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
    folder: Path, case: Case, engines: list[str], *, compiled: bool
) -> Iterator[tuple[str, Work]]:
    """Yield a name and what forecasts all series of a case within a budget of tokens per call."""
    frame, batches = case.frame(), {}

    def batched(predict: Predict) -> Work:
        def work(budget: int) -> np.ndarray:
            if budget not in batches:
                batches[budget] = case.batches(budget)
            answers = np.empty((case.series, case.horizon, len(LEVELS)), np.float32)
            for rows, context in batches[budget]:
                answers[rows] = predict(context, case.horizon)
            return answers

        return work

    for precision in ("float32", "bfloat16"):
        pipeline = BaseChronosPipeline.from_pretrained(folder, dtype=getattr(torch, precision))
        yield f"predict_df {precision}", predict_df_path(pipeline, case, frame)
        yield f"stock {precision}", batched(stock_path(pipeline))
    has_bfloat16 = bool(cpu_flags() & {"avx512_bf16", "amx_bf16"})
    for engine, precision in ENGINES:
        # OpenVINO computes in float32 where the processor has no bfloat16.
        emulated = engine == "openvino" and precision == "bfloat16" and not has_bfloat16
        if engine in engines and not emulated:
            choice = EngineChoice(engine, "cpu", precision)  # type: ignore[arg-type]
            info = describe_forecaster(folder, name="b", version="1", digest="d", choice=choice)
            yield f"{engine} {precision}", batched(protocol_path(load_forecaster(folder, info)))
            if engine != "numpy":
                name = f"forecast, {engine} {precision}"
                yield name, forecast_path(folder, case, frame, engine, precision)
    for precision in ("float32", "bfloat16") if compiled else ():
        yield f"lean {precision}, compiled", batched(compiled_path(folder, precision))


def predict_df_path(pipeline: Any, case: Case, frame: pd.DataFrame) -> Work:
    def work(budget: int) -> np.ndarray:
        forecasts = pipeline.predict_df(
            frame,
            prediction_length=case.horizon,
            quantile_levels=list(LEVELS),
            batch_size=case.batch_size(budget),
        )
        return quantiles_of(forecasts, case)

    return work


def forecast_path(
    folder: Path, case: Case, frame: pd.DataFrame, engine: str, precision: str
) -> Work:
    def work(budget: int) -> np.ndarray:
        del budget  # the run chooses its batches itself
        forecasts = gigacast.forecast(
            frame,
            horizon=case.horizon,
            quantiles=list(LEVELS),
            model=str(folder),
            model_engine=engine,
            precision=precision,
        )
        return quantiles_of(forecasts, case)

    return work


def quantiles_of(forecasts: pd.DataFrame, case: Case) -> np.ndarray:
    """Return quantiles of a frame whose series are in the order of their names."""
    columns = forecasts[[str(level) for level in LEVELS]].to_numpy(np.float32)
    return columns.reshape(case.series, case.horizon, len(LEVELS))


def stock_path(pipeline: Any) -> Predict:
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
    case: Case, paths: dict[str, Work], budgets: list[int], rounds: int
) -> list[dict[str, Any]]:
    timings = {(name, budget): Timing() for name in paths for budget in budgets}
    errors = {}
    truth = np.empty(0)
    for name, work in paths.items():
        start = time.perf_counter()
        answers = work(budgets[0])
        print(f"  first round of {name:28} {time.perf_counter() - start:6.1f} s", flush=True)
        truth = truth if len(truth) else answers
        errors[name] = deviation(answers, truth)
    for _ in range(rounds):
        for budget in budgets:
            for name, work in paths.items():
                timings[name, budget].add(lambda: work(budget))  # noqa: B023
    return report(case, errors, budgets, timings)


def deviation(answers: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean difference from stock float32, in distances of its outermost quantiles.

    Quantiles of random weights cross; runs give them in order, so all are put in order here.
    """
    answers, truth = np.sort(answers), np.sort(truth)
    moved = np.abs(answers - truth).mean(axis=(1, 2))
    width = np.abs(truth[..., -1] - truth[..., 0]).mean(axis=1)
    return float((moved / width).mean())


def report(
    case: Case, errors: dict[str, float], budgets: list[int], timings: dict[Any, Timing]
) -> list[dict[str, Any]]:
    """Print series/s per budget, then each path at its best against `predict_df` at its best."""
    print(f"\n{case.name}: series/s by tokens per call")
    print(f"  {'':28}" + "".join(f"{budget:>9,}" for budget in budgets))
    best = {}
    for name in errors:
        seconds = {b: statistics.median(timings[name, b].elapsed) for b in budgets}
        best[name] = min(seconds, key=lambda b: seconds[b])
        print(f"  {name:28}" + "".join(f"{case.series / seconds[b]:9,.0f}" for b in budgets))
    bases = [timings[name, best[name]] for name in BASELINES]
    print(
        "\n  each at its best            tokens  series/s  times predict_df float32  bfloat16"
        "   deviation"
    )
    rows = []
    for name, budget in best.items():
        timing = timings[name, budget]
        (elapsed, processor), (elapsed16, processor16) = (timing.ratios(base) for base in bases)
        rate = case.series / statistics.median(timing.elapsed)
        print(
            f"  {name:28}{budget:6,} {rate:9,.0f}   {elapsed:9.2f} ({processor:.2f}) "
            f"{elapsed16:9.2f} ({processor16:.2f})   {errors[name]:.1e}"
        )
        rows.append(
            {
                "case": case.name,
                "path": name,
                "tokens": budget,
                "series_per_second": round(rate),
                "times_predict_df_float32": round(processor, 2),
                "times_predict_df_bfloat16": round(processor16, 2),
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
        for case in CASES:
            paths = dict(make_paths(folder, case, options.engines, compiled=options.compiled))
            rows += measure(case, paths, options.tokens, options.rounds)
    if options.output:
        record = {**machine, "shape": options.shape, "threads": options.threads, "rows": rows}
        options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
