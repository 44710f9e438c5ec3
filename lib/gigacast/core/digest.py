"""Stable digests of values: the same on every machine, process and day."""

import hashlib
import json
from collections.abc import Iterable


def digest_text(text: str, length: int = 16) -> str:
    """Return the first ``length`` hex digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def digest_value(value: object, length: int = 16) -> str:
    """Return the digest of a JSON-able value, whatever the order of its mappings' keys."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return digest_text(canonical, length)


def digest_etags(etags: Iterable[str]) -> str:
    """Return the id of an ordered list of ETags: a task's ``input-id``.

    ETags are opaque, so each is framed by its length: no two lists run together.
    """
    return digest_text("".join(f"{len(etag)}:{etag}" for etag in etags))
