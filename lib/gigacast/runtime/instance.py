"""What machine this is, as the price table calls it.

Nothing is asked over a network: EC2's hypervisor writes the instance type where every process can
read it, in a container as well. How it was bought the machine can't tell; who starts the process
says so in its environment, as the job definitions of ``infra/`` do.

    GIGACAST_INSTANCE   the type, where it can't be read or is none of EC2's
    GIGACAST_PURCHASE   spot or on_demand
    GIGACAST_VCPUS      the part of the machine that is ours

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
    """Return what is known of this machine; read once per process.

    Raises
    ------
    ConfigError
        When the environment says what can't be.
    """
    return find_rental(os.environ)


def find_rental(environment: Mapping[str, str], dmi: Path = _DMI) -> Rental:
    """Return what the environment and the machine itself say; empty fields where they don't.

    Parameters
    ----------
    environment : mapping
        See the module.
    dmi : Path
        Where the kernel shows what the hypervisor wrote.

    Raises
    ------
    ConfigError
        When a variable is none of what it can be; it is named.
    """
    return Rental(
        environment.get(INSTANCE) or _read_type(dmi), _purchase(environment), _vcpus(environment)
    )


def _purchase(environment: Mapping[str, str]) -> Purchase | None:
    given = environment.get(PURCHASE)
    if not given:
        return None
    for known in get_args(Purchase):
        if given == known:
            return known  # type: ignore[no-any-return]
    raise ConfigError(f"environment variable {PURCHASE}: {given!r} is neither spot nor on_demand")


def _vcpus(environment: Mapping[str, str]) -> int | None:
    given = environment.get(VCPUS)
    if not given:
        return None
    if not given.isdecimal() or int(given) == 0:
        raise ConfigError(f"environment variable {VCPUS}: {given!r} is no number of vCPUs")
    return int(given)


def _read_type(dmi: Path) -> str | None:
    try:
        if (dmi / "sys_vendor").read_text().strip() != _VENDOR:
            return None
        return (dmi / "product_name").read_text().strip() or None
    except (OSError, UnicodeDecodeError):
        return None
