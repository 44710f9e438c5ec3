"""The lean Chronos-2 gives the numbers of Chronos' own network.

In float32: within 1e-5 of the context's scale. In bfloat16: within the tolerances stated here.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from gigacast.errors import ModelError, ModelIntegrityError  # noqa: E402
from gigacast.forecasters.catalog import describe_forecaster, load_forecaster  # noqa: E402
from gigacast.forecasters.chronos2.shape import chronos2_engine, runs_lean_chronos2  # noqa: E402
from gigacast.forecasters.engine import EngineChoice  # noqa: E402
from gigacast.forecasters.network.groups import CARRIED_LEVELS, GroupUnrolling  # noqa: E402
from tests.support.tiny_models import session_folder, tiny_bolt  # noqa: E402
from tests.unit.forecasters.chronos2.chronos2_models import (  # noqa: E402
    SIZES,
    Array,
    load_ours,
    load_theirs,
    request,
    save_chronos2,
    stock,
)
from tests.unit.forecasters.lean.lean_models import scale_of  # noqa: E402

FLOAT32_TOLERANCE = 1e-5
BFLOAT16_WORST, BFLOAT16_RMS = 0.2, 0.02
SMALLEST = SIZES["smallest"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return session_folder(tmp_path_factory)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Workers that share the cores would wait for each other at every product."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def walks(rows: int, length: int, seed: int = 0) -> Array:
    steps = np.random.default_rng(seed).normal(size=(rows, length))
    return steps.cumsum(axis=1).astype(np.float32)


def with_gaps(length: int) -> Array:
    """Leading, inner, whole inner patches, trailing, a whole last patch, scattered, all but one."""
    context = walks(8, length)
    third = length // 3
    context[0, :third] = np.nan
    context[1, third : third + 3] = np.nan
    context[2, third : third + 40] = np.nan
    context[3, -5:] = np.nan
    context[4, -20:] = np.nan
    context[5, np.random.default_rng(1).random(length) < 0.5] = np.nan
    context[6, :-1] = np.nan
    context[7, 1:] = np.nan
    return context


def difference(ours: Array, theirs: np.ndarray, context: Array) -> np.ndarray:
    assert np.isfinite(ours).all()
    return np.abs(ours.astype(np.float64) - theirs) / scale_of(context)


@pytest.mark.parametrize("size", ["smallest", "narrow heads", "base"])
def test_every_size_is_equal(size: str, root: Path):
    folder = save_chronos2(root, SIZES[size])
    for length in (1, 16, 17) if size != "base" else (120,):
        context = walks(2, length)
        ours = load_ours(folder).predict(request(context))
        assert difference(ours, stock(folder, context, 40), context).max() < FLOAT32_TOLERANCE


@pytest.mark.parametrize("size", ["narrow heads"])
def test_missing_values_are_handled_equally(size: str, root: Path):
    folder = save_chronos2(root, SIZES[size])
    context = with_gaps(208)
    ours = load_ours(folder).predict(request(context))
    assert difference(ours, stock(folder, context, 40), context).max() < FLOAT32_TOLERANCE


def test_every_length_is_equal_below_and_beyond_a_short_context(root: Path):
    folder = save_chronos2(root, SMALLEST, context_length=128)
    for length in (1, 15, 34, 100, 127, 128, 129, 199):
        context = walks(3, length)
        ours = load_ours(folder).predict(request(context))
        theirs = stock(folder, context, 40)
        assert difference(ours, theirs, context[:, -128:]).max() < FLOAT32_TOLERANCE


@pytest.mark.parametrize("horizon", [1, 16, 17, 63, 64])
def test_every_horizon_of_one_pass_is_equal(horizon: int, root: Path):
    folder = save_chronos2(root, SMALLEST)
    context = np.concatenate([walks(1, 60), with_gaps(60)[[2, 4]]])
    ours = load_ours(folder).predict(request(context, horizon))
    assert ours.shape == (3, horizon, 21)
    assert difference(ours, stock(folder, context, horizon), context).max() < FLOAT32_TOLERANCE


@pytest.mark.parametrize("context_length", [512, 100])
def test_horizons_beyond_one_pass_are_those_of_the_stock_network(context_length: int, root: Path):
    folder = save_chronos2(root, SMALLEST, context_length=context_length)
    context = np.concatenate([walks(1, 90), with_gaps(90)])
    ours = load_ours(folder).predict(request(context, 200))
    theirs = load_theirs(folder).predict(request(context, 200))
    moved = difference(ours, theirs, context)
    # Paths are reduced by sums of weights in float32: a quantile at the border of two paths falls
    # to either side with the last bit of such a sum.
    assert (moved < FLOAT32_TOLERANCE).mean() > 0.998
    assert moved.max() < 5e-3


VARIANTS: dict[str, dict[str, object]] = {
    "no hyperbolic sine": {"use_arcsinh": False},
    "patches of 8": {
        f"{kind}_patch_{of}": 8
        for kind, of in (("input", "size"), ("output", "size"), ("input", "stride"))
    },
    "another scale of time": {"time_encoding_scale": 100},
    "one patch ahead": {"max_output_patches": 1},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_of_the_architecture_are_equal(variant: str, root: Path):
    folder = save_chronos2(root, SMALLEST, **VARIANTS[variant])
    context = np.concatenate([walks(3, 100), with_gaps(100)])
    for horizon in (8, 70):
        query = request(context, horizon)
        ours, theirs = load_ours(folder).predict(query), load_theirs(folder).predict(query)
        assert difference(ours, theirs, context).max() < FLOAT32_TOLERANCE


@pytest.mark.parametrize("value", [0.0, 0.1, -7.25, 1e6, 1e-20, 3e30])
def test_constants_are_equal(value: float, root: Path):
    folder = save_chronos2(root, SMALLEST)
    context = np.full((1, 100), value, np.float32)
    ours = load_ours(folder).predict(request(context, 20))
    theirs = load_theirs(folder).predict(request(context, 20))
    moved = np.abs(theirs.astype(np.float64) - context[0, 0]).max()
    assert (np.abs(ours - theirs) <= np.spacing(np.abs(theirs)) + 1e-5 * moved).all()


def groups(count: int, size: int, horizon: int) -> tuple[Array, Array]:
    """Return groups of a target, covariates with gaps and one without a past, and their future."""
    context = walks(count * size, 90)
    context[1::size, 20:60] = np.nan
    context[2::size] = np.nan
    future = np.full((count * size, horizon), np.nan, np.float32)
    future[1::size] = walks(count, horizon, seed=2)
    future[1::size, 5:9] = np.nan
    return context, future


@pytest.mark.parametrize("horizon", [7, 64])
@pytest.mark.parametrize("size", ["smallest", "narrow heads"])
def test_groups_with_covariates_are_equal(size: str, horizon: int, root: Path):
    folder = save_chronos2(root, SIZES[size])
    context, future = groups(4, 3, horizon)
    ours = load_ours(folder).predict(request(context, horizon, group_size=3, future=future))
    theirs = stock(folder, context, horizon, group_size=3, future=future)
    targets = slice(0, None, 3)
    assert difference(ours[targets], theirs[targets], context[targets]).max() < FLOAT32_TOLERANCE


def test_groups_beyond_one_pass_are_equal(root: Path):
    folder = save_chronos2(root, SMALLEST)
    context, future = groups(3, 4, 150)
    query = request(context, 150, group_size=4, future=future)
    ours, theirs = load_ours(folder).predict(query), load_theirs(folder).predict(query)
    targets = slice(0, None, 4)
    assert difference(ours[targets], theirs[targets], context[targets]).max() < FLOAT32_TOLERANCE


def test_series_that_are_forecast_together_without_covariates_are_equal(root: Path):
    folder = save_chronos2(root, SMALLEST)
    context = np.concatenate([walks(4, 100), with_gaps(100)])
    ours = load_ours(folder).predict(request(context, group_size=2))
    theirs = stock(folder, context, 40, group_size=2)
    assert difference(ours, theirs, context).max() < FLOAT32_TOLERANCE


@pytest.mark.parametrize("group_size", [1, 3])
def test_batches_computed_in_pieces_are_equal(group_size: int, root: Path):
    folder = save_chronos2(root, SMALLEST)
    context = walks(1203, 100)
    ours = load_ours(folder).predict(request(context, 7, group_size=group_size))
    some = [*range(6), *range(600, 606), *range(1197, 1203)]
    theirs = stock(folder, context[some], 7, group_size=group_size)
    assert difference(ours[some], theirs, context[some]).max() < FLOAT32_TOLERANCE


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("float32", FLOAT32_TOLERANCE), ("bfloat16", BFLOAT16_WORST)]
)
@pytest.mark.parametrize("group_size", [1, 4])
def test_a_series_does_not_depend_on_its_batch_or_padding(
    group_size: int, precision: str, tolerance: float, root: Path
):
    forecaster = load_ours(save_chronos2(root, SIZES["narrow heads"]), precision)
    context = np.concatenate([with_gaps(100), walks(8, 100)])
    together = forecaster.predict(request(context, group_size=group_size))
    padded = np.pad(context, ((0, 0), (76, 0)), constant_values=np.nan)
    again = forecaster.predict(request(padded, group_size=group_size))
    assert difference(again, together, context).max() < tolerance
    for first in range(0, 16, 2 * group_size):
        rows = slice(first, first + group_size)
        alone = forecaster.predict(request(context[rows], group_size=group_size))
        assert difference(alone, together[rows], context[rows]).max() < tolerance


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("group_size", [1, 3])
def test_in_calls_of_one_shape_a_row_has_the_same_bits_wherever_it_stands(
    group_size: int, precision: str, root: Path
):
    forecaster = load_ours(save_chronos2(root, SIZES["narrow heads"]), precision)
    context = walks(15, 100)
    together = forecaster.predict(request(context, group_size=group_size, exact=True))
    moved = forecaster.predict(request(context[::-1].copy(), group_size=group_size, exact=True))
    if group_size == 1:
        assert together.tobytes() == moved[::-1].tobytes()
    loud = context.copy()
    loud[group_size:] *= 1e6
    loud[-1, :50] = np.nan
    beside = forecaster.predict(request(loud, group_size=group_size, exact=True))
    assert beside[:group_size].tobytes() == together[:group_size].tobytes()


@pytest.mark.parametrize("size", ["narrow heads"])
def test_bfloat16_is_within_its_tolerance_and_no_worse_than_the_stock_model(size: str, root: Path):
    folder = save_chronos2(root, SIZES[size])
    context = walks(16, 208)
    truth = stock(folder, context, 40)
    ours = difference(load_ours(folder, "bfloat16").predict(request(context)), truth, context)
    theirs = difference(load_theirs(folder, "bfloat16").predict(request(context)), truth, context)
    assert ours.max() < BFLOAT16_WORST
    assert np.sqrt((ours**2).mean()) < BFLOAT16_RMS
    assert np.sqrt((ours**2).mean()) < 1.2 * np.sqrt((theirs**2).mean())


def changed(folder: Path, target: Path, change: Callable[[dict], None]) -> Path:
    shutil.copytree(folder, target)
    config = json.loads((target / "config.json").read_text())
    change(config)
    (target / "config.json").write_text(json.dumps(config))
    return target


def test_the_configuration_alone_decides_which_engine_runs_a_model(root: Path, tmp_path: Path):
    def described(folder: Path, engine: str = "auto") -> str:
        choice = EngineChoice(engine, "cpu", "float32")  # type: ignore[arg-type]
        return describe_forecaster(folder, name="m", version="1", digest="d", choice=choice).engine

    folder = save_chronos2(root, SMALLEST)
    assert described(folder) == described(folder, "torch") == chronos2_engine()
    assert described(folder, "stock").startswith("chronos-2.")
    gelu = changed(folder, tmp_path / "gelu", lambda config: config.update(dense_act_fn="gelu"))
    assert described(gelu).startswith("chronos-2.")
    overlapping = changed(
        folder, tmp_path / "overlap", lambda c: c["chronos_config"].update(input_patch_stride=8)
    )
    assert described(overlapping).startswith("chronos-2.")
    assert not runs_lean_chronos2({"chronos_pipeline_class": "Chronos2Pipeline"})


@pytest.mark.parametrize("engine", ["auto", "torch", "stock"])
def test_a_described_forecaster_is_loaded_as_described(engine: str, root: Path):
    folder = save_chronos2(root, SMALLEST)
    choice = EngineChoice(engine, "cpu", "float32")  # type: ignore[arg-type]
    info = describe_forecaster(folder, name="m", version="1", digest="d", choice=choice)
    assert load_forecaster(folder, info).info == info


def test_another_model_and_weights_of_another_shape_are_refused(root: Path, tmp_path: Path):
    with pytest.raises(ModelError, match="no Chronos-2"):
        load_ours(tiny_bolt(root))
    wider = changed(
        save_chronos2(root, SMALLEST), tmp_path / "wider", lambda config: config.update(d_ff=48)
    )
    with pytest.raises(ModelIntegrityError, match=r"config\.json says \[48"):
        load_ours(wider)


def test_the_lean_engine_does_not_import_chronos_or_transformers(root: Path):
    code = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from gigacast.core.series.forecast import ForecastRequest\n"
        "from gigacast.forecasters.forecaster import ModelFiles\n"
        "from gigacast.forecasters.chronos2.forecaster import load_lean_chronos2\n"
        f"folder = Path({str(save_chronos2(root, SMALLEST))!r})\n"
        "ours = load_lean_chronos2(ModelFiles(folder, 'b', '1', 'd', 'cpu', 'float32'))\n"
        "rows = np.ones((1, 20), np.float32)\n"
        "ours.predict(ForecastRequest(rows, 9, (0.5,), np.ones(1, int), np.zeros(1, np.uint64)))\n"
        "assert not {'chronos', 'transformers', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_each_pass_takes_no_more_patches_than_are_left():
    taken = []

    def one_pass(context, patches: int, group_size: int, future):
        taken.append((len(context), patches))
        return torch.zeros(len(context), 9, 4 * patches)

    unrolling = GroupUnrolling(CARRIED_LEVELS, context_length=32, patch_size=4, max_patches=3)
    forecast = unrolling.forecast(torch.zeros(2, 10), 17, one_pass)
    assert forecast.shape == (2, 9, 17)
    # Twelve steps of two rows, and five more of the nine paths of each.
    assert taken == [(2, 3), (18, 2)]
