"""Assignment of GPUs to processes."""

import pytest

from gigacast.forecasters import hardware
from gigacast.forecasters.hardware import count_processes, device_of, list_devices


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
        (None, ("cuda:0", "cuda:1"), 2),
        (-1, ("cuda:0", "cuda:1"), 2),
        (1, ("cuda:0", "cuda:1"), 1),
        (6, ("cuda:0", "cuda:1"), 6),
        (None, ("cuda:1",), 1),
    ],
)
def test_the_default_is_one_process_per_gpu(
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
