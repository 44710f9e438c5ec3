"""A store in an S3 bucket, through the obstore client.

docs/decisions/0002-object-store-client.md gives the reasons for the choice of client.
"""

import logging
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore

from gigacast.errors import PreconditionFailedError, StorageError
from gigacast.storage.bucket.client import UPLOAD_RETRIES
from gigacast.storage.bucket.store import BucketStore
from gigacast.storage.key import check_folder_prefix, check_key
from gigacast.storage.retry import Retrier
from gigacast.storage.s3.client import (
    find_credentials,
    open_client,
    open_exact_client,
    open_session,
    resolve_location,
)
from gigacast.storage.s3.list import S3Lister
from gigacast.storage.store import Folder, ObjectMeta, StoreAddress

if TYPE_CHECKING:
    from gigacast.storage.listed import Listed

logger = logging.getLogger(__name__)

_DELETE_KEYS = 1000  # S3's limit per DeleteObjects request

# Endpoint and bucket of stores that want ETags without quotes: a fault of the server, not of one
# store of this process, and said once.
_bare: set[tuple[str | None, str]] = set()


class S3Store(BucketStore):
    """Objects below a prefix of a bucket.

    Writes of more than 16 MiB are multipart uploads with parts of a fixed size.

    Parameters
    ----------
    bucket : str
        Name of the bucket.
    prefix : str
        Root within the bucket.
    endpoint_url, region : str, optional
        Endpoint and region; from the environment or the profile by default, and then the region
        us-east-1.
    retrier : Retrier, optional
        Retries of transient faults; `Retrier`'s policy by default.

    Raises
    ------
    AccessDeniedError
        If there are no credentials, or they cannot be read.
    ConfigError
        If the endpoint is not a URL.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint_url: str | None = None,
        region: str | None = None,
        retrier: Retrier | None = None,
    ) -> None:
        root = f"{check_key(prefix.strip('/'))}/" if prefix.strip("/") else ""
        url = f"s3://{bucket}/{root}".rstrip("/")
        self._session = open_session()
        location = resolve_location(self._session, bucket, root, endpoint_url, region)
        credentials = find_credentials(self._session, bucket)
        self._location = location
        super().__init__(
            StoreAddress(url, endpoint_url, region),
            open_client(location, credentials),
            open_client(location, credentials, max_retries=UPLOAD_RETRIES),
            retrier,
        )
        self._exact: Any = None
        self._lister = S3Lister(location, self._client, self._open_exact, self._retrier)

    def _probe(self) -> None:
        self._lister.probe()

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[list[ObjectMeta]]:
        """Yield pages of objects, one request per page; unusable keys are skipped."""
        return self._lister.pages(prefix, start_after)

    def list_columns(self, prefix: str = "") -> "Iterator[Listed]":
        """Yield pages of objects in columns, one request per page; unusable keys are skipped."""
        return self._lister.columns(prefix)

    def list_folder(self, prefix: str = "") -> Folder:
        """Return one level below ``prefix``."""
        return self._lister.list_folder(check_folder_prefix(prefix))

    def put_if_match(self, key: str, content: bytes | Path, etag: str) -> str:
        """Replace an object whose ETag must still be ``etag``.

        Some servers, such as Ceph before release 17, compare the quoted ETag of If-Match with their
        own without quotes, and refuse every write. That is noticed by the ETag, which still is the
        expected one; then, and from then on, the ETag is sent without quotes.

        Raises
        ------
        PreconditionFailedError
        StorageError
            If the store refuses the write under both forms although the condition holds.
        """
        server = (self._location.endpoint_url, self._location.bucket)
        forms = ("{}",) if server in _bare else ('"{}"', '"{}"', "{}")
        for form in forms:
            try:
                written = self._put_once(key, content, {"e_tag": form.format(etag)})
            except PreconditionFailedError:
                if not self._is_still(key, etag):
                    raise
                # The usual form has a second attempt: the object may have changed, and back again.
                continue
            if form == "{}" and server not in _bare:
                _bare.add(server)
                logger.warning(
                    "%s: the store compares If-Match without quotes; it is sent so from now on",
                    self.address.url,
                )
            return written
        raise StorageError(
            f"{self._url(key)}: the store refuses to replace it, although its ETag is the one that "
            "If-Match names",
            hint="conditional writes (If-Match on PUT) do not work there: update the store, or "
            "keep the outputs in another one",
        )

    def _is_still(self, key: str, etag: str) -> bool:
        """Check whether the object has an ETag; not if that cannot be found out."""
        try:
            return self.head(key).etag == etag
        except StorageError:
            return False

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects, with one request per thousand."""
        stream = map(check_key, keys)
        while batch := [*islice(stream, _DELETE_KEYS)]:
            self._call(batch[0], partial(obstore.delete, self._client, batch))

    def _open_exact(self) -> Any:
        if self._exact is None:
            self._exact = open_exact_client(self._location, self._session)
        return self._exact
