"""A proxy in front of an S3 of this machine that judges If-Match on PUT as older servers do."""

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, Self
from urllib.parse import urlsplit

Judgement = Literal["quoted", "bare", "never"]
"""Form in which If-Match is understood: as S3 does, without quotes, or not at all."""
_REFUSED = b"<?xml version='1.0'?><Error><Code>PreconditionFailed</Code></Error>"


class OldCeph:
    """Passes requests on, but refuses conditional PUTs whose If-Match has not the right form.

    Parameters
    ----------
    endpoint_url : str
        The S3 behind it.
    judgement : str
    """

    def __init__(self, endpoint_url: str, judgement: Judgement) -> None:
        self.refused: list[str] = []
        proxy, target = self, urlsplit(endpoint_url)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = dict(self.headers)
                etag = headers.get("if-match", headers.get("If-Match"))
                if self.command == "PUT" and etag is not None:
                    is_bare = not etag.startswith('"')
                    if judgement == "never" or is_bare != (judgement == "bare"):
                        proxy.refused.append(etag)
                        self._answer(412, {"Content-Type": "application/xml"}, _REFUSED)
                        return
                    headers = {n: value for n, value in headers.items() if n.lower() != "if-match"}
                    headers["If-Match"] = f'"{etag.strip(chr(34))}"'
                connection = http.client.HTTPConnection(target.hostname or "", target.port)
                connection.request(self.command, self.path, body or None, headers)
                answer = connection.getresponse()
                self._answer(answer.status, dict(answer.getheaders()), answer.read())
                connection.close()

            def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                length = headers.get("Content-Length", str(len(body)))
                for name, value in headers.items():
                    if name.lower() not in {"content-length", "connection", "transfer-encoding"}:
                        self.send_header(name, value)
                self.send_header(
                    "Content-Length", length if self.command == "HEAD" else str(len(body))
                )
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
            setattr(Handler, f"do_{method}", Handler._pass_on)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
