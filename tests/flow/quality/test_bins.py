"""`data quality --aggregate`: the bins that a forecast sees, and the rows that they are made of."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gigacast.cleaning.rules import CleanRules
from gigacast.cleaning.run import CleanJob, clean_dataset
from gigacast.cli.program import run
from gigacast.core.dataset.ref import DatasetRef
from gigacast.core.time.frequency import Frequency
from gigacast.job.file_job import FileJob, Reading, Sources
from gigacast.quality.aggregation import Binning
from gigacast.quality.measures import Verdict
from gigacast.quality.partition import Measures
from gigacast.quality.run import QualityJob, QualityResult, measure_quality
from gigacast.storage.store import Store
from tests.flow.quality.partitions import put
from tests.support.bars import ME, parquet_bytes

Capture = pytest.CaptureFixture[str]


def days(start: str, stop: str, item: str = "a") -> pd.DataFrame:
    times = pd.date_range(start, stop)
    sold = np.arange(len(times)) % 7 + 1.0
    return pd.DataFrame({"item_id": item, "timestamp": times, "target": sold})


def put_months(store: Store, frame: pd.DataFrame) -> None:
    for month, rows in frame.groupby(frame["timestamp"].dt.strftime("%Y/%m"), sort=False):
        store.put(f"{month}/part-0.parquet", parquet_bytes(rows))


def measure(store: Store, alias: str = "W", operation: str = "sum", **more: Any) -> QualityResult:
    frequency = Frequency.parse(alias)
    binning = Binning(operation, frequency, more.pop("partial", "drop"))  # type: ignore[arg-type]
    files = FileJob(
        Sources(store.address), store.address, reading=Reading(frequency=frequency, **more)
    )
    return measure_quality(QualityJob(files, Measures(binning=binning)))


def keys_of(result: QualityResult) -> dict[str, Any]:
    return {
        judged.partition[:7]: judged.quality.keys
        for judged in result.report.partitions
        if judged.quality is not None
    }


def test_gaps_are_of_bins_and_duplicates_and_order_of_rows(lake: Store) -> None:
    frame = days("2024-01-01", "2024-03-31")
    # The week that ends on 18 February has no row; two rows come twice, one comes late.
    week = frame["timestamp"].between("2024-02-12", "2024-02-18")
    frame = frame[~week]
    frame = pd.concat([frame, frame.iloc[[3, 40]], frame.iloc[[1]].assign(timestamp="2024-01-01")])
    frame["timestamp"] = pd.to_datetime(frame["timestamp"])
    put_months(lake, frame)
    keys = keys_of(measure(lake))
    # Weeks end in the month whose file they are measured in.
    assert {month: k.bins.bins for month, k in keys.items()} == {
        "2024/01": 4,
        "2024/02": 3,
        "2024/03": 5,
    }
    assert (keys["2024/02"].missing_steps, keys["2024/02"].gaps) == (1, 1)
    assert keys["2024/02"].longest_gap["after"].startswith("2024-02-11")
    assert keys["2024/01"].missing_steps == keys["2024/03"].missing_steps == 0
    assert {month: k.rows for month, k in keys.items()} == {
        "2024/01": 33,
        "2024/02": 23,
        "2024/03": 31,
    }
    assert (keys["2024/01"].duplicates, keys["2024/02"].duplicates) == (2, 1)
    assert keys["2024/01"].unordered == 2
    assert keys["2024/01"].frequencies == {"W": 1}
    assert all(k.off_grid == 0 for k in keys.values())
    # The newest row, and not the end of its week.
    assert keys["2024/02"].last.startswith("2024-02-29")


def test_rows_outside_the_bins_are_counted_and_named(lake: Store) -> None:
    # From a Wednesday to a Wednesday: five days before the first Sunday, three after the last.
    put_months(lake, days("2024-01-03", "2024-02-21"))
    result = measure(lake)
    bins = {month: keys.bins for month, keys in keys_of(result).items()}
    assert (bins["2024/01"].partial_bins, bins["2024/01"].partial_rows) == (1, 5)
    assert (bins["2024/02"].partial_bins, bins["2024/02"].partial_rows) == (1, 3)
    assert (bins["2024/01"].carried, bins["2024/02"].carried) == (3, 0)
    text = result.report.to_markdown()
    assert "50 rows in 6 calendar bins; 8 rows left out, which cover only parts of 2 bins" in text
    with_parts = measure(lake, partial="keep")
    assert "50 rows in 8 calendar bins\n" in with_parts.report.to_markdown()


def test_values_are_those_of_bins(lake: Store) -> None:
    frame = days("2024-01-01", "2024-01-28").assign(target=1.0)
    frame.loc[frame["timestamp"].between("2024-01-08", "2024-01-14"), "target"] = np.nan
    frame.loc[20, "target"] = np.nan
    put_months(lake, frame)
    (judged,) = measure(lake).report.partitions
    assert judged.quality is not None
    (column,) = judged.quality.columns
    # A week of missing values is missing; a week with six values is not.
    assert (column.values, column.missing) == (4, 1)
    (judged,) = measure(lake, operation="count").report.partitions
    assert judged.quality is not None
    assert [column.missing for column in judged.quality.columns] == [0]


def test_a_bin_without_rows_is_a_gap_unless_rows_are_counted(lake: Store) -> None:
    frame = days("2024-01-01", "2024-01-28")
    put_months(lake, frame[~frame["timestamp"].between("2024-01-08", "2024-01-14")])
    for operation, gaps in (("sum", 1), ("count", 0)):
        (keys,) = keys_of(measure(lake, operation=operation)).values()
        assert (keys.gaps, keys.missing_steps) == (gaps, gaps)


def test_rows_that_cover_no_bin_are_a_warning(lake: Store) -> None:
    put_months(lake, days("2024-01-02", "2024-01-05"))
    (judged,) = measure(lake).report.partitions
    assert judged.verdict is Verdict.WARN
    assert judged.judgement.reasons == ("the rows cover none of their calendar bins",)


def test_months_of_quarters_are_measured_in_the_last_month_without_a_warning(lake: Store) -> None:
    put_months(lake, days("2024-01-01", "2024-03-31"))
    report = measure(lake, "QE").report
    assert {j.partition: j.verdict for j in report.partitions} == {
        f"2024/0{month}/part-0": Verdict.OK for month in (1, 2, 3)
    }
    assert [keys.bins.bins for keys in keys_of(measure(lake, "QE")).values()] == [0, 0, 1]


def test_a_changed_neighbour_is_measured_again_and_others_are_not(lake: Store) -> None:
    frame = days("2024-01-01", "2024-05-31")
    put_months(lake, frame)
    assert measure(lake).computed == 5
    put_months(lake, frame[frame["timestamp"].dt.month == 1].assign(target=0.5))
    again = measure(lake)
    assert (again.computed, again.skipped) == (2, 3)


@pytest.mark.parametrize("alias", ["D", "W-MON", "MS", "QS-FEB"])
def test_as_many_bins_are_measured_as_are_cleaned(alias: str, lake: Store) -> None:
    random = np.random.default_rng(3)
    frame = pd.concat([days("2024-01-05", "2024-06-20"), days("2024-02-10", "2024-05-01", "b")])
    frame = frame[random.random(len(frame)) < 0.8]
    put_months(lake, frame)
    frequency = Frequency.parse(alias)
    files = FileJob(Sources(lake.address), lake.address, reading=Reading(frequency=frequency))
    rules = CleanRules(aggregate="sum", frequency=frequency, nulls="keep")
    cleaned = clean_dataset(CleanJob(files, DatasetRef.parse("cleaned/A"), rules), ME)
    actual = {j.partition[:7]: j.quality.keys.rows for j in cleaned.partitions if j.quality}
    measured = keys_of(measure(lake, alias))
    assert {month: keys.bins.bins for month, keys in measured.items()} == actual


def test_measures_without_bins_are_the_bytes_and_the_spec_of_before(lake: Store) -> None:
    assert "aggregate" not in Measures().to_dict()
    assert "binning" not in Measures().to_dict()
    put(lake, "a", days("2024-01-01", "2024-01-09"))
    files = FileJob(Sources(lake.address), lake.address)
    (judged,) = measure_quality(QualityJob(files)).report.partitions
    assert judged.quality is not None
    assert "bins" not in judged.quality.to_dict()["keys"]


def test_the_command_measures_bins_by_flags_or_settings(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "2024/01").mkdir(parents=True)
    days("2024-01-03", "2024-01-31").to_parquet(tmp_path / "2024/01/part-0.parquet", index=False)
    place = ["--bucket", f"file://{tmp_path}"]
    command = ["data", "quality", *place, "--json"]
    assert run([*command, "--freq", "W-MON", "--aggregate", "mean"]) == 0
    by_flags = json.loads(capsys.readouterr().out)["partitions"][0]["measures"]
    # Wednesday 3 to Wednesday 31: weeks up to the 8th (partial), 15th, 22nd, 29th, and two days.
    assert by_flags["keys"]["bins"] == {
        "bins": 3,
        "partial_bins": 2,
        "partial_rows": 8,
        "carried": 0,
    }
    (tmp_path / "gigacast.yaml").write_text("forecast: {freq: W-MON, aggregate: mean}\n")
    config = ["--config", str(tmp_path / "gigacast.yaml")]
    assert run([*command, *config]) == 0
    assert json.loads(capsys.readouterr().out)["partitions"][0]["measures"] == by_flags
    assert run([*command, "--aggregate", "mean"]) == 2
    assert "the bins have no frequency" in capsys.readouterr().err
    assert run([*command, *config, "--partial_bins", "keep", "--zone", "Asia/Tokyo"]) == 0
    with_parts = json.loads(capsys.readouterr().out)["partitions"][0]["measures"]["keys"]
    assert with_parts["bins"]["bins"] == 5
    assert with_parts["first"] == "2024-01-02T15:00:00+00:00"
