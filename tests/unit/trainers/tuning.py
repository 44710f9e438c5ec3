"""Helpers of the fine-tuning tests: a seasonal corpus, small settings, comparison of weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from gigacast.forecasters.catalog import describe_forecaster
from gigacast.forecasters.config import read_model_config
from gigacast.forecasters.engine import EngineChoice
from gigacast.trainers.corpus import Corpus, CorpusWriter
from gigacast.trainers.finetuning.config import (
    FinetuneConfig,
    Finetuned,
    FinetuneOptions,
    Limits,
    Origin,
    Silent,
    resolve_config,
)
from gigacast.trainers.finetuning.run import Finetuning, finetune
from tests.support.tiny_models import series_batch

ORIGIN = Origin("parent", "data")
SMALL = {
    "horizon": 16,
    "context_length": 64,
    "steps": 12,
    "batch_size": 16,
    "warmup_steps": 2,
    "learning_rate": 2e-3,
    "validate_every": 4,
    "checkpoint_every": 3,
    "seed": 5,
}


def seasonal(count: int = 12, length: int = 160) -> list[np.ndarray]:
    """Series with a strong season of eight steps, each with a level and phase of its own."""
    rng = np.random.default_rng(0)
    time = np.arange(length)
    return [
        10 * n + 5 * np.sin(2 * np.pi * (time + n) / 8) + rng.normal(0, 0.05, length)
        for n in range(count)
    ]


def corpus_in(folder: Path, series: list[np.ndarray] | None = None, least: int = 33) -> Corpus:
    folder.mkdir(parents=True)
    with CorpusWriter(folder, least) as writer:
        writer.add(series_batch(seasonal() if series is None else series))
        return writer.finish()


def config_of(model: Path, **changes: Any) -> FinetuneConfig:
    precision = changes.pop("precision", "float32")
    info = describe_forecaster(
        model, name="m", version="1", digest="d", choice=EngineChoice("auto", "cpu", precision)
    )
    family = str(read_model_config(model)["chronos_pipeline_class"])
    return resolve_config(FinetuneOptions(**{**SMALL, **changes}), family, info)


class Killed(BaseException):
    """Stands for a kill of the process."""


class Witness(Silent):
    """Records the events of a run and kills it after a given step."""

    def __init__(self, kill_after: int | None = None) -> None:
        self.steps: list[int] = []
        self.starts: list[int] = []
        self._kill_after = kill_after

    def started(self, step: int, steps: int) -> None:
        self.starts.append(step)

    def stepped(self, step: int, loss: float) -> None:
        self.steps.append(step)
        if step == self._kill_after:
            raise Killed


def tune(  # noqa: PLR0917
    model: Path,
    corpus: Corpus,
    place: Path,
    config: FinetuneConfig | None = None,
    events: Witness | None = None,
    clock: Callable[[], float] = lambda: 0.0,
    deadline: float = float("inf"),
    origin: Origin = ORIGIN,
) -> Finetuned:
    """Run with checkpoints in ``place/checkpoints`` and the model in ``place/model``."""
    run = Finetuning(model, config or config_of(model), corpus, origin, place / "checkpoints")
    return finetune(run, place / "model", Limits(clock, deadline, events or Silent()))


def weights_in(folder: Path) -> dict[str, torch.Tensor]:
    (file,) = folder.glob("*.safetensors")
    return dict(load_file(file))


def assert_same_weights(actual_folder: Path, expected_folder: Path) -> None:
    expected = weights_in(expected_folder)
    for name, weight in weights_in(actual_folder).items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=0)
