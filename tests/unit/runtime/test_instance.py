"""What a machine is, by what the hypervisor wrote and by what the environment says."""

from pathlib import Path

import pytest

from gigacast.core.cost.bill import Rental
from gigacast.errors import ConfigError
from gigacast.runtime.instance import find_rental


def dmi(folder: Path, vendor: str = "Amazon EC2\n", product: str = "g6.xlarge\n") -> Path:
    (folder / "sys_vendor").write_text(vendor)
    (folder / "product_name").write_text(product)
    return folder


def test_a_machine_of_ec2_tells_its_type(tmp_path: Path) -> None:
    assert find_rental({}, dmi(tmp_path)) == Rental("g6.xlarge")


def test_a_machine_of_another_maker_has_no_type_of_ec2(tmp_path: Path) -> None:
    assert find_rental({}, dmi(tmp_path, "Dell Inc.\n", "XPS 13\n")) == Rental()


def test_where_nothing_is_written_nothing_is_known(tmp_path: Path) -> None:
    assert find_rental({}, tmp_path / "none") == Rental()


def test_the_environment_says_what_the_machine_can_not(tmp_path: Path) -> None:
    told = {"GIGACAST_PURCHASE": "spot", "GIGACAST_VCPUS": "16"}
    assert find_rental(told, dmi(tmp_path)) == Rental("g6.xlarge", "spot", 16)
    named = {**told, "GIGACAST_INSTANCE": "c7i.large"}
    assert find_rental(named, dmi(tmp_path)) == Rental("c7i.large", "spot", 16)


@pytest.mark.parametrize(
    ("name", "value"),
    [("PURCHASE", "reserved"), ("VCPUS", "0"), ("VCPUS", "many"), ("VCPUS", "1.5")],
)
def test_what_can_not_be_is_refused_by_name(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"GIGACAST_{name}: '{value}'"):
        find_rental({f"GIGACAST_{name}": value}, tmp_path)
