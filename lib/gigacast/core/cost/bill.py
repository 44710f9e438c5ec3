"""The cost of machine time: seconds by machine, and the bill by a price table.

Time is counted from the start of a process to its end. Boot time, storage, requests and transfer
are not included (docs/scale.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gigacast.core.cost.price import PriceTable, Purchase
from gigacast.errors import ConfigError

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Rental:
    """A machine, or a part of one, that is paid for by the hour.

    Parameters
    ----------
    instance : str, optional
        Type of the machine, such as ``c7i.4xlarge``; unknown by default.
    purchase : {"on_demand", "spot"}, optional
    vcpus : int, optional
        Processors of it that are used; all by default.
    """

    instance: str | None = None
    purchase: Purchase | None = None
    vcpus: int | None = None

    def dollars_per_hour(self, prices: PriceTable | None) -> float | None:
        """Return the price of an hour in US dollars; ``None`` when it is unknown."""
        if prices is None or self.instance is None or self.purchase is None:
            return None
        try:
            machine = prices.find(self.instance)
        except ConfigError:
            return None
        price = machine.dollars_per_hour(self.purchase)
        if price is None or self.vcpus is None:
            return price
        return price * min(1.0, self.vcpus / machine.vcpus)


@dataclass(frozen=True, slots=True)
class Bill:
    """The machine time of a run in hours and US dollars.

    Parameters
    ----------
    hours : float
    dollars : float, optional
        Cost of the hours with a price; ``None`` when none has one.
    unpriced_hours : float
        Hours without a price, which are not in ``dollars``.
    series : int
        Count of series forecast in that time.
    machines : tuple of (Rental, hours, dollars or None)
    prices_as_of : str, optional
        Day of the price table.
    """

    hours: float
    dollars: float | None
    unpriced_hours: float
    series: int
    machines: tuple[tuple[Rental, float, float | None], ...] = ()
    prices_as_of: str | None = None

    @property
    def dollars_per_million(self) -> float | None:
        """US dollars for a million series; ``None`` if any hour has no price."""
        # Dollars of the priced hours alone would understate the cost of all series.
        if self.dollars is None or self.unpriced_hours > 0 or self.series == 0:
            return None
        return self.dollars / self.series * 1e6

    def describe(self) -> dict[str, object]:
        """Return the bill as plain values, for an audit."""
        return {
            "hours": round(self.hours, 6),
            "dollars": _rounded(self.dollars),
            "dollars_per_million_series": _rounded(self.dollars_per_million),
            "unpriced_hours": round(self.unpriced_hours, 6),
            "prices_as_of": self.prices_as_of,
            "machines": [
                {
                    "instance": rental.instance or UNKNOWN,
                    "purchase": rental.purchase or UNKNOWN,
                    "vcpus": rental.vcpus,
                    "hours": round(hours, 6),
                    "dollars": _rounded(dollars),
                }
                for rental, hours, dollars in self.machines
            ],
        }


@dataclass(slots=True)
class Usage:
    """Seconds of machine time, by machine."""

    seconds: dict[Rental, float] = field(default_factory=dict)

    def add(self, rental: Rental, seconds: float) -> None:
        """Add time of a machine."""
        # A clock that is set back between two readings must not reduce the bill.
        self.seconds[rental] = self.seconds.get(rental, 0.0) + max(0.0, seconds)

    def bill(self, prices: PriceTable | None, series: int) -> Bill:
        """Return the bill by a price table."""
        return make_bill(self.seconds, prices, series)


def make_bill(seconds: Mapping[Rental, float], prices: PriceTable | None, series: int) -> Bill:
    """Return the bill of machine time.

    Parameters
    ----------
    seconds : mapping
        Seconds by machine.
    prices : PriceTable, optional
    series : int
        Count of series forecast in that time.
    """
    machines = []
    for rental, spent in seconds.items():
        hourly = rental.dollars_per_hour(prices)
        machines.append((rental, spent / 3600, None if hourly is None else hourly * spent / 3600))
    priced = [dollars for _, _, dollars in machines if dollars is not None]
    return Bill(
        hours=sum(hours for _, hours, _ in machines),
        dollars=sum(priced) if priced else None,
        unpriced_hours=sum(hours for _, hours, dollars in machines if dollars is None),
        series=series,
        machines=tuple(machines),
        prices_as_of=prices.as_of.isoformat() if prices is not None else None,
    )


def _rounded(dollars: float | None) -> float | None:
    """Round to a millionth of a dollar: a single partition costs less than a cent."""
    return None if dollars is None else round(dollars, 6)
