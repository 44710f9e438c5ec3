"""Rows that share the series and the time of another row.

A series has one value per time. Rows that repeat it exactly are harmless. Rows that say different
values are *conflicting*: mostly they belong to several items whose column was not named, and their
mean is the history of none. So more than a small share of them is refused; `ReadOptions.duplicates`
says what becomes of them instead.

The rows are counted once an item is complete and its old rows are dropped, so that the counts do
not depend on row groups, batches or memory.
"""

import shlex
import warnings
from collections.abc import Mapping

import numpy as np

from gigacast.core.array import AnyArray, BoolArray, DoubleArray, IntArray, RealArray
from gigacast.core.column import to_arrow
from gigacast.core.plural import counted
from gigacast.errors import SchemaError
from gigacast.series.arrange import first_of_times
from gigacast.series.columns import JOIN_HALVES
from gigacast.series.rows import ItemRows
from gigacast.series.segment import offsets_of, spread
from gigacast.series.source import ConflictSample, DuplicatePolicy, ReadStats
from gigacast.series.value import CategoryCodes

SAMPLE = 200
"""Conflicting keys that suffice to search the columns which tell rows apart."""
_REMEDY = "or choose a policy for them: --duplicates mean, sum, last or first"


def settle_duplicates(
    items: ItemRows,
    columns: tuple[str, ...],
    categories: Mapping[str, CategoryCodes],
    policy: DuplicatePolicy | None,
    stats: ReadStats,
    *,
    averages: bool = False,
) -> ItemRows:
    """Count conflicting rows, and return the items with one row per time if the policy makes one.

    Means are only made if requested: on a grid, those of rows that share a step include them.

    Parameters
    ----------
    items : ItemRows
        Complete items, sorted by time; rows of one time in the order of the sources.
    columns : tuple of str
        Names of the first columns of values. A last one without a name states frequencies.
    categories : mapping
        Codes of the columns that hold categories.
    policy : str or None
        Policy of the settings.
    stats : ReadStats
        Updated: ``conflicts``, ``compared``, ``sample``.
    averages : bool
        Whether rows of one time are averaged if no other policy is chosen.
    """
    first = count_conflicts(items, len(columns), stats)
    if first is None:
        return items
    starts = np.flatnonzero(first)
    named = items.values[: len(columns)]
    chosen = policy if policy in {"sum", "last", "first"} else "mean"
    if chosen == "mean" and not averages:
        return items
    values = tuple(
        _reduce(values, starts, chosen, categories.get(name))
        for name, values in zip(columns, named, strict=True)
    )
    # If rows disagree about the frequency of their item, the greatest packed number wins.
    stated = tuple(np.fmax.reduceat(column, starts) for column in items.values[len(columns) :])
    return ItemRows(
        items.item_ids,
        offsets_of(first)[items.offsets],
        items.times[first],
        values + stated,
        items.primary,
    )


def count_conflicts(items: ItemRows, columns: int, stats: ReadStats) -> BoolArray | None:
    """Count conflicting rows, and return which rows are the first of their series and time.

    Parameters
    ----------
    items : ItemRows
        Items sorted by time.
    columns : int
        Number of the first columns of values; a last one may state frequencies.
    stats : ReadStats
        Updated: ``conflicts``, ``compared``, ``sample``.

    Returns
    -------
    bool [R] or None
        ``None`` if no time occurs twice.
    """
    stats.compared += len(items.times)
    first = first_of_times(items.times, items.offsets)
    if first.all():
        return None
    starts = np.flatnonzero(first)
    repeats = np.diff(np.append(starts, len(first))) - 1
    differ = [_differ(values, starts) for values in items.values[:columns]]
    is_conflict = np.logical_or.reduce(differ)
    stats.conflicts += int(repeats[is_conflict].sum())
    if stats.sample is None and is_conflict.any():
        stats.sample = _sample(items, starts[is_conflict])
    return first


def conflict_limit(policy: DuplicatePolicy | None, share: float) -> float:
    """Return the share of conflicting rows up to which a policy lets them pass."""
    if policy is None:
        return share
    return 0.0 if policy == "error" else 1.0


def conflict_error(
    name: str,
    stats: ReadStats,
    apart: tuple[str, ...],
    ids: tuple[str, ...] = (),
    halves: tuple[str, ...] = (),
) -> SchemaError:
    """Return the refusal of conflicting rows.

    Parameters
    ----------
    name : str
        Name of the partition's source.
    stats : ReadStats
    apart : tuple of str
        Columns that tell the rows apart; empty if none do.
    ids : tuple of str
        Columns of item ids so far; none by default.
    halves : tuple of str
        Columns of dates and of times of day, if times are written in both; none by default.
    """
    item = f" (such as {stats.sample.items[0].as_py()!r})" if stats.sample is not None else ""
    verb = "has" if stats.conflicts == 1 else "have"
    cause, hint = cause_of(apart), f"{remedy_of(apart, ids)}, {_REMEDY}"
    if halves:
        cause = (
            f"; {halves[0]!r} has only a part of their times, and {halves[1]!r} may have the rest"
        )
        hint = f"{JOIN_HALVES}; if {halves[1]!r} is no time, {hint}"
    return SchemaError(
        f"{name}: {stats.conflicts:,} of {stats.compared:,} rows {verb} the series{item} and the "
        f"time of another row, and other values{cause}",
        hint=hint,
    )


def cause_of(apart: tuple[str, ...]) -> str:
    """Return the columns that tell rows apart as the end of a sentence; empty without any."""
    names = " and ".join(repr(column) for column in apart)
    if len(apart) == 1:
        return f"; the column {names} tells them apart"
    return f"; the columns {names} tell them apart" if apart else ""


def remedy_of(apart: tuple[str, ...], ids: tuple[str, ...]) -> str:
    """Return how to name the columns that tell rows apart, beside those of ids so far."""
    flag = item_flag(apart, ids)
    several = "s" if flag.startswith("--item_columns") else ""
    return f"name the column{several} of item ids by {flag}"


def item_flag(apart: tuple[str, ...], ids: tuple[str, ...]) -> str:
    """Return the flag for the columns that tell rows apart, beside those of ids so far."""
    columns = (*ids, *(name for name in apart if name not in ids)) if apart else ()
    if len(columns) > 1:
        return f"--item_columns {shlex.quote(','.join(columns))}"
    return f"--item_column {shlex.quote(columns[0])}" if columns else "--item_column"


def conflict_text(conflicts: int) -> str:
    """Return the sentence about conflicting rows that were averaged."""
    return (
        f"{counted(conflicts, 'row')} with the series and the time of another row, and other "
        "values: their mean is taken; the option duplicates says what becomes of them: mean, sum, "
        "last, first or error"
    )


def warn_of_conflicts(conflicts: int, policy: DuplicatePolicy | None) -> None:
    """Warn of conflicting rows that were few enough to be averaged; not if the settings say how."""
    if conflicts and policy is None:
        warnings.warn(conflict_text(conflicts), UserWarning, stacklevel=4)


def dropped_text(dropped: int) -> str:
    """Return the sentence about rows that are in no series."""
    return f"rows without an item id or a readable time are left out: {dropped:,}"


def warn_of_dropped(dropped: int) -> None:
    """Warn of rows of a frame that are in no series."""
    if dropped:
        warnings.warn(dropped_text(dropped), UserWarning, stacklevel=4)


def warn_of_no_rows() -> None:
    """Warn that a frame has no rows, as a reader that was read before."""
    text = "the data has no rows, so that nothing is forecast; a reader can be read once"
    warnings.warn(text, UserWarning, stacklevel=4)


def _differ(values: RealArray, starts: IntArray) -> BoolArray:
    """Return which groups of rows hold different values. NaN says nothing, so it never differs."""
    low, high = np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)
    differs: BoolArray = low < high
    return differs


def _sample(items: ItemRows, rows: IntArray) -> ConflictSample:
    """Return the first conflicting keys."""
    rows = rows[:SAMPLE]
    owners = spread(np.arange(len(items), dtype=np.int64), items.offsets)[rows]
    return ConflictSample(items.item_ids.take(to_arrow(owners)), items.times[rows])


def _reduce(
    values: RealArray, starts: IntArray, policy: str, codes: CategoryCodes | None
) -> RealArray:
    if policy in {"last", "first"}:
        return pick(values, starts, last=policy == "last")
    if codes is None:
        sums = sums_of(values, starts)
        if policy == "sum":
            return sums
        # Without a value a sum is NaN, and so is its mean.
        return sums / np.maximum(np.add.reduceat(~np.isnan(values), starts, dtype=np.int64), 1)
    # There is no sum of categories: as for means, the last text by name stays.
    order = np.lexsort((codes.ranks(values), _groups(starts, len(values))))
    ends = np.append(starts[1:], len(values)) - 1
    latest: RealArray = values[order][ends]
    return latest


def pick(values: RealArray, starts: IntArray, *, last: bool) -> RealArray:
    """Return the last (or first) value of each group that is not NaN."""
    rows = np.arange(len(values), dtype=np.int64)
    missing = np.isnan(values)
    if last:
        chosen = np.maximum.reduceat(np.where(missing, -1, rows), starts)
    else:
        chosen = np.minimum.reduceat(np.where(missing, len(values), rows), starts)
    # Both -1 and R are the place of the NaN that is appended.
    picked: RealArray = np.append(values, np.nan).astype(values.dtype)[chosen]
    return picked


def sums_of(values: RealArray, starts: IntArray) -> DoubleArray:
    """Return the sum of each group without NaN; NaN for groups of NaN only."""
    # Sums of floats depend on the order of the terms. Sorted by value they are the same for any
    # order of rows.
    order = np.lexsort((values, _groups(starts, len(values))))
    terms = values[order].astype(np.float64)
    infinite = np.isinf(terms)
    sums: DoubleArray = np.add.reduceat(np.where(np.isfinite(terms), terms, 0.0), starts)
    sums[np.logical_or.reduceat(infinite, starts)] = np.inf
    sums[np.logical_and.reduceat(np.isnan(terms), starts)] = np.nan
    return sums


def _groups(starts: IntArray, rows: int) -> AnyArray:
    return np.repeat(np.arange(len(starts)), np.diff(np.append(starts, rows)))
