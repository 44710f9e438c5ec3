"""Flags of `init` and `config show`."""

from dataclasses import dataclass
from pathlib import Path

from gigacast.settings.command.common import DEFAULT_CONFIG
from gigacast.settings.flag import flag


@dataclass(frozen=True, kw_only=True)
class InitOptions:
    """The settings file that `gigacast init` writes."""

    output: Path = flag(DEFAULT_CONFIG, "Settings file to write.", kind="file")
    force: bool = flag(False, "Replace a settings file that exists.")


@dataclass(frozen=True, kw_only=True)
class ConfigShowOptions:
    """The settings that `gigacast config show` lists."""

    changed: bool = flag(False, "Only settings that a flag, a variable or a file has set.")
