"""Chronos behind the protocol: loading, refusing, reporting, unrolling."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from gigacast.core.series.forecast import ForecastRequest
from gigacast.errors import ModelError, ModelIntegrityError, ModelNotFoundError
from gigacast.forecasters.chronos.forecaster import ChronosForecaster, load_chronos
from gigacast.forecasters.forecaster import ModelFiles
from gigacast.forecasters.network.unrolling import (
    empirical_quantiles,
    is_even,
    level_masses,
    reduce_paths,
)
from tests.support.tiny_models import session_folder, tiny_bolt, tiny_chronos2, tiny_t5

TENTHS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
UNEVEN = (0.02, 0.1, 0.5, 0.7, 0.99)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return session_folder(tmp_path_factory)


def load(path: Path, **options: Any) -> ChronosForecaster:
    options = {"device": "cpu", "precision": "float32", **options}
    return load_chronos(ModelFiles(path, "tiny", "3", "abc", **options))


def ask(forecaster: ChronosForecaster, horizon: int, levels: tuple[float, ...]) -> np.ndarray:
    context = np.random.default_rng(0).normal(size=(3, 80)).cumsum(axis=1).astype(np.float32)
    seeds = np.arange(3, dtype=np.uint64)
    return forecaster.predict(
        ForecastRequest(context, horizon, levels, np.ones(3, np.int64), seeds)
    )


def test_the_info_has_the_resolved_device_and_precision(folder: Path):
    info = load(tiny_bolt(folder), precision="auto").info
    assert (info.name, info.version, info.digest) == ("tiny", "3", "abc")
    assert info.engine.startswith("chronos-2.")
    assert info.precision in ("float32", "bfloat16")
    assert (info.context_length, info.prediction_length, info.patch_size) == (512, 64, 16)
    assert info.levels == TENTHS
    assert info.samples == 0


def test_chronos2_reports_its_own_grid_and_horizon(folder: Path):
    info = load(tiny_chronos2(folder)).info
    assert len(info.levels) == 21
    assert (info.levels[0], info.levels[-1]) == (0.01, 0.99)
    assert info.prediction_length == 64


def test_a_sampling_model_runs_in_float32_by_default(folder: Path):
    assert load(tiny_t5(folder), precision="auto").info.precision == "float32"
    assert load(tiny_t5(folder), precision="bfloat16").info.precision == "bfloat16"
    assert load(tiny_t5(folder)).info.samples == 20


def test_loading_is_silent(folder: Path, capfd: pytest.CaptureFixture[str]):
    load(tiny_bolt(folder))
    assert capfd.readouterr() == ("", "")


def broken(folder: Path, target: Path, breaking: Callable[[Path], None]) -> Path:
    shutil.copytree(tiny_bolt(folder), target)
    breaking(target)
    return target


def drop_parameter(path: Path) -> None:
    weights = load_file(path / "model.safetensors")
    del weights["input_patch_embedding.hidden_layer.weight"]
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})


def pickle_weights(path: Path) -> None:
    torch.save(load_file(path / "model.safetensors"), path / "pytorch_model.bin")
    (path / "model.safetensors").unlink()


def cut_weights(path: Path) -> None:
    content = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(content[: len(content) // 2])


def change_config(path: Path, **changes: object) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, **changes}))


BREAKINGS: dict[str, tuple[Callable[[Path], None], type[ModelError], str]] = {
    "pickled": (pickle_weights, ModelIntegrityError, "only pytorch_model.bin"),
    "no weights": (
        lambda p: (p / "model.safetensors").unlink(),
        ModelIntegrityError,
        "no safetensors",
    ),
    "cut short": (cut_weights, ModelIntegrityError, "not a safetensors file"),
    "lacking": (drop_parameter, ModelIntegrityError, "input_patch_embedding.hidden_layer"),
    "of other shapes": (lambda p: change_config(p, d_ff=48), ModelIntegrityError, "loaded"),
    "no config": (lambda p: (p / "config.json").unlink(), ModelNotFoundError, "config.json"),
    "half a config": (lambda p: (p / "config.json").write_text("{"), ModelIntegrityError, "JSON"),
    "another family": (
        lambda p: (p / "config.json").write_text('{"model_type": "bert"}'),
        ModelError,
        "not of the Chronos family",
    ),
    "an unknown pipeline": (
        lambda p: change_config(p, chronos_pipeline_class="Chronos9Pipeline"),
        ModelError,
        "Chronos9Pipeline",
    ),
    "an adapter": (
        lambda p: (p / "adapter_config.json").write_text("{}"),
        ModelError,
        "LoRA adapter",
    ),
}


@pytest.mark.parametrize("case", BREAKINGS)
def test_an_incomplete_model_folder_is_refused(case: str, folder: Path, tmp_path: Path):
    breaking, error, message = BREAKINGS[case]
    with pytest.raises(error, match=message):
        load(broken(folder, tmp_path / "model", breaking))


def test_a_missing_folder_is_not_found(tmp_path: Path):
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        load(tmp_path / "nowhere")


def test_no_code_of_the_model_is_run(folder: Path, tmp_path: Path):
    def plant(path: Path) -> None:
        (path / "evil.py").write_text("raise SystemExit('ran')")
        names = {"AutoConfig": "evil.Config", "AutoModelForSeq2SeqLM": "evil.Model"}
        change_config(path, auto_map=names)

    forecaster = load(broken(folder, tmp_path / "model", plant))
    assert np.isfinite(ask(forecaster, 3, TENTHS)).all()


def test_uneven_trained_levels_are_interpolated(folder: Path):
    forecaster = load(tiny_bolt(folder, levels=UNEVEN))
    trained = ask(forecaster, 5, UNEVEN)
    between = ask(forecaster, 5, (0.3,))[..., 0]
    assert between == pytest.approx((trained[..., 1] + trained[..., 2]) / 2, rel=1e-4, abs=1e-4)


def test_a_model_of_uneven_levels_has_long_horizons_too(folder: Path):
    assert np.isfinite(ask(load(tiny_bolt(folder, levels=UNEVEN)), 150, (0.02, 0.5, 0.99))).all()


def test_a_batch_that_is_too_large_raises_a_memory_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    forecaster = load(tiny_bolt(folder))

    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(forecaster._model, "quantiles", fail)
    with pytest.raises(MemoryError):
        ask(forecaster, 3, TENTHS)


def test_empirical_quantiles_are_those_of_torch():
    samples = torch.randn(4, 81, 5, generator=torch.Generator().manual_seed(0))
    for levels in (TENTHS, (0.013, 0.5, 0.777)):
        expected = torch.quantile(samples, torch.tensor(levels), dim=1).transpose(0, 1)
        assert torch.allclose(empirical_quantiles(samples, levels), expected, atol=1e-6)


def test_tenths_are_even_and_others_are_not():
    assert is_even(TENTHS)
    assert not is_even(UNEVEN)
    assert level_masses(UNEVEN).sum().item() == pytest.approx(1)


def test_weighted_paths_reproduce_the_distribution_of_their_quantiles():
    levels = tuple(n / 50 for n in range(1, 50))
    normal = torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(levels))
    paths = normal.repeat(len(levels)).view(1, -1, 1)
    reduced = reduce_paths(paths, levels, levels, weighted=True)
    assert torch.allclose(reduced.flatten()[5:-5], normal[5:-5], atol=0.05)
