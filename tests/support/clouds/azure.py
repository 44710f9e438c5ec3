"""The REST interface of Azure's blobs, as far as obstore speaks it.

Written from Microsoft's reference of that interface. It lists as an account with a hierarchical
namespace does: folder by folder, and not in the order of bytes. The real service checks
signatures; this one does not, but Azurite does.
"""

import re
from email.utils import formatdate
from urllib.parse import unquote
from xml.sax.saxutils import escape

from tests.support.clouds.objects import CloudHandler, CloudServer, Stored

ACCOUNT = "devstoreaccount1"
# The key that every Azurite has (Microsoft documents it).
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_ETAG = "0x8D{:013X}"


class _Handler(CloudHandler):
    depth = 2

    def dispatch(self) -> None:
        _, container, *keys = self.names
        key = keys[0] if keys else ""
        objects = self.objects.buckets.get(container)
        if objects is None:
            self.refuse(404, "ContainerNotFound")
        elif self.query.get("comp") == "batch":
            self._batch(objects)
        elif not key:
            self._list(objects)
        elif self.command in {"GET", "HEAD"}:
            self._get(objects.get(key))
        elif self.command == "DELETE":
            gone = objects.pop(key, None) is None
            self.refuse(404, "BlobNotFound") if gone else self.answer(202)
        else:
            self._put(container, key)

    def _get(self, stored: Stored | None) -> None:
        if stored is None and "If-Match" in self.headers:
            self.refuse(412, "ConditionNotMet")  # as Azurite answers
        elif stored is None:
            self.refuse(404, "BlobNotFound")
        else:
            self.send_object(stored, x_ms_blob_type="BlockBlob")

    def _put(self, container: str, key: str) -> None:
        blocks = self.objects.parts.setdefault(f"{container}/{key}", {})
        kind = self.query.get("comp")
        if kind == "block":
            blocks[self.query["blockid"]] = self.body
            self.answer(201)
            return
        content = self.body
        if kind == "blocklist":
            named = re.findall(r"<(?:Uncommitted|Latest)>([^<]*)<", self.body.decode())
            if any(name not in blocks for name in named):
                self.refuse(400, "InvalidBlockList")
                return
            content = b"".join(blocks[name] for name in named)
            blocks.clear()
        stored = self.objects.buckets[container].get(key)
        expected = self.headers.get("If-Match")
        if self.headers.get("If-None-Match") == "*" and stored is not None:
            self.refuse(409, "BlobAlreadyExists")
        elif expected is not None and (stored is None or stored.etag != expected.strip('"')):
            self.refuse(412, "ConditionNotMet")
        else:
            written = self.objects.write(container, key, content, _ETAG)
            names = {name.replace("-", "_"): text for name, text in written.headers.items()}
            self.answer(201, **names)

    def _batch(self, objects: dict[str, Stored]) -> None:
        parts = []
        for number, path in enumerate(re.findall(r"DELETE (\S+) HTTP", self.body.decode())):
            key = unquote(path.split("/", 3)[3])
            status = "202 Accepted" if objects.pop(key, None) else "404 BlobNotFound"
            code = "" if status.startswith("202") else "x-ms-error-code: BlobNotFound\r\n"
            parts.append(
                "--b\r\nContent-Type: application/http\r\n"
                f"Content-ID: {number}\r\n\r\nHTTP/1.1 {status}\r\n{code}"
                "x-ms-version: 2023-11-03\r\n\r\n"
            )
        body = "".join([*parts, "--b--\r\n"]).encode()
        self.answer(202, body, Content_Type="multipart/mixed; boundary=b")

    def _list(self, objects: dict[str, Stored]) -> None:
        prefix, delimiter = self.query.get("prefix", ""), self.query.get("delimiter")
        keys = [
            key for key in sorted(objects, key=lambda k: k.split("/")) if key.startswith(prefix)
        ]
        folders: dict[str, None] = {}
        if delimiter:
            cut = {key: key[len(prefix) :].partition(delimiter) for key in keys}
            folders = {f"{prefix}{head}{slash}": None for head, slash, _ in cut.values() if slash}
            keys = [key for key in keys if not cut[key][1]]
        start = int(self.query.get("marker") or 0)
        page = keys[start : start + 600]
        rows = "".join(_row(key, objects[key]) for key in page)
        rows += "".join(f"<BlobPrefix><Name>{escape(n)}</Name></BlobPrefix>" for n in folders)
        following = str(start + 600) if start + 600 < len(keys) else ""
        body = (
            f"<EnumerationResults><Blobs>{rows}</Blobs>"
            f"<NextMarker>{following}</NextMarker></EnumerationResults>"
        )
        self.answer(200, body.encode())


def _row(key: str, stored: Stored) -> str:
    return (
        f"<Blob><Name>{escape(key)}</Name><Properties>"
        f"<Last-Modified>{formatdate(stored.modified, usegmt=True)}</Last-Modified>"
        f"<Etag>{stored.etag}</Etag><Content-Length>{len(stored.content)}</Content-Length>"
        "<Content-Type>application/octet-stream</Content-Type></Properties></Blob>"
    )


class AzureServer(CloudServer):
    """Containers of an account on Azure's wire."""

    scheme = "az"

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.endpoint_url = f"{self.url}/{ACCOUNT}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead clients here."""
        return {
            "AZURE_STORAGE_ENDPOINT": self.endpoint_url,
            "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
        }
