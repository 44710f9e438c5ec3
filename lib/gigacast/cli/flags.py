"""Flags made from the table of options, and the settings read from them.

A flag has its option's name in `gigacast.settings.options`; hyphens and underscores both work.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from gigacast.settings.load import load_settings
from gigacast.settings.model import Settings
from gigacast.settings.options import ARGUMENTS, Kind, Option, names_of, nest_arguments

F = TypeVar("F", bound=Callable[..., Any])
DEFAULT_CONFIG = Path("config/settings.yaml")
JOB_FLAGS = names_of("where", "which", "how", "columns", "covariates", "with")
"""Flags of every command that plans or runs a forecasting job."""
_TYPES: dict[Kind, click.ParamType[Any]] = {
    "integer": click.INT,
    "number": click.FLOAT,
    "folder": click.Path(path_type=Path, file_okay=False),
}


def setting(name: str, help_text: str | None = None) -> Callable[[F], F]:
    """Declare the flag of an option.

    Parameters
    ----------
    name : str
        Name in the table of options.
    help_text : str, optional
        Help for a command to which the option means something else; the table's by default.
    """
    return make_flag(ARGUMENTS[name], help_text)


def make_flag(option: Option, help_text: str | None = None) -> Callable[[F], F]:
    """Declare the flag of a row of a table of options."""
    name, text = option.name, help_text or option.help_with_default
    # A flag has no default of its own: without it the environment and the settings file decide.
    if option.kind == "switch":
        return click.option(f"--{name}/--no_{name}", name, default=None, help=text)
    names = [f"--{name}", *(f"--{alias}" for alias in option.aliases)]
    if option.choices:
        return click.option(*names, name, type=click.Choice(option.choices), help=text)
    # Bounds are checked with the settings, for every way to set them: the error names the setting.
    kind = _TYPES.get(option.kind, click.STRING)
    return click.option(*names, name, type=kind, metavar=option.metavar, help=text)


def settings_flags(*names: str, texts: Mapping[str, str] | None = None) -> Callable[[F], F]:
    """Declare the flags of several options, in this order.

    Parameters
    ----------
    *names : str
        Names in the table of options.
    texts : mapping of str to str, optional
        Help for a command to which some options mean something else, by name.
    """

    def decorate(command: F) -> F:
        for name in reversed(names):
            command = setting(name, (texts or {}).get(name))(command)
        return command

    return decorate


config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"Settings file; {DEFAULT_CONFIG} by default, if it exists.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
quiet_option = click.option("--quiet", is_flag=True, help="Print errors only.")


def settings_options(command: F) -> F:
    """Add the flags of a forecasting job, and ``--config``."""
    return settings_flags(*JOB_FLAGS)(config_option(command))


def array_options(command: F) -> F:
    """Add the flags of array jobs."""
    return settings_flags(*names_of("array"))(command)


def where_options(command: F) -> F:
    """Add the flags of bucket, prefix and endpoint, and ``--config``."""
    return settings_flags(*names_of("where"))(config_option(command))


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
    file = flags.pop("config", None)
    if file is None and DEFAULT_CONFIG.is_file():
        file = DEFAULT_CONFIG
    arguments = {name: flags.pop(name) for name in list(flags) if name in ARGUMENTS}
    return load_settings(nest_arguments(arguments), file=file)
