"""Categories as the numbers a network takes: as Chronos-2 was trained to take them. Pure; numpy.

With one target a category becomes the mean of the target where it was seen, drawn towards the
target's mean by one imagined observation; with several, its rank among the texts of the series.
A missing category is one of its own, where the series has any. Everything is found in the context
of one series: neither the future of its targets nor another series has a say.

Source: ``chronos.chronos2.preprocess`` of the ``chronos-forecasting`` package.
"""

import numpy as np

from gigacast.core.array import BoolArray, FloatArray, IntArray

SMOOTHING = 1.0


def encode_categories(
    context: FloatArray, future: FloatArray, texts: tuple[str, ...], targets: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the codes of one column of G series as numbers.

    Parameters
    ----------
    context : float32 [G, T]
        Codes; NaN where missing.
    future : float32 [G, H]
        Codes of the horizon; of a covariate that is not known ahead, all NaN.
    texts : tuple of str
        What the codes stand for.
    targets : float32 [G, K, T]
        Of the same steps; NaN where there was none, as before a series began.

    Returns
    -------
    context, future : float32 [G, T], [G, H]
        NaN where a category of the future was never seen; of a horizon that is all NaN, NaN.
    """
    # A series begins with its first target: padding before it is no missing category.
    begun = np.maximum.accumulate(np.isfinite(targets).any(axis=1), axis=1)
    seen, ahead = _slots(context, future, texts, begun)
    if targets.shape[1] == 1:
        encoded, known = _by_target(seen, ahead, targets[:, 0])
    else:
        encoded, known = _by_rank(seen, ahead)
    no_future = np.isnan(future).all(axis=1)
    unseen = np.asarray((np.isnan(context) | ~begun).all(axis=1))
    encoded[~begun] = np.nan
    encoded[unseen & no_future] = np.nan  # a column without a value, as any other
    known[no_future] = np.nan
    return encoded, known


def _slots(
    context: FloatArray, future: FloatArray, texts: tuple[str, ...], begun: BoolArray
) -> tuple[IntArray, IntArray]:
    """Return each step's category as its rank among the texts its series has seen.

    The rank above all of them stands for a missing one; -1 for one that was never seen, and for
    the steps before the series began.
    """
    order = np.empty(len(texts) + 1, np.int64)
    order[np.argsort(np.array(texts, dtype=object))] = np.arange(len(texts))
    order[-1] = missing = len(texts)
    codes = order[np.where(np.isnan(context), missing, context).astype(np.int64)]
    coming = order[np.where(np.isnan(future), missing, future).astype(np.int64)]
    first = np.arange(len(codes))[:, None] * (missing + 1)
    known = np.unique((codes + first)[begun & (codes < missing)])  # by series, then by text
    starts = np.searchsorted(known, first)
    counts = np.searchsorted(known, first + missing) - starts

    def rank(some: IntArray) -> IntArray:
        places = np.searchsorted(known, some + first)
        found = np.append(known, -1)[places] == some + first
        ranks = np.where(found, places - starts, -1)
        return np.where(some == missing, counts, ranks)

    return np.where(begun, rank(codes), -1), rank(coming)


def _by_target(
    seen: IntArray, ahead: IntArray, target: FloatArray
) -> tuple[FloatArray, FloatArray]:
    finite = np.isfinite(target)
    values = np.where(finite, target, 0.0).astype(np.float64)
    count = finite.sum(axis=1)
    mean = np.divide(values.sum(axis=1), count, out=np.zeros(len(count)), where=count > 0)
    width = int(max(seen.max(initial=0), ahead.max(initial=0))) + 2  # the last: never seen
    flat = np.where(seen < 0, width - 1, seen) + np.arange(len(seen))[:, None] * width
    weights = (finite & (seen >= 0)).ravel()
    sums = np.bincount(flat.ravel(), values.ravel() * weights, len(seen) * width)
    counts = np.bincount(flat.ravel(), weights.astype(np.float64), len(seen) * width)
    table = (SMOOTHING * np.repeat(mean, width) + sums) / (SMOOTHING + counts)
    coming = np.where(ahead < 0, width - 1, ahead) + np.arange(len(ahead))[:, None] * width
    return table[flat].astype(np.float32), table[coming].astype(np.float32)


def _by_rank(seen: IntArray, ahead: IntArray) -> tuple[FloatArray, FloatArray]:
    known = ahead.astype(np.float32)
    known[ahead < 0] = np.nan
    return seen.astype(np.float32), known
