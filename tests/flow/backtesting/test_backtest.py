"""Backtests and evaluations of whole buckets, on a folder and on S3 (moto)."""

import io
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import gigacast
from gigacast.errors import ConfigError, DataNotFoundError, SchemaError
from gigacast.lake.plan.receipt import Receipt
from gigacast.runtime.choice import InlineExecutor
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.flow.backtesting.backtests import LEVELS, OPTIONS, backtest, files
from tests.support.faulty_store import WRITES, Fault, FaultyStore, SimulatedCrash
from tests.support.panels import hourly_panel, put_frame, put_panels


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
