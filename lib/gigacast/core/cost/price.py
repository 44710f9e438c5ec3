"""Prices of machines by the hour, and the cost of a million series at a given speed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

from gigacast.core.mark import Count, Fits, Limits, ReadAs, Text
from gigacast.core.problem import FormError, Source
from gigacast.core.record import read_record
from gigacast.errors import ConfigError

Purchase = Literal["on_demand", "spot"]

# No machine costs more by the hour: a larger number is a typing error, or a price by the month.
_Dollars = Annotated[float, Fits(lambda price: 0 < price < 1e4, "US dollars an hour below 10,000")]


@dataclass(frozen=True, slots=True)
class _Rates:
    """One entry of a price table; the instance's name is its key."""

    vcpus: Annotated[int, Limits(1)]
    on_demand: _Dollars
    gpus: Count = 0
    spot: _Dollars | None = None


@dataclass(frozen=True, slots=True)
class Instance:
    """A machine that can be rented.

    Parameters
    ----------
    name : str
        Type of the machine, such as ``c7i.4xlarge``.
    vcpus, gpus : int
        Counts of processors.
    on_demand : float
        US dollars an hour.
    spot : float, optional
        US dollars an hour for spare capacity, which change from hour to hour; unknown by default.
    """

    name: str
    vcpus: int
    gpus: int
    on_demand: float
    spot: float | None = None

    def dollars_per_hour(self, purchase: Purchase) -> float | None:
        """Return the price of an hour in US dollars; ``None`` when it is unknown."""
        return self.spot if purchase == "spot" else self.on_demand

    def dollars_per_million(self, series_per_second: float, purchase: Purchase) -> float | None:
        """Return the cost of a million series in US dollars, at a speed of the whole machine.

        Raises
        ------
        ConfigError
            When the speed is not positive.
        """
        if not series_per_second > 0:
            raise ConfigError(f"series per second: {series_per_second} is not positive")
        hourly = self.dollars_per_hour(purchase)
        return None if hourly is None else hourly / 3600 * 1e6 / series_per_second


def _named_instances(rates: Mapping[str, _Rates]) -> tuple[Instance, ...]:
    if not rates:
        raise FormError("no instance is listed")
    return tuple(
        Instance(name, rate.vcpus, rate.gpus, rate.on_demand, rate.spot)
        for name, rate in rates.items()
    )


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices of a region on a day.

    Parameters
    ----------
    as_of : date
    region : str
        Region of AWS in which the prices hold.
    source : str
        Origin of the prices, for people.
    instances : tuple of Instance
    """

    as_of: date
    region: Text
    source: Text
    instances: Annotated[tuple[Instance, ...], ReadAs(dict[str, _Rates], _named_instances)]

    @classmethod
    def parse(cls, content: Any) -> "PriceTable":
        """Read a table from plain values, as a table in YAML holds them.

        Raises
        ------
        ConfigError
            When a field is missing, unknown or out of its range; the message names its place.
        """
        return read_record(cls, content, Source("", ConfigError), place="prices")

    def has(self, name: str) -> bool:
        """Whether the table has an instance of that name."""
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
        names = ", ".join(instance.name for instance in self.instances)
        raise ConfigError(
            f"no price of {name!r}", hint=f"add it to the price table, or use {names}"
        )
