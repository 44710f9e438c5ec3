"""An S3 on loopback for tests, real enough for child processes: moto's threaded server.

Use the class as a context manager, or import the fixture ``moto_server`` (into a conftest, so
that a session starts one). Each xdist worker is a process and gets its own.
"""

import contextlib
import logging
import os
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Self

import boto3
import pytest
from moto.server import ThreadedMotoServer

from gigacast.storage.store import StoreAddress

_REMOVED = (
    "AWS_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL_S3",
    "AWS_SKIP_SIGNATURE",
    "HTTP_PROXY",
    "http_proxy",
)


class MotoServer:
    """A server on a free port of 127.0.0.1, with the environment that leads clients to it.

    While it is entered, ``os.environ`` names its endpoint and false credentials, so boto3, s3fs,
    obstore and child processes find it without arguments; leaving puts the environment back.

    Parameters
    ----------
    *buckets : str
        Created on entering.
    """

    def __init__(self, *buckets: str) -> None:
        self._buckets = buckets
        self._server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._saved: dict[str, str | None] = {}
        self.endpoint_url = ""

    def __enter__(self) -> Self:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.endpoint_url = f"http://{host}:{port}"
        self._saved = {name: os.environ.get(name) for name in (*_REMOVED, *self.environment)}
        for name in _REMOVED:
            os.environ.pop(name, None)
        os.environ.update(self.environment)
        for bucket in self._buckets:
            self.create_bucket(bucket)
        return self

    def __exit__(self, *_: object) -> None:
        # A server that was entered later, and goes on, keeps its environment.
        is_last = os.environ.get("AWS_ENDPOINT_URL") == self.endpoint_url
        for name, value in self._saved.items() if is_last else ():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._server.stop()

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead a child process here."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def create_bucket(self, name: str = "") -> str:
        """Create a bucket, with a name of its own when none is given; return the name."""
        name = name or f"bucket-{uuid.uuid4().hex[:12]}"
        self._send("PUT", f"/{name}")
        return name

    def new_address(self, prefix: str = "") -> StoreAddress:
        """Return the address of a prefix in a new, empty bucket."""
        return StoreAddress(f"s3://{self.create_bucket()}/{prefix}".rstrip("/"))

    def reset(self) -> None:
        """Forget all buckets."""
        self._send("POST", "/moto-api/reset")

    def put_stream(self, name: str) -> None:
        """Make an empty Kinesis stream, in the place of one that other tests left."""
        kinesis = boto3.client("kinesis", endpoint_url=self.endpoint_url)
        with contextlib.suppress(kinesis.exceptions.ResourceNotFoundException):
            kinesis.delete_stream(StreamName=name)
        kinesis.create_stream(StreamName=name, ShardCount=1)

    def _send(self, method: str, path: str) -> None:
        request = urllib.request.Request(self.endpoint_url + path, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30):
            pass


@pytest.fixture(scope="session")
def moto_server() -> Iterator[MotoServer]:
    """One server for the session (of one worker process)."""
    with MotoServer() as server:
        yield server
