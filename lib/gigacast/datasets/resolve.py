"""Paths as people write them, opened: the rows, the version or the plain file they lead to.

What the public functions and the metadata manager share.
"""

from collections.abc import Iterator
from pathlib import Path

from gigacast.core.contract.definition import Contract
from gigacast.core.dataset.ref import DatasetRef
from gigacast.datasets.read import DatasetRows, rows_of_folder, rows_of_version
from gigacast.errors import ConfigError
from gigacast.job.location import Location, locate, open_files
from gigacast.lake.dataset.catalog import PLAIN, Lake
from gigacast.lake.dataset.manifest import DatasetManifest, Dependency
from gigacast.lake.dataset.store import DatasetStore
from gigacast.storage.opening import open_store

_EXAMPLES = {
    "raw": "raw/MES/2024-01-15/ohlcv.parquet",
    "cleaned": "cleaned/v1/MES/ohlcv.parquet",
    "features": "features/v1/momentum/part-00000.parquet",
}


def plain_location(path: str | Path) -> Location:
    """Return where a path leads as a plain object, whatever its folders are called."""
    where = locate(path)
    if where.ref is None:
        return where
    version = where.ref.version
    key = f"{where.ref}/{where.key}" if version or not where.key else where.key
    return Location(where.address, None, key.rstrip("/"))


def open_rows(path: str | Path) -> DatasetRows:
    """Return the rows a path leads to.

    Raises
    ------
    DataNotFoundError, DatasetIntegrityError
    """
    where = locate(path)
    if where.ref is None:
        return rows_of_folder(open_store(where.address), where.key)
    return rows_in(where.lake(), where.ref, where.key)


def rows_in(lake: Lake, ref: DatasetRef, only: str = "") -> DatasetRows:
    """Return the rows of a dataset, or of the files in it whose path starts with ``only``.

    Raw files that somebody put there, without a manifest, are read as they are.

    Raises
    ------
    DataNotFoundError, DatasetIntegrityError
    """
    if ref.layer == "raw" and ref.version and lake.state(ref) == PLAIN:
        return rows_of_folder(lake.store, f"{ref}/{only}".rstrip("/"))
    manifest = lake.read(ref)
    store = DatasetStore(lake.store, manifest, lake.store.address.child(str(manifest.ref)))
    return rows_of_version(store, manifest, only)


def promised_in(lake: Lake, ref: DatasetRef) -> Contract | None:
    """Return the contract that a dataset was published with, where there is one.

    Raises
    ------
    DataNotFoundError
    """
    manifest = lake.find(lake.resolve(ref))
    plain = manifest.contract if manifest is not None else None
    return Contract.from_dict(plain) if plain else None


def origins_in(lake: Lake, ref: DatasetRef, rows: DatasetRows) -> Iterator[Dependency]:
    """Yield the exact objects of a lake that rows of one of its datasets are read from."""
    manifest = lake.find(lake.resolve(ref))
    keys = {file.path: file for file in manifest.files} if manifest is not None else {}
    for file in rows.files:
        known = keys.get(file.meta.key)
        if manifest is None or known is None:
            yield Dependency(file.meta.key, file.meta.etag)
        else:
            yield Dependency(known.key, known.etag, str(manifest.ref))


def open_manifest(path: str | Path) -> DatasetManifest:
    """Return the manifest of the version a path leads to."""
    return open_files(dataset_location(path))[1]


def dataset_location(path: str | Path) -> Location:
    """Return where a path leads, which must be a dataset.

    Raises
    ------
    ConfigError
    """
    where = locate(path)
    if where.ref is None:
        raise ConfigError(
            f"{path} names no dataset", hint="such as cleaned/v3/EURUSD or cleaned/latest/EURUSD"
        )
    return where


def check_layer(path: str | Path, layer: str) -> None:
    """Refuse a path that is not in a layer.

    Raises
    ------
    ConfigError
    """
    where = locate(path)
    if where.ref is None or where.ref.layer != layer:
        raise ConfigError(f"{path} is not in {layer}/", hint=f"such as {_EXAMPLES[layer]}")


def origin_of(path: str | Path) -> dict[str, str]:
    """Return what a frame remembers of where it was read: its path."""
    where = locate(path)
    if where.ref is None:
        return {"path": f"{where.address.url.rstrip('/')}/{where.key}"}
    ref = where.ref if where.ref.version else where.lake().resolve(where.ref)
    return {"path": f"{where.address.url.rstrip('/')}/{ref}/{where.key}".rstrip("/")}


def dependencies_of(path: str | Path, target: Location) -> Iterator[Dependency]:
    """Yield the exact objects behind a path, by key where they are of the same lake."""
    where = locate(path)
    rows = open_rows(path)
    if where.ref is None:
        found: Iterator[Dependency] = (
            Dependency(file.meta.key, file.meta.etag) for file in rows.files
        )
    else:
        found = origins_in(where.lake(), where.ref, rows)
    for one in found:
        if where.address == target.address:
            yield one
        else:  # of another lake, where this one's names mean nothing
            yield Dependency(f"{where.address.url.rstrip('/')}/{one.key}", one.etag)
