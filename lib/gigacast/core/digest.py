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


def digests_of(texts: Iterable[str]) -> bytes:
    """Return the first 8 bytes of the SHA-256 of each text, joined: `digest_text` in hex digits."""
    sha256 = hashlib.sha256
    return b"".join([sha256(text.encode()).digest()[:8] for text in texts])


def digests_of_etags(etags: Iterable[str]) -> bytes:
    """Return the first 8 bytes of the digest of each ETag by itself, as `digest_etags`, joined."""
    return digests_of([f"{len(etag)}:{etag}" for etag in etags])
