"""A partition with one row per calendar bin, made before it is cleaned.

Columns of numbers get the operation of the rules, others the last value of the bin. Each partition
is aggregated by itself: a bin with rows in two of them is covered by neither.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.cleaning.duplicates import Repeats, find_repeats
from gigacast.cleaning.rules import CleanRules
from gigacast.core.array import BoolArray, IntArray
from gigacast.core.column import is_number, to_arrow, to_numpy
from gigacast.core.footer import VerifiedParquet
from gigacast.core.time.zone import from_wall
from gigacast.errors import SchemaError
from gigacast.job.file_job import Reading
from gigacast.quality.columns import Arranged
from gigacast.quality.file import Keys, PartitionFile
from gigacast.series.aggregation.aggregate import covered_bins, cut_bins
from gigacast.series.aggregation.reduce import reduce_numbers
from gigacast.series.fit import check_fit
from gigacast.series.rows import ItemRows
from gigacast.series.segment import offsets_of, spread
from gigacast.series.source import Aggregate, ReadStats
from gigacast.series.timestamp import Clock
from gigacast.series.value import read_values
from gigacast.storage.parquet.writer import table_bytes


@dataclass(frozen=True, slots=True)
class LostRows:
    """The rows that an aggregation leaves out.

    Parameters
    ----------
    rows : int
        Rows of the partition.
    null_keys, duplicates, unordered : int
        Rows without a series or time; rows that repeat a key; rows out of order.
    partial_bins : int
        Bins that the rows do not cover.
    repeats : Repeats
        Conflicting duplicates.
    """

    rows: int
    null_keys: int
    duplicates: int
    unordered: int
    partial_bins: int
    repeats: Repeats


@dataclass(frozen=True, slots=True)
class _Groups:
    """The bins of a partition.

    Parameters
    ----------
    rows : int64 [R]
        Rows of the file, in the order of series and time, without duplicates.
    starts : int64 [B]
        First of these rows in each bin.
    keep : bool [B]
        Bins that stay.
    times : int64 [B]
        Labels of the bins, in microseconds of UTC or steps.
    """

    rows: IntArray
    starts: IntArray
    keep: BoolArray
    times: IntArray


def aggregated(
    file: PartitionFile, reading: Reading, rules: CleanRules
) -> tuple[PartitionFile, LostRows | None]:
    """Return a partition with one row per bin, and what it lost; itself without an aggregation.

    Raises
    ------
    SchemaError
        If most series have coarser rows than the bins.
    """
    if rules.aggregate is None:
        return file, None
    keys = file.keys()
    arranged = keys.arranged
    keep = _without_duplicates(arranged, rules)
    stats = ReadStats()
    groups = _groups_of(keys, keep, reading, rules, stats)
    check_fit(stats, rules.frequency, file.task.partition)
    schema = file.schema
    columns = {name: _column(file, name, groups, rules.aggregate) for name in schema.names}
    columns[file.timestamp] = _time_column(keys.clock, groups)
    # In Parquet in memory, so that everything after it reads a partition like any other.
    content = io.BytesIO(table_bytes(pa.table(columns), "none"))
    repeats = find_repeats(file, keys) if rules.duplicates != "keep" else Repeats()
    lost = LostRows(
        rows=file.rows,
        null_keys=file.rows - len(arranged.times),
        duplicates=int(len(keep) - np.count_nonzero(keep)),
        unordered=arranged.unordered,
        partial_bins=int(np.count_nonzero(~groups.keep)),
        repeats=repeats,
    )
    return file.with_rows(VerifiedParquet(content)), lost


def with_lost_rows(notes: Mapping[str, Any], lost: LostRows | None) -> dict[str, Any]:
    """Return the notes of a cleaning with the rows that the aggregation before it left out."""
    if lost is None:
        return dict(notes)
    changes, dropped = dict(notes["changes"]), dict(notes["dropped"])
    changes["null_keys"] += lost.null_keys
    changes["duplicates"] += lost.duplicates
    changes["sorted"] += lost.unordered
    changes["aggregated"] = lost.rows - lost.null_keys - lost.duplicates
    changes["partial_bins"] = lost.partial_bins
    dropped |= {
        "null_keys": changes["null_keys"],
        "conflicting": lost.repeats.conflicting,
        "apart": list(lost.repeats.apart),
    }
    reason = notes["lost"]
    if lost.partial_bins and not notes["quality"]["keys"]["rows"]:
        reason = f"no row is left of {lost.rows:,}: they cover none of their calendar bins"
    return {**notes, "lost": reason, "rows_read": lost.rows, "changes": changes, "dropped": dropped}


def _without_duplicates(arranged: Arranged, rules: CleanRules) -> BoolArray:
    repeated = arranged.repeated
    if rules.duplicates == "first":
        return ~repeated
    if rules.duplicates == "last":
        return ~np.append(repeated[1:], False)[: len(repeated)]
    return np.ones(len(repeated), np.bool_)


def _groups_of(
    keys: Keys, keep: BoolArray, reading: Reading, rules: CleanRules, stats: ReadStats
) -> _Groups:
    arranged, freq = keys.arranged, rules.frequency
    assert freq is not None  # noqa: S101 - the rules were checked
    order = np.arange(len(keep)) if arranged.order is None else arranged.order
    counts = offsets_of(keep)[arranged.offsets]
    codes = to_arrow(np.arange(len(arranged.codes), dtype=np.int64))
    runs = np.ones(len(arranged.codes), np.bool_)
    items = ItemRows(codes, counts, arranged.times[keep], (), runs)
    if (freq.kind == "steps") != keys.clock.counts_steps:
        raise SchemaError(
            f"the timestamps do not fit the bins of {freq}",
            hint="change --freq, or set timestamp_unit to the unit of the numbers",
        )
    # Days are those of the zone of the settings, else that of the column.
    clock = keys.clock
    if reading.zone is not None and not clock.counts_steps:
        clock = Clock(pa.timestamp("us", reading.zone), clock.unit)
    cut = cut_bins(items, freq, clock)
    stays = covered_bins(items, cut, clock, stats)
    if rules.partial_bins == "keep":
        stays = np.ones(len(stays), np.bool_)
    labels = cut.bins.labels(cut.numbers, spread(cut.shifts, cut.offsets))
    times = from_wall(labels, clock.zone if freq.in_wall_time else None)
    return _Groups(order[keep], cut.starts, stays, times)


def _time_column(clock: Clock, groups: _Groups) -> pa.Array:
    times = to_arrow(groups.times[groups.keep])
    return times if clock.counts_steps else times.cast(pa.timestamp("us", "UTC"))


def _column(file: PartitionFile, name: str, groups: _Groups, how: Aggregate) -> pa.Array:
    """Return one value per bin of a column."""
    if name == file.timestamp:
        return pa.nulls(0)
    column = file.column(name).combine_chunks()
    rows = column.take(to_arrow(groups.rows))
    is_value = name not in file.ids and is_number(column.type)
    if is_value and how in {"sum", "mean", "min", "max", "count"}:
        values = reduce_numbers(read_values(rows), groups.starts, how)[groups.keep]
        if how == "count":
            return to_arrow(values.astype(np.int64))
        # An integer stays one where the operation gives one; a missing value is null.
        result = to_arrow(values, np.isnan(values))
        is_whole = pa.types.is_integer(column.type) and how in {"min", "max"}
        return result.cast(column.type) if is_whole else result
    return rows.take(to_arrow(_chosen(rows, groups, last=how != "first" or not is_value)))


def _chosen(rows: pa.Array, groups: _Groups, *, last: bool) -> IntArray:
    """Return the last (or first) row of each bin that is not null; any row without such one."""
    starts = groups.starts
    if len(starts) == 0:
        return np.empty(0, np.int64)
    is_float = pa.types.is_floating(rows.type)
    has_value: BoolArray = ~to_numpy(pc.is_null(rows, nan_is_null=is_float))
    places = np.arange(len(rows), dtype=np.int64)
    owners = np.repeat(starts, np.diff(np.append(starts, len(rows))))
    if last:
        chosen = np.maximum.reduceat(np.where(has_value, places, owners), starts)
    else:
        chosen = np.minimum.reduceat(np.where(has_value, places, len(rows)), starts)
        chosen = np.where(chosen < len(rows), chosen, starts)
    return chosen[groups.keep]
