"""The context of a symbol and month, for users who forecast it themselves."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gigacast.core.array import IntArray, RealArray
from gigacast.core.partition.name import NamingPattern
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.time.month import IntRange, Month, MonthFilter
from gigacast.errors import DataNotFoundError
from gigacast.lake.plan.discovery import Partition, Selection
from gigacast.lake.plan.months import walk_months
from gigacast.series.duplicates import warn_of_conflicts
from gigacast.series.reader import read_series
from gigacast.series.source import ReadOptions, SeriesSource
from gigacast.storage.store import Store


def find_partition(inputs: Store, pattern: NamingPattern, symbol: str, month: Month) -> Partition:
    """Return the partition of a symbol (or part) in one month.

    Raises
    ------
    DataNotFoundError
        When the month has no such partition; the message names those that it has.
    """
    only = MonthFilter(IntRange(month.year, month.year), IntRange(month.month, month.month))
    names: list[str] = []
    for folder in walk_months(inputs, pattern, Selection(months=only)):
        for partition in folder.content.partitions:
            if symbol in {partition.name.symbol, partition.name.lineage}:
                return partition
            names.append(partition.name.lineage)
    existing = ", ".join(names[:5]) or "none"
    raise DataNotFoundError(f"{inputs.address.url}: no {symbol} in {month}; there are: {existing}")


def read_contexts(sources: Sequence[SeriesSource], options: ReadOptions) -> list[RealArray]:
    """Return all series of a few sources: float32, or float64 where float32 loses their steps.

    Raises
    ------
    DataNotFoundError
        When the sources hold no series.
    """
    # All in memory: a symbol and a month, not a bucket.
    reader = read_series(sources, replace(options, precise=True))
    batches = list(reader)
    warn_of_conflicts(reader.stats.conflicts, options.duplicates)
    if not batches:
        raise DataNotFoundError(f"{', '.join(source.name for source in sources)}: holds no series")
    return [series for batch in batches for series in _exact(batch)]


def _exact(batch: SeriesBatch) -> list[RealArray]:
    """Return the series of a batch with their bases."""
    if batch.bases is None:
        return list(batch)
    pairs = zip(batch, batch.bases, strict=True)
    return [series + base if base else series for series, base in pairs]


def joined_contexts(contexts: Sequence[RealArray]) -> RealArray:
    """Return a single series as [T], several as [N, T], left-padded with NaN."""
    return np.array(contexts[0]) if len(contexts) == 1 else pad_contexts(contexts)


def pad_contexts(contexts: Sequence[RealArray]) -> RealArray:
    """Return N contexts of different lengths as [N, T] of their widest type, padded with NaN."""
    longest = max((len(context) for context in contexts), default=0)
    kind = np.result_type(np.float32, *contexts)
    padded: RealArray = np.full((len(contexts), longest), np.nan, kind)
    for row, context in zip(padded, contexts, strict=True):
        row[longest - len(context) :] = context
    return padded


def offsets_of(contexts: Sequence[RealArray]) -> IntArray:
    """Return the starts of N contexts in their concatenation, and its length, int64 [N + 1]."""
    return np.cumsum([0, *(len(context) for context in contexts)], dtype=np.int64)
