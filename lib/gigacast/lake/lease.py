"""A lease: who submits a run of a prefix now.

It keeps two schedules from doing the same work twice. Nothing rests on it: two runs at once waste
work and harm nothing, and a lease that nobody gives back ends by itself.
"""

import json
from datetime import datetime, timedelta

from gigacast.errors import ObjectNotFoundError, PreconditionFailedError
from gigacast.lake.layout import lease_key
from gigacast.storage.store import Store


def take_lease(store: Store, holder: str, now: datetime, valid_for: timedelta) -> bool:
    """Take the lease; ``False`` when somebody else holds it.

    Parameters
    ----------
    store : Store
        Rooted at the output root.
    holder : str
    now : datetime
    valid_for : timedelta
        After this it may be taken by others.
    """
    content = _content(holder, now + valid_for)
    try:
        store.put_if_absent(lease_key(), content)
    except PreconditionFailedError:
        return _replace_expired(store, content, now)
    return True


def pass_lease(store: Store, holder: str, to: str, until: datetime) -> None:
    """Hand a lease on, as to the run that was submitted under it; nothing when it is not held."""
    _change(store, holder, _content(to, until))


def release_lease(store: Store, holder: str) -> None:
    """Give a lease back; nothing when it is not held, or another's."""
    _change(store, holder, None)


def lease_holder(store: Store) -> str | None:
    """Return who holds the lease, expired or not."""
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
        return False  # somebody gave it back, or was faster: the next time decides
    return True


def _change(store: Store, holder: str, content: bytes | None) -> None:
    try:
        etag = store.head(lease_key()).etag
        found, _ = _parse(store.get(lease_key(), if_match=etag))
        if found != holder:
            return
        # An expired lease instead of none: a delete could not be made conditional everywhere.
        store.put_if_match(lease_key(), content or _content("", None), etag)
    except (ObjectNotFoundError, PreconditionFailedError):
        return


def _content(holder: str, until: datetime | None) -> bytes:
    ends = until.isoformat() if until is not None else None
    return json.dumps({"holder": holder, "until": ends}).encode()


def _parse(content: bytes) -> tuple[str, datetime | None]:
    """Read a lease; one that can't be read is nobody's."""
    try:
        values = json.loads(content)
        until = values["until"]
        return str(values["holder"]), datetime.fromisoformat(until) if until else None
    except (ValueError, KeyError, TypeError):
        return "", None
