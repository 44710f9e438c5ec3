"""How a run is divided over array jobs, and the command line of a child."""

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, Self

from gigacast.core.cost.array_plan import MAX_ARRAY, Machine, QueueKind
from gigacast.core.cost.price import PriceTable
from gigacast.errors import ConfigError
from gigacast.job.outage import DEFAULT_MINUTES, Patience
from gigacast.storage.store import StoreAddress

QueueChoice = Literal["auto", "cpu", "gpu"]
_MINUTES = re.compile(r"[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class ArrayOptions:
    """Deployment, division and machines of an array run.

    Parameters
    ----------
    stack : str
        Name of the deployment: its queues and job definitions are ``{stack}-cpu`` and
        ``{stack}-gpu``.
    queue : {"auto", "cpu", "gpu"}
    children : int, optional
        Maximum number of children; by default as many as have ``target_s`` of work.
    target_s : float
        Minimum seconds of work for a child, so that its start is worth it.
    timeout_s : int
        Maximum seconds of each attempt of a child.
    valid_for : timedelta
        Age of a plan after which children refuse it.
    help_late : bool, optional
        Whether children that have done their tasks do the last ones of children that are late; by
        default those of large arrays of forecasts.
    cpu, gpu : Machine
        Start-up, speed and price by which `choose_queue` weighs the queues.
    cpu_instance, gpu_instance : str
        Machine of a child, as the price table names it. No other child shares it.
    prices : PriceTable, optional
    cpu_bytes_per_s : float
        Input bytes per second of a CPU process, used while there are no receipts.
    """

    stack: str = "gigacast"
    queue: QueueChoice = "auto"
    children: int | None = None
    target_s: float = 900.0
    timeout_s: int = 6 * 3600
    valid_for: timedelta = timedelta(days=7)
    help_late: bool | None = None
    cpu: Machine = field(default_factory=lambda: Machine(120.0, 8.0, 0.30))
    gpu: Machine = field(default_factory=lambda: Machine(300.0, 60.0, 0.35))
    cpu_instance: str = "c7i.4xlarge"
    gpu_instance: str = "g6.xlarge"
    prices: PriceTable | None = None
    cpu_bytes_per_s: float = 2e6

    @property
    def max_children(self) -> int:
        """Maximum number of children: the number that is set, or those of a single array."""
        # Batch allows 10,000 children of an array; only a number that is set makes several arrays.
        return self.children or MAX_ARRAY

    def machine(self, queue: QueueKind) -> Machine:
        """Return start-up, speed and price of a queue's machines."""
        return self.gpu if queue == "gpu" else self.cpu

    def instance(self, queue: QueueKind) -> str:
        """Return the name of a queue's machines in the price table."""
        return self.gpu_instance if queue == "gpu" else self.cpu_instance

    def name(self, queue: QueueKind) -> str:
        """Return the name of a queue and of its job definition."""
        return f"{self.stack}-{queue}"


@dataclass(frozen=True, slots=True)
class ChildOrder:
    """The command of a child: its plan, and its place in the run.

    Parameters
    ----------
    outputs : StoreAddress
        Output root, with the plan.
    run_id : str
        Run whose plan the child executes.
    digest : str
        Digest of the plan; a plan that was changed is refused.
    first : int
        Number in the run of the array's first child.
    outage_minutes : float
        Minutes that a child waits for a store that does not answer, before it has read its plan.
    """

    outputs: StoreAddress
    run_id: str
    digest: str
    first: int = 0
    outage_minutes: float = DEFAULT_MINUTES

    @property
    def patience(self) -> Patience:
        """How long a child waits for its plan."""
        return Patience(self.outage_minutes * 60)

    def command(self) -> tuple[str, ...]:
        """Return the arguments of the program in the image."""
        address = self.outputs
        # A child reads its arguments by position: a dash keeps the place of an absent one.
        place = (address.url, address.endpoint_url or "-", address.region or "-")
        # Left out by default, so that images of earlier releases understand the command.
        is_default = self.outage_minutes == DEFAULT_MINUTES
        more = () if is_default else (f"{self.outage_minutes:f}",)
        return (*place, self.run_id, self.digest, str(self.first), *more)

    @classmethod
    def parse(cls, command: list[str]) -> Self:
        """Return the order that a command holds.

        Raises
        ------
        ConfigError
            If the command does not have the form of `command`.
        """
        minutes = command[6:] or [str(DEFAULT_MINUTES)]
        is_order = len(command) in {6, 7} and command[5].isdigit()
        if not (is_order and _MINUTES.fullmatch(minutes[0])):
            raise ConfigError(
                f"not the arguments of a child: {' '.join(command) or 'no arguments'}",
                hint="expected URL ENDPOINT REGION RUN DIGEST FIRST, as `submit` writes them",
            )
        url, endpoint, region, run_id, digest, first = command[:6]
        address = StoreAddress(url, _unless_dash(endpoint), _unless_dash(region))
        return cls(address, run_id, digest, int(first), float(minutes[0]))


def _unless_dash(value: str) -> str | None:
    return None if value == "-" else value
