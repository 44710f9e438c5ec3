"""The lean forward gives the numbers of Chronos' own pipeline.

In float32: within 1e-5 of the context's scale of the stock pipeline, after the same centring and,
where float32 can carry the values at all, bare; where the bare one loses digits, ours is compared
with float64 instead and must be at least as near. In bfloat16: within the tolerances stated here.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from gigacast.forecasters.lean.pieces import piece_sizes  # noqa: E402
from tests.support.tiny_models import session_folder  # noqa: E402
from tests.unit.forecasters.lean.lean_models import (  # noqa: E402
    PUBLISHED_LAYERS,
    SIZES,
    SMALLEST,
    TENTHS,
    Array,
    exact,
    forget,
    load_ours,
    load_theirs,
    request,
    save_bolt,
    scale_of,
    stock,
)

FLOAT32_TOLERANCE = 1e-5
BFLOAT16_WORST, BFLOAT16_RMS = 0.1, 0.025
"""On random weights, which forgive less than trained ones do."""


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


@pytest.mark.parametrize("size", SIZES)
def test_every_size_is_equal_at_short_lengths(size: str, root: Path):
    folder = save_bolt(root, SIZES[size])
    for length in (1, 15, 16, 17, 100, 208):
        context = walks(2, length)
        ours = load_ours(folder).predict(request(context))
        assert difference(ours, stock(folder, context, 64), context).max() < FLOAT32_TOLERANCE


@pytest.mark.parametrize("size", SIZES)
def test_every_size_is_equal_at_its_published_depth(size: str, tmp_path: Path):
    folder = save_bolt(tmp_path, replace(SIZES[size], layers=PUBLISHED_LAYERS[size]))
    context = with_gaps(100)[[0, 4]]
    ours = load_ours.__wrapped__(folder).predict(request(context))
    theirs = stock(folder, context, 64)
    forget(folder)  # base takes 0.8 GB
    assert difference(ours, theirs, context).max() < FLOAT32_TOLERANCE


@pytest.mark.parametrize("rows", [700, 1300])
def test_batches_computed_in_pieces_are_equal(rows: int, root: Path):
    folder = save_bolt(root, SMALLEST)
    context = walks(rows, 100)
    assert len(piece_sizes(rows, -(-100 // 16))) > 1
    ours = load_ours(folder).predict(request(context))
    assert difference(ours, stock(folder, context, 64), context).max() < FLOAT32_TOLERANCE


@pytest.mark.parametrize("size", SIZES)
def test_every_size_is_equal_at_its_whole_context_and_cuts_what_lies_before(size: str, root: Path):
    folder = save_bolt(root, SIZES[size])
    context = walks(1, 2300)
    ours = load_ours(folder).predict(request(context))
    recent = context[:, -2048:]
    assert difference(ours, stock(folder, context, 64), recent).max() < FLOAT32_TOLERANCE
    assert np.array_equal(ours, load_ours(folder).predict(request(recent)))


@pytest.mark.parametrize("length", range(1, 200, 11))
def test_every_length_is_equal_below_and_beyond_a_short_context(length: int, root: Path):
    folder = save_bolt(root, SMALLEST, context_length=128)
    context = walks(5, length)
    ours = load_ours(folder).predict(request(context))
    assert difference(ours, stock(folder, context, 64), context[:, -128:]).max() < FLOAT32_TOLERANCE


@pytest.mark.parametrize("size", SIZES)
def test_missing_values_are_handled_equally(size: str, root: Path):
    folder = save_bolt(root, SIZES[size])
    context = with_gaps({"tiny": 700, "mini": 208}.get(size, 100))
    ours = load_ours(folder).predict(request(context))
    theirs = load_theirs(folder).predict(request(context))
    assert difference(ours, theirs, context).max() < FLOAT32_TOLERANCE
    assert difference(ours, stock(folder, context, 64), context).max() < FLOAT32_TOLERANCE


@pytest.mark.parametrize("horizon", [1, 7, 63, 64, 65, 100, 128, 129, 200])
def test_every_horizon_is_equal(horizon: int, root: Path):
    folder = save_bolt(root, SIZES["tiny"])
    context = np.concatenate([walks(1, 60), with_gaps(60)[[2, 4]]])
    ours = load_ours(folder).predict(request(context, horizon))
    assert ours.shape == (3, horizon, 9)
    assert difference(ours, stock(folder, context, horizon), context).max() < FLOAT32_TOLERANCE


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0, -7.25, 1e6, 1e-20, 3e30, -1e-38])
def test_constants_are_equal(value: float, root: Path):
    folder = save_bolt(root, SIZES["tiny"])
    context = np.full((1, 100), value, np.float32)
    ours = load_ours(folder).predict(request(context, 80))
    theirs = load_theirs(folder).predict(request(context, 80))
    assert difference(ours, theirs, context).max() < FLOAT32_TOLERANCE
    moved = np.abs(theirs.astype(np.float64) - context[0, 0]).max()
    assert (np.abs(ours - theirs) <= np.spacing(np.abs(theirs)) + 1e-5 * moved).all()


@pytest.mark.parametrize("magnitude", [1e-30, 1e-20, 1e-10, 1e-3, 1e3, 1e10, 1e20, 1e30])
def test_magnitudes_are_equal_and_change_nothing_but_the_unit(magnitude: float, root: Path):
    folder = save_bolt(root, SIZES["tiny"])
    context = walks(4, 100) * np.float32(magnitude)
    forecaster = load_ours(folder)
    ours = forecaster.predict(request(context))
    theirs = load_theirs(folder).predict(request(context))
    assert difference(ours, theirs, context).max() < FLOAT32_TOLERANCE
    plain = forecaster.predict(request(walks(4, 100))) * np.float64(magnitude)
    assert difference(ours, plain, context).max() < 2 * FLOAT32_TOLERANCE


HARD: dict[str, Callable[[], Array]] = {
    "ordinary": lambda: walks(4, 100),
    "tiny": lambda: walks(4, 100) * np.float32(1e-12),
    "huge": lambda: walks(4, 100) * np.float32(1e12),
    "small noise on 1e6": lambda: walks(4, 100) + np.float32(1e6),
    "smaller noise on 1e6": lambda: walks(4, 100) * np.float32(0.3) - np.float32(1e6),
    "noise on 1e4, with gaps": lambda: with_gaps(100)[:6] + np.float32(1e4),
}


@pytest.mark.parametrize("case", HARD)
def test_with_large_offsets_the_lean_engine_is_nearer_to_float64_than_the_stock_pipeline(
    case: str, root: Path
):
    folder = save_bolt(root, SIZES["tiny"])
    context = HARD[case]()
    truth = exact(folder, context)
    ours = load_ours(folder).predict(request(context))
    our_error = difference(ours, truth, context).max()
    stock_error = difference(stock(folder, context, 64), truth, context).max()
    rounding = np.spacing(np.abs(ours)).max() / scale_of(context).min()  # of the result itself
    assert our_error <= max(stock_error, FLOAT32_TOLERANCE + rounding)
    assert our_error < FLOAT32_TOLERANCE + rounding


VARIANTS: dict[str, dict[str, object]] = {
    "no REG token": {"use_reg_token": False},
    "patches of 8": {"input_patch_size": 8, "input_patch_stride": 8},
    "patches that overlap": {"input_patch_size": 16, "input_patch_stride": 8},
    "a horizon that moves the patches": {"prediction_length": 10},
    "three levels": {"levels": (0.1, 0.5, 0.9)},
    "twenty-one levels": {"levels": tuple(round(n / 22, 4) for n in range(1, 22))},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_of_the_architecture_are_equal(variant: str, root: Path):
    options = VARIANTS[variant]
    folder = save_bolt(root, SMALLEST, **options)
    levels = options.get("levels", TENTHS)
    context = np.concatenate([walks(3, 100), with_gaps(100)[:6]])
    expected = request(context, 25, levels)
    ours, theirs = load_ours(folder).predict(expected), load_theirs(folder).predict(expected)
    assert difference(ours, theirs, context).max() < FLOAT32_TOLERANCE


@pytest.mark.parametrize("size", SIZES)
def test_bfloat16_is_within_its_tolerance_and_no_worse_than_the_stock_model(size: str, root: Path):
    folder = save_bolt(root, SIZES[size])
    context = walks(16, 208)
    truth = stock(folder, context, 64)
    ours = difference(load_ours(folder, "bfloat16").predict(request(context)), truth, context)
    theirs = difference(load_theirs(folder, "bfloat16").predict(request(context)), truth, context)
    assert ours.max() < BFLOAT16_WORST
    assert np.sqrt((ours**2).mean()) < BFLOAT16_RMS
    assert np.sqrt((ours**2).mean()) < 1.2 * np.sqrt((theirs**2).mean())


BFLOAT16_CASES: dict[str, tuple[Callable[[], Array], int]] = {
    "gaps": (lambda: with_gaps(208), 64),
    "tiny": (lambda: walks(4, 100) * np.float32(1e-30), 64),
    "huge": (lambda: walks(4, 100) * np.float32(1e30), 64),
    "small noise on 1e6": (lambda: walks(4, 100) + np.float32(1e6), 64),
    "a constant": (lambda: np.full((1, 100), -7.25, np.float32), 64),
    "one value": (lambda: walks(4, 1) + 1, 64),
    "beyond the context": (lambda: walks(2, 2300), 64),
    "one step": (lambda: walks(4, 100), 1),
    "two hundred steps": (lambda: walks(4, 100), 200),
}


@pytest.mark.parametrize("case", BFLOAT16_CASES)
def test_bfloat16_keeps_its_tolerance_whatever_the_series(case: str, root: Path):
    make, horizon = BFLOAT16_CASES[case]
    folder, context = save_bolt(root, SIZES["tiny"]), make()
    truth = load_theirs(folder).predict(request(context, horizon))
    ours = load_ours(folder, "bfloat16").predict(request(context, horizon))
    assert difference(ours, truth, context[:, -2048:]).max() < BFLOAT16_WORST


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("float32", FLOAT32_TOLERANCE), ("bfloat16", BFLOAT16_WORST)]
)
def test_a_series_does_not_depend_on_its_batch_or_padding(
    precision: str, tolerance: float, root: Path
):
    forecaster = load_ours(save_bolt(root, SIZES["tiny"]), precision)
    context = np.concatenate([with_gaps(100), walks(8, 100)])
    together = forecaster.predict(request(context))
    padded = np.pad(context, ((0, 0), (76, 0)), constant_values=np.nan)
    assert difference(forecaster.predict(request(padded)), together, context).max() < tolerance
    for row in range(0, 16, 3):
        row_slice = slice(row, row + 1)
        alone = forecaster.predict(request(context[row_slice]))
        assert difference(alone, together[row_slice], context[row_slice]).max() < tolerance
