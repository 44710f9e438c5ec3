"""The writing of plain Parquet files, outside of the layers, with a contract.

All rows are checked in a local folder before anything is written to the store. Each file is written
atomically; a folder of several files is not, unlike a version of a dataset.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from gigacast.core.contract.check import ContractCheck
from gigacast.core.contract.definition import Contract, Mode
from gigacast.core.dataset.partitioning import Partitioning
from gigacast.datasets.check import ensure, find_disorder, find_duplicates
from gigacast.datasets.files import DraftWriter, FileRules, FooterMetadata
from gigacast.datasets.rows import (
    begin_check,
    find_time_column,
    software,
    staged_files,
    staged_rows,
)
from gigacast.errors import ConfigError
from gigacast.job.location import Location
from gigacast.lake.dataset.metadata import EMBEDDED
from gigacast.scratch import ScratchFolder
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.draft import DraftFile
from gigacast.storage.store import Store

_NO_LIMIT = 1 << 62
"""Rows of a file whose size is not limited."""


@dataclass(frozen=True)
class Promise:
    """A contract, and the handling of rows that break it."""

    contract: Contract
    mode: Mode

    def check(self, schema: pa.Schema) -> ContractCheck:
        """Return the check of rows of a schema; their order is checked once all are written."""
        return ContractCheck(self.contract, schema, self.mode, order_later=True)


def write_files(
    location: Location,
    rows: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    promise: Promise | None,
    files: FileRules,
    custom: Mapping[str, str],
) -> dict[str, Any]:
    """Write rows as a single file or as folders of files.

    Parameters
    ----------
    location : Location
        File that ends in ``.parquet``, or a folder.
    rows : iterable of RecordBatch
        Rows.
    schema : pyarrow.Schema
        Schema of the rows.
    promise : Promise, optional
        Contract of the rows; none by default.
    files : FileRules
        Rules of the division into files.
    custom : mapping of str to str
        Custom keys for the footer of each file.

    Returns
    -------
    dict
        ``record_count``, ``file_size_bytes``, ``created_at`` and ``files``.

    Raises
    ------
    SchemaMismatchError
        If a row breaks the contract. Nothing is written.
    """
    if EMBEDDED in custom:
        raise ConfigError(f"metadata: the key {EMBEDDED} is reserved for this package")
    check = promise.check(schema) if promise is not None else None
    converted, schema = begin_check(check, rows, schema)
    time_column = find_time_column(schema, promise.contract if promise else None)
    store = open_store(location.address)
    is_single = location.key.endswith(".parquet") and not files.partition_by
    # A single file may have any size: it is uploaded from the disk, not from memory.
    if is_single:
        files = replace(files, max_file_rows=_NO_LIMIT)
    with ScratchFolder("dataset") as scratch:
        by = Partitioning.parse(files.partition_by, time_column or "timestamp")
        created_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        footer = _footer(location, files, created_at, custom)
        writer = DraftWriter(scratch, schema, files, by, footer, used_paths=set())
        for batch in converted:
            writer.write(batch)
        drafts = writer.finish()
        if check is not None:
            find_duplicates(check, staged_rows(drafts, schema))
            find_disorder(check, staged_files(drafts, check.order))
            ensure(check.report(), f"{location.address.url.rstrip('/')}/{location.key}")
        written = []
        for path, draft in drafts.items():
            key = location.key if is_single else f"{location.key.rstrip('/')}/{path}"
            written.append(_put_draft(store, key, draft))
    return {
        "record_count": sum(entry["record_count"] for entry in written),
        "file_size_bytes": sum(entry["file_size_bytes"] for entry in written),
        "created_at": created_at,
        "files": written,
    }


def _put_draft(store: Store, key: str, draft: DraftFile) -> dict[str, Any]:
    """Upload a staged file and return its entry for the metadata."""
    etag = store.put(key, draft.path)
    return {
        "path": key,
        "etag": etag,
        "sha256": draft.sha256,
        "record_count": draft.rows,
        "file_size_bytes": draft.size_bytes,
    }


def _footer(
    location: Location, files: FileRules, created_at: str, custom: Mapping[str, str]
) -> FooterMetadata:
    """Return the metadata for the footer of each file."""
    common = {
        "layer": "raw",
        "asset": Path(location.key).stem or "data",
        "created_at": created_at,
        "software": software(),
        "compression": files.codec,
    }
    return FooterMetadata(lambda facts: {**common, **facts}, custom)
