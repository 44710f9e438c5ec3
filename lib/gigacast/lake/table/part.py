"""The partitions of a table: which data files are an object of which month.

The table's own partitions decide. A field of times gives the month, days and hours of which belong
together; other fields are Hive levels below it. A table without months is a single partition, of
the month of its newest row. With ``by=month`` the rows are cut by their own times instead.
"""

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from gigacast.core.digest import digest_value
from gigacast.core.time.month import Month
from gigacast.errors import SchemaError
from gigacast.lake.table.address import TableAddress
from gigacast.lake.table.content import DataFile, PartValue, TableColumn, TableContent

logger = logging.getLogger(__name__)
_MONTH = re.compile(r"(\d{4})-(\d{2})(?!\d)")
_DATES = {"date", "day", "dt", "ds", "month"}
"""Names of columns of text whose values may be dates or months."""
_NUMBERS = ("year", "month", "day", "hour")
"""Names of columns of numbers that make up a time together."""
_NULL_LEVEL = "__HIVE_DEFAULT_PARTITION__"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CUT_HINT = "add ?by=month to the address: rows are then cut by their own times"


@dataclass(frozen=True, slots=True)
class TableObject:
    """A partition of a table, as an object of a store.

    Parameters
    ----------
    key : str
        Key of the object, such as ``2024/03/store=12/part-0.parquet``.
    etag : str
        Digest of the data files, their deleted rows, and the columns.
    size_bytes : int
        Size of the data files.
    files : tuple of DataFile
        In the order of time.
    columns : tuple of TableColumn
        Columns of the rows.
    cut : (int, int), optional
        Times of the rows, in microseconds since 1970, the end exclusive; all by default.
    """

    key: str
    etag: str
    size_bytes: int
    files: tuple[DataFile, ...]
    columns: tuple[TableColumn, ...]
    cut: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    month: Month | None
    year: int | None
    levels: tuple[tuple[str, str | None], ...]


def objects_of(content: TableContent, address: TableAddress) -> list[TableObject]:
    """Return the partitions of a table, in the order of their keys.

    Raises
    ------
    SchemaError
        If the files do not tell their months, or a column of the address does not exist.
    """
    columns = _chosen(content.columns, address)
    groups: dict[_Place, list[DataFile]] = {}
    for file, place in _placed(content, address):
        groups.setdefault(place, []).append(file)
    objects: dict[str, TableObject] = {}
    for place, files in groups.items():
        cut = _span(place.month) if address.by == "month" and place.month is not None else None
        month = place.month or _newest(files, content, address)
        names = {name for name, _ in place.levels}
        part = _object(month, place, files, replace(content, columns=_stored(columns, names)), cut)
        objects[part.key] = part
    return [objects[key] for key in sorted(objects)]


def _chosen(columns: tuple[TableColumn, ...], address: TableAddress) -> tuple[TableColumn, ...]:
    names = [column.name for column in columns]
    unknown = [name for name in address.columns if name not in names]
    if unknown:
        raise SchemaError(
            f"{address.name} has no column {unknown[0]!r}", hint=f"it has {', '.join(names[:20])}"
        )
    if not address.columns:
        return columns
    return tuple(column for column in columns if column.name in address.columns)


def _stored(columns: tuple[TableColumn, ...], levels: set[str]) -> tuple[TableColumn, ...]:
    """Return the columns of an object: those that its key already says are left to the key."""
    in_key = {*levels, "year", "month"}
    return tuple(column for column in columns if not (column.is_part and column.name in in_key))


def _placed(content: TableContent, address: TableAddress) -> Iterator[tuple[DataFile, _Place]]:
    kinds = {tuple(part.name for part in file.parts) for file in content.files}
    if address.by == "month":
        levels = len(kinds) == 1
        for file in content.files:
            place = _place_of(file.parts) if levels else _Place(None, None, ())
            for month in _months_of(file, content, address):
                yield file, replace(place, month=month, year=None)
        return
    if len(kinds) > 1:
        raise SchemaError(
            f"{address.name}: its files are partitioned in {len(kinds)} ways, by "
            + " and by ".join(sorted(", ".join(names) or "nothing" for names in kinds)),
            hint=_CUT_HINT,
        )
    for file in content.files:
        place = _place_of(file.parts)
        if place.month is None and place.year is None and any(p.is_time for p in file.parts):
            logger.warning(
                "%s: %s rows have no time, and are in no partition", address.name, file.rows
            )
            continue
        yield file, place


def _place_of(parts: Iterable[PartValue]) -> _Place:
    month: Month | None = None
    year: int | None = None
    numbers: dict[str, PartValue] = {}
    levels: list[PartValue] = []
    for part in parts:
        match = _MONTH.match(part.text or "")
        name = part.name.lower()
        if match is not None and (part.is_time or name in _DATES):
            month = month or Month(int(match[1]), int(match[2]))
        elif part.is_time:
            year = int(part.text) if part.text is not None and part.text.isdigit() else year
        elif name in _NUMBERS and (part.text or "").isdigit():
            numbers[name] = part
        else:
            levels.append(part)
    if "year" in numbers:
        year = int(numbers["year"].text or "")
        if month is None and "month" in numbers:
            month = Month(year, int(numbers["month"].text or ""))
    # A month or a day without its year is a level as any other.
    in_key = ("year",) if month is None else _NUMBERS
    levels += [part for name, part in numbers.items() if name not in in_key]
    return _Place(
        month,
        year if month is None else None,
        tuple((part.name, part.text) for part in levels),
    )


def _months_of(file: DataFile, content: TableContent, address: TableAddress) -> Iterator[Month]:
    low, high = _bounds(file, content, address)
    month, last = _month_at(low), _month_at(high)
    while month <= last:
        yield month
        month = month.shift(1)


def _newest(files: list[DataFile], content: TableContent, address: TableAddress) -> Month:
    return max(_month_at(_bounds(file, content, address)[1]) for file in files)


def _bounds(file: DataFile, content: TableContent, address: TableAddress) -> tuple[int, int]:
    if content.time is None:
        times = ", ".join(column.name for column in content.columns)
        raise SchemaError(
            f"{address.name}: its partitions name no months, and no column is the only one of times"
            f"; the columns are {times}",
            hint="name the column, as ?time=timestamp at the end of the address",
        )
    if file.bounds is None:
        raise SchemaError(
            f"{address.name}: the first and last {content.time!r} of {file.url} are unknown",
            hint="write the table with statistics of this column, or partition it by month",
        )
    return file.bounds


def _month_at(microseconds: int) -> Month:
    moment = _EPOCH + timedelta(microseconds=microseconds)
    return Month(moment.year, moment.month)


def _span(month: Month) -> tuple[int, int]:
    following = month.shift(1)
    starts = [datetime(m.year, m.month, 1, tzinfo=UTC) for m in (month, following)]
    first, stop = ((start - _EPOCH) // timedelta(microseconds=1) for start in starts)
    return first, stop


def _object(
    month: Month,
    place: _Place,
    files: list[DataFile],
    content: TableContent,
    cut: tuple[int, int] | None,
) -> TableObject:
    levels = "".join(
        f"{quote(name, safe='')}={_NULL_LEVEL if text is None else quote(text, safe=' ')}/"
        for name, text in place.levels
    )
    # In the order of time, so that the rows of a series mostly come in it.
    ordered = tuple(sorted(files, key=lambda file: (file.bounds or (0, 0), file.url)))
    described = {
        "files": sorted(_identity(file, content.location) for file in files),
        "columns": [[c.name, str(c.type), c.stored] for c in content.columns],
        **({"cut": list(cut)} if cut is not None else {}),
    }
    return TableObject(
        key=f"{month.folder}/{levels}part-0.parquet",
        etag=digest_value(described, 32),
        size_bytes=sum(file.size_bytes for file in files),
        files=ordered,
        columns=content.columns,
        cut=cut,
    )


def _identity(file: DataFile, location: str) -> list[object]:
    """Return what makes a data file the same: its place in the table, its size, deleted rows."""
    below = f"{location.rstrip('/')}/"
    # Relative, so that a copy of the table has the same ETags.
    deletes = sorted([d.url.removeprefix(below), d.size_bytes] for d in file.deletes)
    parts = [[part.name, part.text] for part in file.parts]
    return [file.url.removeprefix(below), file.size_bytes, deletes, file.mask_id, parts]
