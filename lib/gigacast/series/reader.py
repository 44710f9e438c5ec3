"""The reader: sources in, `SeriesBatch` after `SeriesBatch` out.

::

    sources -> formats -> decode -> stream (contiguous) or sort (memory, disk)
            -> regularise -> batches of the size asked for

A first pass over the ids decides the path before anything is handed out (`gigacast.series.scan`).
Contiguous rows keep the order of their items; others come in the order of their ids. The content
of every series is the same on either path.

Several sources are one partition: their rows are read one source after the other, and an item's
rows may span them. Only items with a row in a primary source are handed out.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from gigacast.core.series.batch import SeriesBatch, concat_batches
from gigacast.series.agreement import Agreement, agree
from gigacast.series.covariates import split_covariates
from gigacast.series.formats import Limits, OpenTable, open_table, read_batches
from gigacast.series.regularise import GridRules, regularise
from gigacast.series.rows import ItemRows
from gigacast.series.sort import SortPlan, sorted_items
from gigacast.series.source import ReadOptions, ReadStats, SeriesSource
from gigacast.series.stream import Carry, complete_items

_MAX_BATCH_ROWS = 1 << 18
_MIN_BATCH_ROWS = 1 << 10
_BATCH_SHARE = 16  # of the memory: a batch's rows and all that is made of them
_HOLD_SHARE = 8  # of the memory: rows held for sorting


class SeriesReader:
    """An iterable of `SeriesBatch`; every iteration reads anew.

    Parameters
    ----------
    sources : sequence of SeriesSource
    options : ReadOptions

    Attributes
    ----------
    stats : ReadStats
        Of the latest iteration; complete when it is.
    """

    def __init__(self, sources: Sequence[SeriesSource], options: ReadOptions) -> None:
        self._sources = tuple(sources)
        self._options = options
        self.stats = ReadStats()

    def rows(self) -> Iterator[tuple[ItemRows, tuple[str, ...]]]:
        """Iterate over runs of rows as they come, with the names of their targets.

        Nothing is sorted, filled, averaged or trimmed; rows without an item are left out.

        Raises
        ------
        CorruptedFileError, SchemaError
        """
        self.stats = ReadStats()
        limits = Limits(_batch_rows(self._options, 1), self._options.memory_limit_bytes)
        opened = [open_table(source, self._options.columns, limits) for source in self._sources]
        tables = [table for table in opened if table is not None]
        if tables:
            agreement = agree(tables, self._options, limits)
            for part in self._parts(tables, agreement):
                yield part, agreement.decoder.targets

    def __iter__(self) -> Iterator[SeriesBatch]:
        """Iterate over the batches.

        Raises
        ------
        CorruptedFileError
            When a source is not of its format.
        SchemaError
            When columns are missing, ambiguous, of an unusable type, or differ between sources.
        """
        self.stats = ReadStats()
        limits = Limits(_batch_rows(self._options, 1), self._options.memory_limit_bytes)
        opened = [open_table(source, self._options.columns, limits) for source in self._sources]
        tables = [table for table in opened if table is not None]
        if not any(table.source.primary for table in tables):
            return
        self.stats.bytes_read = sum(table.size_bytes for table in tables)
        agreement = agree(tables, self._options, limits)
        items = self._complete_items(tables, agreement)
        per_item = len(agreement.decoder.targets) if self._options.joint else 1
        size = max(1, self._options.batch_series // per_item) * per_item  # no item is divided
        yield from _rebatch(self._regular(items, agreement), size)

    def _complete_items(
        self, tables: Sequence[OpenTable], agreement: Agreement
    ) -> Iterator[ItemRows]:
        options, stats = self._options, self.stats
        goes_on = bool(options.columns.known_covariates)
        targets = len(agreement.decoder.targets) if goes_on else 0
        parts = self._parts(tables, agreement)
        if agreement.contiguous:
            carry = Carry(options.context_length, options.freq, stats, targets)
            yield from complete_items(parts, carry)
            return
        stats.path = "sorted_in_memory"
        plan = SortPlan(
            options.memory_limit_bytes // _HOLD_SHARE,
            options.spill_dir,
            options.context_length,
            options.freq,
            targets,
        )
        yield from sorted_items(parts, plan, stats)

    def _parts(self, tables: Sequence[OpenTable], agreement: Agreement) -> Iterator[ItemRows]:
        for table in tables:
            rows = _batch_rows(self._options, len(agreement.decoder.columns))
            if table.layout.kind == "list":
                rows = max(1, int(rows / table.points_per_row))
            limits = Limits(rows, self._options.memory_limit_bytes)
            source = table.source
            for batch in read_batches(table, table.layout.columns, limits):
                part, dropped = agreement.decoder.decode(
                    batch, table.layout, primary=source.primary, name=source.name
                )
                self.stats.rows += len(part.times) + dropped
                self.stats.null_items += dropped
                yield part

    def _regular(self, items: Iterable[ItemRows], agreement: Agreement) -> Iterator[SeriesBatch]:
        options, decoder = self._options, agreement.decoder
        rules = GridRules(
            clock=decoder.clock,
            columns=decoder.columns,
            targets=len(decoder.targets),
            categories=decoder.codes,
            goes_on=bool(options.columns.known_covariates),
            context_length=options.context_length,
            min_length=options.min_length,
            freq=options.freq,
        )
        rows = _batch_rows(options, len(rules.columns))
        for complete in items:
            wanted = complete
            if not complete.primary.all():
                wanted = complete.take_runs(np.flatnonzero(complete.primary))
            for part in _cut(wanted, rows):
                batch = regularise(part, rules, self.stats)
                if decoder.covariates or options.joint:
                    batch = split_covariates(
                        batch, rules.targets, options.columns, options.horizon, decoder.categories
                    )
                yield batch


def read_series(sources: Sequence[SeriesSource], options: ReadOptions) -> SeriesReader:
    """Return a reader of the series of one partition.

    Parameters
    ----------
    sources : sequence of SeriesSource
        The objects that make it up, in the order of time where that is known.
    options : ReadOptions
    """
    return SeriesReader(sources, options)


def _batch_rows(options: ReadOptions, targets: int) -> int:
    if options.batch_rows is not None:
        return options.batch_rows
    row_bytes = 8 * (2 + targets)
    rows = options.memory_limit_bytes // _BATCH_SHARE // row_bytes
    return max(_MIN_BATCH_ROWS, min(_MAX_BATCH_ROWS, rows))


def _cut(items: ItemRows, rows: int) -> Iterator[ItemRows]:
    """Cut items into parts of about so many rows, and no more items than that."""
    start = 0
    while start < len(items):
        stop = int(np.searchsorted(items.offsets, items.offsets[start] + rows, side="right")) - 1
        stop = min(max(stop, start + 1), start + rows, len(items))
        yield items if stop - start == len(items) else items.slice(start, stop)
        start = stop


def _rebatch(batches: Iterable[SeriesBatch], size: int) -> Iterator[SeriesBatch]:
    held: list[SeriesBatch] = []
    count = 0
    for batch in batches:
        held.append(batch)
        count += len(batch)
        if count < size:
            continue
        joined = concat_batches(held)
        full = count - count % size
        for start in range(0, full, size):
            yield joined.slice(start, start + size)
        count -= full
        held = [joined.slice(full, len(joined))] if count else []
    if count:
        yield concat_batches(held)
