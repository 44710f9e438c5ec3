"""The lineage of a version of features: its definition, and the partitions of each of its days."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gigacast.errors import ConfigError, DataNotFoundError
from gigacast.feature_store.offline.source import Catalog, digest_files
from gigacast.feature_store.table import Table
from gigacast.lake.dataset.manifest import DatasetManifest, Dependency
from gigacast.lake.dataset.store import DatasetStore
from gigacast.storage.store import ObjectMeta, Store

NOTE = "feature_store"
"""Entry of the manifest with the definition and the inputs of each day."""
Source = tuple[str, str]
"""Name and digest of a partition that a day is made of."""


@dataclass(frozen=True)
class Output:
    """A table that a run wrote.

    Parameters
    ----------
    table : str
    digest : str
        Digest of the definition and the format.
    definition : str
        Kind and name of the definition.
    engine : str
    run_id : str
    keys : frozenset of str
        Keys of the run's days, all of which are done.
    """

    table: str
    digest: str
    definition: str
    engine: str
    run_id: str
    keys: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Note:
    """The definition of a version, and the partitions that each of its days is made of.

    Parameters
    ----------
    definition, digest, engine, run : str
    inputs : tuple of (name, digest)
        Partitions of all days, sorted.
    days : mapping of str to tuple of (start, stop)
        Ranges of ``inputs`` by the path of a day. Windows see neighbouring days, so they are few.
    """

    definition: str
    digest: str
    engine: str
    run: str
    inputs: tuple[Source, ...] = ()
    days: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)

    @classmethod
    def make(cls, output: Output, days: Mapping[str, Sequence[Source]]) -> "Note":
        """Return the note of a version, of the partitions of each day by its path."""
        inputs = sorted({source for sources in days.values() for source in sources})
        places = {source: place for place, source in enumerate(inputs)}
        ranges = {
            path: tuple(_ranges(sorted(places[source] for source in sources)))
            for path, sources in days.items()
        }
        return cls(
            output.definition, output.digest, output.engine, output.run_id, tuple(inputs), ranges
        )

    @classmethod
    def of(cls, manifest: DatasetManifest) -> "Note":
        """Return the note in a manifest."""
        stored: Mapping[str, Any] = manifest.extra[NOTE]
        inputs = tuple((str(name), str(digest)) for name, digest in stored["inputs"])
        days = {
            path: tuple((int(start), int(stop)) for start, stop in ranges)
            for path, ranges in stored["days"].items()
        }
        return cls(
            definition=str(stored["definition"]),
            digest=str(stored["digest"]),
            engine=str(stored["engine"]),
            run=str(stored["run"]),
            inputs=inputs,
            days=days,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the note as plain values."""
        return {
            "definition": self.definition,
            "digest": self.digest,
            "engine": self.engine,
            "run": self.run,
            "inputs": [list(source) for source in self.inputs],
            "days": {path: [list(pair) for pair in pairs] for path, pairs in self.days.items()},
        }

    def sources_of(self, path: str) -> tuple[Source, ...]:
        """Return the partitions that a day is made of."""
        ranges = self.days.get(path, ())
        return tuple(source for start, stop in ranges for source in self.inputs[start:stop])


def _ranges(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the ranges of consecutive places."""
    start = stop = -1
    for place in places:
        if place != stop:
            if stop > start:
                yield start, stop
            start = place
        stop = place + 1
    if stop > start:
        yield start, stop


def dependencies_of(catalog: Catalog, inputs: Iterable[Source], own: Store) -> Iterator[Dependency]:
    """Yield the objects of partitions; a partition that changed since is named as a whole."""
    for name, digest in inputs:
        text, _, day = name.rpartition("/ds=") if "/ds=" in name else (name, "", "")
        try:
            table, days = catalog.find(text, "lineage")
        except (ConfigError, DataNotFoundError):
            table, days = None, {}
        files = days.get(day, ())
        if table is None or digest_files(table, files) != digest:
            yield Dependency(name, digest)
            continue
        for meta in files:
            yield _dependency(table, meta, own)


def _dependency(table: Table, meta: ObjectMeta, own: Store) -> Dependency:
    if isinstance(table.store, DatasetStore):
        manifest = table.store.manifest
        file = next(file for file in manifest.files if file.path == meta.key)
        return Dependency(file.key, file.etag, str(manifest.ref))
    if table.store.address == own.address:
        return Dependency(meta.key, meta.etag)
    return Dependency(f"{table.store.address.url.rstrip('/')}/{meta.key}", meta.etag)
