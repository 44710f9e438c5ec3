"""A server of features on loopback, in a process of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]


@dataclass
class LiveServer:
    """A server that runs."""

    process: subprocess.Popen[str]
    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Return status, content and headers of a response."""
        connection = HTTPConnection(self.host, self.port, timeout=30)
        try:
            raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            connection.request(method, path, raw, dict(headers or {}))
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return response.status, response.read(), names
        finally:
            connection.close()

    def stop(self) -> int:
        """Ask the server to end, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def run_live(lake: Path, *words: str, **environment: str) -> Iterator[LiveServer]:
    """Run ``gigacast feature-store serve`` over a folder, and end it if it still runs."""
    command = [sys.executable, "-m", "gigacast", "feature-store", "serve", "--port", "0", "--json"]
    variables = {**os.environ, "PYTHONPATH": str(ROOT / "lib"), **environment}
    process = subprocess.Popen(
        [*command, "--bucket", f"file://{lake}", *words],
        stdout=subprocess.PIPE,
        text=True,
        env=variables,
    )
    try:
        assert process.stdout is not None
        lines = []
        while "}" not in "".join(lines):
            line = process.stdout.readline()
            assert line, f"the server ended with {process.wait(10)}: {''.join(lines)}"
            lines.append(line)
        host, _, port = json.loads("".join(lines))["url"].removeprefix("http://").rpartition(":")
        yield LiveServer(process, host, int(port))
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)
        if process.stdout is not None:
            process.stdout.close()
