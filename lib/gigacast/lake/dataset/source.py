"""Several versions of a dataset as one store to read from.

Keys name the version of a file: ``raw/EURUSD/2024-01-15/part-00000.parquet``. The ETag of a file of
a published version is the digest of its rows, as in `lake.dataset.store`; a file without a manifest
keeps the ETag of its object.
"""

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from gigacast.core.dataset.ref import DatasetRef
from gigacast.errors import DataNotFoundError
from gigacast.lake.dataset.catalog import DEPRECATED, PLAIN, PUBLISHED, Lake, ref_prefix
from gigacast.lake.dataset.manifest import DatasetFile, DatasetManifest, Dependency
from gigacast.lake.dataset.store import DatasetStore
from gigacast.storage.store import ObjectMeta, Verify


def resolve_sources(lake: Lake, ref: DatasetRef, *, every: bool = False) -> tuple[DatasetRef, ...]:
    """Return the versions to read: the named one, the latest by default, or all with ``every``.

    Raises
    ------
    DataNotFoundError
        When there is none.
    """
    states = lake.versions(ref)
    if ref.version is not None and states.get(ref.version) == PLAIN:
        return (ref,)
    if every and ref.version is None:
        readable = [v for v, state in states.items() if state in {PUBLISHED, DEPRECATED, PLAIN}]
        if readable:
            return tuple(replace(ref, version=version) for version in readable)
    plain = [version for version, state in states.items() if state == PLAIN]
    try:
        return (lake.read(ref).ref,)
    except DataNotFoundError:
        if ref.version is not None or not plain or ref.layer != "raw":
            raise
        return (replace(ref, version=plain[-1]),)


def open_sources(lake: Lake, refs: Sequence[DatasetRef], verify: Verify = "sample") -> DatasetStore:
    """Open versions for reading.

    Parameters
    ----------
    lake : Lake
    refs : sequence of DatasetRef
    verify : str
        Files whose digest is checked; see `storage.store.Verify`.

    Raises
    ------
    DataNotFoundError, DatasetIntegrityError
    """
    files = tuple(
        replace(file, path=f"{ref}/{path}") for ref in refs for path, file in _files_of(lake, ref)
    )
    return DatasetStore(lake.store, _manifest_of(files), lake.store.address, verify)


def origins_of(lake: Lake, refs: Sequence[DatasetRef]) -> dict[str, Dependency]:
    """Return the stored object behind each key of `open_sources`."""
    return {
        f"{ref}/{path}": Dependency(file.key, file.etag, str(ref))
        for ref in refs
        for path, file in _files_of(lake, ref)
    }


def _files_of(lake: Lake, ref: DatasetRef) -> list[tuple[str, DatasetFile]]:
    if lake.state(ref) != PLAIN:
        return [(file.path, file) for file in lake.read(ref).files]
    prefix = ref_prefix(ref)
    return [
        (path := entry.key.removeprefix(prefix), _plain_file(path, entry))
        for page in lake.store.list(prefix)
        for entry in page
    ]


def _plain_file(path: str, entry: ObjectMeta) -> DatasetFile:
    return DatasetFile(path, entry.key, entry.etag, entry.size_bytes, 0, "", entry.etag)


def _manifest_of(files: tuple[DatasetFile, ...]) -> DatasetManifest:
    """Return a manifest of no version: `DatasetStore` reads nothing but its files."""
    return DatasetManifest("raw", "sources", "", "", files, pa.schema([]), "", "")
