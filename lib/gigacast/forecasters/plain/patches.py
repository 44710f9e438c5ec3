"""Contexts normalised and cut into patches, as `lean.input` does it in torch."""

from dataclasses import dataclass

import numpy as np

from gigacast.core.array import BoolArray, FloatArray

CONSTANT_SCALE = np.float32(1e-5)
"""Scale of a constant series, whose standard deviation is zero; as in the stock model."""


@dataclass(frozen=True, slots=True)
class PatchArrays:
    """Normalised patches of a batch.

    Parameters
    ----------
    values : float32 [B, S, 2 * P]
        P normalised steps, zero if missing, then their mask, 1 for observed steps.
    location, scale : float32 [B, 1]
        Mean and standard deviation of each context.
    """

    values: FloatArray
    location: FloatArray
    scale: FloatArray

    @property
    def observed(self) -> BoolArray:
        """Whether each patch has at least one value, bool [B, S]."""
        flags: BoolArray = np.any(self.values[..., self.values.shape[-1] // 2 :], axis=-1)
        return flags

    def restore(self, outputs: FloatArray) -> FloatArray:
        """Return outputs, [B, K, H], in the units of the contexts."""
        return outputs * self.scale[:, :, None] + self.location[:, :, None]


def cut_patches(context: FloatArray, size: int, stride: int) -> PatchArrays:
    """Normalise contexts and cut them into patches.

    Parameters
    ----------
    context : float32 [B, T]
        NaN for missing values; each row has at least one value.
    size, stride : int
        Steps of a patch, P, and steps from one patch to the next. Contexts are padded on the left
        to a multiple of P, so that the last patch ends at the last step.
    """
    rows, steps = context.shape
    width = -(-steps // size) * size
    both = np.zeros((rows, 2, width), np.float32)
    values, mask = both[:, 0, width - steps :], both[:, 1, width - steps :]
    np.logical_not(np.isnan(context), out=mask, casting="unsafe")
    count = mask.sum(axis=1, keepdims=True)
    # A context without any value gives 0 / 0: its forecast is NaN, which the caller recognises.
    with np.errstate(invalid="ignore", divide="ignore"):
        location = np.nansum(context, axis=1, keepdims=True) / count
        np.subtract(context, location, out=values)
        values[mask == 0] = 0.0
        # Two passes, mean first: the one-pass formula for the variance loses digits in float32.
        scale = np.sqrt(np.einsum("ij,ij->i", values, values)[:, None] / count)
        scale[scale == 0] = CONSTANT_SCALE
        values /= scale
    windows = np.lib.stride_tricks.sliding_window_view(both, size, axis=2)[:, :, ::stride]
    patches = windows.transpose(0, 2, 1, 3).reshape(rows, -1, 2 * size)
    return PatchArrays(patches, location, scale)
