"""JSON that holds a digest of itself, for small records that decide what is computed.

A flipped bit in JSON is mostly another number, which nothing else would show.
"""

import json
from typing import Any

from gigacast.core.digest import digest_value
from gigacast.core.problem import Source
from gigacast.core.record import decode_json

_FIELDS = {"digest", "values"}


def seal_json(values: Any) -> bytes:
    """Return plain values with their digest as JSON."""
    content = {"digest": digest_value(values, 32), "values": values}
    return json.dumps(content, sort_keys=True).encode()


def decode_sealed(content: bytes, source: Source) -> Any:
    """Return the plain values of `seal_json`, or of JSON that was stored without a digest.

    Raises
    ------
    GigacastError
        Of the source's class, when the content is not JSON, or not what the digest is of.
    """
    stored = decode_json(content, source)
    if not isinstance(stored, dict) or set(stored) != _FIELDS:
        return stored
    if stored["digest"] != digest_value(stored["values"], 32):
        raise source.refuse("not the digest of its values", "digest")
    return stored["values"]
