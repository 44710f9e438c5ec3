"""A partition of CSV as a temporary Parquet file, which is then read column by column."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gigacast.core.footer import VerifiedParquet
from gigacast.core.partition.task import InputObject
from gigacast.datasets.csv_file import CsvReading, open_csv
from gigacast.errors import CorruptedFileError, SchemaError
from gigacast.job.file_job import Reading
from gigacast.scratch import ScratchFolder
from gigacast.series.timestamp import is_text
from gigacast.storage.parquet.read import open_object
from gigacast.storage.parquet.writer import scratch_writer
from gigacast.storage.store import Store


@contextmanager
def csv_as_parquet(store: Store, entry: InputObject, reading: Reading) -> Iterator[pq.ParquetFile]:
    """Open a CSV object, in the version that was planned, as Parquet for the ``with`` block.

    The rows are streamed to the disk, so that memory stays bounded.

    Raises
    ------
    CorruptedFileError, SchemaError
        When it cannot be read, or has more than one meaning.
    """
    with ScratchFolder("csv") as folder:
        local = folder / "rows.parquet"
        with _translated(entry.key):
            schema = _write(store, entry, reading, local)
        texts = [field.name for field in schema if is_text(field.type)]
        with VerifiedParquet(local, read_dictionary=texts) as file:
            yield file


def _write(store: Store, entry: InputObject, reading: Reading, path: Path) -> pa.Schema:
    opening = partial(
        open_object, store, entry.key, if_match=entry.etag, size_bytes=entry.size_bytes
    )
    columns = reading.columns
    ids = (*columns.items, *((columns.item_id,) if columns.item_id is not None else ()))
    content = open_csv(
        opening, CsvReading(reading.csv, time_column=columns.timestamp, ids=ids), entry.key
    )
    names = content.schema.names
    if len(set(names)) < len(names):
        raise SchemaError(f"{entry.key}: two columns have the same name")
    with scratch_writer(path, content.schema) as writer:
        for batch in content.batches():
            writer.write(batch)
    return content.schema


@contextmanager
def _translated(key: str) -> Iterator[None]:
    """Raise errors of pyarrow about the content as the package's errors."""
    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0][:300]
        raise CorruptedFileError(
            f"{key}: cannot be read as csv: {reason}",
            hint="write the object again, exclude it, or name its form: --csv_separator, "
            "--csv_quote, --csv_encoding",
        ) from error
