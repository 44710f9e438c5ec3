"""Covariate arrays of a batch: one value per series and time step.

A *past* covariate is known up to the last value of the targets, a *known* covariate over the
horizon as well. Covariates belong to an item, so all its targets have the same ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gigacast.core.array import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Covariates:
    """V covariates of M items, on the grids of their series.

    Parameters
    ----------
    names : tuple of str
        Names of the V covariates: the past ones, then the known ones.
    known : int
        Number of covariates, from the last, that are known over the horizon.
    categories : tuple
        Texts of each covariate's codes; ``None`` for a covariate of numbers.
    values : float32 [V, R]
        Steps of all items, one item after the other; NaN for missing values. Categories are codes,
        with -1 for a row without a text.
    offsets : int64 [M + 1]
        Borders of the items: item ``m`` is ``values[:, offsets[m]:offsets[m + 1]]``.
    ends : int64 [M]
        Position in ``values`` of the first step after the item's series.
    items : int64 [N]
        Item of each series.
    """

    names: tuple[str, ...]
    known: int
    categories: tuple[tuple[str, ...] | None, ...]
    values: FloatArray
    offsets: IntArray
    ends: IntArray
    items: IntArray

    def slice(self, start: int, stop: int) -> "Covariates":
        """Return the covariates of the series from ``start`` to ``stop`` without copying values.

        The series must be in the order of their items, as readers return them.
        """
        items = self.items[start:stop]
        first, last = (int(items[0]), int(items[-1]) + 1) if len(items) else (0, 0)
        low, high = self.offsets[first], self.offsets[last]
        return replace(
            self,
            values=self.values[:, low:high],
            offsets=self.offsets[first : last + 1] - low,
            ends=self.ends[first:last] - low,
            items=items - first,
        )

    def take(self, rows: IntArray) -> "Covariates":
        """Return the covariates of the series ``rows``. The values of other items are kept."""
        return replace(self, items=self.items[rows])

    def ended_before(self, steps: int) -> "Covariates":
        """Return the covariates for series that end ``steps`` earlier."""
        return replace(self, ends=self.ends - steps)

    def windows(self, items: IntArray, length: int) -> FloatArray:
        """Return the last ``length`` steps before the ends of items, float32 [G, V, length].

        They are padded with NaN and contain no step after an end.
        """
        positions = self.ends[items, None] + np.arange(-length, 0)
        return self._at(positions, positions >= self.offsets[items, None])

    def future(self, items: IntArray, horizon: int) -> FloatArray:
        """Return the steps after the ends, float32 [G, V, H]; NaN for past covariates and gaps."""
        positions = self.ends[items, None] + np.arange(horizon)
        ahead = self._at(positions, positions < self.offsets[items + 1, None])
        # A past covariate may have values after the end, which must not leak into the forecast.
        ahead[:, : len(self.names) - self.known] = np.nan
        return ahead

    def steps(self, lengths: IntArray) -> FloatArray:
        """Return the values at each step of the series, float32 [sum of lengths, V].

        Parameters
        ----------
        lengths : int64 [N]
            Steps of each series, the last of which is the one before its item's end.
        """
        starts = np.repeat(self.ends[self.items] - lengths, lengths)
        before = np.repeat(np.cumsum(lengths) - lengths, lengths)
        positions = starts + np.arange(len(starts)) - before
        inside = positions >= np.repeat(self.offsets[self.items], lengths)
        return self._at(positions[:, None], inside[:, None])[:, :, 0]

    def lack_future(self, horizon: int) -> BoolArray:
        """Return the mask of series with a known covariate missing in the horizon, bool [N]."""
        if not self.known:
            return np.zeros(len(self.items), np.bool_)
        ahead = self.future(np.arange(len(self.ends)), horizon)[:, -self.known :]
        lacking: BoolArray = np.asarray(np.isnan(ahead).any(axis=(1, 2)))[self.items]
        return lacking

    def lacking_names(self, horizon: int) -> set[str]:
        """Return the names of known covariates that miss a value in the horizon."""
        if not self.known:
            return set()
        ahead = self.future(np.arange(len(self.ends)), horizon)[:, -self.known :]
        lacking: list[bool] = np.asarray(np.isnan(ahead).any(axis=(0, 2))).tolist()
        names = self.names[-self.known :]
        return {name for name, lacks in zip(names, lacking, strict=True) if lacks}

    def _at(self, positions: IntArray, inside: BoolArray) -> FloatArray:
        if self.values.size == 0:
            shape = (len(positions), len(self.names), positions.shape[1])
            return np.full(shape, np.nan, np.float32)
        # Positions outside of an item are clipped to valid ones first, and become NaN below.
        steps = self.values[:, np.clip(positions, 0, self.values.shape[1] - 1)]
        steps[:, ~inside] = np.nan
        return np.ascontiguousarray(steps.transpose(1, 0, 2))


def concat_covariates(parts: Sequence[Covariates | None]) -> Covariates | None:
    """Return the covariates of several batches of a reader, in order."""
    present = [part for part in parts if part is not None]
    if not present:
        return None
    steps = np.cumsum([0, *(part.values.shape[1] for part in present)])
    items = np.cumsum([0, *(len(part.ends) for part in present)])
    pairs = list(enumerate(present))
    return replace(
        present[0],
        # The reader numbers texts as they come, so the last batch has all texts of the others.
        categories=present[-1].categories,
        values=np.concatenate([part.values for part in present], axis=1),
        offsets=np.concatenate(
            [np.zeros(1, np.int64), *(p.offsets[1:] + steps[n] for n, p in pairs)]
        ),
        ends=np.concatenate([p.ends + steps[n] for n, p in pairs]),
        items=np.concatenate([part.items + items[n] for n, part in pairs]),
    )
