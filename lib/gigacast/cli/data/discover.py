"""``gigacast data discover``: which files there are, by series and month."""

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
from gigacast.report.table import print_table
from gigacast.settings.assembly import selection_of
from gigacast.settings.options import names_of
from gigacast.storage.store import Store

_MOST_NAMED = 5


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
    found = FileDiscovery(inputs, pattern).discover(selection)
    if not found.files:
        raise _nothing(inputs, found)
    if as_json:
        click.echo(json.dumps(_plain(inputs, found), indent=1))
    elif each:
        _print_files(inputs, found)
    else:
        _print_series(inputs, found)


def _nothing(inputs: Store, found: Discovered) -> DataNotFoundError:
    message = f"{inputs.address.url}: no file is what was asked for"
    if found.unmatched:
        named = ", ".join(found.unmatched[:_MOST_NAMED])
        return DataNotFoundError(
            f"{message}; {len(found.unmatched)} have other names: {named}",
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


def _plain(inputs: Store, found: Discovered) -> dict[str, Any]:
    return {
        "root": inputs.address.url,
        "series": [asdict(row) for row in _series(found.files)],
        "files": [asdict(info) for info in found.files],
        "superseded": list(found.superseded),
        "unmatched": list(found.unmatched),
    }


def _print_series(inputs: Store, found: Discovered) -> None:
    columns = ("series", "timeframe", "h", "files", "first", "last", "missing", "size")
    cells = [
        (
            row.symbol,
            row.timeframe or "",
            str(row.horizon or ""),
            row.files,
            row.first,
            row.last,
            row.missing_months,
            quantity.size(row.size_bytes),
        )
        for row in _series(found.files)
    ]
    print_table(inputs.address.url, columns, cells)
    _print_rest(found)


def _print_files(inputs: Store, found: Discovered) -> None:
    columns = ("month", "key", "size", "metadata")
    cells = [
        (
            str(info.calendar_month),
            info.key,
            quantity.size(info.size_bytes),
            "" if info.metadata_key is None else "json",
        )
        for info in found.files
    ]
    print_table(inputs.address.url, columns, cells)
    _print_rest(found)


def _print_rest(found: Discovered) -> None:
    total = sum(info.size_bytes for info in found.files)
    click.echo(f"\n{len(found.files):,} files, {quantity.size(total)}")
    for what, keys in (
        ("superseded by a newer one", found.superseded),
        ("with other names", found.unmatched),
    ):
        if keys:
            more = ", ..." if len(keys) > _MOST_NAMED else ""
            click.echo(f"{len(keys):,} {what}: {', '.join(keys[:_MOST_NAMED])}{more}")
