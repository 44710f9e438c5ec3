"""The rows and keys of a lake."""

import pyarrow as pa

from gigacast.core.dataset.predicate import Predicate
from gigacast.core.dataset.ref import DatasetRef
from gigacast.datasets.read import rows_of_version
from gigacast.lake.dataset.catalog import Lake
from gigacast.lake.dataset.store import DatasetStore
from gigacast.storage.store import Store
from tests.contract.store_backends import listed_keys


def ref(text: str) -> DatasetRef:
    return DatasetRef.parse(text)


def contents(store: Store) -> dict[str, bytes]:
    return {key: store.get(key) for key in listed_keys(store)}


def read(
    store: Store, dataset: str, filters: list[tuple[str, str, object]] | None = None
) -> pa.Table:
    lake = Lake(store)
    manifest = lake.read(ref(dataset))
    view = DatasetStore(store, manifest, store.address)
    return rows_of_version(view, manifest).table(None, Predicate.parse(filters))
