"""Tiny Chronos models with random weights, saved to disk as the real ones are, and small batches.

Each model takes well under a second to build. It is built once per folder, whichever process asks
first: it is written aside and renamed, so that no reader sees half a model.
"""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from gigacast.core.series.batch import SeriesBatch
from gigacast.core.time.frequency import Frequency

BOLT_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
CHRONOS2_LEVELS = (0.01, 0.05, *(n / 20 for n in range(2, 19)), 0.95, 0.99)


def series_batch(
    series: Sequence[npt.ArrayLike],
    *,
    items: Sequence[str] | None = None,
    reasons: Sequence[int] | None = None,
    frequency: str = "D",
) -> SeriesBatch:
    """Return a batch of the given series, all of one frequency."""
    values = [np.asarray(entry, dtype=np.float32) for entry in series]
    count = len(values)
    return SeriesBatch(
        item_ids=pa.array(items or [f"item-{n}" for n in range(count)], pa.string()),
        target_names=pa.array(["target"] * count, pa.string()),
        values=np.concatenate([np.empty(0, np.float32), *values]),
        offsets=np.cumsum([0, *map(len, values)], dtype=np.int64),
        last_timestamps=np.zeros(count, np.int64),
        frequencies=(Frequency.parse(frequency),),
        frequency_codes=np.zeros(count, np.int64),
        reasons=np.array(reasons or [0] * count, np.int8),
        timestamp_type=pa.timestamp("us"),
    )


def session_folder(factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all tests of this run share, also between xdist's workers."""
    base = factory.getbasetemp()
    folder = (base.parent if base.name.startswith("popen-") else base) / "tiny-models"
    folder.mkdir(exist_ok=True)
    return folder


def tiny_bolt(
    folder: Path,
    *,
    levels: tuple[float, ...] = BOLT_LEVELS,
    context_length: int = 512,
    prediction_length: int = 64,
) -> Path:
    """Return the folder of a tiny Chronos-Bolt model."""
    config = {
        "context_length": context_length,
        "prediction_length": prediction_length,
        "input_patch_size": 16,
        "input_patch_stride": 16,
        "quantiles": list(levels),
        "use_reg_token": True,
    }

    def build(target: Path) -> None:
        from chronos.chronos_bolt import ChronosBoltModelForForecasting

        _save(
            ChronosBoltModelForForecasting(_t5_config(config, "ChronosBoltPipeline", 2)),
            target,
        )

    name = f"bolt-{len(levels)}-{levels[0]}-{context_length}-{prediction_length}"
    return _once(folder / name, build)


def tiny_chronos2(folder: Path, *, context_length: int = 512, output_patches: int = 4) -> Path:
    """Return the folder of a tiny Chronos-2 model; its own horizon is 16 * ``output_patches``."""

    def build(target: Path) -> None:
        from chronos.chronos2 import Chronos2CoreConfig, Chronos2Model

        config = Chronos2CoreConfig(
            d_model=32,
            d_kv=8,
            d_ff=64,
            num_layers=2,
            num_heads=4,
            dropout_rate=0.1,
            chronos_config={
                "context_length": context_length,
                "output_patch_size": 16,
                "input_patch_size": 16,
                "input_patch_stride": 16,
                "quantiles": list(CHRONOS2_LEVELS),
                "use_reg_token": True,
                "use_arcsinh": True,
                "max_output_patches": output_patches,
            },
            chronos_pipeline_class="Chronos2Pipeline",
            architectures=["Chronos2Model"],
        )
        _save(Chronos2Model(config), target)

    return _once(folder / f"chronos2-{context_length}-{output_patches}", build)


def tiny_t5(folder: Path, *, context_length: int = 64, prediction_length: int = 16) -> Path:
    """Return the folder of a tiny original Chronos (T5) model."""
    config = {
        "tokenizer_class": "MeanScaleUniformBins",
        "tokenizer_kwargs": {"low_limit": -15.0, "high_limit": 15.0},
        "context_length": context_length,
        "prediction_length": prediction_length,
        "n_tokens": 256,
        "n_special_tokens": 2,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "use_eos_token": True,
        "model_type": "seq2seq",
        "num_samples": 20,
        "temperature": 1.0,
        "top_k": 50,
        "top_p": 1.0,
    }

    def build(target: Path) -> None:
        from transformers import T5ForConditionalGeneration

        _save(T5ForConditionalGeneration(_t5_config(config, "ChronosPipeline", 256)), target)

    return _once(folder / f"t5-{context_length}-{prediction_length}", build)


def _t5_config(chronos_config: dict[str, object], pipeline: str, vocabulary: int) -> object:
    from transformers import T5Config

    return T5Config(
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=4,
        dropout_rate=0.1,
        vocab_size=vocabulary,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        initializer_factor=1.0 if vocabulary > 2 else 0.5,
        feed_forward_proj="relu",
        chronos_config=chronos_config,
        chronos_pipeline_class=pipeline,
        architectures=[
            "ChronosBoltModelForForecasting" if vocabulary == 2 else "T5ForConditionalGeneration"
        ],
    )


def _save(model: object, target: Path) -> None:
    """Fill every parameter from one seeded generator and save, so that a rebuild is identical."""
    import torch

    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():  # type: ignore[attr-defined]
            if parameter.ndim > 1:
                scale = 1.5 / parameter.shape[-1] ** 0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    model.save_pretrained(target)  # type: ignore[attr-defined]


def _once(path: Path, build: Callable[[Path], None]) -> Path:
    if path.exists():
        return path
    aside = Path(tempfile.mkdtemp(dir=path.parent))
    build(aside)
    try:
        aside.rename(path)
    except OSError:  # another process was faster
        shutil.rmtree(aside)
    return path
