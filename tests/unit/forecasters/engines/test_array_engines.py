"""The engines without torch give the numbers of the lean engine, whatever the architecture."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from gigacast.core.array import FloatArray  # noqa: E402
from gigacast.errors import ConfigError, ModelError, ModelIntegrityError  # noqa: E402
from gigacast.forecasters.forecaster import Forecaster, ModelFiles  # noqa: E402
from gigacast.forecasters.plain.forecaster import load_plain  # noqa: E402
from gigacast.forecasters.plain.unrolling import empirical_quantiles, weighted_quantiles  # noqa: E402
from tests.support.tiny_models import session_folder, tiny_chronos2  # noqa: E402
from tests.unit.forecasters.lean.lean_models import (  # noqa: E402
    SMALLEST,
    TENTHS,
    load_ours,
    request,
    save_bolt,
    scale_of,
)

TOLERANCE = 1e-5
WEIGHTED_TOLERANCE = 5e-4
"""Beyond one pass, of models with uneven levels: the stock reduction sums weights in float32, and a
quantile between two paths moves with the last bit of that sum. No published Bolt has such levels.
"""
WEIGHTED = ("three levels", "twenty-one levels", "uneven levels")
VARIANTS: dict[str, dict[str, object]] = {
    "as published": {},
    "no REG token": {"use_reg_token": False},
    "patches of 8": {"input_patch_size": 8, "input_patch_stride": 8},
    "patches that overlap": {"input_patch_size": 16, "input_patch_stride": 8},
    "a horizon that moves the patches": {"prediction_length": 10},
    "three levels": {"levels": (0.1, 0.5, 0.9)},
    "twenty-one levels": {"levels": tuple(round(n / 22, 4) for n in range(1, 22))},
    "uneven levels": {"levels": (0.05, 0.1, 0.5, 0.9, 0.95)},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return session_folder(tmp_path_factory)


def load_openvino(files: ModelFiles) -> Forecaster:
    pytest.importorskip("openvino")
    from gigacast.forecasters.openvino.forecaster import load_openvino

    return load_openvino(files)


ENGINES: dict[str, Callable[[ModelFiles], Forecaster]] = {
    "numpy": load_plain,
    "openvino": load_openvino,
}


def load(engine: str, folder: Path, precision: str = "float32", device: str = "cpu") -> Forecaster:
    return ENGINES[engine](ModelFiles(folder, "bolt", "1", "d", device, precision))


def contexts() -> FloatArray:
    """Return ordinary contexts, and such with missing values, patches and beginnings."""
    rng = np.random.default_rng(5)
    values = rng.normal(size=(8, 100)).cumsum(axis=1).astype(np.float32)
    values[1, :40] = np.nan
    values[2, 30:70] = np.nan
    values[3, -20:] = np.nan
    values[4, rng.random(100) < 0.5] = np.nan
    values[5] = 3.0
    values[6] = values[6] * np.float32(1e12)
    values[7] = values[7] + np.float32(1e6)
    return values


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_of_the_architecture_give_the_numbers_of_the_lean_engine(
    engine: str, variant: str, root: Path
):
    folder = save_bolt(root, SMALLEST, **VARIANTS[variant])
    levels = VARIANTS[variant].get("levels", TENTHS)
    context = contexts()
    for horizon in (7, 130):
        weighted = horizon > 64 and variant in WEIGHTED
        tolerance = WEIGHTED_TOLERANCE if weighted else TOLERANCE
        query = request(context, horizon, levels)
        ours, theirs = load(engine, folder).predict(query), load_ours(folder).predict(query)
        rounding = 4 * np.spacing(np.abs(theirs).max(axis=(1, 2), keepdims=True))
        moved = np.abs(ours.astype(np.float64) - theirs)
        assert (moved <= tolerance * scale_of(context) + rounding).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_context_beyond_the_models_is_cut(engine: str, root: Path):
    folder = save_bolt(root, SMALLEST, context_length=64)
    long = np.random.default_rng(1).normal(size=(3, 150)).astype(np.float32)
    forecaster = load(engine, folder)
    cut = forecaster.predict(request(long[:, -64:], 9))
    assert np.array_equal(forecaster.predict(request(long, 9)), cut)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_gpu_and_an_unknown_precision_are_refused_with_a_hint(engine: str, root: Path):
    folder = save_bolt(root, SMALLEST)
    with pytest.raises(ConfigError, match="cpu only"):
        load(engine, folder, device="cuda")
    with pytest.raises(ConfigError, match="not in float16"):
        load(engine, folder, precision="float16")


@pytest.mark.parametrize("engine", ENGINES)
def test_another_model_is_refused(engine: str, root: Path):
    with pytest.raises(ModelError, match="no Chronos-Bolt"):
        load(engine, tiny_chronos2(root))


def test_a_start_token_that_the_weights_lack_is_refused(tmp_path: Path):
    from tests.unit.forecasters.lean.lean_models import change_config

    folder = save_bolt(tmp_path, SMALLEST)
    change_config(folder, decoder_start_token_id=7)
    with pytest.raises(ModelIntegrityError, match="token 7"):
        load("numpy", folder)


@pytest.mark.parametrize("kind", ["BF16", "F16", "F64"])
def test_weights_of_every_stored_type_are_read_as_torch_reads_them(kind: str, tmp_path: Path):
    from safetensors.torch import save_file

    from gigacast.forecasters.lean.loading import read_tensors

    types = {"BF16": torch.bfloat16, "F16": torch.float16, "F64": torch.float64}
    stored = {"a": torch.randn(5, 7).to(types[kind]), "b": torch.tensor([0.0, -0.0, 1e-30, 3e4])}
    stored["b"] = stored["b"].to(types[kind])
    save_file(stored, tmp_path / "model.safetensors")
    for name, values in read_tensors(tmp_path).items():
        assert np.array_equal(values, stored[name].float().numpy())


def test_weights_of_whole_numbers_are_refused(tmp_path: Path):
    from safetensors.torch import save_file

    from gigacast.forecasters.lean.loading import read_tensors

    save_file({"a": torch.arange(3)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelIntegrityError, match="type I64"):
        read_tensors(tmp_path)


def test_the_numpy_engine_imports_no_torch(root: Path):
    import subprocess
    import sys

    folder = save_bolt(root, SMALLEST)
    code = (
        "import sys; from pathlib import Path\n"
        "from gigacast.forecasters.forecaster import ModelFiles\n"
        "from gigacast.forecasters.plain.forecaster import load_plain\n"
        f"load_plain(ModelFiles(Path({str(folder)!r}), 'b', '1', 'd'))\n"
        "assert not {'torch', 'chronos', 'openvino', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_quantiles_of_samples_are_those_of_numpy():
    samples = np.random.default_rng(0).normal(size=(4, 81, 3)).astype(np.float32)
    expected = np.quantile(samples.astype(np.float64), TENTHS, axis=1).transpose(1, 0, 2)
    assert np.abs(empirical_quantiles(samples, TENTHS) - expected).max() < 1e-6


@pytest.mark.parametrize("levels", [(0.1, 0.5, 0.9), (0.02, 0.3, 0.5, 0.99)])
def test_quantiles_of_weighted_samples_are_those_of_chronos(levels: tuple[float, ...]):
    from chronos.utils import weighted_quantile

    rng = np.random.default_rng(2)
    samples = rng.normal(size=(5, 20, 6)).astype(np.float32)
    weights = rng.uniform(0.1, 1, size=20)
    expected = weighted_quantile(
        torch.tensor(levels),
        torch.tensor(weights, dtype=torch.float32),
        torch.from_numpy(samples).transpose(1, 2),
    ).transpose(1, 2)
    ours = weighted_quantiles(samples, weights, levels)
    assert np.abs(ours - expected.numpy()).max() < 1e-5


def test_a_quantile_near_the_upper_sample_has_the_digits_of_that_sample():
    # From the lower one, 1e8 away, a float32 would round it to a multiple of 8.
    share = 1 - 2**-17
    samples = np.array([[[-1e8], [1.0]]], np.float32)
    expected = 1 - (1e8 + 1) * 2**-17
    assert empirical_quantiles(samples, (share,)).item() == pytest.approx(expected, rel=1e-6)
