"""A client of the features' HTTP server, of the standard library alone.

>>> from gigacast.feature_store.client import FeatureClient
>>> client = FeatureClient("http://127.0.0.1:8080")
>>> client.close()
"""

import json
import re
import threading
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlsplit

from gigacast.core.address import is_http_address, without_credentials
from gigacast.core.record import parse_json
from gigacast.errors import (
    AccessDeniedError,
    ConfigError,
    DataNotFoundError,
    SchemaError,
    StorageError,
    TransientStorageError,
)
from gigacast.feature_store.online.question import Request, Response
from gigacast.settings.argument import check_argument

_IN_HEADER = re.compile(r"[!-~]+")
_ERRORS: Mapping[int, type[SchemaError | DataNotFoundError | StorageError]] = {
    400: SchemaError,
    401: AccessDeniedError,
    403: AccessDeniedError,
    404: DataNotFoundError,
    413: SchemaError,
    408: TransientStorageError,
    429: TransientStorageError,
    502: TransientStorageError,
    503: TransientStorageError,
    504: TransientStorageError,
}


_LONGEST_S = 86_400 * 366


class FeatureClient:
    """Fetches features from a server. Threads may share it; each has a connection of its own.

    Parameters
    ----------
    url : str
        Address of the server, as ``http://127.0.0.1:8080``.
    token : str, optional
        Token of the server; none by default.
    timeout_s : float
        Time for a request.

    Raises
    ------
    ConfigError
        If the address is no URL of HTTP.

    Examples
    --------
    >>> with FeatureClient("http://127.0.0.1:8080") as client:  # doctest: +SKIP
    ...     client.fetch_join("shop.training_set.v1", [{"user_id": 5}])[0].values
    """

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = 10.0) -> None:
        check_argument("url", url, str)
        if isinstance(token, str) and not _IN_HEADER.fullmatch(token):
            # As a line feed at its end. The token itself is never shown.
            raise ConfigError("token: holds spaces, or letters that are not ASCII")
        check_argument("token", token, str | None)
        check_argument("timeout_s", timeout_s, float)
        if not 0 < timeout_s < _LONGEST_S:
            raise ConfigError(f"timeout_s: {timeout_s!r} is no time to wait in seconds")
        if not is_http_address(url):
            shown = without_credentials(url)[:80]
            raise ConfigError(f"url: {shown!r} is none", hint="write http://127.0.0.1:8080")
        parts = urlsplit(url)
        self._make = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._address = (parts.hostname or "", parts.port)
        self._base = parts.path.rstrip("/")
        self._timeout_s = timeout_s
        self._headers = {"content-type": "application/json"}
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"
        self._local = threading.local()
        self._lock = threading.Lock()
        self._connections: list[HTTPConnection] = []

    def fetch_join(
        self, name: str, keys: Sequence[Mapping[str, Any]], *, at: int | None = None
    ) -> list[Response]:
        """Return the features of a join for several keys, in their order.

        Errors of parts are in the responses; the other parts answer.

        Parameters
        ----------
        name : str
            Join, as ``shop.training_set.v1``.
        keys : sequence of mapping
            Keys of each entity by name: values of JSON.
        at : int, optional
            Moment, epoch milliseconds; now by default.

        Raises
        ------
        DataNotFoundError
            If no such join is served.
        SchemaError
            If the server takes the request for none, or for too large.
        AccessDeniedError
            If the token is missing or wrong.
        StorageError
            If the server cannot be reached, or cannot answer; `TransientStorageError` if it may
            do so later.
        """
        return self._fetch("join", name, keys, at)

    def fetch_group_by(
        self, name: str, keys: Sequence[Mapping[str, Any]], *, at: int | None = None
    ) -> list[Response]:
        """Return the features of a group-by for several keys; see `fetch_join`."""
        return self._fetch("group-by", name, keys, at)

    def config(self) -> dict[str, Any]:
        """Return what is served: definitions, columns with lineage, batches and limits."""
        content: dict[str, Any] = self._ask("GET", "/config")
        return content

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            while self._connections:
                self._connections.pop().close()
        self._local = threading.local()

    def __enter__(self) -> "FeatureClient":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _fetch(
        self, kind: str, name: str, keys: Sequence[Mapping[str, Any]], at: int | None
    ) -> list[Response]:
        check_argument("name", name, str)
        check_argument("keys", keys, Sequence[Mapping[str, Any]])
        at = None if at is None else Request(name, {}, at).at
        question: dict[str, Any] = {"keys": [*keys]} if at is None else {"keys": [*keys], "at": at}
        try:
            body = json.dumps(question).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise SchemaError(
                f"keys: {error}", hint="give values of JSON: texts, numbers"
            ) from error
        content = self._ask("POST", f"/v1/features/{kind}/{quote(name)}", body)
        try:
            return [
                Response(
                    Request(name, result["keys"], at),
                    result["at"],
                    result["values"],
                    result["errors"],
                    result["batch_age_ms"],
                    result["freshness_ms"],
                    result["codes"],
                )
                for result in content["results"]
            ]
        except (KeyError, TypeError) as error:
            raise StorageError(f"{self._place}: answered in another form: {error!r}") from error

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        status, raw = self._exchange(method, f"{self._base}{path}", body)
        try:
            content = parse_json(raw.decode())
        except ValueError as error:
            raise StorageError(
                f"{self._place}: answered {status} without JSON", hint="check the url"
            ) from error
        if status == 200:
            return content
        fault = content.get("error", {}) if isinstance(content, dict) else {}
        message = fault.get("message", "the online store cannot be reached")
        raise _ERRORS.get(status, StorageError)(f"{self._place}: {str(message)[:500]} ({status})")

    def _exchange(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        connection = self._connection()
        is_used = connection.sock is not None
        try:
            return self._send(connection, method, path, body)
        except (HTTPException, OSError) as error:
            connection.close()
            # Servers close connections that were quiet for long. Questions change nothing, so
            # asking again is safe; a new connection that fails is a fault.
            if not is_used or isinstance(error, TimeoutError):
                raise self._translated(error) from error
        try:
            return self._send(connection, method, path, body)
        except (HTTPException, OSError) as error:
            connection.close()
            raise self._translated(error) from error

    def _send(
        self, connection: HTTPConnection, method: str, path: str, body: bytes | None
    ) -> tuple[int, bytes]:
        connection.request(method, path, body, self._headers)
        response = connection.getresponse()
        return response.status, response.read()

    def _translated(self, error: Exception) -> StorageError:
        return TransientStorageError(
            f"{self._place}: {error or type(error).__name__}",
            hint="check that `gigacast feature-store serve` runs there",
        )

    def _connection(self) -> HTTPConnection:
        connection: HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._make(*self._address, timeout=self._timeout_s)
            with self._lock:
                self._connections.append(connection)
            self._local.connection = connection
        return connection

    @property
    def _place(self) -> str:
        host, port = self._address
        return f"features at {host}{'' if port is None else f':{port}'}"
