"""What machine time costs: time by machine, and the bill of a price table. Pure.

Only the time is counted in which a machine worked for us: from the start of a process to its end.
What it takes to boot, and what is stored, listed and moved, is not in here (docs/scale.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gigacast.core.cost.price import PriceTable, Purchase
from gigacast.errors import ConfigError

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Rental:
    """A machine, or a part of one, that somebody pays for by the hour.

    Parameters
    ----------
    instance : str, optional
        Its type, as ``c7i.4xlarge``; absent where a machine can't tell.
    purchase : {"on_demand", "spot"}, optional
    vcpus : int, optional
        The part of it that is ours; absent, all of it.
    """

    instance: str | None = None
    purchase: Purchase | None = None
    vcpus: int | None = None

    def dollars_per_hour(self, prices: PriceTable | None) -> float | None:
        """Return what an hour costs; ``None`` where something needed for that is not known."""
        if prices is None or self.instance is None or self.purchase is None:
            return None
        try:
            machine = prices.find(self.instance)
        except ConfigError:
            return None
        whole = machine.dollars_per_hour(self.purchase)
        if whole is None or self.vcpus is None:
            return whole
        return whole * min(1.0, self.vcpus / machine.vcpus)


@dataclass(frozen=True, slots=True)
class Bill:
    """What was paid for, in hours of machines and in US dollars.

    Parameters
    ----------
    hours : float
    dollars : float, optional
        ``None`` where no hour has a price.
    unpriced_hours : float
        Hours that are not in ``dollars``.
    series : int
        Forecast for it.
    machines : tuple of (Rental, hours, dollars or None)
    prices_as_of : str, optional
        The day of the price table.
    """

    hours: float
    dollars: float | None
    unpriced_hours: float
    series: int
    machines: tuple[tuple[Rental, float, float | None], ...] = ()
    prices_as_of: str | None = None

    @property
    def dollars_per_million(self) -> float | None:
        """Return dollars for a million series; ``None`` where that is not known."""
        if self.dollars is None or self.unpriced_hours > 0 or self.series == 0:
            return None
        return self.dollars / self.series * 1e6

    def describe(self) -> dict[str, object]:
        """Return it as an audit lists it."""
        return {
            "hours": round(self.hours, 6),
            "dollars": _cents(self.dollars),
            "dollars_per_million_series": _cents(self.dollars_per_million),
            "unpriced_hours": round(self.unpriced_hours, 6),
            "prices_as_of": self.prices_as_of,
            "machines": [
                {
                    "instance": rental.instance or UNKNOWN,
                    "purchase": rental.purchase or UNKNOWN,
                    "vcpus": rental.vcpus,
                    "hours": round(hours, 6),
                    "dollars": _cents(dollars),
                }
                for rental, hours, dollars in self.machines
            ],
        }


@dataclass(slots=True)
class Usage:
    """Seconds of machine time, by machine."""

    seconds: dict[Rental, float] = field(default_factory=dict)

    def add(self, rental: Rental, seconds: float) -> None:
        """Count more time of a machine."""
        self.seconds[rental] = self.seconds.get(rental, 0.0) + max(0.0, seconds)

    def bill(self, prices: PriceTable | None, series: int) -> Bill:
        """Return what that costs by a price table."""
        return make_bill(self.seconds, prices, series)


def make_bill(seconds: Mapping[Rental, float], prices: PriceTable | None, series: int) -> Bill:
    """Price machine time.

    Parameters
    ----------
    seconds : mapping
        By machine.
    prices : PriceTable, optional
    series : int
        Forecast in that time.
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


def _cents(dollars: float | None) -> float | None:
    """Round to a hundredth of a cent: a partition costs less than one."""
    return None if dollars is None else round(dollars, 6)
