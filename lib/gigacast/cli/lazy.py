"""Group of commands whose modules are loaded when a command is called."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import click

GIVEN = "gigacast.given"
"""Key of a context's values: the command that runs, and what it was given."""


class Home(NamedTuple):
    """Module of a command, and the first sentence of its help.

    Parameters
    ----------
    module : str
        Module whose attribute of the command's name, with underscores, is the command.
    help : str
        First sentence of the command's help; a test compares the two.
    """

    module: str
    help: str


class LazyCommand(click.Command):
    """A command's name and help, for listings and suggestions.

    Parameters
    ----------
    name : str
    home : Home
    """

    def __init__(self, name: str, home: Home) -> None:
        super().__init__(name, help=home.help)
        self._module = home.module

    def load(self) -> click.Command:
        """Import the command."""
        attribute = str(self.name).replace("-", "_")
        command: click.Command = getattr(import_module(self._module), attribute)
        return command


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called.

    The commands' modules import what they run: pyarrow, pydantic, a store's client. That takes ten
    times as long as printing the help.

    Parameters
    ----------
    homes : mapping of str to Home
        Modules of commands by the commands' names.
    """

    def __init__(self, *args: Any, homes: Mapping[str, Home], **options: Any) -> None:
        super().__init__(*args, **options)
        # Stand-ins in `commands`, so that click lists, completes and suggests them by itself.
        for name, home in homes.items():
            self.add_command(LazyCommand(name, home))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of a command line, and import it.

        Help, completion and suggestions for misspelt names list the commands by `get_command`,
        which imports nothing.
        """
        name, command, remaining_args = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, LazyCommand) else command, remaining_args
