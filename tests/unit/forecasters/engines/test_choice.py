"""Which engine runs a model."""

import pytest

from gigacast.errors import ConfigError, MissingExtraError
from gigacast.forecasters import engine as module
from gigacast.forecasters.chronos2.shape import chronos2_engine
from gigacast.forecasters.engine import EngineChoice, choose_engine, kind_of_engine
from gigacast.forecasters.lean.shape import lean_engine, numpy_engine, openvino_engine


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    installed = {"torch", "openvino"}
    monkeypatch.setattr(module, "has_library", lambda name: name in installed)
    return installed


def choose(
    engine: str = "auto", precision: str = "auto", device: str = "cpu", *, lean: bool = True
):
    return choose_engine(EngineChoice(engine, device, precision), lean=lean)  # type: ignore[arg-type]


def test_auto_is_torch_then_openvino_then_numpy(libraries: set[str]):
    assert choose() == "torch"
    libraries.remove("torch")
    assert choose() == "openvino"
    libraries.remove("openvino")
    assert choose() == "numpy"


def test_int8_is_computed_by_openvino(libraries: set[str]):
    assert choose(precision="int8") == "openvino"


def test_a_model_that_only_torch_runs_needs_torch_whatever_is_installed(libraries: set[str]):
    assert choose(lean=False) == "torch"
    libraries.remove("torch")
    with pytest.raises(MissingExtraError, match="needs torch") as error:
        choose(lean=False)
    assert "gigacast[torch]" in str(error.value.hint)


@pytest.mark.parametrize(
    ("stored", "kind"),
    [
        (lean_engine(), "torch"),
        (numpy_engine(), "numpy"),
        (openvino_engine(), "openvino"),
        (openvino_engine("9ef759a8", "bfloat16"), "openvino"),
        (chronos2_engine(), "torch"),
        ("chronos-2.3.2-r1", "stock"),
        ("seasonal-naive-1", "auto"),
    ],
)
def test_the_engine_of_a_spec_can_be_named_again(stored: str, kind: str):
    assert kind_of_engine(stored) == kind


def test_a_gpu_is_computed_on_by_torch(libraries: set[str]):
    assert choose(device="cuda") == "torch"
    libraries.remove("torch")
    with pytest.raises(MissingExtraError, match="needs torch"):
        choose(device="cuda")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"engine": "numpy", "precision": "bfloat16"}, "computes in float32"),
        ({"engine": "numpy", "precision": "int8"}, "computes in float32"),
        ({"engine": "torch", "precision": "int8"}, "torch does not compute in int8"),
        ({"engine": "stock", "precision": "int8"}, "stock does not compute in int8"),
        ({"engine": "numpy", "device": "cuda"}, "numpy runs on a CPU"),
        ({"engine": "openvino", "device": "cuda"}, "openvino runs on a CPU"),
        ({"engine": "numpy", "lean": False}, "model_engine: numpy is for Chronos-Bolt"),
        ({"precision": "int8", "lean": False}, "precision: int8 is for Chronos-Bolt"),
    ],
)
def test_what_an_engine_cannot_do_is_refused_with_a_hint(
    wanted: dict[str, object], message: str, libraries: set[str]
):
    with pytest.raises(ConfigError, match=message) as error:
        choose(**wanted)  # type: ignore[arg-type]
    assert error.value.hint


def test_a_missing_library_names_its_extra(libraries: set[str]):
    libraries.clear()
    with pytest.raises(MissingExtraError) as error:
        choose("openvino")
    assert "gigacast[fast]" in str(error.value.hint)


def test_without_torch_what_needs_it_names_its_extra(libraries: set[str]):
    libraries.clear()
    with pytest.raises(MissingExtraError, match="training needs torch") as error:
        module.require_torch("training")
    assert "gigacast[torch]" in str(error.value.hint)
