"""Chronos-Bolt models of the published shapes with random weights, and panels of series.

Random weights are as fast as trained ones, and need no download.

Used by `engine.py` and `end_to_end.py`; not a benchmark itself.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SHAPES = {
    "tiny": {"d_model": 256, "d_ff": 1024, "num_layers": 4, "num_heads": 4},
    "mini": {"d_model": 384, "d_ff": 1536, "num_layers": 4, "num_heads": 8},
    "small": {"d_model": 512, "d_ff": 2048, "num_layers": 6, "num_heads": 8},
    "base": {"d_model": 768, "d_ff": 3072, "num_layers": 12, "num_heads": 12},
}
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
DAY_US = 86_400_000_000


def save_bolt(folder: Path, shape: str) -> Path:
    """Save a random Bolt of a published shape."""
    import torch
    from chronos.chronos_bolt import ChronosBoltModelForForecasting
    from transformers import T5Config
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(0)
    config = T5Config(
        **SHAPES[shape],
        d_kv=64,
        num_decoder_layers=SHAPES[shape]["num_layers"],
        vocab_size=2,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        initializer_factor=0.05,
        feed_forward_proj="relu",
        chronos_config={
            "context_length": 2048,
            "prediction_length": 64,
            "input_patch_size": 16,
            "input_patch_stride": 16,
            "quantiles": list(LEVELS),
            "use_reg_token": True,
        },
        chronos_pipeline_class="ChronosBoltPipeline",
        architectures=["ChronosBoltModelForForecasting"],
    )
    model = ChronosBoltModelForForecasting(config)
    draw_weights(model)
    model.save_pretrained(folder)
    return folder


def draw_weights(model: Any) -> None:
    """Draw weights that keep activations of ordinary size, so that forecasts react to contexts.

    The library's own initial weights are so small that outputs hardly depend on the input: fit to
    measure speed, but not to compare the accuracy of precisions.
    """
    import torch

    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = torch.randn(parameter.shape, generator=generator)
            if "layer_norm" in name:
                values = 1 + 0.2 * values
            elif name.endswith("bias"):
                values = 0.1 * values
            elif not any(part in name for part in ("relative_attention_bias", "shared", "embed_")):
                spread = parameter.shape[-1] ** -0.5
                values = values * (spread * 0.3 if ".q." in name else spread)
            parameter.copy_(values)


def random_walks(rows: int, length: int, seed: int = 0) -> np.ndarray:
    """Return random walks, float32 [rows, length]."""
    steps = np.random.default_rng(seed).normal(size=(rows, length))
    return steps.cumsum(axis=1).astype(np.float32)


def write_panels(
    folder: Path, series: int, per_partition: int, lengths: tuple[int, int]
) -> Iterator[Path]:
    """Write partitions of daily series, long form, as ``2024/01/part-00000.parquet`` and so on."""
    for part, first in enumerate(range(0, series, per_partition)):
        path = folder / "2024" / "01" / f"part-{part:05d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        count = min(per_partition, series - first)
        write_panel(path, first, count, lengths)
        yield path


def write_panel(path: Path, first: int, count: int, lengths: tuple[int, int]) -> None:
    """Write a partition of ``count`` series with lengths in the closed range ``lengths``."""
    rng = np.random.default_rng(first)
    schema = pa.schema(
        [("item_id", pa.string()), ("timestamp", pa.timestamp("us")), ("target", pa.float64())]
    )
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, count, 10_000):
            sizes = rng.integers(lengths[0], lengths[1] + 1, min(10_000, count - start))
            writer.write_table(_rows(first + start, sizes, rng, schema), row_group_size=1 << 20)


def _rows(first: int, sizes: np.ndarray, rng: np.random.Generator, schema: pa.Schema) -> pa.Table:
    stops = np.cumsum(sizes)
    step = np.arange(stops[-1]) - np.repeat(stops - sizes, sizes)
    last_day = 19_800
    days = last_day - np.repeat(sizes, sizes) + step
    walk = rng.normal(size=stops[-1]).cumsum()
    level = walk - np.repeat(walk[stops - sizes], sizes)
    values = 50 + level + 10 * np.sin(2 * np.pi * step / 7)
    names = pa.array([f"item-{first + n:08d}" for n in range(len(sizes))])
    items = names.take(pa.array(np.repeat(np.arange(len(sizes)), sizes)))
    times = pa.array(days * DAY_US).cast(pa.timestamp("us"))
    return pa.table([items, times, pa.array(values)], schema=schema)
