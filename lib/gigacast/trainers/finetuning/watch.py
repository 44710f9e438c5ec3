"""Watches chronos' ``fit`` from within: checks, keeps, resumes and ends a run."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback

from gigacast.errors import ModelError
from gigacast.trainers.finetuning.config import FinetuneConfig, Finetuned, Limits, Origin
from gigacast.trainers.pretraining.checkpoint import save_checkpoint


class Watch(TrainerCallback):  # type: ignore[misc]
    """Sits in a run of ``fit``.

    Parameters
    ----------
    config : FinetuneConfig
    origin : Origin
        Goes into the checkpoints.
    checkpoint_dir : Path
    limits : Limits
    state : dict, optional
        The checkpoint to go on from.
    """

    def __init__(
        self,
        config: FinetuneConfig,
        origin: Origin,
        checkpoint_dir: Path,
        limits: Limits,
        state: dict[str, Any] | None,
    ) -> None:
        self._config, self._origin, self._dir, self._limits = config, origin, checkpoint_dir, limits
        self._state = state
        self._started = limits.clock()
        self.step = state["step"] if state else 0
        self._seconds = state["seconds"] if state else 0.0
        self._best: dict[str, Tensor] = state["best"] if state else {}
        self._best_step = state["best_step"] if state else 0
        self._best_loss = state["best_loss"] if state else math.nan
        self._before = state["before"] if state else math.nan
        self._strikes = state["strikes"] if state else 0
        self._curve: list[dict[str, Any]] = state["curve"] if state else []
        self._recent: list[float] = state["recent"] if state else []
        self._restore_random = self._resumes = state is not None
        self._is_done = self.step >= config.options.steps or self._exhausted

    # -- what the trainer calls --------------------------------------------------------------------

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Resume: the weights, the optimiser, the schedule, and the draws up to here."""
        if self._state is not None:
            given["model"].load_state_dict(self._state["model"], strict=False)
            given["optimizer"].load_state_dict(self._state["optimiser"])
            given["lr_scheduler"].load_state_dict(self._state["schedule"])
            state.global_step = self.step
            draws: Iterator[Any] = iter(given["train_dataloader"].dataset)
            for _ in range(self.step):
                next(draws)
        self._limits.events.started(self.step, self._config.options.steps)

    def on_step_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Go on with the dropout of the run that was interrupted."""
        if self._restore_random and self._state is not None:
            torch.set_rng_state(self._state["random"])
            self._restore_random = False

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **given: Any) -> None:
        """Refuse a loss that is not a number; write a checkpoint, or stop, when it is time."""
        if self._is_done:  # resumed after its end: the trainer takes a step nevertheless
            control.should_training_stop = True
            return
        if "loss" not in logs:
            return
        for name in ("loss", "grad_norm"):
            if not math.isfinite(float(logs.get(name, 0.0))):
                raise _not_a_number(name, logs[name], state.global_step - 1)
        options, self.step = self._config.options, state.global_step
        loss = float(logs["loss"])
        if self._resumes:  # the trainer takes the mean over all steps since 0, and saw one
            loss, self._resumes = loss * self.step, False
        self._recent.append(loss)
        self._limits.events.stepped(self.step, self._recent[-1])
        over = self._limits.over()
        if over:
            control.should_training_stop = True
        if (over or self.step % options.checkpoint_every == 0) and not self._validates_now():
            self._save(**given)

    def _validates_now(self) -> bool:
        options = self._config.options
        return self.step % options.validate_every == 0 or self.step == options.steps

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, **given: Any
    ) -> None:
        """Judge the weights, keep them if they are the best so far, and write all down."""
        if self._is_done:
            return
        loss = float(metrics["eval_loss"])
        if not math.isfinite(loss):
            raise _not_a_number("validation loss", loss, self.step)
        if not loss >= self._best_loss:  # the first has nothing to be compared with
            self._best_loss, self._best_step, self._strikes = loss, self.step, 0
            self._best = _trainable(given["model"])
        else:
            self._strikes += 1
        if math.isnan(self._before):
            self._before = loss
        mean = round(sum(self._recent) / len(self._recent), 6) if self._recent else None
        self._curve.append({"step": self.step, "loss": mean, "validation_loss": round(loss, 6)})
        self._recent.clear()
        self._limits.events.validated(self.step, loss)
        if self._exhausted:
            control.should_training_stop = True
        if self.step:
            self._save(**given)

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Put the best weights into the model that ``fit`` saves."""
        given["model"].load_state_dict(self._best, strict=False)

    # -- what it keeps -----------------------------------------------------------------------------

    @property
    def _exhausted(self) -> bool:
        return bool(self._strikes >= self._config.options.patience)

    def _save(self, **given: Any) -> None:
        state = {
            "resume_digest": self._config.resume_digest(),
            "parent": self._origin.parent,
            "data": self._origin.data,
            "step": self.step,
            "seconds": self._trained_s(),
            "model": _trainable(given["model"]),
            "optimiser": given["optimizer"].state_dict(),
            "schedule": given["lr_scheduler"].state_dict(),
            "random": torch.get_rng_state(),
            "best": self._best,
            "best_step": self._best_step,
            "best_loss": self._best_loss,
            "before": self._before,
            "strikes": self._strikes,
            "curve": self._curve,
            "recent": self._recent,
        }
        save_checkpoint(self._dir, state)

    def _trained_s(self) -> float:
        return float(self._seconds + self._limits.clock() - self._started)

    def result(self) -> Finetuned:
        """Return how the run ended."""
        ended = self.step >= self._config.options.steps
        return Finetuned(
            step=self.step,
            best_step=self._best_step,
            finished=ended or self._exhausted,
            stopped_early=self._exhausted and not ended,
            before=self._before,
            after=self._best_loss,
            curve=tuple(self._curve),
            seconds=round(self._trained_s(), 1),
        )


def _not_a_number(what: str, value: float, step: int) -> ModelError:
    return ModelError(
        f"the {what} is {value} at step {step}; nothing was published",
        hint="lower --learning_rate, and look at the ends of the series",
    )


def _trainable(model: torch.nn.Module) -> dict[str, Tensor]:
    """Return a copy of the weights that are trained: all, or an adapter's."""
    return {
        name: weight.detach().cpu().clone()
        for name, weight in model.named_parameters()
        if weight.requires_grad
    }
