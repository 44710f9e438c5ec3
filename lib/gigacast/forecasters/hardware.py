"""The devices of this machine, detected without torch, and their division between processes.

Planning resolves the device and the precision, and importing torch for that would take 0.8 s.
"""

import ctypes
import ctypes.util
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gigacast.errors import ConfigError

_CLOCK_RATE, _MULTIPROCESSORS = 13, 16
_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR = 75, 76
"""``CU_DEVICE_ATTRIBUTE_...`` of the CUDA driver API; the clock in kHz."""

_AMPERE = 8
"""Compute capability of the first generation with bfloat16 products in hardware."""

_OPERATIONS_PER_CLOCK = {
    (7, 0): {"float32": 128},
    (8, 0): {"float32": 128, "bfloat16": 2_048},
    (8, 6): {"float32": 256, "bfloat16": 1_024},
    (9, 0): {"float32": 256, "bfloat16": 4_096},
}
"""Operations of a multiprocessor in a cycle, from a compute capability on. Source: the throughput
tables of NVIDIA's "CUDA C++ Programming Guide" and the white papers of A100, A10 and H100."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as its driver describes it.

    Parameters
    ----------
    memory_bytes : int
    capability : tuple of int
        Major and minor compute capability.
    multiprocessors : int
    clock_hz : float
        The highest clock of the multiprocessors.
    """

    memory_bytes: int
    capability: tuple[int, int]
    multiprocessors: int
    clock_hz: float

    def speed(self, precision: str) -> float:
        """Return the operations per second of products by the data sheet, 0 if unknown."""
        generations = [least for least in _OPERATIONS_PER_CLOCK if least <= self.capability]
        rates = _OPERATIONS_PER_CLOCK[max(generations)] if generations else {}
        per_clock = rates.get(precision, 0)
        return per_clock * self.multiprocessors * self.clock_hz


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
        Requested number; -1 means one process per GPU.
    devices : tuple of str
        Result of `list_devices`.
    """
    return len(devices) if n_jobs == -1 and are_gpus(devices) else n_jobs


def are_gpus(devices: tuple[str, ...]) -> bool:
    """Return whether devices of `list_devices` are GPUs; they are all of one kind."""
    return all(device.startswith("cuda") for device in devices)


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
    gpu = describe_gpu()
    return gpu.capability[0] if gpu is not None else None


def describe_gpu() -> Gpu | None:
    """Return the first GPU, as which all of a machine are taken; ``None`` without a GPU."""
    driver = _cuda_driver()
    if driver is None or not count_gpus():
        return None
    device, memory = ctypes.c_int(0), ctypes.c_size_t(0)
    driver.cuDeviceGet(ctypes.byref(device), 0)
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)

    def attribute(number: int) -> int:
        answer = ctypes.c_int(0)
        driver.cuDeviceGetAttribute(ctypes.byref(answer), number, device)
        return answer.value

    return Gpu(
        memory_bytes=memory.value,
        capability=(attribute(_COMPUTE_CAPABILITY_MAJOR), attribute(_COMPUTE_CAPABILITY_MINOR)),
        multiprocessors=attribute(_MULTIPROCESSORS),
        clock_hz=attribute(_CLOCK_RATE) * 1e3,
    )
