"""``gigacast feature-store show``, ``analyze`` and ``lineage``: look at compiled definitions."""

from typing import Any

import click

from gigacast.cli.feature_store.command import open_tables, print_json
from gigacast.cli.flags import flags_of, place_options
from gigacast.cli.help import Command
from gigacast.errors import ConfigError
from gigacast.feature_store.analyze import analyze as analyze_definition
from gigacast.feature_store.document import (
    analysis_document,
    analysis_json,
    definition_document,
    definition_json,
    lineage_document,
    lineage_json,
    names_document,
)
from gigacast.feature_store.lineage import outputs_of, trace
from gigacast.feature_store.stored import all_stored, find_stored, list_names
from gigacast.report.terminal import show as render
from gigacast.settings.command.feature_store import AnalyzeOptions, LineageOptions
from gigacast.settings.flag import take

name_argument = click.argument("name")


@click.command(cls=Command)
@click.argument("name", required=False)
@place_options
def show(name: str | None, as_json: bool, **flags: Any) -> None:
    """Show the compiled definition NAME with its features and tables, or list all."""
    store = open_tables(flags).store
    if name is None:
        names = list_names(store)
        if as_json:
            print_json([{"folder": folder, "name": text} for folder, text in names])
        else:
            render(names_document(names))
        return
    stored = find_stored(store, name)
    if as_json:
        print_json(definition_json(stored))
    else:
        render(definition_document(stored))


@click.command(cls=Command)
@name_argument
@flags_of(AnalyzeOptions)
@place_options
def analyze(name: str, as_json: bool, **flags: Any) -> None:
    """Describe the tables of NAME: columns, rows, hot keys, and the cost of a backfill.

    Rows are counted in all files of the tables; of Parquet only the footers are read.
    """
    options = take(AnalyzeOptions, flags)
    tables = open_tables(flags)
    analysis = analyze_definition(
        find_stored(tables.store, name).definition, tables, days=options.days
    )
    if as_json:
        print_json(analysis_json(analysis))
    else:
        render(analysis_document(analysis))


@click.command(cls=Command)
@name_argument
@flags_of(LineageOptions)
@place_options
def lineage(name: str, as_json: bool, **flags: Any) -> None:
    """Trace the columns of NAME to the columns of tables.

    Tables that a compiled definition makes are followed to the tables that it reads.
    """
    column = take(LineageOptions, flags).column
    store = open_tables(flags).store
    definition = find_stored(store, name).definition
    columns = trace(definition, outputs_of(all_stored(store)))
    if column is not None:
        if column not in columns:
            raise ConfigError(
                f"--column: {name} has no column {column!r}",
                hint=f"its columns are {', '.join([*columns][:12])}",
            )
        columns = {column: columns[column]}
    if as_json:
        print_json(lineage_json(columns))
    else:
        render(lineage_document(definition, columns))
