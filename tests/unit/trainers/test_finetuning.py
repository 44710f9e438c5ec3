"""Fine-tuning: learning, resumption to the same weights, limits, and errors."""

import errno
import functools
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from chronos import BaseChronosPipeline

from gigacast.errors import (
    ConfigError,
    DataError,
    MissingExtraError,
    ModelError,
    ModelIntegrityError,
    StorageError,
)
from gigacast.trainers.corpus import Corpus
from gigacast.trainers.encoding import encode_windows
from gigacast.trainers.finetuning import config as finetuning_config
from gigacast.trainers.finetuning.bolt import BoltTrainer, rate_factor
from gigacast.trainers.finetuning.chronos2 import LazySeries
from gigacast.trainers.finetuning.config import Finetuned, FinetuneOptions, Limits, Origin
from gigacast.trainers.finetuning.run import window_source
from gigacast.trainers.pretraining.checkpoint import LATEST
from tests.support.tiny_models import session_folder, tiny_bolt, tiny_chronos2, tiny_t5
from tests.unit.trainers.tuning import (
    ORIGIN,
    Killed,
    Witness,
    assert_same_weights,
    config_of,
    corpus_in,
    seasonal,
    tune,
)

Make = Callable[[Path], Path]
Uninterrupted = Callable[[Make, str], tuple[Finetuned, Path]]
KINDS = [(tiny_bolt, "full"), (tiny_chronos2, "full"), (tiny_chronos2, "lora")]
kinds = pytest.mark.parametrize(
    ("make", "method"), KINDS, ids=["bolt", "chronos-2", "chronos-2-lora"]
)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return session_folder(tmp_path_factory)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Uninterrupted:
    """Return the result of an uninterrupted run of a kind, and its folder; each is run once."""

    @functools.cache
    def run(make: Make, method: str) -> tuple[Finetuned, Path]:
        folder, model = tmp_path_factory.mktemp("uninterrupted"), make(models)
        config = config_of(model, method=method)
        return tune(model, corpus_in(folder / "corpus"), folder, config), folder / "model"

    return run


@kinds
def test_strong_seasonality_is_learned(
    tmp_path: Path, models: Path, make: Make, method: str
) -> None:
    model = make(models)
    config = config_of(model, method=method, steps=60, validate_every=20, learning_rate=5e-3)
    result = tune(model, corpus_in(tmp_path / "corpus"), tmp_path, config)
    assert result.finished
    assert result.after < 0.8 * result.before
    assert result.after == pytest.approx(
        min(point["validation_loss"] for point in result.curve), abs=1e-6
    )
    assert [point["step"] for point in result.curve] == [0, 20, 40, 60]


@kinds
def test_the_same_seed_and_data_give_the_same_weights(
    tmp_path: Path, models: Path, make: Make, method: str, uninterrupted: Uninterrupted
) -> None:
    _, expected = uninterrupted(make, method)
    torch.manual_seed(7)
    np.random.seed(3)  # noqa: NPY002 - what others leave behind must not count
    np.random.rand(5)  # noqa: NPY002
    model = make(models)
    tune(model, corpus_in(tmp_path / "corpus"), tmp_path, config_of(model, method=method))
    assert_same_weights(tmp_path / "model", expected)


@kinds
@pytest.mark.parametrize("after", [5, 8])
def test_a_killed_run_continues_to_the_weights_of_an_uninterrupted_one(
    tmp_path: Path,
    models: Path,
    make: Make,
    method: str,
    after: int,
    uninterrupted: Uninterrupted,
) -> None:
    model = make(models)
    corpus = corpus_in(tmp_path / "corpus")
    config = config_of(model, method=method)
    whole, expected = uninterrupted(make, method)
    with pytest.raises(Killed):
        tune(model, corpus, tmp_path / "half", config, Witness(kill_after=after))
    assert not (tmp_path / "half/model").exists()
    witness = Witness()
    resumed = tune(model, corpus, tmp_path / "half", config, witness)
    assert 0 < witness.starts[0] < after
    assert resumed.curve == whole.curve
    assert (resumed.step, resumed.best_step) == (whole.step, whole.best_step)
    assert_same_weights(tmp_path / "half/model", expected)


@kinds
def test_a_run_out_of_time_writes_no_model_and_continues_later(
    tmp_path: Path, models: Path, make: Make, method: str
) -> None:
    model = make(models)
    corpus, config = corpus_in(tmp_path / "corpus"), config_of(model, method=method)
    ticks = itertools.count()
    stopped = tune(model, corpus, tmp_path, config, clock=lambda: float(next(ticks)), deadline=8.0)
    assert not stopped.finished
    assert 0 < stopped.step < 12
    assert not (tmp_path / "model").exists()
    assert tune(model, corpus, tmp_path, config).finished
    again = tune(model, corpus, tmp_path, config)
    assert (again.step, again.finished) == (12, True)
    assert (tmp_path / "model").is_dir()


@pytest.mark.parametrize("make", [tiny_bolt, tiny_chronos2])
def test_a_run_stops_early_with_the_best_weights(tmp_path: Path, models: Path, make: Make) -> None:
    model = make(models)
    config = config_of(model, steps=40, validate_every=2, patience=2, learning_rate=0.3)
    result = tune(model, corpus_in(tmp_path / "corpus"), tmp_path, config)
    assert result.stopped_early
    assert result.step == result.best_step + 4 < 40
    assert result.after <= result.before


def test_without_improvement_the_weights_are_the_parents(tmp_path: Path, models: Path) -> None:
    model = tiny_bolt(models)
    config = config_of(model, validate_every=2, patience=1, learning_rate=5.0)
    result = tune(model, corpus_in(tmp_path / "corpus"), tmp_path, config)
    assert result.best_step == 0
    assert_same_weights(tmp_path / "model", model)


@pytest.mark.parametrize("make", [tiny_bolt, tiny_chronos2])
def test_the_stock_pipeline_loads_the_result(tmp_path: Path, models: Path, make: Make) -> None:
    model = make(models)
    tune(model, corpus_in(tmp_path / "corpus"), tmp_path)
    pipeline = BaseChronosPipeline.from_pretrained(tmp_path / "model")
    assert type(pipeline) is type(BaseChronosPipeline.from_pretrained(model))
    quantiles, _ = pipeline.predict_quantiles([torch.arange(64.0)], prediction_length=8)
    assert torch.isfinite(torch.as_tensor(np.asarray(quantiles[0]))).all()


def test_bfloat16_learns_as_well(tmp_path: Path, models: Path) -> None:
    model = tiny_bolt(models)
    config = config_of(model, precision="bfloat16", steps=40, validate_every=20)
    result = tune(model, corpus_in(tmp_path / "corpus"), tmp_path, config)
    assert result.after < 0.9 * result.before
    assert all(w.dtype is torch.float32 for w in _weights(tmp_path / "model"))


def _weights(folder: Path) -> list[torch.Tensor]:
    from tests.unit.trainers.tuning import weights_in

    return list(weights_in(folder).values())


def test_the_stock_forward_gives_the_same_loss_as_the_lean_one(
    tmp_path: Path, models: Path
) -> None:
    model = tiny_bolt(models)
    corpus, config = corpus_in(tmp_path / "corpus"), config_of(model)
    source = window_source(corpus, config)
    trainer = BoltTrainer(model, config, source, ORIGIN, tmp_path, Limits(lambda: 0.0))
    lean = trainer.validate()
    trainer._lean = False
    assert trainer.validate() == pytest.approx(lean, rel=1e-4)


def test_the_learning_rate_warms_up_and_falls_to_zero(models: Path) -> None:
    config = config_of(tiny_bolt(models), steps=110, warmup_steps=10)
    factors = [round(rate_factor(step, config), 3) for step in (0, 4, 9, 60, 110)]
    assert factors == [0.1, 0.5, 1.0, 0.5, 0.0]


# -- what is wrong -------------------------------------------------------------------------------


@kinds
def test_a_loss_that_is_not_a_number_stops_at_a_named_step_and_keeps_the_checkpoint(
    tmp_path: Path, models: Path, make: Make, method: str
) -> None:
    model = make(models)
    config = config_of(model, method=method, learning_rate=1e30, checkpoint_every=1)
    with pytest.raises(ModelError, match=r"is (nan|inf|-inf).* at step \d+; nothing was published"):
        tune(model, corpus_in(tmp_path / "corpus"), tmp_path, config)
    assert not (tmp_path / "model").exists()


def test_a_parent_with_broken_weights_stops_before_the_first_step(
    tmp_path: Path, models: Path
) -> None:
    model = tiny_bolt(models)
    config = config_of(model)
    source = window_source(corpus_in(tmp_path / "corpus"), config)
    trainer = BoltTrainer(model, config, source, ORIGIN, tmp_path / "c", Limits(lambda: 0.0))
    with torch.no_grad():
        trainer.model.shared.weight.fill_(math.nan)
    with pytest.raises(ModelError, match="loss is nan at step 0"):
        trainer.run()
    assert not (tmp_path / "c" / LATEST).exists()


@pytest.mark.parametrize("make", [tiny_bolt, tiny_chronos2])
def test_a_checkpoint_of_other_settings_data_or_parent_is_refused(
    tmp_path: Path, models: Path, make: Make
) -> None:
    model = make(models)
    corpus = corpus_in(tmp_path / "corpus")
    tune(model, corpus, tmp_path, config_of(model, steps=2, validate_every=2))
    before = (tmp_path / "checkpoints" / LATEST).read_bytes()
    for config, origin, message in (
        (config_of(model, seed=6, steps=2, validate_every=2), ORIGIN, "other settings"),
        (config_of(model, steps=2, validate_every=2), Origin("parent", "x"), "on other data"),
        (config_of(model, steps=2, validate_every=2), Origin("x", "data"), "from another model"),
    ):
        with pytest.raises(ConfigError, match=message) as info:
            tune(model, corpus, tmp_path, config, origin=origin)
        assert "empty folder" in str(info.value.hint)
    assert (tmp_path / "checkpoints" / LATEST).read_bytes() == before


def test_a_broken_checkpoint_is_refused(tmp_path: Path, models: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / LATEST).write_bytes(b"half a checkpoint")
    with pytest.raises(ModelIntegrityError, match="cannot be read"):
        tune(tiny_bolt(models), corpus_in(tmp_path / "corpus"), tmp_path)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed"),
    ],
)
@pytest.mark.parametrize("make", [tiny_bolt, tiny_chronos2])
def test_a_full_disk_at_a_checkpoint_keeps_the_last_one(
    tmp_path: Path, models: Path, make: Make, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make(models)
    corpus, config = corpus_in(tmp_path / "corpus"), config_of(model)
    with pytest.raises(Killed):
        tune(model, corpus, tmp_path, config, Witness(kill_after=6))
    before = (tmp_path / "checkpoints" / LATEST).read_bytes()
    save = torch.save

    def full(state: object, file: object) -> None:
        file.write(b"the first bytes")  # type: ignore[attr-defined]
        raise error

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(StorageError, match="no room to write") as info:
        tune(model, corpus, tmp_path, config)
    assert "--checkpoints" in str(info.value.hint)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [LATEST]
    assert (tmp_path / "checkpoints" / LATEST).read_bytes() == before
    monkeypatch.setattr(torch, "save", save)
    assert tune(model, corpus, tmp_path, config).finished


def test_constant_series_alone_are_an_error(tmp_path: Path, models: Path) -> None:
    corpus = corpus_in(tmp_path / "corpus", [np.full(160, 7.0) for _ in range(4)])
    with pytest.raises(DataError, match="each context is constant"):
        tune(tiny_bolt(models), corpus, tmp_path)


def test_a_few_constant_or_broken_series_do_no_harm(tmp_path: Path, models: Path) -> None:
    gaps = seasonal(1)[0]
    gaps[20:110] = np.nan
    odd = [np.full(160, 7.0), gaps, np.full(160, np.nan), *seasonal(4)]
    result = tune(tiny_bolt(models), corpus_in(tmp_path / "corpus", odd), tmp_path)
    assert result.finished
    assert result.after < result.before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"context_length": 4096}, "context_length: 4096 steps are more than the 512 of m"),
        ({"horizon": 100}, "horizon: 100 steps are more than the 64 of m"),
    ],
)
def test_a_longer_horizon_or_context_than_the_models_is_refused(
    models: Path, change: dict[str, int], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        config_of(tiny_bolt(models), **change)


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0},
        {"learning_rate": -1.0},
        {"learning_rate": math.inf},
        {"gradient_clip": 0.0},
        {"weight_decay": -0.1},
        {"validation_steps": 0},
        {"patience": 0},
        {"method": "half"},
    ],
)
def test_settings_out_of_their_range_are_named(change: dict[str, float]) -> None:
    (name,) = change
    with pytest.raises(ConfigError, match=f"^{name}: "):
        FinetuneOptions(**change)  # type: ignore[arg-type]


def test_lora_of_a_bolt_and_tuning_of_a_sampler_are_refused(models: Path) -> None:
    with pytest.raises(ModelError, match="LoRA is for Chronos-2"):
        config_of(tiny_bolt(models), method="lora")
    sampler = tiny_t5(models)
    with pytest.raises(ModelError, match="only Chronos-Bolt and Chronos-2"):
        config_of(sampler, context_length=None, horizon=None)


def test_lora_without_its_library_is_refused_with_the_way_to_get_it(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetuning_config, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="needs peft") as info:
        config_of(tiny_chronos2(models), method="lora")
    assert "gigacast[train]" in str(info.value.hint)


def test_windows_of_a_fit_have_categories_as_their_contexts_tell(tmp_path: Path) -> None:
    from chronos.chronos2.dataset import Chronos2Dataset

    rng = np.random.default_rng(0)
    values = np.arange(60, dtype=np.float32)
    codes = np.stack([rng.normal(size=60), rng.integers(0, 3, 60)], axis=1).astype(np.float32)
    texts = (None, ("none", "sale", "advert"))
    offsets = np.array([0, 60])
    corpus = Corpus(values, offsets, {}, codes, ("load", "promotion"), 1, texts)
    series = LazySeries(corpus, 4, np.array([0]), cut=2)
    batches = iter(Chronos2Dataset(series, 16, 4, 9, 16, min_past=5))
    for _ in range(5):
        batch = next(batches)
        for place in range(3):
            rows = slice(3 * place, 3 * place + 3)
            context = batch["context"][rows].numpy()
            target, ahead = (batch[n][rows].numpy() for n in ("future_target", "future_covariates"))
            assert np.isnan(target[1:]).all()
            assert np.isnan(ahead[:2]).all()
            origin = int(target[0, 0])  # values are their places
            first = int(np.nanmin(context[0]))
            visible = context[:, np.isfinite(context[0])]
            past, future = encode_windows(
                texts,
                values[None, first:origin],
                codes[None, first:origin].transpose(0, 2, 1),
                codes[None, origin : origin + 4].transpose(0, 2, 1),
            )
            np.testing.assert_array_equal(visible[1:], past[0])
            np.testing.assert_array_equal(ahead[2], future[0, 1])
