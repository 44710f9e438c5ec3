"""A partition with one row per calendar bin, made before it is measured or cleaned.

Columns of numbers get the operation, others the last value of the bin. A bin with rows of several
files belongs to the file with its last row, which reads the rows of the others
(`gigacast.quality.neighbours`).
"""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import BoolArray, IntArray
from gigacast.core.column import is_number, to_arrow, to_numpy
from gigacast.core.footer import VerifiedParquet
from gigacast.core.time.bins import Bins
from gigacast.core.time.frequency import Frequency
from gigacast.core.time.trading_calendar import Calendar
from gigacast.core.time.zone import from_wall
from gigacast.errors import SchemaError
from gigacast.job.file_job import Reading
from gigacast.quality.columns import Arranged, Expectation
from gigacast.quality.file import Keys, PartitionFile
from gigacast.quality.neighbours import Joined, joined_with_neighbours, months_around
from gigacast.series.aggregation.aggregate import Cut, covered_bins, cut_bins
from gigacast.series.aggregation.reduce import reduce_numbers
from gigacast.series.fit import check_fit
from gigacast.series.rows import ItemRows
from gigacast.series.segment import offsets_of, spread
from gigacast.series.source import Aggregate, PartialBins, ReadStats
from gigacast.series.timestamp import Clock
from gigacast.series.value import read_values
from gigacast.settings.command.quality import DuplicatePolicy
from gigacast.storage.parquet.writer import table_bytes
from gigacast.storage.store import Store


@dataclass(frozen=True)
class Binning:
    """How the rows of partitions are aggregated.

    Parameters
    ----------
    how : str
        Value of a bin, see `gigacast.series.source.Aggregation`.
    frequency : Frequency
        Frequency of the bins.
    partial : str
        Whether the first and last bin of a series stay (``keep``) or not (``drop``) if its rows do
        not cover them.
    duplicates : str
        Row to keep among those of the same series and time.
    """

    how: Aggregate
    frequency: Frequency
    partial: PartialBins = "drop"
    duplicates: DuplicatePolicy = "last"

    def to_list(self) -> list[str]:
        """Return the aggregation as it is named in a spec."""
        return [self.how, self.frequency.anchored_alias, self.partial]

    @property
    def months_around(self) -> int:
        """Number of months before and after a file that its bins may reach into."""
        return months_around(self.frequency)


@dataclass(frozen=True, slots=True)
class LostRows:
    """The rows of a partition that are not in its bins.

    Parameters
    ----------
    rows : int
        Rows of the partition.
    null_keys, duplicates, unordered : int
        Rows without a series or time; rows dropped because they repeat a key; rows out of order.
    partial_bins, partial_rows : int
        Bins that are left out because the rows of their series do not cover them, and their rows.
    carried : int
        Rows in bins of another file.
    """

    rows: int
    null_keys: int
    duplicates: int
    unordered: int
    partial_bins: int
    partial_rows: int
    carried: int


@dataclass(frozen=True, slots=True)
class Binned:
    """A partition in bins.

    Parameters
    ----------
    file : PartitionFile
        A row per bin.
    keys : Keys
        Keys of the rows of the partition.
    lost : LostRows
    expect : Expectation
        Times at which a bin is expected.
    """

    file: PartitionFile
    keys: Keys
    lost: LostRows
    expect: Expectation


@dataclass(frozen=True, slots=True)
class _Groups:
    """The bins of a partition and its neighbours.

    Parameters
    ----------
    rows : int64 [R]
        Rows of the files, in the order of series and time, without duplicates.
    starts : int64 [B]
        First of these rows in each bin.
    owned : bool [B]
        Bins whose last row is in the partition.
    covered : bool [B]
        Bins that stay wherever they belong.
    made : int64 [M]
        Bin of each row that is made. A row of a bin without rows has the next bin with rows.
    is_empty : bool [M]
        Rows of bins without rows, which only a count has.
    times : int64 [M]
        Labels of the bins, in microseconds of UTC or steps.
    """

    rows: IntArray
    starts: IntArray
    owned: BoolArray
    covered: BoolArray
    made: IntArray
    is_empty: BoolArray
    times: IntArray


def aggregate_partition(
    store: Store, file: PartitionFile, reading: Reading, binning: Binning
) -> Binned:
    """Return a partition with one row per bin.

    Parameters
    ----------
    store : Store
        Store of the inputs of the partition's task, of which all but the last are its neighbours.
    file : PartitionFile
    reading : Reading
    binning : Binning

    Raises
    ------
    SchemaError
        If most series have coarser rows than the bins, or a neighbour has other columns.
    CorruptedFileError
    """
    keys = file.keys()
    clock = _clock_of(keys, reading, binning.frequency)
    with joined_with_neighbours(store, file, keys, binning.frequency, clock) as joined:
        rows_keys = keys if joined.file is file else joined.file.keys()
        keep = _without_duplicates(rows_keys.arranged, binning)
        stats = ReadStats()
        groups = _groups_of(joined, rows_keys.arranged, keep, clock, binning, stats)
        check_fit(stats, binning.frequency, file.task.partition)
        table = _binned_table(joined.file, clock, groups, binning.how)
    # In Parquet in memory, so that everything after it reads a partition like any other.
    content = io.BytesIO(table_bytes(table, "none"))
    lost = _lost_rows(joined, keys, rows_keys.arranged, keep, groups)
    expect = _expectation(reading, binning.frequency, clock)
    return Binned(file.with_rows(VerifiedParquet(content)), keys, lost, expect)


def _clock_of(keys: Keys, reading: Reading, freq: Frequency) -> Clock:
    """Return the clock of the bins: days are those of the zone of the settings, if it is named."""
    clock = keys.clock
    if (freq.kind == "steps") != clock.counts_steps:
        raise SchemaError(
            f"the timestamps do not fit the bins of {freq}",
            hint="change --freq, or set timestamp_unit to the unit of the numbers",
        )
    if reading.zone is not None and not clock.counts_steps:
        return Clock(pa.timestamp("us", reading.zone), clock.unit)
    return clock


def _without_duplicates(arranged: Arranged, binning: Binning) -> BoolArray:
    repeated = arranged.repeated
    if binning.duplicates == "first":
        return ~repeated
    if binning.duplicates == "last":
        return ~np.append(repeated[1:], False)[: len(repeated)]
    return np.ones(len(repeated), np.bool_)


def _order_of(arranged: Arranged) -> IntArray:
    return np.arange(len(arranged.times)) if arranged.order is None else arranged.order


def _groups_of(
    joined: Joined,
    arranged: Arranged,
    keep: BoolArray,
    clock: Clock,
    binning: Binning,
    stats: ReadStats,
) -> _Groups:
    freq = binning.frequency
    counts = offsets_of(keep)[arranged.offsets]
    codes = to_arrow(np.arange(len(arranged.codes), dtype=np.int64))
    runs = np.ones(len(arranged.codes), np.bool_)
    items = ItemRows(codes, counts, arranged.times[keep], (), runs)
    cut = cut_bins(items, freq, clock)
    covered = covered_bins(items, cut, clock, stats)
    if binning.partial == "keep":
        covered = np.ones(len(covered), np.bool_)
    rows = _order_of(arranged)[keep]
    last = np.append(cut.starts[1:], len(rows))[: len(cut.starts)] - 1
    owned = joined.are_own(rows)[last]
    labelled, before = _made_bins(cut, owned & covered, joined.file, fills=binning.how == "count")
    shifts = spread(cut.shifts, cut.offsets)[labelled]
    labels = cut.bins.labels(cut.numbers[labelled] - before, shifts)
    times = from_wall(labels, clock.zone if freq.in_wall_time else None)
    return _Groups(rows, cut.starts, owned, covered, labelled, before > 0, times)


def _made_bins(
    cut: Cut, keep: BoolArray, file: PartitionFile, *, fills: bool
) -> tuple[IntArray, IntArray]:
    """Return the bin of each row that is made, and how many bins before it the row is, int64 [M].

    With ``fills``, bins without rows between two bins of a series get a row too.
    """
    indices = np.flatnonzero(keep)
    if not fills:
        return indices, np.zeros(len(indices), np.int64)
    empty = np.diff(cut.numbers, prepend=0) - 1
    empty[cut.offsets[:-1][np.diff(cut.offsets) > 0]] = 0  # before the first bin of a series
    counts = empty[indices] + 1
    # A row of long ago may have made millions of bins.
    file.check_size(int(counts.sum()))
    ends = np.repeat(np.cumsum(counts), counts)
    return np.repeat(indices, counts), ends - 1 - np.arange(len(ends))


def _lost_rows(
    joined: Joined, keys: Keys, arranged: Arranged, keep: BoolArray, groups: _Groups
) -> LostRows:
    own = joined.are_own(groups.rows)
    by_bin = np.zeros(0, np.int64)
    if len(groups.starts):
        by_bin = np.add.reduceat(own, groups.starts, dtype=np.int64)
    partial = groups.owned & ~groups.covered
    return LostRows(
        rows=keys.arranged.rows,
        null_keys=keys.arranged.rows - len(keys.arranged.times),
        duplicates=int(np.count_nonzero(joined.are_own(_order_of(arranged)[~keep]))),
        unordered=keys.arranged.unordered,
        partial_bins=int(np.count_nonzero(partial)),
        partial_rows=int(by_bin[partial].sum()),
        carried=int(by_bin[~groups.owned].sum()),
    )


def _expectation(reading: Reading, freq: Frequency, clock: Clock) -> Expectation:
    # Longer bins are expected whatever the days of trade; the calendar counts shorter steps only.
    is_long = freq.in_wall_time and freq.kind != "business" and freq != Frequency.parse("D")
    calendar = Calendar() if is_long else reading.calendar
    return Expectation(calendar, Bins(freq).step, clock.counts_steps, clock.zone)


# -- columns ---------------------------------------------------------------------------------------


def _binned_table(
    file: PartitionFile, clock: Clock, groups: _Groups, operation: Aggregate
) -> pa.Table:
    columns: dict[str, Any] = {}
    for name in file.schema.names:
        is_time = name == file.timestamp
        columns[name] = (
            _time_column(clock, groups) if is_time else _column(file, name, groups, operation)
        )
    return pa.table(columns)


def _time_column(clock: Clock, groups: _Groups) -> pa.Array:
    times = to_arrow(groups.times)
    return times if clock.counts_steps else times.cast(pa.timestamp("us", "UTC"))


def _column(file: PartitionFile, name: str, groups: _Groups, operation: Aggregate) -> pa.Array:
    """Return one value per bin of a column."""
    column = file.column(name).combine_chunks()
    rows = column.take(to_arrow(groups.rows))
    is_value = name not in file.ids and is_number(column.type)
    if is_value and operation in {"sum", "mean", "min", "max", "count"}:
        if pa.types.is_integer(column.type) and operation in {"min", "max"} and len(groups.starts):
            return _whole_extreme(rows, groups, is_least=operation == "min")
        values = reduce_numbers(read_values(rows), groups.starts, operation)[groups.made]
        if operation == "count":
            return to_arrow(np.where(groups.is_empty, 0, values).astype(np.int64))
        return to_arrow(values, np.isnan(values))  # a missing value is null
    chosen = rows.take(to_arrow(_chosen(rows, groups, last=operation != "first" or not is_value)))
    if name in file.ids or not groups.is_empty.any():
        return chosen
    return pc.if_else(to_arrow(groups.is_empty), pa.nulls(1, chosen.type)[0], chosen)


def _whole_extreme(rows: pa.Array, groups: _Groups, *, is_least: bool) -> pa.Array:
    """Return the least or greatest integer of each bin: not by floats, which lose digits."""
    kind = np.iinfo(rows.type.to_pandas_dtype())
    operation, neutral = (np.minimum, kind.max) if is_least else (np.maximum, kind.min)
    filled = to_numpy(pc.fill_null(rows, pa.scalar(neutral, rows.type)))
    has_value = np.logical_or.reduceat(to_numpy(rows.is_valid()), groups.starts)
    values = operation.reduceat(filled, groups.starts)
    return to_arrow(values[groups.made], ~has_value[groups.made])


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
    return chosen[groups.made]
