"""An engine that is left open: that of the forecasts that are there, else by the work at hand."""

import json
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from gigacast.core.time.month import IntRange, MonthFilter
from gigacast.forecasters import catalog, engine
from gigacast.forecasters.chronos2.shape import chronos2_engine
from gigacast.forecasters.config import chronos_engine
from gigacast.forecasters.lean.shape import lean_engine, numpy_engine, openvino_engine
from gigacast.job.engine_choice import (
    AS_BEFORE,
    AS_OTHERS,
    FOR_LITTLE,
    FOR_MUCH,
    TORCH_IS_GONE,
    WITHOUT_TORCH,
    Settled,
    settle_engine,
    settle_rows,
)
from gigacast.job.forecast_job import ForecastJob, Method, ModelChoice, Synthetic
from gigacast.job.model_choice import resolve_choice
from gigacast.job.spec import make_spec
from gigacast.lake.layout import spec_prefix
from gigacast.lake.plan.discovery import Selection
from gigacast.storage.memory import MemoryStore
from gigacast.storage.store import StoreAddress

MOST = 16 * 1024**2
LITTLE, MUCH = b"x", bytes(MOST + 1)
TORCH, NUMPY = lean_engine(), numpy_engine()


@pytest.fixture(autouse=True)
def with_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (engine, catalog):
        monkeypatch.setattr(module, "has_library", lambda name: name == "torch")


def job_of(**changes: object) -> ForecastJob:
    place = StoreAddress("memory://unused")
    # On a CPU whatever the machine has, and in the precision that both engines have.
    model = ModelChoice(device="cpu", precision="float32")
    job = ForecastJob(place, place, place, model=model, method=Method(horizon=7))
    return replace(job, **changes)  # type: ignore[arg-type]


def settled(job: ForecastJob, content: bytes, *done: ForecastJob) -> Settled:
    """Settle the engine over a bucket of one partition, after other jobs with named engines."""
    store = MemoryStore(str(uuid4()))
    store.put("2024/01/part-00000.parquet", content)
    for earlier in done:
        _, info = resolve_choice(earlier.model, store)
        spec = make_spec(info, earlier.method, earlier.selection)
        store.put(f"{spec_prefix(info.name, info.version, spec.id(7))}2024/01/p.parquet", b"")
    model, info = resolve_choice(job.model, store)
    return settle_engine(model, info, job, store, store)


def by(name: str, **changes: object) -> ForecastJob:
    job = job_of(**changes)
    return replace(job, model=replace(job.model, engine=name))


def test_little_work_is_done_by_the_engine_that_starts_at_once() -> None:
    answer = settled(job_of(), LITTLE)
    assert (answer.info.engine, answer.reason) == (NUMPY, FOR_LITTLE)


def test_much_work_is_done_by_the_engine_that_computes_fastest() -> None:
    answer = settled(job_of(), MUCH)
    assert (answer.info.engine, answer.reason) == (TORCH, FOR_MUCH)


@pytest.mark.parametrize("has_torch", [True, False], ids=["torch came later", "without torch"])
def test_what_openvino_has_done_stays_done(
    has_torch: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (engine, catalog):
        monkeypatch.setattr(module, "has_library", lambda name: name == "openvino" or has_torch)
    answer = settled(job_of(), MUCH, by("openvino"))
    assert (answer.info.engine, answer.reason) == (openvino_engine(), AS_BEFORE)


def test_without_torch_little_work_and_what_numpy_has_done_are_of_numpy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (engine, catalog):
        monkeypatch.setattr(module, "has_library", lambda name: name == "openvino")
    assert settled(job_of(), LITTLE) == (settled(by("numpy"), LITTLE).info, FOR_LITTLE)
    assert settled(job_of(), MUCH, by("numpy")).info.engine == NUMPY
    answer = settled(job_of(), MUCH)
    assert (answer.info.engine, answer.reason) == (openvino_engine(), WITHOUT_TORCH)


def test_without_torch_the_reason_is_that_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (engine, catalog):
        monkeypatch.setattr(module, "has_library", lambda name: False)
    answer = settled(job_of(), MUCH)
    assert (answer.info.engine, answer.reason) == (NUMPY, WITHOUT_TORCH)
    answer = settled(job_of(), MUCH, by("torch"))
    assert (answer.info.engine, answer.reason) == (NUMPY, TORCH_IS_GONE)


def test_the_work_is_the_size_of_all_partitions_that_are_selected() -> None:
    store = MemoryStore(str(uuid4()))
    for month in (1, 2):
        store.put(f"2024/{month:02d}/part-0.parquet", bytes(MOST // 2))
    store.put("notes.txt", MUCH)
    store.put("2024/03/part-0.parquet", b"x")
    model, info = resolve_choice(job_of().model, store)

    def engine_of(job: ForecastJob) -> str:
        return settle_engine(model, info, job, store, store).info.engine

    assert engine_of(job_of()) == TORCH
    months = MonthFilter(months=IntRange(1, 2))
    # What is at the limit is little.
    assert engine_of(job_of(selection=Selection(months=months))) == NUMPY


def test_a_bucket_of_many_pages_is_not_small(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore(str(uuid4()))
    for part in range(5):
        store.put(f"2024/01/part-{part}.parquet", b"x")
    model, info = resolve_choice(job_of().model, store)
    pages = list(store.list("2024/"))
    entries = [entry for page in pages for entry in page]
    for count, expected in ((3, NUMPY), (4, TORCH)):
        chunks = [entries[n : n + 1] for n in range(count)]
        monkeypatch.setattr(store, "list", lambda chunks=chunks: iter(chunks))
        assert settle_engine(model, info, job_of(), store, store).info.engine == expected


@pytest.mark.parametrize("content", [LITTLE, MUCH], ids=["little", "much"])
@pytest.mark.parametrize(("name", "expected"), [("torch", TORCH), ("numpy", NUMPY)])
def test_what_either_engine_has_done_stays_done(name: str, expected: str, content: bytes) -> None:
    answer = settled(job_of(), content, by(name))
    assert (answer.info.engine, answer.reason) == (expected, AS_BEFORE)
    (_, info) = resolve_choice(by(name).model, MemoryStore(str(uuid4())))
    # The whole spec is that of the job that did it, not only the engine.
    assert make_spec(answer.info, job_of().method, job_of().selection) == make_spec(
        info, job_of().method, job_of().selection
    )


def test_another_horizon_is_forecast_by_the_engine_of_the_first() -> None:
    assert settled(job_of(method=Method(horizon=3)), LITTLE, by("numpy")).info.engine == NUMPY


def test_forecasts_by_other_settings_keep_the_engine_of_all_releases() -> None:
    earlier = by("torch", method=Method(horizon=7, min_length=5))
    answer = settled(job_of(), LITTLE, earlier)
    assert (answer.info.engine, answer.reason) == (TORCH, AS_OTHERS)


@pytest.mark.parametrize(
    "changes",
    [{"engine": "torch"}, {"precision": "bfloat16"}, {"reference": "seasonal-naive"}],
    ids=["engine", "precision", "no weights"],
)
def test_what_somebody_named_is_left_alone(changes: dict[str, str]) -> None:
    job = job_of()
    job = replace(job, model=replace(job.model, **changes))  # type: ignore[arg-type]
    answer = settled(job, LITTLE)
    _, info = resolve_choice(job.model, MemoryStore(str(uuid4())))
    assert (answer.info, answer.reason) == (info, "")


@pytest.mark.parametrize(
    ("parts", "count", "expected"), [(2, 2, NUMPY), (2, 7_500, NUMPY), (7, 2_143, TORCH)]
)
def test_series_that_are_still_to_be_made_count_as_work(
    parts: int, count: int, expected: str
) -> None:
    assert settled(job_of(synthetic=Synthetic(parts, count)), LITTLE).info.engine == expected


def test_a_table_is_forecast_by_the_engine_for_its_rows() -> None:
    choice = job_of().model
    model, info = resolve_choice(choice, MemoryStore(str(uuid4())))
    assert settle_rows(model, info, choice, 2_250_000).engine == NUMPY
    assert settle_rows(model, info, choice, 2_250_001).engine == TORCH


@pytest.fixture
def chronos2(tmp_path: Path) -> str:
    """The folder of a Chronos-2, of which choosing an engine reads the configuration only."""
    (tmp_path / "config.json").write_text(json.dumps(CHRONOS2))
    (tmp_path / "model.safetensors").write_bytes(b"")
    return str(tmp_path)


CHRONOS2 = {
    "chronos_pipeline_class": "Chronos2Pipeline",
    "chronos_config": {
        "context_length": 512,
        "input_patch_size": 16,
        "input_patch_stride": 16,
        "output_patch_size": 16,
        "max_output_patches": 4,
        "quantiles": [0.1, 0.5, 0.9],
        "use_reg_token": True,
    },
}


def with_model(job: ForecastJob, reference: str, engine: str) -> ForecastJob:
    return replace(job, model=replace(job.model, reference=reference, engine=engine))


@pytest.mark.parametrize("content", [LITTLE, MUCH], ids=["little", "much"])
@pytest.mark.parametrize("named", ["auto", "torch"])
def test_what_the_stock_code_has_done_of_a_chronos_2_stays_done(
    named: str, content: bytes, chronos2: str
) -> None:
    job = with_model(job_of(), chronos2, named)
    assert settled(job, content).info.engine == chronos2_engine()
    answer = settled(job, content, with_model(job_of(), chronos2, "stock"))
    assert (answer.info.engine, answer.reason) == (chronos_engine(), AS_BEFORE)
    answer = settled(job, content, with_model(job_of(), chronos2, "torch"))
    assert (answer.info.engine, answer.reason) == (chronos2_engine(), AS_BEFORE)


def test_other_settings_of_a_chronos_2_are_computed_by_the_new_engine(chronos2: str) -> None:
    earlier = with_model(job_of(method=Method(horizon=7, min_length=5)), chronos2, "stock")
    job = with_model(job_of(), chronos2, "auto")
    assert settled(job, LITTLE, earlier).info.engine == chronos2_engine()
