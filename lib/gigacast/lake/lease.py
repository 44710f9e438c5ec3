"""The lease for submitting runs of a prefix.

It keeps two schedules from doing the same work twice. Correctness does not depend on it: two runs
at once repeat work but do no harm, and a lease that is not given back expires.
"""

import json
from datetime import datetime, timedelta
from typing import NamedTuple

from gigacast.core.mark import Time, moment_of
from gigacast.core.problem import Source
from gigacast.core.record import decode_json, read_record
from gigacast.errors import CorruptedFileError, ObjectNotFoundError, PreconditionFailedError
from gigacast.lake.layout import lease_key
from gigacast.storage.store import Store


class _Lease(NamedTuple):
    holder: str
    until: Time | None


def take_lease(store: Store, holder: str, now: datetime, valid_for: timedelta) -> bool:
    """Take the lease; return ``False`` if another holder has it.

    Parameters
    ----------
    store : Store
        Rooted at the output root.
    holder : str
        Name of the run or schedule that takes the lease.
    now : datetime
    valid_for : timedelta
        Time after which others may take the lease.
    """
    content = _content(holder, now + valid_for)
    try:
        store.put_if_absent(lease_key(), content)
    except PreconditionFailedError:
        return _replace_expired(store, content, now)
    return True


def pass_lease(store: Store, holder: str, to: str, until: datetime) -> None:
    """Pass the lease to another holder; do nothing when ``holder`` does not hold it."""
    _change(store, holder, _content(to, until))


def release_lease(store: Store, holder: str) -> None:
    """Give the lease back; do nothing when ``holder`` does not hold it."""
    _change(store, holder, None)


def lease_holder(store: Store) -> str | None:
    """Return the holder of the lease, expired or not; ``None`` when it was never taken."""
    try:
        return _parse(store.get(lease_key()))[0]
    except ObjectNotFoundError:
        return None


def _replace_expired(store: Store, content: bytes, now: datetime) -> bool:
    try:
        etag = store.head(lease_key()).etag
        _, until = _parse(store.get(lease_key(), if_match=etag))
        if until is not None and until > now:
            return False
        store.put_if_match(lease_key(), content, etag)
    except (ObjectNotFoundError, PreconditionFailedError):
        # It was given back or taken in the meantime. The next schedule tries again.
        return False
    return True


def _change(store: Store, holder: str, content: bytes | None) -> None:
    try:
        etag = store.head(lease_key()).etag
        current, _ = _parse(store.get(lease_key(), if_match=etag))
        if current != holder:
            return
        # An expired lease is written instead of a deletion. Stores have no conditional delete, so a
        # slow holder could delete the lease of the next one.
        store.put_if_match(lease_key(), content or _content("", None), etag)
    except (ObjectNotFoundError, PreconditionFailedError):
        return


def _content(holder: str, until: datetime | None) -> bytes:
    ends = until.isoformat() if until is not None else None
    return json.dumps({"holder": holder, "until": ends}).encode()


def _parse(content: bytes) -> tuple[str, datetime | None]:
    """Return the holder and the end of a stored lease; a damaged lease has neither."""
    source = Source(lease_key(), CorruptedFileError)
    try:
        lease = read_record(_Lease, decode_json(content, source), source, ignore_unknown=True)
    except CorruptedFileError:
        return "", None
    return lease.holder, moment_of(lease.until) if lease.until else None
