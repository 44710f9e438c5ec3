"""The program: runs a command; an error becomes one line and an exit code."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from gigacast.cli.commands import COMMANDS
from gigacast.cli.lazy import GIVEN, LazyCommand, LazyGroup
from gigacast.cli.suggestion import place_of, placed_hint, remember_place
from gigacast.core.exit import EXIT_AGAIN, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE
from gigacast.core.utf8 import was_utf8
from gigacast.core.version import VERSION
from gigacast.errors import (
    ComputeError,
    ConfigError,
    DataError,
    GigacastError,
    ModelError,
    PlanError,
    StorageError,
    TransientComputeError,
    TransientStorageError,
)
from gigacast.report.terminal import say, show_json, show_traceback, shown_safely
from gigacast.runtime.interruption import interruptible

_COMPLETION = "_GIGACAST_COMPLETE"
"""Variable by which a shell asks for completions, in the protocol of click."""
# Errors before anything was done: the exit code is that of wrong usage. Others end with 1.
_AGAIN_ERRORS = (TransientComputeError, TransientStorageError)
_START_ERRORS = (ComputeError, ConfigError, DataError, ModelError, PlanError, StorageError)


_INTERRUPTED = "interrupted; what is finished is kept, a rerun continues"


class _Failure(NamedTuple):
    """An error that ends the program, as ``--json`` prints it."""

    kind: str
    message: str
    hint: str | None
    exit_code: int


class Program(LazyGroup):
    """The group of all commands; flags without a command are those of `forecast`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse a command line, as one of `forecast` if it names no command."""
        # `gigacast --bucket B` is the documented short form of `gigacast forecast --bucket B`.
        own = {"--help", "-h", "--version"}
        if args and args[0].startswith("-") and args[0] not in own:
            args = ["forecast", *args]
        elif not args and not ctx.resilient_parsing:  # a shell that completes runs nothing
            args = ["forecast" if _is_set_up() else "--help"]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the completions of a first word: commands, or the flags of `forecast`."""
        items = super().shell_complete(ctx, incomplete)
        if not incomplete.startswith("-"):
            return items
        command = self.commands["forecast"]
        assert isinstance(command, LazyCommand)  # noqa: S101 - as all of `COMMANDS`
        return [*items, *command.load().shell_complete(ctx, incomplete)]


def _is_set_up() -> bool:
    """Return whether a settings file or the environment names a bucket to forecast."""
    # Only now: the settings take a while to import.
    from gigacast.cli.flags import read_settings  # noqa: PLC0415

    settings = read_settings({})
    return bool(settings.run.bucket or settings.parquet_loader.data_paths.root_dir)


@click.group(
    cls=Program,
    homes=COMMANDS,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
    },
)
@click.version_option(VERSION, prog_name="gigacast")
def program() -> None:
    """Turn a bucket of time series into a bucket of probabilistic forecasts.

    With flags alone, or with settings that name a bucket, `forecast` runs: it forecasts every
    partition whose forecast is missing or out of date and skips the others, so that a rerun is
    always safe. `forecast --help` lists its flags.

    \b
    Examples:
      gigacast demo
      gigacast --bucket my-bucket --prefix sales --n_jobs 4
      gigacast --bucket file:///data/lake --years 2014:2016 --months 1:6 --horizon 24
      gigacast plan --bucket my-bucket --prefix sales
      gigacast show 2024/01/part-00000 --bucket my-bucket --prefix sales

    \b
    Exit codes: 0 all done or skipped, 1 some partition failed, 2 wrong usage or
    configuration, 75 an outage (the same command continues), 130 interrupted.
    """  # noqa: D301 - the mark of click for lines that are not wrapped


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and exit with its code; for a shell that completes, print the words."""
    if instruction := os.environ.get(_COMPLETION):
        from gigacast.cli.completion import answer_shell  # noqa: PLC0415 - needed by shells only

        sys.exit(answer_shell(program, instruction))
    try:
        code = run(list(sys.argv[1:] if arguments is None else arguments))
    except Exception as error:
        # A fault of the program: its traceback quotes data, as every text to people may.
        show_traceback(error)
        code = EXIT_FAILED
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run the program and return its exit code; errors are printed in one line.

    With ``--json`` an error is an object on stdout as well.
    """
    # Flags are written with underscores, as settings and keywords are; hyphens are as common.
    args = [_normalised(argument) for argument in arguments]
    as_json = "--json" in args
    root: click.Context | None = None
    try:
        _check_texts(arguments)
        # Not `program.main`: it catches Ctrl-C and exits with 1, where a shell expects 130.
        with (
            shown_safely(),
            interruptible(),
            program.make_context("gigacast", list(args)) as root,
        ):
            remember_place(root, args)
            _check_folder()
            result: Any = program.invoke(root)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except (KeyboardInterrupt, click.exceptions.Abort):
        failure = _Failure("Interrupted", _INTERRUPTED, None, EXIT_INTERRUPTED)
    except click.ClickException as error:
        message = error.format_message()
        failure = _Failure("UsageError", message, _usage_hint(error), EXIT_USAGE)
    except GigacastError as error:
        _name_flags(error, root)
        hint = placed_hint(error.hint, place_of(args)) if error.hint else None
        failure = _Failure(type(error).__name__, error.message, hint, _exit_code(error))
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            # The reader of the pipe has ended, as `| head` does. Python would print a traceback
            # when it flushes the streams at exit.
            sys.stderr.close()
            return EXIT_FAILED
        if error.filename is None:
            # Layers below turn their OSErrors into errors of gigacast, so this is about the output.
            message = f"the output can't be written: {error.strerror or error}"
            failure, as_json = _Failure("OSError", message, None, EXIT_FAILED), False
        else:
            # Of a path that was given, as one with a name that is too long.
            message = f"{os.fsdecode(error.filename)}: {error.strerror or error}"
            failure = _Failure("ConfigError", message, "name another file", EXIT_USAGE)
    else:
        return result if isinstance(result, int) else 0
    _print_failure(failure, as_json=as_json)
    return failure.exit_code


def _check_texts(arguments: Sequence[str]) -> None:
    """Refuse arguments that are no text: as names they would find nothing."""
    odd = next(
        (word for word in arguments if not was_utf8(word) and not os.path.lexists(word)), None
    )
    if odd is not None:
        raise ConfigError(
            f"the argument {odd!a} is not UTF-8, and no file has this name",
            hint="type it in a terminal whose encoding is UTF-8",
        )


def _check_folder() -> None:
    """Refuse to run in a folder that was deleted: libraries that load their parts abort there."""
    try:
        Path.cwd()
    except OSError as error:
        reason = f"the working folder is gone: {error.strerror or error}"
        raise ConfigError(reason, hint="change to another folder") from error


def _name_flags(error: GigacastError, root: click.Context | None) -> None:
    """Make the message of an error name flags as they were typed."""
    command, given = root.meta.get(GIVEN, (None, {})) if root is not None else (None, {})
    if command is not None and isinstance(error, ConfigError | ModelError):
        from gigacast.cli.naming import name_flags  # noqa: PLC0415 - takes a while to import

        name_flags(error, command, given)


def _exit_code(error: GigacastError) -> int:
    if isinstance(error, _AGAIN_ERRORS):
        return EXIT_AGAIN
    return EXIT_USAGE if isinstance(error, _START_ERRORS) else EXIT_FAILED


def _normalised(argument: str) -> str:
    """Return a long flag with underscores for hyphens, and any other argument as it is."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value


def _usage_hint(error: click.ClickException) -> str | None:
    context = getattr(error, "ctx", None)
    return f"see {context.command_path} --help" if context is not None else None


def _print_failure(failure: _Failure, *, as_json: bool) -> None:
    # Messages of libraries may have several lines; logs and terminals get one.
    line = " ".join(failure.message.split())
    say(f"gigacast: {line}", err=True)
    if failure.hint:
        say(f"  hint: {failure.hint}", err=True)
    if as_json:
        show_json({"error": {**failure._asdict(), "message": line}})
