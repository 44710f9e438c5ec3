"""Which device each process of a machine gets, and how many processes suit it. Pure."""


def list_devices(name: str, gpus: int) -> tuple[str, ...]:
    """Return the devices that processes are dealt, in turn.

    Parameters
    ----------
    name : str
        ``cpu``; ``cuda``, which is all GPUs; or ``cuda:1``, which is that one.
    gpus : int
        How many the machine has.
    """
    return tuple(f"cuda:{n}" for n in range(gpus)) if name == "cuda" and gpus else (name,)


def device_of(slot: int, devices: tuple[str, ...]) -> str:
    """Return the device of the process in a slot, counted from 0."""
    return devices[slot % len(devices)]


def count_processes(n_jobs: int | None, devices: tuple[str, ...]) -> int | None:
    """Return how many processes to start, as ``n_jobs`` counts them.

    Parameters
    ----------
    n_jobs : int, optional
        What was asked for. Left open, or -1, it is a process per GPU: a core without one would only
        share it.
    devices : tuple of str
        See `list_devices`.
    """
    on_gpus = all(device.startswith("cuda") for device in devices)
    return len(devices) if on_gpus and n_jobs in (None, -1) else n_jobs
