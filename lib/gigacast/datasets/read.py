"""The reading of rows from the files of datasets, without files and columns that are not needed.

A filter excludes files by the values of their folders and by the bounds in the manifest, then row
groups by their statistics, then rows. Files with older schemas are read in the newest schema.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from gigacast.core.contract.evolution import missing_columns, unify_schemas
from gigacast.core.dataset.partitioning import folder_values
from gigacast.core.dataset.predicate import Bounds, Predicate
from gigacast.errors import DataNotFoundError, SchemaError
from gigacast.lake.dataset.manifest import DatasetManifest
from gigacast.lake.feature_layout import partition_values
from gigacast.storage.parquet.read import DEFAULT_BATCH_ROWS, open_parquet, translated_parquet
from gigacast.storage.parquet.scan import Scan, ScanStats, scan_parquet
from gigacast.storage.store import ObjectMeta, Store

_FOOTERS_AT_ONCE = 8  # concurrent requests: reading a footer is waiting for the store


@dataclass(frozen=True)
class ReadFile:
    """A file to read, with the values of its folders and the bounds of its columns."""

    meta: ObjectMeta
    constants: Mapping[str, Any]
    bounds: Mapping[str, Bounds] = field(default_factory=dict)


@dataclass(frozen=True)
class DatasetRows:
    """Rows of several files, which can be read repeatedly, in batches.

    Parameters
    ----------
    store : Store
        Store of the files.
    files : tuple of ReadFile
        Files to read.
    schema : pyarrow.Schema
        Common schema of all files.
    where : str
        Name of the dataset or folder, for error messages.
    """

    store: Store
    files: tuple[ReadFile, ...]
    schema: pa.Schema
    where: str

    def read(
        self,
        columns: Sequence[str] | None = None,
        predicate: Predicate | None = None,
        *,
        stats: ScanStats | None = None,
        batch_rows: int = DEFAULT_BATCH_ROWS,
    ) -> Iterator[pa.RecordBatch]:
        """Yield the matching rows in batches, in the order of the files.

        Raises
        ------
        SchemaError
            If a selected column is in no file.
        CorruptedFileError, DatasetIntegrityError, StorageError
        """
        for rows in self.read_files(columns, predicate, stats=stats, batch_rows=batch_rows):
            yield from rows

    def read_files(
        self,
        columns: Sequence[str] | None = None,
        predicate: Predicate | None = None,
        *,
        stats: ScanStats | None = None,
        batch_rows: int = DEFAULT_BATCH_ROWS,
    ) -> Iterator[Iterator[pa.RecordBatch]]:
        """Yield the matching rows of each file, as `read` does for all."""
        self._check_columns(columns, predicate)
        stats = stats if stats is not None else ScanStats()
        for file in self.files:
            if predicate is not None and not _may_hold(file, predicate):
                stats.files_skipped += 1
                continue
            scan = Scan(
                columns=tuple(columns) if columns is not None else None,
                predicate=predicate,
                schema=self.schema,
                constants=file.constants,
                batch_rows=batch_rows,
            )
            yield iter(scan_parquet(self.store, file.meta, scan, stats))

    def table(
        self,
        columns: Sequence[str] | None = None,
        predicate: Predicate | None = None,
        *,
        stats: ScanStats | None = None,
    ) -> pa.Table:
        """Return the matching rows as a table."""
        batches = list(self.read(columns, predicate, stats=stats))
        return pa.Table.from_batches(batches, self.given_schema(columns))

    def given_schema(self, columns: Sequence[str] | None = None) -> pa.Schema:
        """Return the schema of the rows from `read`."""
        if columns is None:
            return self.schema
        return pa.schema([self.schema.field(name) for name in columns])

    def _check_columns(self, columns: Sequence[str] | None, predicate: Predicate | None) -> None:
        names = set(self.schema.names).union(*(file.constants for file in self.files))
        missing = missing_columns(columns or (), self.schema)
        missing += [n for n in (predicate.columns if predicate else ()) if n not in names]
        if missing and self.files:
            raise SchemaError(
                f"{self.where} has no column {missing[0]!r}",
                hint=f"it has {', '.join(self.schema.names[:30])}",
            )


def _may_hold(file: ReadFile, predicate: Predicate) -> bool:
    # The values of folders settle some conditions, the bounds in the manifest may settle others.
    matches, open_predicate = predicate.settle(file.constants)
    return matches and (open_predicate is None or open_predicate.may_match(file.bounds))


def rows_of_version(store: Store, manifest: DatasetManifest, only: str = "") -> DatasetRows:
    """Return the rows of a published version, or of its files whose path starts with ``only``.

    Raises
    ------
    DataNotFoundError
        If it has no such file.
    """
    exact = [file for file in manifest.files if file.path == only]
    chosen = exact or [
        file for file in manifest.files if not only or file.path.startswith(f"{only.rstrip('/')}/")
    ]
    if only and not chosen:
        paths = ", ".join(file.path for file in manifest.files[:5])
        raise DataNotFoundError(f"{manifest.ref} has no file {only!r}; it has: {paths or 'none'}")
    files = tuple(
        ReadFile(
            # In a `DatasetStore` the ETag of a file is the digest of its rows.
            ObjectMeta(file.path, file.content, file.size_bytes, 0),
            _own_constants(file.path, manifest),
            file.bounds,
        )
        for file in chosen
    )
    return DatasetRows(store, files, manifest.schema, str(manifest.ref))


def _own_constants(path: str, manifest: DatasetManifest) -> dict[str, Any]:
    """Return the values of folders whose names are not columns of the file."""
    # A column in the file wins: the folder has only its text, such as 700 for "0700".
    names = manifest.schema.names
    values = {name: value for name, value in folder_values(path).items() if name not in names}
    texts = partition_values(path)
    return values | {name: texts[name] for name in manifest.folder_columns if name in texts}


def _hint_at(url: str) -> str:
    *_, layer, name = ("", *url.split("/"))
    if layer in {"cleaned", "features"}:
        return f"a dataset's path names its version: {layer}/v1/{name} or {layer}/latest/{name}"
    return "check the path"


def rows_of_folder(store: Store, prefix: str) -> DatasetRows:
    """Return the rows of a plain folder of Parquet files, or of a single file.

    Values of folders such as ``asset=EURUSD/`` are added to the rows as columns.

    Raises
    ------
    DataNotFoundError
        If there is no file.
    SchemaError
        If the schemas of the files do not fit together.
    """
    metas = _data_files(store, prefix)
    url = f"{store.address.url}/{prefix}".rstrip("/")
    if not metas:
        raise DataNotFoundError(f"{url}: there is no Parquet file", hint=_hint_at(url))
    with ThreadPoolExecutor(_FOOTERS_AT_ONCE, thread_name_prefix="gigacast-footer") as pool:
        schemas = list(pool.map(lambda meta: _schema_of(store, meta), metas))
    schema = unify_schemas(schemas, url)
    constants = [folder_values(meta.key) for meta in metas]
    for name in dict.fromkeys(name for folders in constants for name in folders):
        if name not in schema.names:
            values = [value for folders in constants if (value := folders.get(name)) is not None]
            # If folders disagree (asset=700 is a number, asset=MES is text), all become text.
            if len({type(value) for value in values}) > 1:
                constants = [_as_text(folders, name) for folders in constants]
                values = [str(value) for value in values]
            schema = schema.append(pa.field(name, pa.array(values[:1] or [""]).type))
    files = tuple(
        ReadFile(meta, {n: v for n, v in folders.items() if n not in own.names})
        for meta, folders, own in zip(metas, constants, schemas, strict=True)
    )
    return DatasetRows(store, files, schema, url)


def _as_text(values: dict[str, Any], name: str) -> dict[str, Any]:
    value = values.get(name)
    return {**values, name: None if value is None else str(value)} if name in values else values


def _data_files(store: Store, prefix: str) -> list[ObjectMeta]:
    """Return the Parquet file at a prefix, or those below it without hidden ones."""
    folder = f"{prefix.rstrip('/')}/" if prefix else ""
    metas = [meta for page in store.list(prefix) for meta in page]
    # A listing by prefix also has names that merely begin with it, such as `bars-old/` for `bars`.
    exact = [meta for meta in metas if meta.key == prefix]
    return exact or [
        meta
        for meta in metas
        if meta.key.startswith(folder)
        and meta.key.endswith(".parquet")
        and not any(part.startswith((".", "_")) for part in meta.key.split("/"))
    ]


def _schema_of(store: Store, meta: ObjectMeta) -> pa.Schema:
    with open_parquet(store, meta, selective=True) as file, translated_parquet(store, meta.key):
        return file.schema_arrow.remove_metadata()
