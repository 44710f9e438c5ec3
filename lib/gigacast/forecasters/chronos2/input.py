"""Inputs of the lean Chronos-2: contexts and known futures, normalised and cut into patches.

The steps are those of the stock model, always in float32, as for a Bolt (`lean.input`).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from gigacast.forecasters.chronos2.shape import Chronos2Shape
from gigacast.forecasters.lean.input import CONSTANT_SCALE


@dataclass(frozen=True, slots=True)
class Normalised:
    """Patches of a batch of contexts, and their location and scale.

    Parameters
    ----------
    patches : Tensor
        Float32, [B, S, 3 * P]: times, values, zero if missing, and their mask.
    observed : Tensor
        Whether each patch has at least one value, bool [B, S].
    location, scale : Tensor
        Float32, [B, 1]: mean and standard deviation of each context; 0 and 1 of an empty one.
    shape : Chronos2Shape
    """

    patches: Tensor
    observed: Tensor
    location: Tensor
    scale: Tensor
    shape: Chronos2Shape

    def ahead(self, future: Tensor | None, patches: int) -> Tensor:
        """Return the patches of the horizon, float32 [B, F, 3 * P]; [1, ...] if nothing is known.

        Parameters
        ----------
        future : Tensor, optional
            Known values, float32 [B, F * P], NaN for unknown ones.
        patches : int
            Number of patches, F.
        """
        if future is None:
            unknown = self.location.new_zeros(1, patches * self.shape.patch_size)
            return _join(unknown, unknown.bool(), 0, self.shape)
        missing = future.isnan()
        values = ((future - self.location) / self.scale).masked_fill_(missing, 0.0)
        return _join(_squash(values, self.shape), ~missing, 0, self.shape)

    def restore(self, outputs: Tensor) -> Tensor:
        """Return outputs, [B, K, H], in the units of the contexts, float32."""
        # Converted first: large locations are not representable in bfloat16.
        values = outputs.float()
        if self.shape.has_arcsinh:
            values = values.sinh()
        return torch.addcmul(self.location[..., None], values, self.scale[..., None])


def normalise(context: Tensor, shape: Chronos2Shape) -> Normalised:
    """Normalise contexts and cut them into patches that end at the last step.

    Parameters
    ----------
    context : Tensor
        Float32, [B, T], NaN for missing values. Rows without a value stand for covariates and
        targets of a group whose past is unknown.
    shape : Chronos2Shape
    """
    context = functional.pad(context, (-context.shape[1] % shape.patch_size, 0), value=torch.nan)
    missing = context.isnan()
    count = context.shape[1] - missing.sum(dim=-1, keepdim=True, dtype=torch.float32)
    is_empty = count == 0
    count = count.masked_fill_(is_empty, 1.0)
    location = context.nansum(dim=-1, keepdim=True) / count
    # Two passes, mean first: the one-pass formula for the variance loses digits in float32.
    centred = (context - location).masked_fill_(missing, 0.0)
    scale = (centred.square().sum(dim=-1, keepdim=True) / count).sqrt()
    scale = torch.where(scale == 0, CONSTANT_SCALE, scale).masked_fill_(is_empty, 1.0)
    values = _squash(centred / scale, shape)
    patches = _join(values, ~missing, -context.shape[1], shape)
    observed = missing.logical_not_().view(len(context), -1, shape.patch_size).any(dim=-1)
    return Normalised(patches, observed, location, scale, shape)


def _squash(values: Tensor, shape: Chronos2Shape) -> Tensor:
    return values.arcsinh() if shape.has_arcsinh else values


def _join(values: Tensor, known: Tensor, start: int, shape: Chronos2Shape) -> Tensor:
    """Return times, values and mask of patches, [B, S, 3 * P], whose first step is ``start``."""
    steps = torch.arange(start, start + values.shape[1], dtype=torch.float32, device=values.device)
    times = (steps / shape.time_scale).expand(len(values), -1)
    parts = torch.stack([times, values, known.float()], dim=1)
    by_patch = parts.view(len(values), 3, -1, shape.patch_size).transpose(1, 2)
    return by_patch.flatten(2)
