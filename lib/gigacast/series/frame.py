"""Tables from the frames of other libraries, and results in the form of the frame that came in.

pandas is converted here. Everything else (polars, DuckDB, ADBC, ...) is read through the Arrow C
stream interface, so that none of these libraries is needed.
"""

import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from numbers import Number
from typing import Any

import numpy as np
import pyarrow as pa

from gigacast.core.plain import plain_table
from gigacast.errors import ConfigError, GigacastError, MissingExtraError, SchemaError
from gigacast.series.columns import names_ids

_FAULTS = (
    *(pa.ArrowException, ValueError, TypeError, AttributeError),
    *(ArithmeticError, LookupError, RuntimeError, OSError, BufferError),
)
"""What conversions of other libraries raise for content that they cannot represent."""

_TIME_NAMES = {"timestamp", "ds", "datetime", "date", "time", "start"}
_HINT = "give a pandas or polars DataFrame, a pyarrow Table or RecordBatchReader"


def is_frame(data: Any) -> bool:
    """Check that `table_of` can read the data."""
    if _is_pandas(data) or isinstance(data, pa.Table | pa.RecordBatch | pa.RecordBatchReader):
        return True
    # A Series of pandas or polars, or a column of Arrow, is a stream of a single column.
    is_column = hasattr(data, "to_frame") or isinstance(data, pa.ChunkedArray)
    return hasattr(data, "__arrow_c_stream__") and not is_column


def table_of(data: Any, name: str = "data", *, takes: str = "") -> pa.Table:
    """Return a frame of any library as a table.

    Named levels of a pandas index become columns. An unnamed index of times becomes the column
    ``timestamp`` if no column has the name of one. Periods become the times at which they start.

    Parameters
    ----------
    data : pandas.DataFrame, pyarrow.Table, RecordBatch or RecordBatchReader, or Arrow C stream
        Any object with ``__arrow_c_stream__``, for example a polars DataFrame.
    name : str
        Name of the argument, for error messages.
    takes : str, optional
        What else the argument may be, for error messages.

    Raises
    ------
    ConfigError
        If the data is no frame.
    SchemaError
        If a column cannot be converted, two columns have the same name, or several levels of an
        index have none.
    """
    if not is_frame(data):
        expected = f"{takes} or a DataFrame" if takes else "a DataFrame or a table"
        raise ConfigError(
            f"{name}: expected {expected}, got {type(data).__name__}", hint=_hint_for(data)
        )
    table = _guarded(lambda: _convert(data), name)
    doubled = sorted({column for column in table.column_names if _count(table, column) > 1})
    if doubled:
        raise SchemaError(
            f"{name}: there is more than one column {doubled[0]!r}",
            hint="give every column its own name",
        )
    return plain_table(table)


def give_back(table: pa.Table, data: Any, to_pandas: Callable[[pa.Table], Any]) -> Any:
    """Return a result in the form of the data that it was made from.

    Parameters
    ----------
    table : pa.Table
    data : frame
        As for `table_of`. The result of any other Arrow C stream is a table.
    to_pandas : callable
        Makes a pandas DataFrame of the table.
    """
    if _is_pandas(data):
        return to_pandas(table)
    if isinstance(data, pa.RecordBatchReader):
        return table.to_reader()
    if isinstance(data, pa.RecordBatch):
        columns = [column.combine_chunks() for column in table.columns]
        return pa.RecordBatch.from_arrays(columns, schema=table.schema)
    # A folder called polars in the working directory is imported as an empty package.
    polars = sys.modules.get("polars")
    if polars is not None and isinstance(data, getattr(polars, "DataFrame", ())):
        return polars.from_arrow(table)
    return table


def to_pandas(table: pa.Table) -> Any:
    """Return a table as a pandas DataFrame.

    Raises
    ------
    MissingExtraError
        If pandas is not installed.
    """
    try:
        return table.to_pandas()
    # pyarrow imports pandas for the conversion.
    except ImportError as error:
        raise MissingExtraError("a DataFrame needs pandas", hint="pip install pandas") from error


def table_of_pandas(frame: Any, name: str = "data") -> pa.Table:
    """Return the columns of a pandas DataFrame as a table, without its index.

    Raises
    ------
    SchemaError
        If a column cannot be converted, or two columns have the same name.
    """
    return _guarded(lambda: _of_pandas(frame), name)


def _is_pandas(data: Any) -> bool:
    # pandas is not imported for the question: its import is a good part of the time that a small
    # forecast takes, and without it no data is a pandas frame.
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, pandas.DataFrame)


def _convert(data: Any) -> pa.Table:
    if _is_pandas(data):
        return _of_pandas(_with_index(data))
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    if isinstance(data, pa.RecordBatchReader):
        return data.read_all()
    return pa.RecordBatchReader.from_stream(data).read_all()


def _of_pandas(frame: Any) -> pa.Table:
    plain = _plain(frame)
    for place, kind in enumerate(plain.dtypes):
        if kind.kind == "O" and str(kind) == "object":
            _check_objects(str(plain.columns[place]), plain.iloc[:, place])
    try:
        return pa.Table.from_pandas(plain, preserve_index=False)
    except _FAULTS:
        if not plain.columns.is_unique:
            raise
        # Arrow names the column for some faults only. One by one, the first to fail is known.
        tables = [_of_column(plain.iloc[:, [place]]) for place in range(plain.shape[1])]
        names = [name for table in tables for name in table.column_names]
        return pa.table([column for table in tables for column in table.columns], names=names)


def _check_objects(label: str, values: Any) -> None:
    """Refuse objects of several kinds that Arrow takes for one: it counts True as 1."""
    pandas = sys.modules["pandas"]
    content = pandas.api.types.infer_dtype(values, skipna=True)
    if content == "datetime":
        is_aware = {time.tzinfo is not None for time in values if not pandas.isna(time)}
        if len(is_aware) > 1:
            raise ValueError(f"column {label!r}: some times have a zone, and others have none")
    elif content.startswith("mixed"):
        kinds = set(map(type, values))
        if any(issubclass(kind, bool | np.bool_) for kind in kinds) and any(
            issubclass(kind, Number) and not issubclass(kind, bool | np.bool_) for kind in kinds
        ):
            raise ValueError(f"column {label!r}: it has both numbers and True or False")


def _of_column(column: Any) -> pa.Table:
    """Return a frame of one column as a table."""
    try:
        return pa.Table.from_pandas(column, preserve_index=False)
    except _FAULTS as error:
        label, values = str(column.columns[0]), column.iloc[:, 0]
        # Arrow takes objects of whole numbers for int64, also if they are up to 2**64.
        if isinstance(error, OverflowError) and values.dtype == object:
            with suppress(*_FAULTS):
                return pa.table({label: pa.array(values, pa.uint64(), from_pandas=True)})
        reason = str(error.args[0] if error.args else error)
        raise ValueError(f"column {label!r}: {reason}") from error


def _guarded(convert: Callable[[], pa.Table], name: str) -> pa.Table:
    try:
        return convert()
    except GigacastError:
        raise
    except _FAULTS as error:
        reason = " ".join(": ".join(str(part) for part in error.args).split())[:300]
        raise SchemaError(
            f"{name}: it can't be converted to a table: {reason}",
            hint="give every column its own name and values of a single type, or leave it out",
        ) from error


def _with_index(frame: Any) -> Any:
    """Return a pandas frame with the levels of its index that mean something as columns."""
    pandas = sys.modules["pandas"]
    index = frame.index
    # The numbers of the rows mean nothing, whatever their name.
    if isinstance(index, pandas.RangeIndex):
        return frame
    names = set(map(str, frame.columns))
    has_times = not _TIME_NAMES.isdisjoint(
        {text.lower() for text in (*names, *_texts(index.names))}
    )
    if len(index.names) > 1 and None in index.names:
        raise SchemaError(
            f"table: the index has {len(index.names)} levels, and not all have a name",
            hint="name them, as frame.index.names = ['item_id', 'timestamp'], or reset the index",
        )
    _check_labels(index, names)
    levels = {}
    for place, level in enumerate(index.names):
        values = index.get_level_values(place)
        is_clock = isinstance(values, pandas.DatetimeIndex | pandas.PeriodIndex)
        label = "timestamp" if level is None and is_clock and not has_times else level
        # `set_index(drop=False)` leaves a column of the same name.
        if label is not None and str(label) not in names:
            levels[label] = values
    if not levels:
        return frame
    # All at once, on the index itself: assigning by label would fail for repeated ids.
    columns = pandas.DataFrame({label: values.array for label, values in levels.items()})
    return pandas.concat([columns, frame.reset_index(drop=True)], axis=1)


def _check_labels(index: Any, names: Iterable[str]) -> None:
    """Refuse an index of texts without a name that may be the only ids: they would be merged."""
    is_text = index.inferred_type in {"string", "mixed", "categorical"}
    if index.nlevels > 1 or index.name is not None or not is_text or index.is_unique:
        return
    if not any(map(names_ids, names)):
        raise SchemaError(
            f"table: the index has texts that repeat, such as {str(index[0])[:40]!r}, and no name",
            hint="if they are item ids, name it: frame.index.name = 'item_id'; else drop it: "
            "frame.reset_index(drop=True)",
        )


def _texts(names: Iterable[Any]) -> list[str]:
    return [str(name) for name in names if name is not None]


def _plain(frame: Any) -> Any:
    """Return a pandas frame without periods and sparse columns, which Arrow does not know."""
    pandas = sys.modules["pandas"]
    kinds = list(frame.dtypes)
    special = (pandas.PeriodDtype, pandas.SparseDtype)
    if not any(isinstance(kind, special) for kind in kinds):
        return frame
    columns = []
    for place, kind in enumerate(kinds):
        # By position, because labels may repeat.
        column = frame.iloc[:, place]
        if isinstance(kind, pandas.PeriodDtype):
            column = column.dt.to_timestamp()
        elif isinstance(kind, pandas.SparseDtype):
            column = column.sparse.to_dense()
        columns.append(column)
    return pandas.concat(columns, axis=1)


def _count(table: pa.Table, column: str) -> int:
    return len(table.schema.get_all_field_indices(column))


def _hint_for(data: Any) -> str:
    if callable(getattr(data, "collect", None)):
        return "a lazy frame has no rows yet: call .collect() first"
    if callable(getattr(data, "compute", None)):
        return "a distributed frame is not read at once: call .compute() first, or use a bucket"
    if callable(getattr(data, "to_frame", None)):
        return "call .reset_index() or .to_frame() first"
    return _HINT
