"""Azurite, Microsoft's emulator of Azure's blobs, where it is installed.

``npm install --prefix FOLDER azurite`` installs it; ``AZURITE_BLOB`` names its program
(``FOLDER/node_modules/.bin/azurite-blob``) unless ``PATH`` does.
"""

import base64
import hashlib
import hmac
import os
import re
import shutil
import subprocess
import urllib.request
import uuid
from email.utils import formatdate
from typing import Self

from gigacast.storage.store import StoreAddress
from tests.support.clouds.azure import ACCOUNT, KEY

_VERSION = "2023-11-03"


def azurite_program() -> str | None:
    """Return the path of the emulator; ``None`` where it is not installed."""
    return os.environ.get("AZURITE_BLOB") or shutil.which("azurite-blob")


class Azurite:
    """The emulator on a free port of 127.0.0.1, with its objects in memory.

    Parameters
    ----------
    program : str
    """

    def __init__(self, program: str) -> None:
        self._program = program
        self.url = ""

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead clients here."""
        return {
            "AZURE_STORAGE_ENDPOINT": f"{self.url}/{ACCOUNT}",
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
        }

    def __enter__(self) -> Self:
        options = ["--inMemoryPersistence", "--blobHost", "127.0.0.1", "--blobPort", "0"]
        self._process = subprocess.Popen(
            [self._program, *options, "--disableTelemetry"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdout is not None
        lines = []
        for line in self._process.stdout:
            lines.append(line)
            if address := re.search(r"successfully listen\w* (?:at|on) (http://\S+)", line):
                self.url = address[1].rstrip("/")
                return self
        raise RuntimeError(f"azurite did not start: {''.join(lines)}")

    def __exit__(self, *_: object) -> None:
        # Asked to end, it would wait for connections that clients keep open.
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def new_address(self, prefix: str = "") -> StoreAddress:
        """Return the address of a prefix in a new, empty container."""
        name = f"container-{uuid.uuid4().hex[:12]}"
        self._create(name)
        endpoint = f"{self.url}/{ACCOUNT}"
        return StoreAddress(f"az://{name}/{prefix}".rstrip("/"), endpoint)

    def _create(self, container: str) -> None:
        moment, place = formatdate(usegmt=True), f"{ACCOUNT}/{container}"
        signed = (
            "PUT" + "\n" * 12 + f"x-ms-date:{moment}\nx-ms-version:{_VERSION}\n"
            f"/{ACCOUNT}/{place}\nrestype:container"
        )
        digest = hmac.digest(base64.b64decode(KEY), signed.encode(), hashlib.sha256)
        request = urllib.request.Request(
            f"{self.url}/{place}?restype=container",
            method="PUT",
            headers={
                "x-ms-date": moment,
                "x-ms-version": _VERSION,
                "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}",
                "Content-Length": "0",
            },
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30):
            pass
