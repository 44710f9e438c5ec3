"""Inputs whose outputs would meet, and names too long for what is written beside them."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import gigacast
from gigacast.core.partition.name import NamingPattern
from gigacast.lake.layout import longest_output, receipt_key
from gigacast.lake.plan.discovery import Discoverer, Selection
from gigacast.storage.store import ObjectMeta

OPTIONS: dict[str, Any] = {"horizon": 3, "model": "seasonal-naive"}


def frame(level: float) -> pd.DataFrame:
    times = pd.date_range("2024-01-01", periods=20)
    return pd.DataFrame({"item_id": f"item {level}", "timestamp": times, "target": level})


def write(folder: Path, name: str, level: float) -> None:
    path = folder / "year=2024/month=01" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".csv"):
        frame(level).to_csv(path, index=False)
    else:
        frame(level).to_parquet(path, index=False)


@pytest.mark.parametrize(
    "names",
    [
        ["a.csv", "a.parquet"],
        ["x.csv", "x.csv.parquet"],
        ["x.csv", "x.csv.parquet", "x.csv.2.parquet"],
        ["a.csv", "a.parquet", "a.csv.parquet"],
    ],
)
def test_each_input_has_a_forecast_of_its_own_and_a_rerun_finds_them(
    names: list[str], tmp_path: Path
) -> None:
    for level, name in enumerate(names, start=1):
        write(tmp_path, name, float(level))
    url = f"file://{tmp_path}"
    result = gigacast.forecast(url, **OPTIONS)
    assert (result.failures, result.totals.partitions) == ([], len(names))
    outputs = gigacast.read_forecasts(url)
    assert sorted(set(outputs["predictions"])) == [float(n) for n in range(1, len(names) + 1)]
    plan = gigacast.plan(url, **OPTIONS).plan
    assert (plan.tasks, plan.orphans) == ([], [])
    # By its name each partition is read alone.
    partitions = [p.name.partition for p in discover([f"year=2024/month=01/{n}" for n in names])]
    assert len(set(partitions)) == len(names)
    assert all(len(gigacast.read_forecasts(url, partitions=[p])) == 3 for p in partitions)


def test_the_second_of_two_equal_outputs_gets_the_other_key(tmp_path: Path) -> None:
    write(tmp_path, "x.csv", 1.0)
    url = f"file://{tmp_path}"
    gigacast.forecast(url, **OPTIONS)
    write(tmp_path, "x.csv.parquet", 2.0)  # takes the key that its name always had
    gigacast.forecast(url, **OPTIONS)
    assert sorted(set(gigacast.read_forecasts(url)["predictions"])) == [1.0, 2.0]
    assert gigacast.plan(url, **OPTIONS).plan.tasks == []


def discover(keys: list[str]) -> list[Any]:
    objects = [ObjectMeta(key, "e", 1, 0) for key in sorted(keys)]
    return Discoverer(NamingPattern(), Selection()).discover("2024/01", objects).partitions


def test_names_and_keys_without_a_rival_stay() -> None:
    keys = ["2024/01/part-0.csv", "2024/01/part-1.parquet", "2024/01/part-2.json"]
    outputs = {p.name.partition: p.output_name for p in discover(keys)}
    assert outputs == {
        "2024/01/part-0": "2024/01/part-0.csv.parquet",
        "2024/01/part-1": "2024/01/part-1.parquet",
        "2024/01/part-2": "2024/01/part-2.json.parquet",
    }


def test_a_name_too_long_for_its_receipt_is_refused_before_anything_is_computed(
    tmp_path: Path,
) -> None:
    longest = longest_output(255)
    assert len(receipt_key("f/" + "x" * longest, "0" * 16, "e").rpartition("/")[2]) == 255
    fits, too_long = (f"{'n' * (length - 8)}.parquet" for length in (longest, longest + 1))
    write(tmp_path, fits, 1.0)
    write(tmp_path, too_long, 2.0)
    result = gigacast.forecast(f"file://{tmp_path}", **OPTIONS)
    ((task, failure),) = result.failures
    assert task.inputs[0].key.endswith(too_long)
    assert failure.error == "StorageError"
    assert f"has {longest + 1} bytes" in failure.message
    assert "\n" not in failure.message
    assert "shorter name" in str(failure.hint)
    assert result.totals.partitions == 1
    assert len(list(tmp_path.glob("forecasts/**/*.parquet"))) == 2  # with the manifest
