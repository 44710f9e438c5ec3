"""``gigacast data discover``: the files under the input root, by series and month."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from gigacast.cli.flags import config_option, json_option, read_settings, settings_flags
from gigacast.core.partition.name import NamingPattern
from gigacast.errors import DataNotFoundError
from gigacast.parquet_loader.discovery import Discovered, FileDiscovery, ParquetFileInfo
from gigacast.parquet_loader.setup import open_below, roots_of
from gigacast.report import quantity
from gigacast.report.document import Block, Column, Document, Items, Kind, Paragraph, Table, titled
from gigacast.report.terminal import show
from gigacast.settings.assembly import selection_of
from gigacast.settings.options import names_of
from gigacast.storage.store import Store

_MOST_NAMED = 5
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


@click.command()
@click.option("--files", "each", is_flag=True, help="A line for every file.")
@json_option
@config_option
@settings_flags(*names_of("where"), "years", "months", "symbol", "timeframe")
def discover(each: bool, as_json: bool, **given: Any) -> None:
    """Show which files there are under the input root: by series, with the months they span.

    The root is --bucket and --prefix, else the settings' `data_paths.root_dir`, else the working
    folder; a dataset, as --input_prefix cleaned/latest/EURUSD, is looked into as well.

    \b
    Examples:
      gigacast data discover --bucket my-bucket
      gigacast data discover --symbol EURUSD --years 2014:2016 --months 1:6 --timeframe 1min
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    settings = read_settings(given)
    root, _ = roots_of(settings, otherwise=str(Path.cwd()))
    inputs = open_below(root, settings.parquet_loader.data_paths.training_subdir)
    patterns = settings.parquet_loader.file_patterns
    pattern = NamingPattern(patterns.naming_regex, patterns.panel_regex)
    selection = replace(selection_of(settings), by_month=False)
    discovered = FileDiscovery(inputs, pattern).discover(selection)
    if not discovered.files:
        raise _nothing(inputs, discovered)
    if as_json:
        click.echo(json.dumps(_plain(inputs, discovered), indent=1))
    elif each:
        show(_files_document(inputs, discovered))
    else:
        show(_series_document(inputs, discovered))


def _nothing(inputs: Store, discovered: Discovered) -> DataNotFoundError:
    message = f"{inputs.address.url}: no file is what was asked for"
    if discovered.unmatched:
        names = ", ".join(discovered.unmatched[:_MOST_NAMED])
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


def _plain(inputs: Store, discovered: Discovered) -> dict[str, Any]:
    return {
        "root": inputs.address.url,
        "series": [asdict(row) for row in _series(discovered.files)],
        "files": [asdict(info) for info in discovered.files],
        "superseded": list(discovered.superseded),
        "unmatched": list(discovered.unmatched),
    }


def _series_document(inputs: Store, discovered: Discovered) -> Document:
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
    return Document((*titled(inputs.address.url, table), *_rest(discovered)))


def _files_document(inputs: Store, discovered: Discovered) -> Document:
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
    return Document((*titled(inputs.address.url, table), *_rest(discovered)))


def _rest(discovered: Discovered) -> tuple[Block, ...]:
    """Return the totals, and the first of the files that are not taken."""
    total = sum(info.size_bytes for info in discovered.files)
    texts = [
        f"{len(keys):,} {reason}: {', '.join(keys[:_MOST_NAMED])}"
        + (", ..." if len(keys) > _MOST_NAMED else "")
        for reason, keys in (
            ("superseded by a newer one", discovered.superseded),
            ("with other names", discovered.unmatched),
        )
        if keys
    ]
    return Paragraph(f"{len(discovered.files):,} files, {quantity.size(total)}"), Items.of(texts)
