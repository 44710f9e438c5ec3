"""Keys of online stores. No other module spells them."""

from collections.abc import Sequence
from hashlib import blake2b

from gigacast.feature_store.aggregation.value import Value, canonical, pack

DAY_MS = 86_400_000


def key_digest(values: Sequence[Value]) -> str:
    """Return the digest of an entity's key: 128 bits of BLAKE2 in hex.

    A digest rather than the values: those may be longer than a store's longest key.
    """
    return blake2b(pack([canonical(value) for value in values]), digest_size=16).hexdigest()


def batch_prefix(group_by: str, digest: str, batch: str) -> str:
    """Return the start of the keys of a batch.

    Parameters
    ----------
    group_by : str
        Name of the group-by.
    digest : str
        Digest of its definition and types.
    batch : str
        Id of the batch, which begins with its end.
    """
    return f"b/{group_by}/{digest}/{batch}/"


def stream_prefix(group_by: str, digest: str, day: int | None = None) -> str:
    """Return the start of the keys of streamed values, of all days or of one.

    Parameters
    ----------
    group_by, digest : str
    day : int, optional
        Start of the day in epoch milliseconds.
    """
    start = f"s/{group_by}/{digest}/"
    # The day is before the key's digest: a day that no batch needs any more is dropped at once.
    return start if day is None else f"{start}{day // DAY_MS}/"


def position_key(group_by: str, digest: str, stream: str) -> str:
    """Return the key of the positions up to which a stream is applied."""
    return f"o/{group_by}/{digest}/{blake2b(stream.encode(), digest_size=8).hexdigest()}"


def freshness_key(group_by: str, digest: str) -> str:
    """Return the key of what is known of the stream of a group-by."""
    return f"f/{group_by}/{digest}"


def group_by_key(name: str) -> str:
    """Return the key of the pointer to the batch that a group-by serves."""
    return f"m/group_bys/{name}"


def join_key(name: str) -> str:
    """Return the key of the served definition of a join."""
    return f"m/joins/{name}"


def day_of(time_ms: int) -> int:
    """Return the start of the day (UTC) of a time, in epoch milliseconds."""
    return time_ms // DAY_MS * DAY_MS


def mark_key(group_by: str, batch: str) -> str:
    """Return the key of the mark of a batch, which names the start of its values' keys."""
    return f"u/{group_by}/{batch}"
