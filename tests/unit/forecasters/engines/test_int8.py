"""Scales of int8: the same on every machine, cached, and refused where they spoil a forecast."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("openvino")

import gigacast
from gigacast.core.array import FloatArray
from gigacast.core.series.forecast import ForecastRequest
from gigacast.errors import ModelError
from gigacast.forecasters.catalog import load_forecaster
from gigacast.forecasters.forecaster import ModelFiles
from gigacast.forecasters.lean.fused import FusedBolt
from gigacast.forecasters.lean.loading import read_bolt_shape, read_fused
from gigacast.forecasters.lean.shape import (
    BoltShape,
    openvino_engine,
    precision_beside_int8,
)
from gigacast.forecasters.openvino import scales as cache
from gigacast.forecasters.openvino.forecaster import CompiledBolt, load_openvino
from gigacast.forecasters.openvino.int8 import Int8Scales, SimulatedInt8, calibrate
from gigacast.forecasters.plain.forward import PlainBolt

NANO = Path(gigacast.__file__).parent / "forecasters" / "weights" / "gigacast-bolt-nano"
NANO_DIGEST = "67fb087778fc9882"
"""Digest of the scales of the shipped model, on every processor."""


@pytest.fixture(scope="module")
def nano() -> tuple[FusedBolt, BoltShape]:
    shape = read_bolt_shape(NANO)
    return read_fused(NANO, shape), shape


@pytest.fixture(scope="module")
def scales(nano: tuple[FusedBolt, BoltShape]) -> Int8Scales:
    return calibrate(*nano)


@pytest.fixture(autouse=True)
def folder_of_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GIGACAST_CACHE", str(tmp_path))
    return tmp_path / "int8"


def contexts(rows: int = 24, length: int = 200) -> FloatArray:
    rng = np.random.default_rng(3)
    steps = np.arange(length)
    waves = np.sin(2 * np.pi * steps / rng.integers(5, 30, size=(rows, 1)))
    walks = rng.normal(size=(rows, length)).cumsum(axis=1)
    return (10 * waves + walks * rng.uniform(0, 2, size=(rows, 1))).astype(np.float32)


def ask(forecaster: object, context: FloatArray, horizon: int = 24) -> FloatArray:
    rows = len(context)
    query = ForecastRequest(
        context, horizon, (0.1, 0.5, 0.9), np.ones(rows, np.int64), np.zeros(rows, np.uint64)
    )
    return forecaster.predict(query)  # type: ignore[attr-defined]


def load(precision: str) -> object:
    return load_openvino(ModelFiles(NANO, "nano", "1", "d", "cpu", precision))


def test_the_scales_of_the_shipped_model_are_the_same_on_every_machine(scales: Int8Scales):
    assert scales.digest == NANO_DIGEST
    assert scales.error < 0.01


def test_the_graph_computes_what_the_simulation_rounds(
    nano: tuple[FusedBolt, BoltShape], scales: Int8Scales
):
    context = contexts()
    compiled = CompiledBolt(*nano, "float32", scales)(context, 24, masked=False)
    simulated = SimulatedInt8(*nano, scales.products)(context, 24, masked=False)
    exact = PlainBolt(*nano)(context, 24, masked=False)
    width = np.abs(exact[:, -1] - exact[:, 0]).mean()
    # A value at the border of two steps may fall to either side, so the two are not equal.
    assert np.abs(compiled - simulated).mean() < 0.004 * width
    assert np.abs(simulated - exact).mean() > 0.002 * width


def test_int8_stays_near_float32(folder_of_cache: Path):
    context = contexts()
    exact, rough = ask(load("float32"), context), ask(load("int8"), context)
    width = np.abs(exact[..., -1] - exact[..., 0]).mean()
    assert 0 < np.abs(rough - exact).mean() < 0.02 * width


def test_in_int8_other_series_change_a_forecast_by_rounding_only():
    forecaster, context = load("int8"), contexts()
    together = ask(forecaster, context)
    loud = np.concatenate([context[:1], 1e6 * context[1:]])
    width = np.abs(together[..., -1] - together[..., 0]).mean(axis=1)
    moved = np.abs(ask(forecaster, loud)[0] - together[0]).max()
    alone = np.abs(ask(forecaster, context[:1])[0] - together[0]).max()
    assert max(moved, alone) <= 0.02 * width[0]


def test_missing_values_and_horizons_beyond_one_pass_are_forecast_in_int8():
    context = contexts()
    context[0, 50:120] = np.nan
    context[1, :150] = np.nan
    answer = ask(load("int8"), context, horizon=100)
    assert answer.shape == (24, 100, 3)
    assert np.isfinite(answer).all()


def test_scales_are_found_once_and_then_cached(
    nano: tuple[FusedBolt, BoltShape], scales: Int8Scales, monkeypatch: pytest.MonkeyPatch
):
    calls = []
    monkeypatch.setattr(cache, "calibrate", lambda *_: calls.append(1) or scales)
    first, second = cache.read_scales(*nano), cache.read_scales(*nano)
    assert calls == [1]
    assert first.digest == second.digest == scales.digest
    assert first.error == second.error


@pytest.mark.parametrize("damage", ["cut", "another value", "not JSON", "another shape"])
def test_a_damaged_cache_is_made_anew(
    damage: str,
    nano: tuple[FusedBolt, BoltShape],
    scales: Int8Scales,
    folder_of_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(cache, "calibrate", lambda *_: scales)
    cache.read_scales(*nano)
    (path,) = folder_of_cache.glob("*.json")
    text = path.read_text()
    stored = json.loads(text)
    stored["products"][0]["limit"] *= 2
    damaged = {
        "cut": text[:-40],
        "another value": json.dumps(stored),
        "not JSON": "\x00",
        "another shape": "[]",
    }[damage]
    path.write_text(damaged)
    assert cache.read_scales(*nano).digest == scales.digest
    assert json.loads(path.read_text()) == json.loads(text)


def test_no_room_for_the_cache_costs_time_only(
    nano: tuple[FusedBolt, BoltShape],
    scales: Int8Scales,
    folder_of_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(cache, "calibrate", lambda *_: scales)
    folder_of_cache.write_text("a file where the folder should be")
    assert cache.read_scales(*nano).digest == scales.digest


@pytest.mark.parametrize(("moved", "share"), [(0.08, r"8\.0%"), (float("nan"), "nan%")])
def test_a_model_that_int8_spoils_is_refused(
    moved: float,
    share: str,
    nano: tuple[FusedBolt, BoltShape],
    scales: Int8Scales,
    monkeypatch: pytest.MonkeyPatch,
):
    spoiled = Int8Scales(scales.products, error=moved)
    monkeypatch.setattr(cache, "calibrate", lambda *_: spoiled)
    with pytest.raises(ModelError, match=f"{share} of their spread") as error:
        cache.read_scales(*nano)
    assert "bfloat16" in str(error.value.hint)


@pytest.mark.parametrize("rest", ["float32", "bfloat16"])
def test_the_engine_names_the_precision_beside_int8_so_that_every_machine_takes_it(
    rest: str,
    nano: tuple[FusedBolt, BoltShape],
    scales: Int8Scales,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(cache, "calibrate", lambda *_: scales)
    files = ModelFiles(NANO, "nano", "1", "d", "cpu", "int8")
    info = load_openvino(files, rest=rest).info
    assert precision_beside_int8(info.engine) == rest
    # As a plan from another machine names it, whatever is fastest on this one.
    for fastest in ("float32", "bfloat16"):
        monkeypatch.setattr(
            "gigacast.forecasters.openvino.forecaster.resolve_precision",
            lambda name, _, fastest=fastest: fastest if name == "auto" else name,
        )
        assert load_forecaster(NANO, info).info == info


def test_the_first_form_of_the_engines_name_is_float32_beside_int8():
    assert openvino_engine(NANO_DIGEST) == f"gigacast-bolt-openvino-r1-int8-r1-{NANO_DIGEST}"
    assert precision_beside_int8(openvino_engine(NANO_DIGEST)) == "float32"
