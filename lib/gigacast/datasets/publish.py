"""The publication of rows as a version of a dataset: check, stage in local files, commit.

Rows are streamed into files in a local folder, with a row group per file in memory, and checked
against the contract on the way. Only when all of them keep it is anything written to the lake.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC
from itertools import chain
from typing import Any

import pyarrow as pa

from gigacast.core.contract.check import ContractCheck
from gigacast.core.contract.definition import Contract, Mode
from gigacast.core.contract.drift import drift_of_schemas, needed_change
from gigacast.core.contract.evolution import conform, unify_schemas
from gigacast.core.contract.report import ContractReport
from gigacast.core.dataset.partitioning import Partitioning
from gigacast.core.dataset.ref import DatasetRef
from gigacast.core.dataset.version import Change, Version
from gigacast.datasets.check import (
    RowSource,
    ensure,
    find_disorder,
    find_duplicates,
    find_key_duplicates,
)
from gigacast.datasets.files import DraftWriter, FileRules, FooterMetadata
from gigacast.datasets.read import rows_of_version
from gigacast.datasets.rows import (
    are_later,
    begin_check,
    find_time_column,
    plain_values,
    software,
    staged_files,
    staged_rows,
)
from gigacast.errors import ConfigError, DataNotFoundError, DatasetConflictError, SchemaError
from gigacast.lake.dataset.catalog import DEPRECATED, PUBLISHED, Lake
from gigacast.lake.dataset.manifest import ChangelogEntry, DatasetManifest, Dependency
from gigacast.lake.dataset.publish import DatasetDraft, publish_dataset
from gigacast.lake.dataset.store import DatasetStore
from gigacast.lake.publication import Author
from gigacast.scratch import ScratchFolder
from gigacast.storage.parquet.draft import DraftFile

_EXACT = 1 << 53  # float64 represents all integers up to here


@dataclass(frozen=True)
class PublishOptions:
    """Options of a publication.

    Parameters
    ----------
    contract : Contract, optional
        Contract of all rows; no check by default.
    mode : Mode
        Handling of rows that break the contract.
    append : bool
        Whether to append the rows to those of ``parent``. The new version shares its files.
    parent : str, optional
        Version before the new one; the latest by default.
    what : str
        Description of the change, for the changelog; made from the change by default.
    dependencies : tuple of Dependency
        Objects from which the rows were made.
    time_column : str, optional
        Column of timestamps; recognised by default.
    quality_flags : tuple of str
        Flags for the metadata.
    files : FileRules
        Rules of the division into files.
    extra : mapping
        Further JSON-able entries of metadata.json and the manifest.
    """

    contract: Contract | None = None
    mode: Mode = Mode.STRICT
    append: bool = False
    parent: str | None = None
    what: str = ""
    dependencies: tuple[Dependency, ...] = ()
    time_column: str | None = None
    quality_flags: tuple[str, ...] = ()
    files: FileRules = field(default_factory=FileRules)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PublishedDataset:
    """Result of a publication. ``new`` is False if the same content was published before."""

    manifest: DatasetManifest
    new: bool
    report: ContractReport | None
    notes: tuple[str, ...] = ()


def publish_rows(
    lake: Lake,
    ref: DatasetRef,
    rows: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    options: PublishOptions,
    author: Author,
) -> PublishedDataset:
    """Publish rows as a version of a dataset.

    Parameters
    ----------
    lake : Lake
        Lake to publish in.
    ref : DatasetRef
        Dataset and version. Without a version the next one is published: a patch for other values,
        a minor version for more rows or columns, a major version if columns are removed or change
        their kind.
    rows : iterable of RecordBatch
        Rows.
    schema : pyarrow.Schema
        Schema of the rows before the check.
    options : PublishOptions
        Options.
    author : Author
        Name and clock of the person who publishes.

    Raises
    ------
    SchemaMismatchError
        If a row breaks the contract. Nothing is written.
    DatasetConflictError
        If the version exists with other content.
    ConfigError
        If the version number is too low for the change.
    StorageError
    """
    return _Publication(lake, ref, options, author).run(rows, schema)


class _Publication:
    """The state of a publication."""

    def __init__(
        self, lake: Lake, ref: DatasetRef, options: PublishOptions, author: Author
    ) -> None:
        self._lake = lake
        self._options = options
        self._author = author
        self._created_at = author.now()
        # Raw snapshots have a day instead of a version number.
        if ref.layer == "raw" and ref.version is None:
            ref = replace(ref, version=author.clock().astimezone(UTC).date().isoformat())
        self._parent = self._find_parent(ref)
        self._ref = ref
        self._shares = self._parent if options.append else None
        if options.append and ref.layer == "raw":
            raise ConfigError(
                "nothing can be appended to raw snapshots", hint="import another day's snapshot"
            )
        # The contract of a version holds for all its rows, so appended rows must keep it too.
        if self._shares and self._shares.contract and options.contract is None:
            contract = Contract.from_dict(self._shares.contract)
            self._options = replace(options, contract=contract)

    def _find_parent(self, ref: DatasetRef) -> DatasetManifest | None:
        """Return the version before the new one."""
        if ref.layer == "raw":
            return None
        if self._options.parent is not None:
            return self._lake.read(ref.at(self._options.parent))
        states = self._lake.versions(ref)
        older = [v for v, state in states.items() if state in {PUBLISHED, DEPRECATED}]
        if ref.version is not None:
            older = [v for v in older if Version.parse(v) < Version.parse(ref.version)]
        if not older:
            if self._options.append and ref.version not in states:
                raise DataNotFoundError(
                    f"{self._lake.where(ref)}: there is no version to append to",
                    hint="publish a first version",
                )
            return None
        # Deprecated versions are passed over, as by `latest`, unless there are no others.
        live = [v for v in older if states[v] == PUBLISHED] or older
        return self._lake.read(replace(ref, version=live[-1]))

    def run(self, rows: Iterable[pa.RecordBatch], schema: pa.Schema) -> PublishedDataset:
        """Check, stage and commit the rows."""
        contract = self._options.contract
        mode = self._options.mode
        check = ContractCheck(contract, schema, mode, order_later=True) if contract else None
        converted, schema = begin_check(check, rows, schema)
        full_schema = self._full_schema(schema)
        # The version is settled before the rows are written: the footers of the files contain it.
        ref = self._settle_version(full_schema)
        time_column = self._time_column(schema)
        with ScratchFolder("dataset") as scratch:
            writer = DraftWriter(
                scratch,
                schema,
                self._options.files,
                Partitioning.parse(self._options.files.partition_by, time_column or "timestamp"),
                FooterMetadata(lambda facts: self._embedded(ref, facts)),
                used_paths={file.path for file in self._shares.files} if self._shares else set(),
            )
            for batch in converted:
                writer.write(batch)
            new = writer.finish()
            report = self._finish_check(check, new, schema, time_column)
            if self._shares is not None and (self._is_repeated(new) or _has_no_rows(new)):
                return PublishedDataset(self._shares, False, report)
            draft = DatasetDraft(self._manifest(ref, full_schema, time_column), new)
            # The same data again is no new version, unless a version number is given.
            if self._ref.version is None and self._parent and draft.digest == self._parent.digest:
                return PublishedDataset(self._parent, False, report)
            manifest, is_new = self._publish(draft)
        return PublishedDataset(manifest, is_new, report)

    def _time_column(self, schema: pa.Schema) -> str | None:
        named = self._options.time_column
        if named is not None and named not in schema.names:
            raise SchemaError(
                f"there is no time column {named!r}",
                hint=f"name one of {', '.join(schema.names[:20])}",
            )
        return named or find_time_column(schema, self._options.contract)

    def _publish(self, draft: DatasetDraft) -> tuple[DatasetManifest, bool]:
        try:
            return publish_dataset(self._lake, draft, self._author)
        except DatasetConflictError as error:
            if self._ref.version is not None or self._ref.layer == "raw":
                raise
            # The number was free when it was computed: somebody else has published it since.
            raise DatasetConflictError(
                error.message, hint="another publication is in progress: run this again"
            ) from error

    def _is_repeated(self, new: dict[str, DraftFile]) -> bool:
        """Return whether the version before has all appended files, as when a job is retried."""
        existing = {file.content for file in self._shares.files} if self._shares else set()
        return bool(new) and all(draft.content in existing for draft in new.values())

    # -- the manifest ------------------------------------------------------------------------------

    def _full_schema(self, schema: pa.Schema) -> pa.Schema:
        """Return the schema of the new rows together with those of the shared files."""
        if self._shares is None:
            return schema.remove_metadata()
        title = f"{self._shares.ref}, appended to"
        full = unify_schemas([self._shares.schema, schema], title)
        # Old files are read in the new schema. Integers beyond 2**53 would silently change.
        for name, bounds in self._shares.bounds.items():
            is_widened = pa.types.is_floating(full.field(name).type)
            if is_widened and any(isinstance(b, int) and abs(b) > _EXACT for b in bounds):
                raise SchemaError(
                    f"{title}: {name!r} has whole numbers up to {max(map(abs, bounds))}, which no "
                    f"{full.field(name).type} holds",
                    hint="publish it as a column of another name, or as whole numbers",
                )
        return full

    def _settle_version(self, schema: pa.Schema) -> DatasetRef:
        """Return the version to publish. A given version must be high enough for the change."""
        if self._ref.layer == "raw" or self._parent is None:
            return self._ref if self._ref.version else replace(self._ref, version="v1")
        parent = self._parent
        change = needed_change(drift_of_schemas(parent.schema, schema))
        if self._options.append:
            change = max(change, Change.MINOR)
        older = Version.parse(parent.version)
        if self._ref.version is None:
            return replace(self._ref, version=str(older.next(change)))
        raised = Version.parse(self._ref.version).raised_from(older)
        if raised is not None and raised < change:
            drifts = drift_of_schemas(parent.schema, schema)
            changes = "; ".join(str(d) for d in drifts if d.change == change) or "rows appended"
            raise ConfigError(
                f"{self._ref} is too small a step from {parent.version} for: {changes}",
                hint=f"publish it as {older.next(change)} or higher",
            )
        return self._ref

    def _manifest(
        self, ref: DatasetRef, schema: pa.Schema, time_column: str | None
    ) -> DatasetManifest:
        contract, parent = self._options.contract, self._parent
        assert ref.version is not None  # noqa: S101 - _settle_version has set it
        own = ChangelogEntry(ref.version, self._created_at, self._author.who, self._what())
        shared = self._shares.dependencies if self._shares else ()
        files = self._options.files
        return DatasetManifest(
            layer=ref.layer,
            name=ref.name,
            version=ref.version,
            digest="",
            files=self._shares.files if self._shares else (),
            schema=schema,
            created_at=self._created_at,
            created_by=self._author.who,
            time_column=time_column,
            partition_by=tuple(files.partition_by),
            parent=self._shares.version if self._shares else None,
            changelog=(own, *(parent.changelog if parent else ())),
            dependencies=tuple(dict.fromkeys((*shared, *self._options.dependencies))),
            contract=None if contract is None else plain_values(contract.to_dict()),
            quality_flags=self._options.quality_flags,
            codec=files.codec,
            software=software(),
            extra=self._options.extra,
        )

    def _what(self) -> str:
        if self._options.what:
            return self._options.what
        if self._options.append and self._shares:
            return f"appended to {self._shares.version}"
        return "first version" if self._parent is None else f"replaces {self._parent.version}"

    def _embedded(self, ref: DatasetRef, facts: dict[str, Any]) -> dict[str, Any]:
        """Return the metadata for the footer of a file."""
        contract = self._options.contract
        return {
            "layer": ref.layer,
            "feature_set" if ref.layer == "features" else "asset": ref.name,
            "version": ref.version,
            "created_at": self._created_at,
            "created_by": self._author.who,
            "compression": self._options.files.codec,
            **facts,
            "schema": {
                **facts["schema"],
                "name": contract.name if contract else None,
                "version": contract.version if contract else None,
            },
            "quality": {**facts["quality"], "quality_flags": list(self._options.quality_flags)},
            "changelog": [
                {
                    "version": str(ref.version),
                    "when": self._created_at,
                    "who": self._author.who,
                    "what": self._what(),
                }
            ],
            "dependencies": [
                {"key": d.key, "etag": d.etag, "dataset": d.dataset}
                for d in self._options.dependencies
            ],
            "software": software(),
        }

    # -- the contract over all rows ----------------------------------------------------------------

    def _finish_check(
        self,
        check: ContractCheck | None,
        new: dict[str, DraftFile],
        schema: pa.Schema,
        time_column: str | None,
    ) -> ContractReport | None:
        if check is None:
            return None
        find_duplicates(check, staged_rows(new, schema))
        find_disorder(check, staged_files(new, check.order))
        # Keys must also be unique across the shared files. Reading these is avoided if the new
        # rows are all later, the usual case of appending, or are the very same rows again.
        is_separate = self._is_repeated(new) or (
            self._shares is not None and are_later(new, self._shares, time_column)
        )
        if self._shares is not None and not is_separate:
            self._check_against_parent(check, new, schema)
        report = check.report()
        ensure(report, f"{self._lake.where(self._ref)}")
        return report

    def _check_against_parent(
        self, check: ContractCheck, new: dict[str, DraftFile], schema: pa.Schema
    ) -> None:
        """Find keys of the new rows among those of the parent, whose rows are numbered first."""
        assert self._shares is not None  # noqa: S101 - the caller has checked it
        lake = self._lake
        store = DatasetStore(lake.store, self._shares, lake.store.address, lake.verify)
        older, newer = rows_of_version(store, self._shares), staged_rows(new, schema)

        def both(columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
            selected = pa.schema([schema.field(name) for name in columns or schema.names])
            for batch in chain(older.read(columns), newer.open(columns)):
                yield conform(batch, selected, str(self._ref))

        # A key with a column that the parent lacks has no values in the parent's rows.
        keys = [key for key in check.keys if set(key) <= set(self._shares.schema.names)]
        for key in keys:
            find_key_duplicates(check, RowSource(schema, both), key)


def _has_no_rows(new: dict[str, DraftFile]) -> bool:
    return not any(draft.rows for draft in new.values())
