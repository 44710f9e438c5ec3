"""Fine-tuning that its gate can judge: ends held out, caveats, nothing published for nothing."""

import json
from pathlib import Path

import pytest

import gigacast
from gigacast import ModelManager
from gigacast.cli.program import run
from gigacast.forecasters.naive import SeasonalNaive
from gigacast.models.gate import Gate
from gigacast.storage.store import Store
from gigacast.trainers.finetuning.config import (
    BOLT,
    LEARNING_RATES,
    PANEL_SERIES,
    FinetuneOptions,
    resolve_config,
)
from tests.flow.training.trainings import QUICK, Capture, keys, panel
from tests.support.panels import put_frame
from tests.support.tiny_models import tiny_bolt


def test_the_gate_says_whether_a_version_has_seen_its_windows(
    folder_bucket: Store, models: Path, capsys: Capture
) -> None:
    put_frame(folder_bucket, "2024/01/part-00000.parquet", panel("2024-01-25", 24 * 8))
    url, parent = folder_bucket.address.url, str(tiny_bolt(models))
    options = {**QUICK, "model": parent, "name": "mine", "steps": 3}
    shown_all = gigacast.finetune(url, new_version="seen", **options)  # type: ignore[arg-type]
    shown_less = gigacast.finetune(url, new_version="unseen", hold_out=24, **options)  # type: ignore[arg-type]
    assert (shown_all.points, shown_less.points) == (6 * 192, 6 * 168)
    again = {**options, "model": "mine/seen", "new_version": "again", "hold_out": 24}
    gigacast.finetune(url, **again)  # type: ignore[arg-type]
    manager = ModelManager(bucket=url)
    for version, caveats in (("seen", 1), ("unseen", 0), ("again", 1)):
        verdict = manager.promote_model("mine", version, gate=Gate(series=2), horizon=12)
        assert len(verdict.caveats) == caveats, version
    assert "mine/again comes from mine/seen, which was trained on 1 of" in verdict.caveats[0]
    compared = manager.diff_versions("mine", "seen", "unseen", series=2, horizon=12)
    assert [text.split(" was ")[0] for text in compared.caveats] == ["mine/seen"]
    assert "--hold_out 12" in compared.caveats[0]
    flags = ["--if_better", "--horizon", "12", "--context_length", "48", "--targets", "target"]
    run(["models", "switch", "mine", "seen", "--bucket", url, *flags, "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert "train with --hold_out 24" in shown["caveats"][0]


def test_weights_that_are_those_of_the_parent_are_not_published(
    folder_bucket: Store, models: Path, capsys: Capture
) -> None:
    put_frame(folder_bucket, "2024/01/part-00000.parquet", panel("2024-01-25", 24 * 8))
    words = [word for name, value in QUICK.items() for word in (f"--{name}", str(value))]
    # So fast that no step is better than the start.
    worse = ["--learning_rate", "50", "--warmup_steps", "0", "--model", str(tiny_bolt(models))]
    flags = ["--bucket", folder_bucket.address.url, "--name", "mine"]
    assert run(["train", "finetune", *flags, *words, *worse]) == 0
    assert "not published: no step was better" in capsys.readouterr().out
    assert keys(folder_bucket) == []


@pytest.mark.parametrize(("series", "share"), [(PANEL_SERIES, 1), (64, 0.5), (4, 0.125)])
def test_few_series_are_learnt_slowly(series: int, share: float) -> None:
    info = SeasonalNaive().info
    config = resolve_config(FinetuneOptions(), BOLT, info)
    expected = share * LEARNING_RATES[BOLT, "full"]
    assert config.for_panel(series).learning_rate == pytest.approx(expected)
    named = resolve_config(FinetuneOptions(learning_rate=0.5), BOLT, info)
    assert named.for_panel(series).learning_rate == 0.5


def test_a_run_that_holds_nothing_out_resumes_checkpoints_of_before() -> None:
    info = SeasonalNaive().info
    plain = resolve_config(FinetuneOptions(), BOLT, info)
    held_out = resolve_config(FinetuneOptions(hold_out=24), BOLT, info)
    assert "hold_out" not in plain.describe()
    assert plain.resume_digest() != held_out.resume_digest()
