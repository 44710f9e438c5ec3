"""A server of a bucket's pages for browsers of this machine; it reads and changes nothing."""

import re
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from gigacast.errors import ConfigError, GigacastError, ObjectNotFoundError
from gigacast.lake.layout import (
    ANOMALIES,
    AUDIT,
    BACKTESTS,
    EVALUATIONS,
    FORECASTS,
    QUALITY,
    REPORTS,
)
from gigacast.storage.key import is_usable
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress

HOST = "127.0.0.1"
MAX_BYTES = 32 * 2**20
"""Size of an object that is served: pages and audits are far smaller."""
_FOLDERS = (REPORTS, AUDIT, EVALUATIONS, BACKTESTS, QUALITY, ANOMALIES, FORECASTS)
_TYPES = {
    "html": "text/html; charset=utf-8",
    "json": "application/json; charset=utf-8",
    "md": "text/plain; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}
# Of an object that somebody else put there, nothing may run: pages need their own style only.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_LOCAL = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?", re.IGNORECASE)


def serve(address: StoreAddress, port: int, started: Callable[[str], None]) -> None:
    """Serve pages until the process is interrupted.

    Parameters
    ----------
    address : StoreAddress
        Root whose ``reports/`` is served.
    port : int
        0 for any free one.
    started : callable
        Called with the address for browsers.

    Raises
    ------
    ConfigError
        When the port is taken.
    StorageError
    """
    store = open_store(address)
    store.check()
    with make_server(store, port) as server:
        started(f"http://{HOST}:{server.server_address[1]}/")
        server.serve_forever()


def make_server(store: Store, port: int) -> ThreadingHTTPServer:
    """Return a server of a store's pages that listens on this machine; the caller starts it.

    Raises
    ------
    ConfigError
        When the port is taken.
    """
    handler = type("ReportHandler", (_Handler,), {"store": store})
    try:
        return ThreadingHTTPServer((HOST, port), handler)
    except OSError as error:
        raise ConfigError(
            f"--port: {port} can't be opened: {error.strerror or error}",
            hint="name another port, or 0 for any free one",
        ) from error


def key_of(path: str) -> str | None:
    """Return the key that the path of a request names; ``None`` if it is not served."""
    name = unquote(urlsplit(path).path)
    if name in {"/", "/reports", "/reports/"}:
        return f"{REPORTS}index.html"
    key = name.removeprefix("/")
    is_served = key.startswith(_FOLDERS) and key.rpartition(".")[2] in _TYPES
    return key if is_served and is_usable(key) else None


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD with objects of a few folders."""

    store: Store
    server_version = "gigacast"
    sys_version = ""
    # A browser that opens a connection and sends nothing must not hold a thread forever.
    timeout = 30

    def do_GET(self) -> None:
        """Answer with the object."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer with the headers alone."""
        self._answer(with_body=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base
        """Log nothing: the requests are those of one person."""

    def _answer(self, *, with_body: bool) -> None:
        # Another site's name that points to this machine (DNS rebinding) gets nothing.
        if not _LOCAL.fullmatch(self.headers.get("Host", "")):
            self._send(HTTPStatus.FORBIDDEN, b"this server answers to this machine only")
            return
        if urlsplit(self.path).path in {"/", "/reports"}:
            self._redirect(f"/{REPORTS}")
            return
        key = key_of(self.path)
        status, body = self._read(key) if key is not None else (HTTPStatus.NOT_FOUND, b"not found")
        kind = (key or "").rpartition(".")[2] if status is HTTPStatus.OK else "md"
        self._send(status, body, kind, with_body=with_body)

    def _read(self, key: str) -> tuple[HTTPStatus, bytes]:
        try:
            if self.store.head(key).size_bytes > MAX_BYTES:
                return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, b"too large to be shown"
            return HTTPStatus.OK, self.store.get(key)
        except ObjectNotFoundError:
            return HTTPStatus.NOT_FOUND, b"not found; `gigacast report` writes a page"
        except GigacastError:
            return HTTPStatus.BAD_GATEWAY, b"the bucket does not answer"

    def _redirect(self, place: str) -> None:
        self.send_response(HTTPStatus.FOUND)
        self.send_header("Location", place)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(
        self, status: HTTPStatus, body: bytes, kind: str = "md", *, with_body: bool = True
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", _TYPES[kind])
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if with_body:
            self.wfile.write(body)
