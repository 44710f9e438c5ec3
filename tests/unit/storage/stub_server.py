"""A server on loopback that answers as it is told: for what a real S3 does rarely."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


@dataclass(frozen=True)
class Reply:
    """One scripted answer.

    ``cut`` closes the connection after half of the body, ``drop`` before any answer.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    drop: bool = False


@dataclass(frozen=True)
class Seen:
    """One request that came."""

    method: str
    path: str
    headers: dict[str, str]


def refusal(status: int, code: str, message: str = "told so") -> Reply:
    """An error as S3 words it."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Reply(status, body.encode(), {"Content-Type": "application/xml"})


def content(body: bytes, etag: str = "etag-1", **more: bool) -> Reply:
    """An object, or what a write is answered with."""
    modified = "Sat, 21 Nov 2026 00:00:00 GMT"
    return Reply(200, body, {"ETag": f'"{etag}"', "Last-Modified": modified}, **more)


class StubServer:
    """Answers requests from a script, the last reply again and again; remembers the requests."""

    def __init__(self, *script: Reply) -> None:
        self.script: Sequence[Reply] = script
        self.seen: list[Seen] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if self.raw_requestline and self.parse_request():
                    self._answer()
                self.close_connection = True

            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                reply = stub.take(Seen(self.command, self.path, dict(self.headers)))
                if reply.drop:
                    return
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.send_header("Connection", "close")
                self.end_headers()
                if self.command != "HEAD":
                    body = reply.body[: len(reply.body) // 2] if reply.cut else reply.body
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def take(self, request: Seen) -> Reply:
        self.seen.append(request)
        return self.script[min(len(self.seen), len(self.script)) - 1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
