"""Commands in hints, completed with the place that the user named: bucket, prefix, config.

Layers below know which command helps, but not the command line. The flags for the place are added
here, so that a hint can be copied and run.
"""

import re
import shlex
from collections.abc import Sequence

import click

_FLAGS = ("--bucket", "--prefix", "--endpoint_url", "--region", "--config")
_PROPOSED = re.compile(r"`(gigacast [^`]+)`")
_META = "gigacast.place"


def place_of(arguments: Sequence[str]) -> str:
    """Return the flags of a command line for bucket, prefix, endpoint, region and settings file."""
    flags: list[str] = []
    for position, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name in _FLAGS and equals:
            flags += [name, value]
        elif name in _FLAGS and position + 1 < len(arguments):
            flags += [name, arguments[position + 1]]
    return shlex.join(flags)


def remember_place(context: click.Context, arguments: Sequence[str]) -> None:
    """Store the place of a command line for `proposed`."""
    context.meta[_META] = place_of(arguments)


def proposed(command: str) -> str:
    """Return a command with the flags for the place of the current command line."""
    context = click.get_current_context(silent=True)
    place = context.meta.get(_META, "") if context is not None else ""
    return f"{command} {place}".rstrip()


def placed_hint(hint: str, place: str) -> str:
    """Return a hint with the flags for a place added to its commands, which are in backticks."""
    if not place:
        return hint
    return _PROPOSED.sub(lambda command: f"`{command[1]} {place}`", hint)
