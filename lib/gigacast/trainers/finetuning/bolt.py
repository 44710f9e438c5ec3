"""Fine-tuning of Chronos-Bolt: quantile loss on windows of real series, with early stopping.

The loss is that of pretraining (`pretraining.step.scaled_loss`), in units of each context's scale,
so that series of large values do not outweigh the others.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gigacast.errors import DataError, ModelError
from gigacast.forecasters.chronos.loading import load_pipeline
from gigacast.forecasters.config import read_model_config
from gigacast.forecasters.lean.shape import read_shape, runs_lean
from gigacast.forecasters.network.device import DTYPES, translate_memory_errors
from gigacast.trainers.corpus import Windows, WindowSource
from gigacast.trainers.finetuning.config import FinetuneConfig, Finetuned, Limits, Origin
from gigacast.trainers.finetuning.progress import Progress, check_origin
from gigacast.trainers.pretraining.checkpoint import export, load_checkpoint, save_checkpoint
from gigacast.trainers.pretraining.forward import Prepared, forward_normalised, prepare
from gigacast.trainers.pretraining.step import scaled_loss

TARGET_BOUND = 12.0
"""Largest distance of a target from its context's mean, in scales; as in pretraining. Without it a
single spike after a nearly constant context would dominate the gradient of a step."""

VALIDATION_ROWS = 256
"""Windows per validation batch; bounds the memory of a validation."""


class BoltTrainer:
    """A fine-tuning run of a Chronos-Bolt.

    Parameters
    ----------
    folder : Path
        Folder of the parent model.
    config : FinetuneConfig
    source : WindowSource
    origin : Origin
    checkpoint_dir : Path
        Folder of checkpoints; an existing checkpoint is resumed.
    limits : Limits

    Raises
    ------
    ModelError
        If the parent cannot be loaded.
    ConfigError
        If the checkpoint belongs to another run.
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
        self._checkpoint_dir = checkpoint_dir
        self._device = torch.device(config.device)
        # The weights stay float32 in every precision: in bfloat16 most updates would round to zero.
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
        state = load_checkpoint(checkpoint_dir, config)
        if state is not None:
            check_origin(state, origin, checkpoint_dir)
        self._progress = Progress(config, origin, limits, state)
        self._saved_step = -1
        if state is not None:
            self._resume(state)

    @property
    def step(self) -> int:
        """Number of steps taken, over all resumptions."""
        return self._progress.step

    # -- a step ------------------------------------------------------------------------------------

    def advance(self) -> float:
        """Take one step and return its loss; NaN if no window of the step can be learned from.

        Raises
        ------
        ModelError
            If the loss or its gradient is not a number; the last checkpoint is not changed.
        """
        with translate_memory_errors():
            losses = self._losses(self._source.batch(self.step))
            # Every context is constant, or every target missing: the step is skipped.
            if bool(losses.isnan().all()):
                self._progress.step += 1
                return math.nan
            loss = losses.nanmean()
            self._check("loss", loss)
            loss.backward()  # type: ignore[no-untyped-call]
            clip = self.config.options.gradient_clip
            norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), clip)
        # Checked before the update, so that the weights and the next checkpoint stay usable.
        self._check("gradient", norm)
        for group in self._optimiser.param_groups:
            group["lr"] = self.config.learning_rate * rate_factor(self.step, self.config)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        self._progress.step += 1
        self._progress.recent.append(float(loss.detach()))
        return self._progress.recent[-1]

    def _check(self, quantity: str, value: Tensor) -> None:
        if not bool(torch.isfinite(value)):
            raise ModelError(
                f"the {quantity} is {float(value.detach())} at step {self.step}; "
                "nothing was published",
                hint="lower --learning_rate; with --checkpoints, name an empty folder",
            )

    def _losses(self, windows: Windows) -> Tensor:
        """Return the loss of each window, [B]; NaN for constant contexts and empty targets."""
        context = torch.from_numpy(windows.context).to(self._device)
        target = torch.from_numpy(windows.target).to(self._device)
        # The network always predicts its trained horizon; steps beyond the requested one are
        # missing and do not count in the loss.
        target = functional.pad(
            target, (0, self.config.prediction_length - target.shape[1]), value=math.nan
        )
        prepared = prepare(context, self.config.patch_size)
        predicted = self._predict(context, prepared)
        # Checked before the loss, which leaves out NaN as "nothing to learn" and would hide that
        # the weights are broken.
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
        """Return the mean loss on the held-out windows.

        Raises
        ------
        ModelError
            If it is not a number.
        DataError
            If every held-out window has a constant context or an empty target.
        """
        # Dropout is off while the loss is measured.
        was_training = self.model.training
        self.model.eval()
        with torch.inference_mode(), translate_memory_errors():
            parts = [self._losses(windows) for windows in self._held_out()]
        self.model.train(was_training)
        losses = torch.cat(parts)
        # A constant context has no scale, so its loss is not defined.
        defined = losses[~losses.isnan()]
        if not len(defined):
            raise DataError(
                "no series to validate on: each context is constant, or each end is missing",
                hint="give data with values at their ends, or more --validation_steps",
            )
        return float(defined.mean())

    def _held_out(self) -> Iterator[Windows]:
        return self._source.validation(self.config.options.validation_windows, VALIDATION_ROWS)

    def _judge(self) -> None:
        """Validate, and keep the weights if they are the best so far."""
        self._progress.judge(self.validate(), self._copy_weights)

    def _copy_weights(self) -> dict[str, Tensor]:
        return {k: v.detach().cpu().clone() for k, v in self.model.state_dict().items()}

    # -- the run -----------------------------------------------------------------------------------

    def run(self) -> Finetuned:
        """Train until the last step, until validation stops improving, or until time is up."""
        options, progress = self.config.options, self._progress
        # Step 0 is the parent itself: if no later step is better, its weights are the result.
        if math.isnan(progress.before):
            self._judge()
            self.save()
        self._limits.events.started(self.step, options.steps)
        try:
            while not progress.ended and not progress.exhausted and not self._limits.over():
                self._limits.events.stepped(self.step + 1, self.advance())
                if self.step % options.validate_every == 0 or self.step == options.steps:
                    self._judge()
                    self.save()
                elif self.step % options.checkpoint_every == 0:
                    self.save()
        except KeyboardInterrupt:
            # Nothing of an interrupted run is lost; a kill loses the steps since the last save.
            self.save()
            raise
        if self.step != self._saved_step:
            self.save()
        return progress.result()

    def export(self, folder: Path) -> None:
        """Write the best weights in the format of the stock classes."""
        self.model.load_state_dict(self._progress.best)
        export(self.model, folder)

    # -- checkpoints -------------------------------------------------------------------------------

    def save(self) -> None:
        """Write a checkpoint.

        Raises
        ------
        StorageError
            If the disk is full; the last checkpoint is kept.
        """
        state = {
            **self._progress.state(),
            "model": self.model.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            # Dropout draws from torch's generator.
            "random": torch.get_rng_state(),
        }
        save_checkpoint(self._checkpoint_dir, state)
        self._saved_step = self.step

    def _resume(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["random"])
        self._saved_step = self.step


def rate_factor(step: int, config: FinetuneConfig) -> float:
    """Return the factor of the learning rate at a step: linear warm-up, then cosine decay to 0."""
    options = config.options
    if step < options.warmup_steps:
        return (step + 1) / options.warmup_steps
    decayed = (step - options.warmup_steps) / max(options.steps - options.warmup_steps, 1)
    return 0.5 * (1.0 + math.cos(math.pi * min(decayed, 1.0)))


def _is_lean(folder: Path) -> bool:
    """Return whether the lean training forward supports a model; others use the stock one."""
    config = read_model_config(folder)
    if not runs_lean(config):
        return False
    shape = read_shape(config)
    # The training forward has these values built in.
    plain = shape.has_register and shape.start_token == 0 and shape.epsilon == 1e-6
    return plain and shape.patch_size == shape.patch_stride
