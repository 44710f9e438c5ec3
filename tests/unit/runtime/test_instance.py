"""The rental of a machine, from the hypervisor's DMI strings and from the environment."""

from pathlib import Path

import pytest

from gigacast.core.cost.bill import Rental
from gigacast.errors import ConfigError
from gigacast.runtime.instance import find_rental


def dmi(folder: Path, vendor: str = "Amazon EC2\n", product: str = "g6.xlarge\n") -> Path:
    (folder / "sys_vendor").write_text(vendor)
    (folder / "product_name").write_text(product)
    return folder


def test_an_ec2_machine_shows_its_instance_type(tmp_path: Path) -> None:
    assert find_rental({}, dmi(tmp_path)) == Rental("g6.xlarge")


def test_a_machine_of_another_vendor_has_no_instance_type(tmp_path: Path) -> None:
    assert find_rental({}, dmi(tmp_path, "Dell Inc.\n", "XPS 13\n")) == Rental()


def test_without_dmi_strings_the_rental_is_unknown(tmp_path: Path) -> None:
    assert find_rental({}, tmp_path / "none") == Rental()


def test_the_environment_adds_to_and_overrides_the_dmi_strings(tmp_path: Path) -> None:
    variables = {"GIGACAST_PURCHASE": "spot", "GIGACAST_VCPUS": "16"}
    assert find_rental(variables, dmi(tmp_path)) == Rental("g6.xlarge", "spot", 16)
    named = {**variables, "GIGACAST_INSTANCE": "c7i.large"}
    assert find_rental(named, dmi(tmp_path)) == Rental("c7i.large", "spot", 16)


@pytest.mark.parametrize(
    ("name", "value"),
    [("PURCHASE", "reserved"), ("VCPUS", "0"), ("VCPUS", "many"), ("VCPUS", "1.5")],
)
def test_the_error_of_an_invalid_value_names_the_variable(
    tmp_path: Path, name: str, value: str
) -> None:
    with pytest.raises(ConfigError, match=f"GIGACAST_{name}: '{value}'"):
        find_rental({f"GIGACAST_{name}": value}, tmp_path)
