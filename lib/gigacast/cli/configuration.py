"""Settings files: ``gigacast init`` and ``gigacast config``."""

import os
from pathlib import Path
from typing import Any

import click

from gigacast.cli.flags import (
    array_options,
    flags_of,
    json_option,
    read_settings,
    settings_flags,
    settings_options,
    take_config,
)
from gigacast.cli.help import Command
from gigacast.core.local_file import write_whole
from gigacast.errors import ConfigError
from gigacast.forecasting.introduction import (
    introduction_document,
    introduction_json,
    look_around,
    settings_for,
)
from gigacast.report.document import Column, Document, Kind, Table
from gigacast.report.terminal import show, show_json
from gigacast.settings.assembly import job_of
from gigacast.settings.command.settings import ConfigShowOptions, InitOptions
from gigacast.settings.flag import take
from gigacast.settings.options import ARGUMENTS, names_of, nest_arguments
from gigacast.settings.origin import SettingOrigin, trace_settings
from gigacast.settings.template import value_text

_COLUMNS = (
    Column("setting", Kind.KEY),
    Column("value"),
    Column("set by", priority=1),
    Column("flag", Kind.KEY, priority=3),
    Column("variable", Kind.KEY, priority=4),
)


@click.command(cls=Command)
@settings_flags(*names_of("where", "columns", "csv", "how"))
@flags_of(InitOptions)
@json_option
def init(as_json: bool, **flags: Any) -> None:
    """Write a commented settings file from a look at the bucket.

    The latest month is listed, and one of its files is looked into, for the columns that a job
    would read. Flags become settings; all other settings stand in the file as comments.

    \b
    Examples:
      gigacast init --bucket my-bucket --prefix sales
      gigacast init --bucket file:///data/lake --horizon 24 --output config/hourly.yaml
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    options = take(InitOptions, flags)
    file = options.output
    if file.exists() and not options.force:
        raise ConfigError(
            f"{file}: the file exists", hint="name another by --output, or replace it by --force"
        )
    named = {n: value for n, value in flags.items() if n in ARGUMENTS and value is not None}
    # Not from a settings file: the new one would hold what it says.
    introduction = look_around(job_of(read_settings({**flags, "config": Path(os.devnull)})))
    chosen = {ARGUMENTS[name].setting: value for name, value in named.items()}
    _write(file, settings_for(introduction, chosen))
    if as_json:
        show_json(introduction_json(introduction, str(file)))
    else:
        show(introduction_document(introduction, str(file)))


def _write(file: Path, text: str) -> None:
    try:
        write_whole(file, text.encode())
    except OSError as error:
        raise ConfigError(f"{file}: can't be written: {error.strerror or error}") from error


@click.group()
def config() -> None:
    """Show the settings in force, and where each of them was set."""


@config.command("show", cls=Command)
@settings_options
@settings_flags(*names_of("synthetic"))
@array_options
@settings_flags(*names_of("amount", "table"))
@flags_of(ConfigShowOptions)
@json_option
def config_show(as_json: bool, **flags: Any) -> None:
    """Show the settings in force, and which flag, variable or file has set each of them.

    Flags are those of `forecast`: the settings are those that it would run with.
    """
    options = take(ConfigShowOptions, flags)
    file = take_config(flags)
    given = {name: value for name, value in flags.items() if name in ARGUMENTS}
    origins = [
        origin
        for origin in trace_settings(nest_arguments(given), file=file)
        if origin.source != "default" or not options.changed
    ]
    if as_json:
        show_json([_entry(origin) for origin in origins], default=str)
    else:
        show(Document((Table(_COLUMNS, tuple(_row(origin) for origin in origins)),)))


def _row(origin: SettingOrigin) -> tuple[str, ...]:
    option = origin.option
    return (
        option.setting,
        value_text(origin.value),
        origin.place or origin.source,
        f"--{option.name}" if option.name else "",
        option.variable,
    )


def _entry(origin: SettingOrigin) -> dict[str, Any]:
    option = origin.option
    return {
        "setting": option.setting,
        "value": origin.value,
        "source": origin.source,
        "place": origin.place or None,
        "flag": f"--{option.name}" if option.name else None,
        "variable": option.variable,
    }
