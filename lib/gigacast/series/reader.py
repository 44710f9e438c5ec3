"""The reader, which yields the series of a partition's sources in batches.

::

    sources -> formats -> decode -> stream (contiguous) or sort (memory, disk)
            -> regularise -> batches of the requested size

A first pass over the ids selects the path before anything is returned (`gigacast.series.scan`).
Contiguous rows keep the order of their items; others are returned in the order of their ids. The
content of every series is the same on either path.

Several sources form one partition: they are read one after the other, and the rows of an item may
be in several of them. Only items with a row in a primary source are returned.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow as pa

from gigacast.core.series.batch import SeriesBatch, concat_batches
from gigacast.core.time.bins import Bins
from gigacast.errors import SchemaError
from gigacast.series.aggregation.aggregate import SPARE_BINS, aggregate, in_utc
from gigacast.series.aggregation.wall import WallZone
from gigacast.series.agreement import Agreement, agree
from gigacast.series.apart import find_apart, no_times, time_of_day
from gigacast.series.arrange import count_timed, tail_length
from gigacast.series.complete import Carry, ItemRoom, SortPlan, complete_items, sorted_items
from gigacast.series.covariates import split_covariates
from gigacast.series.duplicates import conflict_error, conflict_limit, count_conflicts
from gigacast.series.fit import check_fit
from gigacast.series.formats import Limits, OpenTable, open_table, read_batches
from gigacast.series.regularise import GridRules, regularise
from gigacast.series.rows import ItemRows
from gigacast.series.source import (
    ConflictSample,
    ReadOptions,
    ReadStats,
    SeriesSource,
    fetched_once,
)

_MAX_BATCH_ROWS = 1 << 18
_MIN_BATCH_ROWS = 1 << 10
_BATCH_SHARE = 16  # 1/16 of the memory for a batch's rows, so that what is made of them fits too
_MOST_KEPT_BYTES = 64 << 20  # contents of small objects, kept between the passes
_LEAST_ITEM_BYTES = 4 << 20  # rows of an item that any memory limit allows
_LEAST_ROWS_PER_TIME = 16  # rows of one time that any memory limit allows
_HOLD_SHARE = 8  # 1/8 of the memory for rows to sort: grouping needs about five times as much


_UNBOUNDED = 1 << 40  # steps of context where no row is too old


class SeriesReader:
    """An iterable of `SeriesBatch`; every iteration reads the sources again.

    Parameters
    ----------
    sources : sequence of SeriesSource
        Objects of one partition.
    options : ReadOptions
        Options.

    Attributes
    ----------
    stats : ReadStats
        Counts of the latest iteration, complete when it is.
    id_columns : tuple of str
        Columns of item ids, known from the first batch on; empty if there is none.
    """

    def __init__(self, sources: Sequence[SeriesSource], options: ReadOptions) -> None:
        # A source is opened for its columns, for the order of its rows, and for the rows.
        kept_bytes = min(_MOST_KEPT_BYTES, options.memory_limit_bytes // _HOLD_SHARE)
        self._sources = tuple(fetched_once(sources, kept_bytes))
        self._options = options
        self.stats = ReadStats()
        self.id_columns: tuple[str, ...] = ()
        self._search: Callable[[ConflictSample | None], tuple[tuple[str, ...], tuple[str, ...]]] = (
            lambda _: ((), ())
        )
        self._halves: Callable[[ConflictSample | None], tuple[str, ...]] = lambda _: ()

    def rows(self) -> Iterator[tuple[ItemRows, tuple[str, ...]]]:
        """Yield runs of rows as they come, with the names of their targets.

        Nothing is sorted, filled, averaged or trimmed; rows without an item are dropped. If rows
        are aggregated, complete items with a row per bin are returned instead, times in UTC.

        Raises
        ------
        CorruptedFileError, SchemaError
        """
        self.stats = ReadStats()
        limits = Limits(_batch_rows(self._options, 1), self._options.memory_limit_bytes)
        tables = self._open(limits)
        if tables:
            with _decoding(tables[0].source.name):
                agreement = agree(tables, self._options, limits)
            self._search = partial(find_apart, tables, agreement.decoder, limits)
            self._halves = partial(time_of_day, tables)
            targets = agreement.decoder.targets
            for part in self._raw_rows(tables, agreement):
                # Covariates, and the frequencies that lists state, are columns of values as well.
                yield replace(part, values=part.values[: len(targets)]), targets
            agreement.decoder.unread.check(tables[0].source.name, tables[0].layout.timestamp)

    def _raw_rows(self, tables: Sequence[OpenTable], agreement: Agreement) -> Iterator[ItemRows]:
        """Yield rows as they come, or a row per bin if they are aggregated."""
        if self._options.aggregation is None:
            yield from (part for part, _ in self._parts(tables, agreement))
            return
        rules = replace(self._rules(agreement), context_length=_UNBOUNDED)
        binning = replace(rules, clock=self._wall(agreement).binning(rules.clock))
        items = self._complete_items(tables, agreement, _UNBOUNDED)
        for part in self._cut_items(items, rules):
            yield in_utc(aggregate(part, binning, self.stats), rules)
        self.check_conflicts()

    def __iter__(self) -> Iterator[SeriesBatch]:
        """Yield the batches.

        Raises
        ------
        CorruptedFileError
            If a source is not of its format.
        SchemaError
            If columns are missing, ambiguous, of an unusable type, or differ between sources; or,
            after the last batch, if too many rows conflict (see `gigacast.series.duplicates`) or
            the given frequency is not that of the rows (`gigacast.series.fit`).
        """
        self.stats = ReadStats()
        limits = Limits(_batch_rows(self._options, 1), self._options.memory_limit_bytes)
        tables = self._open(limits)
        if not any(table.source.primary for table in tables):
            return
        self.stats.bytes_read = sum(table.size_bytes for table in tables)
        with _decoding(tables[0].source.name):
            agreement = agree(tables, self._options, limits)
        self.id_columns = tables[0].layout.id_names
        self._search = partial(find_apart, tables, agreement.decoder, limits)
        self._halves = partial(time_of_day, tables)
        # Bins at both ends may be dropped, and the context has all steps nevertheless.
        spare = SPARE_BINS if self._options.aggregation is not None else 0
        items = self._complete_items(tables, agreement, self._options.context_length + spare)
        # Targets that are forecast jointly must be in the same batch, so no item is divided.
        per_item = len(agreement.decoder.targets) if self._options.joint else 1
        size = max(1, self._options.batch_series // per_item) * per_item
        yield from _rebatch(self._regular(items, agreement), size)
        _check_keys(self.stats, tables[0])
        agreement.decoder.unread.check(tables[0].source.name, tables[0].layout.timestamp)
        self.check_conflicts()
        check_fit(self.stats, self._options.freq, self._sources[0].name)

    def _open(self, limits: Limits) -> list[OpenTable]:
        """Open the sources that have rows."""
        columns, csv = self._options.columns, self._options.csv
        opened = [open_table(source, columns, limits, csv) for source in self._sources]
        return [table for table in opened if table is not None]

    def check_conflicts(self) -> None:
        """Refuse the sources if too many of the rows so far conflict.

        An iteration to the end does this itself; call it after stopping earlier.

        Raises
        ------
        SchemaError
            The message names the columns that tell the rows apart.
        """
        options, stats = self._options, self.stats
        limit = conflict_limit(options.duplicates, options.duplicate_share)
        if stats.conflicts > limit * stats.compared:
            own = next(source for source in self._sources if source.primary)
            sample = stats.sample
            raise conflict_error(own.name, stats, *self._search(sample), self._halves(sample))

    def columns_apart(
        self, sample: ConflictSample | None
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the columns that tell conflicting rows apart, and the columns of ids so far.

        Either may be empty. `iter` or `rows` must have been called before.
        """
        return self._search(sample)

    def _complete_items(
        self, tables: Sequence[OpenTable], agreement: Agreement, context_length: int
    ) -> Iterator[ItemRows]:
        options, stats = self._options, self.stats
        continues = bool(options.columns.known_covariates)
        targets = len(agreement.decoder.targets) if continues else 0
        # Repeated hours are told apart item by item, which takes the ids themselves.
        coded = not agreement.contiguous and options.aggregation is None
        parts = self._wall(agreement).read(self._parts(tables, agreement, coded=coded))
        # Half of the limit: sorting an item makes a copy of its rows.
        most = max(options.memory_limit_bytes // 2, _LEAST_ITEM_BYTES)
        room = ItemRoom(most, _LEAST_ROWS_PER_TIME * tail_length(context_length))
        guard = partial(self._guard_memory, columns=len(agreement.decoder.columns), room=room)
        if agreement.contiguous:
            carry = Carry(context_length, options.freq, stats, targets, guard)
            yield from complete_items(parts, carry)
            return
        stats.path = "sorted_in_memory"
        plan = SortPlan(
            options.memory_limit_bytes // _HOLD_SHARE,
            options.spill_dir,
            context_length,
            options.freq,
            targets,
            guard,
        )
        yield from sorted_items(parts, plan, stats)

    def _guard_memory(self, items: ItemRows, *, columns: int, room: ItemRoom) -> None:
        """Refuse an item without room, by its rows that conflict if they are too many."""
        # Old rows of an item are dropped, but those of many items merged into one are all of the
        # same times: without the check they would be held to the last.
        if items.nbytes <= self._options.memory_limit_bytes // 2:
            return
        so_far = replace(self.stats, conflicts=0, compared=0, sample=None)
        count_conflicts(items, columns, so_far)
        options = self._options
        limit = conflict_limit(options.duplicates, options.duplicate_share)
        if so_far.conflicts > limit * so_far.compared:
            self.stats = so_far
            self.check_conflicts()
        room.check(items)

    def _parts(
        self, tables: Sequence[OpenTable], agreement: Agreement, *, coded: bool = False
    ) -> Iterator[tuple[ItemRows, str]]:
        """Yield rows as they come, and the name of their source."""
        for table, runs in zip(tables, agreement.runs, strict=True):
            # A row of lists has many points, and the limit is for points.
            rows = _batch_rows(self._options, len(agreement.decoder.columns))
            if table.layout.kind == "list":
                rows = max(1, int(rows / table.points_per_row))
            limits = Limits(rows, self._options.memory_limit_bytes)
            source, layout = table.source, table.layout
            # The ids are known from the first pass, unless they took too much memory.
            columns = [n for n in layout.columns if runs is None or n != layout.item_id]
            for batch in read_batches(table, columns, limits):
                with _decoding(source.name):
                    own = None if runs is None else runs.take(batch.num_rows, source.name)
                    part, dropped = agreement.decoder.decode(
                        batch, layout, own, primary=source.primary, name=source.name, coded=coded
                    )
                self.stats.rows += len(part.times) + dropped
                self.stats.null_items += dropped
                self.stats.timed_rows += count_timed(part.times)
                yield part, source.name

    def _wall(self, agreement: Agreement) -> WallZone:
        return WallZone.of(self._options, agreement.decoder.clock.output_type)

    def _rules(self, agreement: Agreement) -> GridRules:
        options, decoder = self._options, agreement.decoder
        freq = options.freq
        if freq is not None and options.aggregation is not None:
            freq = Bins(freq).step
        return GridRules(
            clock=self._wall(agreement).labelling(decoder.clock),
            columns=decoder.columns,
            targets=len(decoder.targets),
            categories=decoder.codes,
            continues=bool(options.columns.known_covariates),
            context_length=options.context_length,
            min_length=options.min_length,
            freq=freq,
            duplicates=options.duplicates,
            horizon=options.horizon,
            item_key=decoder.item_key,
            aggregation=options.aggregation,
            precise=options.precise,
            wide_numbers=options.wide_numbers,
        )

    def _cut_items(self, items: Iterable[ItemRows], rules: GridRules) -> Iterator[ItemRows]:
        """Yield the items of primary sources, in parts of bounded size."""
        rows = _batch_rows(self._options, len(rules.columns))
        for complete in items:
            primary = complete
            if not complete.primary.all():
                primary = complete.take_runs(np.flatnonzero(complete.primary))
            yield from _cut(primary, rows)

    def _regular(self, items: Iterable[ItemRows], agreement: Agreement) -> Iterator[SeriesBatch]:
        options, decoder, rules = self._options, agreement.decoder, self._rules(agreement)
        binning = replace(rules, clock=self._wall(agreement).binning(rules.clock))
        for rows in self._cut_items(items, rules):
            # Before anything else sees the series.
            part = rows if options.aggregation is None else aggregate(rows, binning, self.stats)
            batch = regularise(part, rules, self.stats)
            # A share is only known at the end, but a single conflict is enough for "error".
            if options.duplicates == "error" and self.stats.conflicts:
                return
            if decoder.covariates or options.joint:
                batch = split_covariates(
                    batch, rules.targets, options.columns, options.horizon, decoder.categories
                )
            yield batch


def _check_keys(stats: ReadStats, table: OpenTable) -> None:
    """Refuse sources in which no row has an item id, or none a readable time.

    A few such rows are dropped and counted. If they are all, a column is not what it is taken for.
    """
    name, layout = table.source.name, table.layout
    if stats.rows and stats.null_items == stats.rows:
        columns = " or ".join(map(repr, layout.id_names))
        raise SchemaError(
            f"{name}: no row has an item id: column {columns} is empty",
            hint="name the column of item ids by --item_column (schema.item_id_column), or leave "
            "the empty one out",
        )
    if stats.rows > stats.null_items and not stats.timed_rows:
        raise no_times(table, stats.rows)


@contextmanager
def _decoding(name: str) -> Iterator[None]:
    """Raise Arrow's errors about values, such as numbers out of range, as `SchemaError`."""
    try:
        yield
    except (pa.ArrowException, OverflowError) as error:
        if isinstance(error, MemoryError):
            raise
        raise SchemaError(
            f"{name}: its values cannot be read: {error}",
            hint="correct the values or their types, or name other columns",
        ) from error


def read_series(sources: Sequence[SeriesSource], options: ReadOptions) -> SeriesReader:
    """Return a reader of the series of a partition.

    Parameters
    ----------
    sources : sequence of SeriesSource
        Objects of the partition, in the order of time if that is known.
    options : ReadOptions
        Options.
    """
    return SeriesReader(sources, options)


def _batch_rows(options: ReadOptions, targets: int) -> int:
    if options.batch_rows is not None:
        return options.batch_rows
    row_bytes = 8 * (2 + targets)
    rows = options.memory_limit_bytes // _BATCH_SHARE // row_bytes
    return max(_MIN_BATCH_ROWS, min(_MAX_BATCH_ROWS, rows))


def _cut(items: ItemRows, rows: int) -> Iterator[ItemRows]:
    """Yield the items in parts of about ``rows`` rows and at most as many items."""
    # Not one more part for the rows of an item that was carried over to the others.
    limit = rows if len(items.times) > rows + rows // 8 else len(items.times)
    start = 0
    while start < len(items):
        stop = int(np.searchsorted(items.offsets, items.offsets[start] + limit, side="right")) - 1
        stop = min(max(stop, start + 1), start + rows, len(items))
        yield items if stop - start == len(items) else items.slice(start, stop)
        start = stop


def _rebatch(batches: Iterable[SeriesBatch], size: int) -> Iterator[SeriesBatch]:
    """Yield the series in batches of ``size``, except the last."""
    collected: list[SeriesBatch] = []
    count = 0
    for batch in batches:
        start = 0
        # Only what a batch consists of is joined: a part within one batch is not copied.
        while len(batch) - start >= size - count:
            stop = start + size - count
            yield concat_batches([*collected, batch.slice(start, stop)])
            collected, count, start = [], 0, stop
        if start < len(batch):
            collected.append(batch.slice(start, len(batch)))
            count += len(batch) - start
    if count:
        yield concat_batches(collected)
