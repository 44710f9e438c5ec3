"""Bringing contexts into the range where a model's own float32 normalisation is exact.

Chronos normalises in float32. At an offset far above the spread, the mean it subtracts is off by
rounding that depends on the padding; below about 1e-19 and above about 1e19 its squares under- or
overflow. Both vanish when the mean is taken away in float64 and extreme magnitudes are scaled by a
power of two first: a model that normalises does not see the difference.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

LEAST, MOST = 2.0**-10, 2.0**48
"""Magnitudes within are left alone."""


@dataclass(frozen=True, slots=True)
class Grounded:
    """Contexts a model can take, and the way back.

    Parameters
    ----------
    context : Tensor
        Float32, [B, T].
    location, factor : Tensor
        Float64, [B, 1]: ``context * factor + location`` is what was given.
    """

    context: Tensor
    location: Tensor
    factor: Tensor

    def apply(self, values: Tensor) -> Tensor:
        """Return values in the units of the given contexts, [B, H], as the model takes them."""
        return ((values.double() - self.location) / self.factor).float()

    def restore(self, values: Tensor) -> Tensor:
        """Return values of the model, [B, ...], in the units of the given contexts, float32."""
        shape = (-1, *[1] * (values.ndim - 1))
        factor, location = self.factor.view(shape), self.location.view(shape)
        return (values.double() * factor + location).float()


def ground(context: Tensor, *, centre: bool) -> Grounded:
    """Take away each context's mean and, where it is extreme, its magnitude.

    Parameters
    ----------
    context : Tensor
        Float32, [B, T], NaN where nothing was observed; a row may hold nothing else.
    centre : bool
        Whether to take away the mean: right for models that do so themselves.
    """
    exact = context.double()
    mean = exact.nanmean(dim=-1, keepdim=True).nan_to_num(nan=0.0)
    location = mean if centre else torch.zeros_like(mean)
    centred = exact - location
    spread = centred.abs().nan_to_num(nan=0.0).amax(dim=-1, keepdim=True)
    factor = _power_of_two(torch.where(spread > 0, spread, mean.abs()))
    return Grounded((centred / factor).float(), location, factor)


def _power_of_two(magnitude: Tensor) -> Tensor:
    """Return the power of two just below each extreme magnitude, 1 for the others."""
    _, exponent = torch.frexp(magnitude)
    power = torch.ldexp(torch.ones_like(magnitude), exponent - 1)
    ordinary = (magnitude == 0) | ((magnitude >= LEAST) & (magnitude <= MOST))
    return torch.where(ordinary, 1.0, power)
