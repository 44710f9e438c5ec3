"""The XML interface of Google Cloud Storage, as far as obstore speaks it.

Written from Google's reference of that interface (requests for objects and for multipart uploads,
lists of objects, headers of preconditions). The real service checks tokens; this one does not.
"""

import re
import uuid
from datetime import UTC, datetime
from xml.sax.saxutils import escape

from tests.support.clouds.objects import CloudHandler, CloudServer, Stored


class _Handler(CloudHandler):
    def dispatch(self) -> None:
        bucket, key = self.names[0], self.names[1] if len(self.names) > 1 else ""
        objects = self.objects.buckets.get(bucket)
        if objects is None:
            self.refuse(404, "NoSuchBucket")
        elif not key:
            self._list(objects)
        elif self.command in {"GET", "HEAD"}:
            self._get(objects.get(key))
        elif self.command == "DELETE":
            self._delete(objects, key)
        elif self.command == "POST":
            self._upload(bucket, key)
        else:
            self._put(bucket, key)

    def _get(self, stored: Stored | None) -> None:
        if stored is None:
            self.refuse(404, "NoSuchKey")
        else:
            self.send_object(stored, x_goog_generation=str(stored.generation))

    def _delete(self, objects: dict[str, Stored], key: str) -> None:
        if objects.pop(key, None) is None:
            self.refuse(404, "NoSuchKey")
        else:
            self.answer(204)

    def _put(self, bucket: str, key: str) -> None:
        if "uploadId" in self.query:
            number = self.query["partNumber"]
            self.objects.parts[self.query["uploadId"]][number] = self.body
            self.answer(200, ETag=f'"part{number}"')
            return
        expected = self.headers.get("x-goog-if-generation-match")
        stored = self.objects.buckets[bucket].get(key)
        generation = 0 if stored is None else stored.generation
        if expected is not None and int(expected) != generation:
            self.refuse(412, "PreconditionFailed")
            return
        self._written(self.objects.write(bucket, key, self.body))

    def _upload(self, bucket: str, key: str) -> None:
        if "uploads" in self.query:
            name = uuid.uuid4().hex
            self.objects.parts[name] = {}
            body = (
                f"<InitiateMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{escape(key)}</Key>"
                f"<UploadId>{name}</UploadId></InitiateMultipartUploadResult>"
            )
            self.answer(200, body.encode())
            return
        parts = self.objects.parts.pop(self.query["uploadId"])
        numbers = re.findall(rb"<PartNumber>(\d+)</PartNumber>", self.body)
        content = b"".join(parts[number.decode()] for number in numbers)
        # What was written in parts has no MD5.
        stored = self.objects.write(bucket, key, content, "parts-{}")
        body = (
            "<CompleteMultipartUploadResult><Location>here</Location>"
            f"<Bucket>{bucket}</Bucket><Key>{escape(key)}</Key>"
            f'<ETag>"{stored.etag}"</ETag></CompleteMultipartUploadResult>'
        )
        self.answer(200, body.encode(), x_goog_generation=str(stored.generation))

    def _written(self, stored: Stored) -> None:
        self.answer(200, ETag=f'"{stored.etag}"', x_goog_generation=str(stored.generation))

    def _list(self, objects: dict[str, Stored]) -> None:
        prefix, delimiter = self.query.get("prefix", ""), self.query.get("delimiter")
        after = self.query.get("continuation-token") or self.query.get("start-after", "")
        matching: list[str] = []
        folders: dict[str, None] = {}
        for key in sorted(objects):
            if key.startswith(prefix) and key > after:
                head, cut, _ = key[len(prefix) :].partition(delimiter or "\0")
                if cut and delimiter:
                    folders[f"{prefix}{head}{delimiter}"] = None
                else:
                    matching.append(key)
        page = matching[:1000]
        parts = ["<ListBucketResult>"]
        for key in page:
            stored = objects[key]
            moment = datetime.fromtimestamp(stored.modified, UTC).isoformat(timespec="milliseconds")
            parts.append(
                f"<Contents><Key>{escape(key)}</Key><Generation>{stored.generation}</Generation>"
                f"<LastModified>{moment.removesuffix('+00:00')}Z</LastModified>"
                f'<ETag>"{stored.etag}"</ETag><Size>{len(stored.content)}</Size></Contents>'
            )
        parts += [
            f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in folders
        ]
        if len(matching) > len(page):
            token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>"
            parts.append(f"<IsTruncated>true</IsTruncated>{token}")
        self.answer(200, "".join([*parts, "</ListBucketResult>"]).encode())


class GcsServer(CloudServer):
    """Buckets of Google's wire."""

    scheme = "gs"

    def __init__(self) -> None:
        super().__init__(_Handler)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead clients here."""
        return {"GOOGLE_BASE_URL": self.url, "GOOGLE_BEARER_TOKEN": "a-token-of-tests"}
