"""Every engine of a Chronos-Bolt gives the numbers of Chronos' own pipeline, in every precision.

In float32: within 1e-5 of the context's scale, as the lean engine in torch (its own suite). In
bfloat16 and int8: within the tolerances stated here. In calls of one shape a series has the same
bits whatever is beside it.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import gigacast  # noqa: E402
from gigacast.core.series.forecast import ForecastRequest  # noqa: E402
from gigacast.forecasters.catalog import describe_forecaster, load_forecaster  # noqa: E402
from gigacast.forecasters.engine import EngineChoice  # noqa: E402
from gigacast.forecasters.forecaster import Forecaster  # noqa: E402
from tests.support.tiny_models import session_folder  # noqa: E402
from tests.unit.forecasters.lean.lean_models import (  # noqa: E402
    SIZES,
    SMALLEST,
    TENTHS,
    Array,
    exact,
    load_theirs,
    request,
    save_bolt,
    scale_of,
    stock,
)

FLOAT32_TOLERANCE = 1e-5
BFLOAT16_WORST, BFLOAT16_RMS = 0.1, 0.025
INT8_WORST, INT8_RMS = 0.5, 0.03
"""On the shipped model: random weights are no model that int8 is for."""
FLOAT32 = ("numpy", "openvino")
ALL = (
    ("torch", "float32"),
    ("torch", "bfloat16"),
    ("numpy", "float32"),
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
    ("openvino", "int8"),
)
NANO = Path(gigacast.__file__).parent / "forecasters" / "weights" / "gigacast-bolt-nano"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return session_folder(tmp_path_factory)


@pytest.fixture(scope="module", autouse=True)
def _cache_of_scales(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIGACAST_CACHE", str(session_folder(tmp_path_factory) / "cache"))
        yield


@lru_cache(maxsize=32)
def load(folder: Path, engine: str, precision: str = "float32") -> Forecaster:
    if engine == "openvino":
        pytest.importorskip("openvino")
    choice = EngineChoice(engine, "cpu", precision)  # type: ignore[arg-type]
    info = describe_forecaster(folder, name="bolt", version="1", digest="d", choice=choice)
    return load_forecaster(folder, info)


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


def exactly(context: Array) -> ForecastRequest:
    """Return a request whose numbers may not depend on the other rows."""
    return replace(request(context, 30, TENTHS), exact=True)


@pytest.mark.parametrize("engine", FLOAT32)
@pytest.mark.parametrize("size", ["tiny"])
def test_published_widths_are_equal_at_short_lengths(size: str, engine: str, root: Path):
    folder = save_bolt(root, SIZES[size])
    for length in (1, 17, 120):
        context = walks(2, length)
        ours = load(folder, engine).predict(request(context))
        assert difference(ours, stock(folder, context, 64), context).max() < FLOAT32_TOLERANCE


@pytest.mark.parametrize("engine", FLOAT32)
def test_every_length_is_equal_below_and_beyond_a_short_context(engine: str, root: Path):
    folder = save_bolt(root, SMALLEST, context_length=128)
    for length in (1, 15, 16, 34, 100, 127, 128, 129, 199):
        context = walks(5, length)
        ours = load(folder, engine).predict(request(context))
        theirs = stock(folder, context, 64)
        assert difference(ours, theirs, context[:, -128:]).max() < FLOAT32_TOLERANCE


@pytest.mark.parametrize("engine", FLOAT32)
def test_a_whole_context_is_equal_and_what_lies_before_is_cut(engine: str, root: Path):
    folder = save_bolt(root, SMALLEST)
    context = walks(1, 2300)
    ours = load(folder, engine).predict(request(context))
    recent = context[:, -2048:]
    assert difference(ours, stock(folder, context, 64), recent).max() < FLOAT32_TOLERANCE
    assert np.array_equal(ours, load(folder, engine).predict(request(recent)))


@pytest.mark.parametrize("engine", FLOAT32)
def test_missing_values_are_handled_equally(engine: str, root: Path):
    folder = save_bolt(root, SIZES["tiny"])
    context = with_gaps(208)
    ours = load(folder, engine).predict(request(context))
    assert difference(ours, stock(folder, context, 64), context).max() < FLOAT32_TOLERANCE


@pytest.mark.parametrize("engine", FLOAT32)
def test_every_horizon_is_equal(engine: str, root: Path):
    folder = save_bolt(root, SMALLEST)
    context = np.concatenate([walks(1, 60), with_gaps(60)[[2, 4]]])
    for horizon in (1, 63, 64, 65, 200):
        ours = load(folder, engine).predict(request(context, horizon))
        assert ours.shape == (3, horizon, 9)
        assert difference(ours, stock(folder, context, horizon), context).max() < FLOAT32_TOLERANCE


@pytest.mark.parametrize("engine", FLOAT32)
def test_constants_are_equal(engine: str, root: Path):
    folder = save_bolt(root, SMALLEST)
    for value in (0.0, 0.1, 1.0, -7.25, 1e6, 1e-20, 3e30, -1e-38):
        context = np.full((1, 100), value, np.float32)
        ours = load(folder, engine).predict(request(context, 80))
        theirs = load_theirs(folder).predict(request(context, 80))
        moved = np.abs(theirs.astype(np.float64) - context[0, 0]).max()
        assert (np.abs(ours - theirs) <= np.spacing(np.abs(theirs)) + 1e-5 * moved).all(), value


@pytest.mark.parametrize("engine", FLOAT32)
def test_magnitudes_change_nothing_but_the_unit(engine: str, root: Path):
    forecaster = load(save_bolt(root, SMALLEST), engine)
    plain = forecaster.predict(request(walks(4, 100)))
    for magnitude in (1e-30, 1e-10, 1e3, 1e20, 1e30):
        context = walks(4, 100) * np.float32(magnitude)
        ours = forecaster.predict(request(context))
        assert difference(ours, plain * np.float64(magnitude), context).max() < 2e-5


HARD: dict[str, Callable[[], Array]] = {
    "tiny": lambda: walks(4, 100) * np.float32(1e-12),
    "small noise on 1e6": lambda: walks(4, 100) + np.float32(1e6),
    "smaller noise on 1e6": lambda: walks(4, 100) * np.float32(0.3) - np.float32(1e6),
    "noise on 1e4, with gaps": lambda: with_gaps(100)[:6] + np.float32(1e4),
}


@pytest.mark.parametrize("engine", FLOAT32)
def test_with_large_offsets_every_engine_is_nearer_to_float64_than_the_stock_pipeline(
    engine: str, root: Path
):
    folder = save_bolt(root, SMALLEST)
    for make in HARD.values():
        context = make()
        truth = exact(folder, context)
        ours = load(folder, engine).predict(request(context))
        our_error = difference(ours, truth, context).max()
        stock_error = difference(stock(folder, context, 64), truth, context).max()
        rounding = np.spacing(np.abs(ours)).max() / scale_of(context).min()  # of the result itself
        assert our_error <= max(stock_error, FLOAT32_TOLERANCE + rounding)
        assert our_error < FLOAT32_TOLERANCE + rounding


def waves(rows: int, length: int) -> Array:
    """Return series of a season, a walk and noise, as those that int8 was measured on."""
    rng = np.random.default_rng(3)
    season = np.sin(2 * np.pi * np.arange(length) / rng.integers(5, 30, size=(rows, 1)))
    return (10 * season + walks(rows, length, seed=4)).astype(np.float32)


ROUGH_CASES: dict[str, tuple[Callable[[], Array], int]] = {
    "short": (lambda: waves(8, 100), 64),
    "gaps": (lambda: np.where(np.isnan(with_gaps(208)), np.nan, waves(8, 208))[:6], 64),
    "tiny": (lambda: waves(4, 100) * np.float32(1e-30), 64),
    "beyond one pass": (lambda: waves(4, 100), 100),
}


@pytest.mark.parametrize("case", ROUGH_CASES)
@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_rougher_precisions_keep_their_tolerance_whatever_the_series(precision: str, case: str):
    make, horizon = ROUGH_CASES[case]
    context = make()
    truth = load(NANO, "numpy").predict(request(context, horizon))
    moved = difference(
        load(NANO, "openvino", precision).predict(request(context, horizon)), truth, context
    )
    worst, rms = (INT8_WORST, INT8_RMS) if precision == "int8" else (BFLOAT16_WORST, BFLOAT16_RMS)
    assert moved.max() < worst
    assert np.sqrt((moved**2).mean()) < rms


def test_bfloat16_of_openvino_is_no_worse_than_the_stock_model(root: Path):
    folder = save_bolt(root, SIZES["tiny"])
    context = walks(16, 208)
    truth = stock(folder, context, 64)
    ours = difference(
        load(folder, "openvino", "bfloat16").predict(request(context)), truth, context
    )
    theirs = difference(load_theirs(folder, "bfloat16").predict(request(context)), truth, context)
    assert ours.max() < BFLOAT16_WORST
    assert np.sqrt((ours**2).mean()) < BFLOAT16_RMS
    assert np.sqrt((ours**2).mean()) < 1.2 * np.sqrt((theirs**2).mean())


@pytest.mark.parametrize(("engine", "precision"), ALL)
def test_in_calls_of_one_shape_a_series_has_the_same_bits_wherever_it_stands(
    engine: str, precision: str
):
    forecaster = load(NANO, engine, precision)
    context = np.concatenate([waves(24, 112), with_gaps(112)])
    query = exactly(context)
    together = forecaster.predict(query)
    order = np.random.default_rng(1).permutation(len(context))
    assert forecaster.predict(exactly(context[order])).tobytes() == together[order].tobytes()
    loud = context.copy()
    loud[1:] = loud[1:] * 1e6 + 3
    loud[1:, :40] = np.nan
    loud[30:, 100] = 1.0
    beside = forecaster.predict(exactly(loud))
    assert beside[0].tobytes() == together[0].tobytes()


@pytest.mark.parametrize(("engine", "precision"), ALL)
def test_a_series_does_not_depend_on_its_batch_or_padding(engine: str, precision: str):
    forecaster = load(NANO, engine, precision)
    context = np.concatenate([waves(8, 100), with_gaps(100)[:6]])
    tolerance = {"float32": FLOAT32_TOLERANCE, "bfloat16": BFLOAT16_WORST, "int8": 0.2}[precision]
    together = forecaster.predict(request(context))
    padded = np.pad(context, ((0, 0), (76, 0)), constant_values=np.nan)
    assert difference(forecaster.predict(request(padded)), together, context).max() < tolerance
    for row in range(0, 14, 3):
        rows = slice(row, row + 1)
        alone = forecaster.predict(request(context[rows]))
        assert difference(alone, together[rows], context[rows]).max() < tolerance
