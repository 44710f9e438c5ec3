"""The price table: what is in it, what it refuses, and what it makes of a speed."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gigacast.core.cost.price import Instance, PriceTable
from gigacast.errors import ConfigError
from gigacast.settings.load import SHIPPED_PRICES, load_prices


def content(**changes: Any) -> dict[str, Any]:
    good = {"vcpus": 4, "gpus": 1, "on_demand": 1.0, "spot": 0.4}
    return {
        "as_of": date(2025, 7, 1),
        "region": "us-east-1",
        "source": "a list",
        "instances": {"g": good, "c": {"vcpus": 2, "on_demand": 0.09}},
        **changes,
    }


def with_instance(**fields: Any) -> dict[str, Any]:
    return content(instances={"g": {"vcpus": 4, "on_demand": 1.0, **fields}})


def test_a_price_table_has_the_size_and_price_of_each_machine() -> None:
    table = PriceTable.parse(content())
    assert table.as_of == date(2025, 7, 1)
    assert table.instances == (Instance("g", 4, 1, 1.0, 0.4), Instance("c", 2, 0, 0.09, None))
    assert table.find("c").vcpus == 2


def test_an_hour_at_a_thousand_series_per_second_is_3_600_000_series() -> None:
    machine = Instance("g", 4, 1, 3.6, 0.36)
    assert machine.dollars_per_million(1000, "on_demand") == pytest.approx(1.0)
    assert machine.dollars_per_million(1000, "spot") == pytest.approx(0.1)
    assert machine.dollars_per_million(4000, "on_demand") == pytest.approx(0.25)


def test_an_unknown_price_stays_unknown() -> None:
    machine = Instance("p", 192, 8, 55.0)
    assert machine.dollars_per_hour("spot") is None
    assert machine.dollars_per_million(1000, "spot") is None


@pytest.mark.parametrize("speed", [0, -1.0, float("nan")])
def test_an_impossible_speed_is_refused(speed: float) -> None:
    with pytest.raises(ConfigError, match="not positive"):
        Instance("g", 4, 1, 1.0).dollars_per_million(speed, "on_demand")


def test_an_unknown_machine_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ConfigError, match=r"'z'.*\n?.*g, c"):
        PriceTable.parse(content()).find("z")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (content(as_of="soon"), "prices.as_of"),
        (content(instances={}), "prices.instances"),
        (content(instances=["g"]), "prices.instances"),
        (content(instances={"g": 3}), "prices.instances.g"),
        (content(currency="EUR"), "prices.currency: unknown"),
        ({"as_of": date(2025, 7, 1)}, "prices.region: missing"),
        (with_instance(vcpus=0), "prices.instances.g.vcpus"),
        (with_instance(vcpus=2.5), "prices.instances.g.vcpus"),
        (with_instance(gpus=-1), "prices.instances.g.gpus"),
        (with_instance(on_demand=0), "prices.instances.g.on_demand"),
        (with_instance(on_demand="1 $"), "prices.instances.g.on_demand"),
        (with_instance(on_demand=True), "prices.instances.g.on_demand"),
        (with_instance(spot=-0.1), "prices.instances.g.spot"),
        (with_instance(price=1), "prices.instances.g.price: unknown"),
        (content(instances={"g": {"vcpus": 1}}), "prices.instances.g.on_demand: missing"),
    ],
)
def test_errors_in_a_price_table_are_named(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PriceTable.parse(wrong)
    assert field in str(caught.value)


def test_the_table_that_ships_can_be_read_and_spot_is_cheaper() -> None:
    table = load_prices(SHIPPED_PRICES)
    assert {instance.gpus for instance in table.instances} >= {0, 1, 8}
    assert all(offer.spot is None or offer.spot < offer.on_demand for offer in table.instances)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        load_prices(tmp_path / "none.yaml")
