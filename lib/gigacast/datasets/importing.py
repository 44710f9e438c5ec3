"""The import of CSV and Parquet files into the lake, as raw snapshots.

Rows are streamed and not changed; only CSV, which has no types, is converted (see
`gigacast.datasets.csv_file`). A snapshot records the files it was imported from.
"""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from gigacast.core.contract.cast import is_text
from gigacast.core.dataset.ref import DatasetRef
from gigacast.core.footer import DamagedParquetError, VerifiedParquet
from gigacast.core.problem import did_you_mean
from gigacast.datasets.check import RowSource
from gigacast.datasets.csv_file import CsvFile, CsvReading, open_csv_file
from gigacast.datasets.publish import PublishedDataset, PublishOptions, publish_rows
from gigacast.datasets.resolve import (
    contract_in,
    is_dataset,
    known_schema,
    origins_in,
    parse_source,
    rows_in,
)
from gigacast.errors import ConfigError, CorruptedFileError, DataNotFoundError, SchemaError
from gigacast.lake.dataset.catalog import Lake
from gigacast.lake.dataset.manifest import Dependency
from gigacast.lake.publication import Author
from gigacast.series.csv.number import find_code
from gigacast.series.csv.read import check_same_form
from gigacast.storage.folder.store import FolderStore

_ENDINGS = (".csv", ".csv.gz", ".parquet")


@dataclass(frozen=True)
class LocalRows:
    """The rows of local files with the same columns, in batches."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    files: tuple[Path, ...]
    reading: CsvReading
    notes: tuple[str, ...] = ()


def open_local(path: Path, reading: CsvReading | None = None) -> LocalRows:
    """Open a local CSV or Parquet file, or a folder of them, to be read once.

    CSV has no types. Item ids, columns that the contract or the dataset before has as text, and
    columns of codes, as ``007``, are read as text. The types of all others are inferred from the
    first rows of the first file.

    Parameters
    ----------
    path : Path
    reading : CsvReading, optional
        How columns of CSV are read; recognised by default.

    Raises
    ------
    DataNotFoundError
        If there is no such file.
    CorruptedFileError
        If it cannot be read.
    SchemaError
        If a required column is missing, or text would become a number.
    ConfigError
        If it is neither CSV nor Parquet.
    """
    files = _local_files(path)
    reading = reading or CsvReading()
    schema, notes = _open_first(files[0], reading)
    _check_names(files[0], schema, reading)
    # A column that is text in the first file is text in all: other files may have numbers only.
    texts = tuple(field.name for field in schema if is_text(field.type))
    later = replace(reading, ids=(*reading.ids, *texts))
    batches = _conformed(_read_each(files, later), schema, later)
    return LocalRows(schema, batches, files, later, notes)


def local_source(path: Path, reading: CsvReading | None = None) -> RowSource:
    """Return the rows of a local CSV or Parquet file, or a folder, which can be read repeatedly.

    Raises
    ------
    DataNotFoundError, CorruptedFileError, SchemaError, ConfigError
    """

    def batches(columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        for batch in open_local(path, reading).batches:
            yield batch if columns is None else batch.select(list(columns))

    first = open_local(path, reading)

    def by_file() -> Iterator[Iterator[pa.RecordBatch]]:
        return (open_part(file) for file in first.files)

    def open_part(file: Path) -> Iterator[pa.RecordBatch]:
        return _conformed(_read_each((file,), first.reading), first.schema, first.reading)

    return RowSource(first.schema, batches, by_file)


def _check_names(path: Path, schema: pa.Schema, reading: CsvReading) -> None:
    repeated = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if repeated:
        raise SchemaError(
            f"{path}: more than one column is called {repeated[0]!r}", hint="rename one of them"
        )
    for name in reading.required:
        if name not in schema.names:
            near = did_you_mean(name, schema.names)
            listing = f"name some of {', '.join(schema.names[:20])}"
            raise SchemaError(
                f"{path}: there is no column {name!r} for --item_columns", hint=near or listing
            )


def _local_files(path: Path) -> tuple[Path, ...]:
    if path.is_dir():
        files = tuple(sorted(p for p in path.rglob("*") if p.name.lower().endswith(_ENDINGS)))
    else:
        files = (path,) if path.is_file() else ()
    if not files:
        hint = f"give a file or folder of {', '.join(_ENDINGS)}"
        raise DataNotFoundError(f"{path}: there is no such file, or none in it", hint=hint)
    if not files[0].name.lower().endswith(_ENDINGS):
        raise ConfigError(f"{path}: neither CSV nor Parquet", hint=f"one of {', '.join(_ENDINGS)}")
    return files


def _open_first(path: Path, reading: CsvReading) -> tuple[pa.Schema, tuple[str, ...]]:
    """Return the schema of a file, and the notes on its columns."""
    with _Translated(path):
        if path.suffix == ".parquet":
            with _open_parquet(path) as file:
                return file.schema_arrow.remove_metadata(), ()
        opened = open_csv_file(path, reading)
        return opened.schema, opened.notes


def _open_parquet(path: Path) -> VerifiedParquet:
    with _Translated(path):
        return VerifiedParquet(path)


def _read_each(
    files: tuple[Path, ...], reading: CsvReading
) -> Iterator[tuple[Path, pa.RecordBatch]]:
    forms: list[CsvFile] = []
    for path in files:
        with _Translated(path):
            if path.suffix == ".parquet":
                with _open_parquet(path) as file:
                    for batch in file.iter_batches(use_threads=False):
                        yield path, batch.replace_schema_metadata(None)
                continue
            opened = open_csv_file(path, reading)
            # One file that decided is enough to compare each later one with.
            forms = [*[f for f in forms if f.decides][:1], opened]
            check_same_form([file.form for file in forms if file.form is not None])
            for batch in opened.batches():
                yield path, batch


def _conformed(
    readers: Iterator[tuple[Path, pa.RecordBatch]], schema: pa.Schema, reading: CsvReading
) -> Iterator[pa.RecordBatch]:
    for path, batch in readers:
        if sorted(batch.schema.names) != sorted(schema.names):
            raise CorruptedFileError(
                f"{path} has other columns ({', '.join(batch.schema.names)}) than the first file",
                hint="import files of one form together, others as another dataset",
            )
        with _Translated(path):
            # The order of columns may differ from file to file.
            rows = batch if batch.schema.names == schema.names else batch.select(schema.names)
            if not rows.schema.equals(schema):
                _check_codes(path, rows, schema, reading)
                rows = rows.cast(schema)
        yield rows


def _check_codes(path: Path, rows: pa.RecordBatch, schema: pa.Schema, reading: CsvReading) -> None:
    """Check that no text that would change becomes a number."""
    for field in rows.schema:
        kind = schema.field(field.name).type
        is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        if not (is_number and is_text(field.type)) or reading.is_number(field.name):
            continue
        code = find_code(rows.column(field.name).cast(pa.string()), kind)
        if code is not None:
            raise SchemaError(
                f"{path}: {code[:80]!r} in column {field.name!r} would become a number, as the "
                "first file has",
                hint=f"keep the column as text by --item_columns {shlex.quote(field.name)}",
            )


class _Translated:
    """Translates pyarrow's errors on a local file into `CorruptedFileError`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, pa.ArrowException | DamagedParquetError | UnicodeDecodeError):
            reason = str(error).partition("\n")[0][:300]
            hint = "write it again, or leave it out"
            if isinstance(error, UnicodeDecodeError):
                hint = "save it as UTF-8, or name its encoding by --csv_encoding"
            elif ".csv" in self._path.name.lower():
                hint = "take out lines before its header, or name its form by --csv_separator, "
                hint += "--csv_quote, --csv_header"
            raise CorruptedFileError(f"{self._path} can't be read: {reason}", hint=hint) from error
        if isinstance(error, OSError):
            reason = (error.strerror or str(error)).partition("\n")[0][:300]
            raise CorruptedFileError(f"{self._path} can't be read: {reason}") from error


def import_files(
    lake: Lake,
    ref: DatasetRef,
    path: Path,
    options: PublishOptions,
    author: Author,
    reading: CsvReading | None = None,
) -> PublishedDataset:
    """Import local files as a raw snapshot, or as a version of another layer.

    Parameters
    ----------
    lake : Lake
        Lake to write to.
    ref : DatasetRef
        Dataset. A raw snapshot without a day gets today's, by the author's clock (UTC).
    path : Path
        CSV or Parquet file, or a folder of them.
    options : PublishOptions
        Options of the publication.
    author : Author
        Name and clock of the person who imports.
    reading : CsvReading, optional
        How columns of CSV are read; recognised by default. Columns of the latest version keep
        their types.

    Raises
    ------
    DataNotFoundError, CorruptedFileError, SchemaError
    DatasetConflictError
        If the day has a snapshot with other content.
    """
    own = replace(
        reading or CsvReading(),
        contract=options.contract,
        time_column=options.time_column,
        stored=known_schema(lake, replace(ref, version=None)),
    )
    rows = open_local(path, own)
    sources = tuple(_dependency(file) for file in rows.files)
    change = options.what or f"imported from {path.name}"
    filled = replace(options, what=change, dependencies=(*options.dependencies, *sources))
    published = publish_rows(lake, ref, rows.batches, rows.schema, filled, author)
    return replace(published, notes=rows.notes)


def publish_source(
    lake: Lake,
    ref: DatasetRef,
    source: str,
    options: PublishOptions,
    author: Author,
    reading: CsvReading | None = None,
) -> PublishedDataset:
    """Publish a local file or folder, or the rows of another dataset, as a version.

    Rows of a dataset keep its contract unless the options name another.

    Parameters
    ----------
    lake : Lake
        Lake to write to.
    ref : DatasetRef
        Version to publish; the next one by default.
    source : str
        Dataset of the lake, or path of a local file or folder.
    options : PublishOptions
        Options of the publication.
    author : Author
        Name and clock of the person who publishes.
    reading : CsvReading, optional
        How columns of CSV files are read; recognised by default.

    Raises
    ------
    DataNotFoundError, CorruptedFileError, DatasetConflictError
    """
    if not is_dataset(source) and Path(source).exists():
        return import_files(lake, ref, Path(source), options, author, reading)
    origin = parse_source(source)
    rows = rows_in(lake, origin)
    filled = replace(
        options,
        dependencies=tuple(origins_in(lake, origin, rows)),
        contract=options.contract or contract_in(lake, origin),
    )
    return publish_rows(lake, ref, rows.read(), rows.schema, filled, author)


def _dependency(file: Path) -> Dependency:
    path = file.resolve()
    return Dependency(f"file://{path}", FolderStore(path.parent).head(path.name).etag)
