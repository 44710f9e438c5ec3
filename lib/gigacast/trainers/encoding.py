"""Covariates of training windows as a forecaster sees them: categories become numbers.

What a category is worth is told by the targets of a context, and nothing after it. So a window is
encoded when it is cut, and a series as a whole never.
"""

from collections.abc import Sequence

import numpy as np

from gigacast.core.array import FloatArray
from gigacast.forecasters.encoding import encode_categories

Categories = Sequence[tuple[str, ...] | None]
"""Texts of the codes of each covariate; ``None`` for a covariate of numbers."""


def encode_windows(
    categories: Categories, context: FloatArray, past: FloatArray, future: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the covariates of B windows over context and target, without codes.

    Parameters
    ----------
    categories : sequence of V
    context : float32 [B, T]
        Targets before the origin of each window.
    past, future : float32 [B, V, T], [B, V, H]
        Codes and numbers; NaN where missing or not known ahead.
    """
    past, future = past.copy(), future.copy()
    for column, texts in enumerate(categories):
        if texts is None:
            continue
        ahead = future[:, column]
        # As in a forecast, a covariate that lacks a step of the horizon is a past one.
        ahead[np.isnan(ahead).any(axis=1)] = np.nan
        encoded = encode_categories(past[:, column], ahead, texts, context[:, None])
        past[:, column], future[:, column] = encoded
    return past, future
