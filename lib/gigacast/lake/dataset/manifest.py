"""The manifest of a dataset version: the version exists when its manifest does.

A manifest names every file with its key, ETag, size and digests, so that versions can share files
and readers never take one file for another.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import date, datetime
from typing import Annotated, Any

import pyarrow as pa

from gigacast.core.dataset.predicate import Bounds
from gigacast.core.dataset.ref import DatasetRef
from gigacast.core.digest import digest_value
from gigacast.core.mark import Count, Fits, ReadAs
from gigacast.core.problem import FormError, Source
from gigacast.core.record import decode_json, read_record
from gigacast.errors import ConfigError, CorruptedFileError, DatasetIntegrityError
from gigacast.storage.parquet.draft import DraftFile

FORMAT = 1
_HINT = "restore it from a backup, or publish the content as another version"
# Fields with a default that every manifest has: without them it is damaged.
_ALWAYS_STORED = ("changelog", "dependencies", "partition_by", "quality_flags")


def schema_to_text(schema: pa.Schema) -> str:
    """Return a schema as text, for JSON."""
    # Arrow's own encoding: pyarrow has no function that reads types back from their names.
    return base64.b64encode(schema.remove_metadata().serialize().to_pybytes()).decode()


def schema_from_text(text: str) -> pa.Schema:
    """Return the schema that `schema_to_text` wrote.

    Raises
    ------
    CorruptedFileError
    """
    try:
        return pa.ipc.read_schema(pa.BufferReader(base64.b64decode(text)))
    except (ValueError, TypeError, OSError, pa.ArrowException) as error:
        raise CorruptedFileError(f"not a schema: {error}") from error


def _tagged(value: Any) -> Any:
    """Return a bound for JSON: a time is a mapping, so that it is not read as text."""
    if isinstance(value, datetime):
        return {"time": value.isoformat()}
    if isinstance(value, date):
        return {"date": value.isoformat()}
    if isinstance(value, float) and value in {float("inf"), float("-inf")}:
        return {"float": repr(value)}
    return value


def _untagged(value: Any) -> Any:
    match value:
        case {"time": text}:
            return datetime.fromisoformat(text)
        case {"date": text}:
            return date.fromisoformat(text)
        case {"float": text}:
            return float(text)
    return value


def _read_bounds(stored: Mapping[str, list[Any]]) -> dict[str, Bounds]:
    bounds = {}
    for name, pair in stored.items():
        if len(pair) != 2:
            raise FormError(f"expected the least and the greatest value, got {len(pair)}", name)
        bounds[name] = (_untagged(pair[0]), _untagged(pair[1]))
    return bounds


def _stays_below(path: str) -> bool:
    return ".." not in path.split("/")


_Path = Annotated[str, Fits(_stays_below, "a path that does not lead out of the lake")]


@dataclass(frozen=True, slots=True)
class DatasetFile:
    """One file of a version.

    Parameters
    ----------
    path : str
        Name within the dataset.
    key : str
        Key below the lake's root: in the folder of this version, or of an earlier one.
    etag : str
    size_bytes, rows : int
    sha256 : str
        SHA-256 of the file.
    content : str
        Digest of the columns and rows alone; see `storage.parquet.draft`.
    null_counts : mapping of str to int
    bounds : mapping of str to (least, greatest)
    """

    path: _Path
    key: _Path
    etag: str
    size_bytes: Count
    rows: Count
    sha256: str
    content: str
    null_counts: Mapping[str, Count] = field(default_factory=dict)
    bounds: Annotated[Mapping[str, Bounds], ReadAs(dict[str, list[Any]], _read_bounds)] = field(
        default_factory=dict
    )

    @classmethod
    def of_draft(cls, draft: DraftFile, path: str, key: str, etag: str) -> "DatasetFile":
        """Return the file of a version that is written from a local one."""
        return cls(
            path=path,
            key=key,
            etag=etag,
            size_bytes=draft.size_bytes,
            rows=draft.rows,
            sha256=draft.sha256,
            content=draft.content,
            null_counts=draft.null_counts,
            bounds=draft.bounds,
        )


@dataclass(frozen=True, slots=True)
class Dependency:
    """An object that a dataset was made from, with its ETag at that time."""

    key: str
    etag: str
    dataset: str | None = None


@dataclass(frozen=True, slots=True)
class ChangelogEntry:
    """The changes of one version."""

    version: str
    when: str
    who: str
    what: str


@dataclass(frozen=True)
class DatasetManifest:
    """A version of a dataset.

    Parameters
    ----------
    layer, name, version : str
    digest : str
        Digest of the paths and contents of all files.
    files : tuple of DatasetFile
        Files in the order in which their rows are read.
    schema : pyarrow.Schema
        Schema to which the rows of every file can be converted.
    created_at, created_by : str
    time_column : str, optional
    partition_by : tuple of str
    parent : str, optional
        Version whose files this one shares.
    changelog : tuple of ChangelogEntry
        Changes, the latest version first.
    dependencies : tuple of Dependency
    contract : mapping, optional
        Contract that the rows were checked against.
    quality_flags : tuple of str
    codec : str
    software : mapping of str to str
    extra : mapping
        More entries of metadata.json.
    files_digest : str, optional
        Digest of all fields of all files, keys included; manifests of earlier releases have none.
    folder_columns : tuple of str
        Columns of text that no file holds: their values are those in the names of its folders.
    """

    layer: str
    name: str
    version: str
    digest: str
    files: tuple[DatasetFile, ...]
    schema: Annotated[pa.Schema, ReadAs(str, schema_from_text)]
    created_at: str
    created_by: str
    time_column: str | None = None
    partition_by: tuple[str, ...] = ()
    parent: str | None = None
    changelog: tuple[ChangelogEntry, ...] = ()
    dependencies: tuple[Dependency, ...] = ()
    contract: Mapping[str, Any] | None = None
    quality_flags: tuple[str, ...] = ()
    codec: str = "snappy"
    software: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    files_digest: str | None = None
    folder_columns: tuple[str, ...] = ()

    @property
    def ref(self) -> DatasetRef:
        """The dataset and version."""
        return DatasetRef(self.layer, self.name, self.version)

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(file.rows for file in self.files)

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def null_counts(self) -> dict[str, int]:
        """Count of missing values by column; a column that a file lacks is missing in all its rows.

        A file without statistics, as other programs may write it, counts as complete.
        """
        return {
            name: sum(
                file.null_counts.get(name, file.rows if file.null_counts else 0)
                for file in self.files
            )
            for name in self.schema.names
        }

    @property
    def completeness_percentage(self) -> float:
        """Share of the values that are not missing, in percent."""
        cells = self.rows * len(self.schema)
        return 100.0 if not cells else round(100 * (1 - sum(self.null_counts.values()) / cells), 4)

    @property
    def bounds(self) -> dict[str, Bounds]:
        """Least and greatest value of each column that has them in every file with rows."""
        bounds: dict[str, Bounds] = {}
        filled = [file for file in self.files if file.rows]
        for name in self.schema.names:
            # A file without bounds may hold any value, so then the column has none either.
            pairs = [file.bounds[name] for file in filled if name in file.bounds]
            if pairs and len(pairs) == len(filled):
                bounds[name] = (min(low for low, _ in pairs), max(high for _, high in pairs))
        return bounds

    def to_bytes(self) -> bytes:
        """Return the manifest as it is stored."""
        plain: dict[str, Any] = {"format": FORMAT}
        for entry in fields(self):
            value = getattr(self, entry.name)
            plain[entry.name] = (
                [asdict(record) for record in value] if _holds_values(value) else value
            )
        plain["schema"] = schema_to_text(self.schema)
        plain["files"] = [file_to_dict(file) for file in self.files]
        if self.files_digest is None:
            del plain["files_digest"]  # a manifest of an earlier release keeps its form
        if not self.folder_columns:
            del plain["folder_columns"]  # so that earlier releases read it
        return json.dumps(plain, indent=1, ensure_ascii=False).encode()


def _holds_values(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and hasattr(value[0], "__dataclass_fields__")


def digest_dataset(contents: Iterable[tuple[str, str]]) -> str:
    """Return the digest of (path, content) of all files, whatever their order."""
    return digest_value(sorted(map(list, contents)), 64)


def digest_entries(files: Iterable[DatasetFile]) -> str:
    """Return the digest of all fields of all files, in their order.

    `digest_dataset` identifies the rows, wherever they are stored. This one shows damage to keys,
    sizes and counts, by which files are read and deleted.
    """
    return digest_value([file_to_dict(file) for file in files], 64)


def parse_dataset_manifest(content: bytes, label: str) -> DatasetManifest:
    """Read a manifest and check that it agrees with itself.

    Raises
    ------
    DatasetIntegrityError
    """
    source = Source(label, DatasetIntegrityError, "can't be trusted", _HINT)
    values = decode_json(content, source)
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        raise source.refuse(f"not a manifest of format {FORMAT}")
    manifest = read_record(DatasetManifest, values, source, required=_ALWAYS_STORED)
    # Lineage and receipts refer to the version by this digest.
    if digest_dataset((file.path, file.content) for file in manifest.files) != manifest.digest:
        raise source.refuse("not the digest of its files", "digest")
    if manifest.files_digest not in {None, digest_entries(manifest.files)}:
        raise source.refuse("not the digest of the entries in files", "files_digest")
    try:
        DatasetRef.parse(str(manifest.ref))
    except ConfigError as error:
        raise source.refuse(error.message) from error
    return manifest


def file_to_dict(file: DatasetFile) -> dict[str, Any]:
    """Return a file as plain values."""
    bounds = {name: [_tagged(value) for value in pair] for name, pair in file.bounds.items()}
    plain = {name: getattr(file, name) for name in DatasetFile.__slots__}
    return plain | {"bounds": bounds}


def file_from_dict(entry: Any, label: str = "a file") -> DatasetFile:
    """Return the file that `file_to_dict` gave as plain values.

    Raises
    ------
    CorruptedFileError
    """
    source = Source(label, CorruptedFileError, hint="delete it and run this again")
    return read_record(DatasetFile, entry, source, required=("bounds",))
