"""``gigacast feature-store show``, ``analyze`` and ``lineage``: look at compiled definitions."""

from typing import Any

import click

from gigacast.cli.feature_store.command import open_tables, placed, print_json
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

name_argument = click.argument("name")


@click.command()
@click.argument("name", required=False)
@placed
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


@click.command()
@name_argument
@click.option(
    "--days",
    type=click.IntRange(1),
    default=7,
    show_default=True,
    help="Newest days of each table that are read for hot keys.",
)
@placed
def analyze(name: str, days: int, as_json: bool, **flags: Any) -> None:
    """Describe the tables of NAME: columns, rows, hot keys, and the cost of a backfill.

    Rows are counted in all files of the tables; of Parquet only the footers are read.
    """
    tables = open_tables(flags)
    analysis = analyze_definition(find_stored(tables.store, name).definition, tables, days=days)
    if as_json:
        print_json(analysis_json(analysis))
    else:
        render(analysis_document(analysis))


@click.command()
@name_argument
@click.option("--column", help="Only this column; all by default.")
@placed
def lineage(name: str, column: str | None, as_json: bool, **flags: Any) -> None:
    """Trace the columns of NAME to the columns of tables.

    Tables that a compiled definition makes are followed to the tables that it reads.
    """
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
