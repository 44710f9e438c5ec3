"""The manifest of a spec: the consistent set of forecasts of the last finished run.

It is replaced by compare and swap, so that the entries of two runs that end at the same time are
merged.
"""

import io
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.column import text_column, to_arrow
from gigacast.core.footer import VerifiedParquet
from gigacast.core.mark import moment_of
from gigacast.errors import CorruptedFileError, ObjectNotFoundError, PreconditionFailedError
from gigacast.lake.layout import kept_manifest_key, output_id, parse_receipt_key, receipt_prefix
from gigacast.lake.plan.receipt import Receipt, read_receipt
from gigacast.storage.parquet.writer import table_bytes
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
logger = logging.getLogger(__name__)
_READERS = 16
ATTEMPTS = 20  # each fails only if another process wrote the manifest


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """A forecast in a manifest; ``rows`` is ``None`` when no receipt could be read."""

    partition: str
    key: str
    etag: str
    rows: int | None
    size_bytes: int


def to_table(entries: list[ManifestEntry]) -> pa.Table:
    """Return entries as a table of `SCHEMA`."""
    texts = [[getattr(entry, name) for entry in entries] for name in SCHEMA.names[:3]]
    rows = np.array([entry.rows or 0 for entry in entries], np.int64)
    unknown = np.array([entry.rows is None for entry in entries], np.bool_)
    sizes = np.array([entry.size_bytes for entry in entries], np.int64)
    columns = [*map(text_column, texts), to_arrow(rows, unknown), to_arrow(sizes)]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def entry_of(receipt: Receipt) -> ManifestEntry:
    """Return the entry of a partition, from its receipt."""
    output = receipt.output
    return ManifestEntry(
        partition=receipt.partition,
        key=str(output["key"]),
        etag=str(output["etag"]),
        rows=int(str(output["rows"])),
        size_bytes=int(str(output["size_bytes"])),
    )


def encode_table(table: pa.Table, *, checksums: bool = False) -> bytes:
    """Return the stored form of a table of `SCHEMA`.

    Parameters
    ----------
    table : pyarrow.Table
    checksums : bool
        Whether pages carry checksums; without them by default, as children of arrays write their
        lists: one that starts again must write the same bytes as under earlier releases.
    """
    return table_bytes(table, "zstd", checksums=checksums)


def decode_table(content: bytes, key: str) -> pa.Table:
    """Return the table of `SCHEMA` in a stored object.

    Raises
    ------
    CorruptedFileError
        When the object is not a manifest.
    """
    try:
        return VerifiedParquet(io.BytesIO(content)).read().select(SCHEMA.names).cast(SCHEMA)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise CorruptedFileError(
            f"{key}: not a manifest: {error}",
            hint="run again: the run makes it anew from the receipts",
        ) from error


def merge(old: pa.Table, new: pa.Table) -> pa.Table:
    """Return new entries and those old ones that they do not replace, sorted by partition."""
    # By partition instead of by key: the next generation of an input has another key.
    unchanged = old.filter(
        pc.invert(pc.is_in(old["partition"], value_set=new["partition"].combine_chunks()))
    )
    return pa.concat_tables([unchanged, new]).sort_by("partition")


def read_manifest(store: Store, key: str) -> tuple[pa.Table, str | None]:
    """Return a manifest and its ETag; an empty table and ``None`` when the object does not exist.

    Raises
    ------
    CorruptedFileError
        When the object is not a manifest.
    """
    try:
        etag = store.head(key).etag
        content = store.get(key, if_match=etag)
    # If it was replaced between the requests, the caller's put-if-absent fails, and it tries again.
    except (ObjectNotFoundError, PreconditionFailedError):
        return pa.Table.from_batches([], SCHEMA), None
    return decode_table(content, key), etag


def rebuild_manifest(store: Store, prefix: str) -> pa.Table:
    """Return the entries of all outputs below a prefix that a receipt proves.

    Of several outputs of one partition, as older generations of its input leave them, the one that
    was made last counts.

    Parameters
    ----------
    store : Store
    prefix : str
        Folder of the outputs of a spec.

    Raises
    ------
    StorageError
    """
    listed = {entry.key: entry.etag for page in store.list(prefix) for entry in page}
    keys = [
        (entry.key, named.output_key)
        for page in store.list(receipt_prefix(prefix))
        for entry in page
        if (named := parse_receipt_key(entry.key)) is not None
        and named.output_key in listed
        and named.output_id == output_id(listed[named.output_key])
    ]
    with ThreadPoolExecutor(_READERS) as pool:
        receipts = pool.map(lambda pair: _read_proof(store, pair[0], listed[pair[1]]), keys)
        latest: dict[str, Receipt] = {}
        for receipt in filter(None, receipts):
            newest = latest.setdefault(receipt.partition, receipt)
            if moment_of(receipt.finished_at) > moment_of(newest.finished_at):
                latest[receipt.partition] = receipt
    return to_table([entry_of(latest[partition]) for partition in sorted(latest)])


def _read_proof(store: Store, key: str, etag: str) -> Receipt | None:
    """Return a receipt if it can be read and describes the output that its key names."""
    named = parse_receipt_key(key)
    try:
        receipt = read_receipt(store, key)
        receipt.check_output(named.output_key if named is not None else "", etag)
    except (ObjectNotFoundError, CorruptedFileError):
        return None
    return receipt


def mend_manifest(store: Store, key: str) -> None:
    """Replace a manifest that cannot be read by one made from the receipts, and log that.

    Raises
    ------
    StorageError
    """
    try:
        etag = store.head(key).etag
        decode_table(store.get(key, if_match=etag), key)
    except (ObjectNotFoundError, PreconditionFailedError):
        return  # there is none, or another run has just written it
    except CorruptedFileError as error:
        table = rebuild_manifest(store, f"{key.rpartition('/')[0]}/")
        with suppress(PreconditionFailedError):  # another run was faster
            store.put_if_match(key, encode_table(table, checksums=True), etag)
        logger.warning("%s: rebuilt from %d receipts", error.message, len(table))


def update_manifest(store: Store, key: str, new: pa.Table) -> int:
    """Merge new entries into a manifest, and return its number of entries.

    Raises
    ------
    PreconditionFailedError
        When other processes wrote first `ATTEMPTS` times.
    """
    return len(_replace(store, key, lambda old: merge(old, new)))


def keep_manifest(store: Store, key: str, run_id: str, keep: int) -> None:
    """Copy a manifest as a run leaves it, and delete the oldest of more copies than are kept.

    Parameters
    ----------
    store : Store
    key : str
        Key of the manifest.
    run_id : str
    keep : int
        Number of copies, this one included.
    """
    table, _ = read_manifest(store, key)
    store.put_unless_equal(kept_manifest_key(key, run_id), encode_table(table, checksums=True))
    copies = [entry for page in store.list(kept_manifest_key(key, "")) for entry in page]
    copies.sort(key=lambda entry: (entry.modified_ns, entry.key), reverse=True)
    if copies[keep:]:
        store.delete([entry.key for entry in copies[keep:]])


def drop_entries(store: Store, key: str, doomed: Iterable[str]) -> None:
    """Remove the entries of outputs that are about to be deleted, or are gone, from a manifest.

    Parameters
    ----------
    store : Store
    key : str
    doomed : iterable of str
        Keys of outputs that the caller deletes next.

    Raises
    ------
    PreconditionFailedError
        When other processes wrote first `ATTEMPTS` times.
    CorruptedFileError
        When the object is not a manifest.
    """
    deleted = pa.array(sorted(doomed), pa.string())

    def without(old: pa.Table) -> pa.Table:
        remaining = old.filter(pc.invert(pc.is_in(old["key"], value_set=deleted)))
        # Listed after the manifest was read: what it names was written before.
        listed = [e.key for page in store.list(f"{key.rpartition('/')[0]}/") for e in page]
        return remaining.filter(pc.is_in(remaining["key"], value_set=pa.array(listed, pa.string())))

    _replace(store, key, without, create=False)


def _replace(
    store: Store, key: str, change: Callable[[pa.Table], pa.Table], *, create: bool = True
) -> pa.Table:
    """Change a manifest by compare and swap, and return what it holds then."""
    for attempt in range(ATTEMPTS):
        old, etag = read_manifest(store, key)
        new = change(old)
        # A rerun that did nothing must not replace the object under its readers.
        if new.equals(old) and (etag is not None or not create):
            return new
        content = encode_table(new, checksums=True)
        # The condition fails when another run wrote since the read: its entries are merged next.
        try:
            if etag is None:
                store.put_if_absent(key, content)
            else:
                store.put_if_match(key, content, etag)
        except PreconditionFailedError:
            if attempt == ATTEMPTS - 1:
                raise
            continue
        return new
    raise AssertionError("unreachable")
