"""Rows aggregated into calendar bins, at every door that reads series."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import gigacast
from gigacast.cleaning.rules import CleanRules
from gigacast.cli.program import run
from gigacast.errors import ConfigError, SchemaError
from gigacast.job.forecast_job import Method
from gigacast.settings.assembly import job_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from gigacast.training.data import Reading, TableData, find_partitions, write_corpus

OPTIONS: dict[str, Any] = {"horizon": 3, "model": "seasonal-naive"}
BINS: dict[str, Any] = {"freq": "W-MON", "aggregate": "sum"}


def daily(start: str = "2023-01-03", stop: str = "2024-02-29") -> pd.DataFrame:
    """Return two items' days, which begin and end within a week."""
    times = pd.date_range(start, stop)
    parts = [
        pd.DataFrame({"item_id": item, "timestamp": times, "target": np.arange(len(times)) % 9 + n})
        for n, item in enumerate("ab", start=1)
    ]
    return pd.concat(parts, ignore_index=True)


def weekly(frame: pd.DataFrame) -> pd.DataFrame:
    """Aggregate whole weeks that end on Mondays, item by item, as pandas does."""
    parts = []
    for item, own in frame.groupby("item_id"):
        days = own.set_index("timestamp")["target"].resample("W-MON")
        weeks = days.sum()[days.count() == 7]
        parts.append(pd.DataFrame({"item_id": item, "timestamp": weeks.index, "target": weeks}))
    return pd.concat(parts, ignore_index=True)


def lake(folder: Path, frame: pd.DataFrame) -> str:
    """Put a frame into folders of months, and return the address."""
    for month, rows in frame.groupby(frame["timestamp"].dt.strftime("%Y/%m")):
        (folder / month).mkdir(parents=True, exist_ok=True)
        rows.to_parquet(folder / month / "part-0.parquet", index=False)
    return f"file://{folder}"


def numbers(frame: pd.DataFrame) -> pd.DataFrame:
    columns = ["item_id", "timestamp", "predictions", "0.1", "0.9"]
    return frame[columns].sort_values(["item_id", "timestamp"]).reset_index(drop=True)


def test_a_frame_is_forecast_as_the_aggregated_frame() -> None:
    binned = gigacast.forecast(daily(), **BINS, **OPTIONS)
    expected = gigacast.forecast(weekly(daily()), freq="W", **OPTIONS)
    pd.testing.assert_frame_equal(numbers(binned), numbers(expected), check_dtype=False)
    assert set(binned["timestamp"].dt.day_name()) == {"Monday"}


def test_without_an_aggregation_coarser_steps_stay_refused() -> None:
    with pytest.raises(SchemaError, match="frequency W is coarser"):
        gigacast.forecast(daily(), freq="W-MON", **OPTIONS)


@pytest.mark.parametrize(
    ("chosen", "cause"),
    [
        ({"aggregate": "sum"}, "aggregate: the bins have no frequency"),
        ({"zone": "Europe/Berlin"}, "a zone only decides how aggregate= cuts bins"),
        ({**BINS, "zone": "Europe/Nowhere"}, "there is no time zone"),
        ({"freq": "W", "aggregate": "median"}, "aggregate: Input should be"),
    ],
)
def test_options_that_make_no_bins_are_refused(chosen: dict[str, Any], cause: str) -> None:
    with pytest.raises(ConfigError, match=cause):
        gigacast.forecast(daily(), **chosen, **OPTIONS)


def test_a_job_forecasts_the_bins_and_an_evaluation_compares_bins_without_being_told(
    tmp_path: Path,
) -> None:
    frame = daily()
    january = frame["timestamp"] < "2024-01-29"
    url = lake(tmp_path, frame[january])
    chosen = {**BINS, **OPTIONS, "months": "1", "years": "2024", "context_partitions": 6}
    assert not gigacast.forecast(url, **chosen).failures
    binned = gigacast.read_forecasts(url)
    assert sorted(set(binned["timestamp"])) == list(
        pd.date_range("2024-01-29", periods=3, freq="7D")
    )
    lake(tmp_path, frame)
    result = gigacast.evaluate(url)
    # The week up to the 12th of February has whole actuals, as those before it.
    assert (result.steps, result.matched) == (6, 6)
    joined = binned.merge(weekly(frame), on=["item_id", "timestamp"])
    rmse = float(np.sqrt(((joined["predictions"] - joined["target"]) ** 2).mean()))
    assert result.figures["version"]["seasonal-naive/1", "all"].rmse == pytest.approx(rmse)


def test_actuals_wait_until_their_bin_is_complete(tmp_path: Path) -> None:
    frame = daily(stop="2024-02-10")
    url = lake(tmp_path, frame[frame["timestamp"] < "2024-01-29"])
    gigacast.forecast(url, **BINS, **OPTIONS, years="2024", context_partitions=6)
    lake(tmp_path, frame)
    result = gigacast.evaluate(url)
    # The weeks to the 29th of January and the 5th of February are complete, the third is not.
    assert (result.matched, result.waiting) == (4, 2)


def test_a_backtest_forecasts_bins(tmp_path: Path) -> None:
    url = lake(tmp_path / "days", daily())
    coarse = lake(tmp_path / "weeks", weekly(daily()))
    chosen = {**OPTIONS, "years": "2024", "months": "2", "context_partitions": 13}
    chosen.pop("model")
    models = ["seasonal-naive"]
    binned = gigacast.backtest(url, models=models, **BINS, **chosen)
    expected = gigacast.backtest(coarse, models=models, freq="W", **chosen)
    (bins,), (weeks,) = binned.leaderboard.standings, expected.leaderboard.standings
    assert bins.figures == weeks.figures
    assert bins.figures.forecasts == 2


def test_an_aggregation_is_part_of_the_spec_and_none_changes_nothing(tmp_path: Path) -> None:
    url = lake(tmp_path, daily(start="2024-02-01"))

    def specs(**chosen: Any) -> tuple[str, ...]:
        return tuple(gigacast.plan(url, **OPTIONS, **chosen).plan.specs)

    assert specs(freq="W-MON") == specs(freq="W")
    plans = [
        {"freq": "W"},
        {"freq": "W", "aggregate": "sum"},
        {"freq": "W-MON", "aggregate": "sum"},
        {"freq": "W", "aggregate": "mean"},
        {"freq": "W", "aggregate": "sum", "partial_bins": "keep"},
        {"freq": "W", "aggregate": "sum", "zone": "Europe/Berlin"},
    ]
    assert len({specs(**chosen) for chosen in plans}) == len(plans)
    assert specs() != specs(csv_decimal=",")
    assert specs(csv_separator="tab") == specs(csv_separator="\t")


def test_training_learns_from_bins(tmp_path: Path) -> None:
    url = lake(tmp_path / "lake", daily())
    settings = load_settings(nest_arguments({"bucket": url, **BINS}))
    job = job_of(settings)
    data = find_partitions(job, open_store(StoreAddress(url)))
    (tmp_path / "corpus").mkdir()
    corpus = write_corpus(data.groups(), Reading(job.method), tmp_path / "corpus", 5)
    expected = [len(own) for _, own in weekly(daily()).groupby("item_id")]
    assert np.diff(corpus.offsets).tolist() == expected
    table = TableData(pa.table({"item_id": ["a"], "timestamp": [1], "target": [1.0]}))
    digests = {Reading(method).digest(table) for method in (Method(), job.method)}
    assert len(digests) == 2


def test_data_clean_writes_a_row_per_bin(tmp_path: Path) -> None:
    frame = daily().assign(city="Rome")
    frame.to_parquet(tmp_path / "days.parquet", index=False)
    place = ["--bucket", f"file://{tmp_path}/lake"]
    (tmp_path / "lake").mkdir()
    assert run(["data", "import", str(tmp_path / "days.parquet"), "raw/SHOP", *place]) == 0
    flags = ["--freq", "W-MON", "--aggregate", "sum", "--fail", "gaps=never"]
    assert run(["data", "clean", "raw/SHOP", "cleaned/SHOP", *flags, *place]) == 0
    (path,) = (tmp_path / "lake/cleaning").rglob("*.parquet")
    binned = pd.read_parquet(path).sort_values(["item_id", "timestamp"])
    expected = weekly(daily())
    assert binned["target"].tolist() == expected["target"].tolist()
    assert binned["timestamp"].dt.tz_localize(None).tolist() == expected["timestamp"].tolist()
    assert set(binned["city"]) == {"Rome"}


def test_rules_of_cleaning_without_bins_have_the_spec_of_before() -> None:
    assert "aggregate" not in CleanRules().to_dict()
    with pytest.raises(ConfigError, match="aggregate: the bins have no frequency"):
        CleanRules(aggregate="sum")
