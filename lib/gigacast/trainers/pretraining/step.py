"""One training step: the batch, the loss, the optimisers and the schedule."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from chronos.chronos_bolt import ChronosBoltModelForForecasting
from torch import Tensor

from gigacast.synthetic import generate
from gigacast.trainers.pretraining.config import PretrainConfig
from gigacast.trainers.pretraining.forward import Prepared, forward_normalised, prepare

Weights = tuple[Tensor, ...] | list[Tensor]

CHUNK_SERIES = 2048
DEGENERATE = 1e-5


class BatchSource:
    """Batches of the training corpus: a pure function of the step, generated in chunks.

    Parameters
    ----------
    config : PretrainConfig
        Names the corpus, the batch size and the context lengths.
    """

    def __init__(self, config: PretrainConfig) -> None:
        self._config = config
        self._mixture = config.mixture.to_mixture()
        self._chunk = np.empty((0, 0), dtype=np.float32)
        self._chunk_start = -1
        self._lengths = np.array(list(config.context_lengths))
        weights = np.array(list(config.context_lengths.values()))
        self._weights = weights / weights.sum()

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return contexts [N, T] and targets [N, H] of a step, T one of the context lengths."""
        config, rows = self._config, self._config.batch_size
        per_chunk = max(CHUNK_SERIES // rows, 1)
        first = step // per_chunk * per_chunk
        if first != self._chunk_start:
            length = config.model.context_length + config.model.prediction_length
            self._chunk = generate(
                per_chunk * rows, length, config.seed, start=first * rows, mixture=self._mixture
            ).values
            self._chunk_start = first
        offset = (step - first) * rows
        values = torch.from_numpy(self._chunk[offset : offset + rows])
        draw = np.random.Generator(np.random.Philox(key=np.array([config.seed, step], np.uint64)))
        context = int(draw.choice(self._lengths, p=self._weights))
        return split(values, context, config.model.prediction_length)


def split(values: Tensor, context: int, horizon: int) -> tuple[Tensor, Tensor]:
    """Cut series [N, T] into their last ``context`` points before the horizon, and the horizon."""
    return values[:, -context - horizon : -horizon], values[:, -horizon:]


def quantile_loss(
    model: ChronosBoltModelForForecasting,
    prepared: Prepared,
    target: Tensor,
    bound: float,
    dtype: torch.dtype,
) -> Tensor:
    """Return the quantile loss of each series in units of its context's scale, [N].

    The normalised target is cut off at ``bound`` scales either side; points that are missing, and
    series whose context is empty or constant, count for nothing (their loss is NaN).
    """
    predicted = forward_normalised(model, prepared.patches, prepared.observed, dtype)
    return scaled_loss(predicted, prepared, target, model.quantiles, bound)


def scaled_loss(
    predicted: Tensor, prepared: Prepared, target: Tensor, levels: Tensor, bound: float
) -> Tensor:
    """Return the loss of quantiles that are in units of each context's scale, [N].

    Parameters
    ----------
    predicted : Tensor
        [N, Q, H].
    prepared : Prepared
    target : Tensor
        [N, H], NaN where it is not known.
    levels : Tensor
        [Q].
    bound : float
        See `quantile_loss`.
    """
    usable = prepared.scale > DEGENERATE * torch.clamp(prepared.location.abs(), min=1.0)
    usable &= prepared.observed.any(dim=1, keepdim=True)
    known = torch.isfinite(target) & usable
    scaled = torch.where(known, (target - prepared.location) / prepared.scale, 0.0)
    error = scaled.clamp(-bound, bound)[:, None, :] - predicted
    level = levels.view(1, -1, 1)
    pinball = 2.0 * torch.maximum(level * error, (level - 1.0) * error).mean(dim=1)
    count = known.sum(dim=1)
    mean = (pinball * known).sum(dim=1) / count.clamp(min=1)
    return torch.where(count > 0, mean, torch.nan)


@dataclass(frozen=True)
class Optimisers:
    """Muon for the matrices, AdamW for embeddings, norms and biases.

    Attributes
    ----------
    matrices : torch.optim.Muon
        Orthogonalised momentum: fewer samples to the same loss than AdamW on these shapes.
    others : torch.optim.AdamW
        Everything that is not a weight matrix of a layer.
    """

    matrices: torch.optim.Muon
    others: torch.optim.AdamW

    @classmethod
    def of(cls, model: ChronosBoltModelForForecasting, config: PretrainConfig) -> "Optimisers":
        """Return fresh optimisers over all parameters of a model."""
        named = dict(model.named_parameters())
        matrices = {
            name: weight
            for name, weight in named.items()
            if weight.ndim == 2 and "shared" not in name and "relative_attention" not in name
        }
        others = [weight for name, weight in named.items() if name not in matrices]
        return cls(
            torch.optim.Muon(
                list(matrices.values()),
                lr=config.matrix_learning_rate,
                weight_decay=config.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(
                others, lr=config.other_learning_rate, weight_decay=0.0, betas=(0.9, 0.98)
            ),
        )

    def step(self, factor: float, config: PretrainConfig) -> None:
        """Take one step at a fraction of the learning rates and clear the gradients."""
        for optimiser, rate in (
            (self.matrices, config.matrix_learning_rate),
            (self.others, config.other_learning_rate),
        ):
            for group in optimiser.param_groups:
                group["lr"] = rate * factor
            optimiser.step()  # type: ignore[no-untyped-call]
            optimiser.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs."""
        return {"matrices": self.matrices.state_dict(), "others": self.others.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint's state."""
        self.matrices.load_state_dict(state["matrices"])
        self.others.load_state_dict(state["others"])


def rate_factor(step: int, config: PretrainConfig) -> float:
    """Return the share of the learning rates at a step: warm up, stay, fall along a cosine."""
    warm = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    into_decay = step - (config.steps - config.decay_steps)
    if into_decay <= 0:
        return warm
    return warm * 0.5 * (1.0 + math.cos(math.pi * min(into_decay / config.decay_steps, 1.0)))


def running_average(decay: float) -> Callable[[Weights, Weights, Tensor | int], None]:
    """Return the update of an exponential average that forgets quickly while it is young.

    After *n* updates an older value keeps the share min(``decay``, (1 + n) / (10 + n)), so that
    the random weights of the start do not linger.
    """

    def update(averaged: Weights, current: Weights, count: Tensor | int) -> None:
        kept = min(decay, (1 + int(count)) / (10 + int(count)))
        for old, new in zip(averaged, current, strict=True):
            old.lerp_(new.to(old.dtype), 1.0 - kept)

    return update


def contexts(values: Tensor, context: int, config: PretrainConfig) -> tuple[Prepared, Tensor]:
    """Return the prepared contexts and the targets of series [N, T]."""
    context_values, target = split(values, context, config.model.prediction_length)
    return prepare(context_values, config.model.patch_size), target
