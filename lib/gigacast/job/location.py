"""From a path as people write it to a store and what lies there.

``s3://bucket/lake/cleaned/v3/EURUSD``, ``file:///data/raw/...``, ``memory://name/...`` and local
paths: what lies in a layer's folder is a dataset of the lake around it, all else a plain object.
"""

from dataclasses import dataclass
from pathlib import Path

from gigacast.core.dataset.ref import DatasetRef
from gigacast.errors import ConfigError
from gigacast.lake.dataset.catalog import DEPRECATED, PUBLISHED, UNFINISHED, Lake
from gigacast.lake.dataset.manifest import DatasetManifest
from gigacast.lake.dataset.store import DatasetStore
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress


@dataclass(frozen=True)
class Location:
    """Where a path leads.

    Parameters
    ----------
    address : StoreAddress
        Of the lake's root, or of the folder of a plain object.
    ref : DatasetRef, optional
        The dataset, when the path lies in a layer.
    key : str
        What follows: the path within the dataset, or the plain object's key.
    """

    address: StoreAddress
    ref: DatasetRef | None
    key: str

    def lake(self) -> Lake:
        """Open the lake."""
        return Lake(open_store(self.address))


def locate(
    path: str | Path, *, endpoint_url: str | None = None, region: str | None = None
) -> Location:
    """Read a path.

    Raises
    ------
    ConfigError
        When it is empty or leads nowhere.
    """
    text = str(path)
    if not text.strip("/ "):
        raise ConfigError(f"{text!r} is no path", hint="give a file, a folder or a dataset")
    scheme, sep, rest = text.partition("://")
    if not sep:
        scheme, rest = "file", str(Path(text).expanduser().absolute())
    found = DatasetRef.find(rest)
    if found is not None:
        root, ref, key = found
        root = root or "/" if scheme == "file" else root
        return Location(StoreAddress(f"{scheme}://{root}", endpoint_url, region), ref, key)
    folder, _, name = rest.rstrip("/").rpartition("/")
    if not folder and scheme != "file":
        return Location(StoreAddress(f"{scheme}://{name}", endpoint_url, region), None, "")
    return Location(StoreAddress(f"{scheme}://{folder or '/'}", endpoint_url, region), None, name)


def pin_inputs(address: StoreAddress) -> StoreAddress:
    """Return an input root with the dataset's version in it, where it names one as ``latest``.

    Raises
    ------
    DataNotFoundError
        When it names a dataset that is not published.
    """
    where = _dataset_at(address)
    if where is None or where.ref is None or where.ref.version is not None:
        return address
    return where.address.child(str(where.lake().resolve(where.ref)))


def open_inputs(address: StoreAddress) -> Store:
    """Open an input root: a version of a dataset as its manifest names it, else what lies there.

    A folder in a layer without manifest and claim was filled by hand, and is read as it is.

    Raises
    ------
    DataNotFoundError
        When the version's publication is not finished.
    DatasetIntegrityError
    """
    where = _dataset_at(address)
    if where is None or where.ref is None:
        return open_store(address)
    lake = where.lake()
    ref = lake.resolve(where.ref)
    if lake.state(ref) in {PUBLISHED, DEPRECATED, UNFINISHED}:
        return DatasetStore(lake.store, lake.read(ref), address)
    return open_store(address)


def dataset_name(address: StoreAddress) -> str | None:
    """Return the version of a dataset that an input root is, as ``cleaned/v3/EURUSD``."""
    where = _dataset_at(address)
    return str(where.ref) if where is not None and where.ref is not None else None


def _dataset_at(address: StoreAddress) -> Location | None:
    """Return the dataset whose very folder an address is."""
    where = locate(address.url, endpoint_url=address.endpoint_url, region=address.region)
    return where if where.ref is not None and not where.key else None


def open_files(where: Location) -> tuple[Store, DatasetManifest]:
    """Open a dataset for reading.

    Raises
    ------
    DataNotFoundError, DatasetIntegrityError
    """
    assert where.ref is not None  # noqa: S101 - the caller looked
    lake = where.lake()
    manifest = lake.read(where.ref)
    return DatasetStore(lake.store, manifest, where.address.child(str(manifest.ref))), manifest
