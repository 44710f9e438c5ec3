"""The devices of this machine, detected without torch, and their division between processes.

Planning resolves the device and the precision, and importing torch for that would take 0.8 s.
"""

import ctypes
import ctypes.util
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gigacast.errors import ConfigError

_COMPUTE_CAPABILITY_MAJOR = 75
"""``CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR`` of the CUDA driver API."""

_AMPERE = 8
"""Compute capability of the first generation with bfloat16 products in hardware."""


def list_devices(name: str, gpus: int) -> tuple[str, ...]:
    """Return the devices that processes are assigned to in turn.

    Parameters
    ----------
    name : str
        ``cpu``; ``cuda`` for all GPUs; or a single GPU such as ``cuda:1``.
    gpus : int
        Number of GPUs of the machine.
    """
    return tuple(f"cuda:{n}" for n in range(gpus)) if name == "cuda" and gpus else (name,)


def device_of(slot: int, devices: tuple[str, ...]) -> str:
    """Return the device of the process in a slot, counted from 0."""
    return devices[slot % len(devices)]


def count_processes(n_jobs: int | None, devices: tuple[str, ...]) -> int | None:
    """Return the number of processes to start, in the meaning of ``n_jobs``.

    Parameters
    ----------
    n_jobs : int, optional
        Requested number. None and -1 mean one process per GPU, because more processes would only
        share a GPU and its memory.
    devices : tuple of str
        Result of `list_devices`.
    """
    on_gpus = all(device.startswith("cuda") for device in devices)
    return len(devices) if on_gpus and n_jobs in (None, -1) else n_jobs


def resolve_device(name: str) -> str:
    """Return the kind of a device, ``cpu`` or ``cuda``.

    Raises
    ------
    ConfigError
        If the machine has no such device.
    """
    if name == "cpu":
        return "cpu"
    gpus = count_gpus()
    if name == "auto":
        return "cuda" if gpus else "cpu"
    kind, _, index = name.partition(":")
    if kind == "cuda" and int(index or 0) >= gpus:
        count = f"only {gpus} CUDA devices" if gpus else "no CUDA device"
        raise ConfigError(f"device: {name}: {count} on this machine", hint="use auto or cpu")
    return kind


def resolve_precision(name: str, device: str) -> str:
    """Return a precision; ``auto`` is bfloat16 if the device has it in hardware.

    Emulated bfloat16 is slower than float32. In hardware it makes the lean engine about three times
    as fast on a CPU (docs/decisions/0004-lean-bolt-engine.md).
    """
    if name != "auto":
        return name
    # Must agree with `network.device.resolve_precision`, which asks torch: `load_forecaster`
    # refuses a model whose precision differs from the described one.
    if device == "cuda":
        return "bfloat16" if (_cuda_major() or 0) >= _AMPERE else "float32"
    return "bfloat16" if _cpu_flags() & {"avx512_bf16", "amx_bf16"} else "float32"


def packs_float32() -> bool:
    """Return whether oneDNN's packed products are faster in float32 than those that torch calls.

    On AMD they are, by a fifth; on Intel torch's products come from MKL, which is as fast.
    """
    return "AuthenticAMD" in _cpu_line("vendor_id")


def _cpu_flags() -> set[str]:
    return _cpu_line("flags")


def _cpu_line(name: str) -> set[str]:
    """Return the words of the first core's line in Linux' description of its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()  # not Linux: bfloat16 is emulated there, or not tested by us
    return next((set(line.split()) for line in lines if line.startswith(name)), set())


def count_gpus() -> int:
    """Return the number of CUDA devices that torch can use.

    The driver is queried directly. Like torch, it follows ``CUDA_VISIBLE_DEVICES``.
    """
    driver = _cuda_driver()
    count = ctypes.c_int(0)
    if driver is None or driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value


def _cuda_driver() -> ctypes.CDLL | None:
    """Return the CUDA driver; ``None`` if there is none or torch was built without CUDA."""
    try:
        if version("torch").endswith("+cpu"):
            return None
        return ctypes.CDLL("libcuda.so.1")
    except (OSError, PackageNotFoundError):
        return None


def _cuda_major() -> int | None:
    """Return the compute capability's major number of the first GPU; ``None`` without a GPU."""
    driver = _cuda_driver()
    if driver is None or not count_gpus():
        return None
    device, major = ctypes.c_int(0), ctypes.c_int(0)
    driver.cuDeviceGet(ctypes.byref(device), 0)
    driver.cuDeviceGetAttribute(ctypes.byref(major), _COMPUTE_CAPABILITY_MAJOR, device)
    return major.value
