"""``gigacast data discover``: the files under the input root, by series and month."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from gigacast.cli.flags import (
    config_option,
    flags_of,
    json_option,
    read_settings,
    settings_flags,
)
from gigacast.cli.help import Command
from gigacast.core.partition.name import NamingPattern
from gigacast.parquet_loader.discovery import FileDiscovery
from gigacast.parquet_loader.document import (
    discovery_json,
    files_document,
    no_files,
    series_document,
)
from gigacast.parquet_loader.setup import open_below, roots_of
from gigacast.report.terminal import show, show_json
from gigacast.settings.assembly import selection_of
from gigacast.settings.command.data import DiscoverOptions
from gigacast.settings.flag import take
from gigacast.settings.options import names_of


@click.command(cls=Command)
@flags_of(DiscoverOptions)
@json_option
@config_option
@settings_flags(*names_of("where"), "years", "months", "symbol", "timeframe")
def discover(as_json: bool, **flags: Any) -> None:
    """List the files under the input root by series, with the months they span.

    The root is --bucket and --prefix, else the settings' `data_paths.root_dir`, else the working
    folder. It can be a dataset, as --input_prefix cleaned/latest/EURUSD.

    \b
    Examples:
      gigacast data discover --bucket my-bucket
      gigacast data discover --symbol EURUSD --years 2014:2016 --months 1:6 --timeframe 1min
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    options = take(DiscoverOptions, flags)
    settings = read_settings(flags)
    root, _ = roots_of(settings, otherwise=str(Path.cwd()))
    inputs = open_below(root, settings.parquet_loader.data_paths.training_subdir)
    patterns = settings.parquet_loader.file_patterns
    pattern = NamingPattern(patterns.naming_regex, patterns.panel_regex)
    selection = replace(selection_of(settings), by_month=False)
    discovered = FileDiscovery(inputs, pattern).discover(selection)
    url = inputs.address.url
    if not discovered.files:
        raise no_files(url, discovered)
    if as_json:
        show_json(discovery_json(url, discovered), is_ascii=True)
    else:
        show((files_document if options.files else series_document)(url, discovered))
