"""The division of rows into the folders of a dataset, and the values in a folder's name.

Folders are named like Hive's, ``asset=EURUSD``, which other readers understand too. Months are
``year=2024/month=03``, which the forecasting job reads.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.errors import ConfigError, SchemaError

Step = Literal["value", "day", "month", "year"]
_STEPS: dict[str, Step] = {"date": "day", "month": "month", "year": "year"}
_NAMES = {"day": ("date",), "month": ("year", "month"), "year": ("year",)}
_FORMATS = {"date": "%Y-%m-%d", "year": "%Y", "month": "%m"}
_NULL = "__HIVE_DEFAULT_PARTITION__"  # Hive's folder name for null
_WHOLE = re.compile(r"-?\d{1,18}")  # fits int64
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
MAX_FOLDERS = 50_000
"""Maximum number of folders of a batch of rows: each of them becomes at least one object."""


@dataclass(frozen=True, slots=True)
class PartitionField:
    """A level of folders: the value of a column, or the day, month or year of a timestamp."""

    column: str
    step: Step = "value"

    @property
    def names(self) -> tuple[str, ...]:
        """Names before the ``=``."""
        return (self.column,) if self.step == "value" else _NAMES[self.step]


@dataclass(frozen=True, slots=True)
class Partitioning:
    """Levels of folders, the outermost first. Without levels there is a single folder.

    Examples
    --------
    >>> from datetime import datetime
    >>> by = Partitioning.parse(["month", "asset"], "timestamp")
    >>> rows = pa.table({"timestamp": [datetime(2024, 3, 1)], "asset": ["EUR/USD"]})
    >>> [folder for folder, _ in by.split(rows)]
    ['year=2024/month=03/asset=EUR%2FUSD/']
    """

    fields: tuple[PartitionField, ...] = ()

    @classmethod
    def parse(cls, names: Sequence[str], time_column: str = "timestamp") -> "Partitioning":
        """Return the levels of names: ``date``, ``month``, ``year`` of the timestamps, or columns.

        Raises
        ------
        ConfigError
            If a level is named twice.
        """
        levels = (names,) if isinstance(names, str) else tuple(names)
        partitioning = cls(
            tuple(
                PartitionField(time_column, _STEPS[name])
                if name in _STEPS
                else PartitionField(name)
                for name in levels
            )
        )
        if len(set(partitioning.names)) < len(partitioning.names):
            raise ConfigError(f"partition_by: {', '.join(levels)} names a level twice")
        return partitioning

    @property
    def names(self) -> tuple[str, ...]:
        """All names before the ``=``, the outermost first."""
        return tuple(name for field in self.fields for name in field.names)

    def split(self, rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
        """Yield each folder (empty, or ending in ``/``) with its rows, in their order.

        Raises
        ------
        SchemaError
            If a column is missing, or a column of ``date``, ``month`` or ``year`` is not a
            timestamp.
        """
        if not self.fields or not rows.num_rows:
            yield "", rows
            return
        levels = [level for field in self.fields for level in _levels(field, rows)]
        first, inverse = _groups(levels)
        if len(first) > MAX_FOLDERS:
            raise ConfigError(f"partition_by: {len(first):,} folders, at most {MAX_FOLDERS:,}")
        # Rows that are already sorted by folder are sliced and not copied.
        order = np.argsort(inverse, kind="stable")
        cuts = np.searchsorted(inverse[order], np.arange(len(first) + 1))
        is_sorted = bool(np.all(inverse[:-1] <= inverse[1:]))
        for group, row in enumerate(first):
            start, stop = int(cuts[group]), int(cuts[group + 1])
            folder = _folder(self.names, [level[int(row)].as_py() for level in levels])
            part = rows.slice(start, stop - start) if is_sorted else rows.take(order[start:stop])
            yield folder, part


def _levels(field: PartitionField, rows: pa.Table) -> list[pa.ChunkedArray]:
    """Return the text of each level of a field, [N] each."""
    if field.column not in rows.schema.names:
        columns = ", ".join(rows.schema.names[:20])
        message = f"partition_by: there is no column {field.column!r}"
        raise SchemaError(message, hint=f"the columns are {columns}")
    column = rows.column(field.column)
    if field.step == "value":
        return [column.cast(pa.string()) if not pa.types.is_string(column.type) else column]
    if not (pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)):
        raise SchemaError(f"partition_by: {field.column!r} is {column.type}, not a timestamp")
    return [pc.strftime(column, format=_FORMATS[name]) for name in field.names]


def _groups(levels: Sequence[pa.ChunkedArray]) -> tuple[Any, Any]:
    """Return the first row of each group, in ascending order, and the group of each row, [N]."""
    combined = np.zeros(len(levels[0]), np.int64)
    # The combined codes are numbered anew after every level; their product would overflow.
    for level in levels:
        encoded = level.combine_chunks().dictionary_encode()
        codes = np.asarray(pc.fill_null(encoded.indices, -1)).astype(np.int64) + 1
        combined = combined * (len(encoded.dictionary) + 1) + codes
        combined = np.unique(combined, return_inverse=True)[1]
    _, first, inverse = np.unique(combined, return_index=True, return_inverse=True)
    # Groups are numbered by their first row, so that folders come in the order of the rows.
    rank = np.argsort(np.argsort(first))
    return np.sort(first), rank[inverse]


def _folder(names: Sequence[str], values: Sequence[Any]) -> str:
    # An empty text would give the folder "asset=", which readers take for null; %00 stands for it.
    parts = (
        f"{quote(name, safe='')}={_NULL if value is None else quote(value, safe=' ') or '%00'}/"
        for name, value in zip(names, values, strict=True)
    )
    return "".join(parts)


def folder_values(path: str) -> dict[str, Any]:
    """Return the values in the folders of a path: integers, days, texts, or ``None`` for null.

    Examples
    --------
    >>> folder_values("asset=EUR%2FUSD/date=2024-03-01/part-00000.parquet")
    {'asset': 'EUR/USD', 'date': datetime.date(2024, 3, 1)}
    """
    pairs = (part.partition("=") for part in path.split("/")[:-1] if "=" in part)
    return {unquote(name): _value(text) for name, _, text in pairs}


def _value(text: str) -> Any:
    if text == _NULL:
        return None
    plain = "" if text == "%00" else unquote(text)
    if _WHOLE.fullmatch(plain):
        return int(plain)
    try:
        return date.fromisoformat(plain) if _DAY.fullmatch(plain) else plain
    except ValueError:
        return plain
