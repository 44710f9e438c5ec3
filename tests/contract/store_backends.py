"""Make, fill and list the stores of tests."""

from collections.abc import Callable

from gigacast.storage.store import ObjectMeta, Store

NewStore = Callable[[], Store]


def fill(store: Store, *keys: str) -> None:
    """Put an object under each key, whose content is the key."""
    for key in keys:
        store.put(key, key.encode())


def listed(store: Store, prefix: str = "", start_after: str = "") -> list[ObjectMeta]:
    """Return all pages of a listing in one list."""
    return [meta for page in store.list(prefix, start_after=start_after) for meta in page]


def listed_keys(store: Store, prefix: str = "", start_after: str = "") -> list[str]:
    """Return the keys of a listing."""
    return [meta.key for meta in listed(store, prefix, start_after)]
