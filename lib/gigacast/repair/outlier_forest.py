"""Anomalous rows, by an isolation forest (Liu, Ting and Zhou, "Isolation Forest", ICDM 2008).

Columns are first scaled to interquartile ranges from the median of their series, so that one forest
serves all series of a partition. The forest is trained on evenly spaced rows and seeded: the same
rows have the same scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gigacast.core.array import BoolArray, CodeArray, DoubleArray, IntArray
from gigacast.errors import MissingExtraError
from gigacast.repair.quantile import segment_quantiles
from gigacast.series.segment import offsets_without

SAMPLE_ROWS = 65_536
"""Maximum rows to train on, which bounds the memory; each tree draws only 256 of them."""
_FAR = 1e6
"""Scaled value of infinities, which the forest does not take."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Median and interquartile range of a column, by series: float64 [N] each."""

    middle: DoubleArray
    width: DoubleArray

    @classmethod
    def of(cls, values: DoubleArray, offsets: IntArray) -> "Scale":
        """Measure a column [R] of N series with offsets [N + 1]."""
        finite = np.isfinite(values)
        bounds = offsets if finite.all() else offsets_without(~finite, offsets)
        quartiles = segment_quantiles(values[finite], bounds, (0.25, 0.5, 0.75))
        width = quartiles[:, 2] - quartiles[:, 0]
        # A constant series keeps its distances instead of dividing by zero.
        return cls(quartiles[:, 1], np.where(width > 0, width, 1.0))

    def apply(self, values: DoubleArray, codes: CodeArray | None) -> DoubleArray:
        """Return values in interquartile ranges from the median; 0 where they are missing."""
        middle, width = (
            side[0] if len(side) == 1 or codes is None else side[codes]
            for side in (self.middle, self.width)
        )
        scaled = (values - middle) / width
        return np.nan_to_num(scaled, nan=0.0, posinf=_FAR, neginf=-_FAR)


class Forest:
    """A trained isolation forest.

    Parameters
    ----------
    sample : float64 [S, C]
        Scaled rows to train on.
    limit : float
        Score above which a row is an anomaly: about 0.5 is ordinary, near 1 is isolated.

    Raises
    ------
    MissingExtraError
    """

    def __init__(self, sample: DoubleArray, limit: float) -> None:
        self._limit = limit
        self._forest = _new_forest().fit(sample) if len(sample) else None

    def find(self, rows: DoubleArray) -> BoolArray:
        """Return which scaled rows [R, C] are anomalies, bool [R]."""
        if self._forest is None or not len(rows):
            return np.zeros(len(rows), np.bool_)
        # scikit-learn returns the paper's score with the sign reversed.
        scores = -self._forest.score_samples(rows)
        anomalies: BoolArray = scores > self._limit
        return anomalies


def require_forest() -> None:
    """Check that isolation forests are available on this machine.

    Raises
    ------
    MissingExtraError
    """
    _new_forest()


def sample_rows(rows: int, limit: int = SAMPLE_ROWS) -> IntArray:
    """Return the numbers of at most ``limit`` evenly spaced rows."""
    if rows <= limit:
        return np.arange(rows, dtype=np.int64)
    return np.linspace(0, rows - 1, limit).astype(np.int64)


def stack(columns: Sequence[DoubleArray]) -> DoubleArray:
    """Return C columns [R] as one array [R, C]."""
    return np.stack(columns, axis=1) if columns else np.empty((0, 0))


def _new_forest() -> Any:
    try:
        from sklearn.ensemble import IsolationForest  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError(
            "an isolation forest needs scikit-learn",
            hint="pip install 'gigacast[quality]', or use the methods iqr and zscore",
        ) from error
    # One job: partitions are already cleaned in parallel.
    return IsolationForest(n_estimators=100, random_state=0, n_jobs=1)
