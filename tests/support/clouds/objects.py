"""Objects in the memory of a server of this machine, and the answers of its handlers."""

import hashlib
import itertools
import os
import threading
import time
import uuid
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, NamedTuple, Self
from urllib.parse import parse_qs, unquote, urlsplit

from gigacast.storage.store import StoreAddress


class Stored(NamedTuple):
    """An object: its bytes, and what each cloud says of it."""

    content: bytes
    etag: str
    generation: int
    modified: float

    @property
    def headers(self) -> dict[str, str]:
        """Return what both clouds send with every answer about an object."""
        return {"ETag": f'"{self.etag}"', "Last-Modified": formatdate(self.modified, usegmt=True)}


@dataclass
class Objects:
    """Buckets of objects, with one lock: a check and its write are one step."""

    buckets: dict[str, dict[str, Stored]] = field(default_factory=dict)
    parts: dict[str, dict[str, bytes]] = field(default_factory=dict)
    lock: Any = field(default_factory=threading.RLock)
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def write(self, bucket: str, key: str, content: bytes, etag: str | None = None) -> Stored:
        """Write an object; its ETag is the MD5 of its content where none is given."""
        number = next(self.numbers)
        etag = hashlib.md5(content).hexdigest() if etag is None else etag.format(number)
        stored = Stored(content, etag, 1_700_000_000_000_000 + number, time.time())
        self.buckets[bucket][key] = stored
        return stored


class CloudHandler(BaseHTTPRequestHandler):
    """Requests about objects; subclasses know the wire of a cloud."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True
    objects: ClassVar[Objects]
    seen: ClassVar[list[tuple[str, str]]]

    def dispatch(self) -> None:
        """Answer a request by the method of its kind."""
        raise NotImplementedError

    def _any(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, self.query = urlsplit(self.path).path, self._queried()
        self.names = [unquote(part) for part in path.removeprefix("/").split("/", self.depth)]
        self.seen.append((self.command, self.path))
        with self.objects.lock:
            self.dispatch()

    depth: ClassVar[int] = 1
    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _any  # noqa: N815

    def _queried(self) -> dict[str, str]:
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        return {name: values[0] for name, values in query.items()}

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Send an answer, whose names of headers are written with low lines."""
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status: int, code: str) -> None:
        """Send an error of a cloud, as XML."""
        text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>"
        self.answer(status, text.encode())

    def send_object(self, stored: Stored, **headers: str) -> None:
        """Send an object or a range of it, or only what is known of it."""
        expected = self.headers.get("If-Match")
        if expected is not None and expected.strip('"') != stored.etag:
            self.refuse(412, "PreconditionFailed")
            return
        named = {name.replace("-", "_"): text for name, text in stored.headers.items()} | headers
        size = len(stored.content)
        if self.command == "HEAD":
            self.answer(200, **named, Content_Length=str(size))
            return
        range_header = self.headers.get("Range")
        if range_header is None:
            self.answer(200, stored.content, **named)
            return
        start, _, last = range_header.removeprefix("bytes=").partition("-")
        if int(start) >= size:
            self.refuse(416, "InvalidRange")
            return
        stop = min(int(last) + 1, size) if last else size
        named["Content_Range"] = f"bytes {start}-{stop - 1}/{size}"
        self.answer(206, stored.content[int(start) : stop], **named)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class CloudServer:
    """A server of objects on a free port of 127.0.0.1; while entered, the environment leads to it.

    Parameters
    ----------
    handler : type
    """

    scheme: ClassVar[str]

    def __init__(self, handler: type[CloudHandler]) -> None:
        self.objects = Objects()
        self.seen: list[tuple[str, str]] = []
        own = type("Own", (handler,), {"objects": self.objects, "seen": self.seen})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), own)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.endpoint_url = self.url
        self._saved: dict[str, str | None] = {}

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead clients here."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._saved = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for name, text in self._saved.items():
            if text is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = text
        self._server.shutdown()
        self._server.server_close()

    def create_bucket(self) -> str:
        """Create a bucket and return its name."""
        name = f"bucket-{uuid.uuid4().hex[:12]}"
        self.objects.buckets[name] = {}
        return name

    def new_address(self, prefix: str = "") -> StoreAddress:
        """Return the address of a prefix in a new, empty bucket."""
        url = f"{self.scheme}://{self.create_bucket()}/{prefix}".rstrip("/")
        # Named: another server of the same cloud may have entered the environment since.
        return StoreAddress(url, self.endpoint_url)
