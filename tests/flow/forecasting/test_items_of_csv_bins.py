"""Items of several columns in CSV of other dialects, aggregated into calendar bins."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gigacast
from gigacast.cli.program import run

OPTIONS: dict[str, Any] = {"horizon": 3, "model": "seasonal-naive"}
BOTH: dict[str, Any] = {"item_columns": "store_id,sku"}
BINS: dict[str, Any] = {"freq": "W-MON", "aggregate": "sum"}
DIALECT = {"csv_separator": ";", "csv_decimal": ",", "csv_dates": "day_first"}


def daily(start: str = "2023-10-03", stop: str = "2024-02-29") -> pd.DataFrame:
    """Return two stores that sell two products; ids as `007` look like numbers."""
    days = pd.date_range(start, stop)
    parts = [
        pd.DataFrame(
            {
                "store_id": store,
                "sku": sku,
                "timestamp": days,
                "target": np.arange(len(days)) % 9 + scale + 0.25,
            }
        )
        for scale, (store, sku) in enumerate(
            [("007", "1.10"), ("007", "1/1"), ("7", "1.10"), ("7", "1/1")], start=1
        )
    ]
    return pd.concat(parts, ignore_index=True)


def weekly(frame: pd.DataFrame) -> pd.DataFrame:
    """Aggregate whole weeks that end on Mondays, item by item, as pandas does."""
    parts = []
    for (store, sku), own in frame.groupby(["store_id", "sku"]):
        days = own.set_index("timestamp")["target"].resample("W-MON")
        weeks = days.sum()[days.count() == 7]
        parts.append(
            pd.DataFrame(
                {"store_id": store, "sku": sku, "timestamp": weeks.index, "target": weeks.values}
            )
        )
    return pd.concat(parts, ignore_index=True)


def german(frame: pd.DataFrame) -> str:
    """Write a frame as CSV with semicolons, decimal commas and days first."""
    return frame.to_csv(index=False, sep=";", decimal=",", date_format="%d.%m.%Y")


def lake(folder: Path, frame: pd.DataFrame) -> str:
    """Put a frame into folders of months as CSV, and return the address."""
    for month, rows in frame.groupby(frame["timestamp"].dt.strftime("%Y/%m")):
        (folder / month).mkdir(parents=True, exist_ok=True)
        (folder / month / "part-0.csv").write_text(german(rows))
    return f"file://{folder}"


def hive_lake(folder: Path, frame: pd.DataFrame) -> str:
    """Put each store into a level of its own, without its column."""
    for store, own in frame.groupby("store_id"):
        lake(folder / f"store_id={store}", own.drop(columns="store_id"))
    return f"file://{folder}"


LAKES = {"columns": lake, "levels": hive_lake}


def numbers(frame: pd.DataFrame) -> pd.DataFrame:
    keys = ["store_id", "sku", "timestamp"]
    ordered = frame.sort_values(keys)
    return ordered[[*keys, "predictions", "0.1", "0.9"]].reset_index(drop=True)


def expected_of(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the forecasts of weeks that pandas made, from a frame of typed columns."""
    return numbers(gigacast.forecast(weekly(frame), **BOTH, freq="W", **OPTIONS))


def assert_same(forecasts: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(numbers(forecasts), expected, check_dtype=False)
    assert set(forecasts["timestamp"].dt.day_name()) == {"Monday"}


def test_a_frame_is_forecast_in_bins_for_each_pair_of_store_and_product() -> None:
    forecasts = gigacast.forecast(daily(), **BOTH, **BINS, **OPTIONS)
    assert_same(forecasts, expected_of(daily()))


@pytest.mark.parametrize("dialect", [{}, DIALECT], ids=["found", "named"])
@pytest.mark.parametrize("form", LAKES)
@pytest.mark.parametrize("partition_by", ["object", "month"])
def test_a_job_on_csv_forecasts_bins_of_pairs_and_ids_stay_text(
    form: str, partition_by: str, dialect: dict[str, Any], tmp_path: Path
) -> None:
    frame = daily()
    url = LAKES[form](tmp_path, frame)
    chosen = {**BOTH, **BINS, **OPTIONS, **dialect, "partition_by": partition_by}
    result = gigacast.forecast(url, **chosen, years="2024", months="2", context_partitions=4)
    assert (result.failures, result.totals.series) == ([], 4)
    forecasts = gigacast.read_forecasts(url)
    assert set(zip(forecasts["store_id"], forecasts["sku"], strict=True)) == {
        *(("007", "1.10"), ("007", "1/1"), ("7", "1.10"), ("7", "1/1"))
    }
    assert_same(forecasts, expected_of(frame))


@pytest.mark.parametrize("form", LAKES)
def test_an_evaluation_compares_the_bins_of_each_pair_without_being_told(
    form: str, tmp_path: Path
) -> None:
    frame = daily()
    url = LAKES[form](tmp_path, frame[frame["timestamp"] < "2024-01-29"])
    chosen = {**BOTH, **BINS, **OPTIONS, "years": "2024", "months": "1", "context_partitions": 3}
    assert not gigacast.forecast(url, **chosen).failures
    LAKES[form](tmp_path, frame)
    forecasts = gigacast.read_forecasts(url)
    # Neither the columns of items nor the bins are named again: the forecasts say both.
    result = gigacast.evaluate(url)
    assert (result.steps, result.matched, result.conflicts, result.failures) == (12, 12, 0, [])
    joined = forecasts.merge(weekly(frame), on=["store_id", "sku", "timestamp"])
    rmse = float(np.sqrt(((joined["predictions"] - joined["target"]) ** 2).mean()))
    assert result.figures["version"]["seasonal-naive/1", "all"].rmse == pytest.approx(rmse)


@pytest.mark.parametrize("form", LAKES)
def test_a_backtest_of_bins_has_the_losses_of_pairs(form: str, tmp_path: Path) -> None:
    frame = daily(start="2022-11-01")  # more than a year, so that errors have a scale
    fine = LAKES[form](tmp_path / "days", frame)
    coarse = LAKES[form](tmp_path / "weeks", weekly(frame))
    chosen = {**BOTH, "horizon": 3, "years": "2024", "months": "2", "context_partitions": 15}
    models = ["seasonal-naive"]
    binned = gigacast.backtest(fine, models=models, **chosen, **BINS)
    expected = gigacast.backtest(coarse, models=models, **chosen, freq="W")
    assert binned.failures == expected.failures == []
    (bins,), (weeks,) = binned.leaderboard.standings, expected.leaderboard.standings
    assert bins.figures == weeks.figures
    assert bins.figures.forecasts == 4


def test_the_losses_of_a_backtest_on_csv_are_grouped_by_a_column_with_decimal_commas(
    tmp_path: Path,
) -> None:
    sizes = daily().assign(size=lambda f: f["store_id"].map({"007": 1.5, "7": 2.5}))
    url = lake(tmp_path, sizes)
    chosen = {**BOTH, **BINS, **DIALECT, "horizon": 3, "years": "2024", "context_partitions": 4}
    models = ["seasonal-naive"]
    result = gigacast.backtest(url, models=models, segment="column:size", **chosen)
    assert set(result.leaderboard.segments) == {"1,5", "2,5"}


def test_a_plan_looks_into_csv_in_the_dialect_that_is_named(tmp_path: Path) -> None:
    frame = daily(start="2024-02-01").assign(target=1.5)
    path = tmp_path / "2024" / "02" / "part-0.csv"
    path.parent.mkdir(parents=True)
    path.write_text(frame.to_csv(index=False, sep="^", date_format="%Y-%m-%d"))
    options = ["--item_columns", "store_id,sku", "--horizon", "3", "--model", "seasonal-naive"]
    arguments = ["plan", "--bucket", f"file://{tmp_path}", *options]
    assert run([*arguments, "--csv_separator", "^"]) == 0
    assert run(arguments) == 1


def test_pairs_that_are_not_named_are_pointed_out_in_bins_too(tmp_path: Path) -> None:
    url = lake(tmp_path, daily())
    chosen = {**BINS, **OPTIONS, "years": "2024", "months": "2", "context_partitions": 4}
    result = gigacast.forecast(url, item_column="sku", **chosen)
    ((_, failure),) = result.failures
    assert "the column 'store_id' tells them apart" in failure.message
    assert "--item_columns sku,store_id" in str(failure.hint)
