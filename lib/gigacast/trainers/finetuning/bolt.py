"""Fine-tuning of Chronos-Bolt: quantile loss on windows of real series, best weights kept.

The loss is the pretraining's (`pretraining_step.scaled_loss`): in units of each context's scale, so
that large series do not drown small ones.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gigacast.errors import ConfigError, DataError, ModelError
from gigacast.forecasters.chronos.loading import load_pipeline
from gigacast.forecasters.config import read_model_config
from gigacast.forecasters.lean.shape import read_shape, runs_lean
from gigacast.forecasters.network.device import DTYPES, translate_memory_errors
from gigacast.trainers.corpus import Windows, WindowSource
from gigacast.trainers.finetuning.config import FinetuneConfig, Finetuned, Limits, Origin
from gigacast.trainers.pretraining.checkpoint import export, load_checkpoint, save_checkpoint
from gigacast.trainers.pretraining.forward import Prepared, forward_normalised, prepare
from gigacast.trainers.pretraining.step import scaled_loss

TARGET_BOUND = 12.0
"""Targets count as at most so many scales from their context's mean: no spike rules a step."""

VALIDATION_ROWS = 256


class BoltTrainer:
    """A run in progress: the model, its optimiser, the best weights so far.

    Parameters
    ----------
    folder : Path
        The parent.
    config : FinetuneConfig
    source : WindowSource
    origin : Origin
    checkpoint_dir : Path
        A checkpoint in it is resumed.
    limits : Limits

    Raises
    ------
    ModelError
        When the parent cannot be loaded.
    ConfigError
        When the checkpoint is another run's.
    """

    def __init__(
        self,
        folder: Path,
        config: FinetuneConfig,
        source: WindowSource,
        origin: Origin,
        checkpoint_dir: Path,
        limits: Limits,
    ) -> None:
        torch.manual_seed(config.options.seed)
        self.config, self._source, self._limits = config, source, limits
        self._origin, self._checkpoint_dir = origin, checkpoint_dir
        self._device = torch.device(config.device)
        pipeline = load_pipeline(folder, self._device, torch.float32)
        self.model = pipeline.inner_model.train().requires_grad_(True)
        self._lean = _is_lean(folder)
        self._optimiser = torch.optim.AdamW(
            self.model.parameters(),
            lr=config.learning_rate,
            weight_decay=config.options.weight_decay,
            betas=(0.9, 0.98),
            fused=True,
        )
        self.step, self._seconds, self._started = 0, 0.0, limits.clock()
        self._best: dict[str, Tensor] = {}
        self._best_step, self._strikes = 0, 0
        self._before = self._best_loss = math.nan
        self._curve: list[dict[str, Any]] = []
        self._recent: list[float] = []
        self._saved_step = -1
        self._resume(load_checkpoint(checkpoint_dir, config))

    # -- a step ------------------------------------------------------------------------------------

    def advance(self) -> float:
        """Take one step and return its loss.

        Raises
        ------
        ModelError
            When the loss or its gradient is not a number: the last checkpoint stays as it was.
        """
        with translate_memory_errors():
            losses = self._losses(self._source.batch(self.step))
            if bool(losses.isnan().all()):  # all constant, or without a known target
                self.step += 1
                return math.nan
            loss = losses.nanmean()
            self._check("loss", loss)
            loss.backward()  # type: ignore[no-untyped-call]
            clip = self.config.options.gradient_clip
            norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), clip)
        self._check("gradient", norm)
        for group in self._optimiser.param_groups:
            group["lr"] = self.config.learning_rate * rate_factor(self.step, self.config)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        self.step += 1
        self._recent.append(float(loss.detach()))
        return self._recent[-1]

    def _check(self, what: str, value: Tensor) -> None:
        if not bool(torch.isfinite(value)):
            raise ModelError(
                f"the {what} is {float(value.detach())} at step {self.step}; nothing was published",
                hint="lower --learning_rate, and name other --checkpoints if you named any",
            )

    def _losses(self, windows: Windows) -> Tensor:
        """Return the loss of each window, [B]; NaN where it teaches nothing."""
        context = torch.from_numpy(windows.context).to(self._device)
        target = torch.from_numpy(windows.target).to(self._device)
        target = functional.pad(
            target, (0, self.config.prediction_length - target.shape[1]), value=math.nan
        )
        prepared = prepare(context, self.config.patch_size)
        predicted = self._predict(context, prepared)
        self._check("loss", predicted.detach().sum())
        return scaled_loss(predicted, prepared, target, self.model.quantiles, TARGET_BOUND)

    def _predict(self, context: Tensor, prepared: Prepared) -> Tensor:
        """Return quantiles in units of each context's scale, [B, Q, H], float32."""
        dtype = DTYPES[self.config.precision]
        if self._lean:
            return forward_normalised(self.model, prepared.patches, prepared.observed, dtype)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=dtype is torch.bfloat16):
            quantiles = self.model(context=context).quantile_preds
        centred = quantiles.float() - prepared.location[:, None]
        scaled: Tensor = centred / prepared.scale[:, None]
        return scaled

    # -- validation --------------------------------------------------------------------------------

    def validate(self) -> float:
        """Return the mean loss on what is held out.

        Raises
        ------
        ModelError
            When it is not a number.
        DataError
            When nothing held out can be judged.
        """
        was_training = self.model.training
        self.model.eval()
        with torch.inference_mode(), translate_memory_errors():
            parts = [self._losses(windows) for windows in self._held_out()]
        self.model.train(was_training)
        losses = torch.cat(parts)
        known = losses[~losses.isnan()]
        if not len(known):
            raise DataError(
                "nothing is held out: each context is constant, or each end missing",
                hint="give data with values at their ends, or more --validation_steps",
            )
        return float(known.mean())

    def _held_out(self) -> Iterator[Windows]:
        return self._source.validation(self.config.options.validation_windows, VALIDATION_ROWS)

    def _judge(self) -> None:
        """Validate, keep the weights if they are the best so far, write it all down."""
        loss = self.validate()
        if not loss >= self._best_loss:  # the first has nothing to be compared with
            self._best_loss, self._best_step, self._strikes = loss, self.step, 0
            self._best = {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}
        else:
            self._strikes += 1
        known = [one for one in self._recent if not math.isnan(one)]
        mean = round(sum(known) / len(known), 6) if known else None
        self._curve.append({"step": self.step, "loss": mean, "validation_loss": round(loss, 6)})
        self._recent.clear()
        self._limits.events.validated(self.step, loss)

    @property
    def exhausted(self) -> bool:
        """Whether validation has not got better for as long as one is patient."""
        return self._strikes >= self.config.options.patience

    # -- the run -----------------------------------------------------------------------------------

    def run(self) -> Finetuned:
        """Train until the last step, until validation stops getting better, or until time is up."""
        options = self.config.options
        if math.isnan(self._before):
            self._judge()
            self._before = self._best_loss
            self.save()
        self._limits.events.started(self.step, options.steps)
        try:
            while self.step < options.steps and not self.exhausted and not self._limits.over():
                self._limits.events.stepped(self.step + 1, self.advance())
                if self.step % options.validate_every == 0 or self.step == options.steps:
                    self._judge()
                    self.save()
                elif self.step % options.checkpoint_every == 0:
                    self.save()
        except KeyboardInterrupt:
            self.save()
            raise
        if self.step != self._saved_step:
            self.save()
        return self._result()

    def _result(self) -> Finetuned:
        ended = self.step >= self.config.options.steps
        return Finetuned(
            step=self.step,
            best_step=self._best_step,
            finished=ended or self.exhausted,
            stopped_early=self.exhausted and not ended,
            before=self._before,
            after=self._best_loss,
            curve=tuple(self._curve),
            seconds=round(self._trained_s(), 1),
        )

    def export(self, folder: Path) -> None:
        """Write the best weights as the stock classes load them."""
        self.model.load_state_dict(self._best)
        export(self.model, folder)

    def _trained_s(self) -> float:
        return self._seconds + self._limits.clock() - self._started

    # -- checkpoints -------------------------------------------------------------------------------

    def save(self) -> None:
        """Write a checkpoint.

        Raises
        ------
        StorageError
            When the disk is full: the last one stays.
        """
        state = {
            "resume_digest": self.config.resume_digest(),
            "parent": self._origin.parent,
            "data": self._origin.data,
            "step": self.step,
            "seconds": self._trained_s(),
            "model": self.model.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "random": torch.get_rng_state(),
            "best": self._best,
            "best_step": self._best_step,
            "best_loss": self._best_loss,
            "before": self._before,
            "strikes": self._strikes,
            "curve": self._curve,
            "recent": self._recent,
        }
        save_checkpoint(self._checkpoint_dir, state)
        self._saved_step = self.step

    def _resume(self, state: dict[str, Any] | None) -> None:
        if state is None:
            return
        check_origin(state, self._origin, self._checkpoint_dir)
        self.model.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["random"])
        self.step, self._seconds = state["step"], state["seconds"]
        self._best, self._best_step = state["best"], state["best_step"]
        self._best_loss, self._before = state["best_loss"], state["before"]
        self._strikes, self._curve = state["strikes"], state["curve"]
        self._recent, self._saved_step = state["recent"], self.step


def check_origin(state: dict[str, Any], origin: Origin, folder: Path) -> None:
    """Refuse the checkpoint of a run that started from another model or learns from other data.

    Raises
    ------
    ConfigError
    """
    for name, mine in (("parent", origin.parent), ("data", origin.data)):
        if state[name] != mine:
            what = "from another model" if name == "parent" else "on other data"
            raise ConfigError(
                f"the checkpoint in {folder} was trained {what}",
                hint="resume with what it was made with, or name an empty folder by --checkpoints",
            )


def rate_factor(step: int, config: FinetuneConfig) -> float:
    """Return the share of the learning rate at a step: up in a line, down along a cosine."""
    options = config.options
    if step < options.warmup_steps:
        return (step + 1) / options.warmup_steps
    left = (step - options.warmup_steps) / max(options.steps - options.warmup_steps, 1)
    return 0.5 * (1.0 + math.cos(math.pi * min(left, 1.0)))


def _is_lean(folder: Path) -> bool:
    """Whether the lean forward gives this model's numbers; the stock one is used for others."""
    config = read_model_config(folder)
    if not runs_lean(config):
        return False
    shape = read_shape(config)
    plain = shape.has_register and shape.start_token == 0 and shape.epsilon == 1e-6
    return plain and shape.patch_size == shape.patch_stride
