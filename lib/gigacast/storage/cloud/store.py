"""Stores in Google Cloud Storage and in Azure Blob Storage, through the obstore client.

docs/decisions/0030-other-clouds.md says how their conditions are mapped, and what was not tried.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import obstore

from gigacast.errors import ObjectNotFoundError, PreconditionFailedError
from gigacast.storage.bucket.meta import strip_etag
from gigacast.storage.bucket.store import BucketStore
from gigacast.storage.cloud.client import open_azure, open_gcs
from gigacast.storage.cloud.list import CloudLister
from gigacast.storage.key import check_folder_prefix, check_key
from gigacast.storage.retry import Retrier
from gigacast.storage.store import Folder, ObjectMeta, StoreAddress

_DELETE_KEYS = 256  # Azure's limit per batch


class _CloudStore(BucketStore):
    """What both clouds have in common.

    Keys with empty or dotted parts, which S3 skips with a warning, are an error in listings.
    """

    _is_ordered: bool

    def __init__(
        self, address: StoreAddress, client: Any, uploader: Any, retrier: Retrier | None
    ) -> None:
        super().__init__(address, client, uploader, retrier)
        self._lister = CloudLister(
            client, address.url, self._retrier, self._exists, is_ordered=self._is_ordered
        )

    def _probe(self) -> None:
        self._lister.probe()

    def list(self, prefix: str = "", *, start_after: str = "") -> Iterator[list[ObjectMeta]]:
        """Yield pages of objects."""
        return self._lister.pages(prefix, start_after)

    def list_folder(self, prefix: str = "") -> Folder:
        """Return one level below ``prefix``."""
        return self._lister.list_folder(check_folder_prefix(prefix))

    def put_unless_equal(self, key: str, content: bytes | Path) -> str:
        """Write or replace an object unless it has the content already, and return its ETag."""
        # Azure makes a new ETag at each write, and Google's follows the content only for objects
        # that were written in one part and without a key of the customer's.
        while True:
            with suppress(PreconditionFailedError):  # another writer was first: look again
                try:
                    etag = self.head(key).etag
                except ObjectNotFoundError:
                    return self.put_if_absent(key, content)
                return self._etag_of(key, content) or self.put_if_match(key, content, etag)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects, several with each request where the service can."""
        stream = map(check_key, keys)
        while batch := [*islice(stream, _DELETE_KEYS)]:
            try:
                self._call(batch[0], partial(obstore.delete, self._client, batch))
            except ObjectNotFoundError:
                # One of them is gone, and nothing says which of the others are.
                for key in batch:
                    with suppress(ObjectNotFoundError):
                        self._call(key, partial(obstore.delete, self._client, key))

    def _exists(self, key: str) -> bool:
        try:
            self.head(key)
        except ObjectNotFoundError:
            return False
        return True


class GcsStore(_CloudStore):
    """Objects below a prefix of a bucket of Google Cloud Storage.

    Parameters
    ----------
    bucket : str
        Name of the bucket.
    prefix : str
        Root within the bucket.
    endpoint_url : str, optional
        Endpoint; ``GOOGLE_BASE_URL``, then Google's own by default.
    retrier : Retrier, optional
        Retries of transient faults; `Retrier`'s policy by default.

    Raises
    ------
    AccessDeniedError
        If a file of credentials cannot be read.
    ConfigError
        If the endpoint is not a URL.
    """

    _is_ordered = True

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint_url: str | None = None,
        retrier: Retrier | None = None,
    ) -> None:
        root = _root(prefix)
        address = StoreAddress(f"gs://{bucket}/{root}".rstrip("/"), endpoint_url)
        client, uploader = open_gcs(bucket, root, endpoint_url)
        super().__init__(address, client, uploader, retrier)

    def put_if_match(self, key: str, content: bytes | Path, etag: str) -> str:
        """Replace an object whose ETag must still be ``etag``.

        Google's condition is the generation of the object. It is looked up, and then names exactly
        the object that had the ETag.
        """
        check_key(key)
        gone = f"{self._url(key)} was replaced or deleted in the meantime"
        try:
            stored = self._call(key, partial(obstore.head, self._client, key))
        except ObjectNotFoundError as error:
            raise PreconditionFailedError(gone) from error
        if strip_etag(stored["e_tag"]) != etag:
            raise PreconditionFailedError(gone)
        return self._put_once(key, content, {"e_tag": etag, "version": stored["version"]})


class AzureStore(_CloudStore):
    """Objects below a prefix of a container of Azure Blob Storage.

    The account is ``AZURE_STORAGE_ACCOUNT_NAME``. A listing is held as a whole: accounts with a
    hierarchical namespace do not list in the order of bytes.

    Parameters
    ----------
    container : str
        Name of the container.
    prefix : str
        Root within the container.
    endpoint_url : str, optional
        Endpoint; ``AZURE_STORAGE_ENDPOINT``, then Azure's own by default.
    retrier : Retrier, optional
        Retries of transient faults; `Retrier`'s policy by default.

    Raises
    ------
    AccessDeniedError
        If no account is named, or credentials cannot be read.
    ConfigError
        If the endpoint is not a URL.
    """

    _is_ordered = False

    def __init__(
        self,
        container: str,
        prefix: str = "",
        *,
        endpoint_url: str | None = None,
        retrier: Retrier | None = None,
    ) -> None:
        root = _root(prefix)
        address = StoreAddress(f"az://{container}/{root}".rstrip("/"), endpoint_url)
        client, uploader = open_azure(container, root, endpoint_url)
        super().__init__(address, client, uploader, retrier)

    def get(
        self, key: str, *, if_match: str | None = None, start: int = 0, stop: int | None = None
    ) -> bytes:
        """Return the bytes from ``start`` to ``stop``, fewer at the end of the object."""
        try:
            return super().get(key, if_match=if_match, start=start, stop=stop)
        except PreconditionFailedError:
            self.head(key)  # a condition fails for an object that is not there, too: raises that
            raise

    def put_if_match(self, key: str, content: bytes | Path, etag: str) -> str:
        """Replace an object whose ETag must still be ``etag``."""
        return self._put_once(key, content, {"e_tag": f'"{etag}"'})


def _root(prefix: str) -> str:
    return f"{check_key(prefix.strip('/'))}/" if prefix.strip("/") else ""
