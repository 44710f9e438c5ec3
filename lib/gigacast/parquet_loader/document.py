"""Documents and JSON of a discovery: the files below a root, by series and month."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from gigacast.core.plural import counted
from gigacast.errors import DataNotFoundError
from gigacast.parquet_loader.discovery import Discovered, ParquetFileInfo
from gigacast.report import quantity
from gigacast.report.document import Block, Column, Document, Items, Kind, Paragraph, Table, titled

_MAX_NAMED = 5
_SERIES_COLUMNS = (
    Column("series", Kind.KEY),
    Column("timeframe"),
    Column("h", Kind.COUNT, 2, "horizon"),
    Column("files", Kind.COUNT),
    Column("first"),
    Column("last"),
    Column("missing", Kind.COUNT, 1, "missing months"),
    Column("size", Kind.SIZE, 1),
)
_FILE_COLUMNS = (
    Column("month"),
    Column("key", Kind.KEY),
    Column("size", Kind.SIZE),
    Column("metadata", priority=1),
)


def no_files(url: str, discovered: Discovered) -> DataNotFoundError:
    """Return the error of a discovery without files, with the names that do not fit."""
    message = f"{url}: no file is what was asked for"
    if discovered.unmatched:
        names = ", ".join(discovered.unmatched[:_MAX_NAMED])
        return DataNotFoundError(
            f"{message}; {len(discovered.unmatched)} have other names: {names}",
            hint="names are read by parquet_loader.file_patterns.naming_regex",
        )
    return DataNotFoundError(
        message, hint="files lie in 2014/03/; ask for other years, months, symbols or timeframes"
    )


@dataclass(frozen=True)
class SeriesFiles:
    """The files of one series."""

    symbol: str
    timeframe: str | None
    horizon: int | None
    files: int
    first: str
    last: str
    missing_months: int
    size_bytes: int


def _series(files: Iterable[ParquetFileInfo]) -> list[SeriesFiles]:
    def name(info: ParquetFileInfo) -> tuple[str, str, int]:
        # None does not compare with text or numbers.
        return info.symbol, info.timeframe or "", info.horizon or 0

    rows = []
    for _, group in groupby(sorted(files, key=name), key=name):
        own = list(group)
        months = sorted({info.calendar_month for info in own})
        first, last = months[0], months[-1]
        span = (last.year - first.year) * 12 + last.month - first.month + 1
        rows.append(
            SeriesFiles(
                own[0].symbol,
                own[0].timeframe,
                own[0].horizon,
                len(own),
                str(first),
                str(last),
                span - len(months),
                sum(info.size_bytes for info in own),
            )
        )
    return rows


def discovery_json(url: str, discovered: Discovered) -> dict[str, Any]:
    """Return the files below a root for ``--json``."""
    return {
        "root": url,
        "series": [asdict(row) for row in _series(discovered.files)],
        "files": [_described(info) for info in discovered.files],
        "superseded": list(discovered.superseded),
        "unmatched": list(discovered.unmatched),
    }


def _described(info: ParquetFileInfo) -> dict[str, Any]:
    entries = asdict(info)
    # Files of the root itself are described as they always were.
    if not info.root:
        del entries["root"]
    return entries


def series_document(url: str, discovered: Discovered) -> Document:
    """Return a row per series: its files, the months they span, and their size."""
    rows = [
        (
            row.symbol,
            row.timeframe or "",
            row.horizon,
            row.files,
            row.first,
            row.last,
            row.missing_months,
            row.size_bytes,
        )
        for row in _series(discovered.files)
    ]
    table = Table(_SERIES_COLUMNS, tuple(rows))
    return Document((*titled(url, table), *_rest(discovered)))


def files_document(url: str, discovered: Discovered) -> Document:
    """Return a row per file."""
    rows = [
        (
            str(info.calendar_month),
            info.key,
            info.size_bytes,
            "" if info.metadata_key is None else "json",
        )
        for info in discovered.files
    ]
    table = Table(_FILE_COLUMNS, tuple(rows))
    return Document((*titled(url, table), *_rest(discovered)))


def _rest(discovered: Discovered) -> tuple[Block, ...]:
    """Return the totals, and the first of the files that are not taken."""
    total = sum(info.size_bytes for info in discovered.files)
    texts = [
        f"{len(keys):,} {reason}: {', '.join(keys[:_MAX_NAMED])}"
        + (", ..." if len(keys) > _MAX_NAMED else "")
        for reason, keys in (
            ("superseded by a newer one", discovered.superseded),
            ("with other names", discovered.unmatched),
        )
        if keys
    ]
    files = counted(len(discovered.files), "file")
    return Paragraph(f"{files}, {quantity.size(total)}"), Items.of(texts)
