"""Commands that are proposed to the user, at the place that she named herself.

Layers below know what to do and not where they were asked from: their commands get the flags of the
command line that they answer.
"""

import re
import shlex
from collections.abc import Sequence

import click

_FLAGS = ("--bucket", "--prefix", "--endpoint_url", "--region", "--config")
_PROPOSED = re.compile(r"`(gigacast [^`]+)`")
_META = "gigacast.place"


def place_of(arguments: Sequence[str]) -> str:
    """Return the flags of a command line that say where, as they are typed."""
    found: list[str] = []
    for at, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name in _FLAGS and equals:
            found += [name, value]
        elif name in _FLAGS and at + 1 < len(arguments):
            found += [name, arguments[at + 1]]
    return shlex.join(found)


def remember_place(context: click.Context, arguments: Sequence[str]) -> None:
    """Let `proposed` know the command line."""
    context.meta[_META] = place_of(arguments)


def proposed(command: str) -> str:
    """Return a command as it is to be typed at the same place."""
    context = click.get_current_context(silent=True)
    place = context.meta.get(_META, "") if context is not None else ""
    return f"{command} {place}".rstrip()


def placed_hint(hint: str, place: str) -> str:
    """Return a hint whose commands, between backticks, look at the same place."""
    if not place:
        return hint
    return _PROPOSED.sub(lambda found: f"`{found[1]} {place}`", hint)
