"""Devices, precision and memory errors."""

import pytest
import torch

from gigacast.errors import ConfigError
from gigacast.forecasters.network.device import (
    resolve_device,
    resolve_precision,
    set_threads,
    translate_memory_errors,
)

CPU = torch.device("cpu")


def test_auto_is_resolved():
    assert resolve_device("auto").type in ("cpu", "cuda")
    assert resolve_precision("auto", CPU) in ("float32", "bfloat16")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({}, "float32"), ({"avx512_bf16": True}, "bfloat16"), ({"amx_bf16": True}, "bfloat16")],
)
def test_auto_is_bfloat16_only_where_the_processor_computes_in_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: str
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert resolve_precision("auto", CPU) == expected


def test_a_named_precision_is_kept():
    assert resolve_precision("bfloat16", CPU) == "bfloat16"
    assert resolve_device("cpu") == CPU


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta"])
def test_a_missing_device_is_refused_and_named(name: str):
    with pytest.raises(ConfigError, match=f"device.*{name}"):
        resolve_device(name)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ConfigError, match=r"precision.*float16"):
        resolve_precision("float16", CPU)  # type: ignore[arg-type]


def test_no_threads_are_refused():
    with pytest.raises(ConfigError, match="threads"):
        set_threads(0)


def test_a_failed_allocation_is_a_memory_error():
    with pytest.raises(MemoryError) as caught, translate_memory_errors():
        torch.empty(2**55)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_full_gpu_is_a_memory_error():
    with pytest.raises(MemoryError, match="CUDA out of memory"), translate_memory_errors():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\nmore than there is")


def test_other_errors_pass_through():
    with pytest.raises(RuntimeError, match="shape"), translate_memory_errors():
        torch.zeros(2).view(3)
