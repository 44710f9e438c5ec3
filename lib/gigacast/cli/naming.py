"""Errors name what the person wrote: a flag of the command, a variable, a key of a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from gigacast.cli.flags import take_config
from gigacast.cli.help import Flag
from gigacast.errors import ConfigError, GigacastError
from gigacast.settings.load import read_file
from gigacast.settings.naming import renamed, with_subject
from gigacast.settings.options import ARGUMENTS, nest_arguments
from gigacast.settings.written import Written

E = TypeVar("E", bound=GigacastError)


def name_flags(error: E, command: click.Command, given: Mapping[str, Any]) -> E:
    """Return the error of a command, whose message names flags, variables, or keys of a file.

    Parameters
    ----------
    error : GigacastError
    command : Command
    given : mapping
        Values of the command's flags by name; ``None`` for those that were not given.
    """
    flags = {str(p.name): p.opts[0] for p in command.params if isinstance(p, Flag)}
    typed = {name: value for name, value in given.items() if value not in (None, ())}
    settings = {name: value for name, value in typed.items() if name in ARGUMENTS}
    try:
        file = take_config(dict(given))
        written = Written(nest_arguments(settings), file, read_file(file) if file else {})
    except ConfigError:  # the file, which the error itself is about
        written = Written()
    message = with_subject(renamed(error.message, written), flags.get)
    error.message = _flag_of_value(message, typed, flags)
    error.args = (error.message,)
    return error


def _flag_of_value(message: str, typed: Mapping[str, Any], flags: Mapping[str, str]) -> str:
    """Return a message about the value of a flag, with the flag before it."""
    if message.startswith("--"):
        return message
    for name, value in typed.items():
        # Errors about the content of a settings file name the file.
        is_own = name in flags and name != "config" and isinstance(value, str | Path)
        if is_own and (message.startswith(f"{value}: ") or f"{str(value)!r}" in message):
            return f"{flags[name]}: {message}"
    return message
