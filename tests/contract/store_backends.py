"""Make, fill and list the stores of tests."""

from collections.abc import Callable

from gigacast.storage.listed import list_columns
from gigacast.storage.store import ObjectMeta, Store

NewStore = Callable[[], Store]


def fill(store: Store, *keys: str) -> None:
    """Put an object under each key, whose content is the key."""
    for key in keys:
        store.put(key, key.encode())


def listed(store: Store, prefix: str = "", start_after: str = "") -> list[ObjectMeta]:
    """Return all pages of a listing in one list; the pages in columns are the same."""
    entries = [meta for page in store.list(prefix, start_after=start_after) for meta in page]
    if not start_after:
        assert [meta for page in list_columns(store, prefix) for meta in page.entries()] == entries
    return entries


def listed_keys(store: Store, prefix: str = "", start_after: str = "") -> list[str]:
    """Return the keys of a listing."""
    return [meta.key for meta in listed(store, prefix, start_after)]
