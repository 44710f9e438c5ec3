"""Bytes of states: a byte for the version of the form, then msgpack."""

from collections.abc import Sequence
from typing import Any

from gigacast.errors import DataError
from gigacast.feature_store.aggregation.value import pack, unpack

VERSION = 1


def encode(states: Sequence[Any]) -> bytes:
    """Return the bytes of encoded states."""
    return bytes([VERSION]) + pack([*states])


def decode(stored: bytes) -> list[Any]:
    """Return the encoded states of bytes.

    Raises
    ------
    DataError
        If the bytes are of another version, or cut short.
    """
    if not stored or stored[0] != VERSION:
        raise DataError(
            f"states of version {stored[:1].hex() or 'none'} cannot be read",
            hint="upload the batch again with this release",
        )
    try:
        states: list[Any] = unpack(stored[1:])
    # msgpack's errors for bytes that are cut or follow the end are all of these two.
    except (ValueError, TypeError) as error:
        raise DataError(f"stored states are damaged: {error}") from error
    return states
