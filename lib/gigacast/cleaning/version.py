"""The version that a cleaning run publishes: a manifest that names cleaned files in place.

Its number follows from the changes: a patch for other values, a minor version for more files or
columns, a major one when columns are removed or change their type.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from gigacast.core.contract.drift import drift_of_schemas, needed_change
from gigacast.core.contract.evolution import unify_schemas
from gigacast.core.dataset.ref import DatasetRef
from gigacast.core.dataset.version import Change, Version
from gigacast.datasets.rows import find_time_column, software
from gigacast.errors import ConfigError, SchemaError
from gigacast.job.file_job import FileJob, FileRun
from gigacast.lake.dataset.catalog import DEPRECATED, PUBLISHED, Lake
from gigacast.lake.dataset.manifest import (
    ChangelogEntry,
    DatasetFile,
    DatasetManifest,
    Dependency,
)
from gigacast.lake.dataset.publish import DatasetDraft, publish_dataset
from gigacast.lake.dataset.source import origins_of
from gigacast.lake.plan.receipt import merge_counts
from gigacast.lake.publication import Author
from gigacast.quality.measures import Judgement, Verdict
from gigacast.quality.result import Judged


@dataclass
class Part:
    """A cleaned partition.

    Parameters
    ----------
    partition : str
    file : DatasetFile
    schema : pa.Schema
    judged : Judged
        Verdict by the thresholds.
    changes : mapping of str to int
        Number of changes by kind.
    inputs : tuple of str
        Keys of the raw objects.
    """

    partition: str
    file: DatasetFile
    schema: pa.Schema
    judged: Judged
    changes: Mapping[str, int]
    inputs: tuple[str, ...]


def fit_together(parts: list[Part]) -> list[Part]:
    """Return the partitions with compatible columns; the most common schema decides.

    The others are judged to fail, with the name of the column that does not fit.
    """
    # In the order of names, a single odd partition could come first and fail all the others.
    forms = Counter(str(part.schema) for part in parts)
    parts.sort(key=lambda part: (-forms[str(part.schema)], part.file.path))
    schema: pa.Schema | None = None
    fitting = []
    for part in parts:
        try:
            schema = unify_schemas([schema or part.schema, part.schema], part.partition)
        except SchemaError as error:
            part.judged = replace(
                part.judged, judgement=Judgement(Verdict.FAIL, (f"SchemaError: {error.text}",))
            )
            continue
        fitting.append(part)
    return sorted(fitting, key=lambda part: part.file.path)


def _published(lake: Lake, ref: DatasetRef) -> list[str]:
    # Deprecated versions keep their number: the next one must be higher.
    states = lake.versions(ref)
    return [v for v, state in states.items() if state in {PUBLISHED, DEPRECATED}]


def _has_same_files(parent: DatasetManifest, parts: Iterable[Part]) -> bool:
    """Whether no file of a version was written again with other bytes."""
    digests = {file.key: file.sha256 for file in parent.files}
    return all(digests.get(p.file.key, p.file.sha256) == p.file.sha256 for p in parts)


def changes_of(parts: Iterable[Part]) -> dict[str, int]:
    """Return the sum of the changes in partitions, by kind."""
    total: dict[str, int] = {}
    for part in parts:
        merge_counts(total, part.changes)
    return total


@dataclass(frozen=True)
class Making:
    """The source, rules and names of a version.

    Parameters
    ----------
    files : FileJob
    target : DatasetRef
    codec : str
    what : str
        Text for the changelog; empty to name the source.
    spec : str
        Id of the spec.
    rules : mapping
        Rules as JSON values.
    """

    files: FileJob
    target: DatasetRef
    codec: str
    what: str
    spec: str
    rules: Mapping[str, Any]


class CleanVersion:
    """The version that a run will publish."""

    def __init__(self, making: Making, author: Author) -> None:
        self._making = making
        self._author = author
        self._aside: list[dict[str, Any]] = []

    def check(self, lake: Lake) -> None:
        """Refuse a version that is below the latest published one.

        Raises
        ------
        ConfigError
        """
        target = self._making.target
        versions = _published(lake, target) if target.version is not None else []
        if versions and Version.parse(str(target.version)) < Version.parse(versions[-1]):
            raise ConfigError(
                f"{target} is below {versions[-1]}, which is published", hint="name a later version"
            )

    def publish(
        self, run: FileRun, parts: list[Part], aside: list[dict[str, Any]]
    ) -> tuple[DatasetManifest, bool]:
        """Publish a version with the files of partitions.

        Parameters
        ----------
        run : FileRun
        parts : list of Part
            Partitions of the version.
        aside : list of dict
            The other partitions, with reasons.

        Returns
        -------
        DatasetManifest
        bool
            Whether the version is new.

        Raises
        ------
        ConfigError, DatasetConflictError, StorageError
        """
        self._aside = aside
        lake = Lake(run.outputs)
        schema = unify_schemas([part.schema for part in parts], str(self._making.target))
        parent = self._find_parent(lake)
        ref = self._settle(parent, schema, parts)
        manifest = self._manifest(ref, schema, parts, parent, self._origins(lake, run, parts))
        draft = DatasetDraft(manifest, {})
        same = (
            parent is not None and draft.digest == parent.digest and _has_same_files(parent, parts)
        )
        # A rerun that changes nothing publishes nothing, unless a version number is given.
        if self._making.target.version is None and parent is not None and same:
            return parent, False
        return publish_dataset(lake, draft, self._author)

    def _find_parent(self, lake: Lake) -> DatasetManifest | None:
        target = self._making.target
        versions = _published(lake, target)
        if target.version is not None:
            versions = [v for v in versions if Version.parse(v) < Version.parse(target.version)]
        return lake.read(replace(target, version=versions[-1])) if versions else None

    def _settle(
        self, parent: DatasetManifest | None, schema: pa.Schema, parts: Iterable[Part]
    ) -> DatasetRef:
        """Return the dataset with the number of its new version."""
        target = self._making.target
        if parent is None:
            return target if target.version else replace(target, version="v1")
        change = needed_change(drift_of_schemas(parent.schema, schema))
        if {part.file.path for part in parts} - {file.path for file in parent.files}:
            # An added partition is at least what an append would be.
            change = max(change, Change.MINOR)
        older = Version.parse(parent.version)
        if target.version is None:
            return replace(target, version=str(older.next(change)))
        raised = Version.parse(target.version).raised_from(older)
        if raised is not None and raised < change:
            raise ConfigError(
                f"{target} is too small a step from {parent.version}: columns or files changed",
                hint=f"publish it as {older.next(change)} or higher",
            )
        return target

    def _manifest(
        self,
        ref: DatasetRef,
        schema: pa.Schema,
        parts: list[Part],
        parent: DatasetManifest | None,
        origins: tuple[Dependency, ...],
    ) -> DatasetManifest:
        assert ref.version is not None  # noqa: S101 - settled before
        created_at, files = self._author.now(), tuple(part.file for part in parts)
        shares = parent is not None and {f.key for f in files} & {f.key for f in parent.files}
        summary = self._making.what or f"cleaned from {self._making.files.title}"
        own = ChangelogEntry(ref.version, created_at, self._author.who, summary)
        contract = self._making.rules["contract"]
        return DatasetManifest(
            layer=ref.layer,
            name=ref.name,
            version=ref.version,
            digest="",
            files=files,
            schema=schema,
            created_at=created_at,
            created_by=self._author.who,
            time_column=find_time_column(schema),
            partition_by=_folders(files),
            # Lineage follows shared files: a version that shares none was made from the raw data
            # alone.
            parent=parent.version if parent is not None and shares else None,
            changelog=(own, *(parent.changelog if parent else ())),
            dependencies=origins,
            contract=contract,
            quality_flags=self._flags(parts),
            codec=self._making.codec,
            software=software(),
            extra={"cleaning": self._description(parts)},
        )

    def _flags(self, parts: list[Part]) -> tuple[str, ...]:
        aside = len(self._aside)
        warned = sum(part.judged.verdict is Verdict.WARN for part in parts)
        flags = (("set aside", aside), ("warned", warned))
        return tuple(f"{count} partitions {text}" for text, count in flags if count)

    def _description(self, parts: list[Part]) -> dict[str, Any]:
        """Return the description of the cleaning in metadata.json, partition by partition."""
        return {
            "spec": self._making.spec,
            "rules": self._making.rules,
            "changes": changes_of(parts),
            "set_aside": self._aside,
            "partitions": [
                {
                    "path": part.file.path,
                    "partition": part.partition,
                    "verdict": str(part.judged.verdict),
                    "reasons": list(part.judged.judgement.reasons),
                    "changes": dict(part.changes),
                }
                for part in parts
            ],
        }

    def _origins(self, lake: Lake, run: FileRun, parts: list[Part]) -> tuple[Dependency, ...]:
        """Return the raw objects, with their ETags, that the version is made from."""
        by_partition = {finished.task.partition: finished.task for finished in run.done}
        tasks = [by_partition[part.partition] for part in parts]
        files = self._making.files
        if files.sources.refs:
            origins = origins_of(lake, files.sources.refs)
            keys = dict.fromkeys(entry.key for task in tasks for entry in task.inputs)
            return tuple(origins[key] for key in keys)
        below = "" if files.sources.address == files.outputs else files.sources.address.url + "/"
        # Once, though a file is an input of its neighbours too where calendar bins span files.
        entries = dict.fromkeys((e.key, e.etag) for task in tasks for e in task.inputs)
        return tuple(Dependency(f"{below}{key}", etag) for key, etag in entries)


def _folders(files: Iterable[DatasetFile]) -> tuple[str, ...]:
    """Return the columns that name the folders of files: ``month`` for ``year=/month=``."""
    first = next(iter(files)).path.split("/")[:-1]
    names = [part.partition("=")[0] for part in first if "=" in part]
    if names[:2] == ["year", "month"]:
        names[:2] = ["month"]
    return tuple(names)
