"""The stores of the files of a table, which may be anywhere that the job can read."""

import threading
from pathlib import PurePosixPath

from gigacast.errors import ConfigError
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress

S3_SCHEMES = ("s3", "s3a", "s3n")


def is_remote(url: str) -> bool:
    """Return whether a file is elsewhere than on this machine."""
    scheme, separator, _ = url.partition("://")
    return bool(separator) and scheme != "file"


class TablePlaces:
    """Opens the store of a file by its URL, with the job's endpoint and credentials.

    Parameters
    ----------
    endpoint_url, region : str, optional
        As in `StoreAddress`.
    """

    def __init__(self, endpoint_url: str | None = None, region: str | None = None) -> None:
        self._endpoint_url = endpoint_url
        self._region = region
        self._stores: dict[str, Store] = {}
        self._lock = threading.Lock()

    def find(self, url: str) -> tuple[Store, str]:
        """Return the store of a file, and its key there.

        Raises
        ------
        ConfigError
            If the URL is of no bucket and no folder.
        """
        scheme, separator, place = url.partition("://")
        if scheme in S3_SCHEMES and separator:
            bucket, _, key = place.partition("/")
            return self._open(f"s3://{bucket}"), key
        # Writers spell local files as file:/a, file:///a and /a.
        path = url.removeprefix("file:") if not separator else place if scheme == "file" else None
        if path is None or not path.startswith("/"):
            raise ConfigError(
                f"the table has a file at {url}, which cannot be read",
                hint="tables are read from folders and from S3",
            )
        parts = PurePosixPath(path)
        return self._open(f"file://{parts.parent}"), parts.name

    def _open(self, root: str) -> Store:
        with self._lock:
            if root not in self._stores:
                address = StoreAddress(root, self._endpoint_url, self._region)
                self._stores[root] = open_store(address)
            return self._stores[root]
