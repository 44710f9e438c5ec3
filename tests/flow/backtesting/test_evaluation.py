"""Stored forecasts are compared with the actuals that have come since."""

import io
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import gigacast
from gigacast.cli.program import run
from gigacast.errors import BucketNotFoundError, DataNotFoundError
from gigacast.storage.store import Store
from tests.flow.backtesting.backtests import LEVELS, OPTIONS, files
from tests.support.panels import hourly_panel, put_frame, put_panels

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


def test_segments_are_of_the_inputs_that_the_forecasts_were_made_of(folder: Store) -> None:
    for root, regions in (("sales/", "NS"), ("", "XY")):
        for month in ("2024-01", "2024-02"):
            steps = 24 * 31 if month == "2024-01" else 48
            frame = hourly_panel(month, items=("a", "b"), steps=steps)
            frame["region"] = frame["item_id"].map(dict(zip("ab", regions, strict=True)))
            put_frame(folder, f"{root}{month.replace('-', '/')}/part-0.parquet", frame)
    gigacast.forecast(
        folder.address.url, input_prefix="sales", model="seasonal-naive", horizon=4, months="1"
    )
    figures = gigacast.evaluate(folder.address.url, segment="column:region").figures
    assert {label for _, label in figures["segment"]} == {"N", "S"}


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
    monkeypatch.setattr("gigacast.backtesting.evaluation.partition.STEP_BYTES", 1 << 26)
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
    assert table["by"].to_pylist() == ["version", "month", *["step"] * 6, "origin"]
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
