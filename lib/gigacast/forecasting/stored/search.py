"""The search for the partition of an item, in a bounded number of reads."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gigacast.core.column import text_column
from gigacast.core.partition.name import month_of_folder
from gigacast.core.plural import counted
from gigacast.core.problem import did_you_mean
from gigacast.core.series.item_key import item_names, items_of, key_columns
from gigacast.errors import DataNotFoundError
from gigacast.forecasting.read import Generation
from gigacast.lake.plan.manifest import read_manifest
from gigacast.storage.parquet.read import open_parquet, translated_parquet
from gigacast.storage.store import Store

MOST_FOOTERS = 256
"""Forecasts whose footers are read."""
MOST_GROUPS = 64
"""Row groups whose ids are read, of all forecasts together."""
_READERS = 8
_NEAR_NAMES = 20_000
"""Ids that are compared with a misspelt one; the comparison takes a second for as many."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a forecast says of an item: whether it has it, the first ids, and row groups read."""

    has_item: bool
    ids: tuple[str, ...]
    groups: int


def partition_of_item(outputs: Store, generation: Generation, item: str) -> str:
    """Return the newest partition with forecasts of an item.

    Footers are read from the newest month back, and ids of those row groups whose bounds hold the
    item: at most `MOST_FOOTERS` and `MOST_GROUPS` requests, whatever the size of the bucket.

    Parameters
    ----------
    outputs : Store
    generation : Generation
    item : str
        Id as text; of several columns with slashes between the values, ``1/tea``.

    Raises
    ------
    DataNotFoundError
        If it was not found. The message says how much was looked at, the hint names ids alike.
    CorruptedFileError, StorageError
    """
    manifest, _ = read_manifest(outputs, generation.key)
    rows = sorted(manifest.to_pylist(), key=lambda row: _order(row["partition"], item))
    chosen, remaining, count = rows[:MOST_FOOTERS], MOST_GROUPS, 0
    ids: dict[str, None] = {}
    with ThreadPoolExecutor(_READERS) as pool:
        for start in range(0, len(chosen), _READERS):
            group = chosen[start : start + _READERS]
            share = max(1, remaining // len(group))
            for row, seen in zip(
                group, pool.map(_looker(outputs, item, share), group), strict=True
            ):
                if seen.has_item:
                    return str(row["partition"])
                remaining -= seen.groups
                ids |= dict.fromkeys(seen.ids)
            count += len(group)
            if remaining <= 0:
                break
    partial = f" of {len(rows):,}" if count < len(rows) else ""
    first = ", ".join(list(ids)[:5])
    raise DataNotFoundError(
        f"no item {item!r} in the {counted(count, 'partition')}{partial} that were looked at; "
        f"there are: {first or 'none'}",
        hint=did_you_mean(item, list(ids)[:_NEAR_NAMES])
        or "name the partition and --item; `gigacast ls partitions` lists them",
    )


def _order(partition: str, item: str) -> tuple[bool, int, str]:
    month = month_of_folder(partition.rpartition("/")[0])
    index = 0 if month is None else month.year * 12 + month.month
    # Files of one symbol are named after it.
    return item not in partition, -index, partition


def _looker(outputs: Store, item: str, most: int) -> Any:
    def look(row: dict[str, Any]) -> _Seen:
        key = row["key"]
        with open_parquet(outputs, key, if_match=row["etag"], selective=True) as file:
            groups = list(_groups_with(file, item))[:most]
            with translated_parquet(outputs, key):
                names = list(item_names(file.schema_arrow))
                table = file.read_row_groups(groups, columns=names) if groups else None
        if table is None:
            return _Seen(False, _bounds(file), 0)
        ids = pc.unique(items_of(table).cast(pa.string()))
        return _Seen(
            pc.is_in(text_column([item]), value_set=ids)[0].as_py(), _texts(ids), len(groups)
        )

    return look


def _texts(ids: pa.Array) -> tuple[str, ...]:
    return tuple(ids.slice(0, _NEAR_NAMES).to_pylist())


def _groups_with(file: pq.ParquetFile, item: str) -> Iterator[int]:
    """Yield the row groups whose bounds of ids hold an item; all without usable bounds."""
    bound = _as_id(file.schema_arrow, item)
    for number in range(file.metadata.num_row_groups):
        bounds = _bounds_of(file, number)
        if bound is None or bounds is None or bounds[0] <= bound <= bounds[1]:
            yield number


def _as_id(schema: pa.Schema, item: str) -> Any:
    """Return an id as the bounds of its column spell it; ``None`` where they can't be compared."""
    if key_columns(schema):
        return None
    kind = schema.field("item_id").type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return item
    if pa.types.is_integer(kind) and item.lstrip("-").isdigit():
        return int(item)
    return None


def _bounds_of(file: pq.ParquetFile, number: int) -> tuple[Any, Any] | None:
    group = file.metadata.row_group(number)
    place = file.schema_arrow.get_field_index("item_id")
    if place < 0:
        return None
    statistics = group.column(place).statistics
    if statistics is None or not statistics.has_min_max:
        return None
    return statistics.min, statistics.max


def _bounds(file: pq.ParquetFile) -> tuple[str, ...]:
    """Return the bounds of ids as text: some ids of a file of which no row was read."""
    bounds = [_bounds_of(file, number) for number in range(file.metadata.num_row_groups)]
    return tuple(str(end) for pair in bounds if pair is not None for end in pair)


def names_of_items(
    outputs: Store, row: dict[str, Any], count: int, like: str = ""
) -> Sequence[str]:
    """Return the first items of a forecast in the order of its rows, those with a text in them.

    Row groups are read until there are enough.

    Parameters
    ----------
    outputs : Store
    row : dict
        Row of a manifest.
    count : int
    like : str
        Text that the ids contain; any by default.

    Raises
    ------
    CorruptedFileError, StorageError, PreconditionFailedError
    """
    ids: dict[str, None] = {}
    with open_parquet(outputs, row["key"], if_match=row["etag"]) as file:
        names = list(item_names(file.schema_arrow))
        for number in range(file.metadata.num_row_groups):
            with translated_parquet(outputs, row["key"]):
                table = file.read_row_groups([number], columns=names)
            unique = pc.unique(items_of(table).cast(pa.string()))
            ids |= dict.fromkeys(unique.filter(pc.match_substring(unique, like)).to_pylist())
            if len(ids) >= count:
                break
    return list(ids)[:count]
