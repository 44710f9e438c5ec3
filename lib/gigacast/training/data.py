"""What a model learns from: partitions of a bucket, a file, or a table.

Partitions that follow each other in time are one source: an item's series spans the months, so that
its end is the end of all that is known of it. Everything is read by the forecasting job's readers.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from gigacast.core.digest import digest_etags, digest_value
from gigacast.core.partition.name import NamingPattern
from gigacast.core.partition.task import InputObject
from gigacast.errors import (
    ConfigError,
    DataNotFoundError,
    InputChangedError,
    ObjectNotFoundError,
    PreconditionFailedError,
)
from gigacast.job.forecast_job import ForecastJob, Method
from gigacast.lake.plan.discovery import Partition, Selection
from gigacast.lake.plan.months import walk_months
from gigacast.series.reader import read_series
from gigacast.series.source import Format, ReadOptions, SeriesSource
from gigacast.storage.parquet.read import open_object
from gigacast.storage.store import Store
from gigacast.trainers.corpus import Corpus, CorpusWriter

DEFAULT_HISTORY = 65_536
MAX_RECORDED_KEYS = 10_000
_FORMATS: Mapping[str, Format] = {".parquet": "parquet", ".csv": "csv", ".json": "json"}


@dataclass(frozen=True)
class Group:
    """Sources whose rows belong together, in time order; ``name`` is that of a lone series."""

    name: str
    sources: tuple[SeriesSource, ...]


class TrainingData(Protocol):
    """Where series come from, and what says that they are the same ones."""

    def groups(self) -> Iterator[Group]:
        """Iterate over sources that are read together."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return what a record says of the data: keys and ETags, or a file's hash."""
        ...

    def digest(self) -> str:
        """Return a digest that is the same for the same data only."""
        ...


@dataclass(frozen=True)
class PartitionData:
    """Partitions of a bucket or folder, found and pinned.

    Parameters
    ----------
    inputs : Store
    partitions : mapping
        The objects of each series or part, in the order of time.
    """

    inputs: Store
    partitions: Mapping[str, tuple[InputObject, ...]] = field(default_factory=dict)

    def groups(self) -> Iterator[Group]:
        """Iterate over series and parts; all months of each are read together."""
        for name, objects in self.partitions.items():
            sources = [self._source(entry) for entry in objects]
            yield Group(name, tuple(sources))

    def _source(self, entry: InputObject) -> SeriesSource:
        opening = partial(
            open_object, self.inputs, entry.key, if_match=entry.etag, size_bytes=entry.size_bytes
        )
        return SeriesSource(opening, entry.extension, entry.key)

    def _objects(self) -> Iterator[InputObject]:
        return (entry for objects in self.partitions.values() for entry in objects)

    def describe(self) -> dict[str, Any]:
        """Return the keys and their ETags; beyond `MAX_RECORDED_KEYS` only their digest."""
        objects = list(self._objects())
        listed = [{"key": o.key, "etag": o.etag} for o in objects[:MAX_RECORDED_KEYS]]
        return {
            "kind": "partitions",
            "url": self.inputs.address.url,
            "objects": len(objects),
            "size_bytes": sum(entry.size_bytes for entry in objects),
            "digest": self.digest(),
            "inputs": listed,
        }

    def digest(self) -> str:
        """Return the digest of all keys and ETags in order."""
        return digest_etags(text for entry in self._objects() for text in (entry.key, entry.etag))


@dataclass(frozen=True)
class FileData:
    """One file on this machine.

    Parameters
    ----------
    path : Path
        ``.csv``, ``.parquet`` or ``.json``, in any layout the readers know.

    Raises
    ------
    ConfigError
        When its ending is another.
    DataNotFoundError
        When there is none.
    """

    path: Path

    def __post_init__(self) -> None:
        if self.path.suffix.lower() not in _FORMATS:
            raise ConfigError(f"data: {self.path}: expected a .csv, .parquet or .json file")
        if not self.path.is_file():
            raise DataNotFoundError(f"{self.path}: no such file", hint="check --data")

    def groups(self) -> Iterator[Group]:
        """Yield the file."""
        kind = _FORMATS[self.path.suffix.lower()]
        yield Group(
            self.path.stem, (SeriesSource(partial(self.path.open, "rb"), kind, str(self.path)),)
        )

    def describe(self) -> dict[str, Any]:
        """Return its path, size and hash."""
        size = self.path.stat().st_size
        name = str(self.path.absolute())
        return {"kind": "file", "path": name, "size_bytes": size, "digest": self.digest()}

    def digest(self) -> str:
        """Return the SHA-256 of its bytes."""
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True)
class TableData:
    """A table in memory."""

    table: pa.Table

    def groups(self) -> Iterator[Group]:
        """Yield the table."""
        yield Group("series", (SeriesSource.of_table(self.table),))

    def describe(self) -> dict[str, Any]:
        """Return its columns, rows and hash."""
        columns = self.table.column_names
        rows = self.table.num_rows
        return {"kind": "table", "columns": columns, "rows": rows, "digest": self.digest()}

    def digest(self) -> str:
        """Return the SHA-256 of its content."""
        sink = _HashSink()
        with pa.ipc.new_stream(pa.PythonFile(sink, "w"), self.table.schema) as writer:
            writer.write_table(self.table.combine_chunks())
        return sink.hashed.hexdigest()


class _HashSink:
    """A file that keeps nothing but the hash of what is written to it."""

    closed = False

    def __init__(self) -> None:
        self.hashed = hashlib.sha256()

    def write(self, content: bytes) -> int:
        self.hashed.update(content)
        return len(content)

    def flush(self) -> None: ...

    def close(self) -> None: ...


def find_partitions(job: ForecastJob, inputs: Store) -> PartitionData:
    """List the partitions a job selects, and pin them by their ETags.

    Raises
    ------
    DataNotFoundError
        When none matches.
    """
    found: dict[str, list[InputObject]] = {}
    for partition in islice(_partitions(inputs, job.pattern, job.selection), job.limit):
        found.setdefault(partition.name.series_name, []).extend(partition.inputs)
    if not found:
        raise DataNotFoundError(
            f"no partition under {inputs.address.url} matches what was asked for",
            hint="expected {YYYY}/{MM}/NAME.parquet; see --prefix, --input_prefix, --years, "
            "--symbol; a single file is given by --data",
        )
    return PartitionData(inputs, {name: tuple(objects) for name, objects in found.items()})


def _partitions(inputs: Store, pattern: NamingPattern, wanted: Selection) -> Iterator[Partition]:
    """Iterate over what is selected, month by month."""
    for folder in walk_months(inputs, pattern, wanted):
        yield from (partition for partition in folder.found.partitions if partition.wanted)


@dataclass(frozen=True)
class Reading:
    """How series are read for training.

    Parameters
    ----------
    method : Method
        Columns, frequency and timestamps, as the forecasting job reads them.
    history : int
        At most so many steps at the end of each series.
    memory_limit_bytes : int
    """

    method: Method
    history: int = DEFAULT_HISTORY
    memory_limit_bytes: int = 2**30

    def digest(self, data: TrainingData) -> str:
        """Return the digest of the data as it is read."""
        columns = self.method.columns
        read = [columns.item_id, columns.timestamp, *columns.targets]
        frequency = self.method.frequency.alias if self.method.frequency else None
        how = [read, frequency, self.method.timestamp_unit, self.method.min_length, self.history]
        return digest_value([data.digest(), how])

    def options(self, name: str) -> ReadOptions:
        """Return how a group is read; a batch holds at most a quarter of the memory."""
        most = self.memory_limit_bytes // 4 // (4 * self.history)
        return ReadOptions(
            columns=self.method.columns,
            context_length=self.history,
            freq=self.method.frequency,
            min_length=self.method.min_length,
            item_id=name,
            batch_series=max(1, min(4096, most)),
            memory_limit_bytes=self.memory_limit_bytes,
            timestamp_unit=self.method.timestamp_unit,
        )


def write_corpus(
    groups: Iterable[Group], reading: Reading, folder: Path, least_length: int
) -> Corpus:
    """Read all series and lay them out on disk.

    Parameters
    ----------
    groups : iterable of Group
    reading : Reading
    folder : Path
        Empty; must outlive the corpus.
    least_length : int
        Shorter series are left out and counted.

    Raises
    ------
    DataError
        When a source cannot be read, or no series is long enough.
    InputChangedError
        When an object was replaced since it was found.
    StorageError
    """
    with CorpusWriter(folder, least_length) as writer:
        for group in groups:
            try:
                for batch in read_series(group.sources, reading.options(group.name)):
                    writer.add(batch)
            except (PreconditionFailedError, ObjectNotFoundError) as error:
                raise InputChangedError(
                    f"{group.name}: an input changed while it was read: {error.message}",
                    hint="run again",
                ) from error
        return writer.finish()
