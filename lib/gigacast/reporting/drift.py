"""Drift of the inputs: recent values of a sample of series against earlier ones.

The tenths of the earlier values of each series are the bins, so that series of any unit and size
are counted together. Their shares among the recent values give the population stability index
(PSI): the sum of (p - q) ln(p / q) over the bins. By a common rule a distribution is stable up to
0.1, and has moved from 0.25 on.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gigacast.core.array import BoolArray, DoubleArray, IntArray
from gigacast.core.plural import counted
from gigacast.core.series.batch import SeriesBatch
from gigacast.report.document import (
    Block,
    Column,
    Curve,
    Figure,
    Heading,
    Kind,
    Paragraph,
    Table,
    Tile,
    Tone,
)

STEPS = 512
"""Steps of a series that are compared: the last quarter with those before."""
STABLE, MOVED = 0.1, 0.25
_BINS = 10
_LEAST = 32
"""Values of a series that is compared."""
_LEAST_SHARE = 1e-3
_SHOWN = 5
_COLUMNS = (
    Column("item", Kind.KEY),
    Column("target", Kind.KEY, 2),
    Column("shift", Kind.NUMBER, label="of the median, in interquartile ranges of before"),
    Column("partition", Kind.KEY, 3),
)


@dataclass(frozen=True, slots=True)
class MovedSeries:
    """A series whose recent median is elsewhere.

    Parameters
    ----------
    partition, item, target : str
    shift : float
        Recent median less the earlier one, in interquartile ranges of the earlier values.
    """

    partition: str
    item: str
    target: str
    shift: float


@dataclass(frozen=True, slots=True)
class Drift:
    """How the recent values of a sample of series differ from the earlier ones.

    Parameters
    ----------
    psi : float
        Population stability index over all series.
    before, recent : tuple of float
        Shares of the earlier and of the recent values in each tenth of the earlier ones.
    series : int
        Series compared.
    missing_before, missing_recent : float
        Shares of steps without a value.
    moved : tuple of MovedSeries
        The series that moved furthest.
    """

    psi: float
    before: tuple[float, ...]
    recent: tuple[float, ...]
    series: int
    missing_before: float
    missing_recent: float
    moved: tuple[MovedSeries, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the values of ``--json``."""
        return asdict(self)


@dataclass(frozen=True)
class SeriesShift:
    """Counts of a batch of series: the parts of a `Drift`.

    Parameters
    ----------
    before, recent : int64 [10]
        Values in each bin.
    missing : int64 [2, 2]
        Earlier and recent steps: without a value, and in all.
    series : int
    moved : list of MovedSeries
    """

    before: IntArray
    recent: IntArray
    missing: IntArray
    series: int
    moved: list[MovedSeries]


def measure_shift(batch: SeriesBatch, partition: str) -> SeriesShift:
    """Count the earlier and the recent values of series, each within its own bins."""
    values, recently, within = _matrix(batch)
    found = np.isfinite(values)
    is_counted = found.sum(axis=1) >= _LEAST
    is_counted &= (found & recently).any(axis=1) & (found & ~recently).any(axis=1)
    rows = np.flatnonzero(is_counted)
    y, is_found, is_recent, is_step = values[rows], found[rows], recently[rows], within[rows]
    missing = np.array(
        [
            [int((is_step & ~is_found & part).sum()), int((is_step & part).sum())]
            for part in (~is_recent, is_recent)
        ],
        np.int64,
    )
    if not len(rows):
        nothing = np.zeros(_BINS, np.int64)
        return SeriesShift(nothing, nothing, missing, 0, [])
    earlier = np.where(is_found & ~is_recent, y, np.nan)
    recent = np.where(is_found & is_recent, y, np.nan)
    edges = np.nanquantile(earlier, np.arange(1, _BINS) / _BINS, axis=1).T
    codes = (y[:, :, None] > edges[:, None, :]).sum(axis=2)
    counts = [
        np.bincount(codes[is_found & part], minlength=_BINS) for part in (~is_recent, is_recent)
    ]
    moved = _moved(batch, rows, earlier, recent, partition)
    return SeriesShift(counts[0], counts[1], missing, len(rows), moved)


def _matrix(batch: SeriesBatch) -> tuple[DoubleArray, BoolArray, BoolArray]:
    """Return values at the right of a matrix, which are recent, and which are steps, [N, T]."""
    lengths = np.minimum(batch.lengths, STEPS)
    width = int(lengths.max(initial=0))
    back = np.arange(width)[::-1][None, :]  # steps from the end
    is_step = back < lengths[:, None]
    place = batch.offsets[1:, None] - 1 - back
    values = batch.values[np.where(is_step, place, 0)] if len(batch.values) else np.zeros((0, 0))
    return (
        np.where(is_step, values.astype(np.float64), np.nan),
        back < (lengths // 4)[:, None],
        is_step,
    )


def _moved(
    batch: SeriesBatch, rows: IntArray, earlier: DoubleArray, recent: DoubleArray, partition: str
) -> list[MovedSeries]:
    low, middle, high = np.nanquantile(earlier, [0.25, 0.5, 0.75], axis=1)
    now = np.nanmedian(recent, axis=1)
    # Of a nearly constant series a tenth of its size counts as its range.
    spread = np.maximum(high - low, 0.1 * np.abs(middle))
    shift = np.divide(now - middle, spread, out=np.zeros(len(rows)), where=spread > 0)
    # From nothing to something there is no measure: the largest that tables show.
    shift = np.where((spread == 0) & (now != middle), np.sign(now - middle) * 99.0, shift)
    worst = np.argsort(-np.abs(shift), kind="stable")[:_SHOWN]
    return [
        MovedSeries(
            partition,
            str(batch.item_ids[int(rows[n])]),
            str(batch.target_names[int(rows[n])]),
            round(float(shift[n]), 4),
        )
        for n in worst
        if shift[n]
    ]


def drift_of(parts: Sequence[SeriesShift]) -> Drift | None:
    """Return the drift over the samples of several partitions; ``None`` if nothing is compared."""
    if not sum(part.series for part in parts):
        return None
    before = np.sum([part.before for part in parts], axis=0)
    recent = np.sum([part.recent for part in parts], axis=0)
    missing = np.sum([part.missing for part in parts], axis=0)
    # An empty bin has no logarithm.
    p, q = (np.maximum(counts / counts.sum(), _LEAST_SHARE) for counts in (recent, before))
    moved = sorted((m for part in parts for m in part.moved), key=lambda m: -abs(m.shift))
    shares = [tuple((c / c.sum()).round(6).tolist()) for c in (before, recent)]
    lost = [float(empty / steps) if steps else 0.0 for empty, steps in missing.tolist()]
    return Drift(
        psi=round(float(((p - q) * np.log(p / q)).sum()), 6),
        before=shares[0],
        recent=shares[1],
        series=sum(part.series for part in parts),
        missing_before=round(lost[0], 6),
        missing_recent=round(lost[1], 6),
        moved=tuple(moved[:_SHOWN]),
    )


def drift_tile(drift: Drift) -> Tile:
    """Return the headline number."""
    if drift.psi < STABLE:
        note, tone = "values as before", Tone.PLAIN
    elif drift.psi < MOVED:
        note, tone = "values somewhat different", Tone.PLAIN
    else:
        note, tone = "values unlike before", Tone.WARNING
    return Tile("Drift (PSI)", drift.psi, Kind.NUMBER, note, tone)


def drift_blocks(drift: Drift | None) -> tuple[Block, ...]:
    """Return what has moved, as blocks; nothing without a comparison."""
    if drift is None:
        return ()
    text = (
        f"The last quarter of {counted(drift.series, 'series', 'series')} of a sample against "
        f"up to {STEPS * 3 // 4} steps before: population stability index {drift.psi:.3f}. Up to "
        f"{STABLE} values are as before, from {MOVED} on unlike before. Steps without a value: "
        f"{drift.missing_recent:.1%}, before {drift.missing_before:.1%}."
    )
    figure = Figure(
        title="Share of values in each tenth of the earlier ones",
        x=tuple(f"{10 * n}-{10 * (n + 1)}%" for n in range(_BINS)),
        curves=(Curve("recent", "line", drift.recent), Curve("before", "line", drift.before)),
        x_name="tenth of the earlier values, the lowest first",
    )
    rows = tuple((m.item, m.target, m.shift, m.partition) for m in drift.moved)
    table = (Table(_COLUMNS, rows),) if rows else ()
    return Heading("Drift of the inputs"), Paragraph(text), figure, *table
