"""Two versions of a model compared: forecasts that move, and held-out ends."""

from pathlib import Path

import numpy as np
import pytest

import gigacast
from gigacast.core.series.holdout import hold_out
from gigacast.core.time.frequency import Frequency
from gigacast.forecasters.metric import quantile_loss, seasonal_error
from gigacast.models.diff import Score
from gigacast.storage.store import Store
from tests.flow.models.registries import Capture, models_command, models_json, scaled
from tests.support.panels import hourly_panel, put_frame, put_panels
from tests.support.tiny_models import (
    series_batch,
    tiny_bolt,
)


def test_diff_shows_the_movement_of_forecasts_and_the_better_version(
    bucket: Store, models: Path, tmp_path: Path, capsys: Capture
) -> None:
    put_panels(bucket, months=["2024-01"], parts=2)
    manager = gigacast.ModelManager(bucket=bucket.address.url)
    manager.publish_model(tiny_bolt(models), "demand", "v1.0")
    manager.publish_model(scaled(tiny_bolt(models), tmp_path / "v2", 3.0), "demand", "v2.0")
    before = [m.key for page in bucket.list() for m in page]
    diff_flags = ["--horizon", "6", "--precision", "float32", "--series", "2"]
    same = models_json(bucket, capsys, "diff", "demand", "v1.0", "v1.0", *diff_flags)
    assert (same["movement"]["largest"], same["better"]) == (0.0, None)  # type: ignore[index]
    assert "caveats" not in same
    moved = models_json(bucket, capsys, "diff", "demand", "v1.0", "v2.0", *diff_flags)
    assert (moved["partitions"], moved["series"], moved["scored"]) == (2, 4, 4)  # type: ignore[index]
    assert moved["movement"]["mean"] > 0.01  # type: ignore[index]
    by_name = {score["name"]: score for score in moved["scores"]}  # type: ignore[index]
    assert sorted(by_name) == ["seasonal-naive", "v1.0", "v2.0"]
    assert moved["better"] == min(("v1.0", "v2.0"), key=lambda v: by_name[v]["wql"])  # type: ignore[index]
    assert [m.key for page in bucket.list() for m in page] == before
    assert models_command(bucket, "diff", "demand", "v1.0", "v2.0", *diff_flags) == 0
    assert f"better: {moved['better']}" in capsys.readouterr().out  # type: ignore[index]


def test_diff_scales_errors_by_the_same_history_as_a_backtest(bucket: Store, models: Path) -> None:
    put_frame(bucket, "2024/01/part-0.parquet", hourly_panel("2024-01", steps=744))
    manager = gigacast.ModelManager(bucket=bucket.address.url)
    manifest = manager.publish_model(tiny_bolt(models), "demand", "v1.0").manifest
    assert manifest.context_length < 700
    options = {"horizon": 6, "precision": "float32"}
    compared = manager.diff_versions("demand", "v1.0", "v1.0", **options)  # type: ignore[arg-type]
    tested = gigacast.backtest(bucket.address.url, models=["demand/v1.0"], windows=1, **options)  # type: ignore[arg-type]
    figures = {s.model: s.figures for s in tested.leaderboard.standings}
    for score, name in zip(
        compared.scores, ("demand/v1.0", "demand/v1.0", "seasonal-naive"), strict=True
    ):
        assert score.mase == pytest.approx(figures[name].mase, rel=1e-5)
        assert score.wql == pytest.approx(figures[name].wql, rel=1e-5)


def test_diff_scales_errors_of_large_numbers_as_of_small_ones(bucket: Store, models: Path) -> None:
    manager = gigacast.ModelManager(bucket=bucket.address.url)
    manager.publish_model(tiny_bolt(models), "demand", "v1.0")
    steps = 60 + np.random.default_rng(0).integers(0, 9, 96)
    frame = hourly_panel("2024-01", steps=96, items=("a",))
    sides = []
    for level in (0.0, 1.7e9):
        put_frame(bucket, "2024/01/part-0.parquet", frame.assign(target=level + steps.cumsum()))
        options = {"horizon": 6, "precision": "float32"}
        compared = manager.diff_versions("demand", "v1.0", "v1.0", **options)  # type: ignore[arg-type]
        sides.append([score.mase for score in compared.scores])
    np.testing.assert_allclose(sides[0], sides[1], rtol=1e-4)


def test_diff_scores_agree_with_a_slow_obvious_oracle(
    bucket: Store, models: Path, tmp_path: Path
) -> None:
    import pandas as pd

    names = put_panels(bucket, months=["2024-01"], parts=1)
    manager = gigacast.ModelManager(bucket=bucket.address.url)
    manager.publish_model(tiny_bolt(models), "demand", "v1.0")
    levels = (0.1, 0.5, 0.8)
    options = {"horizon": 5, "precision": "float32", "quantiles": levels}
    report = manager.diff_versions("demand", "v1.0", "v1.0", **options)  # type: ignore[arg-type]
    frame = pd.read_parquet(tmp_path / "bucket" / f"{names[0]}.parquet")
    holdout = frame.groupby("item_id").tail(5)
    contexts = frame.drop(holdout.index)
    folder = str(tmp_path / "bucket" / "models" / "demand" / "v1.0")
    forecasts = gigacast.forecast(contexts, model=folder, **options)  # type: ignore[call-overload]
    joined = holdout.merge(forecasts, on=["item_id", "timestamp"])
    losses = [
        sum(
            2 * abs((y - f) * ((y <= f) - level))
            for y, f in zip(joined["target"], joined[str(level)], strict=True)
        )
        for level in levels
    ]
    wql = sum(losses) / len(levels) / joined["target"].abs().sum()
    errors = []
    for item, rows in joined.groupby("item_id"):
        past = contexts[contexts["item_id"] == item]["target"].to_numpy()
        scale = np.mean([abs(past[t] - past[t - 24]) for t in range(24, len(past))])
        errors.append((rows["target"] - rows["predictions"]).abs().mean() / scale)
    assert report.scores[0].wql == pytest.approx(wql, rel=1e-4)
    assert report.scores[0].mase == pytest.approx(np.mean(errors), rel=1e-4)


def test_series_without_an_end_to_hold_out_are_counted_not_scored() -> None:
    nan = np.nan
    batch = series_batch([[1, 2, 3, 4], [1, 2], [nan, nan, 3, 4], [1, 2, nan, nan], [5, 5, 5, 5]])
    holdout = hold_out(batch, 2)
    assert holdout.contexts.item_ids.to_pylist() == ["item-0", "item-4"]
    assert [list(values) for values in holdout.contexts] == [[1, 2], [5, 5]]
    assert holdout.actuals.tolist() == [[3, 4], [5, 5]]
    assert Frequency.parse("D").season_length == 7
    week = np.full(2, 7)  # longer than either context
    assert np.isnan(seasonal_error(holdout.contexts.values, holdout.contexts.offsets, week)).all()


def test_the_quantile_loss_is_that_of_its_definition() -> None:
    losses = quantile_loss(np.array([[3.0]]), np.array([[[1.0, 4.0]]]), np.array([0.1, 0.9]))
    np.testing.assert_allclose(losses, [[[2 * 2 * 0.1, 2 * 1 * 0.1]]])
    assert Score.of("v1", None).wql is None
