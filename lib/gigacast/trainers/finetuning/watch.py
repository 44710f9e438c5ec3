"""Callback of chronos' ``fit`` that checks, saves, resumes and ends a run."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback

from gigacast.errors import ModelError
from gigacast.trainers.finetuning.config import FinetuneConfig, Finetuned, Limits, Origin
from gigacast.trainers.finetuning.progress import Progress
from gigacast.trainers.pretraining.checkpoint import save_checkpoint


class Watch(TrainerCallback):  # type: ignore[misc]
    """Callback of the trainer that ``fit`` uses.

    Parameters
    ----------
    config : FinetuneConfig
    origin : Origin
        Parent and data; written into checkpoints.
    checkpoint_dir : Path
    limits : Limits
    state : dict, optional
        Checkpoint to resume; a new run by default.
    """

    def __init__(
        self,
        config: FinetuneConfig,
        origin: Origin,
        checkpoint_dir: Path,
        limits: Limits,
        state: dict[str, Any] | None,
    ) -> None:
        self._config, self._dir, self._limits = config, checkpoint_dir, limits
        self._state = state
        self._progress = Progress(config, origin, limits, state)
        self._restore_random = self._resumes = state is not None
        self._is_done = self._progress.ended or self._progress.exhausted

    @property
    def step(self) -> int:
        """Number of steps taken, over all resumptions."""
        return self._progress.step

    # -- called by the trainer ---------------------------------------------------------------------

    def on_train_begin(self, args: Any, state: Any, control: Any, **context: Any) -> None:
        """Restore the weights, the optimiser, the schedule and the position in the data."""
        if self._state is not None:
            # Not strict: checkpoints hold trained weights only, an adapter's without its base.
            context["model"].load_state_dict(self._state["model"], strict=False)
            context["optimizer"].load_state_dict(self._state["optimiser"])
            context["lr_scheduler"].load_state_dict(self._state["schedule"])
            state.global_step = self.step
            # The data set draws from a generator of its own. Repeating the draws so far brings it
            # to the state in which the run was interrupted.
            draws: Iterator[Any] = iter(context["train_dataloader"].dataset)
            for _ in range(self.step):
                next(draws)
        self._limits.events.started(self.step, self._config.options.steps)

    def on_step_begin(self, args: Any, state: Any, control: Any, **context: Any) -> None:
        """Restore torch's generator, from which dropout draws, before the first resumed step."""
        if self._restore_random and self._state is not None:
            torch.set_rng_state(self._state["random"])
            self._restore_random = False

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **context: Any) -> None:
        """Check the loss of a step; write a checkpoint or stop if it is time to.

        Raises
        ------
        ModelError
            If the loss or the gradient is not a number.
        """
        # A run that had already ended is resumed: the trainer takes a step all the same.
        if self._is_done:
            control.should_training_stop = True
            return
        if "loss" not in logs:
            return
        # Steps are counted from 0 in messages; the trainer has counted this one already.
        for name in ("loss", "grad_norm"):
            if not math.isfinite(float(logs.get(name, 0.0))):
                raise _not_a_number(name, logs[name], state.global_step - 1)
        options, self._progress.step = self._config.options, state.global_step
        loss = float(logs["loss"])
        # After a resumption the trainer divides the loss of the first step by the number of steps
        # since step 0, as if it had seen them all.
        if self._resumes:
            loss, self._resumes = loss * self.step, False
        self._progress.recent.append(loss)
        self._limits.events.stepped(self.step, loss)
        over = self._limits.over()
        if over:
            control.should_training_stop = True
        # A step that is about to be validated is saved after its validation, with the result.
        if (over or self.step % options.checkpoint_every == 0) and not self._validates_now():
            self._save(**context)

    def _validates_now(self) -> bool:
        options = self._config.options
        return self.step % options.validate_every == 0 or self.step == options.steps

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, **context: Any
    ) -> None:
        """Record a validation, keep the weights if they are the best so far, and save.

        Raises
        ------
        ModelError
            If the loss is not a number.
        """
        if self._is_done:
            return
        loss = float(metrics["eval_loss"])
        if not math.isfinite(loss):
            raise _not_a_number("validation loss", loss, self.step)
        self._progress.judge(loss, lambda: _trainable(context["model"]))
        if self._progress.exhausted:
            control.should_training_stop = True
        # At step 0 the optimiser has no state yet that could be saved.
        if self.step:
            self._save(**context)

    def on_train_end(self, args: Any, state: Any, control: Any, **context: Any) -> None:
        """Put the best weights into the model that ``fit`` saves."""
        context["model"].load_state_dict(self._progress.best, strict=False)

    def _save(self, **context: Any) -> None:
        state = {
            **self._progress.state(),
            "model": _trainable(context["model"]),
            "optimiser": context["optimizer"].state_dict(),
            "schedule": context["lr_scheduler"].state_dict(),
            "random": torch.get_rng_state(),
        }
        save_checkpoint(self._dir, state)

    def result(self) -> Finetuned:
        """Return the result of the run so far."""
        return self._progress.result()


def _not_a_number(quantity: str, value: float, step: int) -> ModelError:
    return ModelError(
        f"the {quantity} is {value} at step {step}; nothing was published",
        hint="lower --learning_rate, and look at the ends of the series",
    )


def _trainable(model: torch.nn.Module) -> dict[str, Tensor]:
    """Return a copy of the trained weights: all of them, or an adapter's."""
    return {
        name: weight.detach().cpu().clone()
        for name, weight in model.named_parameters()
        if weight.requires_grad
    }
