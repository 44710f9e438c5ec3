"""Frames, tables and batches as the pipeline takes them, and back."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import pandas as pd
import pyarrow as pa

from gigacast.errors import ConfigError, SchemaError

Data: TypeAlias = pd.DataFrame | pa.Table | Iterable[pa.RecordBatch]
"""A frame, a table, or batches (a `pyarrow.RecordBatchReader`) for data larger than memory."""
Path_: TypeAlias = str | Path

SOURCE = "gigacast.source"
"""In `DataFrame.attrs`: what a frame was read from, so that what is made of it says so."""


def table_of(data: Data) -> pa.Table:
    """Return any data as one table; an index that has a name is a column."""
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, pd.DataFrame):
        index = data.index
        named = index.name is not None or not isinstance(index, pd.RangeIndex)
        frame = data.reset_index() if named and index.name is not None else data
        try:
            table = pa.Table.from_pandas(frame, preserve_index=False)
        except (pa.ArrowException, ValueError, TypeError) as error:
            reason = ": ".join(str(part) for part in error.args)[:300]
            raise SchemaError(
                f"data: the frame is no table: {reason}",
                hint="give every column a name of its own and values of one type",
            ) from error
        return table.replace_schema_metadata(None)
    schema, batches = batches_of(data)
    return pa.Table.from_batches(list(batches), schema)


def batches_of(data: Data) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Return the schema and the rows of any data, in batches."""
    if isinstance(data, pd.DataFrame | pa.Table):
        table = table_of(data)
        return table.schema, iter(table.to_batches(max_chunksize=65_536))
    if isinstance(data, pa.RecordBatch):
        return data.schema, iter([data])
    if isinstance(data, pa.RecordBatchReader):
        return data.schema, iter(data)
    stream = iter(data)
    first = next(stream, None)
    if not isinstance(first, pa.RecordBatch):
        raise ConfigError(
            f"data: expected a DataFrame, a Table or record batches, got {type(first).__name__}"
        )

    def whole() -> Iterator[pa.RecordBatch]:
        yield first
        yield from stream

    return first.schema, whole()


def frame_of(table: pa.Table, source: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return a table as a frame that remembers what it was read from."""
    frame: pd.DataFrame = table.to_pandas()
    if source:
        frame.attrs[SOURCE] = dict(source)
    return frame
