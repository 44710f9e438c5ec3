"""As much of a model hub as a download needs, on loopback."""

import json
from http.server import BaseHTTPRequestHandler
from typing import ClassVar

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOS = ("acme/tiny", "amazon/chronos-bolt-tiny")


class Hub(BaseHTTPRequestHandler):
    """The few answers a download needs."""

    files: ClassVar[dict[str, bytes]] = {}
    requested: ClassVar[list[str]] = []
    commit: ClassVar[str] = COMMIT

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.do_GET(body=False)

    def do_GET(self, *, body: bool = True) -> None:
        self.requested.append(self.path)
        name = self.path.rpartition("/")[2]
        repo = next((repo for repo in REPOS if f"/{repo}" in self.path), "none")
        if self.path.startswith(f"/api/models/{repo}"):
            siblings = [{"rfilename": file} for file in self.files]
            content = json.dumps({"id": repo, "sha": self.commit, "siblings": siblings}).encode()
            if "/tree/" in self.path:
                content = json.dumps(
                    [
                        {"type": "file", "path": f, "size": len(c), "oid": "0" * 40}
                        for f, c in self.files.items()
                    ]
                ).encode()
        elif f"/{repo}/resolve/{COMMIT}/" in self.path and name in self.files:
            content = self.files[name]
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{name}-etag"')
        self.end_headers()
        if body:
            self.wfile.write(content)
