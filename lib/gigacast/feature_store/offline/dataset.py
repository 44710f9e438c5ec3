"""The versions of datasets that backfills publish: manifests that name days of a table in place.

A day has one key, so that a table can be read as a folder. A day that is computed again with other
rows is copied first: the versions that name it are read from that copy.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256

import pyarrow as pa

from gigacast.core.contract.definition import Column, Contract, parse_type
from gigacast.core.contract.drift import drift_of_schemas, needed_change
from gigacast.core.contract.evolution import unify_schemas
from gigacast.core.dataset.ref import DatasetRef
from gigacast.core.dataset.version import Change, Version
from gigacast.core.digest import digest_etags
from gigacast.core.footer import read_metadata
from gigacast.datasets.rows import plain_values, software
from gigacast.errors import (
    ConfigError,
    DatasetConflictError,
    ObjectNotFoundError,
    PreconditionFailedError,
    TransientStorageError,
)
from gigacast.feature_store.definition.name import PARTITION_COLUMN
from gigacast.feature_store.offline.note import NOTE, Note, Output, Source, dependencies_of
from gigacast.feature_store.offline.source import Catalog
from gigacast.lake.dataset.catalog import DEPRECATED, PUBLISHED, Lake
from gigacast.lake.dataset.manifest import (
    ChangelogEntry,
    DatasetFile,
    DatasetManifest,
)
from gigacast.lake.dataset.publish import DatasetDraft, publish_dataset
from gigacast.lake.feature_layout import feature_table_prefix, kept_key, partition_values
from gigacast.lake.layout import output_id, receipt_prefix
from gigacast.lake.plan.audit import COMPLETED, read_audit
from gigacast.lake.plan.listing import receipts_by_output
from gigacast.lake.plan.receipt import Receipt, read_receipt
from gigacast.lake.publication import Author, read_pinned
from gigacast.scratch import ScratchFolder
from gigacast.storage.parquet.draft import describe_file
from gigacast.storage.store import ObjectMeta, Store

_ATTEMPTS = 5
"""Attempts of a write or a publication that others get ahead of."""
_READERS = 8
"""Days read at a time: each costs round trips."""


# -- days ------------------------------------------------------------------------------------------


def write_day(store: Store, key: str, content: bytes) -> str:
    """Write the rows of a day and return their ETag; other rows that were there are kept.

    Raises
    ------
    TransientStorageError
        When others replace the day again and again.
    """
    for _ in range(_ATTEMPTS):
        pinned = read_pinned(store, key)
        try:
            if pinned is None:
                return store.put_if_absent(key, content)
            if pinned.content == content:
                return pinned.etag
            # The copy first: a crash in between leaves one too many, and no version loses a day.
            with suppress(PreconditionFailedError):
                store.put_if_absent(_copy_key(key, pinned.content), pinned.content)
            return store.put_if_match(key, content, pinned.etag)
        except PreconditionFailedError:
            continue
    raise TransientStorageError(
        f"{store.address.url}/{key} is being replaced again and again by others",
        hint="run the command again when the other backfill has ended",
    )


def _copy_key(key: str, content: bytes) -> str:
    copy = kept_key(key, sha256(content).hexdigest())
    assert copy is not None  # noqa: S101 - days are below the tables of the feature store
    return copy


# -- versions --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Day:
    """A day of a version: its file, its columns, and the partitions that it is made of."""

    file: DatasetFile
    schema: pa.Schema
    sources: tuple[Source, ...]
    digest: str

    @property
    def input_id(self) -> str:
        """Digest of the definition and the partitions, as receipts name it."""
        return digest_etags([self.digest, *(digest for _, digest in self.sources)])


@dataclass(frozen=True)
class _Version:
    """The content of a version.

    Parameters
    ----------
    days : tuple of _Day
    schema : pyarrow.Schema
    folders : tuple of str
        Columns whose values are in the names of folders.
    """

    days: tuple[_Day, ...]
    schema: pa.Schema
    folders: tuple[str, ...]

    @classmethod
    def of(cls, days: Sequence[_Day], label: str) -> "_Version":
        folders = tuple(partition_values(days[0].file.path))
        rows = unify_schemas((day.schema for day in days), label)
        named = [pa.field(name, pa.string()) for name in folders]
        plain = [entry for entry in rows if entry.name not in folders]
        return cls(tuple(days), pa.schema([*plain, *named]), folders)


def publish_version(
    store: Store, output: Output, catalog: Catalog, author: Author
) -> DatasetManifest | None:
    """Publish the days of a table as a version of a dataset, and return its manifest.

    Days of other definitions are left out, and those of runs that are in progress, were killed or
    had failures: readers see a backfill whole or not at all. If nothing changed, the version before
    is returned.

    Parameters
    ----------
    store : Store
        Store that holds ``feature_store/``.
    output : Output
    catalog : Catalog
        Tables of the sources.
    author : Author

    Returns
    -------
    DatasetManifest or None
        ``None`` when the table has no days.

    Raises
    ------
    SchemaError
        If the days of the table do not have the same columns.
    DatasetConflictError
        If a dataset of that name was made by something else.
    StorageError
    """
    for attempt in range(_ATTEMPTS):
        try:
            return _Publisher(Lake(store), output, catalog, author).run()
        except DatasetConflictError as error:
            # Another backfill of the table took the number: its version is the parent now.
            if attempt == _ATTEMPTS - 1 or error.hint == _FOREIGN:
                raise
    raise AssertionError  # unreachable: the last attempt returns or raises


_FOREIGN = "give the definition another name or namespace"


class _Publisher:
    """The publication of the days of a table."""

    def __init__(self, lake: Lake, output: Output, catalog: Catalog, author: Author) -> None:
        self._lake = lake
        self._output = output
        self._catalog = catalog
        self._author = author
        self._ref = DatasetRef("features", output.table)
        self._parent = self._find_parent()
        self._completed: dict[str, bool] = {}

    def run(self) -> DatasetManifest | None:
        known = {day.file.path: day for day in self._known_days()}
        listed = self._list_days()
        # Read side by side: each day is its receipt and its rows.
        with ThreadPoolExecutor(_READERS, thread_name_prefix="gigacast-day") as pool:
            described = pool.map(lambda pair: self._day(pair[0], pair[1], known), listed)
            days = [day for day in described if day is not None]
        if not days:
            return None
        version = _Version.of(days, f"the table {self._output.table}")
        manifest = self._manifest(version)
        draft = DatasetDraft(manifest, {})
        parent = self._parent
        if parent is not None and draft.digest == parent.digest and _names_same(manifest, parent):
            return parent
        return publish_dataset(self._lake, draft, self._author)[0]

    def _find_parent(self) -> DatasetManifest | None:
        states = self._lake.versions(self._ref)
        # Deprecated versions keep their number: the next one must be higher.
        versions = [v for v, state in states.items() if state in {PUBLISHED, DEPRECATED}]
        if not versions:
            return None
        parent = self._lake.read(replace(self._ref, version=versions[-1]))
        if NOTE not in parent.extra:
            raise DatasetConflictError(
                f"{parent.ref} was not made by a backfill: {self._output.definition} would "
                "replace it",
                hint=_FOREIGN,
            )
        return parent

    def _known_days(self) -> Iterator[_Day]:
        """Yield the days of the version before, without reading them."""
        if self._parent is None:
            return
        note = Note.of(self._parent)
        schema = pa.schema(
            [f for f in self._parent.schema if f.name not in self._parent.folder_columns]
        )
        for file in self._parent.files:
            yield _Day(file, schema, note.sources_of(file.path), note.digest)

    def _list_days(self) -> list[tuple[ObjectMeta, dict[str, str]]]:
        """Return the files of the table, each with the receipts that name it, by their inputs."""
        prefix = feature_table_prefix(self._output.table)
        pages = self._lake.store.list(receipt_prefix(prefix))
        receipts = receipts_by_output(entry for page in pages for entry in page)
        proofs = {
            entry: {
                named.input_id: key
                for named, key in receipts.get(entry.key, [])
                if named.output_id == output_id(entry.etag)
            }
            for page in self._lake.store.list(prefix)
            for entry in page
        }
        return [(entry, keys) for entry, keys in proofs.items() if keys]

    def _day(
        self, entry: ObjectMeta, receipts: Mapping[str, str], known: Mapping[str, _Day]
    ) -> _Day | None:
        """Return a day of the definition; ``None`` for one of another definition."""
        path = entry.key.removeprefix(feature_table_prefix(self._output.table))
        before = known.get(path)
        if before is not None and before.file.etag == entry.etag and before.input_id in receipts:
            return before if before.digest == self._output.digest else None
        for key in receipts.values():
            receipt = read_receipt(self._lake.store, key)
            own, *inputs = _inputs_of(receipt)
            if own[1] == self._output.digest and self._is_whole(entry.key, receipt.run_id):
                file, schema = _describe(self._lake.store, entry, path)
                return _Day(file, schema, tuple(inputs), own[1])
        # What a run in progress, or a killed one, has written: the day stays as it was.
        return before if before is not None and before.digest == self._output.digest else None

    def _is_whole(self, key: str, run_id: str) -> bool:
        """Return whether a day is of this run's days, or of a run in which every day was done."""
        if key in self._output.keys:
            return True
        if run_id not in self._completed:
            try:
                completed = read_audit(self._lake.store, run_id).status == COMPLETED
            except ObjectNotFoundError:
                completed = True  # audits may be deleted; a run in progress has one
            self._completed[run_id] = completed
        return self._completed[run_id]

    def _manifest(self, version: _Version) -> DatasetManifest:
        parent, output = self._parent, self._output
        files = tuple(day.file for day in version.days)
        number, created_at = self._number(version), self._author.now()
        shares = parent is not None and {f.key for f in files} & {f.key for f in parent.files}
        own = ChangelogEntry(number, created_at, self._author.who, self._what(files))
        note = Note.make(output, {day.file.path: day.sources for day in version.days})
        return DatasetManifest(
            layer=self._ref.layer,
            name=self._ref.name,
            version=number,
            digest="",
            files=files,
            schema=version.schema,
            created_at=created_at,
            created_by=self._author.who,
            time_column=PARTITION_COLUMN,
            partition_by=version.folders,
            parent=parent.version if parent is not None and shares else None,
            changelog=(own, *(parent.changelog if parent is not None else ())),
            dependencies=tuple(dependencies_of(self._catalog, note.inputs, self._lake.store)),
            contract=plain_values(contract_of(output, version.schema, version.folders).to_dict()),
            codec="zstd",
            software=software(),
            extra={NOTE: note.to_dict()},
            folder_columns=version.folders,
        )

    def _number(self, version: _Version) -> str:
        """Return the number of the version by its changes: columns, days, other values."""
        parent = self._parent
        if parent is None:
            return "v1"
        change = needed_change(drift_of_schemas(parent.schema, version.schema))
        before, now = ({f.path for f in files} for files in (parent.files, _files(version)))
        if before - now:
            change = Change.MAJOR  # days that readers had are gone
        elif now - before or Note.of(parent).digest != self._output.digest:
            change = max(change, Change.MINOR)
        return str(Version.parse(parent.version).next(change))

    def _what(self, files: Iterable[DatasetFile]) -> str:
        contents = {f.path: f.content for f in self._parent.files} if self._parent else {}
        now = {f.path: f.content for f in files}
        new = len(now.keys() - contents.keys())
        changed = sum(contents[path] != now[path] for path in now.keys() & contents.keys())
        gone = len(contents.keys() - now.keys())
        counts = ((new, "new"), (changed, "changed"), (gone, "removed"))
        text = ", ".join(f"{count} {name}" for count, name in counts if count) or "0 new"
        return f"{self._output.definition}: {text} partitions"


def _inputs_of(receipt: Receipt) -> list[Source]:
    """Return the definition and the partitions that a receipt names."""
    return [(str(entry["key"]), str(entry["etag"])) for entry in receipt.inputs]


def _files(version: _Version) -> tuple[DatasetFile, ...]:
    return tuple(day.file for day in version.days)


def _names_same(manifest: DatasetManifest, parent: DatasetManifest) -> bool:
    """Return whether both name the same bytes, by one definition."""
    # A day with the same rows in other bytes is named anew: the old bytes may be kept elsewhere.
    same = {f.path: f.sha256 for f in manifest.files} == {f.path: f.sha256 for f in parent.files}
    return same and Note.of(manifest).digest == Note.of(parent).digest


def _describe(store: Store, entry: ObjectMeta, path: str) -> tuple[DatasetFile, pa.Schema]:
    """Return the description of a day's file, and its columns."""
    content = store.get(entry.key, if_match=entry.etag)
    with ScratchFolder("day") as scratch:
        local = scratch / "day.parquet"
        local.write_bytes(content)
        draft = describe_file(local)
        schema = read_metadata(local).schema.to_arrow_schema().remove_metadata()
    folders = partition_values(path)
    file = DatasetFile(
        path=path,
        key=entry.key,
        etag=entry.etag,
        size_bytes=draft.size_bytes,
        rows=draft.rows,
        sha256=draft.sha256,
        content=draft.content,
        # Of the folders, too: by their bounds readers leave files out.
        null_counts={**draft.null_counts, **dict.fromkeys(folders, 0)},
        bounds={**draft.bounds, **{name: (text, text) for name, text in folders.items()}},
    )
    return file, schema


def contract_of(output: Output, schema: pa.Schema, folders: Sequence[str]) -> Contract:
    """Return the contract of a table: its columns and their types.

    Lists and maps are left out, for which contracts have no types.
    """
    columns = []
    for entry in schema:
        with suppress(ConfigError):
            parse_type(str(entry.type))
            columns.append(Column(entry.name, str(entry.type), entry.name not in folders))
    return Contract(output.table, tuple(columns), description=output.definition)
