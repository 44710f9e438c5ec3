"""Stable digests of values, equal on every machine and in every process.

Digests are part of keys and receipts in users' buckets: a digest that changes makes every
partition pending again.
"""

import hashlib
import json
from collections.abc import Iterable


def digest_text(text: str, length: int = 16) -> str:
    """Return the first ``length`` hex digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def digest_value(value: object, length: int = 16) -> str:
    """Return the digest of a JSON-able value, independent of the order of its mappings' keys."""
    # One spelling for equal values: sorted keys, no blanks, Unicode as it is.
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return digest_text(canonical, length)


def digest_etags(etags: Iterable[str]) -> str:
    """Return the digest of an ordered list of ETags, which is a task's ``input-id``."""
    # ETags are opaque and may hold any character. The length before each keeps two lists with the
    # same concatenation apart.
    return digest_text("".join(f"{len(etag)}:{etag}" for etag in etags))
