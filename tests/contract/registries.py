"""The keys of a registry and its active version."""

from gigacast.lake.model.active import (
    read_active,
)
from gigacast.lake.model.registry import Registry
from gigacast.storage.store import Store


def contents(store: Store) -> dict[str, bytes]:
    return {m.key: store.get(m.key) for page in store.list("models/") for m in page}


def active(store: Store, name: str = "tiny") -> str | None:
    return read_active(Registry(store), name)[0].version
