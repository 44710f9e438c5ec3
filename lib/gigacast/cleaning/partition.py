"""The task of a cleaning job: a raw partition becomes a cleaned file.

The partition is read twice: first the keys, and per column the figures over all rows that the rules
need (fences, the narrowest type); then the rows, a chunk at a time. The key of the cleaned file
names its input and the rules. A file that exists, from a worker that was killed before its receipt,
is used as it is. It is replaced only when it is damaged and no version names it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from gigacast.cleaning.duplicates import Repeats, find_repeats
from gigacast.cleaning.rules import CleanRules
from gigacast.cleaning.stream import CleanStream
from gigacast.cleaning.survey import survey_partition
from gigacast.core.dataset.ref import DatasetRef
from gigacast.core.footer import DamagedParquetError, read_metadata
from gigacast.core.partition.task import Task
from gigacast.core.problem import Source
from gigacast.core.record import decode_json
from gigacast.datasets.rows import software
from gigacast.errors import (
    CorruptedFileError,
    DatasetIntegrityError,
    ObjectNotFoundError,
    PreconditionFailedError,
)
from gigacast.job.file_worker import FileOutput, FilePlaces, FileWorker
from gigacast.job.worker import Stopwatch
from gigacast.lake.dataset.catalog import Lake
from gigacast.lake.dataset.manifest import DatasetFile, file_to_dict, schema_to_text
from gigacast.lake.dataset.metadata import EMBEDDED, check_metadata
from gigacast.quality.aggregation import Binned, aggregate_partition
from gigacast.quality.file import PartitionFile, open_partition
from gigacast.quality.measures import PartitionQuality
from gigacast.quality.partition import plain_schema
from gigacast.repair.outlier_forest import require_forest
from gigacast.scratch import ScratchFolder
from gigacast.storage.parquet.draft import DraftFile, describe_file
from gigacast.storage.parquet.writer import ParquetWriter
from gigacast.storage.prefetch import Prefetched
from gigacast.storage.store import Store

_CHUNKS_AHEAD = 1

CLEANING = "gigacast.cleaning"
"""Key in a file's footer for the changes that cleaning made."""


@dataclass(frozen=True)
class CleanSetup:
    """A picklable recipe for the worker of a cleaning job.

    Parameters
    ----------
    places : FilePlaces
    name : str
        Name of the dataset.
    rules : CleanRules
    codec : str
    paths : mapping of str to str
        Path in the dataset of each partition's file.
    """

    places: FilePlaces
    name: str
    rules: CleanRules
    codec: str
    paths: Mapping[str, str]

    def __call__(self) -> "PartitionCleaner":
        """Open the stores and return the worker."""
        if self.rules.method == "isolation_forest":
            require_forest()
        return PartitionCleaner(self)


class PartitionCleaner(FileWorker):
    """Cleans a partition per call."""

    job = "clean"

    def __init__(self, setup: CleanSetup) -> None:
        super().__init__(setup.places)
        self._setup = setup

    def make(self, task: Task, watch: Stopwatch) -> FileOutput:
        """Read, clean and write a partition; a file that exists is used as it is."""
        with ScratchFolder("clean") as folder:
            local = folder / "cleaned.parquet"
            cleaned, damaged = self._find(task, local)
            cleaned = cleaned or self._make(task, local, watch, damaged)
        return self._output(task, cleaned)

    def _output(self, task: Task, cleaned: "_CleanedFile") -> FileOutput:
        quality = PartitionQuality.from_dict(cleaned.notes["quality"], task.output_key)
        path = self._setup.paths[task.partition]
        file = DatasetFile.of_draft(cleaned.draft, path, task.output_key, cleaned.etag)
        entry: dict[str, object] = {
            "key": task.output_key,
            "etag": cleaned.etag,
            "size_bytes": file.size_bytes,
            "rows": file.rows,
            "file": file_to_dict(file),
            "schema": schema_to_text(plain_schema(cleaned.schema)),
            "quality": quality.to_dict(),
            "lost": cleaned.notes.get("lost"),
            "dropped": cleaned.notes.get("dropped"),
        }
        return FileOutput(
            entry,
            rows=int(cleaned.notes["rows_read"]),
            series=quality.keys.series,
            newest_timestamp=quality.keys.newest_timestamp,
            repairs={name: int(n) for name, n in cleaned.notes["changes"].items() if n},
        )

    def _find(self, task: Task, local: Path) -> "tuple[_CleanedFile | None, str | None]":
        """Return an existing cleaned file, or the ETag of a damaged one; ``None`` for the other.

        An existing file is that of a worker which was killed before its receipt. The ETag makes
        sure that only the damaged object is replaced.

        Raises
        ------
        DatasetIntegrityError
            When the file is damaged and a version names it.
        """
        try:
            return self._take_existing(task, local), None
        except ObjectNotFoundError:
            return None, None
        except CorruptedFileError as error:
            etag = self._outputs.head(task.output_key).etag
            # The manifest of that version has the digest of the file as it was: a file with other
            # bytes would break the version.
            if named := self._named_by(task.output_key):
                raise DatasetIntegrityError(
                    f"{self._outputs.address.url}/{task.output_key} is damaged, and {named} is "
                    "made of it",
                    hint="bring back the object as it was; or delete it and run this again, which "
                    "publishes another version",
                ) from error
            return None, etag

    def _named_by(self, key: str) -> DatasetRef | None:
        """Return a version of the dataset that names a file, else ``None``."""
        lake = Lake(self._outputs)
        ref = DatasetRef("cleaned", self._setup.name)
        for version in lake.versions(ref):
            manifest = lake.find(replace(ref, version=version))
            if manifest is not None and any(file.key == key for file in manifest.files):
                return manifest.ref
        return None

    def _take_existing(self, task: Task, local: Path) -> "_CleanedFile":
        """Return the existing file, which another worker made from the same input.

        Raises
        ------
        ObjectNotFoundError
        CorruptedFileError
            When it is damaged, or not a cleaned file.
        """
        etag = _download(self._outputs, task.output_key, local)
        url = f"{self._outputs.address.url}/{task.output_key}"
        try:
            draft, schema = describe_file(local), read_metadata(local).schema.to_arrow_schema()
        except (CorruptedFileError, DamagedParquetError, pa.ArrowException, OSError) as error:
            raise CorruptedFileError(
                f"{url} is damaged", hint="delete it and run this again"
            ) from error
        notes = (read_metadata(local).metadata or {}).get(CLEANING.encode())
        if notes is None:
            raise CorruptedFileError(
                f"{url} is no cleaned file", hint="delete it and run this again"
            )
        values = decode_json(notes, Source(url, CorruptedFileError))
        return _CleanedFile(etag, draft, schema.remove_metadata(), values)

    def _make(
        self, task: Task, local: Path, watch: Stopwatch, damaged: str | None = None
    ) -> "_CleanedFile":
        with open_partition(self._inputs, task, self._reading) as stored:
            with watch.measure("prepare"):
                # Before anything else sees the series.
                binned = self._aggregated(stored)
                file = stored if binned is None else binned.file
                survey = survey_partition(file, self._reading, self._setup.rules)
            stream = CleanStream(file, survey, self._reading, self._setup.rules)
            # Written to a local file first: receipt and manifest need its size and SHA-256.
            schema = stream.schema.remove_metadata()
            draft = ParquetWriter(local, schema, self._setup.codec, rising=file.timestamp)
            with _ahead(watch.each("clean", stream)) as chunks:
                for rows in chunks:
                    with watch.measure("write"):
                        draft.write(rows)
            notes = stream.notes(task)
            if binned is not None:
                notes = self._with_lost_rows(notes, stored, binned)
        with watch.measure("write"):
            draft_file = draft.finish(self._footer(notes, draft.rows))
            try:
                etag = self._put(task.output_key, local, damaged)
            # Another worker wrote first. Its file stays: a version may name it already.
            except PreconditionFailedError:
                return self._take_existing(task, local)
        return _CleanedFile(etag, draft_file, stream.schema, notes)

    def _aggregated(self, file: PartitionFile) -> Binned | None:
        binning = self._setup.rules.binning
        if binning is None:
            return None
        return aggregate_partition(self._inputs, file, self._reading, binning)

    def _with_lost_rows(
        self, notes: Mapping[str, Any], file: PartitionFile, binned: Binned
    ) -> dict[str, Any]:
        """Return the notes of a cleaning with the rows that the aggregation before it left out."""
        lost, keeps = binned.lost, self._setup.rules.duplicates == "keep"
        repeats = Repeats() if keeps else find_repeats(file, binned.keys)
        changes, dropped = dict(notes["changes"]), dict(notes["dropped"])
        changes["null_keys"] += lost.null_keys
        changes["duplicates"] += lost.duplicates
        changes["sorted"] += lost.unordered
        changes["aggregated"] = lost.rows - lost.null_keys - lost.duplicates
        changes["partial_bins"] = lost.partial_bins
        changes["carried"] = lost.carried
        dropped |= {
            "null_keys": changes["null_keys"],
            "conflicting": repeats.conflicting,
            "apart": list(repeats.apart),
        }
        reason = notes["lost"]
        if lost.partial_bins and not lost.carried and not notes["quality"]["keys"]["rows"]:
            reason = f"no row is left of {lost.rows:,}: they cover none of their calendar bins"
        more = {"lost": reason, "rows_read": lost.rows, "changes": changes, "dropped": dropped}
        return {**notes, **more}

    def _put(self, key: str, content: Path, damaged: str | None) -> str:
        """Write a file if the key does not exist, or still holds a damaged file."""
        # A version may name the file by now, and what a version names must never change.
        if damaged is None:
            return self._outputs.move_if_absent(key, content)
        return self._outputs.put_if_match(key, content, damaged)

    def _footer(self, notes: dict[str, Any], rows: int) -> dict[str, str]:
        metadata = {
            "layer": "cleaned",
            "asset": self._setup.name,
            "record_count": rows,
            "created_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "compression": self._setup.codec,
            "dependencies": [notes["input"]],
            "software": software(),
        }
        # The notes make the file complete without its receipt: see `_take_existing`.
        content = {EMBEDDED: check_metadata(metadata, self._setup.name), CLEANING: notes}
        return {
            key: json.dumps(value, ensure_ascii=False, default=str)
            for key, value in content.items()
        }


@dataclass(frozen=True)
class _CleanedFile:
    """A cleaned file in the store: its ETag, statistics and schema, and notes on the changes."""

    etag: str
    draft: DraftFile
    schema: pa.Schema
    notes: dict[str, Any]


def _ahead(chunks: Iterator[pa.Table]) -> AbstractContextManager[Iterable[pa.Table]]:
    """Return chunks that are cleaned ahead in a thread, on a machine with several cores."""
    return Prefetched(chunks, _CHUNKS_AHEAD) if pa.cpu_count() > 1 else nullcontext(chunks)


def _download(store: Store, key: str, local: Path) -> str:
    meta = store.head(key)
    # A folder store may publish by a hard link: writing to `local` would then change the object.
    local.unlink(missing_ok=True)
    with local.open("wb") as out:
        # In pieces, so that memory does not grow with the file.
        for start in range(0, meta.size_bytes, 8 << 20):
            stop = min(start + (8 << 20), meta.size_bytes)
            out.write(store.get(key, if_match=meta.etag, start=start, stop=stop))
    return meta.etag
