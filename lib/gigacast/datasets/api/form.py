"""The conversion of frames, tables and batches into each other."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import pandas as pd
import pyarrow as pa

from gigacast.errors import ConfigError
from gigacast.series.frame import table_of_pandas

Data: TypeAlias = pd.DataFrame | pa.Table | Iterable[pa.RecordBatch]
"""A frame, a table, or batches (a `pyarrow.RecordBatchReader`) for data larger than memory."""
Path_: TypeAlias = str | Path

SOURCE = "gigacast.source"
"""Key in `DataFrame.attrs` of the path from which a frame was read, for its lineage."""


def table_of(data: Data) -> pa.Table:
    """Return data of any form as a table. A named index becomes a column."""
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, pd.DataFrame):
        index = data.index
        named = index.name is not None or not isinstance(index, pd.RangeIndex)
        frame = data.reset_index() if named and index.name is not None else data
        table = table_of_pandas(frame)
        # pandas' own metadata would otherwise be part of the schema, and of every file.
        return table.replace_schema_metadata(None)
    schema, batches = batches_of(data)
    return pa.Table.from_batches(list(batches), schema)


def batches_of(data: Data) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Return the schema of data of any form, and its rows in batches."""
    if isinstance(data, pd.DataFrame | pa.Table):
        table = table_of(data)
        return table.schema, iter(table.to_batches(max_chunksize=65_536))
    if isinstance(data, pa.RecordBatch):
        return data.schema, iter([data])
    if isinstance(data, pa.RecordBatchReader):
        return data.schema, iter(data)
    if hasattr(data, "__arrow_c_stream__"):
        try:
            reader = pa.RecordBatchReader.from_stream(data)
        except pa.ArrowInvalid as error:  # a stream of a single column, as of a Series
            raise _no_rows(data) from error
        return reader.schema, iter(reader)
    stream = iter(data)
    first = next(stream, None)
    if not isinstance(first, pa.RecordBatch):
        raise _no_rows(first)

    # Only the first batch of an iterator has the schema, so it is taken out and put back.
    def all_batches() -> Iterator[pa.RecordBatch]:
        yield first
        yield from stream

    return first.schema, all_batches()


def _no_rows(data: object) -> ConfigError:
    return ConfigError(
        f"data: expected a DataFrame, a Table or record batches, got {type(data).__name__}"
    )


def frame_of(table: pa.Table, source: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return a table as a frame that records its source in ``attrs``."""
    frame: pd.DataFrame = table.to_pandas()
    if source:
        frame.attrs[SOURCE] = dict(source)
    return frame
