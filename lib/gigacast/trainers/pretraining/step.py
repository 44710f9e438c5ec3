"""Parts of a training step: batches, the loss, the optimisers and the learning rate."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from chronos.chronos_bolt import ChronosBoltModelForForecasting
from torch import Tensor

from gigacast.core.array import FloatArray
from gigacast.synthetic import generate
from gigacast.synthetic.generator import BLOCK_ROWS
from gigacast.trainers.pretraining.config import MixtureSettings, PretrainConfig
from gigacast.trainers.pretraining.forward import Prepared, forward_normalised, prepare

Weights = tuple[Tensor, ...] | list[Tensor]

CHUNK_SERIES = 2048
"""Series generated at once: vectorised generation is cheaper for many series than for a batch."""
DEGENERATE = 1e-5
"""Contexts whose scale is below this share of their location are left out of the loss: divided by
so small a scale, targets explode."""


class BatchSource:
    """Batches of the synthetic corpus by step, generated in chunks of several batches.

    A batch is a function of the seed and the step, so that a resumed run sees the batches that an
    undisturbed one would.

    Parameters
    ----------
    config : PretrainConfig
        Settings with the seed, the mixtures, the batch size and the context lengths.
    """

    def __init__(self, config: PretrainConfig) -> None:
        self._config = config
        self._cut = _Chunks(config, config.mixture, CHUNK_SERIES)
        # A block each: a chunk of several steps would be generated at every length that it needs.
        self._scaled = _Chunks(config, config.scaled.mixture, BLOCK_ROWS)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return contexts [N, T] and targets [N, H] of a step; T is drawn for the whole batch."""
        config, horizon = self._config, self._config.model.prediction_length
        # One length for the batch, because contexts of several lengths would need padding.
        draw = np.random.Generator(np.random.Philox(key=np.array([config.seed, step], np.uint64)))
        context = _drawn(draw, config.context_lengths)
        if not config.scaled.share or draw.random() >= config.scaled.share:
            values = self._cut.rows(step, config.model.context_length + horizon)
        else:
            context = _drawn(draw, config.scaled.context_lengths)
            values = self._scaled.rows(step, context + horizon)
        return split(torch.from_numpy(values), context, horizon)


def _drawn(draw: np.random.Generator, weights: Mapping[int, float]) -> int:
    shares = np.array(list(weights.values()))
    return int(draw.choice(np.array(list(weights)), p=shares / shares.sum()))


class _Chunks:
    """Series of one corpus by step; the last chunk is kept for the next steps."""

    def __init__(self, config: PretrainConfig, mixture: MixtureSettings, series: int) -> None:
        self._seed, self._batch_size = config.seed, config.batch_size
        self._steps = max(series // config.batch_size, 1)
        self._mixture = mixture.to_mixture()
        self._kept: tuple[int, FloatArray] = (-1, np.empty((0, 0), np.float32))

    def rows(self, step: int, length: int) -> FloatArray:
        """Return the series of a step, [N, ``length``]."""
        first = step // self._steps * self._steps
        if first != self._kept[0] or self._kept[1].shape[1] != length:
            chunk = generate(
                self._steps * self._batch_size,
                length,
                self._seed,
                start=first * self._batch_size,
                mixture=self._mixture,
            )
            self._kept = first, chunk.values
        offset = (step - first) * self._batch_size
        return self._kept[1][offset : offset + self._batch_size]


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

    Normalised targets are clipped to ``bound`` scales on either side. Series with an empty or
    constant context have the loss NaN, and missing steps do not count.
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
        Quantiles, [N, Q, H].
    prepared : Prepared
    target : Tensor
        [N, H], NaN if missing.
    levels : Tensor
        Quantile levels, [Q].
    bound : float
        Largest distance of a target from its context's mean, in scales. Contexts that are constant
        but for a few steps make targets of thousands of scales, which explode the loss; with 12
        scales training was stable (docs/synthetic.md).
    """
    # At least 1, so that constant contexts near zero, whose scale is set to 1e-5, fail as well.
    usable = prepared.scale > DEGENERATE * torch.clamp(prepared.location.abs(), min=1.0)
    usable &= prepared.observed.any(dim=1, keepdim=True)
    scored = torch.isfinite(target) & usable
    # Replaced before the division's result is used: NaN times a mask of zero is still NaN.
    scaled = torch.where(scored, (target - prepared.location) / prepared.scale, 0.0)
    error = scaled.clamp(-bound, bound)[:, None, :] - predicted
    level = levels.view(1, -1, 1)
    pinball = 2.0 * torch.maximum(level * error, (level - 1.0) * error).mean(dim=1)
    count = scored.sum(dim=1)
    mean = (pinball * scored).sum(dim=1) / count.clamp(min=1)
    return torch.where(count > 0, mean, torch.nan)


@dataclass(frozen=True)
class Optimisers:
    """Muon for weight matrices, AdamW for embeddings, norms and biases.

    Attributes
    ----------
    matrices : torch.optim.Muon
        Optimiser of the layers' matrices. Its orthogonalised momentum needs fewer samples than
        AdamW to reach the same loss on models of this size.
    others : torch.optim.AdamW
        Optimiser of all other parameters.
    """

    matrices: torch.optim.Muon
    others: torch.optim.AdamW

    @classmethod
    def of(cls, model: ChronosBoltModelForForecasting, config: PretrainConfig) -> "Optimisers":
        """Return new optimisers for all parameters of a model."""
        named = dict(model.named_parameters())
        # Embeddings and position biases are two-dimensional too, but are looked up by row, not
        # multiplied, so that orthogonalising their updates makes no sense.
        matrices = {
            name: weight
            for name, weight in named.items()
            if weight.ndim == 2 and "shared" not in name and "relative_attention" not in name
        }
        rest_weights = [weight for name, weight in named.items() if name not in matrices]
        return cls(
            torch.optim.Muon(
                list(matrices.values()),
                lr=config.matrix_learning_rate,
                weight_decay=config.weight_decay,
                adjust_lr_fn="match_rms_adamw",  # updates as large as AdamW's at the same rate
            ),
            torch.optim.AdamW(
                rest_weights, lr=config.other_learning_rate, weight_decay=0.0, betas=(0.9, 0.98)
            ),
        )

    def step(self, factor: float, config: PretrainConfig) -> None:
        """Take one step at a fraction of the learning rates, and clear the gradients."""
        for optimiser, rate in (
            (self.matrices, config.matrix_learning_rate),
            (self.others, config.other_learning_rate),
        ):
            for group in optimiser.param_groups:
                group["lr"] = rate * factor
            optimiser.step()  # type: ignore[no-untyped-call]
            optimiser.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"matrices": self.matrices.state_dict(), "others": self.others.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of a checkpoint."""
        self.matrices.load_state_dict(state["matrices"])
        self.others.load_state_dict(state["others"])


def rate_factor(step: int, config: PretrainConfig) -> float:
    """Return the factor of the learning rates at a step: warm-up, constant, cosine decay to 0."""
    warm = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    into_decay = step - (config.steps - config.decay_steps)
    if into_decay <= 0:
        return warm
    return warm * 0.5 * (1.0 + math.cos(math.pi * min(into_decay / config.decay_steps, 1.0)))


def running_average(decay: float) -> Callable[[Weights, Weights, Tensor | int], None]:
    """Return the update function of an exponential average with a faster start.

    After *n* updates the average keeps the share min(``decay``, (1 + n) / (10 + n)) of its old
    value. With ``decay`` alone the random initial weights would stay in it for thousands of steps.
    """

    def update(averaged: Weights, current: Weights, count: Tensor | int) -> None:
        share = min(decay, (1 + int(count)) / (10 + int(count)))
        for old, new in zip(averaged, current, strict=True):
            old.lerp_(new.to(old.dtype), 1.0 - share)

    return update


def contexts(values: Tensor, context: int, config: PretrainConfig) -> tuple[Prepared, Tensor]:
    """Return the prepared contexts and the targets of series [N, T]."""
    context_values, target = split(values, context, config.model.prediction_length)
    return prepare(context_values, config.model.patch_size), target
