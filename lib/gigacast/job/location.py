"""Locations: the store and the dataset or object that a path leads to.

Paths are ``s3://bucket/lake/cleaned/v3/EURUSD``, ``file:///data/raw/...``, ``memory://name/...``
and local paths. A path below the folder of a layer leads to a dataset of the lake around it, any
other path to a plain object.
"""

from dataclasses import dataclass
from pathlib import Path

from gigacast.core.dataset.ref import DatasetRef
from gigacast.errors import ConfigError
from gigacast.lake.dataset.catalog import DEPRECATED, PUBLISHED, UNFINISHED, Lake
from gigacast.lake.dataset.manifest import DatasetManifest
from gigacast.lake.dataset.store import DatasetStore
from gigacast.lake.table.address import is_table
from gigacast.storage.opening import BUCKET_SCHEMES, open_store, unescape_file_url
from gigacast.storage.store import Store, StoreAddress


@dataclass(frozen=True)
class Location:
    """The dataset or object that a path leads to.

    Parameters
    ----------
    address : StoreAddress
        Root of the lake, or folder of a plain object.
    ref : DatasetRef, optional
        Dataset, when the path is below a layer.
    key : str
        Path within the dataset, or key of the plain object.
    """

    address: StoreAddress
    ref: DatasetRef | None
    key: str

    def lake(self) -> Lake:
        """Return the lake, opened."""
        return Lake(open_store(self.address), self.address.verify)


def locate(
    path: str | Path, *, endpoint_url: str | None = None, region: str | None = None
) -> Location:
    """Return the location of a path.

    Raises
    ------
    ConfigError
        When the path is empty, or names only a root.
    """
    text = unescape_file_url(str(path)) if isinstance(path, str) else str(path)
    return _locate(text, endpoint_url, region)


def _locate(text: str, endpoint_url: str | None, region: str | None) -> Location:
    if not text.strip("/ "):
        raise ConfigError(
            f"the path {text!r} names nothing", hint="give a file, a folder or a dataset"
        )
    scheme, sep, place = text.partition("://")
    if not sep:
        scheme, place = "file", str(Path(text).expanduser().absolute())
    dataset = DatasetRef.find(place)
    if dataset is not None:
        root, ref, key = dataset
        # A lake at the root of the file system has no folder above it.
        root = root or "/" if scheme == "file" else root
        return Location(StoreAddress(f"{scheme}://{root}", endpoint_url, region), ref, key)
    folder, _, name = place.rstrip("/").rpartition("/")
    if not folder and scheme != "file":
        return Location(StoreAddress(f"{scheme}://{name}", endpoint_url, region), None, "")
    return Location(StoreAddress(f"{scheme}://{folder or '/'}", endpoint_url, region), None, name)


def check_reach(address: StoreAddress) -> None:
    """Check that the machines of array jobs reach an address.

    Raises
    ------
    ConfigError
    """
    scheme = address.url.partition("://")[0]
    if scheme == "s3":
        return
    raise ConfigError(
        f"bucket: {address.url} is out of reach of machines of AWS, whose role is for s3:// alone"
        if scheme in BUCKET_SCHEMES
        else f"bucket: {address.url} is out of reach of other machines",
        hint="use a bucket of S3, or --executor joblib",
    )


def reachable_inputs(address: StoreAddress) -> StoreAddress:
    """Return an input root as the machines of array jobs open it: of a table, its exact snapshot.

    Raises
    ------
    ConfigError
        If it is out of their reach.
    DataNotFoundError
        When there is no such table.
    """
    if not is_table(address.url):
        check_reach(address)
        return address
    from gigacast.lake.table.opening import pin_for_others  # noqa: PLC0415 - few jobs read tables

    return pin_for_others(address)


def pin_inputs(address: StoreAddress) -> StoreAddress:
    """Return an input root with an exact version, where it names a dataset or table without one.

    Raises
    ------
    DataNotFoundError
        When the dataset is not published, or there is no such table.
    """
    if is_table(address.url):
        return exact_inputs(address)
    # A version that is published while the run goes on must not change its inputs.
    location = _dataset_at(address)
    if location is None or location.ref is None or location.ref.version is not None:
        return address
    return location.address.child(str(location.lake().resolve(location.ref)))


def exact_inputs(address: StoreAddress) -> StoreAddress:
    """Return an input root with an exact snapshot, where it is a table; others as they are.

    Raises
    ------
    DataNotFoundError
        When there is no such table.
    """
    if not is_table(address.url):
        return address
    # Few jobs read tables, and others start without what it takes.
    from gigacast.lake.table.opening import pin_table  # noqa: PLC0415

    # Each process opens the table anew, and it may have changed by then.
    return pin_table(address)


def open_inputs(address: StoreAddress) -> Store:
    """Open an input root; a version of a dataset shows the files that its manifest names.

    A snapshot of a table shows an object for each of its partitions.

    Raises
    ------
    DataNotFoundError
        When the publication of the version is not finished, or there is no such table.
    DatasetIntegrityError, SchemaError
    """
    if is_table(address.url):
        from gigacast.lake.table.opening import open_table  # noqa: PLC0415 - as above

        return open_table(address)
    location = _dataset_at(address)
    if location is None or location.ref is None:
        return open_store(address)
    lake = location.lake()
    ref = lake.resolve(location.ref)
    # A folder without manifest and claim was filled by hand, and is read as it is.
    if lake.state(ref) in {PUBLISHED, DEPRECATED, UNFINISHED}:
        return DatasetStore(lake.store, lake.read(ref), address, address.verify)
    return open_store(address)


def dataset_name(address: StoreAddress) -> str | None:
    """Return the name of the dataset at an input root, as ``cleaned/v3/EURUSD``, else ``None``."""
    location = _dataset_at(address)
    return str(location.ref) if location is not None and location.ref is not None else None


def _dataset_at(address: StoreAddress) -> Location | None:
    """Return the location of an address that is the folder of a dataset, else ``None``."""
    if is_table(address.url):
        return None
    location = _locate(address.url, address.endpoint_url, address.region)
    return location if location.ref is not None and not location.key else None


def open_files(location: Location) -> tuple[Store, DatasetManifest]:
    """Return the store of a dataset's files, and its manifest.

    Raises
    ------
    DataNotFoundError, DatasetIntegrityError
    """
    assert location.ref is not None  # noqa: S101 - callers pass locations of datasets only
    lake = location.lake()
    manifest = lake.read(location.ref)
    address = location.address.child(str(manifest.ref))
    return DatasetStore(lake.store, manifest, address, lake.verify), manifest
