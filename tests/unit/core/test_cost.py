"""The bill: hours of machines, dollars where a price is known, and what is left out said aloud."""

from datetime import date

import pytest

from gigacast.core.cost.bill import Rental, Usage
from gigacast.core.cost.price import Instance, PriceTable

PRICES = PriceTable(
    date(2025, 7, 1),
    "us-east-1",
    "a list",
    (Instance("c", 16, 0, 0.72, 0.36), Instance("g", 4, 1, 1.0)),
)
SPOT, FULL = Rental("c", "spot"), Rental("c", "on_demand")


def bill_of(*spent: tuple[Rental, float], series: int = 1_000_000, prices: object = PRICES):  # type: ignore[no-untyped-def]
    usage = Usage()
    for rental, seconds in spent:
        usage.add(rental, seconds)
    return usage.bill(prices, series)  # type: ignore[arg-type]


def test_time_of_one_machine_is_added_and_priced_by_how_it_was_bought() -> None:
    bill = bill_of((SPOT, 1800), (SPOT, 1800), (FULL, 3600), series=500_000)
    assert (bill.hours, bill.dollars) == (2.0, pytest.approx(0.36 + 0.72))
    assert bill.dollars_per_million == pytest.approx(2.16)
    assert bill.prices_as_of == "2025-07-01"


def test_a_part_of_a_machine_costs_its_part() -> None:
    assert bill_of((Rental("c", "spot", 4), 3600)).dollars == pytest.approx(0.09)
    assert bill_of((Rental("c", "spot", 64), 3600)).dollars == pytest.approx(0.36)


@pytest.mark.parametrize(
    "rental",
    [Rental(), Rental("c"), Rental("x", "spot"), Rental(None, "spot"), Rental("g", "spot")],
)
def test_hours_without_a_price_are_reported_and_leave_the_price_per_million_unknown(
    rental: Rental,
) -> None:
    bill = bill_of((SPOT, 3600), (rental, 7200))
    assert (bill.dollars, bill.unpriced_hours) == (pytest.approx(0.36), 2.0)
    assert bill.dollars_per_million is None
    alone = bill_of((rental, 7200))
    assert (alone.dollars, alone.hours) == (None, 2.0)


def test_without_a_table_there_are_hours_and_no_dollars() -> None:
    bill = bill_of((SPOT, 3600), prices=None)
    assert (bill.hours, bill.dollars, bill.unpriced_hours, bill.prices_as_of) == (1, None, 1, None)


def test_without_series_there_is_no_price_per_million() -> None:
    assert bill_of((SPOT, 3600), series=0).dollars_per_million is None


def test_an_audit_lists_every_machine() -> None:
    described = bill_of((SPOT, 3600), (Rental(), 36)).describe()
    assert described["machines"] == [
        {"instance": "c", "purchase": "spot", "vcpus": None, "hours": 1.0, "dollars": 0.36},
        {
            "instance": "unknown",
            "purchase": "unknown",
            "vcpus": None,
            "hours": 0.01,
            "dollars": None,
        },
    ]
