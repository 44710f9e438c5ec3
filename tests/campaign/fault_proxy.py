"""A proxy in front of an S3 that disturbs requests: what networks and servers do on bad days.

Which requests are disturbed, and how, follows from a seed and the number of the request. Faults:

- ``busy``, ``broken``, ``throttled``: 503, 500 and 429 without any effect;
- ``reset``: the connection is closed before the request reaches the server;
- ``cut``: half of the answer's body;
- ``lost``: the request takes effect, the answer is lost;
- ``late error``: the request takes effect, the answer is 500;
- ``delay``, ``silence``: the answer takes a moment, or a long one;
- ``stale``: a listing as it was when it was first asked for;
- ``flip``: a flipped bit in the body of a Parquet object, whose checksums prove it.
"""

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

STATUS = {"busy": 503, "broken": 500, "throttled": 429, "late error": 500}
KINDS = (*STATUS, "reset", "cut", "lost", "delay", "silence", "stale", "flip")
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}
_DELAY_S, _SILENCE_S = 0.1, 1.5
_FIRST_ROWS = 4  # bytes of a Parquet file before its first page


@dataclass
class Answer:
    """An answer of the server."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass
class Weather:
    """Shares of disturbed requests, and outages.

    Parameters
    ----------
    seed : int
    shares : mapping
        Probability of each kind of fault, 0 by default.
    """

    seed: int = 0
    shares: Mapping[str, float] = field(default_factory=dict)
    is_away: bool = False

    def fault(self, number: int) -> str | None:
        """Return the fault of a request."""
        draw = random.Random(f"{self.seed} {number}").random()
        for kind in KINDS:
            draw -= self.shares.get(kind, 0.0)
            if draw < 0:
                return kind
        return None


class FaultProxy:
    """The proxy, on a free port of 127.0.0.1; a context manager.

    Parameters
    ----------
    upstream : str
        URL of the server.
    weather : Weather, optional
        None of the faults by default; may be replaced at any time.

    Attributes
    ----------
    injected : Counter
        Faults so far, by kind.
    seen : Counter
        Requests so far, by method.
    """

    def __init__(self, upstream: str, weather: Weather | None = None) -> None:
        self.weather = weather or Weather()
        self.injected: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self._upstream = urlsplit(upstream).netloc
        self._count = 0
        self._listings: dict[str, Answer] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """URL of the proxy."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer | None:
        """Return the answer to a request, disturbed or not; ``None`` for a lost connection."""
        with self._lock:
            self._count += 1
            self.seen[method] += 1
            fault = "away" if self.weather.is_away else self.weather.fault(self._count)
        if fault in {"away", "reset"}:
            return self._note(fault, None)
        if fault in {"busy", "broken", "throttled"}:
            return self._note(fault, _refusal(STATUS[fault]))
        if fault in {"delay", "silence"}:
            self._note(fault, None)
            time.sleep(_DELAY_S if fault == "delay" else _SILENCE_S)
        answer = self._ask(method, path, headers, body)
        return self._disturbed(fault, method, path, answer)

    def _disturbed(
        self, fault: str | None, method: str, path: str, answer: Answer
    ) -> Answer | None:
        is_list = method == "GET" and "list-type" in path
        # The page that continues a listing has another path, so it may be stale by itself.
        first = self._listings.setdefault(path, answer) if is_list else answer
        if fault == "lost":
            return self._note(fault, None)
        if fault == "late error":
            return self._note(fault, _refusal(500))
        if fault == "cut" and len(answer.body) > 1:
            half = answer.body[: len(answer.body) // 2]
            return self._note(fault, Answer(answer.status, answer.headers, half))
        if fault == "stale" and is_list:
            return self._note(fault, first)
        is_data = method == "GET" and path.partition("?")[0].endswith(".parquet")
        if fault == "flip" and is_data and answer.status == 200:
            return self._note(fault, Answer(200, answer.headers, self._flip(answer.body)))
        return answer

    def _flip(self, body: bytes) -> bytes:
        # Within the pages: they have checksums, the footer has none.
        pages = len(body) - 8 - int.from_bytes(body[-8:-4], "little")
        if body[-4:] != b"PAR1" or pages <= _FIRST_ROWS:
            return body
        place = random.Random(f"{self.weather.seed} {self._count}").randrange(_FIRST_ROWS, pages)
        flipped = bytearray(body)
        flipped[place] ^= 1
        return bytes(flipped)

    def _note(self, fault: str, answer: Answer | None) -> Answer | None:
        with self._lock:
            self.injected[fault] += 1
        return answer

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        connection = http.client.HTTPConnection(self._upstream, timeout=60)
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()


def _refusal(status: int) -> Answer:
    body = f"<Error><Code>Injected{status}</Code><Message>injected</Message></Error>".encode()
    return Answer(status, [("Content-Type", "application/xml")], body)


def _handler_of(proxy: FaultProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def serve(self) -> None:
            """Answer a request by that of the proxy."""
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = proxy.answer(self.command, self.path, dict(self.headers.items()), body)
            self.close_connection = True
            if answer is None:
                return
            self.send_response(answer.status)
            length = len(answer.body)
            for name, value in answer.headers:
                if name.lower() == "content-length":
                    # That of the whole body: a body that was cut is shorter than promised.
                    length = int(value)
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(length))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(answer.body)

    for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.serve)
    return Handler
