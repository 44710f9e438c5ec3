"""Shift and scale contexts into the range where a model's own float32 normalisation is exact.

The same steps as `network.centring`, which says why, on arrays.
"""

from dataclasses import dataclass

import numpy as np

from gigacast.core.array import DoubleArray, FloatArray, RealArray

SMALLEST, LARGEST = 2.0**-10, 2.0**48
"""Magnitudes between these are not scaled."""


@dataclass(frozen=True, slots=True)
class CentredArrays:
    """Centred contexts and their original location and scale.

    Parameters
    ----------
    context : float32 [B, T]
        In the units of the model.
    location, factor : float64 [B, 1]
        ``context * factor + location`` are the original contexts.
    """

    context: FloatArray
    location: DoubleArray
    factor: DoubleArray

    def from_model(self, values: RealArray) -> FloatArray:
        """Return values in the units of the model, [B, K, H], in original units, float32."""
        original = values * self.factor[:, :, None] + self.location[:, :, None]
        return original.astype(np.float32)


def centre_arrays(context: FloatArray) -> CentredArrays:
    """Subtract each context's mean and scale it if its magnitude is extreme.

    Parameters
    ----------
    context : float32 [B, T]
        NaN for missing values; a row may consist of NaN only.
    """
    exact = context.astype(np.float64)
    missing = np.isnan(exact)
    count = exact.shape[1] - missing.sum(axis=1, keepdims=True)
    total = np.where(missing, 0.0, exact).sum(axis=1, keepdims=True)
    location = total / np.maximum(count, 1)
    centred = exact - location
    spread = np.where(missing, 0.0, np.abs(centred)).max(axis=1, keepdims=True)
    # A constant context has no spread; its level takes the place.
    factor = _scale_factor(np.where(spread > 0, spread, np.abs(location)))
    return CentredArrays((centred / factor).astype(np.float32), location, factor)


def _scale_factor(magnitude: DoubleArray) -> DoubleArray:
    """Return the power of two just below each extreme magnitude, 1 for ordinary ones."""
    _, exponent = np.frexp(magnitude)
    power = np.ldexp(1.0, exponent - 1)
    ordinary = (magnitude == 0) | ((magnitude >= SMALLEST) & (magnitude <= LARGEST))
    factor: DoubleArray = np.where(ordinary, 1.0, power)
    return factor
