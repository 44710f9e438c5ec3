"""Rows cut into local Parquet files, by folder and by size.

Memory is bounded: a row group of each file that is open, no more than a limit in all, and no more
files open than a few.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gigacast.core.dataset.partitioning import Partitioning
from gigacast.errors import ConfigError
from gigacast.lake.dataset.metadata import EMBEDDED, check_metadata
from gigacast.storage.key import check_key
from gigacast.storage.parquet.draft import DraftFile
from gigacast.storage.parquet.writer import DEFAULT_ROW_GROUP_ROWS, ParquetWriter, check_codec

MOST_OPEN = 32
HELD_BYTES = 128 << 20
MAX_FILE_ROWS = 4 << 20


@dataclass(frozen=True)
class FileRules:
    """How rows are cut into files.

    Parameters
    ----------
    partition_by : tuple of str
        ``date``, ``month`` or ``year`` of the timestamps, and columns; none is one folder.
    codec : {"snappy", "zstd", "gzip", "none"}
    file_name : str
        Of the first file of each folder; the others are numbered.
    max_file_rows, row_group_rows : int
        A file is held in memory while it is uploaded, a row group while it is written.
    """

    partition_by: tuple[str, ...] = ()
    codec: str = "snappy"
    file_name: str = "part-00000.parquet"
    max_file_rows: int = MAX_FILE_ROWS
    row_group_rows: int = DEFAULT_ROW_GROUP_ROWS

    def __post_init__(self) -> None:
        object.__setattr__(self, "codec", check_codec(self.codec))
        check_key(self.file_name)
        if not self.file_name.endswith(".parquet"):
            raise ConfigError(f"{self.file_name!r} does not end in .parquet")
        for name in ("max_file_rows", "row_group_rows"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1")

    def name(self, number: int) -> str:
        """Return the name of the n-th file of a folder, from 0."""
        stem = self.file_name.removesuffix(".parquet")
        if stem == "part-00000":
            return f"part-{number:05d}.parquet"
        return self.file_name if number == 0 else f"{stem}-{number:05d}.parquet"


class _Open:
    """A file being written, and the missing values it has so far."""

    def __init__(self, draft: ParquetWriter, path: str) -> None:
        self.draft = draft
        self.path = path
        self._nulls: dict[str, int] = {}

    def write(self, rows: pa.Table) -> None:
        self.draft.write(rows)
        for name, column in zip(rows.schema.names, rows.columns, strict=True):
            self._nulls[name] = self._nulls.get(name, 0) + column.null_count

    def facts(self, schema: pa.Schema) -> dict[str, Any]:
        cells = self.draft.rows * len(schema)
        share = 100 * (1 - sum(self._nulls.values()) / cells) if cells else 100.0
        columns = [
            {
                "name": field.name,
                "type": str(field.type),
                "nullable": field.nullable,
                "null_count": self._nulls.get(field.name, 0),
            }
            for field in schema
        ]
        return {
            "record_count": self.draft.rows,
            "schema": {"columns": columns},
            "quality": {
                "null_counts": {c["name"]: c["null_count"] for c in columns},
                "completeness_percentage": round(share, 4),
            },
        }


@dataclass(frozen=True)
class FooterWords:
    """What the footers of files say.

    Parameters
    ----------
    describe : callable
        Takes what is known of a file and gives its metadata.
    custom : mapping of str to str
        More keys.
    """

    describe: Callable[[dict[str, Any]], dict[str, Any]]
    custom: Mapping[str, str] = field(default_factory=dict)

    def of(self, facts: dict[str, Any], path: str) -> dict[str, str]:
        """Return the keys of one file's footer, checked."""
        metadata = check_metadata(self.describe(facts), path)
        return {**self.custom, EMBEDDED: json.dumps(metadata, ensure_ascii=False)}


class DraftWriter:
    """Writes rows to files below a local folder.

    Parameters
    ----------
    folder : Path
    schema : pyarrow.Schema
    rules : FileRules
    partitioning : Partitioning
    words : FooterWords
    taken : set of str
        Paths that are not to be used again.
    """

    def __init__(
        self,
        folder: Path,
        schema: pa.Schema,
        rules: FileRules,
        partitioning: Partitioning,
        words: FooterWords,
        taken: set[str],
    ) -> None:
        self._folder = folder
        self._schema = schema.remove_metadata()
        self._rules = rules
        self._partitioning = partitioning
        self._words = words
        self._taken = set(taken)
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._finished: dict[str, DraftFile] = {}

    def write(self, rows: pa.RecordBatch) -> None:
        """Add rows, in order."""
        table = pa.Table.from_batches([rows])
        for folder, part in self._partitioning.split(table):
            self._write_part(folder, part)
        while len(self._open) > MOST_OPEN:
            self._roll(next(iter(self._open)))
        if sum(one.draft.held_bytes for one in self._open.values()) > HELD_BYTES:
            for one in self._open.values():
                one.draft.flush()

    def _write_part(self, folder: str, rows: pa.Table) -> None:
        start = 0
        while start < rows.num_rows:
            current = self._open.get(folder) or self._start(folder)
            self._open.move_to_end(folder)
            room = self._rules.max_file_rows - current.draft.rows
            part = rows.slice(start, room)
            current.write(part)
            start += part.num_rows
            if current.draft.rows >= self._rules.max_file_rows:
                self._roll(folder)

    def _start(self, folder: str) -> _Open:
        number = 0
        while (path := f"{folder}{self._rules.name(number)}") in self._taken:
            number += 1
        self._taken.add(path)
        rules = self._rules
        local = self._folder / f"{len(self._taken)}.parquet"
        draft = ParquetWriter(local, self._schema, rules.codec, rules.row_group_rows)
        self._open[folder] = _Open(draft, path)
        return self._open[folder]

    def _roll(self, folder: str) -> None:
        """Close a file; the next rows of its folder start another."""
        one = self._open.pop(folder)
        words = self._words.of(one.facts(self._schema), one.path)
        self._finished[one.path] = one.draft.finish(words)

    def finish(self) -> dict[str, DraftFile]:
        """Close all files and return them by path; no rows at all are one empty file."""
        if not self._open and not self._finished:
            self._start("")
        for folder in list(self._open):
            self._roll(folder)
        return self._finished


def batches_of(
    files: Iterable[DraftFile], columns: Sequence[str] | None
) -> Iterator[pa.RecordBatch]:
    """Iterate over the rows of local files."""
    for file in files:
        with pq.ParquetFile(file.path) as parquet:
            yield from parquet.iter_batches(
                columns=list(columns) if columns is not None else None, use_threads=False
            )
