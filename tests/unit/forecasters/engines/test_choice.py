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


NAMES = ("auto", "torch", "numpy", "openvino", "stock")
CHOICES = [
    EngineChoice(engine, device, precision)  # type: ignore[arg-type]
    for engine in NAMES
    for device in ("auto", "cpu", "cuda", "cuda:1")
    for precision in ("auto", "float32", "bfloat16", "int8")
]


def test_numpy_takes_the_place_of_torch_only_where_nobody_said_otherwise():
    for chosen in (lean_engine(), numpy_engine(), chronos2_engine()):
        quick = {c for c in CHOICES if module.has_quick_engine(c, chosen)}
        assert quick == {
            EngineChoice("auto", device, precision)
            for device in ("auto", "cpu")
            for precision in ("auto", "float32")
            if chosen == lean_engine()
        }


def test_the_stock_code_ran_chronos_2_where_nobody_named_another_engine():
    for chosen in (chronos2_engine(), lean_engine()):
        former = {c.engine for c in CHOICES if module.has_former_engine(c, chosen)}
        assert former == ({"auto", "torch"} if chosen == chronos2_engine() else set())


def test_torch_that_is_named_may_be_on_another_machine(libraries: set[str]):
    libraries.clear()
    assert choose("torch") == "torch"
    assert choose("stock") == "stock"
    assert choose("numpy") == "numpy"
    with pytest.raises(MissingExtraError, match="needs openvino"):
        choose("openvino")
    with pytest.raises(MissingExtraError, match="needs openvino"):
        choose(precision="int8")
    with pytest.raises(MissingExtraError, match="needs torch"):
        choose(device="cuda")


@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
def test_without_torch_the_precision_does_not_choose_the_engine(
    precision: str, libraries: set[str]
):
    assert choose(precision=precision) == "torch"
    libraries.remove("torch")
    assert choose(precision=precision) == "openvino"
    assert choose("openvino", precision) == "openvino"


def test_a_library_is_found_without_being_imported():
    module.has_library.cache_clear()
    assert module.has_library("json")
    assert not module.has_library("no_such_library_anywhere")
