"""Progress of a fine-tuning run: its step, its validation results and its best weights.

Both trainers keep it in their checkpoints, so that a resumed run stops early at the same step and
chooses the same weights as one that was never interrupted.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from gigacast.errors import ConfigError
from gigacast.trainers.finetuning.config import FinetuneConfig, Finetuned, Limits, Origin

Weights = dict[str, Tensor]


class Progress:
    """Progress of a fine-tuning run.

    Parameters
    ----------
    config : FinetuneConfig
    origin : Origin
        Parent and data; written into checkpoints.
    limits : Limits
        Clock and events of this call.
    state : dict, optional
        Checkpoint to resume; a new run by default.
    """

    def __init__(
        self, config: FinetuneConfig, origin: Origin, limits: Limits, state: dict[str, Any] | None
    ) -> None:
        self._config, self._origin, self._limits = config, origin, limits
        self._started = limits.clock()
        state = state or {}
        self.step: int = state.get("step", 0)
        self.best: Weights = state.get("best", {})
        self.before: float = state.get("before", math.nan)
        self.recent: list[float] = state.get("recent", [])
        self._seconds: float = state.get("seconds", 0.0)
        self._best_step: int = state.get("best_step", 0)
        self._best_loss: float = state.get("best_loss", math.nan)
        self._strikes: int = state.get("strikes", 0)
        self._curve: list[dict[str, Any]] = state.get("curve", [])

    @property
    def exhausted(self) -> bool:
        """Whether validation has not improved for as many times as ``patience`` allows."""
        return self._strikes >= self._config.options.patience

    @property
    def ended(self) -> bool:
        """Whether the last step has been taken."""
        return self.step >= self._config.options.steps

    def judge(self, loss: float, copy_weights: Callable[[], Weights]) -> None:
        """Record a validation loss and keep a copy of the weights if it is the best so far."""
        # Written with "not" so that the first loss, compared with NaN, counts as the best.
        if not loss >= self._best_loss:
            self._best_loss, self._best_step, self._strikes = loss, self.step, 0
            self.best = copy_weights()
        else:
            self._strikes += 1
        # The first validation is of the parent itself, at step 0.
        if math.isnan(self.before):
            self.before = loss
        mean = round(sum(self.recent) / len(self.recent), 6) if self.recent else None
        self._curve.append({"step": self.step, "loss": mean, "validation_loss": round(loss, 6)})
        self.recent.clear()
        self._limits.events.validated(self.step, loss)

    def state(self) -> dict[str, Any]:
        """Return the part of a checkpoint that both trainers share."""
        return {
            "resume_digest": self._config.resume_digest(),
            "parent": self._origin.parent,
            "data": self._origin.data,
            "step": self.step,
            "seconds": self._trained_s(),
            "best": self.best,
            "best_step": self._best_step,
            "best_loss": self._best_loss,
            "before": self.before,
            "strikes": self._strikes,
            "curve": self._curve,
            "recent": self.recent,
        }

    def result(self) -> Finetuned:
        """Return the result of the run so far."""
        return Finetuned(
            step=self.step,
            best_step=self._best_step,
            finished=self.ended or self.exhausted,
            stopped_early=self.exhausted and not self.ended,
            before=self.before,
            after=self._best_loss,
            curve=tuple(self._curve),
            seconds=round(self._trained_s(), 1),
        )

    def _trained_s(self) -> float:
        return self._seconds + self._limits.clock() - self._started


def check_origin(state: dict[str, Any], origin: Origin, folder: Path) -> None:
    """Check that a checkpoint belongs to the same parent and the same data.

    Raises
    ------
    ConfigError
        If it does not: resuming would mix two trainings under the name of one.
    """
    for name, expected in (("parent", origin.parent), ("data", origin.data)):
        if state[name] != expected:
            difference = "from another model" if name == "parent" else "on other data"
            raise ConfigError(
                f"the checkpoint in {folder} was trained {difference}",
                hint="resume with the same model and data, or name an empty folder",
            )
