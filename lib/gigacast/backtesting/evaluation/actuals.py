"""Actuals: the rows of a bucket with which forecasts are compared.

Actuals are looked for in the partitions of the months that a forecast reaches into: those of the
same symbol and timeframe, or the same part; where the last of these months has no part of that
name, in all parts.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial

import numpy as np
import pyarrow as pa

from gigacast.backtesting.evaluation.join import Forecasts, Rows, TimeBounds, select_actuals
from gigacast.backtesting.evaluation.scale import (
    MOST_HISTORY,
    Contexts,
    contexts_before,
    scales_before,
)
from gigacast.backtesting.partition import HISTORY
from gigacast.core.array import DoubleArray
from gigacast.core.partition.name import (
    PartitionName,
    is_whole_month,
    month_place,
    month_prefixes,
    year_of_folder,
)
from gigacast.core.partition.task import InputObject
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.time.bins import Bins
from gigacast.core.time.month import Month
from gigacast.errors import SchemaError
from gigacast.job.forecast_job import ForecastJob
from gigacast.lake.plan.discovery import Discoverer, Partition
from gigacast.lake.plan.months import find_years
from gigacast.series.duplicates import cause_of, conflict_limit, remedy_of
from gigacast.series.reader import read_series
from gigacast.series.source import ConflictSample, ReadOptions, SeriesSource
from gigacast.storage.parquet.read import open_object
from gigacast.storage.store import ObjectMeta, Store

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Actuals:
    """Finds the actuals of forecasts, and the scales of their series.

    Parameters
    ----------
    job : ForecastJob
        Job whose columns, pattern and selection say how actuals are read.
    inputs : Store
    """

    def __init__(self, job: ForecastJob, inputs: Store) -> None:
        self._job = job
        self._inputs = inputs
        # Many forecasts have actuals in the same months: each month is listed once.
        self._in_month = cache(self._discover)
        self._year_folders = cache(lambda: sorted(find_years(inputs).years))

    def find(
        self, forecasts: Forecasts, month: Month, lineage: str, items: tuple[str, ...] = ()
    ) -> tuple[pa.Table, int]:
        """Return the actuals of the forecasts of a partition, and the number of conflicting rows.

        Memory holds only rows of the items and times of the forecasts, however much is read.

        Parameters
        ----------
        forecasts : Forecasts
        month : Month
        lineage : str
            Name of the partition without its month, see `PartitionName.lineage`.
        items : tuple of str
            Columns of items of the forecasts, in place of a single column; none by default.

        Raises
        ------
        DataError, StorageError
        """
        method = self._job.method
        partitions = self._partitions(_months(self._bounds(forecasts), month), lineage)
        rows = (part for group in self._groups(partitions) for part in self._rows(group, items))
        selected = select_actuals(rows, forecasts, method.duplicates)
        limit = conflict_limit(method.duplicates, method.duplicate_share)
        if selected.conflicts > limit * selected.compared:
            apart, ids = self._apart(partitions, selected.sample, items)
            verb = "has" if selected.conflicts == 1 else "have"
            raise SchemaError(
                f"{month}/{lineage}: {selected.conflicts:,} of {selected.compared:,} actuals "
                f"{verb} the series and the time of another row, and other values{cause_of(apart)}",
                hint=f"{remedy_of(apart, ids)}, or choose a policy for them: "
                "--duplicates mean, sum, last or first",
            )
        return selected.table, selected.conflicts

    def _apart(
        self, partitions: list[Partition], sample: ConflictSample | None, items: tuple[str, ...]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the columns that tell conflicting rows apart, and those of ids so far."""
        ids: tuple[str, ...] = ()
        for partition in partitions:
            reader = read_series(self._sources([partition]), self._options(partition, items))
            next(reader.rows(), None)  # the columns are known once the sources are open
            apart, ids = reader.columns_apart(sample)
            if apart:
                return apart, ids
        return (), ids

    def scales(
        self, forecasts: Forecasts, month: Month, lineage: str, items: tuple[str, ...] = ()
    ) -> DoubleArray:
        """Return the scale of each forecast: the seasonal error before its first step.

        Parameters
        ----------
        forecasts : Forecasts
            N forecasts.
        month : Month
        lineage : str
            Name of the partition without its month, see `PartitionName.lineage`.
        items : tuple of str
            Columns of items of the forecasts, in place of a single column; none by default.

        Returns
        -------
        float64 [N]
            NaN for series that the partition no longer has.

        Raises
        ------
        DataError, StorageError
        """
        return scales_before(self._histories(month, lineage, items), forecasts)

    def contexts(
        self, forecasts: Forecasts, month: Month, lineage: str, items: tuple[str, ...] = ()
    ) -> Iterator[Contexts]:
        """Yield the series of forecasts before their first steps, from the partition as it is now.

        Parameters
        ----------
        forecasts, month, lineage, items
            See `scales`.

        Raises
        ------
        DataError, StorageError
        """
        return contexts_before(self._histories(month, lineage, items), forecasts)

    def _histories(
        self, month: Month, lineage: str, items: tuple[str, ...]
    ) -> Iterator[SeriesBatch]:
        for partition in self._own(month, lineage):
            options = replace(self._options(partition, items, MOST_HISTORY), precise=True)
            yield from read_series(self._sources([partition]), options)

    def _own(self, month: Month, lineage: str) -> list[Partition]:
        own = [p for p in self._in_month(month) if p.name.lineage == lineage]
        if not own and is_whole_month(lineage):
            own = self._parts_of([*self._in_month(month)], lineage)
        return own

    def reach(self, forecasts: Forecasts, month: Month) -> tuple[Month, Month]:
        """Return the first and the last month in which actuals of forecasts are looked for."""
        months = _months(self._bounds(forecasts), month)
        return months[0], months[-1]

    def objects(self, reach: tuple[Month, Month], month: Month, lineage: str) -> list[InputObject]:
        """Return the objects that hold the actuals of a partition, and its own, in key order.

        Parameters
        ----------
        reach : tuple of Month
            See `reach`.
        month : Month
        lineage : str
        """
        span = [reach[0]]
        while span[-1] < reach[1]:
            span.append(span[-1].shift(1))
        return _objects([*self._partitions(span, lineage), *self._own(month, lineage)])

    def own_objects(self, month: Month, lineage: str) -> list[InputObject]:
        """Return the objects of a partition as they are now, in key order."""
        return _objects(self._own(month, lineage))

    def _bounds(self, forecasts: Forecasts) -> TimeBounds:
        method, bounds = self._job.method, forecasts.bounds
        if method.aggregation is not None and method.frequency is not None:
            return _bin_bounds(bounds, Bins(method.frequency))
        return bounds

    def _groups(self, partitions: list[Partition]) -> list[list[Partition]]:
        """Divide partitions into those that are read together."""
        if self._job.method.aggregation is None:
            return [[partition] for partition in partitions]
        # A bin may have rows in several months, and in parts of any name.
        return [partitions] if partitions else []

    def _rows(
        self, group: list[Partition], items: tuple[str, ...]
    ) -> Iterator[tuple[Rows, tuple[str, ...]]]:
        options = self._options(group[0], items)
        for part, targets in read_series(self._sources(group), options).rows():
            yield (part.item_ids, part.offsets, part.times, part.values), targets

    def _partitions(self, months: list[Month], lineage: str) -> list[Partition]:
        partitions = [partition for month in months for partition in self._in_month(month)]
        same = [partition for partition in partitions if partition.name.lineage == lineage]
        market = next((_market(partition.name) for partition in same), (None, None))
        if market[0] is not None:
            return [partition for partition in partitions if _market(partition.name) == market]
        last = months[-1]
        if any(partition.name.month == last for partition in same):
            return same
        # Later months may be divided into other parts: any of them may hold the items.
        return self._parts_of(partitions, lineage)

    def _parts_of(self, partitions: list[Partition], lineage: str) -> list[Partition]:
        """Return the panel parts below the Hive levels of a partition."""
        levels = lineage.rpartition("/")[0]
        panels = [partition for partition in partitions if partition.name.symbol is None]
        if is_whole_month(lineage):  # its parts may be below further levels
            return [p for p in panels if not levels or p.name.lineage.startswith(f"{levels}/")]
        return [p for p in panels if p.name.lineage.rpartition("/")[0] == levels]

    def _discover(self, month: Month) -> tuple[Partition, ...]:
        # Folders are 2014/03 or year=2014/month=03, and a bucket may have both.
        years = [y for y in self._year_folders() if year_of_folder(y) == month.year]
        prefixes = [f for year in years for f in month_prefixes(year, month)]
        discoverer = Discoverer(self._job.pattern, self._job.selection)
        objects = [o for p in prefixes for page in self._inputs.list(p) for o in page]
        by_folder: dict[str, list[ObjectMeta]] = {}
        for entry in objects:
            by_folder.setdefault(month_place(entry.key), []).append(entry)
        return tuple(
            partition
            for place, entries in by_folder.items()
            for partition in discoverer.discover(place[:-1], entries).partitions
        )

    def _sources(self, partitions: list[Partition]) -> list[SeriesSource]:
        return [
            SeriesSource(
                open=partial(
                    open_object, self._inputs, o.key, if_match=o.etag, size_bytes=o.size_bytes
                ),
                format=o.extension,
                name=o.key,
            )
            for partition in partitions
            # Without the context partitions: those months are searched on their own.
            for o in partition.inputs[partition.context :]
        ]

    def _options(
        self, partition: Partition, items: tuple[str, ...], steps: int = HISTORY
    ) -> ReadOptions:
        name: PartitionName = partition.name
        reading, limit = self._job.method.reading, self._job.resources.memory_limit_bytes
        # The forecasts say how their items are named, whatever the settings of now are.
        item_id = None if items else reading.columns.item_id
        return replace(
            reading,
            columns=replace(reading.columns, items=items, item_id=item_id),
            context_length=steps,
            # Four bytes for each step, and a few copies.
            batch_series=max(1, min(4096, limit // 16 // steps)),
            item_id=name.symbol or name.series_name,
            memory_limit_bytes=limit,
        )


def _objects(partitions: list[Partition]) -> list[InputObject]:
    # Without the context partitions: those months are searched on their own.
    entries = {o.key: o for p in partitions for o in p.inputs[p.context :]}
    return [entries[key] for key in sorted(entries)]


def _market(name: PartitionName) -> tuple[str | None, str | None]:
    """Return the symbol and timeframe in a name: the series is the same for every horizon."""
    return name.symbol, name.timeframe


def _bin_bounds(bounds: TimeBounds, bins: Bins) -> TimeBounds:
    """Return the start of the bin of the first time, and the end of that of the last one."""
    # In UTC instead of wall time: a day more is added on either side.
    numbers = bins.numbers(np.array(bounds, np.int64))
    start, end = bins.starts(numbers + np.array([0, 1]))
    return TimeBounds(int(start), int(end))


def _months(bounds: TimeBounds, own: Month) -> list[Month]:
    """Return the months of a forecast's times, and its own; for step numbers only its own."""
    # A day more on either side: folders may follow another zone than the timestamps.
    try:
        first, last = (_EPOCH + timedelta(microseconds=t) for t in bounds)
        first, last = first - timedelta(days=1), last + timedelta(days=1)
    except OverflowError:
        return [own]
    months, month = {own}, Month(first.year, first.month)
    while month <= Month(last.year, last.month):
        months.add(month)
        month = month.shift(1)
    return sorted(months)
