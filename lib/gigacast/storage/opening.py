"""The opening of a store by its address."""

import re
from pathlib import Path
from urllib.parse import quote, unquote

from gigacast.core.address import HTTP_HINT
from gigacast.core.utf8 import check_path
from gigacast.errors import ConfigError
from gigacast.storage.bucket.client import check_endpoint
from gigacast.storage.folder.store import FolderStore
from gigacast.storage.memory import MemoryStore
from gigacast.storage.store import Store, StoreAddress

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_BUCKET = re.compile(r"[a-z0-9A-Z][a-z0-9A-Z._-]{1,254}")
_HINT = (
    "write s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, file:///folder, a path, "
    "or memory://name"
)
BUCKET_SCHEMES = ("s3", "gs", "az")
"""Schemes of addresses that other machines reach."""


def open_store(address: StoreAddress) -> Store:
    """Open the store at an address. No request is made; `Store.check` makes one.

    Parameters
    ----------
    address : StoreAddress
        Address of the store: ``s3://bucket/prefix`` (``s3a`` too), ``gs://bucket/prefix``,
        ``az://container/prefix``, ``file:///folder``, a plain path or ``memory://name``. Percent
        signs are not decoded; see `unescape_file_url`.

    Raises
    ------
    ConfigError
        If the address or the endpoint is invalid.
    AccessDeniedError
        If there are no credentials for the bucket, or they cannot be read.
    """
    url = _URL.fullmatch(address.url)
    if url is None:
        return _open_folder(address.url, address.url)
    scheme, path = url["scheme"].lower(), url["rest"]
    if scheme in {*BUCKET_SCHEMES, "s3a"}:
        return _open_bucket(address, scheme, path)
    if scheme == "file":
        return _open_folder(address.url, path.removeprefix("localhost"))
    if scheme == "memory":
        return _open_memory(address.url, path)
    raise ConfigError(f"the scheme of {address.url!r} is not supported", hint=_HINT)


def unescape_file_url(url: str) -> str:
    """Return a URL that a person wrote, with the percent escapes of a file URL resolved.

    ``Path.as_uri()`` and file managers write a space as ``%20``. `StoreAddress` holds the plain
    name. A folder whose own name has percent signs may be written as it is: of both readings the
    one that exists counts, or the one with more existing parents; escapes are resolved if neither
    does.

    Raises
    ------
    ConfigError
        If both readings exist.
    """
    scheme, separator, path = url.partition("://")
    plain = _unescape(path)
    if scheme.lower() != "file" or not separator or plain == path:
        return url
    written, resolved = _existing_parts(path), _existing_parts(plain)
    # Both spellings exist: guessing could read or write the wrong data.
    if written == _parts(path) and resolved == _parts(plain):
        raise ConfigError(
            f"{url!r} names two folders, {path!r} and {plain!r}",
            hint=f"write file://{quote(path)} or file://{quote(plain)}",
        )
    return f"{scheme}://{path if written > resolved else plain}"


def _unescape(path: str) -> str:
    try:
        plain = unquote(path, errors="strict")
    except UnicodeDecodeError:
        return path
    # An escaped slash or NUL would be another path than the one written.
    return path if "\0" in plain or plain.count("/") != path.count("/") else plain


def _existing_parts(path: str) -> int:
    folder = Path(path.removeprefix("localhost"))
    return next((len(part.parts) for part in (folder, *folder.parents) if _exists(part)), 0)


def _parts(path: str) -> int:
    return len(Path(path.removeprefix("localhost")).parts)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # longer than a name may be
        return False


def _open_bucket(address: StoreAddress, scheme: str, path: str) -> Store:
    bucket, _, prefix = path.partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise ConfigError(f"{address.url!r} names no bucket", hint=_HINT)
    if address.endpoint_url == "":
        raise ConfigError("endpoint_url is empty", hint=HTTP_HINT)
    check_endpoint(address.endpoint_url)
    # Runs on folders start faster without obstore and botocore.
    if scheme in {"gs", "az"}:
        from gigacast.storage.cloud.store import AzureStore, GcsStore  # noqa: PLC0415

        kind = GcsStore if scheme == "gs" else AzureStore
        return kind(bucket, prefix, endpoint_url=address.endpoint_url)
    from gigacast.storage.s3.store import S3Store  # noqa: PLC0415

    return S3Store(bucket, prefix, endpoint_url=address.endpoint_url, region=address.region)


def _open_folder(url: str, path: str) -> FolderStore:
    if not path.strip():
        raise ConfigError(f"{url!r} names no folder", hint=_HINT)
    # In file://folder/name, "folder" would be a host.
    if url != path and not path.startswith("/"):
        raise ConfigError(f"{url!r} names no folder", hint="a file URL has three slashes")
    check_path(path)
    return FolderStore(Path(path))


def _open_memory(url: str, path: str) -> MemoryStore:
    name, _, prefix = path.partition("/")
    if not name:
        raise ConfigError(f"{url!r} has no name", hint=_HINT)
    return MemoryStore(name, prefix)
