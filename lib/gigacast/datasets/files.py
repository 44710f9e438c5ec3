"""The division of rows into local Parquet files, by folder and by size.

Memory is bounded: at most `MAX_OPEN_FILES` files are open, each with a row group in memory, and all
together hold at most `HELD_BYTES`.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from gigacast.core.dataset.partitioning import Partitioning
from gigacast.core.footer import VerifiedParquet
from gigacast.errors import ConfigError
from gigacast.lake.dataset.metadata import EMBEDDED, check_metadata
from gigacast.storage.key import check_key
from gigacast.storage.parquet.draft import DraftFile
from gigacast.storage.parquet.writer import (
    CODECS,
    DEFAULT_ROW_GROUP_ROWS,
    ParquetWriter,
    check_codec,
)

MAX_OPEN_FILES = 32
"""Maximum number of open files. Beyond it the one written least recently is closed."""
HELD_BYTES = 128 << 20
"""Maximum bytes of unwritten rows. Beyond it every open file writes a row group early."""
MAX_FILE_ROWS = 4 << 20


@dataclass(frozen=True)
class FileRules:
    """Rules of the division into files.

    Parameters
    ----------
    partition_by : tuple of str
        Levels of folders: ``date``, ``month`` or ``year`` of the timestamps, or columns; a single
        folder by default.
    codec : {"snappy", "zstd", "gzip", "none"}
        Codec of the files.
    file_name : str
        Name of the first file of each folder; further files are numbered.
    max_file_rows, row_group_rows : int
        Maximum rows per file and per row group. A row group is in memory while it is written.
    """

    codecs: ClassVar[tuple[str, ...]] = CODECS
    """Codecs to choose from."""

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
        """Return the name of the file with this number in its folder, from 0."""
        stem = self.file_name.removesuffix(".parquet")
        if stem == "part-00000":
            return f"part-{number:05d}.parquet"
        return self.file_name if number == 0 else f"{stem}-{number:05d}.parquet"


class _OpenFile:
    """A file being written, and the count of its nulls so far."""

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
class FooterMetadata:
    """The metadata in the footers of files.

    Parameters
    ----------
    describe : callable
        Function from the facts of a file (rows, columns, quality) to its metadata.
    custom : mapping of str to str
        Further keys; none by default.
    """

    describe: Callable[[dict[str, Any]], dict[str, Any]]
    custom: Mapping[str, str] = field(default_factory=dict)

    def of(self, facts: dict[str, Any], path: str) -> dict[str, str]:
        """Return the keys of a file's footer after checking the metadata."""
        metadata = check_metadata(self.describe(facts), path)
        return {**self.custom, EMBEDDED: json.dumps(metadata, ensure_ascii=False)}


class DraftWriter:
    """Writes rows to files below a local folder.

    Parameters
    ----------
    folder : Path
        Local folder.
    schema : pyarrow.Schema
        Schema of the rows.
    rules : FileRules
        Rules of the division into files.
    partitioning : Partitioning
        Levels of folders.
    footer : FooterMetadata
        Metadata in the footers.
    used_paths : set of str
        Paths that already exist in the dataset and must not be used again.
    """

    def __init__(
        self,
        folder: Path,
        schema: pa.Schema,
        rules: FileRules,
        partitioning: Partitioning,
        footer: FooterMetadata,
        used_paths: set[str],
    ) -> None:
        self._folder = folder
        self._schema = schema.remove_metadata()
        self._rules = rules
        self._partitioning = partitioning
        self._footer = footer
        self._used_paths = set(used_paths)
        self._open: OrderedDict[str, _OpenFile] = OrderedDict()
        self._finished: dict[str, DraftFile] = {}

    def write(self, rows: pa.RecordBatch) -> None:
        """Add rows, in order."""
        # Rows sorted by time may go to many folders in turn (a day, an asset). The files stay open
        # within the limits, so that each folder gets few large files and not many small ones.
        table = pa.Table.from_batches([rows])
        for folder, part in self._partitioning.split(table):
            self._write_part(folder, part)
        while len(self._open) > MAX_OPEN_FILES:
            self._roll(next(iter(self._open)))
        if sum(file.draft.held_bytes for file in self._open.values()) > HELD_BYTES:
            for file in self._open.values():
                file.draft.flush()

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

    def _start(self, folder: str) -> _OpenFile:
        number = 0
        while (path := f"{folder}{self._rules.name(number)}") in self._used_paths:
            number += 1
        self._used_paths.add(path)
        rules = self._rules
        local = self._folder / f"{len(self._used_paths)}.parquet"
        draft = ParquetWriter(local, self._schema, rules.codec, rules.row_group_rows)
        self._open[folder] = _OpenFile(draft, path)
        return self._open[folder]

    def _roll(self, folder: str) -> None:
        """Close a file. The next rows of its folder start another one."""
        file = self._open.pop(folder)
        keys = self._footer.of(file.facts(self._schema), file.path)
        self._finished[file.path] = file.draft.finish(keys)

    def finish(self) -> dict[str, DraftFile]:
        """Close all files and return them by path. Without rows there is an empty file."""
        # The empty file keeps the schema: a dataset without files could not be read.
        if not self._open and not self._finished:
            self._start("")
        for folder in list(self._open):
            self._roll(folder)
        return self._finished


def batches_of(
    files: Iterable[DraftFile], columns: Sequence[str] | None
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of local files."""
    for file in files:
        with VerifiedParquet(file.path) as parquet:
            yield from parquet.iter_batches(
                columns=list(columns) if columns is not None else None, use_threads=False
            )
