"""The resolution of paths and names as people write them: rows, versions, files, contracts."""

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pyarrow as pa

from gigacast.core.contract.definition import Contract, parse_contract
from gigacast.core.contract.predefined import PREDEFINED
from gigacast.core.dataset.ref import DatasetRef
from gigacast.datasets.check import RowSource
from gigacast.datasets.read import DatasetRows, rows_of_folder, rows_of_version
from gigacast.errors import ConfigError, DataNotFoundError
from gigacast.job.location import Location, locate, open_files
from gigacast.lake.dataset.catalog import PLAIN, Lake
from gigacast.lake.dataset.manifest import DatasetManifest, Dependency
from gigacast.lake.dataset.store import DatasetStore
from gigacast.storage.folder.store import FolderStore
from gigacast.storage.opening import open_store
from gigacast.storage.store import Verify

_EXAMPLES = {
    "raw": "raw/MES/2024-01-15/ohlcv.parquet",
    "cleaned": "cleaned/v1/MES/ohlcv.parquet",
    "features": "features/v1/momentum/part-00000.parquet",
}


def plain_location(path: str | Path) -> Location:
    """Return the location of a path as a plain object, even in the folder of a layer."""
    location = locate(path)
    if location.ref is None:
        return location
    version = location.ref.version
    key = f"{location.ref}/{location.key}" if version or not location.key else location.key
    return Location(location.address, None, key.rstrip("/"))


def open_rows(path: str | Path, verify: Verify = "sample") -> DatasetRows:
    """Return the rows at a path.

    Parameters
    ----------
    path : str or Path
    verify : str
        Files of a published dataset whose recorded digest is checked.

    Raises
    ------
    DataNotFoundError, DatasetIntegrityError
    """
    location = locate(path)
    if location.ref is None:
        return rows_of_folder(open_store(location.address), location.key)
    lake = Lake(open_store(location.address), verify)
    return rows_in(lake, location.ref, location.key)


def verify_of(text: str) -> Verify:
    """Return the choice of files whose digest is checked, of a text.

    Raises
    ------
    ConfigError
    """
    choices: tuple[Verify, ...] = get_args(Verify)
    for choice in choices:
        if text == choice:
            return choice
    raise ConfigError(
        f"verify_datasets: {text!r} is none of {', '.join(choices)}",
        hint="verify_datasets='always'",
    )


def rows_in(lake: Lake, ref: DatasetRef, only: str = "") -> DatasetRows:
    """Return the rows of a dataset, or of the files in it whose path starts with ``only``.

    Raw files without a manifest, which others have put there, are read as they are.

    Raises
    ------
    DataNotFoundError, DatasetIntegrityError
    """
    if ref.layer == "raw" and ref.version and lake.state(ref) == PLAIN:
        return rows_of_folder(lake.store, f"{ref}/{only}".rstrip("/"))
    manifest = lake.read(ref)
    address = lake.store.address.child(str(manifest.ref))
    store = DatasetStore(lake.store, manifest, address, lake.verify)
    return rows_of_version(store, manifest, only)


def open_dataset(lake: Lake, ref: DatasetRef) -> tuple[RowSource, str, Contract | None]:
    """Return the rows of a dataset, their location, and the contract it was published with.

    Raises
    ------
    DataNotFoundError, DatasetIntegrityError
    """
    rows = rows_in(lake, ref)
    source = RowSource(rows.schema, rows.read, rows.read_files)
    return source, rows.where, contract_in(lake, ref)


def contract_in(lake: Lake, ref: DatasetRef) -> Contract | None:
    """Return the contract with which a dataset was published, or ``None``.

    Raises
    ------
    DataNotFoundError
    """
    manifest = lake.find(lake.resolve(ref))
    plain = manifest.contract if manifest is not None else None
    return Contract.from_dict(plain) if plain else None


def known_contract(lake: Lake, ref: DatasetRef) -> Contract | None:
    """Return the contract of a dataset; ``None`` without a contract or a published version."""
    try:
        return contract_in(lake, ref)
    except DataNotFoundError:
        return None


def known_schema(lake: Lake, ref: DatasetRef) -> pa.Schema | None:
    """Return the columns of a dataset's latest version; ``None`` without a published version."""
    try:
        manifest = lake.find(lake.resolve(ref))
    except DataNotFoundError:
        return None
    return manifest.schema if manifest is not None else None


def find_contract(name: str) -> Contract:
    """Return a predefined contract by its name, or a contract from a YAML file by its path.

    Raises
    ------
    ConfigError
        If there is neither, or the file is not a contract.
    """
    for contract in PREDEFINED:
        if contract.name == name.lower():
            return contract
    path = Path(name)
    if not path.is_file():
        names = ", ".join(contract.name for contract in PREDEFINED)
        raise ConfigError(f"--schema: there is no file {name}", hint=f"a YAML file, or {names}")
    return parse_contract(path.read_bytes(), name)


def is_dataset(text: str) -> bool:
    """Return whether a text has the form of a dataset's name, as ``cleaned/v3/EURUSD``."""
    try:
        DatasetRef.parse(text)
    except ConfigError:
        return False
    return True


def parse_source(text: str) -> DatasetRef:
    """Return the dataset that a text names, for a source that is not a local file.

    Raises
    ------
    DataNotFoundError
        If the text is not a dataset's name either.
    """
    try:
        return DatasetRef.parse(text)
    except ConfigError as error:
        message = f"{text!r} is neither a local file nor a dataset"
        raise DataNotFoundError(message, hint=error.hint) from error


def open_source(lake: Lake, source: str) -> tuple[DatasetRows, tuple[Dependency, ...]]:
    """Return the rows of a dataset or of local Parquet files, and the objects they are read from.

    Raises
    ------
    DataNotFoundError, DatasetIntegrityError
    """
    path = Path(source)
    if is_dataset(source) or not path.exists():
        ref = parse_source(source)
        rows = rows_in(lake, ref)
        return rows, tuple(origins_in(lake, ref, rows))
    absolute = path.resolve()
    store = FolderStore(absolute if absolute.is_dir() else absolute.parent)
    rows = rows_of_folder(store, "" if absolute.is_dir() else absolute.name)
    # A key without its folder would have no meaning in the lake, so dependencies are URLs.
    root = store.address.url.rstrip("/")
    files = (Dependency(f"{root}/{file.meta.key}", file.meta.etag) for file in rows.files)
    return rows, tuple(files)


def origins_in(lake: Lake, ref: DatasetRef, rows: DatasetRows) -> Iterator[Dependency]:
    """Yield the objects of a lake, with their ETags, from which rows of a dataset are read."""
    manifest = lake.find(lake.resolve(ref))
    entries = {file.path: file for file in manifest.files} if manifest is not None else {}
    for file in rows.files:
        entry = entries.get(file.meta.key)
        if manifest is None or entry is None:
            yield Dependency(file.meta.key, file.meta.etag)
        else:
            yield Dependency(entry.key, entry.etag, str(manifest.ref))


def open_manifest(path: str | Path) -> DatasetManifest:
    """Return the manifest of the version at a path."""
    return open_files(dataset_location(path))[1]


def dataset_location(path: str | Path) -> Location:
    """Return the location of a path in a dataset.

    Raises
    ------
    ConfigError
        If the path is not in a dataset.
    """
    location = locate(path)
    if location.ref is None:
        raise ConfigError(
            f"{path} is not a dataset", hint="such as cleaned/v3/EURUSD or cleaned/latest/EURUSD"
        )
    return location


def check_layer(path: str | Path, layer: str) -> None:
    """Check that a path is in a layer.

    Raises
    ------
    ConfigError
        If it is not.
    """
    location = locate(path)
    if location.ref is None or location.ref.layer != layer:
        raise ConfigError(f"{path} is not in {layer}/", hint=f"such as {_EXAMPLES[layer]}")


def origin_of(path: str | Path) -> dict[str, str]:
    """Return the source that a frame records: its path, with the version resolved."""
    location = locate(path)
    if location.ref is None:
        return {"path": f"{location.address.url.rstrip('/')}/{location.key}"}
    ref = location.ref if location.ref.version else location.lake().resolve(location.ref)
    return {"path": f"{location.address.url.rstrip('/')}/{ref}/{location.key}".rstrip("/")}


def dependencies_of(path: str | Path, target: Location) -> Iterator[Dependency]:
    """Yield the objects at a path with their ETags, as keys if they are in the target's lake."""
    location = locate(path)
    rows = open_rows(path)
    if location.ref is None:
        objects: Iterator[Dependency] = (
            Dependency(file.meta.key, file.meta.etag) for file in rows.files
        )
    else:
        objects = origins_in(location.lake(), location.ref, rows)
    for entry in objects:
        # Keys and dataset names of another lake have no meaning in this one, so a URL is used.
        if location.address == target.address:
            yield entry
        else:
            yield Dependency(f"{location.address.url.rstrip('/')}/{entry.key}", entry.etag)
