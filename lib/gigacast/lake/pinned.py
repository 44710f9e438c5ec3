"""Small objects read together with their ETag, to be replaced only if they are still the same."""

from typing import NamedTuple

from gigacast.errors import ObjectNotFoundError, PreconditionFailedError, TransientStorageError
from gigacast.storage.store import Store

_ATTEMPTS = 20


class Pinned(NamedTuple):
    """An object's content and the ETag it had."""

    key: str
    content: bytes
    etag: str


def read_pinned(store: Store, key: str) -> Pinned | None:
    """Return an object with its ETag; ``None`` when there is none.

    Raises
    ------
    TransientStorageError
        When it is replaced again and again.
    """
    for _ in range(_ATTEMPTS):
        try:
            etag = store.head(key).etag
            return Pinned(key, store.get(key, if_match=etag), etag)
        except ObjectNotFoundError:
            return None
        except PreconditionFailedError:
            continue
    raise TransientStorageError(f"{store.address.url}/{key} is replaced all the time")
