"""The context of a forecast: the last rows of a symbol, over as many months as needed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow.compute as pc

from gigacast.core.column import to_arrow
from gigacast.core.time.month import Month
from gigacast.errors import DataNotFoundError
from gigacast.parquet_loader.column import ColumnChoice
from gigacast.parquet_loader.dataset import LoadedDataset, LoadStats, PredictionDataset
from gigacast.parquet_loader.discovery import ParquetFileInfo
from gigacast.parquet_loader.load import LoadRequest, RowLoader
from gigacast.parquet_loader.rows import item_ids, item_starts, merge_rows

FindMonth = Callable[[Month], Sequence[ParquetFileInfo]]


@dataclass(frozen=True)
class ContextRequest:
    """The context to load.

    Parameters
    ----------
    symbol : str
    month : Month
    is_exact : bool
        Whether this month is requested, or the latest month up to it in the same year.
    length : int, optional
        Rows of each item; all of the month by default.
    columns : ColumnChoice
    """

    symbol: str
    month: Month
    is_exact: bool
    length: int | None
    columns: ColumnChoice


def load_context(loader: RowLoader, find: FindMonth, request: ContextRequest) -> PredictionDataset:
    """Return the latest rows of a symbol. Earlier months are read until there are enough rows.

    Parameters
    ----------
    loader : RowLoader
    find : callable
        Returns the files of a month.
    request : ContextRequest

    Raises
    ------
    DataNotFoundError
        If neither the month nor the one before it has a file with rows.
    DataError, StorageError
    """
    month, data = _newest(loader, find, request)
    newest = month
    while request.length is not None and (lacking := _lacking(data, request.length)) > 0:
        month = month.shift(-1)
        earlier = _load(loader, request, find(month), lacking)
        # Months are read back without a gap: rows beyond a missing month are no context.
        if earlier is None or len(earlier) == 0:
            break
        data = _joined(earlier, data)
    if request.length is not None:
        data = _last_of_items(data, request.length)
    # Without an exact month any month of the year is as requested; only an earlier year is not.
    fell_back = request.is_exact and newest != request.month
    fell_back |= newest.year != request.month.year
    stats = replace(data.stats, rows=len(data))
    return PredictionDataset(
        data.table, data.columns, data.symbol, data.files, stats, request.length, fell_back
    )


def _newest(
    loader: RowLoader, find: FindMonth, request: ContextRequest
) -> tuple[Month, LoadedDataset]:
    """Return the requested month, or the one before it, with its rows."""
    first = request.month
    # At the beginning of a month or year its file may not exist yet; the one before serves.
    last = first.shift(-1) if request.is_exact else Month(first.year, 1).shift(-1)
    month = first
    while month >= last:
        data = _load(loader, request, find(month), request.length)
        if data is not None:
            return month, data
        month = month.shift(-1)
    raise DataNotFoundError(
        f"No prediction files found for {request.symbol} in {first} or before it, to {last}",
        hint="discover_files and `gigacast data discover` list the files",
    )


def _load(
    loader: RowLoader,
    request: ContextRequest,
    files: Sequence[ParquetFileInfo],
    length: int | None,
) -> LoadedDataset | None:
    """Return the rows of a month's files; ``None`` if there are none."""
    if not files:
        return None
    load_request = LoadRequest(request.symbol, tuple(files), request.columns, last_rows=length)
    try:
        data = loader.load(load_request)
    except DataNotFoundError:  # a month that has just begun may have a file without rows
        return None
    if data.columns.ids and length is not None:
        # The last rows of a panel are not the last rows of each item, so all rows are needed.
        data = loader.load(replace(load_request, last_rows=None))
    return data


def _joined(earlier: LoadedDataset, later: LoadedDataset) -> LoadedDataset:
    """Return the rows of two months, for the items of the later month."""
    if later.columns.ids:
        items = item_ids(later).unique()
        rows = earlier.table.filter(pc.is_in(item_ids(earlier), value_set=items))
        earlier = replace(earlier, table=rows)
    # Outliers are counted later, over the joined rows.
    numbers = {
        key: getattr(earlier.stats, key) + getattr(later.stats, key)
        for key in LoadStats.__slots__
        if key != "outliers"
    }
    return replace(merge_rows(earlier, later), stats=LoadStats(**numbers))


def _lacking(data: LoadedDataset, length: int) -> int:
    """Return the number of rows that the item with the fewest rows lacks."""
    starts = item_starts(data.table, data.columns)
    return length - int(np.diff(np.append(starts, len(data))).min())


def _last_of_items(data: LoadedDataset, length: int) -> LoadedDataset:
    starts = item_starts(data.table, data.columns)
    counts = np.diff(np.append(starts, len(data)))
    # Number of rows from each row to the end of its item, the row itself included.
    rows_to_end = np.repeat(starts + counts, counts) - np.arange(len(data))
    return replace(data, table=data.table.filter(to_arrow(rows_to_end <= length)))
