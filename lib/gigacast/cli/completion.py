"""``gigacast completion``: completion of commands and flags in a shell."""

import click
from click.shell_completion import get_completion_class, shell_complete

from gigacast.cli.flags import json_option
from gigacast.cli.help import Command
from gigacast.report.terminal import show_json

_VARIABLE = "_GIGACAST_COMPLETE"
SHELLS = ("bash", "fish", "zsh")


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(SHELLS))
@json_option
@click.pass_context
def completion(context: click.Context, shell: str, as_json: bool) -> None:
    """Print the script that completes commands and flags in SHELL.

    \b
    Examples:
      eval "$(gigacast completion bash)"       # in ~/.bashrc
      eval "$(gigacast completion zsh)"        # in ~/.zshrc
      gigacast completion fish > ~/.config/fish/completions/gigacast.fish
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - the shells of click
    complete = kind(context.find_root().command, {}, "gigacast", _VARIABLE)
    if as_json:
        show_json({"shell": shell, "script": complete.source()}, is_ascii=True)
    else:
        click.echo(complete.source())


def answer_shell(program: click.Command, instruction: str) -> int:
    """Print the completions that a shell asks for, and return the exit code. No command is run."""
    return shell_complete(program, {}, "gigacast", _VARIABLE, instruction)
