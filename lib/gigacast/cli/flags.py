"""Flags made from the table of options, and the settings read from them.

A flag has its option's name in `gigacast.settings.options`; hyphens and underscores both work.
"""

from collections.abc import Callable, Iterable
from math import isnan
from pathlib import Path
from typing import Any, TypeVar

import click

from gigacast.cli.help import Flag
from gigacast.settings.command.common import DEFAULT_CONFIG, ConfigOption, JsonOption, QuietOption
from gigacast.settings.command.texts import setting_for
from gigacast.settings.flag import rows_of
from gigacast.settings.load import load_settings
from gigacast.settings.loader import split_list
from gigacast.settings.model import Settings
from gigacast.settings.option import Kind, Option
from gigacast.settings.options import ARGUMENTS, names_of, nest_arguments

F = TypeVar("F", bound=Callable[..., Any])
JOB_FLAGS = names_of("where", "which", "how", "columns", "csv", "covariates", "with")
"""Flags of every command that plans or runs a forecasting job."""
PLACE = ("bucket", "prefix", "endpoint_url", "region")
"""Flags for the address of a registry or a lake."""
_MOST = 2**63 - 1
"""The greatest whole number that arrays hold."""


class WholeNumber(click.IntRange):
    """Whole numbers that arrays hold, within bounds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of a text."""
        number: int = super().convert(value, param, ctx)
        if abs(number) > _MOST:
            self.fail(f"{value} is too large.", param, ctx)
        return number


class Number(click.FloatRange):
    """Numbers within bounds. What is no number is within none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number of a text."""
        number: float = super().convert(value, param, ctx)
        if isnan(number):
            self.fail(f"{value!r} is no number.", param, ctx)
        return number


_TYPES: dict[Kind, click.ParamType[Any]] = {
    "integer": WholeNumber(),
    "number": Number(),
    "file": click.Path(path_type=Path, dir_okay=False),
    "folder": click.Path(path_type=Path, file_okay=False),
    "path": click.Path(path_type=Path),
}


def make_flag(option: Option) -> Callable[[F], F]:
    """Declare the flag of a row of a table of options."""
    names = [f"{'--' if name[1:] else '-'}{name}" for name in (option.name, *option.aliases)]
    if option.has_no_form:
        names = [f"--{option.name}/--no_{option.name}"]
    # Lists of names are joined: `--targets a,b` and `--targets a --targets b` are the same.
    joins = option.kind == "names" and bool(option.path)
    # A flag has no default of its own: without it the environment and the settings file decide, or
    # the class that declares it. For click, None is a value, so that nothing would be missing.
    default: dict[str, Any] = {} if option.is_required else {"default": None}
    return click.option(
        *names,
        option.keyword,
        cls=Flag,
        row=option,
        is_flag=option.kind == "switch",
        type=_type_of(option),
        metavar=None if option.kind in ("switch", "choice") else option.metavar,
        multiple=option.is_repeated or joins,
        callback=_joined_names if joins else None,
        required=option.is_required,
        help=option.help_with_default,
        **default,
    )


def _joined_names(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...] | None
) -> str | list[Any] | None:
    """Return the names of a flag that may be repeated; ``None`` without it."""
    del context, parameter
    if not values or len(values) < 2:
        return values[0] if values else None
    return [name for value in values for name in _listed(value)]


def _listed(value: str) -> list[Any]:
    names = split_list(value)
    return names if isinstance(names, list) else [names]


def _type_of(option: Option) -> click.ParamType[Any] | None:
    if option.kind == "switch":
        return None
    if option.choices:
        return click.Choice(option.choices)
    # Bounds of settings are checked with the settings, for every way to set them: the error names
    # the setting.
    if (bounds := option.range) is None:
        return _TYPES.get(option.kind, click.STRING)
    kind = WholeNumber if option.kind == "integer" else Number
    return kind(bounds.least, bounds.most, min_open=bounds.above)


def flags_of(*classes: type[Any]) -> Callable[[F], F]:
    """Declare the flags of classes of options, in this order; `take` reads their values."""
    return _declare(row for options in classes for row in rows_of(options))


def settings_flags(*names: str, command: str = "") -> Callable[[F], F]:
    """Declare the flags of several settings, in this order.

    Parameters
    ----------
    *names : str
        Names in the table of options.
    command : str
        Command to which some settings mean something else, see `gigacast.settings.commands.TEXTS`.
    """
    return _declare(setting_for(command, name) for name in names)


def _declare(rows: Iterable[Option]) -> Callable[[F], F]:
    flags = [make_flag(row) for row in rows]

    def decorate(command: F) -> F:
        # click lists the decorator that is nearest to the function last.
        for declare in reversed(flags):
            command = declare(command)
        return command

    return decorate


config_option = flags_of(ConfigOption)
json_option = flags_of(JsonOption)
quiet_option = flags_of(QuietOption)


def settings_options(command: F) -> F:
    """Add the flags of a forecasting job, and ``--config``."""
    return settings_flags(*JOB_FLAGS)(config_option(command))


def array_options(command: F) -> F:
    """Add the flags of array jobs."""
    return settings_flags(*names_of("array"))(command)


def place_options(command: F) -> F:
    """Add the flags for the address of a registry or a lake, ``--config`` and ``--json``."""
    return settings_flags(*PLACE)(config_option(json_option(command)))


def where_options(command: F) -> F:
    """Add the flags of bucket, prefix and endpoint, and ``--config``."""
    return settings_flags(*names_of("where"))(config_option(command))


def take_config(flags: dict[str, Any]) -> Path | None:
    """Return the settings file, which is taken out of a command's flags."""
    file: Path | None = flags.pop("config", None)
    return DEFAULT_CONFIG if file is None and DEFAULT_CONFIG.is_file() else file


def read_settings(flags: dict[str, Any]) -> Settings:
    """Return the settings of a command from its flags.

    Parameters
    ----------
    flags : dict
        Values by name; those of settings, and ``config``, are taken out of it.

    Raises
    ------
    ConfigError
    """
    file = take_config(flags)
    arguments = {name: flags.pop(name) for name in list(flags) if name in ARGUMENTS}
    return load_settings(nest_arguments(arguments), file=file)
