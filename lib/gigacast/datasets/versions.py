"""The versions of datasets in a lake: list, describe, compare, trace, deprecate and retire them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gigacast.core.contract.drift import Drift
from gigacast.core.dataset.ref import DatasetRef
from gigacast.datasets.describe import drift_of_versions
from gigacast.errors import ConfigError, DatasetIntegrityError
from gigacast.lake.dataset.catalog import DEPRECATED, PUBLISHED, Deprecation, Lake
from gigacast.lake.dataset.lineage import Lineage, trace
from gigacast.lake.dataset.manifest import DatasetManifest
from gigacast.lake.dataset.metadata import describe_manifest
from gigacast.lake.dataset.retire import (
    Retention,
    RetirePlan,
    deprecate_version,
    plan_retirement,
    restore_version,
    retire,
)
from gigacast.lake.publication import Author
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress


@dataclass(frozen=True)
class LakeAddress:
    """Address of a lake.

    Parameters
    ----------
    address : StoreAddress
        Folder that holds ``raw/``, ``cleaned/`` and ``features/``.
    bucket : StoreAddress
        Bucket or folder in which the lake is, without a prefix.
    """

    address: StoreAddress
    bucket: StoreAddress

    def open(self) -> Lake:
        """Open the lake after checking that its bucket or folder can be reached.

        Raises
        ------
        StorageError, ConfigError
        """
        # On a disk the prefix is a folder, which the first publication creates: only the folder
        # above it must exist. In a bucket the right to list may end at the prefix.
        is_folder = self.address.url.startswith("file://")
        open_store(self.bucket if is_folder else self.address).check()
        return Lake(open_store(self.address), self.address.verify)


def list_versions(lake: Lake, ref: DatasetRef | None = None) -> list[dict[str, Any]]:
    """Return the versions of a dataset, or of all datasets, the oldest of each first.

    Returns
    -------
    list of dict
        ``dataset``, ``version`` and ``state``; ``rows``, ``size_bytes``, ``files``, ``created_at``
        and ``changelog`` of published versions; ``problem`` of damaged ones.

    Raises
    ------
    DataNotFoundError
        If the lake has no such dataset.
    """
    refs = [ref] if ref is not None else lake.datasets()
    rows = [
        _version_row(lake, dataset, *entry)
        for dataset in refs
        for entry in lake.versions(dataset).items()
    ]
    if ref is not None and not rows:
        lake.read(ref)  # raises; the error names the datasets of the lake
    return rows


def _version_row(lake: Lake, ref: DatasetRef, version: str, state: str) -> dict[str, Any]:
    row: dict[str, Any] = {"dataset": f"{ref.layer}/{ref.name}", "version": version, "state": state}
    if state not in {PUBLISHED, DEPRECATED}:
        return row
    try:
        manifest = lake.find(replace(ref, version=version))
    except DatasetIntegrityError as error:
        # A damaged version must not hide the others.
        return {**row, "state": "broken", "problem": error.message}
    if manifest is None:
        return row
    return row | {
        "rows": manifest.rows,
        "size_bytes": manifest.size_bytes,
        "files": len(manifest.files),
        "created_at": manifest.created_at,
        "changelog": manifest.changelog[0].what if manifest.changelog else "",
    }


@dataclass(frozen=True)
class VersionDescription:
    """The manifest of a version, and its deprecation if it is deprecated."""

    manifest: DatasetManifest
    deprecation: Deprecation | None

    def to_json(self) -> dict[str, Any]:
        """Return the metadata of the version, as metadata.json has it, with ``deprecated``."""
        note = self.deprecation
        fields = None if note is None else {name: getattr(note, name) for name in note.__slots__}
        return {**describe_manifest(self.manifest), "deprecated": fields}


def describe_version(lake: Lake, ref: DatasetRef) -> VersionDescription:
    """Return the description of a version, of the latest if the reference names none.

    Raises
    ------
    DataNotFoundError, DatasetIntegrityError
    """
    manifest = lake.read(ref)
    return VersionDescription(manifest, lake.deprecation(manifest.ref))


@dataclass(frozen=True)
class VersionChanges:
    """Two versions, and the changes from the old one to the new one."""

    old: DatasetManifest
    new: DatasetManifest
    drifts: Sequence[Drift]

    def to_json(self) -> dict[str, Any]:
        """Return the sizes of both versions and the changes."""
        entries = [{n: getattr(drift, n) for n in drift.__slots__} for drift in self.drifts]
        return {
            "old": _size_of(self.old),
            "new": _size_of(self.new),
            "changes": [{**entry, "change": entry["change"].name.lower()} for entry in entries],
        }


def _size_of(manifest: DatasetManifest) -> dict[str, Any]:
    return {
        "dataset": str(manifest.ref),
        "rows": manifest.rows,
        "files": len(manifest.files),
    }


def compare_versions(lake: Lake, old: DatasetRef, new: DatasetRef) -> VersionChanges:
    """Return the changes of columns, missing values and contract between two versions.

    Raises
    ------
    DataNotFoundError, DatasetIntegrityError
    """
    before, after = lake.read(old), lake.read(new)
    return VersionChanges(before, after, drift_of_versions(before, after))


def trace_lineage(lake: Lake, name: str) -> Lineage:
    """Return the sources and the products of a dataset, or of an object by its key.

    Raises
    ------
    DataNotFoundError, StorageError
    """
    return trace(lake, name)


def set_deprecation(
    lake: Lake,
    ref: DatasetRef,
    author: Author,
    *,
    why: str = "",
    instead: str | None = None,
    restore: bool = False,
) -> None:
    """Deprecate a version, or take its deprecation back.

    Parameters
    ----------
    lake : Lake
    ref : DatasetRef
        Must name a version.
    author : Author
    why : str
        Reason, kept beside the version.
    instead : str, optional
        Dataset to use in its place.
    restore : bool
        Take the deprecation back.

    Raises
    ------
    ConfigError
        If no version is named.
    DataNotFoundError, DatasetConflictError
    """
    if ref.version is None:
        raise ConfigError(f"{ref}: name the version", hint="as cleaned/v1/NAME")
    if restore:
        restore_version(lake, ref)
    else:
        deprecate_version(lake, ref, author, why=why, instead=instead)


def choose_versions(
    ref: DatasetRef,
    *,
    keep_last: int | None = None,
    older_than_days: float | None = None,
    only_deprecated: bool = False,
    unfinished: bool = False,
) -> Retention:
    """Return the rule that selects the versions of a dataset to retire.

    Raises
    ------
    ConfigError
        If neither a version nor a limit is given: all versions but the latest would go.
    """
    has_limit = bool(keep_last) or older_than_days is not None or only_deprecated or unfinished
    if ref.version is None and not has_limit:
        raise ConfigError(
            "no version is named", hint="name one, or --keep_last, --older_than, --deprecated"
        )
    named = (ref.version,) if ref.version else ()
    return Retention(named, keep_last, older_than_days, only_deprecated, unfinished)


@dataclass(frozen=True)
class Retirement:
    """The versions and objects to delete.

    Parameters
    ----------
    plan : RetirePlan
    is_dry_run : bool
        Whether nothing was deleted.
    deleted : int
        Number of objects deleted.
    """

    plan: RetirePlan
    is_dry_run: bool
    deleted: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the versions and objects, those that stay, and the number of objects deleted."""
        return {
            "versions": [str(ref) for ref in self.plan.versions],
            "objects": [entry.key for entry in self.plan.objects],
            "size_bytes": self.plan.size_bytes,
            "kept": list(self.plan.shared_keys),
            "refused": self.plan.refused,
            "deleted": self.deleted,
        }


def retire_versions(
    lake: Lake, ref: DatasetRef, retention: Retention, now: datetime, *, dry_run: bool
) -> Retirement:
    """Delete versions of a dataset; a dry run only finds them.

    Raises
    ------
    DataNotFoundError
        If a named version does not exist.
    """
    plan = plan_retirement(lake, ref, retention, now)
    return Retirement(plan, dry_run, 0 if dry_run else retire(lake, plan))
