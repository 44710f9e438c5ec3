"""What jobs have made, as digests by key: equal after any disturbance."""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gigacast.lake.layout import LAYERS
from gigacast.storage.store import Store

Value = dict[str, str]
TABLE = "tables/forecasts"


def keys_of(store: Store, prefix: str) -> list[str]:
    """Return all keys with a prefix."""
    return [entry.key for page in store.list(prefix) for entry in page]


def contents(prefix: str, ending: str = "") -> Callable[[Store], Value]:
    """Return a function that digests all objects below a prefix, but for manifests of runs."""

    def value(store: Store) -> Value:
        keys = [key for key in keys_of(store, prefix) if "/_" not in key and key.endswith(ending)]
        return {key: hashlib.sha256(store.get(key)).hexdigest() for key in keys}

    return value


def rows(prefix: str) -> Callable[[Store], Value]:
    """Return a function that digests the rows of the files below a prefix, whatever their keys.

    Keys of cleaned files have the id of their input, which in a folder has the time of its writing.
    """

    def value(store: Store) -> Value:
        tables = [pq.read_table(io.BytesIO(store.get(key))) for key in keys_of(store, prefix)]
        digests = sorted(hashlib.sha256(repr(t.to_pydict()).encode()).hexdigest() for t in tables)
        return {str(number): digest for number, digest in enumerate(digests)}

    return value


def with_pages(store: Store) -> Value:
    """Return digests of the forecasts, and whether each page that can be seen is whole."""
    pages = {
        f"{number}": str(store.get(key).rstrip().endswith(b"</html>"))
        for number, key in enumerate(keys_of(store, "reports/"))
        if key.endswith(".html") and not key.endswith(("latest.html", "index.html"))
    }
    return contents("forecasts/")(store) | {"pages are whole": str(set(pages.values()) <= {"True"})}


def measures(store: Store) -> Value:
    """Return the measures of quality by partition, without times and ids of runs."""
    digests = {}
    for key in keys_of(store, "quality/partitions/"):
        if "/_" in key:
            continue
        content = json.loads(store.get(key))
        described = {name: content.get(name) for name in ("keys", "columns", "rows", "contract")}
        digests[key] = json.dumps(described, sort_keys=True)
    return digests


def published(store: Store) -> Value:
    """Return the rows of the dataset versions, by the files that their manifests name.

    The footer of a file has the time of its writing, so its bytes differ from run to run.
    """
    digests = {}
    for key in [k for layer in LAYERS for k in keys_of(store, f"{layer}/")]:
        if not key.endswith("/manifest.json"):
            continue
        folder = key.removesuffix("manifest.json")
        for file in json.loads(store.get(key))["files"]:
            table = pq.read_table(io.BytesIO(store.get(f"{folder}{file['path']}")))
            digests[f"{folder}{file['path']}"] = hashlib.sha256(
                repr(table.to_pydict()).encode()
            ).hexdigest()
    return digests


def registered(store: Store) -> Value:
    """Return the versions of models with their digests, and the active one."""
    digests = {}
    for key in keys_of(store, "models/"):
        content = json.loads(store.get(key)) if key.endswith(("manifest.json", "ACTIVE")) else None
        if content is not None:
            digests[key] = str(content.get("digest") or content.get("version"))
    return digests


def names(prefix: str) -> Callable[[Store], Value]:
    """Return a function that lists the keys below a prefix, whose objects hold times."""
    return lambda store: dict.fromkeys(keys_of(store, prefix), "there")


def in_table(store: Store) -> Value:
    """Return a digest of the rows of the table that a run writes; files name the input's place."""
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    place = f"{store.address.url.removeprefix('file://')}/{TABLE}"
    # Of a folder it takes no options.
    options = None if place.startswith("/") else {k.lower(): v for k, v in os.environ.items()}
    try:
        reader = DeltaTable(place, storage_options=options).scan()
    except TableNotFoundError:
        return {}
    table = pa.RecordBatchReader.from_stream(reader).read_all()
    lines = sorted(
        map(repr, table.drop_columns(["gigacast_source", "gigacast_output"]).to_pylist())
    )
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    return {TABLE: digest}


def file_rows(name: str) -> Callable[[Path], Value]:
    """Return a function that digests the rows of a file in the local folder."""

    def value(folder: Path) -> Value:
        table = pq.read_table(folder / name) if (folder / name).exists() else pa.table({})
        return {name: hashlib.sha256(repr(table.to_pydict()).encode()).hexdigest()}

    return value


def archived(name: str) -> Callable[[Path], Value]:
    """Return a function that digests the files of an archive in the local folder."""

    def value(folder: Path) -> Value:
        if not (folder / name).exists():
            return {}
        with tarfile.open(folder / name) as archive:
            files = {m.name: archive.extractfile(m) for m in archive.getmembers() if m.isfile()}
            return {
                path: hashlib.sha256(file.read()).hexdigest()
                for path, file in files.items()
                if file is not None and path.endswith(".safetensors")  # others hold times
            }

    return value
