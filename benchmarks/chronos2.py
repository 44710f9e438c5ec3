"""Speed and accuracy of the lean Chronos-2 beside the stock code, in one run.

    python benchmarks/chronos2.py [--shape base] [--rounds 3] [--threads 1] [--output FILE]

Random weights of a published shape. As `engine.py`, of which it has batches and tables: all paths
get the same batches alternately. The stock code is that of the engine ``stock``, which has another
attention over groups than the library's pipeline; that one computes a mask of the whole batch.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bolt_models import draw_weights, random_walks
from engine import Case, Predict, measure, processor, protocol_path, start_with_threads

from gigacast.core.series.forecast import ForecastRequest
from gigacast.forecasters.catalog import describe_forecaster, load_forecaster
from gigacast.forecasters.engine import EngineChoice

SHAPES = {
    "small": {"d_model": 512, "d_ff": 2048, "num_layers": 6, "num_heads": 8},
    "base": {"d_model": 768, "d_ff": 3072, "num_layers": 12, "num_heads": 12},
}
LEVELS = (0.01, 0.05, *(n / 20 for n in range(2, 19)), 0.95, 0.99)
CASES = (
    Case("lengths 100-200, h=7", 96, (100, 200), 7),
    Case("context 2048, h=64", 6, (2048, 2048), 64),
)
GROUP = 4


def save_chronos2(folder: Path, shape: str) -> Path:
    """Save a random Chronos-2 of a published shape."""
    from chronos.chronos2 import Chronos2CoreConfig, Chronos2Model
    from transformers.utils import logging

    logging.disable_progress_bar()
    config = Chronos2CoreConfig(
        **SHAPES[shape],
        d_kv=64,
        chronos_config={
            "context_length": 8192,
            "output_patch_size": 16,
            "input_patch_size": 16,
            "input_patch_stride": 16,
            "quantiles": list(LEVELS),
            "use_reg_token": True,
            "use_arcsinh": True,
            "max_output_patches": 64,
        },
        chronos_pipeline_class="Chronos2Pipeline",
        architectures=["Chronos2Model"],
    )
    model = Chronos2Model(config)
    draw_weights(model)
    with torch.no_grad():  # its outputs pass through a hyperbolic sine
        for part in (
            model.output_patch_embedding.output_layer,
            model.output_patch_embedding.residual_layer,
        ):
            part.weight.mul_(0.3)
    model.save_pretrained(folder)
    return folder


def grouped_path(forecaster: Any) -> Predict:
    """Forecast groups of a target and three covariates, of which one is known ahead."""

    def predict(context: np.ndarray, horizon: int) -> object:
        rows = len(context) // GROUP * GROUP
        future = np.full((rows, horizon), np.nan, np.float32)
        future[1::GROUP] = random_walks(len(future[1::GROUP]), horizon)
        seasons, seeds = np.ones(rows, np.int64), np.zeros(rows, np.uint64)
        levels = tuple(n / 10 for n in range(1, 10))
        return forecaster.predict(
            ForecastRequest(context[:rows], horizon, levels, seasons, seeds, GROUP, future)
        )

    return predict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shape", default="base", choices=[*SHAPES])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, nargs="+", default=[2_048])
    parser.add_argument("--groups", action="store_true", help="groups with covariates")
    parser.add_argument("--output", type=Path, help="JSON of all figures")
    options = parser.parse_args()
    start_with_threads(options.threads)
    torch.set_num_threads(options.threads)
    machine = processor()
    print(f"{machine['processor']}, {options.threads} thread(s), GFLOP/s {machine['gflops']}")
    print(f"chronos-2 {options.shape}, torch {torch.__version__}", flush=True)
    make = grouped_path if options.groups else protocol_path
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch, torch.inference_mode():
        folder = save_chronos2(Path(scratch), options.shape)
        paths = {}
        for engine, name in (("stock", "stock"), ("torch", "lean")):
            for precision in ("float32", "bfloat16"):
                choice = EngineChoice(engine, "cpu", precision)  # type: ignore[arg-type]
                info = describe_forecaster(folder, name="c", version="1", digest="d", choice=choice)
                paths[f"{name} {precision}"] = make(load_forecaster(folder, info))
        for case in CASES:
            rows += measure(case, paths, options.tokens, options.rounds)
    if options.output:
        record = {**machine, "shape": options.shape, "threads": options.threads, "rows": rows}
        options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
