"""Devices, precisions, threads and memory errors of torch."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gigacast.errors import ConfigError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

_NO_MEMORY = ("DefaultCPUAllocator", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED", "bad_alloc")
"""Texts by which torch's plain `RuntimeError` reports that memory ran out."""


def resolve_device(name: str) -> torch.device:
    """Return the device of a name; ``auto`` is a GPU if the machine has one.

    Raises
    ------
    ConfigError
        If the name is unknown or the machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device: {name!r} is not one of auto, cpu, cuda, cuda:N") from error
    if device.type == "cuda" and (device.index or 0) < torch.cuda.device_count():
        return device
    if device.type != "cpu":
        raise ConfigError(f"device: no {name!r} on this machine", hint="use auto or cpu")
    return device


def resolve_precision(name: str, device: torch.device) -> str:
    """Return ``float32`` or ``bfloat16``; ``auto`` is bfloat16 if the hardware computes in it.

    Raises
    ------
    ConfigError
        If the name is unknown.
    """
    if name == "auto":
        return "bfloat16" if _computes_in_bfloat16(device) else "float32"
    if name not in DTYPES:
        raise ConfigError(f"precision: {name!r} is not one of auto, float32, bfloat16")
    return name


def set_threads(count: int) -> None:
    """Set the number of threads of torch in this process.

    Raises
    ------
    ConfigError
        If the count is less than one.
    """
    if count < 1:
        raise ConfigError(f"threads: {count} is less than 1")
    torch.set_num_threads(count)


@contextmanager
def translate_memory_errors() -> Iterator[None]:
    """Raise every error by which torch reports that memory ran out as `MemoryError`."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if not isinstance(error, torch.OutOfMemoryError):
            if not any(sign in text for sign in _NO_MEMORY):
                raise
        elif torch.cuda.is_available():
            # The smaller batch that follows may not fit into the blocks the failed one left cached.
            torch.cuda.empty_cache()
        raise MemoryError(text.partition("\n")[0]) from error


def _computes_in_bfloat16(device: torch.device) -> bool:
    """Return whether bfloat16 products run in hardware; emulated, they are slower than float32."""
    # torch emulates bfloat16 on older GPUs and on CPUs without these instructions.
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
