"""LoRA adapters: merged into their base as peft merges them, or refused by name."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from chronos import BaseChronosPipeline
from safetensors.torch import load_file, save_file

from gigacast.core.series.forecast import ForecastRequest
from gigacast.errors import ModelError, ModelIntegrityError
from gigacast.forecasters.catalog import describe_forecaster, load_forecaster
from gigacast.forecasters.chronos.loading import quiet
from gigacast.forecasters.chronos.lora import WEIGHTS
from gigacast.forecasters.engine import EngineChoice
from gigacast.forecasters.forecaster import Forecaster
from tests.support.tiny_models import session_folder, tiny_chronos2

CONFIG = "adapter_config.json"


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return session_folder(tmp_path_factory)


def adapt(base: Path, folder: Path, **options: object) -> Path:
    """Write an adapter with random weights by peft, its base below it, and the merged model."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(3)
    config = LoraConfig(
        r=4,
        lora_alpha=6,
        target_modules=r".*(q|v|wi|output_layer)",
        init_lora_weights=False,
        **options,
    )
    with quiet():  # peft calls what transformers is about to rename
        model = get_peft_model(BaseChronosPipeline.from_pretrained(base).inner_model, config)
        model.save_pretrained(folder)
        model.merge_and_unload().save_pretrained(folder.parent / "merged")
    (folder / "base").mkdir()
    for path in base.iterdir():
        (folder / "base" / path.name).symlink_to(path)
    return folder


def load(folder: Path, precision: str = "float32") -> Forecaster:
    info = describe_forecaster(
        folder, name="m", version="1", digest="d", choice=EngineChoice("auto", "cpu", precision)
    )
    return load_forecaster(folder, info)


def forecast(folder: Path, precision: str = "float32") -> np.ndarray:
    context = np.sin(np.arange(3 * 90, dtype=np.float32)).reshape(3, 90)
    request = ForecastRequest(
        context, 20, (0.1, 0.5, 0.9), np.ones(3, np.int64), np.zeros(3, np.uint64)
    )
    return load(folder, precision).predict(request)


@pytest.mark.parametrize("use_rslora", [False, True])
def test_an_adapter_gives_the_numbers_of_the_model_merged_by_peft(
    tmp_path: Path, models: Path, use_rslora: bool
) -> None:
    base = tiny_chronos2(models)
    folder = adapt(base, tmp_path / "lora", use_rslora=use_rslora)
    merged = forecast(tmp_path / "merged")
    np.testing.assert_allclose(forecast(folder), merged, rtol=1e-4, atol=1e-4)
    assert np.abs(forecast(base) - merged).max() > 0.05


def test_bfloat16_is_close_to_the_merged_model(tmp_path: Path, models: Path) -> None:
    folder = adapt(tiny_chronos2(models), tmp_path / "lora")
    np.testing.assert_allclose(
        forecast(folder, "bfloat16"), forecast(tmp_path / "merged", "bfloat16"), atol=0.05
    )


def test_an_adapter_has_the_info_of_its_base_and_the_stock_engine(
    tmp_path: Path, models: Path
) -> None:
    info = load(adapt(tiny_chronos2(models), tmp_path / "lora")).info
    assert (info.context_length, info.prediction_length) == (512, 64)
    assert info.engine.startswith("chronos-")


def edit(folder: Path, **changes: object) -> None:
    path = folder / CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def rename(folder: Path, old: str, new: str) -> None:
    tensors = load_file(folder / WEIGHTS)
    save_file({k.replace(old, new): v for k, v in tensors.items()}, folder / WEIGHTS)


BROKEN: dict[str, tuple[Callable[[Path], object], type[Exception], str]] = {
    "dora": (lambda p: edit(p, use_dora=True), ModelError, "use_dora=True is not supported"),
    "more than matrices": (
        lambda p: edit(p, modules_to_save=["shared"]),
        ModelError,
        "modules_to_save",
    ),
    "another kind": (lambda p: edit(p, peft_type="IA3"), ModelError, "peft_type 'IA3'"),
    "no json": (lambda p: (p / CONFIG).write_text("{"), ModelIntegrityError, "cannot be read"),
    "cut short": (
        lambda p: (p / WEIGHTS).write_bytes((p / WEIGHTS).read_bytes()[:-9]),
        ModelIntegrityError,
        "cannot be read",
    ),
    "no weights": (lambda p: (p / WEIGHTS).unlink(), ModelIntegrityError, "cannot be read"),
    "odd weights": (
        lambda p: rename(p, "lora_B", "lora_C"),
        ModelIntegrityError,
        "no plain LoRA adapter",
    ),
    "another base": (
        lambda p: rename(p, "encoder", "decipher"),
        ModelIntegrityError,
        "does not fit its base",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_adapters_that_cannot_be_merged_are_refused(
    tmp_path: Path, models: Path, name: str
) -> None:
    harm, error, message = BROKEN[name]
    folder = adapt(tiny_chronos2(models), tmp_path / "lora")
    harm(folder)
    with pytest.raises(error, match=message):
        load(folder)


def test_an_adapter_without_its_base_is_an_error_with_a_hint(tmp_path: Path, models: Path) -> None:
    folder = adapt(tiny_chronos2(models), tmp_path / "lora")
    (folder / "base").rename(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="without its base") as info:
        load(folder)
    assert "--base" in str(info.value.hint)
