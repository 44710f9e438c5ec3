"""From the descriptions of clients to the metadata of objects."""

from datetime import datetime
from typing import Any

from gigacast.storage.store import ObjectMeta


def read_meta(listed: Any) -> ObjectMeta:
    """Return the metadata of an object from obstore's description."""
    return ObjectMeta(
        listed["path"], strip_etag(listed["e_tag"]), listed["size"], to_ns(listed["last_modified"])
    )


def strip_etag(etag: str | None) -> str:
    """Return an ETag without the quotes of HTTP."""
    return (etag or "").strip('"')


def to_ns(moment: datetime) -> int:
    """Return a moment in nanoseconds since 1970."""
    # A float has 53 bits, too few for nanoseconds since 1970. So the parts are added as integers.
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000
