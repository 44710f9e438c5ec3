"""A model becomes a version only if it loads and forecasts."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gigacast.errors import GigacastError, ModelError, ModelIntegrityError
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasters.proof import prove_usable
from gigacast.lake.model.registry import Registry
from gigacast.models.publish import ModelDescription, publish_folder
from gigacast.storage.memory import MemoryStore
from tests.support.model_folders import author
from tests.support.tiny_models import session_folder, tiny_bolt, tiny_chronos2, tiny_t5

NORM = "encoder.block.0.layer.0.layer_norm.weight"
HEAD = "output_patch_embedding.output_layer.bias"
FAR = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return session_folder(tmp_path_factory)


@pytest.fixture
def folder(models: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bolt(models), tmp_path / "model"))


def change(folder: Path, name: str, value: np.ndarray | None) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    del weights[name]
    save_file(weights | ({} if value is None else {name: value}), path)


def filled(folder: Path, name: str, value: float, nth: int = 0) -> np.ndarray:
    weight = load_file(folder / "model.safetensors")[name].copy()
    weight.reshape(-1)[nth] = value
    return weight


def configure(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    bolt = {name: changes.pop(name) for name in list(changes) if name in config["chronos_config"]}
    config["chronos_config"] |= bolt
    path.write_text(json.dumps(config | changes))


REFUSED = {
    "a length is a list": lambda f: configure(f, context_length=[64]),
    "a length is a text": lambda f: configure(f, prediction_length="x"),
    "a quantile is nothing": lambda f: configure(f, quantiles=[0.1, None, 0.9]),
    "the quantiles are a text": lambda f: configure(f, quantiles="\x1b[2J"),
    "the configuration is a text": lambda f: configure(f, chronos_config="x"),
    "a weight is missing": lambda f: change(f, NORM, None),
    "a weight has another shape": lambda f: change(f, NORM, np.ones(3, np.float32)),
    "a weight is not a number": lambda f: change(f, HEAD, filled(f, HEAD, np.nan)),
    "a weight is infinite": lambda f: change(f, NORM, filled(f, NORM, np.inf)),
    # Of a distance that no short series has.
    "a weight of long series is not a number": lambda f: change(f, FAR, filled(f, FAR, np.nan, -1)),
    "weights so large that sums overflow": lambda f: change(f, HEAD, filled(f, HEAD, 3e38) * 3e38),
    "the configuration has another horizon": lambda f: configure(f, prediction_length=65),
    "the configuration has fewer levels": lambda f: configure(f, quantiles=[0.1, 0.5]),
    "the configuration has other patches": lambda f: configure(f, input_patch_size=8),
    "the configuration has more layers": lambda f: configure(f, num_layers=99),
    "the configuration has no layers": lambda f: configure(f, num_layers=0),
    "the configuration has a stride of zero": lambda f: configure(f, input_patch_stride=0),
    "the configuration has no context": lambda f: configure(f, context_length=0),
    "the configuration has fewer layers": lambda f: configure(f, num_decoder_layers=1),
    "levels that do not ascend": lambda f: configure(f, quantiles=[0.1, 0.3, 0.2] * 3),
    "a level is beyond one": lambda f: configure(f, quantiles=[n / 5 for n in range(1, 10)]),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_a_model_that_cannot_forecast_never_becomes_a_version(folder: Path, kind: str) -> None:
    REFUSED[kind](folder)
    registry = Registry(MemoryStore(f"proof {kind}"))
    with pytest.raises(ModelError) as refusal:
        publish_folder(registry, folder, ModelDescription("m", "v1"), author())
    assert str(folder) in refusal.value.message
    assert registry.versions("m") == {}


@pytest.mark.parametrize("value", [7, "x", [], None])
def test_a_model_whose_configuration_does_not_name_its_class_is_published(
    folder: Path, value: object
) -> None:
    configure(folder, architectures=value)
    registry = Registry(MemoryStore(f"unnamed {value}"))
    version = publish_folder(registry, folder, ModelDescription("m", "v1"), author())
    assert version.manifest.architecture == "unknown"


def test_models_of_every_family_that_forecast_are_usable(models: Path) -> None:
    for folder in (tiny_bolt(models), tiny_chronos2(models), tiny_t5(models)):
        prove_usable(folder)


class Broken:
    """A forecaster whose forecasts are what a test says."""

    def __init__(self, info: ForecasterInfo, values: object) -> None:
        self.info = info
        self._values = values

    def predict(self, request: object) -> object:
        del request
        if isinstance(self._values, Exception):
            raise self._values
        return self._values


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.full((2, 64, 9), np.nan, np.float32), "not finite"),
        (np.zeros((2, 63, 9), np.float32), "shape"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "mat1 and mat2"),
    ],
)
def test_forecasts_are_looked_at_whatever_the_weights(
    folder: Path, monkeypatch: pytest.MonkeyPatch, values: object, says: str
) -> None:
    monkeypatch.setattr(
        "gigacast.forecasters.proof.load_forecaster", lambda _, info: Broken(info, values)
    )
    with pytest.raises(ModelIntegrityError, match=says):
        prove_usable(folder)


def test_errors_of_the_tree_pass_unchanged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = GigacastError("of its own")
    monkeypatch.setattr(
        "gigacast.forecasters.proof.load_forecaster", lambda _, info: Broken(info, error)
    )
    with pytest.raises(GigacastError) as raised:
        prove_usable(folder)
    assert raised.value is error
