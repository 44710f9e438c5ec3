"""Detection of GPUs, and their assignment to processes."""

import ctypes
from typing import Any

import pytest

from gigacast.forecasters import hardware
from gigacast.forecasters.hardware import (
    Gpu,
    count_processes,
    describe_gpu,
    device_of,
    list_devices,
    resolve_device,
    resolve_precision,
)


@pytest.mark.parametrize(
    ("name", "gpus", "expected"),
    [
        ("cpu", 0, ("cpu",)),
        ("cpu", 4, ("cpu",)),
        ("cuda", 1, ("cuda:0",)),
        ("cuda", 3, ("cuda:0", "cuda:1", "cuda:2")),
        ("cuda:1", 3, ("cuda:1",)),
    ],
)
def test_cuda_means_all_gpus_and_an_index_means_one(
    name: str, gpus: int, expected: tuple[str, ...]
):
    assert list_devices(name, gpus) == expected


def test_processes_get_the_devices_in_turn():
    dealt = [device_of(slot, list_devices("cuda", 3)) for slot in range(7)]
    assert dealt == [f"cuda:{slot % 3}" for slot in range(7)]
    assert {device_of(slot, list_devices("cuda:1", 3)) for slot in range(7)} == {"cuda:1"}


@pytest.mark.parametrize(
    ("n_jobs", "devices", "expected"),
    [
        (None, ("cpu",), None),
        (-1, ("cpu",), -1),
        (5, ("cpu",), 5),
        (None, ("cuda:0", "cuda:1"), None),
        (-1, ("cuda:0", "cuda:1"), 2),
        (1, ("cuda:0", "cuda:1"), 1),
        (6, ("cuda:0", "cuda:1"), 6),
        (-1, ("cuda:1",), 1),
    ],
)
def test_minus_one_is_one_process_per_gpu(
    n_jobs: int | None, devices: tuple[str, ...], expected: int | None
):
    assert count_processes(n_jobs, devices) == expected


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        ("vendor_id\t: AuthenticAMD\nflags\t\t: avx2\n", True),
        ("vendor_id\t: GenuineIntel\nflags\t\t: avx2\n", False),
        ("", False),
    ],
)
def test_products_in_float32_are_packed_on_amd(
    described: str, expected: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(hardware.Path, "read_text", lambda *_, **__: described)
    assert hardware.packs_float32() is expected


class Driver:
    """What is asked of the CUDA driver, of two H200."""

    def __init__(self, attributes: dict[int, int]) -> None:
        self.attributes = attributes

    def cuInit(self, flags: int) -> int:  # noqa: N802 - as CUDA spells it
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        return self._write(count, ctypes.c_int, 2)

    def cuDeviceGet(self, device: Any, index: int) -> int:  # noqa: N802
        return self._write(device, ctypes.c_int, index)

    def cuDeviceTotalMem_v2(self, memory: Any, device: ctypes.c_int) -> int:  # noqa: N802
        return self._write(memory, ctypes.c_size_t, 150_000_000_000)

    def cuDeviceGetAttribute(self, value: Any, name: int, device: ctypes.c_int) -> int:  # noqa: N802
        return self._write(value, ctypes.c_int, self.attributes[name])

    def _write(self, pointer: Any, kind: Any, number: int) -> int:
        ctypes.cast(pointer, ctypes.POINTER(kind))[0] = number
        return 0


H200 = Gpu(150_000_000_000, (9, 0), 132, 1.98e9)


def test_a_gpu_is_described_by_its_driver(monkeypatch: pytest.MonkeyPatch):
    driver = Driver({13: 1_980_000, 16: 132, 75: 9, 76: 0})
    monkeypatch.setattr(hardware, "_cuda_driver", lambda: driver)
    assert describe_gpu() == H200
    assert resolve_device("auto") == "cuda"
    assert resolve_precision("auto", "cuda") == "bfloat16"


def test_without_a_driver_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hardware, "_cuda_driver", lambda: None)
    assert describe_gpu() is None
    assert resolve_device("auto") == "cpu"


@pytest.mark.parametrize(
    ("gpu", "bfloat16", "float32"),
    [
        (Gpu(1, (9, 0), 132, 1.83e9), 989e12, 61.8e12),  # H100 SXM, by its data sheet
        (Gpu(1, (8, 0), 108, 1.41e9), 312e12, 19.5e12),  # A100
        (Gpu(1, (8, 6), 72, 1.695e9), 125e12, 31.2e12),  # A10
        (Gpu(1, (8, 9), 58, 2.04e9), 121e12, 30.3e12),  # L4
        (Gpu(1, (7, 5), 40, 1.59e9), 0, 8.1e12),  # T4 has no bfloat16
        (Gpu(1, (6, 0), 56, 1.3e9), 0, 0),
    ],
)
def test_speeds_are_those_of_data_sheets(gpu: Gpu, bfloat16: float, float32: float):
    assert gpu.speed("bfloat16") == pytest.approx(bfloat16, rel=0.02)
    assert gpu.speed("float32") == pytest.approx(
        float32, rel=0.02 if gpu.capability[0] > 7 else 0.1
    )
