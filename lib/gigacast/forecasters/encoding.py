"""Encode categorical covariates as numbers, in the way Chronos-2 was trained on them.

With one target, a category becomes the mean of the target over its steps, shrunk towards the
target's overall mean by one additional observation. With several targets it becomes its rank among
the categories of the series. A missing category counts as a category of its own if the series has
any category at all. Codes depend on the context of a single series only: neither on the future of
its targets, which would leak, nor on other series, whose number changes with the batch.

Source: ``chronos.chronos2.preprocess`` of the ``chronos-forecasting`` package.
"""

import numpy as np

from gigacast.core.array import BoolArray, FloatArray, IntArray

SMOOTHING = 1.0
"""Weight of the overall mean in a category's mean, in observations; as in the stock pipeline."""


def encode_categories(
    context: FloatArray, future: FloatArray, texts: tuple[str, ...], targets: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the category codes of one covariate of G groups as numbers for the network.

    Parameters
    ----------
    context : float32 [G, T]
        Codes over the context; NaN if missing.
    future : float32 [G, H]
        Codes over the horizon; all NaN for a covariate that is not known ahead.
    texts : tuple of str
        Category of each code.
    targets : float32 [G, K, T]
        Targets of the same steps; NaN if missing, as before the start of a series.

    Returns
    -------
    context, future : float32 [G, T], [G, H]
        With several targets, a future category that is not in the context is NaN. A horizon that
        is all NaN stays NaN.
    """
    # A series starts with its first target. Padding before it is not a missing category.
    started = np.maximum.accumulate(np.isfinite(targets).any(axis=1), axis=1)
    past_ranks, future_ranks = _rank_categories(context, future, texts, started)
    if targets.shape[1] == 1:
        past, ahead = _encode_by_target(past_ranks, future_ranks, targets[:, 0])
    else:
        past, ahead = _encode_by_rank(past_ranks, future_ranks)
    no_future = np.isnan(future).all(axis=1)
    no_past = np.asarray((np.isnan(context) | ~started).all(axis=1))
    past[~started] = np.nan
    # A column without any category must look like a numeric column without values, not like one
    # that always has the "missing" category.
    past[no_past & no_future] = np.nan
    ahead[no_future] = np.nan
    return past, ahead


def _rank_categories(
    context: FloatArray, future: FloatArray, texts: tuple[str, ...], started: BoolArray
) -> tuple[IntArray, IntArray]:
    """Return each step's category as its rank among the texts in the context of its series.

    A missing category has the rank above all others. A category that is not in the context, and
    steps before the start of the series, have -1.
    """
    order = np.empty(len(texts) + 1, np.int64)
    order[np.argsort(np.array(texts, dtype=object))] = np.arange(len(texts))
    order[-1] = missing = len(texts)
    past_codes = order[np.where(np.isnan(context), missing, context).astype(np.int64)]
    future_codes = order[np.where(np.isnan(future), missing, future).astype(np.int64)]
    # Each series gets a range of codes of its own, so that one sorted array of all (series,
    # category) pairs answers for every series at once.
    base = np.arange(len(past_codes))[:, None] * (missing + 1)
    pairs = np.unique((past_codes + base)[started & (past_codes < missing)])
    starts = np.searchsorted(pairs, base)
    counts = np.searchsorted(pairs, base + missing) - starts

    def rank(codes: IntArray) -> IntArray:
        positions = np.searchsorted(pairs, codes + base)
        present = np.append(pairs, -1)[positions] == codes + base
        ranks = np.where(present, positions - starts, -1)
        return np.where(codes == missing, counts, ranks)

    return np.where(started, rank(past_codes), -1), rank(future_codes)


def _encode_by_target(
    past_ranks: IntArray, future_ranks: IntArray, target: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the shrunk mean of the target for each category; the overall mean for new ones."""
    finite = np.isfinite(target)
    # Sums in float64: the means must not depend on the number of padded steps.
    values = np.where(finite, target, 0.0).astype(np.float64)
    count = finite.sum(axis=1)
    mean = np.divide(values.sum(axis=1), count, out=np.zeros(len(count)), where=count > 0)
    # The last column of the table is for rank -1. Nothing is added to it, so it holds the mean.
    width = int(max(past_ranks.max(initial=0), future_ranks.max(initial=0))) + 2
    base = np.arange(len(past_ranks))[:, None] * width
    past_cells = np.where(past_ranks < 0, width - 1, past_ranks) + base
    weights = (finite & (past_ranks >= 0)).ravel()
    cells = len(past_ranks) * width
    sums = np.bincount(past_cells.ravel(), values.ravel() * weights, cells)
    counts = np.bincount(past_cells.ravel(), weights.astype(np.float64), cells)
    table = (SMOOTHING * np.repeat(mean, width) + sums) / (SMOOTHING + counts)
    future_cells = np.where(future_ranks < 0, width - 1, future_ranks) + base
    return table[past_cells].astype(np.float32), table[future_cells].astype(np.float32)


def _encode_by_rank(past_ranks: IntArray, future_ranks: IntArray) -> tuple[FloatArray, FloatArray]:
    ahead = future_ranks.astype(np.float32)
    ahead[future_ranks < 0] = np.nan
    return past_ranks.astype(np.float32), ahead
