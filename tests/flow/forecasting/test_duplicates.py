"""Rows of one series and time that say different values, at every door that reads series."""

import json
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import gigacast
from gigacast.cli.program import run
from gigacast.errors import DataError, SchemaError
from gigacast.job.forecast_job import Method
from gigacast.settings.assembly import job_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from gigacast.training.data import Reading, find_partitions, write_corpus

OPTIONS: dict[str, Any] = {"horizon": 3, "model": "seasonal-naive"}


def merged_stores(days: int = 30) -> pd.DataFrame:
    """Return two stores' sales of one product, whose id column says only the product."""
    times = pd.date_range("2024-01-01", periods=days)
    parts = [
        pd.DataFrame({"item_id": "tea", "timestamp": times, "target": range(days), "store": store})
        for store in ("north", "south")
    ]
    parts[1]["target"] += 100
    return pd.concat(parts, ignore_index=True)


def corrected(days: int = 200) -> pd.DataFrame:
    """Return a series of which the last row was sent again with another value."""
    frame = merged_stores(days)[:days]
    return pd.concat([frame, frame[-1:].assign(target=1000)], ignore_index=True)


def lake(folder: Path, frame: pd.DataFrame) -> str:
    (folder / "2024/01").mkdir(parents=True)
    frame.to_parquet(folder / "2024/01/part-0.parquet", index=False)
    return f"file://{folder}"


def test_a_frame_of_merged_items_is_refused_and_the_named_column_forecasts_it() -> None:
    with pytest.raises(SchemaError, match="the column 'store' tells them apart"):
        gigacast.forecast(merged_stores(), **OPTIONS)
    forecasts = gigacast.forecast(merged_stores(), item_column="store", **OPTIONS)
    assert sorted(set(forecasts["item_id"])) == ["north", "south"]


def test_few_conflicts_are_averaged_with_a_warning_unless_a_policy_is_set() -> None:
    with pytest.warns(UserWarning, match="1 row with the series and the time of another row"):
        forecasts = gigacast.forecast(corrected(), **OPTIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chosen = gigacast.forecast(corrected(), duplicates="last", **{**OPTIONS, "horizon": 7})
        gigacast.forecast(pd.concat([corrected()[:200]] * 2), **OPTIONS)  # equal rows say nothing
    assert forecasts["predictions"].iloc[-1] != 1000
    assert 1000 in set(chosen["predictions"])


@pytest.mark.parametrize("name", ["time", "hour"])
def test_times_written_in_two_columns_are_named_with_what_to_write(name: str) -> None:
    remedy = "write both in one column, as 2024-01-31 10:15"
    times = pd.date_range("2024-01-01", periods=72, freq="h")
    columns = {"date": times.normalize(), name: times.strftime("%H:%M"), "target": range(72)}
    frame = pd.concat([pd.DataFrame({"item_id": item, **columns}) for item in "ab"])
    named = f"'date' has only a part of their times, and '{name}'"
    with pytest.raises(SchemaError, match=named) as refused:
        gigacast.forecast(frame, timestamp_column="date", **OPTIONS)
    assert remedy in str(refused.value.hint)
    if name == "time":
        with pytest.raises(SchemaError, match="date and time are ambiguous") as ambiguous:
            gigacast.forecast(frame, **OPTIONS)
        assert remedy in str(ambiguous.value.hint)
    joined = frame.assign(timestamp=frame["date"].dt.strftime("%Y-%m-%d ") + frame[name])
    forecasts = gigacast.forecast(joined.drop(columns=["date", name]), **OPTIONS)
    assert len(forecasts) == 6


def test_a_partition_of_merged_items_fails_and_writes_no_forecast(tmp_path: Path) -> None:
    result = gigacast.forecast(lake(tmp_path, merged_stores()), **OPTIONS)
    ((_, failure),) = result.failures
    assert failure.error == "SchemaError"
    assert "30 of 60 rows" in failure.message
    assert "--item_columns item_id,store" in str(failure.hint)
    assert not list(tmp_path.glob("forecasts/**/*.parquet"))


def test_a_policy_is_part_of_the_spec_only_if_it_changes_numbers(tmp_path: Path) -> None:
    url = lake(tmp_path, merged_stores()[:30])

    def specs(**policy: str) -> tuple[str, ...]:
        return tuple(gigacast.plan(url, **OPTIONS, **policy).plan.specs)

    assert specs() == specs(duplicates="mean")
    assert len({specs(), specs(duplicates="sum"), specs(duplicates="last")}) == 3


def test_the_summary_has_one_line_about_conflicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = lake(tmp_path, corrected())
    flags = ["--bucket", url, "--horizon", "3", "--model", "seasonal-naive"]
    assert run(["forecast", *flags]) == 0
    (line,) = (text for text in capsys.readouterr().out.splitlines() if "conflicting" in text)
    assert "1 row with the series and time of another row, and other values" in line
    assert run(["forecast", *flags, "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["repairs"]["conflicts"] == 1


def test_a_backtest_refuses_merged_items_even_for_a_sample(tmp_path: Path) -> None:
    url = lake(tmp_path, merged_stores())
    with pytest.raises(DataError):  # no partition is left to compare the models on
        gigacast.backtest(url, horizon=3, models=["seasonal-naive"], sample_series=1)
    with pytest.warns(UserWarning, match="1 row with"):
        gigacast.backtest(lake(tmp_path / "b", corrected()), horizon=3, models=["seasonal-naive"])


def test_an_evaluation_refuses_actuals_that_conflict(tmp_path: Path) -> None:
    frame = merged_stores()
    url = lake(tmp_path, frame[:20])
    gigacast.forecast(url, **OPTIONS)
    frame.to_parquet(tmp_path / "2024/01/part-0.parquet", index=False)
    ((_, message),) = gigacast.evaluate(url).failures
    assert "and other values" in message
    evaluation = gigacast.evaluate(url, duplicates="last")
    assert (evaluation.failures, evaluation.matched) == ([], 3)
    assert evaluation.conflicts == 3


def test_training_refuses_merged_items(tmp_path: Path) -> None:
    url = lake(tmp_path, merged_stores())
    job = job_of(load_settings(nest_arguments({"bucket": url})))
    data = find_partitions(job, open_store(StoreAddress(url)))
    (tmp_path / "corpus").mkdir()
    with pytest.raises(SchemaError, match="'store' tells them apart"):
        write_corpus(data.groups(), Reading(Method()), tmp_path / "corpus", 8)


def test_a_receipt_counts_conflicts(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="1 row with"):
        gigacast.forecast(lake(tmp_path, corrected()), **OPTIONS)
    (receipt,) = tmp_path.glob("timings/**/*.json")
    assert json.loads(receipt.read_text())["repairs"] == {"duplicates": 1, "conflicts": 1}


@pytest.mark.parametrize("names", [("year", "month"), ("Jahr", "Woche")])
def test_years_beside_months_are_named_as_parts_of_a_time_and_not_as_items(
    names: tuple[str, str],
) -> None:
    frame = pd.DataFrame(
        {
            "item_id": "a",
            names[0]: [2019 + month // 12 for month in range(60)],
            names[1]: [month % 12 + 1 for month in range(60)],
            "target": [float(month % 7) for month in range(60)],
        }
    )
    for column, other in (names, names[::-1]):
        with pytest.raises(SchemaError, match=f"{other!r} may have the rest") as refused:
            gigacast.forecast(frame, timestamp_column=column, **OPTIONS)
        assert "2024-01" in str(refused.value.hint)
