"""From raw quantiles to the ones that are written. Pure."""

import numpy as np

from gigacast.core.array import FloatArray


def postprocess(
    quantiles: FloatArray, *, non_negative: bool = False, integer: bool = False
) -> FloatArray:
    """Make quantiles monotone, and clip and round them where asked.

    Parameters
    ----------
    quantiles : float32 [..., Q]
        Quantiles in ascending order of their levels; NaN rows stay NaN.
    non_negative : bool
        Values below zero become zero.
    integer : bool
        Values are rounded to whole numbers, halves upwards.

    Returns
    -------
    float32 [..., Q]
        Ascending along Q: clipping and rounding keep the order that sorting made.
    """
    result = np.sort(quantiles, axis=-1)
    if non_negative:
        result = np.maximum(result, np.float32(0))
    return round_half_up(result) if integer else result


def round_half_up(values: FloatArray) -> FloatArray:
    """Round to whole numbers, halves upwards; in float64, where adding a half is exact."""
    return (np.floor(values.astype(np.float64) + 0.5) + 0.0).astype(np.float32)
