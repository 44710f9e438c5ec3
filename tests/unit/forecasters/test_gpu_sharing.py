"""How many processes share a GPU."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gigacast.forecasters.catalog import describe_forecaster
from gigacast.forecasters.chronos2.shape import count_chronos2_operations, read_chronos2_shape
from gigacast.forecasters.config import read_model_config
from gigacast.forecasters.engine import EngineChoice
from gigacast.forecasters.gpu_sharing import (
    MOST_PER_GPU,
    operations_per_point,
    processes_per_gpu,
)
from gigacast.forecasters.hardware import Gpu
from gigacast.forecasting import prepare
from gigacast.runtime import processes
from tests.support.tiny_models import session_folder

GIB = 1024**3
H200 = Gpu(140 * GIB, (9, 0), 132, 1.98e9)
A10 = Gpu(24 * GIB, (8, 6), 72, 1.695e9)
TINY, BASE = 0.5e6, 12.7e6
"""Operations per point of the published Bolts."""


@pytest.mark.parametrize(
    ("operations", "gpu", "precision", "expected"),
    [
        (TINY, H200, "bfloat16", MOST_PER_GPU),
        (BASE, H200, "bfloat16", 2),
        (TINY, A10, "bfloat16", 6),
        (BASE, A10, "bfloat16", 1),
        (TINY, A10, "float32", 2),
        (TINY, Gpu(8 * GIB, (8, 6), 72, 1.695e9), "bfloat16", 2),
        (TINY, Gpu(2 * GIB, (8, 6), 72, 1.695e9), "bfloat16", 1),
        (None, H200, "bfloat16", 1),
        (TINY, None, "bfloat16", 1),
    ],
)
def test_small_models_on_large_gpus_have_several_processes(
    operations: float | None, gpu: Gpu | None, precision: str, expected: int
):
    assert processes_per_gpu(operations, gpu, precision) == expected


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    return session_folder(tmp_path_factory)


def test_operations_are_known_of_our_own_engines_only(root: Path):
    from tests.unit.forecasters.lean.lean_models import SIZES as BOLTS
    from tests.unit.forecasters.lean.lean_models import save_bolt

    tiny, base = save_bolt(root, BOLTS["tiny"]), save_bolt(root, BOLTS["base"])
    assert operations(tiny, "torch") == pytest.approx(TINY, rel=0.2)
    # A test model has one layer of twelve.
    assert BASE / 14 < (operations(base, "torch") or 0) < BASE / 4
    assert operations(tiny, "stock") is None


@pytest.mark.parametrize("steps", [64, 240])
def test_operations_of_a_chronos_2_alone_are_about_those_that_torch_counts(
    steps: int, root: Path, monkeypatch: pytest.MonkeyPatch
):
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from gigacast.forecasters.lean import linear
    from tests.unit.forecasters.chronos2.chronos2_models import SIZES, load_ours, save_chronos2

    # Torch does not count packed products, which AMD processors compute in float32, too.
    monkeypatch.setattr(linear, "_can_pack", lambda _: False)
    folder = save_chronos2(root, SIZES["narrow heads"])
    model = load_ours.__wrapped__(folder)._model

    def counted(rows: int) -> int:
        counter = FlopCounterMode(display=False)
        # Attention is spelled out, for its fused form is not counted on a CPU.
        plain = torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)
        with torch.inference_mode(False), torch.no_grad(), plain, counter:
            model(torch.randn(rows, steps), 1, masked=False)
        return int(counter.get_total_flops())

    shape = read_chronos2_shape(read_model_config(folder))
    # The last layer computes the patches of the horizon only, which the count leaves out.
    one_more = counted(5) - counted(4)
    assert 0.9 * one_more < count_chronos2_operations(shape, steps) < 2 * one_more
    assert operations(folder, "torch") == count_chronos2_operations(shape, 512) / 512


def test_a_run_on_gpus_gets_several_processes_for_each(root: Path, monkeypatch: pytest.MonkeyPatch):
    from tests.unit.forecasters.lean.lean_models import SIZES, save_bolt

    folder = save_bolt(root, SIZES["tiny"])
    choice = EngineChoice("torch", "cpu", "float32")
    info = describe_forecaster(folder, name="m", version="1", digest="d", choice=choice)
    monkeypatch.setattr(prepare, "usable_devices", lambda *_: ("cuda:0", "cuda:1"))
    monkeypatch.setattr(prepare, "describe_gpu", lambda: A10)
    monkeypatch.setattr(processes, "count_cores", lambda: 8)
    monkeypatch.setattr(processes, "free_memory", lambda: 100 * GIB)
    tasks: list[Any] = [SimpleNamespace(size_bytes=GIB)] * 50

    def chosen(n_jobs: int | None, executor: str = "auto") -> str:
        resources = SimpleNamespace(n_jobs=n_jobs, executor=executor, memory_limit_bytes=GIB)
        prepared: Any = SimpleNamespace(
            job=SimpleNamespace(resources=resources, model=None),
            info=replace(info, device="cuda", precision="bfloat16"),
            model=SimpleNamespace(folder=folder, members=()),
        )
        # A child has as many tasks, which it does not list.
        counted = prepare.processes_for(prepared, (), len(tasks))
        assert counted == prepare.processes_for(prepared, tasks)
        return str(counted)

    assert chosen(None) == "8 (4 for each GPU, limited by cores)"
    assert chosen(-1) == "2"
    assert chosen(3) == "3"
    assert chosen(None, "inline") == "1"


def operations(folder: Path, engine: str) -> float | None:
    choice = EngineChoice(engine, "cpu", "float32")  # type: ignore[arg-type]
    info = describe_forecaster(folder, name="m", version="1", digest="d", choice=choice)
    return operations_per_point(folder, info)
