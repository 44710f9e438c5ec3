"""Speed of the forward pass of Chronos and of ours, each with its best batch size.

    python benchmarks/engine.py [--shape tiny] [--rounds 5] [--threads N] [--compiled]

Random weights of a published shape. All paths get the same batches alternately; medians over the
rounds are printed. On a shared machine trust the ratios, and those of processor time (in brackets)
more than those of elapsed time.
"""

import argparse
import statistics
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

from gigacast.core.series.forecast import ForecastRequest
from gigacast.forecasters.chronos.forecaster import load_chronos
from gigacast.forecasters.lean import linear as lean_linear
from gigacast.forecasters.lean.forecaster import LeanForecaster, load_lean
from gigacast.forecasters.padding import group_by_length, pad_left

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


def make_paths(folder: Path, *, compiled: bool) -> Iterator[tuple[str, Predict]]:
    options: dict[str, Any] = {"name": "b", "version": "1", "digest": "d", "device": "cpu"}
    for precision in ("float32", "bfloat16"):
        yield f"stock {precision}", stock_path(folder, getattr(torch, precision))
    wrapped = load_chronos(folder, precision="float32", **options)
    yield "stock float32, wrapped", protocol_path(wrapped)
    for precision in ("float32", "bfloat16"):
        ours = load_lean(folder, precision=precision, **options)
        yield f"lean {precision}", protocol_path(ours)
    for precision in ("float32", "bfloat16") if compiled else ():
        yield f"lean {precision}, compiled", compiled_path(folder, precision, options)


def stock_path(folder: Path, dtype: torch.dtype) -> Predict:
    from chronos import BaseChronosPipeline

    pipeline = BaseChronosPipeline.from_pretrained(folder, dtype=dtype)
    return lambda context, horizon: pipeline.predict_quantiles(
        torch.from_numpy(context), prediction_length=horizon, quantile_levels=list(LEVELS)
    )


def protocol_path(forecaster: Any) -> Predict:
    def predict(context: np.ndarray, horizon: int) -> object:
        rows = len(context)
        seasons, seeds = np.ones(rows, np.int64), np.zeros(rows, np.uint64)
        return forecaster.predict(ForecastRequest(context, horizon, LEVELS, seasons, seeds))

    return predict


def compiled_path(folder: Path, precision: str, options: dict[str, Any]) -> Predict:
    """Compile the forward with plain products, because the compiler does not accept ours as inputs.

    It is compiled once per length and precision; beyond the compiler's limit it would run eagerly.
    """
    torch._dynamo.config.recompile_limit = 256  # noqa: SLF001
    with mock.patch.object(lean_linear, "_can_pack", return_value=False):
        ours = load_lean(folder, precision=precision, **options)
        for case in CASES:
            ours._model._weights.head.cut(case.horizon)  # noqa: SLF001
    forward = torch.compile(ours._model.__call__, dynamic=None)  # noqa: SLF001

    def call(context: torch.Tensor, steps: int, *, masked: bool) -> torch.Tensor:
        torch._dynamo.mark_dynamic(context, 0)  # noqa: SLF001
        result: torch.Tensor = forward(context, steps, masked=masked)
        return result

    return protocol_path(LeanForecaster(ours.info, call, torch.device("cpu")))  # type: ignore[arg-type]


def measure(case: Case, paths: dict[str, Predict], budgets: list[int], rounds: int) -> None:
    batches = {budget: case.batches(budget) for budget in budgets}
    timings = {(name, budget): Timing() for name in paths for budget in budgets}
    for name, predict in paths.items():
        start = time.perf_counter()
        for batch in batches[budgets[0]]:
            predict(batch, case.horizon)
        print(f"  first round of {name:30} {time.perf_counter() - start:6.1f} s", flush=True)
    for _ in range(rounds):
        for budget in budgets:
            for name, predict in paths.items():
                work = batches[budget]
                timings[name, budget].add(lambda: [predict(b, case.horizon) for b in work])  # noqa: B023
    report(case, paths, budgets, timings)


def report(
    case: Case, paths: dict[str, Predict], budgets: list[int], timings: dict[Any, Timing]
) -> None:
    """Print series/s per budget, then each path at its best against the stock model at its best."""
    print(f"\n{case.name}: series/s by tokens per call")
    print(f"  {'':26}" + "".join(f"{budget:>9,}" for budget in budgets))
    best = {}
    for name in paths:
        seconds = {b: statistics.median(timings[name, b].elapsed) for b in budgets}
        best[name] = min(seconds, key=lambda b: seconds[b])
        print(f"  {name:26}" + "".join(f"{case.series / seconds[b]:9,.0f}" for b in budgets))
    base = timings["stock float32", best["stock float32"]]
    print("\n  each at its best         tokens  series/s   times stock float32 (processor)")
    for name, budget in best.items():
        timing = timings[name, budget]
        elapsed, processor = timing.ratios(base)
        rate = case.series / statistics.median(timing.elapsed)
        print(f"  {name:26}{budget:6,} {rate:9,.0f}   {elapsed:5.2f} ({processor:.2f})")
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shape", default="tiny", choices=["tiny", "mini", "small", "base"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--tokens", type=int, nargs="+", default=list(BUDGETS))
    parser.add_argument("--compiled", action="store_true", help="compile too: takes minutes")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        f"bolt-{options.shape}, {options.threads} thread(s), torch {torch.__version__}", flush=True
    )
    with tempfile.TemporaryDirectory() as scratch, torch.inference_mode():
        paths = dict(make_paths(save_bolt(Path(scratch), options.shape), compiled=options.compiled))
        for case in CASES:
            measure(case, paths, options.tokens, options.rounds)


if __name__ == "__main__":
    main()
