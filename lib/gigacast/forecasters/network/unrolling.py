"""Horizons longer than one pass: quantiles are continued as paths and reduced to quantiles again.

Feeding back only the median would ignore the uncertainty of the first pass and give intervals that
are too narrow at long horizons. So every quantile becomes the continuation of a context of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gigacast.forecasters.levels import LEVEL_TOLERANCE


@dataclass(frozen=True, slots=True)
class Unrolling:
    """Forecasts of a Bolt beyond its trained horizon, from K continued quantiles.

    Parameters
    ----------
    levels : tuple of float
        K trained levels.
    context_length, prediction_length : int
        Maximum context and trained horizon of the model.
    """

    levels: tuple[float, ...]
    context_length: int
    prediction_length: int

    def forecast(
        self, context: Tensor, horizon: int, one_pass: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """Return raw quantiles at the trained levels, float32 [B, K, H].

        Parameters
        ----------
        context : Tensor
            Float32, [B, T], NaN for missing values.
        horizon : int
            Steps to forecast, H. Each further pass computes K times as many rows, and its K * K
            paths are reduced to K, so that the number of paths does not grow.
        one_pass : callable
            Computes [B, K, prediction_length] for contexts, [B, T].
        """
        # Evenly spaced levels, as in all published Bolts, represent equal probabilities: their
        # paths are equally likely samples, and the faster reduction applies.
        weighted = not is_even(self.levels)
        parts = [one_pass(context)]
        paths = context.unsqueeze(1).expand(-1, len(self.levels), -1)
        for _ in range(self.prediction_length, horizon, self.prediction_length):
            paths = torch.cat([paths, parts[-1]], dim=-1)[..., -self.context_length :]
            raw = one_pass(paths.flatten(0, 1)).view(len(context), -1, self.prediction_length)
            parts.append(reduce_paths(raw, self.levels, self.levels, weighted=weighted))
        return torch.cat(parts, dim=-1)[..., :horizon]


def empirical_quantiles(samples: Tensor, levels: tuple[float, ...]) -> Tensor:
    """Return quantiles along dimension 1 of equally likely samples.

    Interpolates linearly between order statistics, as ``torch.quantile`` does. That function is
    limited to 16 million elements, which a batch of three thousand series exceeds.

    Parameters
    ----------
    samples : Tensor
        Float32, [B, S, H].
    levels : tuple of float
        Q quantile levels.

    Returns
    -------
    Tensor
        Float32, [B, Q, H].
    """
    ordered = samples.sort(dim=1).values
    ranks = torch.tensor(levels, dtype=torch.float64) * (samples.shape[1] - 1)
    # A rank that is whole except for rounding selects a sample itself, as level 0.1 of 11 samples.
    ranks = torch.where((ranks - ranks.round()).abs() < LEVEL_TOLERANCE, ranks.round(), ranks)
    lower = ranks.floor().long()
    upper = (lower + 1).clamp(max=samples.shape[1] - 1)
    share = (ranks - lower).to(samples).view(1, -1, 1)
    device = samples.device
    return torch.lerp(ordered[:, lower.to(device)], ordered[:, upper.to(device)], share)


def reduce_paths(
    paths: Tensor, carried: tuple[float, ...], levels: tuple[float, ...], *, weighted: bool
) -> Tensor:
    """Return quantiles over the quantiles of several paths.

    Parameters
    ----------
    paths : Tensor
        Float32, [B, U * K, P]: K quantiles for each of U continued paths.
    carried, levels : tuple of float
        Levels of the U paths and of the K quantiles.
    weighted : bool
        Weight each path by the probability it represents; otherwise all weights are equal.

    Returns
    -------
    Tensor
        Float32, [B, K, P].
    """
    if not weighted:
        return empirical_quantiles(paths, levels)
    # Imported here because the lean engine starts without chronos, and no published Bolt needs it.
    from chronos.utils import weighted_quantile  # noqa: PLC0415

    weights = torch.outer(level_masses(carried), level_masses(levels)).flatten()
    reduced: Tensor = weighted_quantile(torch.tensor(levels), weights, paths.transpose(1, 2))
    return reduced.transpose(1, 2)


def is_even(levels: tuple[float, ...]) -> bool:
    """Return whether all levels represent the same probability, as 0.1, 0.2, ..., 0.9 do."""
    masses = level_masses(levels)
    return bool((masses - masses.mean()).abs().max() < LEVEL_TOLERANCE)


def level_masses(levels: tuple[float, ...]) -> Tensor:
    """Return the probability that each level represents, [Q]: half the way to both neighbours."""
    edges = torch.tensor([0.0, *levels, 1.0])
    mass = (edges[2:] - edges[:-2]) / 2
    return mass / mass.sum()
