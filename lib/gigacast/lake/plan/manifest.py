"""The manifest of a spec: the consistent set of forecasts of the last finished run.

A manifest is replaced by compare and swap: two runs that end together merge, neither is lost.
"""

import io
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gigacast.core.column import text_column, to_arrow
from gigacast.errors import CorruptedFileError, ObjectNotFoundError, PreconditionFailedError
from gigacast.lake.plan.receipt import Receipt
from gigacast.storage.store import Store

SCHEMA = pa.schema(
    [
        pa.field("partition", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("etag", pa.string(), nullable=False),
        pa.field("rows", pa.int64()),
        pa.field("size_bytes", pa.int64(), nullable=False),
    ]
)
ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One forecast of a consistent set; ``rows`` is ``None`` when no receipt told."""

    partition: str
    key: str
    etag: str
    rows: int | None
    size_bytes: int


def to_table(entries: list[ManifestEntry]) -> pa.Table:
    """Return entries as a table of `SCHEMA`."""
    texts = [[getattr(entry, name) for entry in entries] for name in SCHEMA.names[:3]]
    rows = np.array([entry.rows or 0 for entry in entries], np.int64)
    untold = np.array([entry.rows is None for entry in entries], np.bool_)
    sizes = np.array([entry.size_bytes for entry in entries], np.int64)
    columns = [*map(text_column, texts), to_arrow(rows, untold), to_arrow(sizes)]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def entry_of(receipt: Receipt) -> ManifestEntry:
    """Return what a manifest says of a partition, by its receipt."""
    output = receipt.output
    return ManifestEntry(
        partition=receipt.partition,
        key=str(output["key"]),
        etag=str(output["etag"]),
        rows=int(str(output["rows"])),
        size_bytes=int(str(output["size_bytes"])),
    )


def encode_table(table: pa.Table) -> bytes:
    """Return a table of `SCHEMA` as it is stored."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def decode_table(content: bytes, key: str) -> pa.Table:
    """Read a stored table of `SCHEMA`.

    Raises
    ------
    CorruptedFileError
        When it is none.
    """
    try:
        return pq.ParquetFile(io.BytesIO(content)).read().select(SCHEMA.names).cast(SCHEMA)
    except (pa.ArrowException, KeyError) as error:
        raise CorruptedFileError(
            f"{key}: not a manifest: {error}", hint="delete it and run again"
        ) from error


def merge(old: pa.Table, new: pa.Table) -> pa.Table:
    """Return ``new`` and what of ``old`` it does not replace, in the order of partitions.

    A newer generation replaces the older one: partitions decide, not keys.
    """
    kept = old.filter(
        pc.invert(pc.is_in(old["partition"], value_set=new["partition"].combine_chunks()))
    )
    return pa.concat_tables([kept, new]).sort_by("partition")


def read_manifest(store: Store, key: str) -> tuple[pa.Table, str | None]:
    """Return a manifest and its ETag; an empty one and ``None`` when there is none.

    Raises
    ------
    CorruptedFileError
        When the object is not a manifest.
    """
    try:
        etag = store.head(key).etag
        content = store.get(key, if_match=etag)
    except (ObjectNotFoundError, PreconditionFailedError):
        return pa.Table.from_batches([], SCHEMA), None
    return decode_table(content, key), etag


def update_manifest(store: Store, key: str, new: pa.Table) -> int:
    """Merge new entries into a manifest; return the number of entries it has now.

    Nothing is written when nothing changes.

    Raises
    ------
    PreconditionFailedError
        When others replaced it again and again in the meantime.
    """
    for attempt in range(ATTEMPTS):
        old, etag = read_manifest(store, key)
        merged = merge(old, new)
        if etag is not None and merged.equals(old):
            return len(merged)
        content = encode_table(merged)
        try:
            if etag is None:
                store.put_if_absent(key, content)
            else:
                store.put_if_match(key, content, etag)
        except PreconditionFailedError:
            if attempt == ATTEMPTS - 1:
                raise
            continue
        return len(merged)
    raise AssertionError("unreachable")
