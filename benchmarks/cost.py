"""Dollars per million series, from a measured speed and the dated price table.

    python benchmarks/cost.py RATE [--vcpus 1] [--gpus 0] [--prices FILE]

RATE is in series per second, measured on this number of vCPUs (or GPUs). Dollars = price per hour /
3600 x 1,000,000 / series per second of the whole machine. This speed is assumed to grow with the
number of vCPUs (GPUs), because partitions share nothing. Start, storage and requests are not
included.
"""

import argparse
from pathlib import Path

from gigacast.core.cost.price import Instance
from gigacast.errors import ConfigError
from gigacast.settings.load import load_prices


def machine_rate(instance: Instance, rate: float, vcpus: int, gpus: int) -> float | None:
    """Return the speed of a whole machine; ``None`` for the kind (CPU, GPU) without a rate."""
    if bool(instance.gpus) != bool(gpus):
        return None
    return rate * instance.gpus / gpus if gpus else rate * instance.vcpus / vcpus


def money(dollars: float | None) -> str:
    return "-" if dollars is None else f"{dollars:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rate", type=float, help="series per second")
    parser.add_argument("--vcpus", type=int, default=1, help="it was measured on")
    parser.add_argument("--gpus", type=int, default=0, help="it was measured on")
    parser.add_argument("--prices", type=Path)
    options = parser.parse_args()
    try:
        report(options)
    except ConfigError as error:
        parser.error(str(error))


def report(options: argparse.Namespace) -> None:
    """Print the table of the machines of the measured kind."""
    table = load_prices(options.prices)
    print(f"prices of {table.as_of}, {table.region} ({table.source})\n")
    print("| machine | series/s | $/h | $ per million series | spot $/h | spot $ per million |")
    print("| --- | --- | --- | --- | --- | --- |")
    for machine in table.instances:
        rate = machine_rate(machine, options.rate, options.vcpus, options.gpus)
        if rate is None:
            continue
        cost = {kind: machine.dollars_per_million(rate, kind) for kind in ("on_demand", "spot")}
        spot = "-" if machine.spot is None else f"{machine.spot:.3f}"
        print(
            f"| {machine.name} | {rate:,.0f} | {machine.on_demand:.3f} "
            f"| {money(cost['on_demand'])} | {spot} | {money(cost['spot'])} |"
        )


if __name__ == "__main__":
    main()
