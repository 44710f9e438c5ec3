"""What the stores of buckets have in common: requests through obstore, and conditional writes.

Retries are ours, around a client without any: only so is it known whether an earlier attempt of a
conditional write may have arrived (`BucketStore._put_once`). Multipart uploads are the exception,
as a failed part must not cost the whole upload.
"""

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore

from gigacast.errors import (
    BucketNotFoundError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
    TransientStorageError,
)
from gigacast.storage.bucket.error import Answer, RangeError, translated
from gigacast.storage.bucket.meta import read_meta, strip_etag
from gigacast.storage.key import check_key
from gigacast.storage.retry import Result, Retrier
from gigacast.storage.store import ObjectMeta, Store, StoreAddress

if TYPE_CHECKING:
    from obstore import GetOptions, PutMode

# The ETag of a multipart upload to S3 depends on the part size. A fixed size keeps the ETags of
# equal content equal; only objects over 160 GB need larger parts (`_part_bytes`).
PART_BYTES = 16 << 20
_MAX_PARTS = 10_000  # S3's limit per upload, and Google's
_PARTS_AT_ONCE = 4  # concurrent parts, so at most 64 MiB in memory per upload


class BucketStore(Store):
    """Objects below a prefix of a bucket.

    Writes of more than 16 MiB are multipart uploads with parts of a fixed size.

    Parameters
    ----------
    address : StoreAddress
        Bucket and prefix.
    client, uploader : obstore.store.ObjectStore
        Clients rooted at the prefix; the second repeats parts of uploads.
    retrier : Retrier, optional
        Retries of transient faults; `Retrier`'s policy by default.
    """

    def __init__(
        self, address: StoreAddress, client: Any, uploader: Any, retrier: Retrier | None
    ) -> None:
        self.address = address
        self._client = client
        self._uploader = uploader
        self._retrier = retrier or Retrier()

    @abstractmethod
    def _probe(self) -> None:
        """Request the first page of the listing, once."""

    def check(self) -> None:
        """Check that the bucket can be listed; repeated as every request is."""
        # A listing is answered by 404 only if the bucket does not exist.
        try:
            self._retrier.call(self._probe)
        except ObjectNotFoundError as error:
            message = f"there is no bucket at {self.address.url}"
            raise BucketNotFoundError(message, hint="check the endpoint URL") from error

    def head(self, key: str) -> ObjectMeta:
        """Return the metadata of an object.

        A missing bucket also raises `ObjectNotFoundError`: a HEAD answer has no body that could
        say which of the two is missing.
        """
        check_key(key)
        return read_meta(self._call(key, lambda: obstore.head(self._client, key)))

    def get(
        self, key: str, *, if_match: str | None = None, start: int = 0, stop: int | None = None
    ) -> bytes:
        """Return the bytes from ``start`` to ``stop``, fewer at the end of the object."""
        check_key(key)
        # HTTP cannot express an empty range. The object must still exist and match.
        if stop is not None and stop <= start:
            self._check_etag(key, if_match)
            return b""
        options: GetOptions = {}
        if if_match is not None:
            options["if_match"] = f'"{if_match}"'
        if stop is not None:
            options["range"] = (start, stop)
        elif start:
            options["range"] = {"offset": start}
        try:
            return self._call(key, lambda: self._read(key, options, if_match))
        except RangeError:
            return b""

    def put(self, key: str, content: bytes | Path) -> str:
        """Write or replace an object and return its ETag."""
        check_key(key)
        size = _size_bytes(content)
        client = self._uploader if size > PART_BYTES else self._client
        put = self._call(
            key,
            lambda: obstore.put(
                client,
                key,
                content,
                use_multipart=size > PART_BYTES,
                chunk_size=_part_bytes(size),
                max_concurrency=_PARTS_AT_ONCE,
            ),
        )
        return strip_etag(put["e_tag"]) or self.head(key).etag

    def put_if_absent(self, key: str, content: bytes | Path) -> str:
        """Write an object that must not exist yet."""
        return self._put_once(key, content, "create")

    def _call(self, key: str, request: Callable[[], Result]) -> Result:
        def attempt() -> Result:
            with translated(self._url(key)):
                return request()

        return self._retrier.call(attempt)

    def _url(self, key: str) -> str:
        return f"{self.address.url}/{key}"

    def _read(self, key: str, options: "GetOptions", if_match: str | None) -> bytes:
        answer = obstore.get(self._client, key, options=options)
        etag = answer.meta["e_tag"]
        # A store or a cache before it may ignore If-Match and answer with another version.
        if if_match is not None and etag is not None and strip_etag(etag) != if_match:
            raise PreconditionFailedError(f"{self._url(key)} is no longer {if_match}")
        start, stop = answer.range
        content = bytes(answer.bytes())
        # A connection that is closed early can end a body without an error of the client.
        if len(content) != stop - start:
            message = f"{self._url(key)}: {len(content)} of {stop - start} bytes arrived"
            raise TransientStorageError(message)
        return content

    def _check_etag(self, key: str, if_match: str | None) -> None:
        if self.head(key).etag != if_match and if_match is not None:
            raise PreconditionFailedError(f"{self._url(key)} is no longer {if_match}")

    def _put_once(self, key: str, content: bytes | Path, mode: "PutMode") -> str:
        """Write under a condition, in a single request, and return the ETag.

        The answer to a successful write may be lost. Its retry then fails the condition because of
        our own first attempt. So after such a retry the stored content is compared with ours:
        if it is equal, the write has succeeded.
        """
        check_key(key)
        _size_bytes(content)  # raises here if a local file is missing, and not as a fault of S3
        may_have_arrived = False

        def attempt() -> str:
            nonlocal may_have_arrived
            try:
                with translated(self._url(key)):
                    put = obstore.put(self._client, key, content, mode=mode, use_multipart=False)
                return strip_etag(put["e_tag"])
            except TransientStorageError as error:
                # 409 is a definite refusal: this attempt has not arrived.
                may_have_arrived = may_have_arrived or not _is_conflict(error)
                raise
            except PreconditionFailedError:
                if may_have_arrived and (own := self._etag_of(key, content)):
                    return own
                raise

        return self._retrier.call(attempt)

    def _etag_of(self, key: str, content: bytes | Path) -> str | None:
        """Return the ETag of the object if it has exactly this content."""
        # The content is compared, not an MD5 with the ETag: with encryption by KMS keys the ETag
        # is not the MD5, and that of Azure never is.
        try:
            meta = self.head(key)
            if meta.size_bytes != _size_bytes(content):
                return None
            own = content.read_bytes() if isinstance(content, Path) else content
            is_equal = self.get(key, if_match=meta.etag) == own
        except (ObjectNotFoundError, PreconditionFailedError):
            return None
        return meta.etag if is_equal else None


def _is_conflict(error: StorageError) -> bool:
    """Check whether a store refused because of a concurrent conditional write to the key (409)."""
    return isinstance(error.__cause__, Exception) and Answer(error.__cause__).status == "409"


def _size_bytes(content: bytes | Path) -> int:
    if not isinstance(content, Path):
        return len(content)
    try:
        return content.stat().st_size
    except OSError as error:
        raise StorageError(f"the local file {content} cannot be read: {error.strerror}") from error


def _part_bytes(size_bytes: int) -> int:
    """Return the part size for an object's size: fixed as long as S3's 10,000 parts suffice."""
    parts = -(-size_bytes // (_MAX_PARTS * PART_BYTES))
    return PART_BYTES * max(1, parts)
