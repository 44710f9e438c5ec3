"""The lineage of a dataset or file: its sources, and the datasets and forecasts made from it.

Sources: a manifest names the objects, with their ETags, that a version was made from; forecasts
name their inputs in their footer. Products: every manifest of the lake is read once for the
versions it depends on, and every audit for the version that its run read.
"""

import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from gigacast.core.dataset.ref import DatasetRef
from gigacast.errors import (
    ConfigError,
    DataNotFoundError,
    DatasetIntegrityError,
    GigacastError,
    ObjectNotFoundError,
    StorageError,
)
from gigacast.lake.dataset.catalog import DEPRECATED, PUBLISHED, Lake
from gigacast.lake.dataset.manifest import DatasetManifest, Dependency
from gigacast.lake.layout import AUDIT, BACKTESTS, FORECASTS, audit_key, spec_prefix
from gigacast.lake.plan.audit import Audit
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.read import open_parquet
from gigacast.storage.store import StoreAddress

_logger = logging.getLogger(__name__)

UNCHANGED = "as it was"
CHANGED = "changed since"
GONE = "gone"
OUT_OF_REACH = "out of reach"
PARENT = "appended to"
MADE_FROM = "made from"
FORECAST_FROM = "forecast from"
FILE_OF = "file of"
READERS = 16
"""Audits read at a time: each costs a round trip."""


@dataclass(frozen=True, slots=True)
class Link:
    """One step of a lineage.

    Parameters
    ----------
    depth : int
        Steps from the start, from 1 on.
    name : str
        Dataset, or key of a single object.
    key, etag : str
        The object, in the version that was read.
    relation : str
        ``made from``, ``appended to``, ``forecast from`` or ``file of``.
    state : str
        Whether a source still has that ETag: ``as it was``, ``changed since``, ``gone`` or ``out of
        reach``.
    via : str
        Neighbour that is one step nearer to the start.
    """

    depth: int
    name: str
    key: str
    etag: str
    relation: str
    state: str
    via: str


@dataclass(frozen=True, slots=True)
class Lineage:
    """The start of a lineage, its sources and its products."""

    start: str
    sources: tuple[Link, ...]
    products: tuple[Link, ...]


def trace(lake: Lake, text: str) -> Lineage:
    """Return the lineage of a dataset (``cleaned/v3/EURUSD``) or a key.

    Raises
    ------
    DataNotFoundError
        When neither exists.
    """
    ref, start = _start(lake, text)
    return Lineage(start, tuple(_sources(lake, start, ref)), tuple(_products(lake, start, ref)))


def _start(lake: Lake, text: str) -> tuple[DatasetRef | None, str]:
    plain = text.strip("/")
    try:
        ref = lake.read(DatasetRef.parse(plain)).ref
    except (ConfigError, DataNotFoundError):
        match = DatasetRef.find(plain)
        if match is not None and not match[0] and match[1].version and lake.find(match[1]):
            return match[1], plain
        try:
            lake.store.head(plain)
        except ObjectNotFoundError as error:
            raise DataNotFoundError(
                f"{lake.store.address.url} has neither a dataset nor an object {plain!r}",
                hint="`gigacast data versions` lists the datasets",
            ) from error
        return None, plain
    return ref, str(ref)


def _sources(lake: Lake, start: str, ref: DatasetRef | None) -> Iterator[Link]:
    visited: set[tuple[str, str]] = set()
    # A file that versions name in place (cleaned files are) has the sources of the first of them.
    if ref is None:
        ref = next(iter(_owners(lake, start)), None)
    pending: list[tuple[int, str, DatasetRef | None]] = [(1, start, ref)]
    while pending:
        # The oldest first, so that each source is reported with its smallest depth.
        depth, via, current = pending.pop(0)
        manifest = lake.find(current) if current is not None else None
        made_from = manifest.dependencies if manifest else _embedded(lake, via)
        for dependency in made_from:
            if (dependency.key, dependency.etag) in visited:
                continue
            visited.add((dependency.key, dependency.etag))
            name = dependency.dataset or dependency.key
            state = _state(lake, dependency) if manifest else _state_of_input(lake, dependency)
            yield Link(depth, name, dependency.key, dependency.etag, MADE_FROM, state, via)
            pending.append((depth + 1, name, _ref_of(dependency)))
        if manifest is not None and manifest.parent is not None:
            older = replace(manifest.ref, version=manifest.parent)
            if (str(older), "") not in visited:
                visited.add((str(older), ""))
                state = UNCHANGED if lake.find(older) is not None else GONE
                yield Link(depth, str(older), str(older), "", PARENT, state, via)
                pending.append((depth + 1, str(older), older))


def _ref_of(dependency: Dependency) -> DatasetRef | None:
    if dependency.dataset is not None:
        return DatasetRef.parse(dependency.dataset)
    match = DatasetRef.find(dependency.key)
    return match[1] if match is not None and match[1].version else None


def _embedded(lake: Lake, key: str) -> list[Dependency]:
    """Return the inputs that a forecast names in its footer; none for other objects."""
    if not key.endswith(".parquet"):
        return []
    try:
        with open_parquet(lake.store, key, selective=True) as file:
            metadata = file.schema_arrow.metadata or {}
    except GigacastError:
        return []
    keys = metadata.get(b"gigacast.input_keys", b"").decode().split("\n")
    etags = metadata.get(b"gigacast.input_etags", b"").decode().split("\n")
    dataset = metadata.get(b"gigacast.dataset", b"").decode() or None
    return [
        Dependency(f"{dataset}/{input_key}" if dataset else input_key, etag, dataset)
        for input_key, etag in zip(keys, etags, strict=False)
        if input_key
    ]


def _state(lake: Lake, dependency: Dependency) -> str:
    """Return whether an object still has its ETag; objects of other stores are looked up there."""
    try:
        store, key = lake.store, dependency.key
        if "://" in key:  # an object of another store, named by its whole URL
            folder, _, key = key.rpartition("/")
            store = open_store(StoreAddress(folder))
        return UNCHANGED if store.head(key).etag == dependency.etag else CHANGED
    except ObjectNotFoundError:
        return GONE
    except (ConfigError, StorageError):
        return OUT_OF_REACH


def _state_of_input(lake: Lake, dependency: Dependency) -> str:
    """Return whether a forecast's input still has its ETag, where the store can be reached."""
    if dependency.dataset is not None:  # versions never change
        return UNCHANGED if lake.find(DatasetRef.parse(dependency.dataset)) is not None else GONE
    state = _state(lake, dependency)
    # The footer does not name the input root: a missing object may exist below another one.
    return OUT_OF_REACH if state == GONE else state


def _products(lake: Lake, start: str, ref: DatasetRef | None) -> Iterator[Link]:
    manifests = list(_all_manifests(lake))
    # Breadth first, so that each product is shown with its shortest way from the start.
    products: set[str] = set()
    pending: list[tuple[int, str, DatasetRef | None]] = [(1, start, ref)]
    for owner in _owners(lake, start) if ref is None else []:
        products.add(str(owner))
        yield Link(1, str(owner), start, "", FILE_OF, UNCHANGED, start)
        pending.append((2, str(owner), owner))
    while pending:
        depth, via, current = pending.pop(0)
        for manifest in manifests:
            name = str(manifest.ref)
            if name in products or manifest.ref == ref:
                continue
            link = _link(manifest, depth, via, current)
            if link is not None:
                products.add(name)
                yield link
                pending.append((depth + 1, name, manifest.ref))
    depths = {**({} if ref is None else {start: 1}), **dict.fromkeys(products, 2)}
    yield from _forecasts(lake, depths)


def _owners(lake: Lake, key: str) -> list[DatasetRef]:
    """Return the versions that name an object among their files, the oldest first."""
    return [
        manifest.ref
        for manifest in _all_manifests(lake)
        if any(file.key == key for file in manifest.files)
    ]


def _forecasts(lake: Lake, datasets: Mapping[str, int]) -> Iterator[Link]:
    """Yield the forecasts and backtests made from datasets, as far as their audits still exist."""
    if not datasets:
        return
    audits = lake.store.list_folder(AUDIT).objects
    keys = [entry.key for entry in audits if entry.key.endswith(".json")]
    yielded: set[tuple[str, str]] = set()
    # One small object per run: the time goes into waiting for the store.
    with ThreadPoolExecutor(READERS) as pool:
        for audit in pool.map(partial(_read_audit, lake), sorted(keys, reverse=True)):
            inputs = str(audit.settings.get("inputs", "")) if audit is not None else ""
            via = next((name for name in datasets if inputs.endswith(f"/{name}")), None)
            if audit is None or via is None:
                continue
            for name in _written(audit):
                if (name, via) not in yielded:
                    yielded.add((name, via))
                    key = audit_key(audit.session_id)
                    yield Link(datasets[via], name, key, "", FORECAST_FROM, UNCHANGED, via)


def _read_audit(lake: Lake, key: str) -> Audit | None:
    try:
        return Audit.from_json(lake.store.get(key), key)
    except GigacastError:
        return None


def _written(audit: Audit) -> list[str]:
    """Return the folders that a run wrote."""
    specs = audit.plan.get("specs")
    root = BACKTESTS if audit.job == "backtest" else FORECASTS
    if not isinstance(specs, dict) or not audit.files_processed:
        return []  # the run wrote nothing
    return [
        spec_prefix(str(entry["model"]), str(entry["version"]), spec, root).rstrip("/")
        for spec, entry in specs.items()
        if isinstance(entry, dict) and "model" in entry and "version" in entry
    ]


def _link(
    manifest: DatasetManifest, depth: int, via: str, current: DatasetRef | None
) -> Link | None:
    """Return the link from a dataset or key to a version made from it; ``None`` without one."""
    name = str(manifest.ref)
    for dependency in manifest.dependencies:
        same_dataset = current is not None and dependency.dataset == str(current)
        if dependency.key == via or (same_dataset and via == str(current)):
            return Link(depth, name, dependency.key, dependency.etag, MADE_FROM, UNCHANGED, via)
    is_parent = current is not None and manifest.parent is not None
    if is_parent and replace(manifest.ref, version=manifest.parent) == current:
        return Link(depth, name, str(current), "", PARENT, UNCHANGED, via)
    return None


def _all_manifests(lake: Lake) -> Iterator[DatasetManifest]:
    for dataset in lake.datasets():
        for version, state in lake.versions(dataset).items():
            if state in {PUBLISHED, DEPRECATED}:
                ref = replace(dataset, version=version)
                try:
                    manifest = lake.find(ref)
                except DatasetIntegrityError as error:
                    # One damaged manifest must not hide the lineage of all other datasets.
                    _logger.warning("%s is left out of the lineage: %s", ref, error)
                    continue
                if manifest is not None:
                    yield manifest
