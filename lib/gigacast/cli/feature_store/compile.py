"""``gigacast feature-store compile``: check definitions and store them."""

import sys
from pathlib import Path
from typing import Any

import click

from gigacast.cli.feature_store.command import open_tables, print_json
from gigacast.cli.flags import flags_of, place_options
from gigacast.cli.help import Command
from gigacast.errors import DefinitionError
from gigacast.feature_store.compile import compile_definitions
from gigacast.feature_store.document import (
    compilation_document,
    compilation_json,
    problems_document,
)
from gigacast.report.terminal import say, show
from gigacast.settings.command.feature_store import CompileOptions
from gigacast.settings.flag import take


@click.command(cls=Command)
@click.argument("path", type=click.Path(path_type=Path))
@flags_of(CompileOptions)
@place_options
def compile(path: Path, as_json: bool, **flags: Any) -> None:  # noqa: A001 - the command's name
    """Check the definitions of PATH, a Python file or a folder, and store them as JSON.

    The files are Python programs and run with your rights: compile only what you trust. If one
    definition is refused, nothing is written.

    \b
    Examples:
      gigacast feature-store compile joins/quickstart/training_set.py --bucket my-bucket
      gigacast feature-store compile . --show --bucket my-bucket
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    options = take(CompileOptions, flags)
    tables = open_tables(flags)
    try:
        compilation = compile_definitions(path, tables.store, force=options.force, tables=tables)
    except DefinitionError as error:
        if len(error.problems) > 1:
            show(problems_document(error.problems), sys.stderr)
        raise
    if as_json:
        print_json(compilation_json(compilation))
        return
    for warning in compilation.warnings:
        say(f"warning: {warning}", err=True)
    show(compilation_document(compilation, lists_names=options.lists_names))
