"""The publication of a version of a model or dataset: completely or not at all, and only once.

The steps are claim, files, manifest, release. A version exists when its manifest does:

1. *Claim*: an object put if absent that names the digest of the content. Of two publishers with
   different content one is refused before it writes a byte; two with the same content join. It also
   tells the leftovers of a killed publisher from files that somebody copied there by hand.
2. *Files*: a crash here leaves an unfinished version that readers do not see. Publishing the same
   content again completes it; other content is refused until the leftovers are deleted.
3. *Manifest*: put if absent, after every file that it names. This single request is the commit.
4. *Release*: the claim is deleted. A crash before it leaves a claim beside a published version,
   which readers ignore and the next publication of the same content removes.

Deleting a version goes the other way round: manifest, files, claim.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Generic, NamedTuple, TypeVar

from gigacast.core.problem import Source
from gigacast.core.record import decode_json, read_record
from gigacast.errors import (
    CorruptedFileError,
    GigacastError,
    ObjectNotFoundError,
    PreconditionFailedError,
    TransientStorageError,
)
from gigacast.storage.store import Store

ManifestT = TypeVar("ManifestT")
_READ_ATTEMPTS = 20  # each fails only if another process replaced the object


@dataclass(frozen=True, slots=True)
class Author:
    """The author of a change to a lake, and the clock for its time."""

    who: str
    clock: Callable[[], datetime]

    def now(self) -> str:
        """Return the current time in ISO 8601, as manifests record it."""
        return self.clock().isoformat(timespec="milliseconds")


# -- small objects and their ETags -----------------------------------------------------------------


class Pinned(NamedTuple):
    """An object's content and the ETag it had."""

    key: str
    content: bytes
    etag: str


def read_pinned(store: Store, key: str) -> Pinned | None:
    """Return a small object with its ETag; ``None`` when there is none.

    Raises
    ------
    TransientStorageError
        When the object is replaced again and again.
    """
    for _ in range(_READ_ATTEMPTS):
        try:
            # The ETag first: a GET without a condition might return another object's content.
            etag = store.head(key).etag
            return Pinned(key, store.get(key, if_match=etag), etag)
        except ObjectNotFoundError:
            return None
        except PreconditionFailedError:
            continue
    raise TransientStorageError(
        f"{store.address.url}/{key} is being replaced again and again by others",
        hint="run the command again",
    )


# -- claims ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Claim:
    """Who is publishing or deleting a version, and the digest of the content that is published."""

    digest: str = ""
    who: str = "somebody unknown"
    when: str = "at a time unknown"
    deleting: bool = False


def parse_claim(pinned: Pinned | None) -> Claim:
    """Return a stored claim; an empty one if it is missing or damaged.

    An empty claim matches no digest, so nothing is written over the files that it protects.
    """
    if pinned is None:
        return Claim()
    source = Source(pinned.key, CorruptedFileError)
    try:
        return read_record(Claim, decode_json(pinned.content, source), source, ignore_unknown=True)
    except CorruptedFileError:
        return Claim()


def claim_content(author: Author, **fields: object) -> bytes:
    """Return a claim as it is stored."""
    return json.dumps({**fields, "who": author.who, "when": author.now()}).encode()


# -- the protocol ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Publication(ABC, Generic[ManifestT]):
    """A version to publish: its keys and content, and the steps that differ by kind.

    Parameters
    ----------
    store : Store
        Rooted at the lake.
    label : str
        Name of the version, for messages.
    digest : str
        Digest of the content.
    claim_key, manifest_key : str
    conflict : type of GigacastError
        Error for a version that has, or is being given, other content.
    cleanup : str
        Command that deletes the leftovers of a killed publication or deletion, for hints.
    """

    conflict: ClassVar[type[GigacastError]]
    store: Store
    label: str
    digest: str
    claim_key: str
    manifest_key: str
    cleanup: str

    @abstractmethod
    def find(self) -> ManifestT | None:
        """Return the published manifest, if it has this content; ``None`` if there is no manifest.

        Raises
        ------
        GigacastError
            `conflict`, when the version has other content.
        """

    @abstractmethod
    def check_free(self) -> None:
        """Refuse a folder whose files are not the leftovers of a publication."""

    @abstractmethod
    def write_files(self) -> ManifestT:
        """Write every file and return the manifest that names them."""

    @abstractmethod
    def encode(self, manifest: ManifestT) -> bytes:
        """Return the manifest as it is stored."""

    def refuse(self, reason: str, hint: str) -> GigacastError:
        """Return the conflict error about this version."""
        return self.conflict(f"{self.label} {reason}", hint=hint)

    def complete(self, manifest: ManifestT) -> None:
        """Check or mend a version that was already published with this content."""

    def check_written(self, manifest: ManifestT) -> None:
        """Check the files, or write objects beside them, right before the manifest."""

    def confirm(self, manifest: ManifestT, *, is_new: bool) -> None:
        """Check, after the manifest is written, that its files still exist; else withdraw it."""


def publish(publication: Publication[ManifestT], author: Author) -> tuple[ManifestT, bool]:
    """Publish a version.

    Returns
    -------
    manifest
    is_new : bool
        Whether this call made the version: the same content again changes nothing.

    Raises
    ------
    GigacastError
        `Publication.conflict`, when the version has, or is being given, other content.
    StorageError
        The version does not exist then; publishing the same content again completes it.
    """
    published = publication.find()
    if published is None:
        publication.check_free()
        claim = _take_claim(publication, author)
        # Another publisher may have finished between the first `find` and the claim.
        published = _find_or_release(publication, claim)
        if published is None:
            return _write(publication, claim)
    publication.complete(published)
    _release(publication)
    return published, False


def _write(publication: Publication[ManifestT], claim: Pinned | None) -> tuple[ManifestT, bool]:
    manifest = publication.write_files()
    # Writing takes minutes. Somebody may have taken these files for leftovers and deleted them,
    # together with the claim.
    _check_claim(publication, claim)
    publication.check_written(manifest)
    try:
        # If absent, so that a slower publisher never replaces a manifest that readers use already.
        publication.store.put_if_absent(publication.manifest_key, publication.encode(manifest))
        is_new = True
    except PreconditionFailedError:
        manifest, is_new = _find_winner(publication), False
    # A deletion that came between the check of the claim and the manifest shows only now.
    publication.confirm(manifest, is_new=is_new)
    # Released only on success: after a failure the claim marks the files as leftovers.
    _release(publication)
    return manifest, is_new


def _take_claim(publication: Publication[ManifestT], author: Author) -> Pinned | None:
    """Claim the version, or join publishers of the same content, alive or killed.

    Returns
    -------
    Pinned or None
        ``None`` when the version was published with this content in the meantime.
    """
    key, content = publication.claim_key, claim_content(author, digest=publication.digest)
    try:
        return Pinned(key, content, publication.store.put_if_absent(key, content))
    except PreconditionFailedError:
        pinned = read_pinned(publication.store, key)
    claim = parse_claim(pinned)
    if claim.digest == publication.digest:
        return pinned
    if claim.deleting:
        raise publication.refuse(
            f"is being deleted, or half deleted (by {claim.who})",
            f"finish it: {publication.cleanup}",
        )
    if publication.find() is not None:
        return None
    if pinned is None:  # released or deleted after it made our put fail
        raise publication.refuse("is being published by others", "try again")
    raise publication.refuse(
        "is being published with other content, or was left unfinished "
        f"(by {claim.who}, {claim.when})",
        "choose another version, publish that content again, or delete what was left: "
        f"{publication.cleanup}",
    )


def _find_or_release(publication: Publication[ManifestT], claim: Pinned | None) -> ManifestT | None:
    try:
        published = publication.find()
    except publication.conflict:
        # Other content was published, and our claim would block publishing that again. Without a
        # manifest the claim must stay: it marks the files as leftovers.
        _release(publication)
        raise
    if published is None and claim is None:
        raise publication.refuse("was deleted by others while it was published", "publish it again")
    return published


def _check_claim(publication: Publication[ManifestT], claim: Pinned | None) -> None:
    pinned = read_pinned(publication.store, publication.claim_key)
    if pinned is not None and claim is not None and pinned.content == claim.content:
        return
    # A faster publisher of the same content has released the claim, if the version exists.
    if pinned is None and publication.find() is not None:
        return
    raise publication.refuse(
        "was deleted by others, or claimed by them, while it was published", "publish it again"
    )


def _find_winner(publication: Publication[ManifestT]) -> ManifestT:
    winner = publication.find()
    if winner is None:
        raise publication.refuse("was deleted by others while it was published", "publish it again")
    return winner


def _release(publication: Publication[ManifestT]) -> None:
    """Delete the claim on this content; the claim of another publisher or a deletion stays."""
    pinned = read_pinned(publication.store, publication.claim_key)
    if pinned is not None and parse_claim(pinned).digest == publication.digest:
        publication.store.delete([publication.claim_key])
