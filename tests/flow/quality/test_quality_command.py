"""The commands `data quality` and `data clean`: tables, exit codes, broken rules, accuracy."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gigacast
from gigacast.cli.program import run
from gigacast.quality.accuracy import rank_correlation
from gigacast.storage.store import Store
from tests.flow.quality.partitions import put
from tests.support.bars import bars, publish
from tests.support.panels import hourly_panel, put_frame

Capture = pytest.CaptureFixture[str]

# -- the commands ----------------------------------------------------------------------------------


def output_of(store: Store, capsys: Capture, *words: str, code: int = 0) -> str:
    capsys.readouterr()
    assert run(["data", *words, "--bucket", store.address.url]) == code
    streams = capsys.readouterr()
    return streams.out + streams.err


def json_of(store: Store, capsys: Capture, *words: str, code: int = 0) -> Any:
    return json.loads(output_of(store, capsys, *words, "--json", code=code))


@pytest.fixture
def filled(lake: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    frame = bars(300)
    frame.loc[5:9, "close"] = np.nan
    publish(lake, "raw/FX/2024-01-15", frame, contract=None, partition_by=["month"])
    return lake


def test_the_quality_command_prints_a_table_and_exits_by_the_verdict(
    filled: Store, capsys: Capture
) -> None:
    shown = output_of(filled, capsys, "quality", "raw/FX")
    assert "1 partition, 0 ok, 1 warn, 0 fail" in shown
    assert "missing in close 1.67% (over 1%)" in shown
    assert "1 partition: 0 done, 1 to measure" in shown
    shown = output_of(filled, capsys, "quality", "raw/FX", "--fail", "missing=0.01", code=1)
    assert "known before 1" in shown
    report = json_of(filled, capsys, "quality", "raw/FX", "--warn", "missing=never")
    assert (report["verdict"], report["rows"]) == ("ok", 300)


def test_limits_and_the_calendar_can_be_given_in_the_settings(
    filled: Store, capsys: Capture, tmp_path: Path
) -> None:
    text = "quality: {fail: [missing=0.01], calendar: weekdays, holidays: ['2024-01-15']}\n"
    (tmp_path / "mine.yaml").write_text(text)
    words = ["quality", "raw/FX", "--config", str(tmp_path / "mine.yaml")]
    assert json_of(filled, capsys, *words, code=1)["thresholds"]["missing"]["fail"] == 0.01
    assert json_of(filled, capsys, *words, "--fail", "missing=0.5")["verdict"] == "warn"


def test_cleaning_prints_a_table_and_publishes_once(filled: Store, capsys: Capture) -> None:
    shown = output_of(filled, capsys, "clean", "raw/FX", "cleaned/FX", "--what", "mended")
    assert "published cleaned/v1/FX: 300 rows in 1 file" in shown
    assert "5 filled" in shown
    again = json_of(filled, capsys, "clean", "raw/FX", "cleaned/FX", "--what", "mended")
    assert (again["new"], again["skipped"]) == (False, 1)
    assert again["dataset"]["changelog"][0]["what"] == "mended"
    assert "cleaning" in again["dataset"]
    result = gigacast.forecast(
        filled.address.url, input_prefix="cleaned/latest/FX", model="seasonal-naive",
        targets="close", horizon=3,
    )  # fmt: skip
    assert (result.status, result.totals.series) == ("completed", 1)


def test_partitions_of_a_bucket_are_cleaned_and_failures_are_reported(
    lake: Store, capsys: Capture
) -> None:
    put(lake, "good", bars(300))
    lake.put("2024/01/part-bad.parquet", b"junk")
    shown = output_of(lake, capsys, "clean", "partitions", "cleaned/FX", "--years", "2024", code=1)
    assert "CorruptedFileError" in shown
    assert "published cleaned/v1/FX: 300 rows in 1 file" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["quality", "raw/NOTHING"], "no dataset 'NOTHING'"),
        (["quality", "nothing"], "is not a dataset"),
        (["quality"], "matches the selection"),
        (["quality", "raw/FX", "--calendar", "daily"], "no calendar"),
        (["quality", "raw/FX", "--holidays", "xmas"], "--holidays"),
        (["quality", "raw/FX", "--warn", "errors=1"], "no measure 'errors'"),
        (["quality", "raw/FX", "--zone", "Mars"], "no time zone"),
        (["quality", "raw/FX", "--item_column", "who"], "no column 'who'"),
        (["quality", "--every"], "--every"),
        (["clean", "raw/FX", "raw/GX"], "not in cleaned"),
        (["clean", "raw/FX", "cleaned/FX", "--align", "floor"], "--freq"),
        (["clean", "raw/FX", "cleaned/FX", "--outliers", "clip", "--method", "isolation_forest"],
         "cannot be clipped"),
    ],
)  # fmt: skip
def test_wrong_input_is_reported_in_a_single_line(
    filled: Store, capsys: Capture, words: list[str], message: str
) -> None:
    code = 1 if "--item_column" in words else 2
    assert message in output_of(filled, capsys, *words, code=code)


def test_accuracy_is_shown_beside_quality_for_each_partition(lake: Store, capsys: Capture) -> None:
    frames = {}
    for month in range(1, 5):
        frame = hourly_panel(f"2024-{month:02d}", items=["a", "b"])
        lost = np.random.default_rng(month).random(len(frame)) < 0.05 * (month - 1)
        frames[month] = frame.assign(target=frame["target"].mask(lost))
        before = frames[month].groupby("item_id").head(len(frame) // 2 - 6)
        put_frame(lake, f"2024/{month:02d}/part-00000.parquet", before)
    gigacast.forecast(lake.address.url, model="seasonal-naive", horizon=6)
    for month, frame in frames.items():  # the actuals have come
        put_frame(lake, f"2024/{month:02d}/part-00000.parquet", frame)
    report = json_of(lake, capsys, "quality", "--accuracy", "--fail", "missing=never")
    beside = report["accuracy"]
    assert {partition["partition"] for partition in beside["partitions"]} == {
        f"2024/{month:02d}/part-00000" for month in range(1, 5)
    }
    assert all(partition["wql"] > 0 for partition in beside["partitions"])
    (correlations,) = beside["rank_correlations"].values()
    assert -1 <= correlations["missing"]["wql"] <= 1
    assert correlations["duplicates"]["wql"] is None
    shown = output_of(lake, capsys, "quality", "--accuracy", "--fail", "missing=never")
    assert "Forecast accuracy by partition" in shown
    names = [meta.key for page in lake.list("quality/_reports/") for meta in page]
    assert any(name.endswith("-accuracy.md") for name in names)


def forecast_close(lake: Store, capsys: Capture) -> None:
    """Forecast a column of a dataset, whose actuals come afterwards."""
    panel = bars(300)
    publish(lake, "raw/FX/2024-01-15", panel[:200], contract=None, partition_by=["month"])
    output_of(lake, capsys, "clean", "raw/FX", "cleaned/FX", "--quiet")
    gigacast.forecast(
        lake.address.url, input_prefix="cleaned/latest/FX", model="seasonal-naive",
        targets="close", horizon=3,
    )  # fmt: skip
    publish(lake, "raw/FX/2024-01-16", panel, contract=None, partition_by=["month"])
    output_of(lake, capsys, "clean", "raw/FX", "cleaned/FX", "--quiet")


@pytest.mark.parametrize("columns", [(), ("--targets", "close")])
def test_forecasts_are_compared_by_their_own_columns_or_by_those_that_are_named(
    columns: tuple[str, ...], lake: Store, capsys: Capture
) -> None:
    forecast_close(lake, capsys)
    words = ("quality", "cleaned/FX", "--accuracy", *columns)
    assert "Forecast accuracy by partition" in output_of(lake, capsys, *words)
    beside = json_of(lake, capsys, *words)["accuracy"]
    assert beside["failures"] == []
    assert [partition["wql"] > 0 for partition in beside["partitions"]] == [True]


def test_a_forecast_that_cannot_be_read_is_reported(lake: Store, capsys: Capture) -> None:
    forecast_close(lake, capsys)
    keys = [meta.key for page in lake.list("forecasts/") for meta in page]
    (forecast,) = [key for key in keys if "part-" in key]
    lake.put(forecast, b"no forecast")
    words = ("quality", "cleaned/FX", "--accuracy")
    text = output_of(lake, capsys, *words)
    assert "not compared" in text
    assert "has an actual yet" not in text
    assert json_of(lake, capsys, *words)["accuracy"]["failures"]


def test_the_rules_that_are_broken_are_named_with_counts(lake: Store, capsys: Capture) -> None:
    frame = bars(300)
    frame.loc[:9, "high"] = frame.loc[:9, "low"] - 1
    frame.loc[20:23, "volume"] = -1.0
    publish(lake, "raw/FX/2024-01-15", frame, contract=None)
    words = ("quality", "raw/FX", "--schema", "ohlcv")
    shown = output_of(lake, capsys, *words)
    assert "Broken rules" in shown
    report = json_of(lake, capsys, *words)
    counts = {
        (broken["column"], broken["rule"]): broken["count"] for broken in report["broken_rules"]
    }
    assert sorted(counts.values())[0] == 4
    assert 10 in counts.values()
    (column, rule), count = next(iter(counts.items()))
    assert f"{column} {rule} {count}".split() in [line.split() for line in shown.splitlines()]
    location = report["location"].removeprefix(lake.address.url + "/")
    assert f"| {column} | {rule} | {count} |" in lake.get(f"{location}.md").decode()


def test_a_rule_that_a_whole_column_breaks_is_named_first(lake: Store, capsys: Capture) -> None:
    frame = bars(300).assign(volume="much")
    frame.loc[:9, "high"] = frame.loc[:9, "low"] - 1
    publish(lake, "raw/FX/2024-01-15", frame, contract=None)
    shown = output_of(lake, capsys, "quality", "raw/FX", "--schema", "ohlcv", code=1)
    first = shown.partition("Broken rules\n")[2].splitlines()[2]
    assert first.split() == ["volume", "type", "all"]


def test_a_cleaning_that_loses_every_row_says_so_and_fails(lake: Store, capsys: Capture) -> None:
    frame = bars(300)
    frame["timestamp"] = frame["timestamp"].dt.strftime("%d/%m/%Y %H:%M")
    put(lake, "bad", frame)
    words = ("clean", "partitions", "cleaned/FX")
    shown = output_of(lake, capsys, *words, code=1)
    assert "no row has a time that can be read" in shown
    assert "nothing published: no partition is good enough" in shown
    assert "null_keys" in shown
    (aside,) = json_of(lake, capsys, *words, code=1)["set_aside"]
    assert aside["changes"]["null_keys"] == 300


@pytest.mark.parametrize("seed", range(5))
def test_the_rank_correlation_equals_spearmans_by_pandas(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 5, 12).astype(float), rng.normal(size=12)
    y[3] = np.nan
    expected = pd.Series(x).corr(pd.Series(y), method="spearman")
    assert rank_correlation(x, y) == pytest.approx(expected)
    assert np.isnan(rank_correlation(np.ones(12), y))
    assert np.isnan(rank_correlation(x[:2], y[:2]))
