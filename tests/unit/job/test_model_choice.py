"""The devices that a run uses, on machines with and without GPUs."""

from pathlib import Path
from typing import Any

import pytest

from gigacast.errors import ConfigError
from gigacast.forecasters import hardware as division
from gigacast.forecasters.catalog import describe_forecaster
from gigacast.forecasters.engine import EngineChoice
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasters.naive import SeasonalNaive
from gigacast.job import model_choice as choice
from gigacast.job.forecast_job import ModelChoice
from gigacast.job.model_choice import load_resolved, usable_devices
from gigacast.lake.model.resolve import ResolvedModel
from tests.support.tiny_models import session_folder, tiny_bolt


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (division, choice):
        monkeypatch.setattr(module, "count_gpus", lambda: 2)


@pytest.fixture
def bolt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    return tiny_bolt(session_folder(tmp_path_factory))


def described(folder: Path, device: str) -> ForecasterInfo:
    options = {"name": "bolt", "version": "1", "digest": "d"}
    choice = EngineChoice(device=device, precision="bfloat16")
    return describe_forecaster(folder, choice=choice, **options)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("device", "kind", "usable"),
    [
        ("auto", "cuda", ("cuda:0", "cuda:1")),
        ("cuda", "cuda", ("cuda:0", "cuda:1")),
        ("cuda:1", "cuda", ("cuda:1",)),
        ("cpu", "cpu", ("cpu",)),
    ],
)
def test_the_spec_names_the_kind_of_device_and_each_process_its_own(
    bolt: Path, device: str, kind: str, usable: tuple[str, ...]
) -> None:
    info = described(bolt, device)
    assert info.device == kind
    assert usable_devices(ModelChoice(device=device), info) == usable


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_that_does_not_exist_is_refused(bolt: Path) -> None:
    with pytest.raises(ConfigError, match=r"cuda:2: only 2 CUDA devices on this machine"):
        described(bolt, "cuda:2")


def test_without_a_gpu_auto_means_the_cpu(bolt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(division, "count_gpus", lambda: 0)
    assert described(bolt, "auto").device == "cpu"
    for name in ("cuda", "cuda:0"):
        with pytest.raises(ConfigError, match="no CUDA device on this machine"):
            described(bolt, name)


@pytest.mark.usefixtures("two_gpus")
def test_each_slot_loads_the_model_on_its_own_device(
    bolt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    def load(folder: Path, info: ForecasterInfo, device: str) -> Any:
        loaded.append(device)
        return SeasonalNaive()

    monkeypatch.setattr(choice, "load_forecaster", load)
    info = described(bolt, "cuda")
    model = ResolvedModel(name="bolt", version="1", digest="d", folder=bolt, source="folder")
    for slot in range(5):
        load_resolved(ModelChoice(device="cuda"), model, info, slot)
    load_resolved(ModelChoice(device="cuda:1"), model, info, slot=4)
    assert loaded == ["cuda:0", "cuda:1", "cuda:0", "cuda:1", "cuda:0", "cuda:1"]
