"""The last rows of a Parquet object, read without most of its other rows.

A row group is left out if the row groups after it hold enough rows, and the statistics of the time
column prove that these rows are later. Without statistics, or if they overlap, all rows are read.
"""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from gigacast.storage.parquet.read import open_parquet, translated_parquet
from gigacast.storage.parquet.scan import ScanStats
from gigacast.storage.parquet.statistics import time_bounds
from gigacast.storage.store import ObjectMeta, Store


def read_tail(
    store: Store,
    source: ObjectMeta,
    columns: Sequence[str],
    time_column: str,
    rows: int,
    stats: ScanStats | None = None,
) -> pa.Table:
    """Return at least the latest ``rows`` rows of an object, in its order; all if it has fewer.

    Columns that it lacks are left out.

    Raises
    ------
    CorruptedFileError, ObjectNotFoundError, PreconditionFailedError
    """
    stats = stats if stats is not None else ScanStats()
    with open_parquet(store, source, selective=True) as file, translated_parquet(store, source.key):
        present = [name for name in columns if name in file.schema_arrow.names]
        total = file.metadata.num_row_groups
        groups = _last_groups(file.metadata, time_column, rows)
        stats.files += 1
        stats.row_groups += total
        stats.row_groups_skipped += total - len(groups)
        table = file.read_row_groups(groups, columns=present, use_threads=False)
        stats.rows += table.num_rows
        return table


def _last_groups(metadata: Any, time_column: str, rows: int) -> list[int]:
    total = metadata.num_row_groups
    bounds = time_bounds(metadata, time_column)
    counted, first = 0, total
    while first > 0 and counted < rows:
        first -= 1
        counted += metadata.row_group(first).num_rows
    certain = [pair for pair in bounds if pair is not None]
    if len(certain) < total:  # a row group without bounds may hold the latest rows
        return list(range(total))
    # Rows need not be sorted across row groups: an earlier one may hold later rows.
    earlier, later = certain[:first], certain[first:]
    if earlier and later and max(high for _, high in earlier) > min(low for low, _ in later):
        return list(range(total))
    return list(range(first, total))
