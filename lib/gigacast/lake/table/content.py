"""The content of a table's snapshot as values: its columns, data files and deleted rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import BoolArray

PUFFIN = "puffin"
"""Format of deletion vectors of Iceberg; other deletes are Parquet files of positions."""


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column of a table.

    Parameters
    ----------
    name : str
        Name in the snapshot.
    type : pa.DataType
    stored : int or str
        Field id in the files of an Iceberg table, or name in those of a Delta table.
    is_part : bool
        Whether the files lack it: its value is that of their partition.
    has_default : bool
        Whether files without it have another value there than null.
    """

    name: str
    type: pa.DataType
    stored: int | str
    is_part: bool = False
    has_default: bool = False


@dataclass(frozen=True, slots=True)
class PartValue:
    """A field of the partition of a data file.

    Parameters
    ----------
    name : str
        Name of the partition field.
    text : str or None
        Value as text: times from the year on, as ``2024-03`` or ``2024-03-05``.
    is_time : bool
        Whether the field is made of times.
    """

    name: str
    text: str | None
    is_time: bool = False


@dataclass(frozen=True, slots=True)
class DeleteFile:
    """A file of an Iceberg table that names deleted rows by their positions."""

    url: str
    size_bytes: int
    format: Literal["parquet", "puffin"]


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file, as its table describes it.

    Parameters
    ----------
    url : str
    size_bytes : int
    rows : int, optional
        Number of rows, deleted ones included; unknown by default.
    parts : tuple of PartValue
    bounds : (int, int), optional
        First and last time in microseconds since 1970; unknown by default.
    constants : mapping of str to object
        Values of columns that the file may lack.
    deletes : tuple of DeleteFile
    mask : bool [N], optional
        Mask of the rows that are not deleted; all by default.
    mask_id : str
        Digest of ``mask``.
    """

    url: str
    size_bytes: int
    rows: int | None
    parts: tuple[PartValue, ...] = ()
    bounds: tuple[int, int] | None = None
    constants: Mapping[str, Any] = field(default_factory=dict)
    deletes: tuple[DeleteFile, ...] = ()
    mask: BoolArray | None = None
    mask_id: str = ""


@dataclass(frozen=True, slots=True)
class TableContent:
    """A snapshot of a table.

    Parameters
    ----------
    location : str
        URL of the table's folder.
    columns : tuple of TableColumn
    files : tuple of DataFile
    time : str or None
        Column whose bounds the files state.
    modified_ns : int
        Time of the snapshot in nanoseconds since 1970.
    names : mapping of str to int
        Field ids by column name, for files that hold no ids.
    """

    location: str
    columns: tuple[TableColumn, ...]
    files: tuple[DataFile, ...]
    time: str | None
    modified_ns: int
    names: Mapping[str, int] = field(default_factory=dict)


def find_time(columns: Mapping[str, pa.DataType], named: str | None) -> str | None:
    """Return the column of times: the named one, or the only one of such a type.

    Timestamps go before dates.
    """
    if named is not None:
        return named
    for is_kind in (pa.types.is_timestamp, pa.types.is_date):
        of_kind = [name for name, kind in columns.items() if is_kind(kind)]
        if of_kind:
            return of_kind[0] if len(of_kind) == 1 else None
    return None


def microseconds(times: pa.Array) -> pa.Array:
    """Return timestamps or dates as microseconds since 1970, int64 [N]."""
    if pa.types.is_date(times.type):
        return times.cast(pa.timestamp("us")).cast(pa.int64())
    # Rounded down: a nanosecond before midnight is still of the day before.
    floored = pc.floor_temporal(times, unit="microsecond")
    return floored.cast(pa.timestamp("us", times.type.tz)).cast(pa.int64())
