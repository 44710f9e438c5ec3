"""All commands of the program."""

import click

from gigacast.cli.lazy import LazyCommand
from gigacast.cli.program import program


def commands(group: click.Group = program, path: str = "") -> dict[str, click.Command]:
    """Return every command by the words that lead to it, those of groups included."""
    by_name: dict[str, click.Command] = {}
    for name, listed in group.commands.items():
        command = listed.load() if isinstance(listed, LazyCommand) else listed
        words = f"{path} {name}".strip()
        by_name[words] = command
        if isinstance(command, click.Group):
            by_name |= commands(command, words)
    return by_name
