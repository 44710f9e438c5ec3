"""Shift and scale contexts into the range where a model's own float32 normalisation is exact.

Chronos normalises contexts in float32. If the offset is far above the spread, the mean it subtracts
has a rounding error that depends on the padding; below about 1e-19 and above about 1e19 its squares
under- or overflow. Both are avoided by first subtracting the mean in float64 and scaling extreme
magnitudes by a power of two. A model that normalises gives the same forecast after the shift.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

SMALLEST, LARGEST = 2.0**-10, 2.0**48
"""Magnitudes between these are not scaled."""


@dataclass(frozen=True, slots=True)
class CentredContexts:
    """Centred contexts and their original location and scale.

    Parameters
    ----------
    context : Tensor
        Float32, [B, T], in the units of the model.
    location, factor : Tensor
        Float64, [B, 1]: ``context * factor + location`` are the original contexts.
    """

    context: Tensor
    location: Tensor
    factor: Tensor

    def to_model(self, values: Tensor) -> Tensor:
        """Return values in original units, [B, H], in the units of the model, float32."""
        return ((values.double() - self.location) / self.factor).float()

    def from_model(self, values: Tensor) -> Tensor:
        """Return values in the units of the model, [B, ...], in original units, float32."""
        shape = (-1, *[1] * (values.ndim - 1))
        factor, location = self.factor.view(shape), self.location.view(shape)
        return (values.double() * factor + location).float()


def centre_contexts(context: Tensor, *, centre: bool) -> CentredContexts:
    """Subtract each context's mean and scale it if its magnitude is extreme.

    Parameters
    ----------
    context : Tensor
        Float32, [B, T], NaN for missing values; a row may consist of NaN only.
    centre : bool
        Whether to subtract the mean. Only for models that subtract it themselves: T5 divides by
        the mean absolute value instead, and a shift would change its forecasts.
    """
    # In float64 up to the last line: a float32 mean has the rounding error that is to be avoided.
    exact = context.double()
    mean = exact.nanmean(dim=-1, keepdim=True).nan_to_num(nan=0.0)
    location = mean if centre else torch.zeros_like(mean)
    centred = exact - location
    spread = centred.abs().nan_to_num(nan=0.0).amax(dim=-1, keepdim=True)
    # A constant context has no spread; its level takes the place.
    factor = _scale_factor(torch.where(spread > 0, spread, mean.abs()))
    return CentredContexts((centred / factor).float(), location, factor)


def _scale_factor(magnitude: Tensor) -> Tensor:
    """Return the power of two just below each extreme magnitude, 1 for ordinary ones.

    Division by a power of two changes the exponent only, so that scaling does not round.
    """
    _, exponent = torch.frexp(magnitude)
    power = torch.ldexp(torch.ones_like(magnitude), exponent - 1)
    ordinary = (magnitude == 0) | ((magnitude >= SMALLEST) & (magnitude <= LARGEST))
    return torch.where(ordinary, 1.0, power)
