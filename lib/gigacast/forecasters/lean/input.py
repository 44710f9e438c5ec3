"""From contexts to what the lean forward takes: normalised patches and their masks.

As the stock model does it, in float32 whatever the precision behind.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gigacast.core.array import FloatArray

CONSTANT_SCALE = 1e-5
"""What stands in for the spread of a series that has none, as in the stock model."""


@dataclass(frozen=True, slots=True)
class Patches:
    """A batch as the model sees it.

    Parameters
    ----------
    values : Tensor
        Float32, [B, S, 2 * P]: normalised steps, zero where nothing was observed, then 1 for
        each step that was observed and 0 for the others.
    location, scale : Tensor
        Float32, [B, 1]: mean and standard deviation of each context.
    """

    values: Tensor
    location: Tensor
    scale: Tensor

    @property
    def observed(self) -> Tensor:
        """Which patches hold a value at all, bool [B, S]."""
        return self.values[..., self.values.shape[-1] // 2 :].any(dim=-1)

    def restore(self, outputs: Tensor) -> Tensor:
        """Return outputs, [B, ...], in the units of the contexts, float32."""
        shape = (-1, *[1] * (outputs.ndim - 1))
        return torch.addcmul(self.location.view(shape), outputs.float(), self.scale.view(shape))


def cut_patches(context: Tensor, size: int, stride: int) -> Patches:
    """Normalise contexts and cut them into patches.

    Parameters
    ----------
    context : Tensor
        Float32, [B, T], NaN where nothing was observed.
    size, stride : int
        Steps in a patch, P, and from one to the next. Contexts are filled up on the left to a
        multiple of P.
    """
    context = functional.pad(context, (-context.shape[1] % size, 0), value=torch.nan)
    missing = context.isnan()
    count = context.shape[1] - missing.sum(dim=-1, keepdim=True, dtype=torch.float32)
    location = context.nansum(dim=-1, keepdim=True) / count
    centred = (context - location).masked_fill_(missing, 0.0)
    scale = (centred.square().sum(dim=-1, keepdim=True) / count).sqrt()
    scale = torch.where(scale == 0, CONSTANT_SCALE, scale)
    both = torch.stack([centred / scale, (~missing).float()], dim=1)
    patches = both.unfold(-1, size, stride).transpose(1, 2).flatten(2)
    return Patches(patches, location, scale)


def has_empty_patch(context: FloatArray, size: int) -> bool:
    """Tell whether any patch of [B, T] holds no value: only then is a mask needed.

    Looks at the host's copy, so that no device has to be waited for.
    """
    filled = -(-context.shape[1] // size) * size - context.shape[1]
    if np.isfinite(context[:, size - 1 - filled :: size]).all():
        return False  # the last step of every patch is there, as it is in series without gaps
    padded = np.pad(context, ((0, 0), (filled, 0)), constant_values=np.nan)
    finite = np.isfinite(padded).reshape(len(padded), -1, size)
    return not bool(finite.any(axis=2).all())
