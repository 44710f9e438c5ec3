"""Rows into a published version: checked, cut into files, staged, committed.

Rows stream: they go to files in a local folder, a row group each in memory, while they are held
against the contract; only when all of them keep it is anything written to the lake.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC
from itertools import chain
from pathlib import Path
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
from gigacast.datasets.files import DraftWriter, FileRules, FooterWords
from gigacast.datasets.read import rows_of_version
from gigacast.datasets.rows import (
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
from gigacast.lake.model.registry import Author
from gigacast.storage.parquet.draft import DraftFile

_EXACT = 1 << 53  # whole numbers beyond it are not all floats


@dataclass(frozen=True)
class PublishOptions:
    """How rows become a version.

    Parameters
    ----------
    contract : Contract, optional
        What all rows must keep.
    mode : Mode
    append : bool
        Whether the rows follow those of the latest version (or of ``parent``), whose files the new
        one shares.
    parent : str, optional
    what : str
        For the changelog.
    dependencies : tuple of Dependency
    time_column : str, optional
        Recognised when absent.
    quality_flags : tuple of str
    files : FileRules
    extra : mapping
        More of what is known, for metadata.json and the manifest: plain values.
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
    """What a publication came to: ``new`` unless the same content was there."""

    manifest: DatasetManifest
    new: bool
    report: ContractReport | None


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
    ref : DatasetRef
        Without a version the next one is taken: a patch for other values, a minor one for more rows
        or columns, a major one when columns go or change their kind.
    rows : iterable of RecordBatch
    schema : pyarrow.Schema
        Of the rows as they come.
    options : PublishOptions
    author : Author

    Raises
    ------
    SchemaMismatchError
        When a row breaks the contract; nothing is written then.
    DatasetConflictError
        When the version has other content.
    ConfigError
        When the version's number is too low for what changed.
    StorageError
    """
    return _Publication(lake, ref, options, author).run(rows, schema)


class _Publication:
    """The state of one publication."""

    def __init__(
        self, lake: Lake, ref: DatasetRef, options: PublishOptions, author: Author
    ) -> None:
        self._lake = lake
        self._options = options
        self._author = author
        self._created_at = author.now()
        if ref.layer == "raw" and ref.version is None:
            ref = replace(ref, version=author.clock().astimezone(UTC).date().isoformat())
        self._parent = self._find_parent(ref)
        self._ref = ref
        self._shares = self._parent if options.append else None
        if options.append and ref.layer == "raw":
            raise ConfigError("raw snapshots are not appended to", hint="import another day's")
        if self._shares and self._shares.contract and options.contract is None:
            promised = Contract.from_dict(self._shares.contract)  # what is appended keeps it
            self._options = replace(options, contract=promised)

    def _find_parent(self, ref: DatasetRef) -> DatasetManifest | None:
        """Return the version that this one comes after."""
        if ref.layer == "raw":
            return None
        if self._options.parent is not None:
            return self._lake.read(ref.at(self._options.parent))
        states = self._lake.versions(ref)
        there = [v for v, state in states.items() if state in {PUBLISHED, DEPRECATED}]
        if ref.version is not None:
            there = [v for v in there if Version.parse(v) < Version.parse(ref.version)]
        if not there:
            if self._options.append and ref.version not in states:
                raise DataNotFoundError(
                    f"{self._lake.where(ref)}: there is no version to append to",
                    hint="publish a first one",
                )
            return None
        live = [v for v in there if states[v] == PUBLISHED] or there
        return self._lake.read(replace(ref, version=live[-1]))

    def run(self, rows: Iterable[pa.RecordBatch], schema: pa.Schema) -> PublishedDataset:
        """Check, stage and commit."""
        contract = self._options.contract
        mode = self._options.mode
        check = ContractCheck(contract, schema, mode, order_later=True) if contract else None
        converted, schema = begin_check(check, rows, schema)
        whole = self._whole_schema(schema)
        ref = self._settle_version(whole)
        time_column = self._time_column(schema)
        with tempfile.TemporaryDirectory(prefix="gigacast-dataset-") as scratch:
            writer = DraftWriter(
                Path(scratch),
                schema,
                self._options.files,
                Partitioning.parse(self._options.files.partition_by, time_column or "timestamp"),
                FooterWords(lambda facts: self._embedded(ref, facts)),
                taken={file.path for file in self._shares.files} if self._shares else set(),
            )
            for batch in converted:
                writer.write(batch)
            new = writer.finish()
            report = self._finish_check(check, new, schema, time_column)
            if self._shares is not None and (self._is_repeated(new) or _has_no_rows(new)):
                return PublishedDataset(self._shares, False, report)
            draft = DatasetDraft(self._manifest(ref, whole, time_column), new)
            if self._ref.version is None and self._parent and draft.digest == self._parent.digest:
                return PublishedDataset(self._parent, False, report)
            manifest, is_new = self._publish(draft)
        return PublishedDataset(manifest, is_new, report)

    def _time_column(self, schema: pa.Schema) -> str | None:
        named = self._options.time_column
        if named is not None and named not in schema.names:
            raise SchemaError(
                f"there is no column {named!r} to say when a row was",
                hint=f"name one of {', '.join(schema.names[:20])}",
            )
        return named or find_time_column(schema, self._options.contract)

    def _publish(self, draft: DatasetDraft) -> tuple[DatasetManifest, bool]:
        try:
            return publish_dataset(self._lake, draft, self._author)
        except DatasetConflictError as error:
            if self._ref.version is not None or self._ref.layer == "raw":
                raise
            raise DatasetConflictError(
                error.message, hint="somebody else publishes it at this time: run this again"
            ) from error

    def _is_repeated(self, new: dict[str, DraftFile]) -> bool:
        """Whether all that is appended is in the version before, as when a job is tried again."""
        there = {file.content for file in self._shares.files} if self._shares else set()
        return bool(new) and all(draft.content in there for draft in new.values())

    # -- what the version is -----------------------------------------------------------------------

    def _whole_schema(self, schema: pa.Schema) -> pa.Schema:
        if self._shares is None:
            return schema.remove_metadata()
        where = f"{self._shares.ref}, appended to"
        whole = unify_schemas([self._shares.schema, schema], where)
        for name, bounds in self._shares.bounds.items():
            widened = pa.types.is_floating(whole.field(name).type)
            if widened and any(isinstance(b, int) and abs(b) > _EXACT for b in bounds):
                raise SchemaError(
                    f"{where}: {name!r} has whole numbers up to {max(map(abs, bounds))}, which no "
                    f"{whole.field(name).type} holds",
                    hint="publish it as a column of another name, or as whole numbers",
                )
        return whole

    def _settle_version(self, schema: pa.Schema) -> DatasetRef:
        """Return the version to publish; one named by hand must be high enough."""
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
            told = "; ".join(str(one) for one in drifts if one.change == change) or "rows appended"
            raise ConfigError(
                f"{self._ref} is too small a step from {parent.version} for: {told}",
                hint=f"publish it as {older.next(change)} or higher",
            )
        return self._ref

    def _manifest(
        self, ref: DatasetRef, schema: pa.Schema, time_column: str | None
    ) -> DatasetManifest:
        contract, parent = self._options.contract, self._parent
        assert ref.version is not None  # noqa: S101 - settled before
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
            contract=_plain_contract(contract),
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
        """Return the metadata of one file's footer."""
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
                {"key": one.key, "etag": one.etag, "dataset": one.dataset}
                for one in self._options.dependencies
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
        apart = self._is_repeated(new) or (
            self._shares is not None and _follows(self._shares, new, time_column)
        )
        if self._shares is not None and not apart:
            self._check_against_parent(check, new, schema)
        report = check.report()
        ensure(report, f"{self._lake.where(self._ref)}")
        return report

    def _check_against_parent(
        self, check: ContractCheck, new: dict[str, DraftFile], schema: pa.Schema
    ) -> None:
        """Look for keys of the new rows among the parent's, whose rows are counted first."""
        assert self._shares is not None  # noqa: S101 - the caller looked
        store = DatasetStore(self._lake.store, self._shares, self._lake.store.address)
        older, newer = rows_of_version(store, self._shares), staged_rows(new, schema)

        def both(columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
            given = pa.schema([schema.field(name) for name in columns or schema.names])
            for batch in chain(older.read(columns), newer.open(columns)):
                yield conform(batch, given, str(self._ref))

        keys = [key for key in check.keys if set(key) <= set(self._shares.schema.names)]
        for key in keys:
            find_key_duplicates(check, RowSource(schema, both), key)


def _has_no_rows(new: dict[str, DraftFile]) -> bool:
    return not any(draft.rows for draft in new.values())


def _follows(parent: DatasetManifest, new: dict[str, DraftFile], time_column: str | None) -> bool:
    """Whether all new rows are later than all of the parent's: then no key comes twice."""
    before = parent.bounds.get(time_column or "")
    filled = [draft for draft in new.values() if draft.rows]
    after = [draft.bounds[time_column or ""] for draft in filled if time_column in draft.bounds]
    if before is None or len(after) < len(filled):
        return not parent.rows or not filled
    try:
        return not after or bool(before[1] < min(low for low, _ in after))
    except TypeError:  # a zone was added
        return False


def _plain_contract(contract: Contract | None) -> dict[str, Any] | None:
    return None if contract is None else plain_values(contract.to_dict())
