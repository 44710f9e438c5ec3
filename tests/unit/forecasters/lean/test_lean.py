"""The lean engine: loading, errors, its info, and its parts."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

import gigacast  # noqa: E402
from gigacast.errors import (  # noqa: E402
    ModelError,
    ModelIntegrityError,
    ModelNotFoundError,
    UnsupportedForecastError,
)
from gigacast.forecasters.forecaster import Forecaster  # noqa: E402
from gigacast.forecasters.lean import linear  # noqa: E402
from gigacast.forecasters.lean.forward import fill_keys  # noqa: E402
from gigacast.forecasters.lean.input import cut_patches  # noqa: E402
from gigacast.forecasters.lean.linear import Linear, PackedLinear  # noqa: E402
from gigacast.forecasters.lean.pieces import (  # noqa: E402
    MAX_TOKENS,
    has_empty_patch,
    piece_sizes,
)
from gigacast.forecasters.lean.position import relative_buckets  # noqa: E402
from gigacast.forecasters.lean.shape import lean_engine, read_shape, runs_lean  # noqa: E402
from tests.support.tiny_models import session_folder, tiny_chronos2, tiny_t5  # noqa: E402
from tests.unit.forecasters.lean.lean_models import (  # noqa: E402
    SMALLEST,
    TENTHS,
    change_config,
    load_ours,
    load_theirs,
    request,
    save_bolt,
)

NANO = Path(gigacast.__file__).parent / "forecasters" / "weights" / "gigacast-bolt-nano"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return session_folder(tmp_path_factory)


def walks(rows: int, length: int) -> np.ndarray:
    steps = np.random.default_rng(0).normal(size=(rows, length))
    return steps.cumsum(axis=1).astype(np.float32)


def test_the_info_equals_the_stock_ones_except_for_the_engine(root: Path):
    folder = save_bolt(root, SMALLEST)
    ours, theirs = load_ours(folder), load_theirs(folder)
    assert isinstance(ours, Forecaster)
    assert ours.info.engine == lean_engine() == "gigacast-bolt-r1"
    names = [name for name in ours.info.__slots__ if name != "engine"]
    assert [getattr(ours.info, n) for n in names] == [getattr(theirs.info, n) for n in names]


def test_levels_between_the_trained_ones_are_interpolated(root: Path):
    forecaster = load_ours(save_bolt(root, SMALLEST))
    context = walks(2, 50)
    trained = forecaster.predict(request(context, 3))
    between = forecaster.predict(request(context, 3, (0.25,)))[..., 0]
    assert between == pytest.approx((trained[..., 1] + trained[..., 2]) / 2, rel=1e-5, abs=1e-5)


def test_levels_outside_the_trained_ones_and_empty_horizons_are_refused(root: Path):
    forecaster = load_ours(save_bolt(root, SMALLEST))
    with pytest.raises(UnsupportedForecastError, match="outside the range"):
        forecaster.predict(request(walks(1, 20), 3, (0.01,)))
    with pytest.raises(UnsupportedForecastError, match="less than 1"):
        forecaster.predict(request(walks(1, 20), 0))


def test_a_row_without_a_value_does_not_change_the_others(root: Path):
    forecaster = load_ours(save_bolt(root, SMALLEST))
    context = walks(3, 50)
    expected = forecaster.predict(request(context[1:], 70))
    context[0] = np.nan
    raw = forecaster.predict(request(context, 70))
    assert np.isnan(raw[0]).all()
    assert raw[1:] == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_a_call_changes_neither_its_input_nor_the_next_call(root: Path):
    forecaster = load_ours(save_bolt(root, SMALLEST))
    context = walks(3, 77)
    original = context.copy()
    first = forecaster.predict(request(context, 70))
    forecaster.predict(request(walks(5, 30), 9))
    assert np.array_equal(forecaster.predict(request(context, 70)), first)
    assert np.array_equal(context, original)


def test_weights_in_several_files_and_in_bfloat16_are_read(root: Path, tmp_path: Path):
    model_folder = save_bolt(root, SMALLEST)
    parts = tmp_path / "parts"
    shutil.copytree(model_folder, parts)
    tensors = load_file(parts / "model.safetensors")
    (parts / "model.safetensors").unlink()
    names = sorted(tensors)
    for number, some in enumerate((names[:9], names[9:])):
        save_file(
            {name: tensors[name].to(torch.bfloat16) for name in some},
            parts / f"model-{number}.safetensors",
        )
    ours = load_ours(parts).predict(request(walks(2, 50)))
    assert ours == pytest.approx(load_theirs(model_folder).predict(request(walks(2, 50))), abs=0.5)


def drop(name: str) -> Callable[[Path], None]:
    def breaking(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        del weights[name]
        save_file(weights, folder / "model.safetensors")

    return breaking


def cut_weights(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def drop_bolt_setting(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    del config["chronos_config"]["quantiles"]
    (folder / "config.json").write_text(json.dumps(config))


BREAKINGS: dict[str, tuple[Callable[[Path], None], type[ModelError], str]] = {
    "no weights": (lambda p: (p / "model.safetensors").unlink(), ModelIntegrityError, "no safe"),
    "cut short": (cut_weights, ModelIntegrityError, "not a safetensors file"),
    "lacking": (drop("decoder.block.1.layer.1.EncDecAttention.k.weight"), ModelIntegrityError, "k"),
    "of other shapes": (lambda p: change_config(p, d_ff=48), ModelIntegrityError, "48"),
    "no config": (lambda p: (p / "config.json").unlink(), ModelNotFoundError, "config.json"),
    "another activation": (
        lambda p: change_config(p, feed_forward_proj="gated-gelu"),
        ModelError,
        "load_chronos",
    ),
    "half a config": (drop_bolt_setting, ModelError, "quantiles"),
    "an adapter": (lambda p: (p / "adapter_config.json").touch(), ModelError, "LoRA adapter"),
}


@pytest.mark.parametrize("case", BREAKINGS)
def test_an_incomplete_bolt_folder_is_refused(case: str, root: Path, tmp_path: Path):
    breaking, error, message = BREAKINGS[case]
    folder = tmp_path / "model"
    shutil.copytree(save_bolt(root, SMALLEST), folder)
    breaking(folder)
    with pytest.raises(error, match=message):
        load_ours.__wrapped__(folder)


def test_the_configuration_alone_decides_whether_a_model_runs_lean(root: Path):
    def config(folder: Path) -> dict[str, object]:
        settings: dict[str, object] = json.loads((folder / "config.json").read_text())
        return settings

    bolt = config(save_bolt(root, SMALLEST))
    assert runs_lean(bolt)
    assert not runs_lean({**bolt, "dense_act_fn": "gelu_new"})
    assert not runs_lean(config(tiny_chronos2(root)))
    assert not runs_lean(config(tiny_t5(root)))


def test_missing_configuration_fields_have_the_defaults_of_t5():
    from transformers import T5Config

    bolt = {
        "context_length": 512,
        "prediction_length": 64,
        "input_patch_size": 16,
        "input_patch_stride": 16,
        "quantiles": list(TENTHS),
    }
    bare = read_shape({"chronos_config": bolt})
    full = read_shape({**T5Config().to_dict(), "chronos_config": bolt})
    assert bare == full


def test_the_lean_engine_does_not_import_chronos_or_transformers(root: Path):
    folder = save_bolt(root, SMALLEST)
    check = (
        "import sys; from pathlib import Path\n"
        "from gigacast.forecasters.forecaster import ModelFiles\n"
        "from gigacast.forecasters.lean.forecaster import load_lean\n"
        f"load_lean(ModelFiles(Path({str(folder)!r}), 'a', '1', 'd', 'cpu'))\n"
        "assert not {'chronos', 'transformers', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
    check = "import gigacast.forecasters.lean.shape, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True)


@pytest.mark.skipif(not NANO.exists(), reason="the default model is not here")
def test_on_the_default_model_the_loss_moves_by_less_than_a_thousandth():
    rng = np.random.default_rng(0)
    steps, rows = np.arange(272), 300
    period = rng.choice([7, 12, 24, 30], rows)[:, None]
    wave = 10 * rng.random((rows, 1)) * np.sin(2 * np.pi * (steps / period + rng.random((rows, 1))))
    walk = rng.normal(size=(rows, 272)).cumsum(axis=1) / 2
    series = (wave + walk + rng.normal(size=(rows, 272))).astype(np.float32)
    recent = request(np.ascontiguousarray(series[:, :208]))
    theirs = loss(load_theirs(NANO).predict(recent), series[:, 208:])
    assert loss(load_ours(NANO).predict(recent), series[:, 208:]) == pytest.approx(theirs, rel=1e-6)
    reduced = loss(load_ours(NANO, "bfloat16").predict(recent), series[:, 208:])
    assert reduced == pytest.approx(theirs, rel=1e-3)


def loss(quantiles: np.ndarray, actual: np.ndarray) -> float:
    """Weighted quantile loss."""
    over = actual[..., None] <= quantiles
    weight = np.where(over, 1 - np.array(TENTHS), np.array(TENTHS))
    return float(2 * (np.abs(actual[..., None] - quantiles) * weight).sum() / np.abs(actual).sum())


@pytest.mark.parametrize(("buckets", "distance"), [(32, 128), (128, 256)])
def test_relative_buckets_are_t5s(buckets: int, distance: int):
    from transformers.models.t5.modeling_t5 import T5Attention

    place = torch.arange(140)
    expected = T5Attention._relative_position_bucket(
        place[None] - place[:, None], num_buckets=buckets, max_distance=distance
    )
    assert np.array_equal(relative_buckets(140, buckets, distance), expected.numpy())


@pytest.mark.parametrize("tokens", [1, 7, 13, 128])
def test_rows_are_computed_in_pieces_of_few_sizes(tokens: int):
    seen_sizes = set()
    for rows in range(1, 3000, 7):
        sizes = piece_sizes(rows, tokens)
        assert sizes == sorted(sizes, reverse=True)
        assert max(sizes) * tokens <= MAX_TOKENS
        assert rows <= sum(sizes) < rows + sizes[-1]
        seen_sizes.update(sizes)
    assert all(size.bit_count() == 1 for size in seen_sizes)


def test_pieces_have_little_padding():
    assert piece_sizes(1, 13) == [1]
    assert piece_sizes(5, 13) == [8]
    assert piece_sizes(500, 13) == [512]
    assert piece_sizes(700, 13) == [512, 128, 64]
    assert piece_sizes(100, 128) == [64, 32, 4]


def test_keys_are_filled_up_for_short_sequences_only():
    assert {n: fill_keys(n) for n in (1, 7, 8, 14, 15, 16, 17, 24, 33, 57, 129)} == {
        1: 0, 7: 0, 8: 8, 14: 2, 15: 1, 16: 0, 17: 0, 24: 8, 33: 0, 57: 7, 129: 0
    }  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_packed_product_equals_the_plain_one(dtype: "torch.dtype"):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(24, 40, generator=generator).to(dtype)
    bias = torch.randn(24, generator=generator).to(dtype)
    rows = torch.randn(3, 5, 40, generator=generator).to(dtype)
    residual = torch.randn(3, 5, 24, generator=generator).to(dtype)
    plain, packed = Linear(weight, bias), PackedLinear(weight, bias)
    near = {"atol": 0.1, "rtol": 0.02} if dtype == torch.bfloat16 else {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(packed(rows), plain(rows), **near)
    torch.testing.assert_close(packed.relu(rows), plain.relu(rows), **near)
    torch.testing.assert_close(packed.add(rows, residual), plain.add(rows, residual), **near)


def test_forecasts_in_float32_do_not_depend_on_packing(root: Path, monkeypatch: pytest.MonkeyPatch):
    folder = save_bolt(root, SMALLEST)
    answers = []
    for packs in (False, True):
        monkeypatch.setattr(linear, "packs_float32", lambda packs=packs: packs)
        forecaster = load_ours.__wrapped__(folder)  # not the one in the cache of these tests
        assert isinstance(forecaster._model._weights.encoder[0].widen, PackedLinear) is packs
        answers.append(forecaster.predict(request(walks(5, 60), 7)))
    plain, packed = answers
    np.testing.assert_allclose(packed, plain, rtol=1e-4, atol=1e-4)


def test_patches_are_normalised_and_carry_their_mask():
    context = torch.tensor([[torch.nan, 1.0, 3.0], [5.0, torch.nan, 5.0]])
    patches = cut_patches(context, 2, 2)
    assert patches.location.flatten().tolist() == [2.0, 5.0]
    assert patches.scale.flatten() == pytest.approx([1.0, 1e-5])
    assert patches.values.tolist() == [
        [[0, 0, 0, 0], [-1, 1, 1, 1]],
        [[0, 0, 0, 1], [0, 0, 0, 1]],
    ]
    assert patches.observed.tolist() == [[False, True], [True, True]]


def test_a_mask_is_needed_only_for_patches_without_a_value():
    context = walks(3, 40)
    assert not has_empty_patch(context, 16)
    context[1, 39] = np.nan
    assert not has_empty_patch(context, 16)
    context[1, 24:40] = np.nan
    assert has_empty_patch(context, 16)
    assert has_empty_patch(np.full((1, 1), np.nan, np.float32), 16)
