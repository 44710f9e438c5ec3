"""Training data: partitions of a bucket, a file, or a table in memory.

All months of a series are read together. The held-out end of a series must be the end of all its
data, not of each month. Everything is read by the readers of the forecasting job, so that a model
is trained on the series that it will forecast.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from gigacast.core.digest import digest_etags, digest_value
from gigacast.core.partition.name import EXPECTED_NAMES, NamingPattern
from gigacast.core.partition.task import InputObject
from gigacast.core.series.calendar import CalendarColumns
from gigacast.core.series.holdout import end_before
from gigacast.errors import (
    DataNotFoundError,
    InputChangedError,
    ObjectNotFoundError,
    PreconditionFailedError,
)
from gigacast.job.covariates import calendar_fields
from gigacast.job.forecast_job import ForecastJob, Method
from gigacast.job.spec import aggregation_fields
from gigacast.lake.plan.discovery import Partition, Selection
from gigacast.lake.plan.months import walk_months, with_latest_month
from gigacast.series.duplicates import warn_of_conflicts, warn_of_dropped
from gigacast.series.reader import read_series
from gigacast.series.source import Format, ReadOptions, ReadStats, SeriesSource, format_of
from gigacast.settings.command.training import DEFAULT_HISTORY
from gigacast.storage.parquet.read import open_object
from gigacast.storage.store import Store
from gigacast.trainers.corpus import Corpus, CorpusWriter
from gigacast.training.span import SpanGuard

MAX_RECORDED_KEYS = 10_000
"""Maximum number of keys in a version's manifest; beyond, their digest identifies the data."""


@dataclass(frozen=True)
class Group:
    """Sources whose rows are read together, in time order.

    Parameters
    ----------
    name : str
        Item id of the series if the sources have no column of item ids.
    sources : tuple of SeriesSource
    is_part : bool
        Whether it is a panel part of several, which must not share items with the others.
    """

    name: str
    sources: tuple[SeriesSource, ...]
    is_part: bool = False


class TrainingData(Protocol):
    """Sources of series, with a digest of their content."""

    def groups(self) -> Iterator[Group]:
        """Iterate over groups of sources that are read together."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return the description of the data in a version's manifest: keys and ETags, or a hash."""
        ...

    def digest(self) -> str:
        """Return a digest that is equal only for equal data."""
        ...


@dataclass(frozen=True)
class PartitionData:
    """Partitions of a bucket or folder, identified by their ETags.

    Parameters
    ----------
    inputs : Store
    partitions : mapping
        Objects of each series or part, in time order.
    parts : frozenset of str
        Names of those that are panel parts.
    """

    inputs: Store
    partitions: Mapping[str, tuple[InputObject, ...]] = field(default_factory=dict)
    parts: frozenset[str] = frozenset()

    def groups(self) -> Iterator[Group]:
        """Iterate over series and parts, each with all its months."""
        for name, objects in self.partitions.items():
            sources = [self._source(entry) for entry in objects]
            yield Group(name, tuple(sources), is_part=name in self.parts)

    def _source(self, entry: InputObject) -> SeriesSource:
        # If the object was replaced since it was listed, opening it fails: the recorded digest
        # must be that of the data that is read.
        opening = partial(
            open_object, self.inputs, entry.key, if_match=entry.etag, size_bytes=entry.size_bytes
        )
        return SeriesSource(opening, entry.extension, entry.key)

    def _objects(self) -> Iterator[InputObject]:
        return (entry for objects in self.partitions.values() for entry in objects)

    def describe(self) -> dict[str, Any]:
        """Return the first `MAX_RECORDED_KEYS` keys with their ETags, and the digest of all."""
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
    """A file on this machine.

    Parameters
    ----------
    path : Path
        Parquet, CSV or JSON in any layout of the readers.

    Raises
    ------
    ConfigError
        If the file is compressed as a whole.
    DataNotFoundError
        If the file does not exist, or cannot be read.
    """

    path: Path

    def __post_init__(self) -> None:
        if not self.path.is_file():
            raise DataNotFoundError(f"{self.path}: no such file", hint="check --data")
        self._format()

    def _format(self) -> Format:
        try:
            with self.path.open("rb") as file:
                head = file.read(64)
        except OSError as error:
            reason = error.strerror or str(error)
            raise DataNotFoundError(f"{self.path}: {reason}", hint="check --data") from error
        return format_of(head, str(self.path))

    def groups(self) -> Iterator[Group]:
        """Yield the file as a single group."""
        source = SeriesSource(partial(self.path.open, "rb"), self._format(), str(self.path))
        yield Group(self.path.stem, (source,))

    def describe(self) -> dict[str, Any]:
        """Return the path, size and hash of the file."""
        size = self.path.stat().st_size
        name = str(self.path.absolute())
        return {"kind": "file", "path": name, "size_bytes": size, "digest": self.digest()}

    def digest(self) -> str:
        """Return the SHA-256 of the file."""
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True)
class TableData:
    """A table in memory."""

    table: pa.Table

    def groups(self) -> Iterator[Group]:
        """Yield the table as a single group."""
        yield Group("series", (SeriesSource.of_table(self.table),))

    def describe(self) -> dict[str, Any]:
        """Return the columns, number of rows and hash of the table."""
        columns = self.table.column_names
        rows = self.table.num_rows
        return {"kind": "table", "columns": columns, "rows": rows, "digest": self.digest()}

    def digest(self) -> str:
        """Return the SHA-256 of the table's content."""
        sink = _HashSink()
        with pa.ipc.new_stream(pa.PythonFile(sink, "w"), self.table.schema) as writer:
            # In one chunk, so that equal tables with different chunks have equal digests.
            writer.write_table(self.table.combine_chunks())
        return sink.hashed.hexdigest()


class _HashSink:
    """A file that computes the hash of its content without storing it."""

    closed = False  # pyarrow.PythonFile reads this attribute

    def __init__(self) -> None:
        self.hashed = hashlib.sha256()

    def write(self, content: bytes) -> int:
        self.hashed.update(content)
        return len(content)

    def flush(self) -> None: ...

    def close(self) -> None: ...


def find_partitions(job: ForecastJob, inputs: Store) -> PartitionData:
    """List the partitions that a job selects, with their ETags.

    Raises
    ------
    DataNotFoundError
        If no partition is selected.
    """
    by_series: dict[str, list[InputObject]] = {}
    parts: set[str] = set()
    selection = with_latest_month(inputs, job.selection)
    for partition in islice(_partitions(inputs, job.pattern, selection), job.limit):
        by_series.setdefault(partition.name.lineage, []).extend(partition.inputs)
        # Files of a symbol may share ids: those of its timeframes are series of their own.
        if partition.name.symbol is None:
            parts.add(partition.name.lineage)
    if not by_series:
        raise DataNotFoundError(
            f"no partition under {inputs.address.url} matches the selection",
            hint=f"{EXPECTED_NAMES}; see --prefix, --input_prefix, --years, --symbol; a single "
            "file is given by --data",
        )
    partitions = {name: tuple(objects) for name, objects in by_series.items()}
    return PartitionData(inputs, partitions, frozenset(parts))


def _partitions(inputs: Store, pattern: NamingPattern, selection: Selection) -> Iterator[Partition]:
    """Iterate over the selected partitions, month by month."""
    for folder in walk_months(inputs, pattern, selection):
        yield from (partition for partition in folder.content.partitions if partition.is_selected)


@dataclass(frozen=True)
class Reading:
    """Options by which series are read for training.

    Parameters
    ----------
    method : Method
        Columns, frequency and timestamps, as in the forecasting job.
    history : int
        Maximum steps per series, counted from its end.
    memory_limit_bytes : int
        Memory limit of the readers.
    takes_covariates : bool
        Whether the model learns from covariates.
    """

    method: Method
    history: int = DEFAULT_HISTORY
    memory_limit_bytes: int = 2**30
    takes_covariates: bool = True

    @property
    def calendar(self) -> CalendarColumns:
        """Columns of the calendar beside the series, as a forecast by a Chronos-2 has them."""
        if not self.takes_covariates:
            return CalendarColumns()
        return CalendarColumns(self.method.calendar, self.method.holiday_tables, compact=True)

    def digest(self, data: TrainingData, *, has_bases: bool = False) -> str:
        """Return the digest of data read with these options; a checkpoint belongs to it.

        Parameters
        ----------
        data : TrainingData
        has_bases : bool
            Whether float32 would lose steps of the data: earlier releases lost them, and their
            checkpoints are of other values.
        """
        columns = self.method.columns
        names = [columns.item_id, columns.timestamp, *columns.targets]
        frequency = self.method.frequency.alias if self.method.frequency else None
        method = self.method
        options: list[object] = [names, frequency, method.timestamp_unit, method.min_length]
        options.append(self.history)
        # Only what changes the values: checkpoints of older versions still belong to their data.
        if method.duplicates not in {None, "mean"}:
            options.append(method.duplicates)
        if columns.items:
            options.append({"items": list(columns.items)})
        if columns.covariates and self.takes_covariates:
            past, known = sorted(columns.past_covariates), sorted(columns.known_covariates)
            options.append({"past": past, "known": known})
        if self.takes_covariates and (dated := calendar_fields(method)):
            options.append(dated)
        if aggregation := aggregation_fields(method):
            options.append(aggregation)
        if method.csv.named:
            options.append({"csv": method.csv.named})
        if has_bases:
            options.append("bases")
        return digest_value([data.digest(), options])

    def options(self, name: str) -> ReadOptions:
        """Return the reader's options for a group; ``name`` is the id of a lone series."""
        # A batch of float32 values and covariates takes at most a quarter of the memory.
        width = 4 * (1 + len(self.method.columns.covariates) + len(self.method.calendar_names))
        limit = self.memory_limit_bytes // 4 // (width * self.history)
        return replace(
            self.method.reading,
            context_length=self.history,
            min_length=self.method.min_length,
            item_id=name,
            batch_series=max(1, min(4096, limit)),
            memory_limit_bytes=self.memory_limit_bytes,
            # Networks that can be trained subtract the level of a context.
            precise=True,
        )


def write_corpus(
    groups: Iterable[Group], reading: Reading, folder: Path, least_length: int, hold_out: int = 0
) -> Corpus:
    """Read all series and write them to disk as a corpus.

    Parameters
    ----------
    groups : iterable of Group
    reading : Reading
    folder : Path
        Empty folder; must exist as long as the corpus is used.
    least_length : int
        Minimum steps of a series; shorter ones are left out and counted.
    hold_out : int
        Steps at the end of each series that are left out; none by default.

    Raises
    ------
    DataError
        If a source cannot be read, two parts share items, or no series is long enough.
    InputChangedError
        If an object was replaced since it was listed.
    StorageError
        If the store cannot be read, or the disk is full.
    """
    conflicts, dropped, guard = 0, 0, SpanGuard()
    takes_covariates = reading.takes_covariates
    with CorpusWriter(folder, least_length, takes_covariates=takes_covariates) as writer:
        for group in groups:
            try:
                stats = _write_group(writer, group, reading, guard, hold_out)
                conflicts, dropped = conflicts + stats.conflicts, dropped + stats.dropped
            # The corpus would mix two states of the data under one digest.
            except (PreconditionFailedError, ObjectNotFoundError) as error:
                raise InputChangedError(
                    f"{group.name}: an input changed while it was read: {error.message}",
                    hint="run again",
                ) from error
        warn_of_conflicts(conflicts, reading.method.duplicates)
        warn_of_dropped(dropped)
        return writer.finish()


def _write_group(
    writer: CorpusWriter, group: Group, reading: Reading, guard: SpanGuard, hold_out: int
) -> ReadStats:
    """Write the series of a group, and return what was read."""
    reader, columns = read_series(group.sources, reading.options(group.name)), reading.calendar
    if group.is_part:
        guard.begin(group.name, group.sources[0].name)
    for batch in reader:
        if group.is_part:
            guard.add(batch.item_ids, reader.id_columns)
        dated = columns.add_to(batch, reading.history, 0)
        writer.add(end_before(dated, hold_out))
    return reader.stats
