"""Timeouts and retries of the clients of all buckets."""

from datetime import timedelta
from typing import TYPE_CHECKING

from gigacast.core.address import HTTP_HINT, is_http_address, without_credentials
from gigacast.errors import ConfigError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

CONNECT_TIMEOUT_S = 4  # eight attempts: an endpoint that drops packets is reported in a minute
READ_TIMEOUT_S = 60  # between two bytes
REQUEST_TIMEOUT_S = 900  # for a whole body on a slow line
UPLOAD_RETRIES = 5


def check_endpoint(url: str | None) -> None:
    """Check the address of an endpoint, on which clients end in faults of their own.

    Raises
    ------
    ConfigError
        If it is not a URL of HTTP, or names no host.
    """
    if url and not is_http_address(url):
        shown = without_credentials(url)
        raise ConfigError(f"endpoint_url {shown!r} is not a URL, or names no host", hint=HTTP_HINT)


def client_options(endpoint_url: str | None) -> "ClientConfig":
    """Return the options of HTTP for an endpoint."""
    return {
        "allow_http": (endpoint_url or "").startswith("http://"),
        "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_S),
        "read_timeout": timedelta(seconds=READ_TIMEOUT_S),
        "timeout": timedelta(seconds=REQUEST_TIMEOUT_S),
    }


def retries(max_retries: int) -> "RetryConfig":
    """Return the retries within obstore."""
    return {
        "max_retries": max_retries,
        "retry_timeout": timedelta(minutes=3),
        "backoff": {
            "init_backoff": timedelta(milliseconds=200),
            "max_backoff": timedelta(seconds=20),
        },
    }
