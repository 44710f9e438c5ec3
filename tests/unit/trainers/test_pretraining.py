"""Pretraining: learning, resumption to the same weights, and the resulting model folder."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from chronos import BaseChronosPipeline
from chronos.chronos_bolt import ChronosBoltModelForForecasting

from gigacast.errors import ConfigError, ModelError, ModelIntegrityError
from gigacast.synthetic import generate
from gigacast.trainers.pretraining.average import average
from gigacast.trainers.pretraining.average import main as average_main
from gigacast.trainers.pretraining.checkpoint import LATEST, build_model
from gigacast.trainers.pretraining.config import ModelShape, PretrainConfig, load_config
from gigacast.trainers.pretraining.forward import forward_normalised, prepare
from gigacast.trainers.pretraining.run import CURVE, Trainer, main, pretrain
from gigacast.trainers.pretraining.step import (
    BatchSource,
    quantile_loss,
    rate_factor,
    running_average,
)

TINY = {
    "seed": 5,
    "model": {
        "d_model": 32,
        "d_ff": 64,
        "d_kv": 8,
        "num_heads": 4,
        "num_layers": 2,
        "num_decoder_layers": 1,
        "context_length": 64,
        "prediction_length": 16,
    },
    "steps": 12,
    "decay_steps": 4,
    "warmup_steps": 2,
    "batch_size": 64,
    "context_lengths": {64: 0.5, 32: 0.5},
    "held_out_series": 64,
    "validate_every": 100,
    "checkpoint_every": 4,
    "log_every": 1,
    "precision": "float32",
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Small products are slower, and their sums vary, on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def settings(**changes: object) -> PretrainConfig:
    return PretrainConfig.model_validate({**TINY, **changes})


def ticking(limit: float = float("inf")) -> Callable[[], float]:
    """Return a clock that moves on by one second at each look, and stops at the limit."""
    now = {"seconds": 0.0}

    def clock() -> float:
        now["seconds"] = min(now["seconds"] + 1.0, limit)
        return now["seconds"]

    return clock


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return BaseChronosPipeline.from_pretrained(folder).model.state_dict()


def larger_model() -> ChronosBoltModelForForecasting:
    torch.manual_seed(0)
    model = build_model(ModelShape(**TINY["model"], initializer_factor=1.0))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.add_(0.2 * torch.randn_like(weight))
    return model


def contexts_with_gaps() -> torch.Tensor:
    torch.manual_seed(1)
    context = 5.0 + 3.0 * torch.randn(8, 64)
    context[0, :40] = torch.nan
    context[1, 10:12] = torch.nan
    context[2] = torch.nan
    context[3] = 7.0
    return context


def test_the_lean_forward_gives_the_numbers_of_the_stock_model() -> None:
    model, context = larger_model(), contexts_with_gaps()
    with torch.no_grad():
        expected = model(context=context.clone()).quantile_preds
        prepared = prepare(context, 16)
        got = forward_normalised(model, prepared.patches, prepared.observed)
    got = got * prepared.scale[:, None] + prepared.location[:, None]
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-3)


def test_the_lean_forward_gives_the_gradients_of_the_stock_model() -> None:
    model, context = larger_model(), contexts_with_gaps()[4:]
    target = context[:, :16] + 1.0
    model(context=context.clone(), target=target.clone()).loss.backward()
    expected = {name: weight.grad for name, weight in model.named_parameters()}
    model.zero_grad()
    prepared = prepare(context, 16)
    losses = quantile_loss(model, prepared, target, 1e6, torch.float32)
    (16 * losses.mean()).backward()  # the stock loss sums over the horizon
    for name, weight in model.named_parameters():
        if weight.grad is not None:
            torch.testing.assert_close(weight.grad, expected[name], rtol=1e-4, atol=1e-5)


def test_degenerate_series_do_not_count_and_targets_are_bounded() -> None:
    model, context = larger_model(), contexts_with_gaps()
    target = torch.full((8, 16), 1e9)
    target[5] = torch.nan
    losses = quantile_loss(model, prepare(context, 16), target, 12.0, torch.float32)
    assert losses.isnan().tolist() == [False, False, True, True, False, True, False, False]
    losses.nanmean().backward()
    assert all(w.grad is None or torch.isfinite(w.grad).all() for w in model.parameters())
    near = quantile_loss(model, prepare(context, 16), target * 1e3, 12.0, torch.float32)
    torch.testing.assert_close(near, losses, equal_nan=True)


def test_a_few_steps_lower_the_held_out_loss(tmp_path: Path) -> None:
    easy = {"mixture": {"shares": {"trend": 1.0}}, "matrix_learning_rate": 0.02, "ema_decay": 0.8}
    first = pretrain(settings(steps=1, **easy), tmp_path / "a", tmp_path / "c")
    later = pretrain(settings(steps=150, **easy), tmp_path / "a", tmp_path / "c")
    assert later.held_out_loss < 0.75 * first.held_out_loss


def test_a_stopped_and_resumed_run_gives_the_weights_of_an_uninterrupted_one(
    tmp_path: Path,
) -> None:
    uninterrupted = pretrain(settings(), tmp_path / "whole", tmp_path / "c1")
    stopped = pretrain(
        settings(), tmp_path / "half", tmp_path / "c2", max_minutes=0.2, clock=ticking()
    )
    assert uninterrupted.finished
    assert not stopped.finished
    assert 0 < stopped.step < 12
    resumed = pretrain(settings(), tmp_path / "half", tmp_path / "c2")
    assert (resumed.step, resumed.finished) == (12, True)
    expected = weights_of(tmp_path / "whole")
    for name, weight in weights_of(tmp_path / "half").items():
        torch.testing.assert_close(weight, expected[name], rtol=1e-5, atol=1e-6)


def test_a_killed_run_continues_from_its_last_checkpoint(tmp_path: Path) -> None:
    uninterrupted = pretrain(settings(), tmp_path / "whole", tmp_path / "c1")
    killed = Trainer(settings(), tmp_path / "c2", ticking())
    for _ in range(4):
        killed.advance()
    killed.save()
    killed.advance()  # lost: never written
    resumed = pretrain(settings(), tmp_path / "out", tmp_path / "c2")
    assert resumed.held_out_loss == pytest.approx(uninterrupted.held_out_loss, rel=1e-4)


def test_the_folder_loads_in_the_stock_pipeline(tmp_path: Path) -> None:
    trainer = Trainer(settings(), tmp_path / "c", ticking())
    pretrain(settings(steps=2, decay_steps=0), tmp_path / "out", tmp_path / "c")
    pipeline = BaseChronosPipeline.from_pretrained(tmp_path / "out")
    context = contexts_with_gaps()[4:]
    prepared = prepare(context, 16)
    with torch.no_grad():
        lean = forward_normalised(pipeline.model, prepared.patches, prepared.observed)
    lean = lean * prepared.scale[:, None] + prepared.location[:, None]
    assert type(pipeline).__name__ == "ChronosBoltPipeline"
    assert pipeline.predict(context).shape == (4, 9, 16)
    torch.testing.assert_close(pipeline.predict(context), lean, rtol=1e-5, atol=1e-4)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    assert trainer.step == 0


def test_the_curve_is_written_as_json_lines(tmp_path: Path) -> None:
    pretrain(settings(), tmp_path / "out", tmp_path / "c")
    lines = [json.loads(line) for line in (tmp_path / "c" / CURVE).read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 13))
    assert {"all", "calendar"} <= set(lines[-1]["held_out"])


def test_a_run_can_be_prolonged_but_not_changed(tmp_path: Path) -> None:
    pretrain(settings(steps=2, decay_steps=0), tmp_path / "out", tmp_path / "c")
    assert pretrain(settings(steps=4), tmp_path / "out", tmp_path / "c").step == 4
    with pytest.raises(ConfigError, match="other settings"):
        pretrain(settings(seed=6), tmp_path / "out", tmp_path / "c")


def test_a_broken_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / LATEST).write_bytes(b"half a checkpoint")
    with pytest.raises(ModelIntegrityError, match="cannot be read"):
        pretrain(settings(), tmp_path / "out", tmp_path)


def test_a_loss_that_is_not_a_number_stops_the_run(tmp_path: Path) -> None:
    trainer = Trainer(settings(), tmp_path, ticking())
    with torch.no_grad():
        trainer.model.shared.weight.fill_(torch.nan)
    with pytest.raises(ModelError, match="loss is nan at step 0"):
        trainer.advance()


def test_batches_depend_on_the_step_only() -> None:
    source, same_source = BatchSource(settings()), BatchSource(settings())
    for _ in range(40):
        source.batch(_)
    for got, expected in zip(same_source.batch(39), source.batch(39), strict=True):
        torch.testing.assert_close(got, expected, equal_nan=True)
    assert {BatchSource(settings()).batch(step)[0].shape[1] for step in range(8)} == {32, 64}


def test_a_share_of_the_batches_is_generated_at_the_length_of_the_context() -> None:
    scaled = {"share": 0.5, "context_lengths": {16: 1.0}, "mixture": {"shares": {"trend": 1.0}}}
    mixed, cut = BatchSource(settings(scaled=scaled)), BatchSource(settings())
    widths = []
    for step in range(40):
        context, target = mixed.batch(step)
        widths.append(context.shape[1])
        if context.shape[1] == 16:
            # The sixteen points and the horizon are the whole series.
            whole = generate(
                64,
                32,
                5,
                start=64 * step,
                mixture=settings(scaled=scaled).scaled.mixture.to_mixture(),
            ).values
            torch.testing.assert_close(
                torch.cat([context, target], dim=1), torch.from_numpy(whole), equal_nan=True
            )
        else:
            # The others are those of a run without such batches.
            torch.testing.assert_close(context, cut.batch(step)[0], equal_nan=True)
    assert 10 < widths.count(16) < 30


def test_later_settings_leave_the_digests_of_earlier_runs_alone() -> None:
    shipped = load_config(Path(__file__).parents[3] / "config" / "pretrain-nano.yaml")
    assert shipped.digest() == "7488c19ee1e9e71e"  # as the model's README says
    assert (
        settings(scaled={"share": 0.1, "context_lengths": {32: 1.0}}).digest()
        != settings().digest()
    )


def test_a_run_starts_from_the_weights_of_a_model(tmp_path: Path) -> None:
    pretrain(settings(steps=3, decay_steps=0), tmp_path / "first", tmp_path / "c")
    file = tmp_path / "first" / "model.safetensors"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    initial = {"folder": str(tmp_path / "first"), "sha256": digest}
    trainer = Trainer(settings(initial=initial), tmp_path / "c2", ticking())
    for name, weight in weights_of(tmp_path / "first").items():
        torch.testing.assert_close(trainer.model.state_dict()[name], weight, rtol=0, atol=0)
    with pytest.raises(ModelIntegrityError, match="SHA-256"):
        Trainer(settings(initial=initial | {"sha256": "0" * 64}), tmp_path / "c3", ticking())
    larger = {"initial": initial, "model": {**TINY["model"], "d_ff": 128}}
    with pytest.raises(ModelIntegrityError, match="do not fit"):
        Trainer(settings(**larger), tmp_path / "c4", ticking())
    elsewhere = tmp_path / "elsewhere"
    with pytest.raises(ModelIntegrityError, match="cannot be read"):
        Trainer(settings(initial=initial | {"folder": str(elsewhere)}), elsewhere, ticking())


def test_the_mean_of_two_models_has_the_mean_of_their_weights(tmp_path: Path) -> None:
    for name, steps in (("one", 1), ("two", 5)):
        pretrain(settings(steps=steps, decay_steps=0), tmp_path / name, tmp_path / f"c-{name}")
    folders = [str(tmp_path / "one"), str(tmp_path / "two")]
    mean = ["--output", str(tmp_path / "mean"), "--shares", "1", "3"]
    assert average_main(["--models", *folders, *mean]) == 0
    one, two = weights_of(tmp_path / "one"), weights_of(tmp_path / "two")
    for name, weight in weights_of(tmp_path / "mean").items():
        torch.testing.assert_close(weight, 0.25 * one[name] + 0.75 * two[name])
    with pytest.raises(ConfigError, match="two models"):
        average([tmp_path / "one"], tmp_path / "mean")
    with pytest.raises(ModelIntegrityError, match="cannot be read"):
        average([tmp_path / "one", tmp_path / "three"], tmp_path / "mean")


def test_the_rate_warms_up_stays_and_falls_to_zero() -> None:
    config = settings(steps=100, warmup_steps=10, decay_steps=40)
    factors = [round(rate_factor(step, config), 3) for step in (0, 9, 60, 80, 100)]
    assert factors == [0.1, 1.0, 1.0, 0.5, 0.0]


def test_the_average_forgets_its_first_values_quickly() -> None:
    averaged, update = [torch.zeros(1)], running_average(0.999)
    for count in range(1, 200):
        update(averaged, [torch.ones(1)], count)
    assert float(averaged[0]) > 0.99


def test_settings_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("stepz: 4\n")
    with pytest.raises(ConfigError, match="stepz"):
        load_config(path)
    path.write_text("context_lengths: {500: 1.0}\n")
    with pytest.raises(ConfigError, match="500 is no multiple of 16"):
        load_config(path)
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "name", ["pretrain-nano.yaml", "pretrain-nano-2.yaml", "pretrain-nano-3.yaml"]
)
def test_the_settings_of_the_shipped_model_are_valid(name: str) -> None:
    config = load_config(Path(__file__).parents[3] / "config" / name)
    parameters = sum(weight.numel() for weight in build_model(config.model).parameters())
    assert parameters * 4 <= 8_000_000


def test_pretraining_runs_from_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(json.dumps({**TINY, "steps": 2, "decay_steps": 0}))
    folders = ["--checkpoints", str(tmp_path / "c"), "--output", str(tmp_path / "out")]
    assert main(["--config", str(path), *folders, "--threads", "1"]) == 0
    assert (tmp_path / "out" / "model.safetensors").exists()
