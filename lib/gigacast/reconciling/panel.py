"""The series of a month with their sums, as one batch: sums first, level by level."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import DoubleArray, IntArray
from gigacast.core.column import text_column, to_arrow, to_numpy
from gigacast.core.series.base import split_bases
from gigacast.core.series.batch import NO_TIME, SeriesBatch
from gigacast.core.series.reason import Reason
from gigacast.errors import ConfigError
from gigacast.reconciling.projection import Hierarchy

TOTAL = "(total)"


@dataclass(frozen=True)
class Panel:
    """N series of one target, frequency and end, and their A sums.

    Parameters
    ----------
    series : SeriesBatch
        A + N series, the sums first; item ids are text.
    hierarchy : Hierarchy
    items : list of pa.Array [A + N]
        Columns of items; null where a sum is over all values of the column.
    sum_by : pa.Array [A + N]
        Columns by which a sum is formed; null for the series themselves.
    """

    series: SeriesBatch
    hierarchy: Hierarchy
    items: list[pa.Array]
    sum_by: pa.Array


def check_sums(sums: Sequence[str], columns: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the columns of each level of sums, the total first.

    Raises
    ------
    ConfigError
        If a column is none of those that name items, or a level is of all of them.
    """
    levels: list[tuple[str, ...]] = [()]
    for text in sums:
        named = [name.strip() for name in text.split(",") if name.strip()]
        unknown = [name for name in named if name not in columns]
        if unknown or not named:
            raise ConfigError(
                f"sum: {unknown[0] if unknown else text!r} is no column that names items",
                hint=f"name them by --item_columns; there are: {', '.join(columns) or 'none'}",
            )
        level = tuple(name for name in columns if name in named)
        if level == tuple(columns):
            raise ConfigError(
                f"sum: {text!r} are all columns of items, which is the series themselves",
                hint="leave one out",
            )
        if level not in levels:
            levels.append(level)
    return levels


def panels_of(
    batch: SeriesBatch, levels: Sequence[tuple[str, ...]]
) -> tuple[list[Panel], IntArray]:
    """Return the panels of a batch, and the rows that are in none of them.

    Sums are of series of one target and frequency that end at the same time, which is that of most
    of them: the forecasts of others are of other times. One without a value says nothing at all.

    Parameters
    ----------
    batch : SeriesBatch
    levels : sequence of tuple of str
        See `check_sums`.
    """
    targets = batch.target_names.dictionary_encode()
    target = np.asarray(to_numpy(targets.indices), np.int64)
    owner = np.repeat(np.arange(len(batch)), batch.lengths)
    values = np.bincount(owner[np.isfinite(batch.values)], minlength=len(batch))
    is_usable = (values > 0) & (batch.frequency_codes >= 0) & (batch.last_timestamps != NO_TIME)
    is_usable &= ~np.isin(batch.reasons, [Reason.EMPTY, Reason.ALL_NULL, Reason.NOT_FINITE])
    block = target * (len(batch.frequencies) + 1) + batch.frequency_codes
    panels, is_summed = [], np.zeros(len(batch), np.bool_)
    for code in np.unique(block[is_usable]):
        rows = np.flatnonzero(is_usable & (block == code))
        ends, counts = np.unique(batch.last_timestamps[rows], return_counts=True)
        # The latest, if several are as frequent.
        end = ends[::-1][counts[::-1].argmax()]
        rows = rows[batch.last_timestamps[rows] == end]
        is_summed[rows] = True
        panels.append(_panel(batch.take(rows), levels))
    return panels, np.flatnonzero(~is_summed)


def _panel(batch: SeriesBatch, levels: Sequence[tuple[str, ...]]) -> Panel:
    names = [field.name for field in batch.item_fields()]
    columns = batch.item_columns()
    codes, counts, firsts = [], [], []
    for level in levels:
        code, first = _groups([columns[names.index(name)] for name in level], len(batch))
        codes.append(code)
        counts.append(len(first))
        firsts.append(first)
    hierarchy = Hierarchy(tuple(codes), tuple(counts))
    items = [
        _with_sums(column, name, levels, firsts)
        for name, column in zip(names, columns, strict=True)
    ]
    labels = [", ".join(level) or TOTAL for level in levels]
    sum_by = [label for label, count in zip(labels, counts, strict=True) for _ in range(count)]
    series = _sums_of(batch, hierarchy)
    return Panel(
        series,
        hierarchy,
        items,
        pa.concat_arrays([text_column(sum_by), pa.nulls(len(batch), pa.string())]),
    )


def _groups(columns: Sequence[pa.Array], count: int) -> tuple[IntArray, IntArray]:
    """Return the group of each row by the values of columns, and the first row of each group."""
    code = np.zeros(count, np.int64)
    for column in columns:
        values = np.asarray(to_numpy(column.dictionary_encode().indices), np.int64)
        # Dense after each column: products of many columns would overflow.
        _, code = np.unique(code * (int(values.max(initial=0)) + 1) + values, return_inverse=True)
        code = code.ravel()
    _, first = np.unique(code, return_index=True)
    return code.astype(np.int64), first.astype(np.int64)


def _with_sums(
    column: pa.Array, name: str, levels: Sequence[tuple[str, ...]], firsts: Sequence[IntArray]
) -> pa.Array:
    parts = [
        column.take(to_arrow(first)) if name in level else pa.nulls(len(first), column.type)
        for level, first in zip(levels, firsts, strict=True)
    ]
    return pa.concat_arrays([*parts, column])


def _sums_of(batch: SeriesBatch, hierarchy: Hierarchy) -> SeriesBatch:
    """Return sums and series as one batch.

    A series counts as zero before its first value. Where it lacks one later, its sums lack it too.
    """
    lengths, owner = batch.lengths, np.repeat(np.arange(len(batch)), batch.lengths)
    steps = int(lengths.max())
    # Steps are counted from the end, which is the same for all.
    step = steps - lengths[owner] + (np.arange(len(owner)) - batch.offsets[:-1][owner])
    is_missing = ~np.isfinite(batch.values)
    exact = batch.values.astype(np.float64)
    if batch.bases is not None:
        exact += batch.bases[owner]
    filled = np.where(is_missing, 0.0, exact)
    parts, sizes = [], []
    for codes, count in zip(hierarchy.codes, hierarchy.counts, strict=True):
        cell = codes[owner] * steps + step
        total = np.bincount(cell, filled, minlength=count * steps)
        total[np.bincount(cell, is_missing, minlength=count * steps) > 0] = np.nan
        longest = np.zeros(count, np.int64)
        np.maximum.at(longest, codes, lengths)
        is_within = np.arange(steps) >= (steps - longest)[:, None]
        parts.append(total.reshape(count, steps)[is_within])
        sizes.append(longest)
    number = hierarchy.sums
    offsets = np.cumsum(np.concatenate([[0], *sizes, lengths]))
    sums, bases = split_bases(np.concatenate(parts), offsets[: number + 1])
    names = [f"{TOTAL}{place}" for place in range(number)]
    ids = pa.concat_arrays([text_column(names), pc.cast(batch.item_ids, pa.string())])
    return SeriesBatch(
        item_ids=ids,
        target_names=pa.concat_arrays(
            [batch.target_names.take(to_arrow(np.zeros(number, np.int64))), batch.target_names]
        ),
        values=np.concatenate([sums, batch.values]),
        offsets=offsets.astype(np.int64),
        last_timestamps=np.concatenate(
            [np.repeat(batch.last_timestamps[:1], number), batch.last_timestamps]
        ),
        frequencies=batch.frequencies,
        frequency_codes=np.concatenate(
            [np.repeat(batch.frequency_codes[:1], number), batch.frequency_codes]
        ),
        reasons=np.concatenate([np.zeros(number, np.int8), batch.reasons]),
        timestamp_type=batch.timestamp_type,
        bases=_joined(bases, number, batch),
    )


def _joined(bases: DoubleArray | None, count: int, batch: SeriesBatch) -> DoubleArray | None:
    """Return the bases of sums and series; ``None`` if neither have any."""
    if bases is None and batch.bases is None:
        return None
    own = np.zeros(count) if bases is None else bases
    return np.concatenate([own, np.zeros(len(batch)) if batch.bases is None else batch.bases])
