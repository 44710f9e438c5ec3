"""The context of a forecast: the last rows of a symbol, over as many months as needed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import IntArray
from gigacast.core.column import to_arrow
from gigacast.core.time.month import Month
from gigacast.errors import DataNotFoundError
from gigacast.parquet_loader.column import ColumnChoice
from gigacast.parquet_loader.dataset import LoadedDataset, PredictionDataset
from gigacast.parquet_loader.discovery import ParquetFileInfo
from gigacast.parquet_loader.load import RowLoader
from gigacast.parquet_loader.process import Processing, process_rows
from gigacast.parquet_loader.request import LoadRequest
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
    before : int
        Rows before the context to load as well, where there are any: features look back to them.
    """

    symbol: str
    month: Month
    is_exact: bool
    length: int | None
    columns: ColumnChoice
    before: int = 0

    @property
    def rows(self) -> int | None:
        """Rows to load of each item; all of the month if the length is not given."""
        return None if self.length is None else self.length + self.before


def load_context(
    loader: RowLoader, find: FindMonth, request: ContextRequest, processing: Processing
) -> PredictionDataset:
    """Return the latest rows of a symbol. Earlier months are read until there are enough rows.

    Parameters
    ----------
    loader : RowLoader
        Loader that doesn't process rows: the month before fills values missing at the start.
    find : callable
        Returns the files of a month.
    request : ContextRequest
    processing : Processing

    Raises
    ------
    DataNotFoundError
        If neither the month nor the one before it has a file with rows.
    DataError, StorageError
    """
    month, data = _newest(loader, find, request)
    newest, first = month, pc.min(data.table.column(data.columns.timestamp))
    needed = request.rows
    if needed is None and request.before:
        needed = int(_counts(data).min()) + request.before
    while needed is not None and (lacking := needed - int(_counts(data).min())) > 0:
        month = month.shift(-1)
        earlier = _load(loader, request, find(month), lacking)
        # Months are read back without a gap: rows beyond a missing month are no context.
        if earlier is None or len(earlier) == 0:
            break
        data = _joined(earlier, data)
    if request.rows is not None:
        data = replace(data, table=data.table.filter(_is_last(data, request.rows)))
    table = process_rows(data.table, data.columns, processing, data.stats)
    # Without an exact month any month of the year is as requested; only an earlier year is not.
    fell_back = request.is_exact and newest != request.month
    fell_back |= newest.year != request.month.year
    context = PredictionDataset(
        replace(data, table=table), context_length=request.length, fell_back=fell_back
    )
    return _cut(context, first) if request.before else _counted(context)


def _cut(context: PredictionDataset, first: pa.Scalar) -> PredictionDataset:
    """Return a context with the rows before it apart."""
    if context.context_length is not None:
        inside = _is_last(context, context.context_length)
    else:
        inside = pc.greater_equal(context.table.column(context.columns.timestamp), first)
    earlier = context.table.filter(pc.invert(inside))
    return _counted(replace(context, table=context.table.filter(inside), earlier=earlier))


def _counted(context: PredictionDataset) -> PredictionDataset:
    stats = replace(context.stats, rows=len(context), memory_bytes=context.table.nbytes)
    return replace(context, stats=stats)


def _newest(
    loader: RowLoader, find: FindMonth, request: ContextRequest
) -> tuple[Month, LoadedDataset]:
    """Return the requested month, or the one before it, with its rows."""
    first = request.month
    # At the beginning of a month or year its file may not exist yet; the one before serves.
    last = first.shift(-1) if request.is_exact else Month(first.year, 1).shift(-1)
    month = first
    while month >= last:
        data = _load(loader, request, find(month), request.rows)
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
    stats = replace(later.stats)
    stats.add(earlier.stats)
    files = (*earlier.files, *later.files)
    return replace(merge_rows(earlier, later), stats=stats, files=files)


def _counts(data: LoadedDataset) -> IntArray:
    """Return the number of rows of each item, int64 [N]."""
    return np.diff(np.append(item_starts(data.table, data.columns), len(data)))


def _is_last(data: LoadedDataset, rows: int) -> pa.Array:
    """Return which rows are among the last of their item, bool [R]."""
    counts = _counts(data)
    # Number of rows from each row to the end of its item, the row itself included.
    rows_to_end = np.repeat(np.cumsum(counts), counts) - np.arange(len(data))
    return to_arrow(rows_to_end <= rows)
