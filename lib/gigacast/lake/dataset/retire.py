"""Deprecate and delete versions of datasets; a plan shows what would be deleted.

Deleting goes in the reverse order of publishing: the manifest first, then the files that no other
version of the dataset names. Shared files stay in the folder that they were written to.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from gigacast.core.dataset.ref import DatasetRef
from gigacast.errors import DataNotFoundError, DatasetConflictError, PreconditionFailedError
from gigacast.lake.dataset.catalog import (
    DEPRECATED,
    PUBLISHED,
    RETIRED,
    UNFINISHED,
    Deprecation,
    Lake,
    ref_prefix,
)
from gigacast.lake.feature_layout import kept_key, kept_prefix
from gigacast.lake.layout import (
    DATASET_CLAIM,
    DATASET_DEPRECATED,
    DATASET_MANIFEST,
    DATASET_NOTES,
    DATASET_RETIRED,
    cleaning_prefix,
)
from gigacast.lake.publication import Author
from gigacast.storage.store import ObjectMeta

ABANDONED_AFTER = timedelta(hours=1)
"""Age from which a claim is taken for that of a killed publisher."""


def deprecate_version(
    lake: Lake, ref: DatasetRef, author: Author, *, why: str = "", instead: str | None = None
) -> Deprecation:
    """Mark a version as deprecated, so that ``latest`` skips it from now on.

    Raises
    ------
    DataNotFoundError
    DatasetConflictError
        When it is deprecated already.
    """
    lake.read(ref)
    note = Deprecation(author.now(), author.who, why, instead)
    try:
        content = json.dumps(asdict(note)).encode()
        lake.store.put_if_absent(ref_prefix(ref) + DATASET_DEPRECATED, content)
    except PreconditionFailedError as error:
        earlier = lake.deprecation(ref)
        text = f" on {earlier.when}{': ' if earlier.why else ''}{earlier.why}" if earlier else ""
        raise DatasetConflictError(f"{ref} was deprecated{text}", hint="nothing to do") from error
    return note


def restore_version(lake: Lake, ref: DatasetRef) -> None:
    """Remove the deprecation of a version.

    Raises
    ------
    DataNotFoundError
    """
    lake.read(ref)
    lake.store.delete([ref_prefix(ref) + DATASET_DEPRECATED])


@dataclass(frozen=True)
class Retention:
    """The versions that may be deleted; the latest published one never is.

    Parameters
    ----------
    versions : tuple of str
        Versions by name; all by default.
    keep_last : int, optional
        Count of the latest versions to keep.
    older_than_days : float, optional
        Age in days from which versions are deleted.
    only_deprecated : bool
    unfinished : bool
        Whether to delete the leftovers of killed publications, instead of versions.
    """

    versions: tuple[str, ...] = ()
    keep_last: int | None = None
    older_than_days: float | None = None
    only_deprecated: bool = False
    unfinished: bool = False


@dataclass(frozen=True)
class RetirePlan:
    """The objects that a retirement would delete, and those that stay.

    Parameters
    ----------
    versions : tuple of DatasetRef
    objects : tuple of ObjectMeta
        Files, manifests and notes.
    shared_keys : tuple of str
        Keys that stay because other versions share them.
    refused : mapping of str to str
        Versions that stay although they were named, with the reason.
    """

    versions: tuple[DatasetRef, ...]
    objects: tuple[ObjectMeta, ...]
    shared_keys: tuple[str, ...]
    refused: dict[str, str]

    @property
    def size_bytes(self) -> int:
        """Bytes that would be freed."""
        return sum(entry.size_bytes for entry in self.objects)


def plan_retirement(lake: Lake, ref: DatasetRef, retention: Retention, now: datetime) -> RetirePlan:
    """Return the plan of a retirement; nothing is deleted.

    Raises
    ------
    DataNotFoundError
        When a named version does not exist.
    """
    states = lake.versions(ref)
    refused: dict[str, str] = {}
    if unknown := [v for v in retention.versions if v not in states]:
        names = ", ".join(states) or "none"
        raise DataNotFoundError(f"{ref.layer}/{ref.name} has no {unknown[0]}; there are: {names}")
    chosen = _choose(lake, ref, states, retention, now, refused)
    refs = tuple(replace(ref, version=version) for version in chosen)
    return _plan(lake, refs, states, refused)


def _choose(
    lake: Lake,
    ref: DatasetRef,
    states: dict[str, str],
    retention: Retention,
    now: datetime,
    refused: dict[str, str],
) -> list[str]:
    if retention.unfinished:
        unfinished = [v for v, state in states.items() if state == UNFINISHED]
        return [v for v in unfinished if _is_abandoned(lake, replace(ref, version=v), now, refused)]
    readable = [v for v, state in states.items() if state in {PUBLISHED, DEPRECATED}]
    # If all are deprecated, the newest of these is what `latest` means to readers.
    latest = [v for v in readable if states[v] == PUBLISHED][-1:] or readable[-1:]
    candidates = list(retention.versions) or readable
    if retention.keep_last is not None:
        candidates = [
            v for v in candidates if v not in readable[len(readable) - retention.keep_last :]
        ]
    if retention.only_deprecated:
        candidates = [v for v in candidates if states[v] == DEPRECATED]
    if retention.older_than_days is not None:
        before = (now - timedelta(days=retention.older_than_days)).isoformat()
        candidates = [
            v for v in candidates if lake.read(replace(ref, version=v)).created_at < before
        ]
    # Readers of `latest` must always find a version.
    for version in latest:
        if version in candidates:
            refused[version] = "the latest version stays"
    return [v for v in candidates if v not in latest and v in readable]


def _is_abandoned(lake: Lake, ref: DatasetRef, now: datetime, refused: dict[str, str]) -> bool:
    meta = lake.store.head(ref_prefix(ref) + DATASET_CLAIM)
    age = now.timestamp() - meta.modified_ns / 1e9
    if age < ABANDONED_AFTER.total_seconds():
        refused[str(ref.version)] = f"its publication began {age / 60:.0f} minutes ago"
        return False
    return True


def _plan(
    lake: Lake, refs: Sequence[DatasetRef], states: dict[str, str], refused: dict[str, str]
) -> RetirePlan:
    """List the objects of the versions, without those that other versions name."""
    going = {ref.version for ref in refs}
    staying = [v for v, s in states.items() if v not in going and s in {PUBLISHED, DEPRECATED}]
    if not refs:
        return RetirePlan((), (), (), refused)
    # Appends share the files of their parents, and cleaned files stay under `cleaning/`: a file is
    # deleted only if no version that stays names it.
    shared = _named_by(lake, (replace(refs[0], version=version) for version in staying))
    named = _named_by(lake, (r for r in refs if states[str(r.version)] != UNFINISHED))
    named = {key for key in named if _is_own(refs[0], key)}
    listed = {meta.key: meta for ref in refs for meta in _listed(lake, ref_prefix(ref))}
    kept = kept_prefix(refs[0].name)
    if any(key.startswith(kept) for key in named):
        listed |= {meta.key: meta for meta in _listed(lake, kept) if meta.key in named}
    for key in named - listed.keys():
        if not key.startswith(kept):
            listed |= {meta.key: meta for meta in _listed(lake, key) if meta.key == key}
    shared_keys = tuple(sorted(listed.keys() & shared))
    objects = tuple(listed[key] for key in sorted(listed.keys() - shared))
    return RetirePlan(tuple(refs), objects, shared_keys, refused)


def _named_by(lake: Lake, refs: Iterable[DatasetRef]) -> set[str]:
    manifests = (lake.find(ref) for ref in refs)
    # Days of features stay in the table of the feature store; their kept copies go.
    return {
        kept_key(file.key, file.sha256) or file.key
        for manifest in manifests
        if manifest is not None
        for file in manifest.files
    }


def _is_own(ref: DatasetRef, key: str) -> bool:
    """Check that a key, as a manifest names it, is of a data file of this dataset.

    A manifest is a file that somebody may have damaged or written by hand: it must not be able to
    have the inputs, the models or another dataset deleted.
    """
    match = DatasetRef.find(key)
    is_of_version = match is not None and match[0] == "" and _name(match[1]) == _name(ref)
    # Cleaning publishes its files where it wrote them.
    is_cleaned = ref.layer == "cleaned" and key.startswith(cleaning_prefix(ref.name))
    is_kept = ref.layer == "features" and key.startswith(kept_prefix(ref.name))
    is_own = is_of_version or is_cleaned or is_kept
    return is_own and key.rpartition("/")[2] not in DATASET_NOTES


def _name(ref: DatasetRef) -> tuple[str, str]:
    return ref.layer, ref.name


def _listed(lake: Lake, prefix: str) -> list[ObjectMeta]:
    return [meta for page in lake.store.list(prefix) for meta in page]


def retire(lake: Lake, plan: RetirePlan) -> int:
    """Delete the objects of a plan, without those that a newer version shares by now.

    Returns
    -------
    int
        Count of objects deleted.
    """
    if not plan.versions:
        return 0
    keys = {entry.key for entry in plan.objects}
    manifests = {ref_prefix(ref) + DATASET_MANIFEST for ref in plan.versions}
    claims = {ref_prefix(ref) + DATASET_CLAIM for ref in plan.versions}
    for entry in plan.shared_keys:
        owner = next((ref for ref in plan.versions if entry.startswith(ref_prefix(ref))), None)
        if owner is not None:
            # Shared files without a manifest or this note would count as put there by hand.
            lake.store.put(ref_prefix(owner) + DATASET_RETIRED, b"")
    # Manifests first: after this no reader opens the versions and no append shares their files.
    lake.store.delete(sorted(manifests & keys))
    # Listed again: a version published since the plan was made may share some of the files.
    states = lake.versions(plan.versions[0])
    living = [v for v, state in states.items() if state in {PUBLISHED, DEPRECATED}]
    shared = _named_by(lake, (replace(plan.versions[0], version=version) for version in living))
    files = keys - manifests - shared
    # Claims last: a killed retirement leaves an unfinished version, not files of unknown origin.
    lake.store.delete(sorted(files - claims))
    lake.store.delete(sorted(files & claims))
    _forget_retired(lake, plan.versions[0])
    return len(files) + len(manifests & keys)


def _forget_retired(lake: Lake, ref: DatasetRef) -> None:
    """Remove the notes of retired versions whose last shared file is deleted."""
    for version, state in lake.versions(ref).items():
        if state == RETIRED:
            prefix = ref_prefix(replace(ref, version=version))
            if [meta.key for meta in _listed(lake, prefix)] == [prefix + DATASET_RETIRED]:
                lake.store.delete([prefix + DATASET_RETIRED])
