"""The last rows of a Parquet object, reading little else.

A row group is left out when those behind it hold enough rows and it is sure that they are later: by
the statistics of the time column. Where these are silent or overlap, all is read.
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
    """Return at least the latest ``rows`` rows of an object, or all it has, in its order.

    Columns it does not have are left out.

    Raises
    ------
    CorruptedFileError, ObjectNotFoundError, PreconditionFailedError
    """
    stats = stats if stats is not None else ScanStats()
    with open_parquet(store, source, selective=True) as file, translated_parquet(store, source.key):
        there = [name for name in columns if name in file.schema_arrow.names]
        total = file.metadata.num_row_groups
        groups = _last_groups(file.metadata, time_column, rows)
        stats.files += 1
        stats.row_groups += total
        stats.row_groups_skipped += total - len(groups)
        table = file.read_row_groups(groups, columns=there, use_threads=False)
        stats.rows += table.num_rows
        stats.rows_kept += table.num_rows
        return table


def _last_groups(metadata: Any, time_column: str, rows: int) -> list[int]:
    total = metadata.num_row_groups
    bounds = time_bounds(metadata, time_column)
    counted, first = 0, total
    while first > 0 and counted < rows:
        first -= 1
        counted += metadata.row_group(first).num_rows
    known = [one for one in bounds if one is not None]
    if len(known) < total:
        return list(range(total))
    earlier, later = known[:first], known[first:]
    if earlier and later and max(high for _, high in earlier) > min(low for low, _ in later):
        return list(range(total))
    return list(range(first, total))
