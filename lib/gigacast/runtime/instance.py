"""Instance type, purchase option and vCPUs of this machine, for the price table.

No network request is made: EC2's hypervisor shows the instance type in the machine's DMI strings,
which every process can read, in a container as well. The purchase option is not visible from
inside, so the environment states it, as the job definitions of ``infra/`` do.

    GIGACAST_INSTANCE   instance type, if the DMI strings do not show it or it is not from EC2
    GIGACAST_PURCHASE   spot or on_demand
    GIGACAST_VCPUS      vCPUs of the machine that this job may use

Source: *Amazon EC2 User Guide, Detect whether a host is an EC2 instance* (DMI strings of Nitro).
"""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import get_args

from gigacast.core.cost.bill import Rental
from gigacast.core.cost.price import Purchase
from gigacast.errors import ConfigError

INSTANCE = "GIGACAST_INSTANCE"
PURCHASE = "GIGACAST_PURCHASE"
VCPUS = "GIGACAST_VCPUS"
VARIABLES = (INSTANCE, PURCHASE, VCPUS)

_DMI = Path("/sys/devices/virtual/dmi/id")
_VENDOR = "Amazon EC2"


@cache
def this_machine() -> Rental:
    """Return the rental of this machine; read once per process.

    Raises
    ------
    ConfigError
        If an environment variable has an invalid value.
    """
    return find_rental(os.environ)


def find_rental(environment: Mapping[str, str], dmi: Path = _DMI) -> Rental:
    """Return the rental described by the environment and the machine; unknown fields are ``None``.

    Parameters
    ----------
    environment : mapping
        Environment variables; see the module.
    dmi : Path
        Folder in which the kernel shows the DMI strings of the hypervisor.

    Raises
    ------
    ConfigError
        If a variable has an invalid value; the message names the variable.
    """
    return Rental(
        environment.get(INSTANCE) or _read_type(dmi), _purchase(environment), _vcpus(environment)
    )


def _purchase(environment: Mapping[str, str]) -> Purchase | None:
    value = environment.get(PURCHASE)
    if not value:
        return None
    for option in get_args(Purchase):
        if value == option:
            return option  # type: ignore[no-any-return]
    raise ConfigError(f"environment variable {PURCHASE}: {value!r} is neither spot nor on_demand")


def _vcpus(environment: Mapping[str, str]) -> int | None:
    value = environment.get(VCPUS)
    if not value:
        return None
    if not value.isdecimal() or int(value) == 0:
        raise ConfigError(
            f"environment variable {VCPUS}: {value!r} is not a whole number of vCPUs above 0"
        )
    return int(value)


def _read_type(dmi: Path) -> str | None:
    # The product name is an instance type only on EC2; elsewhere it is the model of a computer.
    try:
        if (dmi / "sys_vendor").read_text().strip() != _VENDOR:
            return None
        return (dmi / "product_name").read_text().strip() or None
    except (OSError, UnicodeDecodeError):
        return None
