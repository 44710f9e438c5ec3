"""The last rows that are known of a symbol, over as many months as they take."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow.compute as pc

from gigacast.core.column import to_arrow
from gigacast.core.time.month import Month
from gigacast.errors import DataNotFoundError
from gigacast.parquet_loader.column import WantedColumns
from gigacast.parquet_loader.dataset import LoadedDataset, LoadStats, PredictionDataset
from gigacast.parquet_loader.discovery import ParquetFileInfo
from gigacast.parquet_loader.load import LoadRequest, RowLoader
from gigacast.parquet_loader.rows import item_starts, merge_rows

FindMonth = Callable[[Month], Sequence[ParquetFileInfo]]


@dataclass(frozen=True)
class ContextRequest:
    """Which context is asked for.

    Parameters
    ----------
    symbol : str
    month : Month
    is_exact : bool
        Whether that very month is meant, or the latest up to it in its year.
    length : int, optional
        Rows of each item; all of the month when absent.
    wanted : WantedColumns
    """

    symbol: str
    month: Month
    is_exact: bool
    length: int | None
    wanted: WantedColumns


def load_context(loader: RowLoader, find: FindMonth, request: ContextRequest) -> PredictionDataset:
    """Return the latest rows of a symbol; months before are read until there are enough.

    Parameters
    ----------
    loader : RowLoader
    find : callable
        Returns the files of a month.
    request : ContextRequest

    Raises
    ------
    DataNotFoundError
        When neither the month nor the one before has a file with rows.
    DataError, StorageError
    """
    month, found = _newest(loader, find, request)
    newest = month
    while request.length is not None and (lacking := _lacking(found, request.length)) > 0:
        month = month.shift(-1)
        before = _load(loader, request, find(month), lacking)
        if before is None or len(before) == 0:
            break
        found = _joined(before, found)
    if request.length is not None:
        found = _last_of_items(found, request.length)
    fell_back = request.is_exact and newest != request.month
    fell_back |= newest.year != request.month.year
    stats = replace(found.stats, rows=len(found))
    return PredictionDataset(
        found.table, found.columns, found.symbol, found.files, stats, request.length, fell_back
    )


def _newest(
    loader: RowLoader, find: FindMonth, request: ContextRequest
) -> tuple[Month, LoadedDataset]:
    """Return the month asked for, or else the one before it, with its rows."""
    first = request.month
    last = first.shift(-1) if request.is_exact else Month(first.year, 1).shift(-1)
    month = first
    while month >= last:
        found = _load(loader, request, find(month), request.length)
        if found is not None:
            return month, found
        month = month.shift(-1)
    raise DataNotFoundError(
        f"No prediction files found for {request.symbol} in {first} or before it, to {last}",
        hint="discover_files and `gigacast data discover` show what is there",
    )


def _load(
    loader: RowLoader,
    request: ContextRequest,
    files: Sequence[ParquetFileInfo],
    length: int | None,
) -> LoadedDataset | None:
    """Return the rows of a month's files; ``None`` where there are none."""
    if not files:
        return None
    asked = LoadRequest(request.symbol, tuple(files), request.wanted, last_rows=length)
    try:
        found = loader.load(asked)
    except DataNotFoundError:  # a month that has begun, and has no row yet
        return None
    if found.columns.item_id is not None and length is not None:
        found = loader.load(replace(asked, last_rows=None))  # the latest rows of each item
    return found


def _joined(before: LoadedDataset, after: LoadedDataset) -> LoadedDataset:
    """Return rows of two months; only items of the later one are asked for."""
    name = after.columns.item_id
    if name is not None:
        known = after.table.column(name).unique()
        rows = before.table.filter(pc.is_in(before.table.column(name), value_set=known))
        before = replace(before, table=rows)
    numbers = {
        key: getattr(before.stats, key) + getattr(after.stats, key)
        for key in LoadStats.__slots__
        if key != "outliers"
    }
    return replace(merge_rows(before, after), stats=LoadStats(**numbers))


def _lacking(data: LoadedDataset, length: int) -> int:
    """Return how many rows the item with the fewest lacks."""
    starts = item_starts(data.table, data.columns)
    return length - int(np.diff(np.append(starts, len(data))).min())


def _last_of_items(data: LoadedDataset, length: int) -> LoadedDataset:
    starts = item_starts(data.table, data.columns)
    counts = np.diff(np.append(starts, len(data)))
    behind = np.repeat(starts + counts, counts) - np.arange(len(data))
    return replace(data, table=data.table.filter(to_arrow(behind <= length)))
