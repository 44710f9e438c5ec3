"""Horizons longer than one pass for models that forecast groups of series."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, nan

import torch
from torch import Tensor
from torch.nn.functional import pad

from gigacast.forecasters.levels import find_level
from gigacast.forecasters.network.unrolling import reduce_paths

CARRIED_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Levels that are continued beyond the longest single pass; as in the stock pipeline."""

GroupPass = Callable[[Tensor, int, int, Tensor | None], Tensor]
"""Computes one pass: contexts [B, T], patches F, group size and known future [B, F * P], to
quantiles [B, K, F * P]."""


@dataclass(frozen=True, slots=True)
class GroupUnrolling:
    """Forecasts of a Chronos-2 of any horizon.

    Parameters
    ----------
    levels : tuple of float
        K trained levels.
    context_length, patch_size, max_patches : int
        Longest context, steps of a patch and most patches of one pass.
    """

    levels: tuple[float, ...]
    context_length: int
    patch_size: int
    max_patches: int

    @property
    def prediction_length(self) -> int:
        """Steps of the longest single pass."""
        return self.max_patches * self.patch_size

    def forecast(
        self,
        context: Tensor,
        horizon: int,
        one_pass: GroupPass,
        group_size: int = 1,
        future: Tensor | None = None,
    ) -> Tensor:
        """Return raw quantiles at the trained levels, float32 [B, K, H].

        Parameters
        ----------
        context : Tensor
            Float32, [B, T], NaN for missing values.
        horizon : int
            Steps to forecast, H; beyond the longest single pass, nine quantiles are continued as
            paths and reduced to quantiles again.
        one_pass : callable
        group_size : int
            Number of adjacent rows per group, G.
        future : Tensor, optional
            Float32, [B, H], NaN for unknown values.
        """
        prediction = self._pass(context, horizon, one_pass, group_size, future)
        parts, steps = [prediction], prediction.shape[-1]
        carried = tuple(self.levels[place] for place in self._carried)
        paths = context.unsqueeze(1).expand(-1, len(carried), -1)
        while steps < horizon:
            width = prediction.shape[-1]
            paths = torch.cat([paths, prediction[:, self._carried]], dim=-1)
            # Rows of known covariates continue with their known values, not with their forecasts.
            if future is not None:
                ahead = future[:, steps - width : steps].unsqueeze(1)
                paths[..., -width:] = torch.where(ahead.isnan(), paths[..., -width:], ahead)
            paths = paths[..., -self.context_length :]
            remaining = None if future is None else future[:, steps:]
            raw = self._continue(paths, horizon - steps, one_pass, group_size, remaining)
            prediction = reduce_paths(raw, carried, self.levels, weighted=True)
            parts.append(prediction)
            steps += prediction.shape[-1]
        return torch.cat(parts, dim=-1)[..., :horizon]

    @property
    def _carried(self) -> list[int]:
        """Places of the levels that are continued."""
        places = (find_level(level, self.levels) for level in CARRIED_LEVELS)
        trained = [place for place in places if place is not None]
        # A model that is trained for none of these levels continues its own.
        return trained or [*range(len(self.levels))]

    def _continue(
        self,
        paths: Tensor,
        horizon: int,
        one_pass: GroupPass,
        group_size: int,
        future: Tensor | None,
    ) -> Tensor:
        """Return the quantiles of paths, [B, U, T], as [B, U * K, P].

        Path u of a row attends to path u of the other rows of its group. So rows are reordered
        from (group, row, path) to (group, path, row) and back.
        """
        carried = paths.shape[1]

        def by_path(values: Tensor) -> Tensor:
            grouped = values.reshape(-1, group_size, *values.shape[1:])
            return grouped.transpose(1, 2).flatten(0, 2)

        ahead = None
        if future is not None:
            ahead = by_path(future.unsqueeze(1).expand(-1, carried, -1))
        # The u-th paths of the rows of a group form a group, so that the paths of one row
        # do not attend to each other.
        raw = self._pass(by_path(paths), horizon, one_pass, group_size, ahead)
        by_row = raw.reshape(-1, carried, group_size, *raw.shape[1:]).transpose(1, 2)
        return by_row.reshape(len(paths), -1, raw.shape[-1])

    def _pass(
        self,
        context: Tensor,
        horizon: int,
        one_pass: GroupPass,
        group_size: int,
        future: Tensor | None,
    ) -> Tensor:
        """Return the quantiles of one pass, [B, K, P]; P covers the horizon or is the maximum."""
        patches = min(ceil(horizon / self.patch_size), self.max_patches)
        # The network takes whole patches; steps beyond the horizon are unknown.
        if future is not None:
            width = patches * self.patch_size
            future = pad(future[:, :width], (0, max(0, width - future.shape[1])), value=nan)
        return one_pass(context, patches, group_size, future)


def swap(values: Tensor, size: int) -> Tensor:
    """Return [N * size, T, ...] as [N * T, size, ...]; with ``size`` T, the reverse."""
    return values.reshape(-1, size, *values.shape[1:]).transpose(1, 2).flatten(0, 1)
