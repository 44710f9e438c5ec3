"""The publication of a dataset version: its files, its metadata.json and its manifest.

`lake.publication` describes the order of the steps and the result of a crash between two of them.
"""

import hashlib
import io
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import ClassVar

from gigacast.core.dataset.ref import DatasetRef
from gigacast.core.plural import counted
from gigacast.errors import (
    CorruptedFileError,
    DatasetConflictError,
    GigacastError,
    ObjectNotFoundError,
    PreconditionFailedError,
)
from gigacast.lake.dataset.catalog import PLAIN, RETIRED, Lake, ref_prefix
from gigacast.lake.dataset.manifest import (
    DatasetFile,
    DatasetManifest,
    digest_dataset,
    digest_entries,
)
from gigacast.lake.dataset.metadata import describe_manifest, metadata_bytes
from gigacast.lake.layout import DATASET_CLAIM, DATASET_MANIFEST, DATASET_METADATA
from gigacast.lake.publication import Author, Publication, publish, read_pinned
from gigacast.storage.parquet.draft import DraftFile, content_of
from gigacast.storage.store import Store

UPLOADS_AT_ONCE = 4


@dataclass(frozen=True)
class DatasetDraft:
    """A version to be published.

    Parameters
    ----------
    manifest : DatasetManifest
        Manifest without its digest and its new files.
    new : mapping of str to DraftFile
        New files by their path within the dataset.
    """

    manifest: DatasetManifest
    new: Mapping[str, DraftFile]

    @property
    def digest(self) -> str:
        """Digest of the content: the files shared with the parent, and the new ones."""
        shared = [(file.path, file.content) for file in self.manifest.files]
        return digest_dataset(
            [*shared, *((path, draft.content) for path, draft in self.new.items())]
        )


def publish_dataset(
    lake: Lake, draft: DatasetDraft, author: Author
) -> tuple[DatasetManifest, bool]:
    """Publish a version of a dataset.

    Returns
    -------
    DatasetManifest
    bool
        Whether it is new: the same content again changes nothing.

    Raises
    ------
    DatasetConflictError
        When the version has, or is being given, other content.
    StorageError
        The version does not exist then; publishing the same content again completes it.
    """
    prefix = ref_prefix(draft.manifest.ref)
    publication = DatasetPublication(
        store=lake.store,
        label=lake.where(draft.manifest.ref),
        digest=draft.digest,
        claim_key=prefix + DATASET_CLAIM,
        manifest_key=prefix + DATASET_MANIFEST,
        cleanup="`gigacast data retire --unfinished`",
        lake=lake,
        draft=draft,
    )
    return publish(publication, author)


@dataclass(frozen=True)
class DatasetPublication(Publication[DatasetManifest]):
    """A version of a dataset to publish.

    Files are put if absent: later versions share them by ETag, so no late writer may replace one. A
    file that a killed publication left is used if it has the same rows.
    """

    conflict: ClassVar[type[GigacastError]] = DatasetConflictError
    lake: Lake
    draft: DatasetDraft

    @property
    def ref(self) -> DatasetRef:
        """The version that is published."""
        return self.draft.manifest.ref

    def find(self) -> DatasetManifest | None:
        """Return the published manifest; other content is refused."""
        published = self.lake.find(self.ref)
        if published is not None and published.digest != self.digest:
            raise self.refuse(
                f"was published on {published.created_at} with other content "
                f"({counted(published.rows, 'row')}, digest {published.digest[:12]}; "
                f"yours {self.digest[:12]})",
                "snapshots never change: import it under another day"
                if self.ref.layer == "raw"
                else "published versions never change: publish it as another version",
            )
        return published

    def check_free(self) -> None:
        """Refuse a retired version, and a folder whose files have neither manifest nor claim."""
        state = self.lake.state(self.ref)
        if state == RETIRED:
            # Later versions still name some of its files: a second content would mix with them.
            raise self.refuse(
                "was retired; later versions share its files", "publish it as another version"
            )
        if state == PLAIN:
            raise self.refuse(
                "holds files without a manifest: somebody put them there by hand",
                "choose another version, or move those files to another folder",
            )

    def write_files(self) -> DatasetManifest:
        """Write the new files, a few at a time, and return the manifest of all."""
        files = (*self.draft.manifest.files, *_upload(self.store, self.ref, self.draft.new))
        ordered = tuple(sorted(files, key=lambda file: file.path))
        return replace(
            self.draft.manifest,
            digest=self.digest,
            files=ordered,
            files_digest=digest_entries(ordered),
        )

    def check_written(self, manifest: DatasetManifest) -> None:
        """Write the metadata before the manifest, so that readers of the manifest find it."""
        content = metadata_bytes(describe_manifest(manifest), f"{self.ref}/{DATASET_METADATA}")
        self.store.put(ref_prefix(self.ref) + DATASET_METADATA, content)

    def encode(self, manifest: DatasetManifest) -> bytes:
        """Return the manifest as it is stored."""
        return manifest.to_bytes()

    def confirm(self, manifest: DatasetManifest, *, is_new: bool) -> None:
        """Check the parent's files, or write the metadata of a faster publisher's manifest."""
        if not is_new:
            # Both publishers wrote metadata. The last must have the manifest's time and author.
            self.check_written(manifest)
        else:
            self._check_parent(manifest)

    def _check_parent(self, manifest: DatasetManifest) -> None:
        """Withdraw a version whose parent's files were deleted while it was published."""
        own = ref_prefix(manifest.ref)
        shared = [file for file in manifest.files if not file.key.startswith(own)]
        if manifest.parent is None or not shared:
            return
        # A parent that is still published keeps its files: a retirement deletes its manifest first,
        # and looks again afterwards for versions that share them.
        if self.lake.find(replace(manifest.ref, version=manifest.parent)) is not None:
            return
        gone = [file.key for file in shared if not _exists(self.store, file.key)]
        if gone:
            self.store.delete([self.manifest_key])
            raise DatasetConflictError(
                f"{manifest.ref}: {gone[0]} of its parent {manifest.parent} was deleted meanwhile",
                hint="append to a version that still exists",
            )


def _exists(store: Store, key: str) -> bool:
    try:
        store.head(key)
    except ObjectNotFoundError:
        return False
    return True


# -- files -----------------------------------------------------------------------------------------


def _upload(store: Store, ref: DatasetRef, new: Mapping[str, DraftFile]) -> list[DatasetFile]:
    """Write the new files, `UPLOADS_AT_ONCE` at a time."""

    def put(entry: tuple[str, DraftFile]) -> DatasetFile:
        return put_dataset_file(store, ref, *entry)

    with ThreadPoolExecutor(UPLOADS_AT_ONCE, thread_name_prefix="gigacast-upload") as pool:
        return list(pool.map(put, sorted(new.items())))


def put_dataset_file(store: Store, ref: DatasetRef, path: str, draft: DraftFile) -> DatasetFile:
    """Write one file of a claimed version, or take the stored one when it has the same rows.

    Raises
    ------
    DatasetConflictError
        When a file with other rows is stored under its key.
    """
    key = ref_prefix(ref) + path
    try:
        etag = store.move_if_absent(key, draft.path)
    except PreconditionFailedError:
        return _take_existing(store, key, path, draft)
    return DatasetFile.of_draft(draft, path, key, etag)


def _take_existing(store: Store, key: str, path: str, draft: DraftFile) -> DatasetFile:
    pinned = read_pinned(store, key)
    try:
        content = "" if pinned is None else content_of(io.BytesIO(pinned.content))
    except CorruptedFileError:
        content = ""
    if pinned is None or content != draft.content:
        raise DatasetConflictError(
            f"{store.address.url}/{key} exists already with other content",
            hint="delete what was left: `gigacast data retire --unfinished`",
        )
    # Another version of a library may have stored the same rows as other bytes. The manifest must
    # describe the bytes that are stored.
    same_rows = replace(
        draft,
        size_bytes=len(pinned.content),
        sha256=hashlib.sha256(pinned.content).hexdigest(),
    )
    return DatasetFile.of_draft(same_rows, path, key, pinned.etag)
