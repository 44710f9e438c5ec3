"""Publishing: a version of a dataset comes to be, whole, once, for good.

claim -> files -> metadata.json -> manifest -> no claim. The *claim* is put if absent and names the
digest of the content: of two who publish different content one is refused before it writes a byte.
*Files* are put if absent, so that no writer, however late, replaces what a manifest names; one that
is there already is taken when it holds the same rows, which completes what a killed publication
left. The *manifest* is put if absent, last: before it the version does not exist.
"""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from gigacast.core.dataset.ref import DatasetRef
from gigacast.errors import (
    CorruptedFileError,
    DatasetConflictError,
    ObjectNotFoundError,
    PreconditionFailedError,
)
from gigacast.lake.dataset.catalog import PLAIN, RETIRED, UNFINISHED, Lake, ref_prefix
from gigacast.lake.dataset.manifest import DatasetFile, DatasetManifest, digest_dataset
from gigacast.lake.dataset.metadata import describe_manifest, metadata_bytes
from gigacast.lake.layout import DATASET_CLAIM, DATASET_MANIFEST, DATASET_METADATA
from gigacast.lake.model.registry import Author
from gigacast.lake.pinned import Pinned, read_pinned
from gigacast.storage.parquet.draft import DraftFile, content_of
from gigacast.storage.store import Store

UPLOADS_AT_ONCE = 4
_CHANGE = "published versions never change: publish it as another version"


@dataclass(frozen=True)
class DatasetDraft:
    """A version about to be published.

    Parameters
    ----------
    manifest : DatasetManifest
        Complete but for its digest and the files that are new.
    new : mapping of str to DraftFile
        The files to write, by their path within the dataset.
    """

    manifest: DatasetManifest
    new: Mapping[str, DraftFile]

    @property
    def digest(self) -> str:
        """The digest the version will have."""
        shared = [(file.path, file.content) for file in self.manifest.files]
        return digest_dataset([*shared, *((path, one.content) for path, one in self.new.items())])


def publish_dataset(
    lake: Lake, draft: DatasetDraft, author: Author
) -> tuple[DatasetManifest, bool]:
    """Give a version its content, for good.

    Returns
    -------
    DatasetManifest
    bool
        Whether it was new: the same content again changes nothing.

    Raises
    ------
    DatasetConflictError
        When the version has, or is being given, other content.
    StorageError
        The version does not exist then; publishing the same content again completes it.
    """
    ref, digest = draft.manifest.ref, draft.digest
    if (found := _find_same(lake, ref, digest)) is not None:
        _release(lake.store, _read_claim(lake.store, ref), digest)
        return found, False
    claim = _take_claim(lake, ref, digest, author)
    files = (*draft.manifest.files, *_upload(lake.store, ref, draft.new))
    manifest = replace(draft.manifest, digest=digest, files=_ordered(files))
    _check_ours(lake, ref, claim)
    prefix = ref_prefix(ref)
    lake.store.put(prefix + DATASET_METADATA, _metadata_of(manifest))
    try:
        lake.store.put_if_absent(prefix + DATASET_MANIFEST, manifest.to_bytes())
    except PreconditionFailedError:
        return _join_winner(lake, ref, digest, claim), False
    _check_parent(lake, manifest)
    _release(lake.store, claim, digest)
    return manifest, True


def _metadata_of(manifest: DatasetManifest) -> bytes:
    return metadata_bytes(describe_manifest(manifest), f"{manifest.ref}/{DATASET_METADATA}")


def _ordered(files: Sequence[DatasetFile]) -> tuple[DatasetFile, ...]:
    return tuple(sorted(files, key=lambda file: file.path))


def _find_same(lake: Lake, ref: DatasetRef, digest: str) -> DatasetManifest | None:
    """Return a version that has this content already; other content is refused."""
    found = lake.find(ref)
    if found is not None and found.digest != digest:
        raise DatasetConflictError(
            f"{lake.where(ref)} was published on {found.created_at} with other content "
            f"({found.rows:,} rows, digest {found.digest[:12]}; yours {digest[:12]})",
            hint="snapshots never change: import it under another day"
            if ref.layer == "raw"
            else _CHANGE,
        )
    return found


# -- the claim -------------------------------------------------------------------------------------


def _take_claim(lake: Lake, ref: DatasetRef, digest: str, author: Author) -> Pinned:
    """Take the version for this content, or join those who publish the same."""
    key = ref_prefix(ref) + DATASET_CLAIM
    state = lake.state(ref)
    if state == RETIRED:
        raise DatasetConflictError(
            f"{lake.where(ref)} was retired; later versions share its files",
            hint="publish it as another version",
        )
    if state == PLAIN:
        raise DatasetConflictError(
            f"{lake.where(ref)} holds files without a manifest: somebody put them there by hand",
            hint="choose another version, or import those files into this one's place elsewhere",
        )
    content = json.dumps({"digest": digest, "who": author.who, "when": author.now()}).encode()
    try:
        return Pinned(key, content, lake.store.put_if_absent(key, content))
    except PreconditionFailedError:
        pinned = _read_claim(lake.store, ref)
    claimed = _claim_of(pinned)
    if pinned is None or claimed.get("digest") != digest:
        if _find_same(lake, ref, digest) is not None:
            return Pinned(key, content, "")  # whoever held it has published the same meanwhile
        raise DatasetConflictError(
            f"{lake.where(ref)} is being published with other content, or was left {UNFINISHED} "
            f"(by {claimed.get('who')}, {claimed.get('when')})",
            hint="choose another version, publish that content again, or delete what was left: "
            "`gigacast data retire --unfinished`",
        )
    return pinned


def _read_claim(store: Store, ref: DatasetRef) -> Pinned | None:
    return read_pinned(store, ref_prefix(ref) + DATASET_CLAIM)


def _claim_of(pinned: Pinned | None) -> dict[str, object]:
    try:
        content = json.loads(pinned.content) if pinned is not None else {}
    except ValueError:
        content = {}
    return content if isinstance(content, dict) else {}


def _check_ours(lake: Lake, ref: DatasetRef, claim: Pinned) -> None:
    """Make sure that nobody took the claim away while the files were written."""
    now = _read_claim(lake.store, ref)
    if now is None and lake.find(ref) is not None:
        return  # others, who published the same, were faster
    if now is None or now.content != claim.content:
        raise DatasetConflictError(
            f"{lake.where(ref)} was deleted, or taken by others, while it was published",
            hint="see `gigacast data versions`, and publish again",
        )


def _release(store: Store, claim: Pinned | None, digest: str) -> None:
    if claim is not None and _claim_of(claim).get("digest") == digest:
        store.delete([claim.key])


def _join_winner(lake: Lake, ref: DatasetRef, digest: str, claim: Pinned) -> DatasetManifest:
    """Leave what those who were faster published, and beside it their metadata."""
    winner = _find_same(lake, ref, digest)
    if winner is None:
        raise DatasetConflictError(f"{lake.where(ref)} was deleted while it was published")
    lake.store.put(ref_prefix(ref) + DATASET_METADATA, _metadata_of(winner))
    _release(lake.store, claim, digest)
    return winner


def _check_parent(lake: Lake, manifest: DatasetManifest) -> None:
    """Withdraw a version whose parent's files were deleted while it was being made."""
    shared = [file for file in manifest.files if not file.key.startswith(ref_prefix(manifest.ref))]
    if manifest.parent is None or not shared:
        return
    if lake.find(replace(manifest.ref, version=manifest.parent)) is not None:
        return
    gone = [file.key for file in shared if not _exists(lake.store, file.key)]
    if gone:
        lake.store.delete([ref_prefix(manifest.ref) + DATASET_MANIFEST])
        raise DatasetConflictError(
            f"{manifest.ref}: {gone[0]} of its parent {manifest.parent} was deleted meanwhile",
            hint="append to a version that is there",
        )


def _exists(store: Store, key: str) -> bool:
    try:
        store.head(key)
    except ObjectNotFoundError:
        return False
    return True


# -- files -----------------------------------------------------------------------------------------


def _upload(store: Store, ref: DatasetRef, new: Mapping[str, DraftFile]) -> list[DatasetFile]:
    """Write the new files, a few at a time."""

    def put(entry: tuple[str, DraftFile]) -> DatasetFile:
        return put_dataset_file(store, ref, *entry)

    with ThreadPoolExecutor(UPLOADS_AT_ONCE, thread_name_prefix="gigacast-upload") as pool:
        return list(pool.map(put, sorted(new.items())))


def put_dataset_file(store: Store, ref: DatasetRef, path: str, draft: DraftFile) -> DatasetFile:
    """Write one file of a claimed version, or take the one with the same rows that is there.

    Raises
    ------
    DatasetConflictError
        When another file has its place.
    """
    key = ref_prefix(ref) + path
    try:
        etag = store.move_if_absent(key, draft.path)
    except PreconditionFailedError:
        return _take_existing(store, key, path, draft)
    return _file(path, key, etag, draft)


def _file(path: str, key: str, etag: str, draft: DraftFile) -> DatasetFile:
    return DatasetFile(
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


def _take_existing(store: Store, key: str, path: str, draft: DraftFile) -> DatasetFile:
    pinned = read_pinned(store, key)
    try:
        content = "" if pinned is None else content_of(io.BytesIO(pinned.content))
    except CorruptedFileError:
        content = ""
    if pinned is None or content != draft.content:
        raise DatasetConflictError(
            f"{store.address.url}/{key} is there already with other content",
            hint="delete what was left: `gigacast data retire --unfinished`",
        )
    same_rows = replace(
        draft,
        size_bytes=len(pinned.content),
        sha256=hashlib.sha256(pinned.content).hexdigest(),
    )
    return _file(path, key, pinned.etag, same_rows)
