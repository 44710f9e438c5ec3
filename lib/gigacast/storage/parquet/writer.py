"""The Parquet writer: batches of rows to a local file, or to an object of a store.

Equal rows give equal bytes, however they are cut into batches: row groups have a fixed number of
rows, and a file holds no time and no place of its writing.
"""

# Why zstd at level 1 for forecasts, and no dictionary for floats. A million forecast rows (four
# columns of keys, ten of float32) took 36.1 MB written in 0.15 s; with snappy 42.0 MB in 0.10 s;
# with dictionaries, which noise fills in vain, 56.0 MB in 0.52 s. BYTE_STREAM_SPLIT would save
# another tenth (32.3 MB), but not every reader of Parquet knows it. Page checksums cost nothing
# measurable and find flipped bits.

import errno
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from gigacast.errors import ConfigError, SchemaError, StorageError
from gigacast.scratch import ScratchFolder
from gigacast.storage.parquet.draft import DraftFile, describe_file
from gigacast.storage.store import Store

DEFAULT_ROW_GROUP_ROWS = 131_072
Codec = Literal["snappy", "zstd", "gzip", "none"]
CODECS: tuple[Codec, ...] = get_args(Codec)
_LEVELS: Mapping[str, int] = {"zstd": 1, "gzip": 6}
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_codec(name: str | None) -> Codec:
    """Return a codec by its name; ``uncompressed`` and ``None`` are ``none``.

    Raises
    ------
    ConfigError
        If there is no such codec.
    """
    plain = "none" if name is None or name.lower() == "uncompressed" else name.lower()
    for codec in CODECS:
        if plain == codec:
            return codec
    raise ConfigError(f"compression: there is no {name!r}", hint=f"one of {', '.join(CODECS)}")


def table_bytes(table: pa.Table, codec: Codec = "snappy", *, checksums: bool = True) -> bytes:
    """Return a small table as the bytes of a Parquet file.

    Parameters
    ----------
    table : pyarrow.Table
    codec : str
        Compression of the pages.
    checksums : bool
        Whether pages carry checksums; stored kinds of files that began without them stay so, since
        a rerun must write the same bytes as under earlier releases.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression=codec, write_page_checksum=checksums)
    content: bytes = sink.getvalue().to_pybytes()
    return content


class ParquetWriter:
    """Writes batches to a local file. A row group is held in memory until it is full.

    Leaving a ``with`` block closes the file; an exception deletes it.

    Parameters
    ----------
    path : Path
        The file; folders above it are created.
    schema : pyarrow.Schema
        Schema of the file, with its metadata.
    codec : str
        One of `CODECS`.
    row_group_rows : int
        Rows of a row group.
    rising : str, optional
        Integer or time column whose values mostly rise; none by default. It is stored as
        differences, which makes files of price bars a tenth smaller.
    label : str, optional
        Name of the file in errors; the path by default.

    Raises
    ------
    SchemaError
        If Parquet has no type for a column.
    StorageError
        If the file cannot be created.
    """

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        codec: str = "snappy",
        row_group_rows: int = DEFAULT_ROW_GROUP_ROWS,
        *,
        rising: str | None = None,
        label: str | None = None,
    ) -> None:
        self.path = path
        self.rows = 0
        self._schema = schema
        self._row_group_rows = row_group_rows
        self._label = label or str(path)
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0
        name = check_codec(codec)
        with _translated(self._label):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(
                path,
                schema,
                compression=name,
                compression_level=_LEVELS.get(name),
                use_dictionary=[n for n in _dictionary_columns(schema) if n != rising],
                # Ascending times take a fraction of the space as differences; a dictionary of them
                # would hold every value.
                column_encoding={rising: "DELTA_BINARY_PACKED"} if rising else None,
                # With checksums a flipped byte is an error and never another number.
                write_page_checksum=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        is_whole = False
        try:
            if kind is None:
                self.close()
                is_whole = True
        finally:
            if not is_whole:
                self.discard()

    @property
    def held_bytes(self) -> int:
        """Approximate bytes of the rows that wait for their row group to be full."""
        return sum(batch.nbytes for batch in self._pending)

    def write(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Add rows, in order.

        Raises
        ------
        SchemaError
            If their schema differs from the file's; perhaps only when their row group is written.
        StorageError
            If the local disk is full.
        """
        # Only whole row groups are written, so that equal rows give equal bytes however they are
        # cut into batches.
        self._pending += rows.to_batches() if isinstance(rows, pa.Table) else [rows]
        self._pending_rows += rows.num_rows
        self.rows += rows.num_rows
        while self._pending_rows >= self._row_group_rows:
            self._write_group(self._row_group_rows)

    def flush(self) -> None:
        """Write the waiting rows as a smaller row group."""
        if self._pending_rows:
            self._write_group(self._pending_rows)

    def close(self, metadata: Mapping[str, str] | None = None) -> None:
        """Write the waiting rows and the footer, with more key-value metadata.

        Raises
        ------
        SchemaError, StorageError
        """
        # A file without rows gets an empty row group: readers expect one.
        if self._pending_rows or not self.rows:
            self._write_group(self._pending_rows)
        with _translated(self._label):
            if metadata:
                # In one order, so that equal metadata are equal bytes.
                self._writer.add_key_value_metadata(dict(sorted(metadata.items())))
            self._writer.close()

    def finish(self, metadata: Mapping[str, str] | None = None) -> DraftFile:
        """Close the file and return its description: rows, digests, missing values and bounds.

        Raises
        ------
        SchemaError, StorageError
        """
        self.close(metadata)
        return describe_file(self.path)

    def discard(self) -> None:
        """Close the file, finished or not, and delete it."""
        # The footer may not fit the disk either; the file is deleted all the same.
        with suppress(OSError, ValueError, pa.ArrowException):
            self._writer.close()
        self.path.unlink(missing_ok=True)

    def _write_group(self, rows: int) -> None:
        """Write the first waiting rows as one row group."""
        with _translated(self._label):
            pending = pa.Table.from_batches(self._pending, self._schema)
            # One chunk per column: chunk borders would show in the pages of the file.
            group = pending.slice(0, rows).combine_chunks()
            self._pending = pending.slice(rows).to_batches()
            self._pending_rows -= rows
            self._writer.write_table(group, row_group_size=max(1, rows))


def scratch_writer(path: Path, schema: pa.Schema) -> ParquetWriter:
    """Return the writer of a temporary file, with the errors of `ParquetWriter`."""
    # Without compression: the file is read a few times and deleted.
    return ParquetWriter(path, schema, "none")


@dataclass(frozen=True, slots=True)
class PublishedParquet:
    """An object that was written: its key, new ETag, number of rows and size."""

    key: str
    etag: str
    rows: int
    size_bytes: int


class ParquetSink:
    """Writes batches to an object of a store, visible once it is complete.

    The rows go to a local temporary file, so that memory holds a row group and no reader sees a
    part of the object. Leaving the ``with`` block without an exception publishes it.

    Parameters
    ----------
    store : Store
    key : str
    schema : pyarrow.Schema
        Schema of every batch; its metadata is kept.
    metadata : mapping of str to str, optional
        More key-value metadata of the file; none by default.
    row_group_rows : int
        Rows of a row group, which is held in memory.
    scratch : Path, optional
        Folder of the temporary file; the system's (``TMPDIR``) by default.

    Attributes
    ----------
    published : PublishedParquet or None
        The object, once the ``with`` block has ended without an exception.
    last_metadata : dict of str to str
        Key-value metadata that are known only when the rows are written; none by default.

    Examples
    --------
    >>> from gigacast.storage.memory import MemoryStore
    >>> store = MemoryStore("doc")
    >>> batch = pa.record_batch({"n": [1, 2, 3]})
    >>> with ParquetSink(store, "n.parquet", batch.schema, {"kind": "numbers"}) as sink:
    ...     sink.write(batch)
    >>> sink.published.rows
    3
    """

    def __init__(
        self,
        store: Store,
        key: str,
        schema: pa.Schema,
        metadata: Mapping[str, str] | None = None,
        *,
        row_group_rows: int = DEFAULT_ROW_GROUP_ROWS,
        scratch: Path | None = None,
    ) -> None:
        self.published: PublishedParquet | None = None
        self.last_metadata: dict[str, str] = {}
        self._store = store
        self._key = key
        self._schema = schema.with_metadata(_merged(schema.metadata, metadata))
        self._row_group_rows = row_group_rows
        self._scratch = scratch
        self._writer: Any = None
        self._folder: Any = None

    def __enter__(self) -> Self:
        with _translated(f"{self._scratch or tempfile.gettempdir()} for {self._key}"):
            self._folder = ScratchFolder("draft", self._scratch)
        path = self._folder.path / "draft.parquet"
        try:
            self._writer = ParquetWriter(
                path, self._schema, "zstd", self._row_group_rows, label=f"{path} for {self._key}"
            )
        except BaseException:
            self._folder.close()
            raise
        return self

    def write(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Add rows, in order.

        Raises
        ------
        SchemaError
            If their schema is not the sink's.
        StorageError
            If the local disk is full.
        """
        if not rows.schema.equals(self._schema):
            raise SchemaError(f"the rows for {self._key} have the schema {rows.schema}")
        self._writer.write(rows)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._publish()
        finally:
            self._writer.discard()
            self._folder.close()

    def _publish(self) -> None:
        writer: ParquetWriter = self._writer
        writer.close(self.last_metadata)
        size_bytes = writer.path.stat().st_size
        etag = self._put(writer.path)
        self.published = PublishedParquet(self._key, etag, writer.rows, size_bytes)

    def _put(self, path: Path) -> str:
        """Write the finished local file to the store and return its ETag."""
        # One request with the complete file: readers see the former object until it has succeeded.
        return self._store.put_unless_equal(self._key, path)


@contextmanager
def _translated(label: str) -> Iterator[None]:
    """Raise errors of the local disk and of Arrow as errors of this package."""
    try:
        yield
    except OSError as error:
        is_full = error.errno in _DISK_FULL
        # Arrow's own text repeats the path and the errno.
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise StorageError(
            f"the temporary file {label} cannot be written: {reason}",
            hint="free space, or set TMPDIR to a larger disk" if is_full else None,
        ) from error
    except pa.ArrowException as error:
        reason = str(error).partition("\n")[0][:300]
        raise SchemaError(
            f"rows that cannot be stored as Parquet: {reason}",
            hint="convert the column to another type, or leave it out",
        ) from error


def _merged(
    own: Mapping[bytes, bytes] | None, more: Mapping[str, str] | None
) -> dict[bytes, bytes]:
    """Return all key-value metadata in one order, so that equal metadata are equal bytes."""
    merged = dict(own or {})
    merged.update({key.encode(): value.encode() for key, value in (more or {}).items()})
    return dict(sorted(merged.items()))


def _dictionary_columns(schema: pa.Schema) -> list[str]:
    """Return the columns to store with a dictionary: those whose values may repeat.

    Floats seldom repeat, and nested columns mostly hold floats.
    """
    return [
        field.name
        for field in schema
        if not pa.types.is_floating(field.type) and not pa.types.is_nested(field.type)
    ]
