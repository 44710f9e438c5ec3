"""The origin of settings: which argument, variable or file set each of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gigacast.settings.level import VariableSource, with_quantiles
from gigacast.settings.load import load_settings, read_file
from gigacast.settings.model import Settings
from gigacast.settings.option import Option
from gigacast.settings.options import OPTIONS

Source = Literal["argument", "environment", "file", "default"]
_MISSING = object()


@dataclass(frozen=True, slots=True)
class SettingOrigin:
    """A setting, its value, and what set it.

    Parameters
    ----------
    option : Option
        Row of the setting in the table of options.
    value : object
        Value in force.
    source : str
        Kind of the place that set it: ``argument``, ``environment``, ``file`` or ``default``.
    place : str
        Flag, variable or file that set it; empty for defaults.
    """

    option: Option
    value: Any
    source: Source
    place: str = ""


def trace_settings(
    arguments: Mapping[str, Any] | None = None, *, file: Path | None = None
) -> tuple[SettingOrigin, ...]:
    """Return every setting with its value and what set it, in the order of a settings file.

    Parameters
    ----------
    arguments : mapping, optional
        Values by section, as those of `load_settings`.
    file : Path, optional
        Settings file.

    Raises
    ------
    ConfigError
        If the settings are not valid.
    """
    settings = load_settings(arguments, file=file)
    # The order of precedence is that of `Settings.settings_customise_sources`.
    sources: tuple[tuple[Source, Mapping[str, Any]], ...] = (
        ("argument", with_quantiles(arguments or {})),
        ("environment", VariableSource(Settings)()),
        ("file", with_quantiles(read_file(file) if file else {})),
    )
    return tuple(_origins(settings, sources, file))


def _origins(
    settings: Settings, sources: tuple[tuple[Source, Mapping[str, Any]], ...], file: Path | None
) -> Iterator[SettingOrigin]:
    for option in OPTIONS:
        source: Source = next(
            (name for name, values in sources if _is_in(values, option)), "default"
        )
        places = {
            "argument": f"--{option.name}",
            "environment": option.variable,
            "file": str(file),
        }
        yield SettingOrigin(option, option.read(settings), source, places.get(source, ""))


def _is_in(values: Mapping[str, Any], option: Option) -> bool:
    value: Any = values
    for part in option.path:
        value = value.get(part, _MISSING) if isinstance(value, Mapping) else _MISSING
    return value is not _MISSING
