"""Clients for buckets of Google and containers of Azure.

obstore itself finds the credentials, in the variables and files that the tools of each cloud use,
and then at the metadata server of a machine of that cloud.
"""

import os
import re
from typing import Any

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore

from gigacast.core.text import blank_secrets
from gigacast.errors import AccessDeniedError
from gigacast.storage.bucket.client import (
    UPLOAD_RETRIES,
    check_endpoint,
    client_options,
    retries,
)
from gigacast.storage.bucket.error import access_hint

_GENERIC = re.compile(r"^Generic \w+ error: ")
_BYTES = re.compile(r"\[[\d, ]+\]")
_TRUE = {"1", "true", "yes"}


def open_gcs(bucket: str, root: str, endpoint_url: str | None) -> tuple[GCSStore, GCSStore]:
    """Return a client rooted at a prefix, and one that repeats parts of uploads.

    Raises
    ------
    AccessDeniedError
        If credentials cannot be read.
    ConfigError
        If the endpoint is not a URL.
    """
    endpoint = _checked(endpoint_url or os.environ.get("GOOGLE_BASE_URL"))
    place: dict[str, Any] = {} if endpoint is None else {"base_url": endpoint}
    return _both("gs", GCSStore, bucket, root, endpoint, place)


def open_azure(
    container: str, root: str, endpoint_url: str | None
) -> tuple[AzureStore, AzureStore]:
    """Return a client rooted at a prefix, and one that repeats parts of uploads.

    Raises
    ------
    AccessDeniedError
        If no account is named, or credentials cannot be read.
    ConfigError
        If the endpoint is not a URL.
    """
    environment = os.environ
    endpoint = _checked(
        endpoint_url
        or environment.get("AZURE_STORAGE_ENDPOINT")
        or environment.get("AZURE_ENDPOINT")
    )
    place: dict[str, Any] = {} if endpoint is None else {"endpoint": endpoint}
    if endpoint is None and environment.get("AZURE_STORAGE_USE_EMULATOR", "").lower() in _TRUE:
        endpoint = "http://127.0.0.1:10000"  # obstore's own, which needs leave to use HTTP
    return _both("az", AzureStore, container, root, endpoint, place)


def _both(
    scheme: str, kind: Any, bucket: str, root: str, endpoint: str | None, place: dict[str, Any]
) -> tuple[Any, Any]:
    try:
        client, uploader = (
            kind(
                bucket,
                prefix=root.rstrip("/") or None,
                client_options=client_options(endpoint),
                retry_config=retries(max_retries),
                **place,
            )
            for max_retries in (0, UPLOAD_RETRIES)
        )
    except (BaseError, ValueError, OSError) as error:
        url = f"{scheme}://{bucket}/{root}".rstrip("/")
        # Without its cause: the text of a key that cannot be read has a part of the key.
        raise AccessDeniedError(f"{url}: {_reason(error)}", hint=access_hint(url)) from None
    return client, uploader


def _reason(error: Exception) -> str:
    first_line = blank_secrets(str(error).partition("\n")[0])
    return _BYTES.sub("[...]", _GENERIC.sub("", first_line))


def _checked(endpoint: str | None) -> str | None:
    check_endpoint(endpoint)
    return endpoint or None
