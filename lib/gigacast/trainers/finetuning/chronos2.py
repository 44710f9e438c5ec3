"""Fine-tuning of Chronos-2 by chronos' own ``fit``: all weights, or a LoRA adapter.

This module adds to ``fit``: series are read from disk as they are drawn, checkpoints survive a kill
and resume to the same weights, a loss that is not a number stops the run, and validation stops it
early and selects the best weights.
"""

import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from chronos import Chronos2Pipeline
from chronos.chronos2.dataset import PreparedInput

from gigacast.errors import DataNotFoundError
from gigacast.forecasters.chronos.loading import load_pipeline, quiet
from gigacast.forecasters.network.device import translate_memory_errors
from gigacast.trainers.corpus import Corpus
from gigacast.trainers.disk import disk_errors
from gigacast.trainers.encoding import Categories, encode_windows
from gigacast.trainers.finetuning.config import FinetuneConfig, Finetuned, Limits, Origin
from gigacast.trainers.finetuning.progress import check_origin
from gigacast.trainers.finetuning.watch import Watch
from gigacast.trainers.pretraining.checkpoint import load_checkpoint

TUNED = "tuned"
LORA_TARGETS = (
    "self_attention.q",
    "self_attention.k",
    "self_attention.v",
    "self_attention.o",
    "output_patch_embedding.output_layer",
)
"""Modules that get an adapter; the default of chronos."""


class LazySeries(Sequence[PreparedInput]):
    """Series of a corpus in the form ``fit`` accepts; each is read when it is drawn.

    Parameters
    ----------
    corpus : Corpus
    horizon : int
        Steps to forecast, H.
    rows : int64 [M]
        Indices of the series.
    cut : int
        Steps to remove at the end of each series.
    tail : int, optional
        Maximum steps of the remainder, counted from its end; all by default.
    """

    def __init__(
        self, corpus: Corpus, horizon: int, rows: Any, cut: int, tail: int | None = None
    ) -> None:
        self._corpus, self._horizon, self._rows = corpus, horizon, rows
        self._cut, self._tail = cut, tail

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> PreparedInput: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[PreparedInput]: ...

    def __getitem__(self, place: int | slice) -> PreparedInput | Sequence[PreparedInput]:
        if isinstance(place, slice):
            return LazySeries(self._corpus, self._horizon, self._rows[place], self._cut, self._tail)
        row = self._rows[place]
        start, stop = (int(edge) for edge in self._corpus.offsets[row : row + 2])
        stop -= self._cut
        if self._tail is not None:
            start = max(start, stop - self._tail)
        steps = self._corpus.values[None, start:stop]
        names = self._corpus.names
        if names:
            # In the order that `fit` expects: the target, past covariates, known ones. It takes the
            # known values over a training target from the steps of the series itself.
            steps = np.concatenate([steps, self._corpus.covariates[start:stop].T])
        # Copied, because torch warns about arrays that are read-only, as the memory map is.
        context = torch.from_numpy(np.array(steps))
        unknown = torch.full((len(context), self._horizon), math.nan)
        if any(texts is not None for texts in self._corpus.categories):
            context = CategorySeries.of(context, self._corpus.categories, self._horizon)
        return {
            "context": context,
            "future_covariates": unknown,
            "n_targets": 1,
            "n_covariates": len(names),
            "n_future_covariates": self._corpus.known,
        }


class CategorySeries(torch.Tensor):
    """A target and its covariates, whose categories become numbers when a window is cut.

    ``fit`` clones a series and cuts it at an origin: first the context, then the target, then the
    known covariates beside it. The context alone tells what a category is worth, so that nothing
    of the target is in its own covariates.
    """

    categories: Categories
    horizon: int
    ahead: torch.Tensor | None

    @staticmethod
    def of(steps: torch.Tensor, categories: Categories, horizon: int) -> "CategorySeries":
        """Return a series of steps, [1 + V, T]."""
        series = steps.as_subclass(CategorySeries)
        series.categories, series.horizon, series.ahead = categories, horizon, None
        return series

    def clone(self, **_: Any) -> "CategorySeries":
        """Return the series before anything is cut from it."""
        own = self.as_subclass(torch.Tensor).clone()
        return CategorySeries.of(own, self.categories, self.horizon)

    def __getitem__(self, key: Any) -> torch.Tensor:
        """Return the context first, [1 + V, T]; later the chosen rows of what is after it."""
        rows, steps = key
        if self.ahead is not None:
            return self.ahead[rows]
        plain = self.as_subclass(torch.Tensor)
        context = plain[:, steps].numpy()
        after = plain[:, steps.stop : steps.stop + self.horizon].numpy()
        past, ahead = encode_windows(
            self.categories, context[:1], context[None, 1:], after[None, 1:]
        )
        self.ahead = torch.from_numpy(np.concatenate([after[:1], ahead[0]]))
        return torch.from_numpy(np.concatenate([context[:1], past[0]]))


class Chronos2Trainer:
    """A run of ``fit`` that can be stopped and resumed; same methods as `BoltTrainer`.

    Parameters
    ----------
    folder : Path
        Folder of the parent model.
    config : FinetuneConfig
    corpus : Corpus
    origin : Origin
    checkpoint_dir : Path
    limits : Limits

    Raises
    ------
    ModelError, ConfigError
        As `BoltTrainer`.
    """

    def __init__(
        self,
        folder: Path,
        config: FinetuneConfig,
        corpus: Corpus,
        origin: Origin,
        checkpoint_dir: Path,
        limits: Limits,
    ) -> None:
        self._folder, self._config, self._corpus, self._limits = folder, config, corpus, limits
        self._dir = checkpoint_dir
        state = load_checkpoint(checkpoint_dir, config)
        if state is not None:
            check_origin(state, origin, checkpoint_dir)
        self._watch = Watch(config, origin, checkpoint_dir, limits, state)
        self._tuned: Chronos2Pipeline | None = None

    def run(self) -> Finetuned:
        """Train until the last step, until validation stops improving, or until time is up."""
        config, options = self._config, self._config.options
        torch.manual_seed(options.seed)  # an adapter starts with random weights
        pipeline = load_pipeline(self._folder, torch.device(config.device), torch.float32)
        lora = {
            "r": options.lora_rank,
            "lora_alpha": options.lora_alpha,
            "target_modules": list(LORA_TARGETS),
        }
        scratch = self._dir / "fit"
        with translate_memory_errors(), disk_errors(scratch), quiet(), _removed(scratch):
            self._tuned = pipeline.fit(
                self._training(),
                prediction_length=config.horizon,
                validation_inputs=self._held_out(),
                finetune_mode=options.method,
                lora_config=lora if options.method == "lora" else None,
                context_length=config.context_length,
                learning_rate=config.learning_rate,
                num_steps=options.steps,
                batch_size=options.batch_size,
                output_dir=scratch,
                min_past=options.min_context,
                finetuned_ckpt_name=TUNED,
                callbacks=[self._watch],
                remove_printer_callback=True,
                **self._trainer_arguments(),
            )
        return self._watch.result()

    def export(self, folder: Path) -> None:
        """Write the best weights, or the adapter, in the format that chronos loads."""
        assert self._tuned is not None  # noqa: S101 - called after `run` only
        with disk_errors(folder), quiet():
            self._tuned.save_pretrained(folder)

    def _trainer_arguments(self) -> dict[str, Any]:
        """Return the settings of the trainer behind ``fit``."""
        options = self._config.options
        # It logs every step, because `Watch` counts, checks and saves in its log callback. It does
        # not save or select weights itself, because `Watch` does.
        return {
            "seed": options.seed,
            "warmup_steps": options.warmup_steps,
            "lr_scheduler_type": "cosine",
            "weight_decay": options.weight_decay,
            "max_grad_norm": options.gradient_clip,
            "bf16": self._config.precision == "bfloat16",
            "logging_strategy": "steps",
            "logging_steps": 1,
            "logging_nan_inf_filter": False,  # the filter would hide a loss that is not a number
            "disable_tqdm": True,
            "save_strategy": "no",
            "save_steps": 0,
            "eval_strategy": "steps",
            "eval_steps": options.validate_every,
            # The loss of the parent; a resumed run has it in its checkpoint.
            "eval_on_start": self._watch.step == 0,
            "load_best_model_at_end": False,
        }

    def _training(self) -> LazySeries:
        """Return all series that are long enough for ``fit``, without their held-out steps."""
        minimum = self._config.options.min_context + self._config.horizon
        lengths = np.diff(self._corpus.offsets) - self._config.validation_steps
        rows = np.flatnonzero(lengths >= minimum)
        if not len(rows):
            raise DataNotFoundError(
                f"no series has the {minimum + self._config.validation_steps} steps that training "
                "a Chronos-2 needs",
                hint="lower --horizon, --validation_steps or --min_context",
            )
        return LazySeries(self._corpus, self._config.horizon, rows, self._config.validation_steps)

    def _held_out(self) -> list[PreparedInput]:
        """Return the last window of an even selection of series, few enough for memory."""
        count = min(self._config.options.validation_windows, len(self._corpus))
        rows = np.linspace(0, len(self._corpus) - 1, count).round().astype(np.int64)
        tail = self._config.context_length + self._config.horizon
        windows = LazySeries(self._corpus, self._config.horizon, rows, 0, tail)
        return [windows[index] for index in range(len(windows))]


@contextmanager
def _removed(folder: Path) -> Iterator[None]:
    """Remove the folder that ``fit`` writes to; `Watch` keeps checkpoints of its own."""
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
