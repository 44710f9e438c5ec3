"""How a run is divided over array jobs, as values."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, Self

from gigacast.core.cost.array_plan import MAX_ARRAY, Machine, QueueKind
from gigacast.core.cost.price import PriceTable
from gigacast.errors import ConfigError
from gigacast.storage.store import StoreAddress

QueueChoice = Literal["auto", "cpu", "gpu"]


@dataclass(frozen=True, slots=True)
class ArrayOptions:
    """Where an array run is submitted, and what its children are like.

    Parameters
    ----------
    stack : str
        The name of the deployment: its queues and job definitions are ``{stack}-cpu`` and
        ``{stack}-gpu``.
    queue : {"auto", "cpu", "gpu"}
    children : int, optional
        At most this many; by default as many as have ``target_s`` of work.
    target_s : float
        Seconds a child should work at least, so that its start is worth it.
    timeout_s : int
        Of each attempt of a child.
    valid_for : timedelta
        After this a plan is not begun any more.
    cpu, gpu : Machine
        What the rules of `core.array` weigh.
    cpu_instance, gpu_instance : str
        The machine a child has to itself, as the price table calls it.
    prices : PriceTable, optional
    cpu_bytes_per_s : float
        Input bytes a CPU process gets done, where no receipt tells.
    """

    stack: str = "gigacast"
    queue: QueueChoice = "auto"
    children: int | None = None
    target_s: float = 900.0
    timeout_s: int = 6 * 3600
    valid_for: timedelta = timedelta(days=7)
    cpu: Machine = field(default_factory=lambda: Machine(120.0, 8.0, 0.30))
    gpu: Machine = field(default_factory=lambda: Machine(300.0, 60.0, 0.35))
    cpu_instance: str = "c7i.4xlarge"
    gpu_instance: str = "g6.xlarge"
    prices: PriceTable | None = None
    cpu_bytes_per_s: float = 2e6

    @property
    def most_children(self) -> int:
        """As many as were asked for, or one array of them."""
        return self.children or MAX_ARRAY

    def machine(self, queue: QueueKind) -> Machine:
        """Return what a child of a queue is like."""
        return self.gpu if queue == "gpu" else self.cpu

    def instance(self, queue: QueueKind) -> str:
        """Return the machine a child of a queue has."""
        return self.gpu_instance if queue == "gpu" else self.cpu_instance

    def name(self, queue: QueueKind) -> str:
        """Return the name of a queue, which is that of its job definition, too."""
        return f"{self.stack}-{queue}"


@dataclass(frozen=True, slots=True)
class ChildOrder:
    """What a child is told by its command: where its plan lies, and which part is its own.

    Parameters
    ----------
    outputs : StoreAddress
        The output root.
    run_id, digest : str
        The plan, and what it must be.
    first : int
        Number of the array's first child.
    """

    outputs: StoreAddress
    run_id: str
    digest: str
    first: int = 0

    def command(self) -> tuple[str, ...]:
        """Return the arguments of the program in the image."""
        address = self.outputs
        where = (address.url, address.endpoint_url or "-", address.region or "-")
        return (*where, self.run_id, self.digest, str(self.first))

    @classmethod
    def parse(cls, command: list[str]) -> Self:
        """Read a command back.

        Raises
        ------
        ConfigError
        """
        if len(command) != 6 or not command[-1].isdigit():
            raise ConfigError(
                f"no order of a child: {' '.join(command) or 'no arguments'}",
                hint="expected URL ENDPOINT REGION RUN DIGEST FIRST, as `submit` writes them",
            )
        url, endpoint, region, run_id, digest, first = command
        address = StoreAddress(url, _given(endpoint), _given(region))
        return cls(address, run_id, digest, int(first))


def _given(value: str) -> str | None:
    return None if value == "-" else value
