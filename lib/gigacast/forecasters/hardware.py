"""The devices of this machine, found without torch, and how processes share them."""

import ctypes
import ctypes.util
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gigacast.errors import ConfigError


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


_COMPUTE_CAPABILITY_MAJOR = 75  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR


_AMPERE = 8  # the first generation that computes in bfloat16


def resolve_device(name: str) -> str:
    """Return the kind of a device, ``cpu`` or ``cuda``; refuse one that is not there."""
    if name == "cpu":
        return "cpu"
    gpus = count_gpus()
    if name == "auto":
        return "cuda" if gpus else "cpu"
    kind, _, index = name.partition(":")
    if kind == "cuda" and int(index or 0) >= gpus:
        found = f"{gpus} of them" if gpus else "no CUDA device"
        raise ConfigError(f"run.device: {name}: {found} on this machine", hint="use auto or cpu")
    return kind


def resolve_precision(name: str, device: str) -> str:
    """Return the precision of ``auto`` on a device: bfloat16 where the device computes in it."""
    if name != "auto":
        return name
    if device == "cuda":
        return "bfloat16" if (_cuda_major() or 0) >= _AMPERE else "float32"
    return "bfloat16" if _cpu_flags() & {"avx512_bf16", "amx_bf16"} else "float32"


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()  # not Linux: torch's own bfloat16 is emulated there, or untested by us
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def count_gpus() -> int:
    """Return how many CUDA devices torch could use; the environment may hide some of them."""
    driver = _cuda_driver()
    count = ctypes.c_int(0)
    if driver is None or driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value


def _cuda_driver() -> ctypes.CDLL | None:
    try:
        if version("torch").endswith("+cpu"):
            return None
        return ctypes.CDLL("libcuda.so.1")
    except (OSError, PackageNotFoundError):
        return None


def _cuda_major() -> int | None:
    """Return the generation of the first CUDA device; ``None`` when torch could not use one."""
    driver = _cuda_driver()
    if driver is None or not count_gpus():
        return None
    device, major = ctypes.c_int(0), ctypes.c_int(0)
    driver.cuDeviceGet(ctypes.byref(device), 0)
    driver.cuDeviceGetAttribute(ctypes.byref(major), _COMPUTE_CAPABILITY_MAJOR, device)
    return major.value
