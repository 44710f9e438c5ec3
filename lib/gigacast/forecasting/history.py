"""The context of a symbol and month, for users who forecast it themselves."""

from collections.abc import Sequence

import numpy as np

from gigacast.core.array import FloatArray, IntArray
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


def read_contexts(sources: Sequence[SeriesSource], options: ReadOptions) -> list[SeriesBatch]:
    """Return all series of a few sources.

    Raises
    ------
    DataNotFoundError
        When the sources hold no series.
    """
    # All in memory: a symbol and a month, not a bucket.
    reader = read_series(sources, options)
    batches = list(reader)
    warn_of_conflicts(reader.stats.conflicts, options.duplicates)
    if not batches:
        raise DataNotFoundError(f"{', '.join(source.name for source in sources)}: holds no series")
    return batches


def joined_contexts(contexts: Sequence[FloatArray]) -> FloatArray:
    """Return a single series as [T], several as [N, T], left-padded with NaN."""
    return np.array(contexts[0]) if len(contexts) == 1 else pad_contexts(contexts)


def pad_contexts(contexts: Sequence[FloatArray]) -> FloatArray:
    """Return N contexts of different lengths as float32 [N, T], left-padded with NaN."""
    longest = max((len(context) for context in contexts), default=0)
    padded = np.full((len(contexts), longest), np.nan, np.float32)
    for row, context in zip(padded, contexts, strict=True):
        row[longest - len(context) :] = context
    return padded


def offsets_of(contexts: Sequence[FloatArray]) -> IntArray:
    """Return the starts of N contexts in their concatenation, and its length, int64 [N + 1]."""
    return np.cumsum([0, *(len(context) for context in contexts)], dtype=np.int64)
