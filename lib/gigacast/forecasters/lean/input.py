"""Inputs of the lean forward: contexts normalised and cut into patches, with their masks.

The steps are those of the stock model, always in float32: in bfloat16, whose 8 bits cannot tell
neighbouring values of a series apart, the normalisation ruins the forecast.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

CONSTANT_SCALE = 1e-5
"""Scale of a constant series, whose standard deviation is zero; as in the stock model."""


@dataclass(frozen=True, slots=True)
class Patches:
    """Normalised patches of a batch.

    Parameters
    ----------
    values : Tensor
        Float32, [B, S, 2 * P]: P normalised steps, zero if missing, then their mask, 1 for
        observed steps and 0 for missing ones.
    location, scale : Tensor
        Float32, [B, 1]: mean and standard deviation of each context.
    """

    values: Tensor
    location: Tensor
    scale: Tensor

    @property
    def observed(self) -> Tensor:
        """Whether each patch has at least one value, bool [B, S]."""
        return self.values[..., self.values.shape[-1] // 2 :].any(dim=-1)

    def restore(self, outputs: Tensor) -> Tensor:
        """Return outputs, [B, ...], in the units of the contexts, float32."""
        # Converted first: large locations are not representable in bfloat16.
        shape = (-1, *[1] * (outputs.ndim - 1))
        return torch.addcmul(self.location.view(shape), outputs.float(), self.scale.view(shape))


def cut_patches(context: Tensor, size: int, stride: int) -> Patches:
    """Normalise contexts and cut them into patches.

    Parameters
    ----------
    context : Tensor
        Float32, [B, T], NaN for missing values.
    size, stride : int
        Steps of a patch, P, and steps from one patch to the next. Contexts are padded on the left
        to a multiple of P, so that the last patch ends at the last step.
    """
    context = functional.pad(context, (-context.shape[1] % size, 0), value=torch.nan)
    missing = context.isnan()
    count = context.shape[1] - missing.sum(dim=-1, keepdim=True, dtype=torch.float32)
    # A context without any value gives 0 / 0: its forecast is NaN, which the caller recognises.
    location = context.nansum(dim=-1, keepdim=True) / count
    # Two passes, mean first: the one-pass formula for the variance loses digits in float32.
    centred = (context - location).masked_fill_(missing, 0.0)
    scale = (centred.square().sum(dim=-1, keepdim=True) / count).sqrt()
    scale = torch.where(scale == 0, CONSTANT_SCALE, scale)
    both = torch.stack([centred / scale, (~missing).float()], dim=1)
    patches = both.unfold(-1, size, stride).transpose(1, 2).flatten(2)
    return Patches(patches, location, scale)
