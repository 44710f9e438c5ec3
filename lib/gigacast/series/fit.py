"""Whether the rows of series fit a frequency.

Rows off a grid are moved to its nearest step, and rows of one step are averaged. That repairs
jitter and stray rows. It would make other data of rows that the frequency does not describe, so
three kinds of misfits are found:

- *Finer rows.* More than a tenth of an item's timestamps share a step with another timestamp, as
  daily rows do in weeks. The series is irregular.
- *Other grid.* Nearly all rows but the last are on one grid, and the last is not on it. All would
  be moved, because a grid passes through its last row. Or nearly all are on another day of the
  month. The series is irregular.
- *Coarser rows.* The rows have a regular frequency that is a multiple of the given one, as weekly
  rows have on a grid of days: most steps would be empty.

A partition is refused if most of its series have finer rows, or most have coarser ones.
"""

from dataclasses import replace

import numpy as np

from gigacast.core.array import BoolArray, IntArray
from gigacast.core.plural import counted
from gigacast.core.series.reason import Reason
from gigacast.core.time.calendar_grid import DAY_US
from gigacast.core.time.frequency import Frequency
from gigacast.errors import SchemaError
from gigacast.series.arrange import FEWEST_TIMESTAMPS, first_of_times
from gigacast.series.grid import find_frequencies, last_times, steps_before_last
from gigacast.series.inference import Inferred
from gigacast.series.rows import ItemRows
from gigacast.series.segment import count_segments, reduce_segments, spread
from gigacast.series.source import ReadStats

_NEAR_DAYS_US = 4 * DAY_US  # first and last business days are in the first and last four days


def drop_misfits(items: ItemRows, inferred: Inferred, stats: ReadStats | None) -> Inferred:
    """Return the frequencies without those that the rows do not fit. Rows are sorted by time.

    ``stats`` counts the items with finer and with coarser rows, for a frequency of the settings.
    """
    if inferred.regular.all() or not inferred.frequencies:
        return inferred
    if stats is not None:
        stats.timed_items += int(np.count_nonzero(np.diff(items.offsets)))
    if _is_full_grid(items, inferred):
        return replace(inferred, regular=np.ones(len(items), np.bool_))
    steps, off_grid = steps_before_last(items, inferred)
    finer = _have_finer_rows(items, steps) & (inferred.codes >= 0)
    misfits = finer | (_are_on_other_grid(items, inferred, steps, off_grid) & ~finer)
    if stats is not None:
        _count(items, (finer, steps), inferred.frequencies[0], stats)
    return _without(inferred, misfits)


def drop_endless(items: ItemRows, inferred: Inferred, horizon: int, limit: int) -> Inferred:
    """Return the frequencies without those whose horizon runs past ``limit``.

    Such horizons come from gaps of centuries. Later timestamps would wrap around, or could be read
    by no other program.
    """
    spans = [min(frequency.span_us(horizon), limit) for frequency in inferred.frequencies]
    ends = last_times(items) + np.array([*spans, 0], np.int64)[inferred.codes]
    return _without(inferred, (inferred.codes >= 0) & (ends >= limit) & (horizon > 0))


def _without(inferred: Inferred, misfits: BoolArray) -> Inferred:
    if not misfits.any():
        return inferred
    return replace(
        inferred,
        codes=np.where(misfits, -1, inferred.codes),
        reasons=np.where(misfits, np.int8(Reason.IRREGULAR), inferred.reasons),
        regular=inferred.regular & ~misfits,
    )


def check_fit(stats: ReadStats, freq: Frequency | None, name: str) -> None:
    """Check that the given frequency is that of most items.

    Raises
    ------
    SchemaError
        If it is coarser or finer than the rows of most items.
    """
    if freq is None:
        return
    for count, kind, remedy in (
        (
            stats.finer_items,
            "coarser",
            "make a value of the rows of each step by --aggregate sum (or mean, last, ...)",
        ),
        (stats.coarser_items, "finer", "leave freq out"),
    ):
        # Most items, not some: single ones that do not fit are flagged and do not fail the
        # partition.
        if count * 2 > stats.timed_items:
            rows = f" ({stats.rows_freq})" if stats.rows_freq else ""
            raise SchemaError(
                f"{name}: the frequency {freq} is {kind} than that of the rows{rows}, in {count} "
                f"of {counted(stats.timed_items, 'item')}",
                hint=f"{remedy}, or set freq to the frequency of the rows; by default it is found "
                "for each series",
            )


def _is_full_grid(items: ItemRows, inferred: Inferred) -> bool:
    """Check whether all items have one fixed frequency, and a row at each step."""
    frequency = inferred.frequencies[0]
    if len(inferred.frequencies) > 1 or frequency.kind not in {"fixed", "steps"}:
        return False
    if inferred.codes.any():
        return False
    differs = np.diff(items.times) != frequency.count
    borders = items.offsets[1:-1]
    borders = borders[(borders > 0) & (borders < len(items.times))]
    differs[borders - 1] = False
    return not differs.any()


def _have_finer_rows(items: ItemRows, steps: IntArray) -> BoolArray:
    shares = np.zeros(len(steps), np.bool_)
    shares[1:] = (steps[1:] == steps[:-1]) & (items.times[1:] != items.times[:-1])
    starts = items.offsets[:-1]
    shares[starts[starts < len(shares)]] = False
    if not shares.any():
        return np.zeros(len(items), np.bool_)
    shared = count_segments(shares, items.offsets)
    distinct = count_segments(first_of_times(items.times, items.offsets), items.offsets)
    # One stray timestamp of a short series is no other frequency.
    finer: BoolArray = (shared * 10 > distinct) & ((shared > 1) | (distinct <= 3))
    return finer


def _are_on_other_grid(
    items: ItemRows, inferred: Inferred, steps: IntArray, off_grid: BoolArray
) -> BoolArray:
    is_off = np.zeros(len(items), np.bool_)
    lengths = np.diff(items.offsets)
    # All rows but the last, and stray ones, must be off the grid.
    suspects = (count_segments(off_grid, items.offsets) * 10 >= (lengths - 1) * 9) & (lengths > 3)
    if not (suspects & (inferred.codes >= 0)).any():
        return is_off
    last = spread(last_times(items), items.offsets)
    for code, frequency in enumerate(inferred.frequencies):
        members = np.flatnonzero(suspects & (inferred.codes == code))
        if len(members) == 0 or frequency.kind == "business":
            continue
        rows = np.flatnonzero(spread(np.isin(np.arange(len(items)), members), items.offsets))
        off = np.zeros(len(steps), np.int64)
        off[rows] = items.times[rows] - frequency.shift(last[rows], -steps[rows])
        is_off[members] = _share_an_offset(off, items.offsets, frequency)[members]
    return is_off


def _share_an_offset(off: IntArray, offsets: IntArray, frequency: Frequency) -> BoolArray:
    """Check whether nearly all rows but the last are equally far from the grid, and not near."""
    near = _NEAR_DAYS_US if frequency.kind == "months" else frequency.count // 20
    far = np.abs(off) > near
    if frequency.kind != "months":
        far[1:] &= off[1:] == off[:-1]
        first = offsets[:-1]
        second = first[np.diff(offsets) > 1]
        far[second] = far[second + 1]
    share: BoolArray = count_segments(far, offsets) * 10 >= (np.diff(offsets) - 2) * 9
    return share & (np.diff(offsets) > 3)


def _count(
    items: ItemRows, measured: tuple[BoolArray, IntArray], freq: Frequency, stats: ReadStats
) -> None:
    finer, steps = measured
    stats.finer_items += int(np.count_nonzero(finer))
    sparse = _sparse_items(items, steps)
    # One item names the frequency of the finer rows in the message.
    example = np.flatnonzero(finer)[:1]
    chosen = np.concatenate([example, sparse])
    if len(chosen) == 0:
        return
    own = find_frequencies(items.take_runs(chosen), steps=freq.kind == "steps")
    # Sparse rows on the grid itself, such as those of days with a sale, are not coarser.
    coarser = [
        typical_length(frequency) * 10 > typical_length(freq) * 19 for frequency in own.frequencies
    ]
    is_named = np.array([*coarser, False])[own.codes]
    stats.coarser_items += int(np.count_nonzero(is_named[len(example) :]))
    is_named[: len(example)] = own.codes[: len(example)] >= 0
    if stats.rows_freq is None and is_named.any():
        stats.rows_freq = own.frequencies[own.codes[is_named][0]].alias


def typical_length(frequency: Frequency) -> int:
    """Return the typical length of a step, in the unit of the times."""
    units = {"months": 30 * DAY_US, "business": DAY_US}
    return frequency.count * units.get(frequency.kind, 1)


def _sparse_items(items: ItemRows, steps: IntArray) -> IntArray:
    """Return the items with enough timestamps, all of which are two steps apart or more."""
    gaps = np.full(len(steps), np.iinfo(np.int64).max)
    gaps[1:] = steps[:-1] - steps[1:]
    starts = items.offsets[:-1]
    gaps[starts[starts < len(gaps)]] = np.iinfo(np.int64).max
    gaps[gaps == 0] = np.iinfo(np.int64).max  # rows of one timestamp
    least = reduce_segments(np.minimum, gaps, items.offsets, 0)
    return np.flatnonzero((least > 1) & (np.diff(items.offsets) >= FEWEST_TIMESTAMPS))
