"""A stub of TimeGPT's HTTP API on this machine, which forecasts the last value of each series."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "stub-key-of-tests"


@dataclass
class TimeGptStub:
    """What the stub was asked, and what it answers first.

    ``refusals`` are statuses that it gives before it answers, each with the seconds to wait.
    """

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[tuple[int, str | None]] = field(default_factory=list)
    answer: bytes | None = None


@contextmanager
def timegpt_server() -> Iterator[TimeGptStub]:
    """Run the stub for the duration of a block."""
    stub = TimeGptStub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            if self.headers["authorization"] != f"Bearer {KEY}":
                self._send(401, b'{"detail": "invalid key ' + self._key() + b'"}')
                return
            stub.requests.append({"path": self.path, **json.loads(content)})
            if stub.refusals:
                status, wait = stub.refusals.pop(0)
                self._send(status, b'{"detail": "later"}', wait)
                return
            self._send(200, stub.answer or _answer(stub.requests[-1]))

        def _key(self) -> bytes:
            return str(self.headers["authorization"]).removeprefix("Bearer ").encode()

        def _send(self, status: int, content: bytes, wait: str | None = None) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            if wait is not None:
                self.send_header("retry-after", wait)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(request: dict[str, Any]) -> bytes:
    """Return the last value as every step's mean, and intervals as wide as a tenth of a percent."""
    values, steps = request["series"]["y"], request["h"]
    last, end = [], 0
    for size in request["series"]["sizes"]:
        end += size
        last += [values[end - 1]] * steps
    intervals = {}
    for width in request["level"] or []:
        name = f"{width:g}"
        intervals[f"lo-{name}"] = [value - width / 10 for value in last]
        intervals[f"hi-{name}"] = [value + width / 10 for value in last]
    counts = {"input_tokens": len(values), "output_tokens": len(last)}
    return json.dumps({"mean": last, "intervals": intervals, **counts}).encode()
