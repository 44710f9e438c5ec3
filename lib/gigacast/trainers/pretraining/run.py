"""Pretrain a Chronos-Bolt model from scratch on synthetic series.

``python -m gigacast.trainers.pretraining.run --config config/pretrain-nano.yaml --checkpoints DIR
--output DIR [--max-minutes M]`` starts a run or resumes the one with checkpoints in DIR. ``gigacast
train pretrain`` does the same with a progress bar and can publish the model. The resulting folder
can be loaded by `chronos.BaseChronosPipeline.from_pretrained`. The training curve is written beside
the checkpoints as JSON lines.
"""

import argparse
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from chronos.chronos_bolt import ChronosBoltModelForForecasting
from numpy.typing import NDArray
from torch.optim.swa_utils import AveragedModel

from gigacast.errors import ModelError
from gigacast.synthetic import generate
from gigacast.trainers.finetuning.config import Silent, TrainingEvents
from gigacast.trainers.pretraining.checkpoint import (
    BEFORE_DECAY,
    build_model,
    export,
    load_checkpoint,
    load_initial,
    save_checkpoint,
)
from gigacast.trainers.pretraining.config import MixtureSettings, PretrainConfig, load_config
from gigacast.trainers.pretraining.forward import prepare
from gigacast.trainers.pretraining.step import (
    BatchSource,
    Optimisers,
    contexts,
    quantile_loss,
    rate_factor,
    running_average,
)

LOGGER = logging.getLogger(__name__)
CURVE = "curve.jsonl"
VALIDATION_BATCH = 512
"""Series per validation batch; bounds the memory of a validation."""


@dataclass(frozen=True)
class PretrainResult:
    """Result of a pretraining run.

    Attributes
    ----------
    step : int
        Number of steps taken, over all resumptions.
    finished : bool
        False if the time ran out first; the same call resumes the run.
    held_out_loss : float
        Mean quantile loss of the averaged weights on held-out synthetic series.
    """

    step: int
    finished: bool
    held_out_loss: float


class Trainer:
    """A pretraining run: the model, its running average, the optimisers and the step.

    Parameters
    ----------
    config : PretrainConfig
    checkpoint_dir : Path
        Folder of checkpoints and the curve; an existing checkpoint is resumed.
    clock : callable
        Monotonic clock, in seconds.
    """

    def __init__(
        self, config: PretrainConfig, checkpoint_dir: Path, clock: Callable[[], float]
    ) -> None:
        torch.manual_seed(config.seed)
        self.config, self.checkpoint_dir, self._clock = config, checkpoint_dir, clock
        self.model = build_model(config.model).train()
        if config.initial is not None:
            load_initial(self.model, config.initial)
        # The average is what is validated and exported: the accuracy of single checkpoints varies
        # by several percent from one to the next.
        average = running_average(config.ema_decay)
        self.averaged = AveragedModel(self.model, multi_avg_fn=average)
        self.optimisers = Optimisers.of(self.model, config)
        self.step, self._before = 0, 0.0
        self._source, self._started = BatchSource(config), clock()
        self._dtype = torch.bfloat16 if config.precision == "bfloat16" else torch.float32
        state = load_checkpoint(checkpoint_dir, config)
        if state is not None:
            self._restore(state)

    def advance(self) -> float:
        """Take one step and return its loss.

        Raises
        ------
        ModelError
            If the loss is not a number; the last checkpoint is not changed.
        """
        context, target = self._source.batch(self.step)
        prepared = prepare(context, self.config.model.patch_size)
        bound = self.config.target_bound
        losses = quantile_loss(self.model, prepared, target, bound, self._dtype)
        loss = losses.nanmean()
        # Stopped before the step: the weights and the last checkpoint are still good.
        if not torch.isfinite(loss):
            raise ModelError(
                f"the loss is {float(loss.detach())} at step {self.step}",
                hint="lower the learning rates and resume from the last checkpoint",
            )
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        self.optimisers.step(rate_factor(self.step, self.config), self.config)
        self.averaged.update_parameters(self.model)
        self.step += 1
        return float(loss.detach())

    def seconds(self) -> float:
        """Return the training time in seconds, over all resumptions."""
        return self._before + self._clock() - self._started

    def save(self, name: str | None = None) -> None:
        """Write a checkpoint; by default the one that a resumed run loads.

        It holds no state of random generators: batches are functions of the seed and the step, and
        the model has no dropout.
        """
        state = {
            "resume_digest": self.config.resume_digest(),
            "step": self.step,
            "seconds": self.seconds(),
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimisers": self.optimisers.state_dict(),
        }
        save_checkpoint(self.checkpoint_dir, state, **({"name": name} if name else {}))

    def _restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimisers.load_state_dict(state["optimisers"])
        self.step, self._before = state["step"], state["seconds"]
        LOGGER.info("resumed at step %d", self.step)

    def record(self, **figures: object) -> None:
        """Append a line with the step, the seconds and the figures to the curve."""
        line = json.dumps({"step": self.step, "seconds": round(self.seconds(), 1), **figures})
        self.checkpoint_dir.mkdir(parents=True, exist_ok=True)
        with (self.checkpoint_dir / CURVE).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        LOGGER.info(line)


def held_out_losses(
    model: ChronosBoltModelForForecasting, config: PretrainConfig
) -> dict[str, float]:
    """Return the mean quantile loss on held-out synthetic series: of ``all``, and by family.

    ``scaled_N`` is the loss on series generated for contexts of N points, if a run trains on them.
    """
    losses, families = _losses(model, config, config.mixture, config.model.context_length)
    scores = {"all": float(losses.nanmean())}
    for name in sorted(set(families.tolist())):
        scores[name] = float(losses[torch.from_numpy(families == name)].nanmean())
    for context in config.scaled.context_lengths if config.scaled.share else ():
        losses, _ = _losses(model, config, config.scaled.mixture, context)
        scores[f"scaled_{context}"] = float(losses.nanmean())
    return {name: round(score, 5) for name, score in scores.items()}


def _losses(
    model: ChronosBoltModelForForecasting,
    config: PretrainConfig,
    mixture: MixtureSettings,
    context: int,
) -> tuple[torch.Tensor, NDArray[np.str_]]:
    """Return the loss and the family of each held-out series generated for a context."""
    length = context + config.model.prediction_length
    batch = generate(
        config.held_out_series, length, config.held_out_seed, mixture=mixture.to_mixture()
    )
    # In float32 whatever the precision of training, so that curves of both can be compared.
    values, parts = torch.from_numpy(batch.values), []
    with torch.inference_mode():
        for rows in torch.split(values, VALIDATION_BATCH):
            prepared, target = contexts(rows, context, config)
            bound = config.target_bound
            parts.append(quantile_loss(model, prepared, target, bound, torch.float32))
    return torch.cat(parts), batch.families


def pretrain(
    config: PretrainConfig,
    output_dir: Path,
    checkpoint_dir: Path,
    max_minutes: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    events: TrainingEvents | None = None,
) -> PretrainResult:
    """Start or resume a pretraining run, and write the averaged weights as a model folder.

    Parameters
    ----------
    config : PretrainConfig
        Settings of the run; to resume, all but its length must equal those of the checkpoint.
    output_dir : Path
        Folder for ``config.json`` and ``model.safetensors``; existing files are replaced.
    checkpoint_dir : Path
        Folder of checkpoints and the curve.
    max_minutes : float, optional
        Time limit of this call, after which a checkpoint and the weights so far are written;
        unlimited by default.
    clock : callable
        Monotonic clock, in seconds.
    events : TrainingEvents, optional
        Receiver of events; ignored by default.

    Raises
    ------
    ModelError
        If the loss is not a number, or the checkpoint cannot be used.
    StorageError
        If the disk is full; the last checkpoint is kept.
    """
    events = events or Silent()
    trainer = Trainer(config, checkpoint_dir, clock)
    events.started(trainer.step, config.steps)
    deadline = float("inf") if max_minutes is None else clock() + 60.0 * max_minutes
    recent: list[float] = []
    while trainer.step < config.steps and clock() < deadline:
        # Kept because a run can only be prolonged from weights whose learning rate is still high.
        if trainer.step == config.steps - config.decay_steps:
            trainer.save(BEFORE_DECAY)
        recent.append(trainer.advance())
        events.stepped(trainer.step, recent[-1])
        if trainer.step % config.log_every == 0:
            trainer.record(loss=round(sum(recent) / len(recent), 5))
            recent.clear()
        if trainer.step % config.checkpoint_every == 0:
            trainer.save()
        if trainer.step % config.validate_every == 0:
            held_out = held_out_losses(trainer.averaged.module, config)
            events.validated(trainer.step, held_out["all"])
            trainer.record(held_out=held_out)
    trainer.save()
    scores = held_out_losses(trainer.averaged.module, config)
    trainer.record(held_out=scores, exported=str(output_dir))
    export(trainer.averaged.module, output_dir)
    return PretrainResult(trainer.step, trainer.step >= config.steps, scores["all"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gigacast.trainers.pretraining.run")
    parser.add_argument("--config", type=Path, required=True, help="YAML settings")
    parser.add_argument("--checkpoints", type=Path, required=True, help="checkpoints and curve")
    parser.add_argument("--output", type=Path, required=True, help="folder of the trained model")
    parser.add_argument("--max-minutes", type=float, default=None, help="stop after M minutes")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    config = load_config(options.config)
    result = pretrain(config, options.output, options.checkpoints, options.max_minutes)
    LOGGER.info("step %d, finished: %s", result.step, result.finished)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
