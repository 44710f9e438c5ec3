"""Plain Parquet files, outside of any layer, that keep a contract.

All of the rows are checked, in a local folder, before anything is put. Each file is put whole; a
folder of several is not put at once: for that there are versions.
"""

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from gigacast.core.contract.check import ContractCheck
from gigacast.core.contract.definition import Contract, Mode
from gigacast.core.dataset.partitioning import Partitioning
from gigacast.datasets.check import ensure, find_disorder, find_duplicates
from gigacast.datasets.files import DraftWriter, FileRules, FooterWords
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
from gigacast.storage.opening import open_store

_NO_LIMIT = 1 << 62


def write_files(
    where: Location,
    rows: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    contract: tuple[Contract, Mode] | None,
    files: FileRules,
    custom: Mapping[str, str],
) -> dict[str, Any]:
    """Write rows as one file, or as folders.

    Parameters
    ----------
    where : Location
        A file that ends in ``.parquet``, or a folder.
    rows : iterable of RecordBatch
    schema : pyarrow.Schema
    contract : (Contract, Mode), optional
    files : FileRules
    custom : mapping of str to str
        Keys of each file's footer.

    Returns
    -------
    dict
        ``record_count``, ``file_size_bytes`` and the files.

    Raises
    ------
    SchemaMismatchError
        Nothing was written then.
    """
    if EMBEDDED in custom:
        raise ConfigError(f"metadata: {EMBEDDED} is written by this package itself")
    check = ContractCheck(contract[0], schema, contract[1], order_later=True) if contract else None
    converted, schema = begin_check(check, rows, schema)
    time_column = find_time_column(schema, contract[0] if contract else None)
    store = open_store(where.address)
    one_file = where.key.endswith(".parquet") and not files.partition_by
    if one_file:  # it is put from the disk: nothing holds it whole
        files = replace(files, max_file_rows=_NO_LIMIT)
    with tempfile.TemporaryDirectory(prefix="gigacast-dataset-") as scratch:
        by = Partitioning.parse(files.partition_by, time_column or "timestamp")
        created_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        known = {"layer": "raw", "asset": Path(where.key).stem or "data", "created_at": created_at}
        more = {"software": software(), "compression": files.codec}
        words = FooterWords(lambda facts: {**known, **more, **facts}, custom)
        writer = DraftWriter(Path(scratch), schema, files, by, words, taken=set())
        for batch in converted:
            writer.write(batch)
        drafts = writer.finish()
        if check is not None:
            find_duplicates(check, staged_rows(drafts, schema))
            find_disorder(check, staged_files(drafts, check.order))
            ensure(check.report(), f"{where.address.url.rstrip('/')}/{where.key}")
        written = []
        for path, draft in drafts.items():
            key = where.key if one_file else f"{where.key.rstrip('/')}/{path}"
            etag = store.put(key, draft.path)
            written.append(
                {
                    "path": key,
                    "etag": etag,
                    "sha256": draft.sha256,
                    "record_count": draft.rows,
                    "file_size_bytes": draft.size_bytes,
                }
            )
    return {
        "record_count": sum(int(str(one["record_count"])) for one in written),
        "file_size_bytes": sum(int(str(one["file_size_bytes"])) for one in written),
        "created_at": created_at,
        "files": written,
    }
