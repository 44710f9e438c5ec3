"""Parquet files written to a local folder before they go anywhere.

A draft knows what it holds when it is closed: rows, missing values, bounds, and two digests, one of
the file, one of the rows alone. The second leaves the footer out, so that the same rows written at
another time, with other metadata, are still known to be the same.

Floats get no dictionary, which noise would fill in vain; page checksums find flipped bits.
"""

import errno
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from gigacast.core.dataset.predicate import Bounds
from gigacast.core.digest import digest_text
from gigacast.errors import ConfigError, CorruptedFileError, SchemaError, StorageError
from gigacast.storage.parquet.bounds import statistics_bounds
from gigacast.storage.parquet.sink import DEFAULT_ROW_GROUP_ROWS

Codec = Literal["snappy", "zstd", "gzip", "none"]
CODECS: tuple[Codec, ...] = get_args(Codec)
_LEVELS: Mapping[str, int] = {"zstd": 1, "gzip": 6}
_LONGEST_BOUND = 64
_CHUNK_BYTES = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_codec(name: str | None) -> Codec:
    """Return a codec by name; ``uncompressed`` and ``None`` are ``none``.

    Raises
    ------
    ConfigError
    """
    plain = "none" if name is None or name.lower() == "uncompressed" else name.lower()
    for codec in CODECS:
        if plain == codec:
            return codec
    raise ConfigError(f"compression: there is no {name!r}", hint=f"one of {', '.join(CODECS)}")


@dataclass(frozen=True, slots=True)
class DraftFile:
    """A finished file on the local disk.

    Parameters
    ----------
    path : Path
    rows, size_bytes : int
    sha256 : str
        Of the file.
    content : str
        Digest of the columns and rows alone, as they were written.
    null_counts : mapping of str to int
    bounds : mapping of str to (least, greatest)
        Of the columns that have an order and any value.
    """

    path: Path
    rows: int
    size_bytes: int
    sha256: str
    content: str
    null_counts: Mapping[str, int]
    bounds: Mapping[str, Bounds]


class ParquetDraft:
    """A file being written.

    Parameters
    ----------
    path : Path
    schema : pyarrow.Schema
    codec : str
    row_group_rows : int
        A row group is held in memory.
    rising : str, optional
        A column of times that mostly rise: stored as differences, a tenth smaller for all bars.
    """

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        codec: str = "snappy",
        row_group_rows: int = DEFAULT_ROW_GROUP_ROWS,
        *,
        rising: str | None = None,
    ) -> None:
        self.path = path
        self.rows = 0
        self._schema = schema.remove_metadata()
        self._row_group_rows = row_group_rows
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0
        name = check_codec(codec)
        with self._translated():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(
                path,
                self._schema,
                compression=name,
                compression_level=_LEVELS.get(name),
                use_dictionary=[n for n in _dictionary_columns(self._schema) if n != rising],
                column_encoding={rising: "DELTA_BINARY_PACKED"} if rising else None,
                write_page_checksum=True,
            )

    @property
    def held_bytes(self) -> int:
        """About what waits in memory for its row group to be full."""
        return sum(batch.nbytes for batch in self._pending)

    def write(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Add rows, in order."""
        batches = rows.to_batches() if isinstance(rows, pa.Table) else [rows]
        self._pending += [batch.replace_schema_metadata(None) for batch in batches]
        self._pending_rows += rows.num_rows
        self.rows += rows.num_rows
        while self._pending_rows >= self._row_group_rows:
            self._write_group(self._row_group_rows)

    def flush(self) -> None:
        """Write what waits, as a smaller row group."""
        if self._pending_rows:
            self._write_group(self._pending_rows)

    def close(self, metadata: Mapping[str, str] | None = None) -> DraftFile:
        """Write what is left and the metadata, and say what the file is."""
        if self._pending_rows or not self.rows:
            self._write_group(self._pending_rows)
        with self._translated():
            if metadata:
                self._writer.add_key_value_metadata(dict(sorted(metadata.items())))
            self._writer.close()
        return describe_file(self.path)

    def abandon(self) -> None:
        """Close the file and remove it."""
        # What is left in its buffers does not matter.
        with suppress(OSError, ValueError, pa.ArrowException):
            self._writer.close()
        self.path.unlink(missing_ok=True)

    def _write_group(self, rows: int) -> None:
        with self._translated():
            pending = pa.Table.from_batches(self._pending, self._schema)
            group = pending.slice(0, rows).combine_chunks()
            self._pending = pending.slice(rows).to_batches()
            self._pending_rows -= rows
            self._writer.write_table(group, row_group_size=max(1, rows))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            full = error.errno in _FULL
            raise StorageError(
                f"the temporary file {self.path} can't be written: {error.strerror or error}",
                hint="free space, or set TMPDIR to a larger disk" if full else None,
            ) from error
        except pa.ArrowException as error:
            reason = str(error).partition("\n")[0][:300]
            raise SchemaError(
                f"rows that cannot be stored as Parquet: {reason}",
                hint="convert the column to another type, or leave it out",
            ) from error


def describe_file(path: Path) -> DraftFile:
    """Say what a Parquet file on the local disk is.

    Raises
    ------
    CorruptedFileError
    """
    try:
        metadata = pq.read_metadata(path)
        schema = pq.read_schema(path)
        with path.open("rb") as file:
            sha256, content = _digests(file, schema)
        nulls, bounds = _statistics(metadata)
        nulls |= _nested_nulls(path, schema)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0][:300]
        raise CorruptedFileError(f"{path} is not readable Parquet: {reason}") from error
    return DraftFile(path, metadata.num_rows, path.stat().st_size, sha256, content, nulls, bounds)


def content_of(file: BinaryIO) -> str:
    """Return the digest of the columns and rows of an open Parquet file.

    Raises
    ------
    CorruptedFileError
    """
    try:
        schema = pq.read_schema(file)
        file.seek(0)
        return _digests(file, schema)[1]
    except (pa.ArrowException, OSError) as error:
        raise CorruptedFileError(f"not readable Parquet: {error}") from error


def _digests(file: BinaryIO, schema: pa.Schema) -> tuple[str, str]:
    """Return the SHA-256 of a whole file, and the digest of all before its footer."""
    size = file.seek(0, os.SEEK_END)
    file.seek(size - 8)
    footer_bytes = int.from_bytes(file.read(4), "little")
    rows_stop = size - 8 - footer_bytes
    file.seek(0)
    whole = hashlib.sha256()
    _feed(whole, file, rows_stop)
    columns = ";".join(f"{field.name}:{field.type}" for field in schema)
    content = digest_text(f"{whole.copy().hexdigest()} {columns}", 64)
    _feed(whole, file, size - rows_stop)
    return whole.hexdigest(), content


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
    silent: set[str] = set()
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        for place in range(group.num_columns):
            column = group.column(place)
            name, statistics = column.path_in_schema, column.statistics
            if statistics is None:
                silent.add(name)
                continue
            nulls[name] = nulls.get(name, 0) + (statistics.null_count or 0)
            least, greatest = statistics_bounds(statistics)
            if statistics.has_min_max and _is_bound(least):
                low, high = bounds.get(name, (least, greatest))
                bounds[name] = (min(low, least), max(high, greatest))
            elif (statistics.null_count or 0) < group.num_rows:
                silent.add(name)  # it has values that nothing is told of
    return nulls, {name: found for name, found in bounds.items() if name not in silent}


def _nested_nulls(path: Path, schema: pa.Schema) -> dict[str, int]:
    """Count what is missing of lists and structs: statistics speak of what they hold alone."""
    names = [field.name for field in schema if pa.types.is_nested(field.type)]
    nulls = dict.fromkeys(names, 0)
    if names:
        with pq.ParquetFile(path) as file:
            for rows in file.iter_batches(columns=names, use_threads=False):
                for name in names:
                    nulls[name] += rows.column(name).null_count
    return nulls


def _is_bound(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_BOUND
    return isinstance(value, bool | int | float | date | datetime)


def _dictionary_columns(schema: pa.Schema) -> list[str]:
    return [
        field.name
        for field in schema
        if not pa.types.is_floating(field.type) and not pa.types.is_nested(field.type)
    ]
