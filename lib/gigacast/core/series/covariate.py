"""What else is known of the series of a batch, step by step.

A *past* covariate is known up to the last value of the targets, a *known* one over the horizon as
well. Covariates belong to an item: all its targets see the same ones.
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
        V names: the past ones, then the known ones.
    known : int
        How many of the last are known over the horizon.
    categories : tuple
        For each covariate ``None`` where it is a number, else the texts its codes stand for.
    values : float32 [V, R]
        The steps of all items, one after the other; NaN where missing. Codes for categories: -1
        for a row that names none.
    offsets : int64 [M + 1]
        Item ``m`` is ``values[:, offsets[m]:offsets[m + 1]]``.
    ends : int64 [M]
        Where in ``values`` the first step after the last one of the item's series lies.
    items : int64 [N]
        The item of each series.
    """

    names: tuple[str, ...]
    known: int
    categories: tuple[tuple[str, ...] | None, ...]
    values: FloatArray
    offsets: IntArray
    ends: IntArray
    items: IntArray

    def slice(self, start: int, stop: int) -> "Covariates":
        """Return those of the series ``start`` to ``stop``, without copying their values.

        For series in the order of their items, as readers give them.
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
        """Return those of some series; what belongs to others is left where it is."""
        return replace(self, items=self.items[rows])

    def ended_before(self, steps: int) -> "Covariates":
        """Return the same for series that end so many steps earlier."""
        return replace(self, ends=self.ends - steps)

    def windows(self, items: IntArray, length: int) -> FloatArray:
        """Return the last steps of items before their ends, float32 [G, V, length]; NaN-padded.

        Nothing that lies after an end is in them.
        """
        places = self.ends[items, None] + np.arange(-length, 0)
        return self._at(places, places >= self.offsets[items, None])

    def future(self, items: IntArray, horizon: int) -> FloatArray:
        """Return the steps after the ends, float32 [G, V, H]; NaN for past ones, and if missing."""
        places = self.ends[items, None] + np.arange(horizon)
        ahead = self._at(places, places < self.offsets[items + 1, None])
        ahead[:, : len(self.names) - self.known] = np.nan
        return ahead

    def lack_future(self, horizon: int) -> BoolArray:
        """Tell of which series a known covariate has no value at some step of the horizon, [N]."""
        if not self.known:
            return np.zeros(len(self.items), np.bool_)
        ahead = self.future(np.arange(len(self.ends)), horizon)[:, -self.known :]
        lacking: BoolArray = np.asarray(np.isnan(ahead).any(axis=(1, 2)))[self.items]
        return lacking

    def lacking_names(self, horizon: int) -> set[str]:
        """Return the known covariates that have no value at some step of the horizon."""
        if not self.known:
            return set()
        ahead = self.future(np.arange(len(self.ends)), horizon)[:, -self.known :]
        lacking: list[bool] = np.asarray(np.isnan(ahead).any(axis=(0, 2))).tolist()
        names = self.names[-self.known :]
        return {name for name, lacks in zip(names, lacking, strict=True) if lacks}

    def _at(self, places: IntArray, inside: BoolArray) -> FloatArray:
        if self.values.size == 0:
            shape = (len(places), len(self.names), places.shape[1])
            return np.full(shape, np.nan, np.float32)
        taken = self.values[:, np.clip(places, 0, self.values.shape[1] - 1)]
        taken[:, ~inside] = np.nan
        return np.ascontiguousarray(taken.transpose(1, 0, 2))


def concat_covariates(parts: Sequence[Covariates | None]) -> Covariates | None:
    """Return the covariates of several batches of one reader, in order."""
    found = [part for part in parts if part is not None]
    if not found:
        return None
    steps = np.cumsum([0, *(part.values.shape[1] for part in found)])
    items = np.cumsum([0, *(len(part.ends) for part in found)])
    pairs = list(enumerate(found))
    return replace(
        found[0],
        categories=found[-1].categories,  # texts are numbered as they come: the last knows most
        values=np.concatenate([part.values for part in found], axis=1),
        offsets=np.concatenate(
            [np.zeros(1, np.int64), *(p.offsets[1:] + steps[n] for n, p in pairs)]
        ),
        ends=np.concatenate([part.ends + steps[n] for n, part in pairs]),
        items=np.concatenate([part.items + items[n] for n, part in pairs]),
    )
