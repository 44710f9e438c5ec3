"""Central intervals in percent, as another form of the quantile levels.

Each source of settings (arguments, environment, file) is brought into the form of quantiles by
itself, so that a stronger source wins, in whichever form it names them.
"""

from collections.abc import Mapping
from typing import Any

from pydantic_settings import EnvSettingsSource, InitSettingsSource

from gigacast.errors import ConfigError
from gigacast.settings.loader import split_list


def with_quantiles(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of one source with ``forecast.quantiles`` in place of ``forecast.level``.

    Raises
    ------
    ConfigError
        If the source names both, or an interval is not between 0 and 100 percent.
    """
    forecast = values.get("forecast")
    if not isinstance(forecast, Mapping):
        return dict(values)
    level = forecast.get("level")
    # Values of any type come here, and those of some have no truth.
    if level is None or (isinstance(level, list | tuple | str) and len(level) == 0):
        return dict(values)
    if forecast.get("quantiles") is not None:
        raise ConfigError(
            "forecast.level and forecast.quantiles both name the quantiles of the forecasts",
            hint="leave one of them out",
        )
    remaining = {name: value for name, value in forecast.items() if name != "level"}
    return {**values, "forecast": {**remaining, "quantiles": quantiles_of(level)}}


def quantiles_of(level: Any) -> list[float]:
    """Return the quantile levels of central intervals, the median among them, ascending.

    Parameters
    ----------
    level : number, text or sequence
        Percentages, as ``80,95``.

    Raises
    ------
    ConfigError
    """
    entries = split_list(level) if isinstance(level, str) else level
    percents = [*map(_percent, entries if isinstance(entries, list | tuple) else [entries])]
    halves = [percent / 200 for percent in percents]
    levels = {0.5, *(0.5 - half for half in halves), *(0.5 + half for half in halves)}
    # 0.5 - 0.475 is 0.025: the same levels are the same spec, however they were computed.
    return sorted({float(f"{number:.10g}") for number in levels})


def _percent(entry: Any) -> float:
    try:
        percent = float(entry)
    except (TypeError, ValueError, OverflowError):
        percent = 0.0
    if not 0 < percent < 100:
        raise ConfigError(
            f"forecast.level: {entry!r} is not between 0 and 100 percent",
            hint="as 80,95",
        )
    if percent < 1:
        raise ConfigError(
            f"forecast.level: {entry!r} is less than one percent",
            hint=f"write {percent * 100:g} for the interval that holds {percent * 100:g} %",
        )
    return percent


class ValueSource(InitSettingsSource):
    """Settings from arguments or a file."""

    def __call__(self) -> dict[str, Any]:
        """Return the values by section."""
        return with_quantiles(super().__call__())


class VariableSource(EnvSettingsSource):
    """Settings from the environment."""

    def __call__(self) -> dict[str, Any]:
        """Return the values by section."""
        return with_quantiles(super().__call__())
