"""Backtests and evaluations of whole buckets, on a folder and on S3 (moto)."""

import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import gigacast
from gigacast.backtesting.run import BacktestResult
from gigacast.cli.program import run
from gigacast.errors import BucketNotFoundError, ConfigError, DataNotFoundError, SchemaError
from gigacast.lake.plan.receipt import Receipt
from gigacast.models.api import ModelManager
from gigacast.models.gate import Gate, object_to
from gigacast.runtime.choice import InlineExecutor
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.faulty_store import WRITES, Fault, FaultyStore, SimulatedCrash
from tests.support.moto_server import MotoServer
from tests.support.panels import hourly_panel, put_frame, put_panels
from tests.support.tiny_models import session_folder, tiny_bolt

SHIPPED = Path(gigacast.__file__).parent / "forecasters/weights/gigacast-bolt-nano"
LEVELS = [0.1, 0.5, 0.9]
OPTIONS: dict[str, Any] = {"horizon": 6, "quantiles": LEVELS}


@pytest.fixture
def folder(tmp_path: Path) -> Store:
    (tmp_path / "bucket").mkdir()
    return open_store(StoreAddress(f"file://{tmp_path}/bucket"))


@pytest.fixture(params=["folder", "s3"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path, moto_server: MotoServer) -> Store:
    if request.param == "folder":
        (tmp_path / "bucket").mkdir()
        return open_store(StoreAddress(f"file://{tmp_path}/bucket"))
    return open_store(moto_server.new_address())


@pytest.fixture(scope="session")
def bolt(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_bolt(session_folder(tmp_path_factory)))


def backtest(store: Store, *models: str, **options: Any) -> BacktestResult:
    named = models or ("seasonal-naive",)
    return gigacast.backtest(store.address.url, models=named, **{**OPTIONS, **options})


def files(store: Store, prefix: str) -> dict[str, bytes]:
    return {entry.key: store.get(entry.key) for page in store.list(prefix) for entry in page}


def losses_of(store: Store, model: str) -> pd.DataFrame:
    tables = [
        pq.read_table(io.BytesIO(content)).to_pandas()
        for key, content in sorted(files(store, f"backtests/{model}/").items())
    ]
    return pd.concat(tables, ignore_index=True)


def slow_losses(frame: pd.DataFrame, windows: int, horizon: int = 6) -> list[tuple[Any, ...]]:
    """Forecast every origin through the data-frame function, and compare step by step."""
    rows = []
    for window in range(windows):
        for item, series in frame.groupby("item_id"):
            cut = len(series) - horizon * (window + 1)
            past, future = series.iloc[:cut], series.iloc[cut : cut + horizon]
            result = gigacast.forecast(past, model="seasonal-naive", **OPTIONS)
            values = past["target"].to_numpy()
            scale = np.abs(values[24:] - values[:-24]).mean()
            error = loss = 0.0
            for y, (_, step) in zip(future["target"], result.iterrows(), strict=True):
                error += abs(y - step["predictions"])
                q = step["0.9"]
                loss += 2 * (0.9 * (y - q) if y > q else 0.1 * (q - y))
            rows.append((item, window, past["timestamp"].iloc[-1], scale, error, loss))
    return rows


# -- the figures -----------------------------------------------------------------------------------


def test_every_series_is_forecast_from_every_origin(folder: Store) -> None:
    frame = hourly_panel(items=("a", "b"), steps=96)
    put_frame(folder, "2024/01/part-0.parquet", frame)
    backtest(folder, windows=3)
    losses = losses_of(folder, "seasonal-naive").sort_values(["window", "item_id"])
    expected = pd.DataFrame(
        slow_losses(frame, 3), columns=["item_id", "window", "origin", "scale", "error", "loss_0.9"]
    )
    assert losses["item_id"].tolist() == expected["item_id"].tolist()
    assert losses["window"].tolist() == expected["window"].tolist()
    assert losses["origin"].tolist() == expected["origin"].tolist()
    for name in ("scale", "error", "loss_0.9"):
        np.testing.assert_allclose(losses[name], expected[name], rtol=1e-4)
    assert losses["length"].tolist() == [90, 90, 84, 84, 78, 78]


def test_the_step_is_the_distance_between_origins(folder: Store) -> None:
    put_frame(folder, "2024/01/part-0.parquet", hourly_panel(items=("a",), steps=60))
    backtest(folder, windows=2, step=1)
    assert losses_of(folder, "seasonal-naive")["length"].tolist() == [54, 53]


def test_nothing_after_an_origin_reaches_the_forecast(tmp_path: Path, bolt: str) -> None:
    medians = []
    for name, shift in (("one", 0.0), ("other", 100.0)):
        (tmp_path / name).mkdir()
        store = open_store(StoreAddress(f"file://{tmp_path}/{name}"))
        frame = hourly_panel(items=("a", "b"), steps=72)
        after = frame.groupby("item_id").cumcount() >= 66
        frame.loc[after, "target"] += shift
        put_frame(store, "2024/01/part-0.parquet", frame)
        backtest(store, bolt)
        losses = losses_of(store, Path(bolt).name)
        actual = frame[after].groupby("item_id")["target"].sum().to_numpy()
        medians.append(losses["excess"].to_numpy() + actual)
    np.testing.assert_allclose(*medians, rtol=1e-5)


def test_every_model_is_compared_with_seasonal_naive(bucket: Store, bolt: str) -> None:
    put_panels(bucket)
    result = backtest(bucket, bolt, windows=2)
    names = {s.model.partition("/")[0] for s in result.leaderboard.standings}
    assert names == {Path(bolt).name, "seasonal-naive"}
    assert (result.status, result.computed, result.skipped) == ("completed", 8, 0)
    assert all(s.figures.forecasts == 4 * 3 * 2 for s in result.leaderboard.standings)
    naive = next(s for s in result.leaderboard.standings if s.model == "seasonal-naive")
    assert (naive.skill_wql, naive.skill_mase) == (0, 0)
    assert len(result.leaderboard.segments) == 4


def test_standings_are_sums_over_the_losses_of_partitions(folder: Store, bolt: str) -> None:
    put_panels(folder)
    board = backtest(folder, bolt, windows=2).leaderboard
    naive, mine = ({}, {})
    for model_losses, model in ((naive, "seasonal-naive"), (mine, Path(bolt).name)):
        for key, content in files(folder, f"backtests/{model}/").items():
            rows = pq.read_table(io.BytesIO(content)).to_pylist()
            partition = "/".join(key.split("/")[4:]).removesuffix(".parquet")
            losses = [sum(row[f"loss_{level}"] for row in rows) for level in LEVELS]
            size = sum(row["magnitude"] for row in rows)
            model_losses[partition] = sum(loss / size for loss in losses) / len(losses)
    assert sorted(naive) == sorted(board.segments)
    logs = [math.log(min(max(mine[name] / naive[name], 0.01), 100)) for name in naive]
    (standing,) = (s for s in board.standings if s.model != "seasonal-naive")
    assert standing.skill_wql == pytest.approx(1 - math.exp(sum(logs) / len(logs)))
    won = sum(mine[name] < naive[name] for name in naive)
    assert standing.wins == won / len(naive)
    for name, models in board.segments.items():
        assert models[standing.model].wql == pytest.approx(mine[name])


def test_the_leaderboard_is_stored_as_markdown_and_json(folder: Store) -> None:
    put_panels(folder)
    result = backtest(folder)
    name = result.location.removeprefix(f"{folder.address.url}/")
    assert "| seasonal-naive |" in folder.get(f"{name}.md").decode()
    evaluation = json.loads(folder.get(f"{name}.json"))
    assert evaluation["standings"][0]["model"] == "seasonal-naive"
    table = pq.read_table(io.BytesIO(folder.get(f"{name}.parquet")))
    assert table["segment"].to_pylist()[0] == "(all)"
    assert table.num_rows == 5
    assert {"inside_80%", "model", "wql", "mase", "coverage_0.9"} <= set(table.column_names)


@pytest.mark.parametrize(
    ("segment", "labels"),
    [
        ("month", ["2024-01", "2024-02"]),
        ("window", ["0", "1"]),
        ("frequency", ["h"]),
        ("length", ["33 to 128"]),
        ("target", ["target"]),
        ("symbol", ["(none)"]),
    ],
)
def test_figures_are_grouped_by_the_segment(folder: Store, segment: Any, labels: list[str]) -> None:
    put_panels(folder, parts=1)
    board = backtest(folder, windows=2, segment=segment).leaderboard
    assert list(board.segments) == labels
    assert sum(f["seasonal-naive"].forecasts for f in board.segments.values()) == 12


def test_figures_can_be_grouped_by_a_column_of_the_items(folder: Store) -> None:
    frame = hourly_panel(items=("a", "b", "c"))
    frame["region"] = frame["item_id"].map({"a": "north", "b": "south", "c": "north"})
    put_frame(folder, "2024/01/part-0.parquet", frame)
    result = backtest(folder, segment="column:region", windows=2)
    figures = {name: f["seasonal-naive"] for name, f in result.leaderboard.segments.items()}
    assert {name: f.forecasts for name, f in figures.items()} == {"north": 4, "south": 2}
    losses = losses_of(folder, "seasonal-naive")
    south = losses[losses["item_id"] == "b"]
    assert figures["south"].rmse == pytest.approx((south["square"].sum() / 12) ** 0.5)
    assert (backtest(folder, segment="column:region", windows=2).computed) == 0
    with pytest.raises(SchemaError, match="no column 'colour'"):
        backtest(folder, segment="column:colour", windows=2)


def test_labels_are_sorted_by_their_numbers(folder: Store) -> None:
    put_frame(folder, "2024/01/part-0.parquet", hourly_panel(items=("a",)))
    board = backtest(folder, windows=11, step=1, segment="window").leaderboard
    assert list(board.segments) == [str(n) for n in range(11)]


def test_a_season_can_be_given(folder: Store) -> None:
    frame = hourly_panel(items=("a",), steps=60)
    put_frame(folder, "2024/01/part-0.parquet", frame)
    backtest(folder, season=1)
    (row,) = losses_of(folder, "seasonal-naive").to_dict("records")
    values = frame["target"].to_numpy()
    past, future = values[:54], values[54:]
    assert row["scale"] == pytest.approx(np.abs(np.diff(past)).mean(), rel=1e-5)
    assert row["error"] == pytest.approx(np.abs(future - past[-1]).sum(), rel=1e-5)
    assert backtest(folder).computed == 1


def test_every_executor_gives_the_same_leaderboard(folder: Store, tmp_path: Path) -> None:
    put_panels(folder)
    (tmp_path / "other").mkdir()
    other_store = open_store(StoreAddress(f"file://{tmp_path}/other"))
    put_panels(other_store)
    local_result, parallel_result = backtest(folder), backtest(other_store, n_jobs=2)
    assert (local_result.computed, parallel_result.computed) == (4, 4)
    assert local_result.leaderboard == parallel_result.leaderboard


@pytest.mark.filterwarnings("default")
def test_statistical_models_are_compared_with_the_others(folder: Store) -> None:
    pytest.importorskip("statsforecast", reason="the extra `baselines` is not installed")
    put_panels(folder, parts=1)
    result = backtest(folder, "auto-theta", "auto-ets", sample_series=1)
    names = {s.model: s.figures for s in result.leaderboard.standings}
    assert set(names) == {"auto-theta/1", "auto-ets/1", "seasonal-naive"}
    assert all(f.forecasts == 2 for f in names.values())
    assert len({f.wql for f in names.values()}) == 3


# -- rerunning -------------------------------------------------------------------------------------


def test_a_rerun_computes_nothing_and_an_added_model_only_its_own_forecasts(
    folder: Store, bolt: str
) -> None:
    put_panels(folder)
    first = backtest(folder)
    again = backtest(folder)
    assert (again.computed, again.skipped) == (0, 4)
    assert again.leaderboard == first.leaderboard
    more = backtest(folder, bolt)
    assert (more.computed, more.skipped) == (4, 4)


def test_other_windows_are_another_backtest(folder: Store) -> None:
    put_panels(folder)
    backtest(folder)
    assert backtest(folder, windows=2).computed == 4
    assert backtest(folder, windows=2, step=3).computed == 4


def test_backtests_are_neither_input_nor_forecasts(folder: Store) -> None:
    put_panels(folder)
    backtest(folder)
    result = gigacast.forecast(folder.address.url, model="seasonal-naive", horizon=6)
    assert result.totals.partitions == 4
    assert not any(key.startswith("backtests/") for key in result.plan.orphans)
    assert backtest(folder).computed == 0


def test_a_changed_input_is_backtested_again(folder: Store) -> None:
    put_panels(folder)
    before = backtest(folder)
    put_frame(folder, "2024/01/part-00000.parquet", hourly_panel(items=("a",), seed=9))
    after = backtest(folder)
    assert (after.computed, after.skipped) == (1, 3)
    assert after.leaderboard.standings[0].figures.forecasts == 10
    assert before.leaderboard.standings[0].figures.forecasts == 12
    assert len(files(folder, "timings/backtests/")) == 4


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", [1, 2, 3, 8])
def test_a_backtest_killed_at_any_write_ends_with_the_same_figures(
    folder: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int, when: Any
) -> None:
    put_panels(folder)
    (tmp_path / "undisturbed").mkdir()
    undisturbed = open_store(StoreAddress(f"file://{tmp_path}/undisturbed"))
    put_panels(undisturbed)
    faulty = FaultyStore(folder, [Fault(WRITES, nth=nth, when=when)])
    with monkeypatch.context() as patched:
        patched.setattr("gigacast.forecasting.worker.open_store", lambda _: faulty)
        with pytest.raises(SimulatedCrash):
            backtest(folder)
    second_run = backtest(folder)
    assert second_run.skipped == (nth - (when == "before")) // 2
    assert second_run.computed + second_run.skipped == 4
    assert second_run.leaderboard == backtest(undisturbed).leaderboard


class _Interrupted(InlineExecutor):
    """Stops after the first task, as Ctrl-C does."""

    def run(self, tasks: Sequence[Any], setup: Any) -> Iterator[Any]:
        for number, outcome in enumerate(super().run(tasks, setup)):
            yield outcome
            if number == 0:
                raise KeyboardInterrupt


def test_an_interrupted_backtest_continues_where_it_was(
    folder: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_panels(folder)
    (tmp_path / "undisturbed").mkdir()
    undisturbed = open_store(StoreAddress(f"file://{tmp_path}/undisturbed"))
    put_panels(undisturbed)
    with monkeypatch.context() as patched:
        patched.setattr("gigacast.backtesting.run.make_executor_for", lambda *_: _Interrupted())
        with pytest.raises(KeyboardInterrupt):
            backtest(folder)
    second_run = backtest(folder)
    assert (second_run.computed, second_run.skipped) == (3, 1)
    assert second_run.leaderboard == backtest(undisturbed).leaderboard
    audits = [json.loads(content) for content in files(folder, "audit/").values()]
    assert sorted(a["status"] for a in audits) == ["completed", "interrupted"]
    assert {a["job"] for a in audits} == {"backtest"}


def test_a_broken_partition_is_named_and_the_others_are_compared(folder: Store) -> None:
    put_panels(folder)
    folder.put("2024/01/part-00000.parquet", b"not parquet")
    result = backtest(folder)
    assert result.status == "failed"
    assert [task.partition for _, task, _ in result.failures] == ["2024/01/part-00000"]
    assert result.leaderboard.partitions == 3


def test_partitions_that_only_one_model_has_forecast_are_left_out(folder: Store, bolt: str) -> None:
    put_panels(folder)
    backtest(folder, bolt)
    put_frame(folder, "2024/03/part-0.parquet", hourly_panel("2024-03"))

    result = backtest(folder, bolt, limit=1)
    assert result.leaderboard.partitions == 5
    gone = next(key for key in files(folder, "backtests/seasonal-naive/") if "2024/03" in key)
    folder.delete([gone])
    folder.put("2024/03/part-0.parquet", b"broken since")
    after = backtest(folder, bolt)
    assert after.leaderboard.partitions == 4


def test_a_sample_is_the_same_partitions_every_time(folder: Store) -> None:
    put_panels(folder, parts=3)
    sampled = backtest(folder, sample_partitions=2)
    assert (sampled.computed, sampled.leaderboard.partitions) == (2, 2)
    backtest(folder)
    again = backtest(folder, sample_partitions=2)
    assert again.leaderboard == sampled.leaderboard
    few = backtest(folder, sample_series=1)
    assert few.leaderboard.standings[0].figures.forecasts == 6


# -- bad input -------------------------------------------------------------------------------------


def test_series_too_short_for_a_window_are_counted(folder: Store) -> None:
    short = hourly_panel(items=("short",), steps=5)
    put_frame(folder, "2024/01/part-0.parquet", pd.concat([hourly_panel(items=("a",)), short]))
    result = backtest(folder)
    assert result.leaderboard.standings[0].figures.forecasts == 1
    receipts = [Receipt.from_json(c, k) for k, c in files(folder, "timings/backtests/").items()]
    assert [r.reasons for r in receipts] == [{"too_short": 1}]


def test_without_a_series_long_enough_the_error_has_a_hint(folder: Store) -> None:
    put_panels(folder)
    with pytest.raises(DataNotFoundError, match="long enough") as caught:
        backtest(folder, horizon=500)
    assert "--windows" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"windows": 0}, "windows: 0 is less than 1"),
        ({"step": 0}, "step: 0 is less than 1"),
        ({"sample_partitions": 0}, "sample_partitions: 0 is less than 1"),
        ({"season": 0}, "season: 0 is less than 1"),
        ({"segment": "colour"}, "'colour' is unknown"),
        ({"segment": "column:"}, "'column:' is unknown"),
    ],
)
def test_impossible_settings_are_refused(
    folder: Store, options: dict[str, Any], message: str
) -> None:
    put_panels(folder)
    with pytest.raises(ConfigError, match=message):
        backtest(folder, **options)
    assert not files(folder, "backtests/")


# -- the gate --------------------------------------------------------------------------------------


@pytest.fixture
def registry(folder: Store, tmp_path_factory: pytest.TempPathFactory, bolt: str) -> ModelManager:
    """A bucket of panels with a random model active, and one that repeats nothing better."""
    put_panels(folder)
    manager = ModelManager(bucket=folder.address.url)
    manager.publish_model(bolt, "tiny", "v1")
    shorter_model = tiny_bolt(session_folder(tmp_path_factory), context_length=256)
    manager.publish_model(shorter_model, "tiny", "v2")
    return manager


def test_a_version_worse_than_naive_does_not_go_live(registry: ModelManager, folder: Store) -> None:
    before = folder.get("models/tiny/ACTIVE")
    verdict = registry.promote_model("tiny", "v2", gate=Gate(partitions=2), **OPTIONS)
    assert not verdict.is_better
    assert any("seasonal-naive" in objection for objection in verdict.objections)
    assert folder.get("models/tiny/ACTIVE") == before


def test_a_better_version_goes_live_with_its_figures(
    registry: ModelManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gigacast.models.gate.object_to", lambda *_: [])
    verdict = registry.promote_model("tiny", "v2", why="weekends", gate=Gate(2, 10), **OPTIONS)
    assert verdict.is_better
    assert registry.active_version("tiny") == "v2"
    change = registry.show_model("tiny")[1].history[-1]
    assert change.why.startswith("weekends; WQL of a backtest of 2 partitions:")


def test_a_version_that_is_better_on_real_models_goes_live(folder: Store, bolt: str) -> None:
    put_frame(folder, "2024/01/part-0.parquet", hourly_panel(steps=240))
    manager = ModelManager(bucket=folder.address.url)
    manager.publish_model(bolt, "mine", "v1")
    manager.publish_model(SHIPPED, "mine", "v2")
    verdict = manager.promote_model("mine", "v2", **OPTIONS)
    assert verdict.objections == ()
    assert (verdict.active, manager.active_version("mine")) == ("v1", "v2")
    back = manager.promote_model("mine", "v1", **OPTIONS)
    assert any(
        "of mine/v2" in objection and "partition 2024/" in objection
        for objection in back.objections
    )
    assert manager.active_version("mine") == "v2"


def test_the_gate_tolerates_a_configured_share(folder: Store, bolt: str) -> None:
    put_panels(folder, months=["2024-01"], parts=1)
    board = backtest(folder, bolt).leaderboard
    naive = "seasonal-naive"
    (model,) = (s.model for s in board.standings if s.model != naive)
    (figures,) = board.segments.values()
    worse = figures[model].wql / figures[naive].wql - 1
    assert len(object_to(board, model, naive, worse + 0.01)) == 1
    assert len(object_to(board, model, naive, worse - 0.01)) == 2


def test_a_version_worse_than_a_perfect_one_is_reported_without_a_share(folder: Store) -> None:
    zeros = hourly_panel(items=("a",))
    zeros["target"] = 1.0
    put_frame(folder, "2024/01/part-0.parquet", zeros)
    board = backtest(folder).leaderboard
    label, models = next(iter(board.segments.items()))
    worse = replace(models["seasonal-naive"], wql=0.5)
    mine = replace(board.standings[0], model="m/v2", figures=worse)
    both = replace(
        board,
        standings=(*board.standings, mine),
        segments={label: {**models, "m/v2": worse}},
    )
    assert object_to(both, "m/v2", "seasonal-naive", 0.05)[-1] == (
        f"partition {label}: WQL 0.5 is worse than 0 of seasonal-naive"
    )


def test_objections_name_the_figure_and_the_segment(folder: Store, bolt: str) -> None:
    put_panels(folder)
    board = backtest(folder, bolt).leaderboard
    naive = "seasonal-naive"
    (model,) = (s.model for s in board.standings if s.model != naive)
    assert object_to(board, naive, model, 0.05) == []
    objections = object_to(board, model, naive, 0.05)
    assert f"of {naive}" in objections[0]
    assert sum(objection.startswith("partition 2024/") for objection in objections) == 4


def test_the_gate_ends_with_exit_code_1_and_the_table(
    registry: ModelManager, folder: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["models", "switch", "tiny", "v2", "--if-better", "--bucket", folder.address.url]
    assert run([*words, "--horizon", "6"]) == 1
    output = capsys.readouterr().out
    assert "not switched to v2; stays active: tiny/v1" in output
    assert "seasonal-naive" in output
    assert run([*words[:4], "--windows", "2", *words[5:]]) == 2


# -- evaluation ------------------------------------------------------------------------------------


def slow_evaluation(forecasts: pd.DataFrame, actual: pd.DataFrame) -> tuple[int, float, float]:
    """Match row by row; return how many matched, WQL and RMSE."""
    actuals = {(r.item_id, r.timestamp): r.target for r in actual.itertuples()}
    matched, magnitude, squares, losses = 0, 0.0, 0.0, [0.0] * len(LEVELS)
    for _, row in forecasts.iterrows():
        y = actuals.get((row["item_id"], row["timestamp"]))
        if y is None:
            continue
        matched += 1
        magnitude += abs(y)
        squares += (y - row["predictions"]) ** 2
        for n, level in enumerate(LEVELS):
            q = row[str(level)]
            losses[n] += 2 * (level * (y - q) if y > q else (1 - level) * (q - y))
    wql = sum(loss / magnitude for loss in losses) / len(losses)
    return matched, wql, (squares / matched) ** 0.5


def test_forecasts_are_compared_with_actual_values(bucket: Store) -> None:
    panel = pd.concat(
        [hourly_panel("2024-01", items=("a", "b"), steps=31 * 24 + 4)], ignore_index=True
    )
    january = panel["timestamp"] < "2024-02-01"
    put_frame(bucket, "2024/01/part-0.parquet", panel[january])
    gigacast.forecast(bucket.address.url, model="seasonal-naive", **OPTIONS)
    nothing = gigacast.evaluate(bucket.address.url)
    assert (nothing.steps, nothing.matched, nothing.waiting) == (12, 0, 12)
    forecasts = gigacast.read_forecasts(bucket.address.url)
    put_frame(bucket, "2024/02/part-0.parquet", panel[~january])
    result = gigacast.evaluate(bucket.address.url)
    matched, wql, rmse = slow_evaluation(forecasts, panel)
    assert (result.matched, result.waiting, matched) == (8, 4, 8)
    figures = result.figures["version"]["seasonal-naive/1", "all"]
    assert (figures.wql, figures.rmse) == pytest.approx((wql, rmse), rel=1e-5)
    assert figures.undefined == 0
    assert [f.steps for f in result.figures["step"].values()] == [2, 2, 2, 2, 0, 0]
    assert list(result.figures["month"]) == [("seasonal-naive/1", "2024-01")]


def test_actuals_are_found_in_parts_of_another_name_and_in_any_order(folder: Store) -> None:
    panel = hourly_panel("2024-01", items=("a", "b"), steps=31 * 24 + 6)
    january = panel["timestamp"] < "2024-02-01"
    put_frame(folder, "2024/01/part-0.parquet", panel[january])
    gigacast.forecast(folder.address.url, model="seasonal-naive", **OPTIONS)
    late = panel[~january].sample(frac=1, random_state=0)
    put_frame(folder, "2024/02/part-new-1.parquet", late[:7])
    put_frame(folder, "2024/02/part-new-2.parquet", late[7:])
    assert gigacast.evaluate(folder.address.url).matched == 12


def test_versions_of_a_model_are_evaluated_separately(folder: Store, bolt: str) -> None:
    panel = hourly_panel("2024-01", items=("a",), steps=31 * 24 + 6)
    january = panel["timestamp"] < "2024-02-01"
    put_frame(folder, "2024/01/part-0.parquet", panel[january])
    for model in ("seasonal-naive", bolt):
        gigacast.forecast(folder.address.url, model=model, **OPTIONS)
    put_frame(folder, "2024/02/part-0.parquet", panel[~january])
    result = gigacast.evaluate(folder.address.url)
    assert len(result.figures["version"]) == 2
    only = gigacast.evaluate(folder.address.url, model="seasonal-naive")
    assert list(only.figures["version"]) == [("seasonal-naive/1", "all")]
    with pytest.raises(DataNotFoundError, match="no finished forecasts"):
        gigacast.evaluate(folder.address.url, model="nobody")


def test_parts_of_a_file_add_up_to_the_file(folder: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = hourly_panel("2024-01", items=tuple("abcdefg"), steps=31 * 24 + 4)
    january = panel["timestamp"] < "2024-02-01"
    put_frame(folder, "2024/01/part-0.parquet", panel[january])
    for layout in ("long", "wide"):
        gigacast.forecast(folder.address.url, model="seasonal-naive", layout=layout, **OPTIONS)
    put_frame(folder, "2024/02/part-0.parquet", panel[~january])
    at_once = gigacast.evaluate(folder.address.url)
    assert (at_once.steps, at_once.matched) == (2 * 42, 2 * 28)
    long, wide = at_once.figures["version"].values()
    assert long == wide
    monkeypatch.setattr("gigacast.backtesting.evaluation.run._STEP_BYTES", 1 << 26)
    parts = gigacast.evaluate(folder.address.url)
    assert (parts.steps, parts.matched) == (at_once.steps, at_once.matched)
    for by, figures in at_once.figures.items():
        for key, expected in figures.items():
            part_figures = parts.figures[by][key]
            for name, value in asdict(expected).items():
                assert getattr(part_figures, name) == pytest.approx(value, nan_ok=True), (key, name)


def test_actuals_of_a_symbol_are_of_its_timeframe(folder: Store) -> None:
    times = pd.date_range("2024-01-01", "2024-02-01T06:00", freq="h")
    bars = pd.DataFrame({"ds": times, "target_close": np.arange(len(times)) % 24 + 1.0})
    january = bars["ds"] < "2024-02-01"
    name = "{0}/EURUSD_{1}_h360_{2}_abc.parquet".format
    put_frame(folder, name("2024/01", "1h", "2024_01"), bars[january])
    gigacast.forecast(folder.address.url, model="seasonal-naive", **OPTIONS)
    put_frame(folder, name("2024/02", "1h", "2024_02"), bars[~january])
    february = bars[~january].assign(target_close=1000.0)
    put_frame(folder, name("2024/02", "30min", "2024_02"), february)
    result = gigacast.evaluate(folder.address.url, months="1")
    assert (result.matched, result.waiting) == (6, 0)
    assert result.figures["version"]["seasonal-naive/1", "all"].rmse == 0
    with_symbol = gigacast.evaluate(folder.address.url, symbol="EURUSD", timeframe="1h")
    assert with_symbol.matched == 6
    with pytest.raises(BucketNotFoundError):
        gigacast.evaluate(f"{folder.address.url}-of-nobody")
    with pytest.raises(DataNotFoundError, match="no forecast of the requested months and series"):
        gigacast.evaluate(folder.address.url, symbol="GBPUSD")


def test_forecasts_of_csv_parts_are_evaluated_like_others(folder: Store) -> None:
    panel = hourly_panel("2024-01", items=("a",), steps=31 * 24 + 6)
    january = panel["timestamp"] < "2024-02-01"
    for month, rows in (("01", january), ("02", ~january)):
        text = panel[rows].to_csv(index=False)
        folder.put(f"2024/{month}/part-0.csv", text.encode())
    gigacast.forecast(folder.address.url, model="seasonal-naive", months="1", **OPTIONS)
    result = gigacast.evaluate(folder.address.url)
    assert (result.matched, result.waiting) == (6, 0)
    assert result.figures["version"]["seasonal-naive/1", "all"].undefined == 0


def test_a_forecast_that_cannot_be_read_is_named_and_nothing_of_it_counts(folder: Store) -> None:
    put_panels(folder, months=["2024-01"])
    gigacast.forecast(folder.address.url, model="seasonal-naive", **OPTIONS)
    key = min(files(folder, "forecasts/seasonal-naive/"))
    folder.put(key, b"not parquet")
    result = gigacast.evaluate(folder.address.url)
    assert [failed for failed, _ in result.failures] == [key]
    assert result.steps == 18
    assert run(["evaluate", "--bucket", folder.address.url, "--quiet"]) == 1


def test_the_evaluation_is_stored_as_markdown_and_json(folder: Store) -> None:
    panel = hourly_panel("2024-01", items=("a",), steps=31 * 24 + 6)
    january = panel["timestamp"] < "2024-02-01"
    put_frame(folder, "2024/01/part-0.parquet", panel[january])
    gigacast.forecast(folder.address.url, model="seasonal-naive", **OPTIONS)
    put_frame(folder, "2024/02/part-0.parquet", panel[~january])
    result = gigacast.evaluate(folder.address.url)
    name = result.location.removeprefix(f"{folder.address.url}/")
    markdown = folder.get(f"{name}.md").decode()
    assert "6 of 6 forecast steps have an actual" in markdown
    assert "| model | 0.1 | 0.5 | 0.9 | 80% |" in markdown
    assert json.loads(folder.get(f"{name}.json"))["matched"] == 6
    table = pq.read_table(io.BytesIO(folder.get(f"{name}.parquet")))
    assert table["by"].to_pylist() == ["version", "month", *["step"] * 6]
    assert gigacast.evaluate(folder.address.url, months="1:6").location != result.location


# -- commands --------------------------------------------------------------------------------------


def test_the_commands_print_a_table_or_json(
    folder: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_panels(folder)
    words = ["backtest", "--bucket", folder.address.url, "--model", "seasonal-naive"]
    assert run([*words, "--horizon", "6"]) == 0
    assert "Calibration" in capsys.readouterr().out
    assert run([*words, "--horizon", "6", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["skipped"] == 4
    picture = tmp_path / "new" / "calibration.svg"
    assert run([*words, "--horizon", "6", "--quiet", "--plot", str(picture)]) == 0
    assert "<svg" in picture.read_text(encoding="utf-8")
    assert run([*words, "--horizon", "6", "--plot", "calibration.bmp"]) == 2
    assert "none of .png" in capsys.readouterr().err
    flags = ["--bucket", folder.address.url]
    assert run([*flags, "--model", "seasonal-naive", "--horizon", "6", "--quiet"]) == 0
    assert run(["evaluate", *flags]) == 0
    assert "wait for their actual" in capsys.readouterr().out
    assert run(["evaluate", *flags, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 72
