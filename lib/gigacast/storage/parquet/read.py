"""Parquet objects of a store, read as a table, in batches, or as a seekable file.

Memory is bounded by the settings, not by the object: small objects are fetched in one request,
larger ones by ranges of one version (If-Match). Files of a folder are read in place.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from gigacast.core.column import readable_as_codes
from gigacast.core.footer import DamagedParquetError, VerifiedParquet, read_metadata
from gigacast.errors import CorruptedFileError, SchemaError, StorageError
from gigacast.storage.range_file import RangeFile
from gigacast.storage.store import ObjectMeta, Store

WHOLE_BYTES = 8 << 20  # up to this size one request is faster than several
SELECTIVE_WHOLE_BYTES = 128 << 10  # the same for readers that need a small part of the object
SELECTIVE_FETCH_BYTES = 16 << 10
ROW_GROUP_BYTES = 64 << 20  # row groups up to this size are read a column chunk at a time
BUFFER_BYTES = 4 << 20  # columns of larger row groups are read through a buffer of this size
DEFAULT_BATCH_ROWS = 65_536
_HINT = "write the object again, or remove it"


def open_object(
    store: Store,
    source: ObjectMeta | str,
    *,
    if_match: str | None = None,
    size_bytes: int | None = None,
    selective: bool = False,
) -> BinaryIO:
    """Open one version of an object as a seekable read-only file.

    Parameters
    ----------
    store : Store
    source : ObjectMeta or str
        Listed object, read in the listed version; or key.
    if_match, size_bytes : optional
        ETag of the version and its size, for a key; by default they take one request.
    selective : bool
        Whether a small part is needed: then only the ranges that are read are fetched.

    Raises
    ------
    ObjectNotFoundError
    PreconditionFailedError
        If the object is no longer this version; later reads may raise it too.
    """
    if isinstance(source, ObjectMeta):
        key, if_match, size_bytes = source.key, if_match or source.etag, source.size_bytes
    else:
        key = source
    # A folder opens its file, and does not map it into memory: if a mapped file is cut short by
    # another process, reading it kills this one.
    if (file := store.open_file(key, if_match=if_match)) is not None:
        return file
    if if_match is None or size_bytes is None:
        head = store.head(key)
        if_match, size_bytes = if_match or head.etag, head.size_bytes
    if size_bytes <= (SELECTIVE_WHOLE_BYTES if selective else WHOLE_BYTES):
        return io.BytesIO(store.get(key, if_match=if_match))
    meta = ObjectMeta(key, if_match, size_bytes, 0)
    if selective:
        exact = RangeFile(store, meta, smallest_bytes=SELECTIVE_FETCH_BYTES, ahead=False)
        return cast("BinaryIO", exact)
    return cast("BinaryIO", RangeFile(store, meta))


@contextmanager
def translated_parquet(store: Store, key: str) -> Iterator[None]:
    """Raise errors about the bytes of a Parquet object as `CorruptedFileError`.

    For code that reads a file of `open_parquet` step by step. Errors of the store are not changed.
    """
    try:
        yield
    except (pa.ArrowException, OSError, DamagedParquetError, UnicodeDecodeError) as error:
        url = f"{store.address.url.rstrip('/')}/{key}"
        # Errors with an errno come from the disk; pyarrow raises others for damaged bytes.
        if isinstance(error, OSError) and error.errno is not None:
            raise StorageError(f"{url}: {error.strerror}") from error
        reason = str(error).partition("\n")[0][:300]
        raise CorruptedFileError(f"{url} is not readable Parquet: {reason}", hint=_HINT) from error


@contextmanager
def open_parquet(
    store: Store,
    source: ObjectMeta | str,
    *,
    if_match: str | None = None,
    selective: bool = False,
    coded: bool = False,
) -> Iterator[pq.ParquetFile]:
    """Open an object as a streaming `pyarrow.parquet.ParquetFile` for the ``with`` block.

    Wrap reading from it in `translated_parquet`. With ``coded``, texts are read as dictionaries,
    the form in which they are mostly stored; those in DELTA pages as plain text.

    Raises
    ------
    CorruptedFileError
        If it has no Parquet footer.
    ObjectNotFoundError, PreconditionFailedError
    """
    key = source.key if isinstance(source, ObjectMeta) else source
    with open_object(store, source, if_match=if_match, selective=selective) as file:
        with translated_parquet(store, key):
            metadata = read_metadata(file)
            parquet = VerifiedParquet(
                file,
                metadata,
                buffer_size=_buffer_bytes(metadata),
                pre_buffer=False,  # it would hold all row groups in memory
                read_dictionary=readable_as_codes(metadata, _texts(metadata)) if coded else None,
            )
        yield parquet


def read_batches(
    store: Store,
    source: ObjectMeta | str,
    columns: Sequence[str] | None = None,
    *,
    batch_rows: int = DEFAULT_BATCH_ROWS,
    if_match: str | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of an object in batches. At most one row group is in memory.

    Raises
    ------
    CorruptedFileError, SchemaError, ObjectNotFoundError, PreconditionFailedError
    """
    key = source.key if isinstance(source, ObjectMeta) else source
    with open_parquet(store, source, if_match=if_match) as file:
        _check_columns(store, key, file, columns)
        batches = file.iter_batches(batch_size=batch_rows, columns=columns, use_threads=False)
        while True:
            with translated_parquet(store, key):
                batch = next(batches, None)
            if batch is None:
                return
            yield batch


def read_table(
    store: Store,
    source: ObjectMeta | str,
    columns: Sequence[str] | Callable[[pa.Schema], Sequence[str]] | None = None,
    *,
    if_match: str | None = None,
) -> pa.Table:
    """Return all rows of an object as a table: all columns, or those of a list or of a function.

    Raises
    ------
    CorruptedFileError, SchemaError, ObjectNotFoundError, PreconditionFailedError
    """
    key = source.key if isinstance(source, ObjectMeta) else source
    with open_parquet(store, source, if_match=if_match) as file:
        if callable(columns):
            columns = columns(file.schema_arrow)
        _check_columns(store, key, file, columns)
        with translated_parquet(store, key):
            return file.read(columns=columns)


def _texts(metadata: pq.FileMetaData) -> list[str]:
    schema = metadata.schema.to_arrow_schema()
    is_text = (pa.types.is_string, pa.types.is_large_string)
    return [field.name for field in schema if any(check(field.type) for check in is_text)]


def _buffer_bytes(metadata: pq.FileMetaData) -> int:
    groups = (metadata.row_group(i) for i in range(metadata.num_row_groups))
    largest = max((group.total_byte_size for group in groups), default=0)
    return BUFFER_BYTES if largest > ROW_GROUP_BYTES else 0


def _check_columns(
    store: Store, key: str, file: pq.ParquetFile, columns: Sequence[str] | None
) -> None:
    missing = sorted(set(columns or ()) - set(file.schema_arrow.names))
    if missing:
        url = f"{store.address.url.rstrip('/')}/{key}"
        raise SchemaError(
            f"{url} has no column {', '.join(map(repr, missing))}",
            hint=f"it has {', '.join(file.schema_arrow.names[:20])}",
        )
