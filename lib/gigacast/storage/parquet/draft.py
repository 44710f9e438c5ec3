"""Description of a Parquet file on the local disk: rows, missing values, bounds and digests.

A file has two digests: of the file, and of its columns and rows alone. The second leaves the footer
out, so that the same rows have the same digest when they are written with other metadata.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa

from gigacast.core.dataset.predicate import Bounds
from gigacast.core.digest import digest_text
from gigacast.core.footer import DamagedParquetError, VerifiedParquet, read_metadata
from gigacast.errors import CorruptedFileError
from gigacast.storage.parquet.statistics import statistics_bounds

_LONGEST_BOUND = 64  # characters of a text
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class DraftFile:
    """A finished file on the local disk.

    Parameters
    ----------
    path : Path
    rows, size_bytes : int
    sha256 : str
        SHA-256 of the file.
    content : str
        Digest of the columns and the encoded rows, without the footer.
    null_counts : mapping of str to int
        Number of missing values, by column.
    bounds : mapping of str to (least, greatest)
        Least and greatest value of the columns that have an order and any value.
    """

    path: Path
    rows: int
    size_bytes: int
    sha256: str
    content: str
    null_counts: Mapping[str, int]
    bounds: Mapping[str, Bounds]


def describe_file(path: Path) -> DraftFile:
    """Return the description of a Parquet file on the local disk.

    Raises
    ------
    CorruptedFileError
    """
    try:
        metadata = read_metadata(path)
        schema = metadata.schema.to_arrow_schema()
        with path.open("rb") as file:
            digests = _digests(file, schema)
        nulls, bounds = _statistics(metadata)
        nulls |= _nested_nulls(path, schema)  # reads these columns again
    except (pa.ArrowException, OSError, DamagedParquetError) as error:
        reason = str(error).partition("\n")[0][:300]
        raise CorruptedFileError(f"{path} is not readable Parquet: {reason}") from error
    size_bytes = path.stat().st_size
    return DraftFile(path, metadata.num_rows, size_bytes, digests.file, digests.rows, nulls, bounds)


def content_of(file: BinaryIO) -> str:
    """Return the digest of the columns and rows of an open Parquet file.

    Raises
    ------
    CorruptedFileError
    """
    try:
        schema = read_metadata(file).schema.to_arrow_schema()
        file.seek(0)
        return _digests(file, schema).rows
    except (pa.ArrowException, OSError, DamagedParquetError) as error:
        raise CorruptedFileError(f"not readable Parquet: {error}") from error


class _Digests(NamedTuple):
    """The SHA-256 of a file, and the digest of its columns and rows."""

    file: str
    rows: str


def _digests(file: BinaryIO, schema: pa.Schema) -> _Digests:
    """Return the digests of a file.

    A Parquet file ends in its footer, the footer's length (4 bytes) and a magic number (4 bytes).
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(size - 8)
    footer_bytes = int.from_bytes(file.read(4), "little")
    rows_stop = size - 8 - footer_bytes
    file.seek(0)
    # The file is read once: the digest of the rows is a copy of the file's, taken at the footer.
    sha256 = hashlib.sha256()
    _feed(sha256, file, rows_stop)
    columns = ";".join(f"{field.name}:{field.type}" for field in schema)
    content = digest_text(f"{sha256.copy().hexdigest()} {columns}", 64)
    _feed(sha256, file, size - rows_stop)
    return _Digests(sha256.hexdigest(), content)


def _feed(digest: Any, file: BinaryIO, size_bytes: int) -> None:
    while size_bytes > 0:
        piece = file.read(min(_CHUNK_BYTES, size_bytes))
        if not piece:
            raise OSError("the file is shorter than its footer says")
        digest.update(piece)
        size_bytes -= len(piece)


def _statistics(metadata: Any) -> tuple[dict[str, int], dict[str, Bounds]]:
    """Return the missing values and the bounds of each column over all row groups."""
    nulls: dict[str, int] = {}
    bounds: dict[str, Bounds] = {}
    unbounded: set[str] = set()
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        for place in range(group.num_columns):
            column = group.column(place)
            name, statistics = column.path_in_schema, column.statistics
            # Bounds of a column need those of all its row groups.
            if statistics is None:
                unbounded.add(name)
                continue
            nulls[name] = nulls.get(name, 0) + (statistics.null_count or 0)
            least, greatest = statistics_bounds(statistics)
            if statistics.has_min_max and _is_bound(least):
                low, high = bounds.get(name, (least, greatest))
                bounds[name] = (min(low, least), max(high, greatest))
            elif (statistics.null_count or 0) < group.num_rows:
                unbounded.add(name)  # a row group has values, but no bounds of them
    return nulls, {name: limits for name, limits in bounds.items() if name not in unbounded}


def _nested_nulls(path: Path, schema: pa.Schema) -> dict[str, int]:
    """Count missing lists and structs: the statistics count only missing values within them."""
    names = [field.name for field in schema if pa.types.is_nested(field.type)]
    nulls = dict.fromkeys(names, 0)
    if names:
        with VerifiedParquet(path) as file:
            for rows in file.iter_batches(columns=names, use_threads=False):
                for name in names:
                    nulls[name] += rows.column(name).null_count
    return nulls


def _is_bound(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_BOUND  # bounds go into manifests, which long texts would fill
    return isinstance(value, bool | int | float | date | datetime)
