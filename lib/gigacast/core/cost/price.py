"""What machines cost by the hour, and what that makes of a speed. Pure."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from gigacast.errors import ConfigError

Purchase = Literal["on_demand", "spot"]

_FIELDS = {"vcpus", "gpus", "on_demand", "spot"}


@dataclass(frozen=True, slots=True)
class Instance:
    """A machine that can be rented.

    Parameters
    ----------
    name : str
        As ``c7i.4xlarge``.
    vcpus, gpus : int
    on_demand : float
        US dollars an hour.
    spot : float, optional
        The same for spare capacity, which moves from hour to hour; absent where nobody noted it.
    """

    name: str
    vcpus: int
    gpus: int
    on_demand: float
    spot: float | None = None

    def dollars_per_hour(self, purchase: Purchase) -> float | None:
        """Return what an hour costs; ``None`` where that is not known."""
        return self.spot if purchase == "spot" else self.on_demand

    def dollars_per_million(self, series_per_second: float, purchase: Purchase) -> float | None:
        """Return what a million series cost at a speed of the whole machine.

        Raises
        ------
        ConfigError
            When the speed is not positive.
        """
        if not series_per_second > 0:
            raise ConfigError(f"series per second: {series_per_second} is not positive")
        hourly = self.dollars_per_hour(purchase)
        return None if hourly is None else hourly / 3600 * 1e6 / series_per_second


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices as they were on a day.

    Parameters
    ----------
    as_of : date
    region, source : str
        Where they hold, and who says so.
    instances : tuple of Instance
    """

    as_of: date
    region: str
    source: str
    instances: tuple[Instance, ...]

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> "PriceTable":
        """Read a table from plain values, as ``config/prices.yaml`` holds them.

        Raises
        ------
        ConfigError
            When a field is missing, unknown or out of its range; the message names it.
        """
        _check_names("prices", content, {"as_of", "region", "source", "instances"})
        if not isinstance(content["as_of"], date):
            raise ConfigError(f"prices.as_of: {content['as_of']!r} is not a date as 2025-07-01")
        named = content["instances"]
        if not isinstance(named, Mapping) or not named:
            raise ConfigError("prices.instances: no instance is listed")
        instances = tuple(_parse_instance(str(name), fields) for name, fields in named.items())
        return cls(content["as_of"], str(content["region"]), str(content["source"]), instances)

    def has(self, name: str) -> bool:
        """Whether an instance is in the table."""
        return any(instance.name == name for instance in self.instances)

    def find(self, name: str) -> Instance:
        """Return an instance by name.

        Raises
        ------
        ConfigError
            When it is not in the table; the hint lists those that are.
        """
        for instance in self.instances:
            if instance.name == name:
                return instance
        known = ", ".join(instance.name for instance in self.instances)
        raise ConfigError(
            f"no price of {name!r}", hint=f"add it to the price table, or use {known}"
        )


def _parse_instance(name: str, fields: Any) -> Instance:
    where = f"prices.instances.{name}"
    if not isinstance(fields, Mapping):
        raise ConfigError(f"{where}: expected {', '.join(sorted(_FIELDS))}")
    _check_names(where, fields, _FIELDS, optional={"gpus", "spot"})
    spot = fields.get("spot")
    return Instance(
        name=name,
        vcpus=_whole(f"{where}.vcpus", fields["vcpus"], least=1),
        gpus=_whole(f"{where}.gpus", fields.get("gpus", 0), least=0),
        on_demand=_dollars(f"{where}.on_demand", fields["on_demand"]),
        spot=None if spot is None else _dollars(f"{where}.spot", spot),
    )


def _check_names(
    where: str, content: Mapping[str, Any], names: set[str], optional: Set[str] = frozenset()
) -> None:
    for name in sorted(names - optional - set(content)):
        raise ConfigError(f"{where}.{name}: missing")
    for name in sorted(set(map(str, content)) - names):
        raise ConfigError(f"{where}.{name}: unknown key")


def _whole(field: str, value: Any, *, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{field}: {value!r} is not a whole number of at least {least}")
    return value


def _dollars(field: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e4:
        raise ConfigError(f"{field}: {value!r} is no price by the hour in US dollars")
    return float(value)
