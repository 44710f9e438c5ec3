"""Partitions of CSV are measured and cleaned as the same rows of Parquet are."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gigacast.cli.program import run

Capture = pytest.CaptureFixture[str]
FLAGS = ["--item_columns", "store,sku", "--freq", "D"]


def sales() -> pd.DataFrame:
    """Return two stores, with a gap, a missing value, a repeated row and an outlier."""
    days = pd.date_range("2024-01-01", periods=40)
    parts = [
        pd.DataFrame({"store": store, "sku": "1.10", "timestamp": days, "target": values})
        for store, values in (
            ("007", np.arange(40) % 7 + 0.5),
            ("7", np.where(np.arange(40) == 20, 1e4, np.arange(40) % 5 + 1000.25)),
        )
    ]
    frame = pd.concat(parts, ignore_index=True).drop(index=[5, 6])
    frame.loc[12, "target"] = np.nan
    return pd.concat([frame, frame.iloc[[3]]], ignore_index=True)


def german(frame: pd.DataFrame) -> bytes:
    text = frame.to_csv(index=False, sep=";", decimal=",", date_format="%d.%m.%Y")
    return text.encode("cp1252")


def write(folder: Path, form: str) -> list[str]:
    month = folder / form / "2024" / "01"
    month.mkdir(parents=True)
    if form == "csv":
        (month / "part-0.csv").write_bytes(german(sales()))
    else:
        sales().to_parquet(month / "part-0.parquet", index=False)
    return ["--bucket", f"file://{folder}/{form}"]


def measured(place: list[str], capsys: Capture, *flags: str) -> dict[str, object]:
    capsys.readouterr()
    run(["data", "quality", *place, *FLAGS, *flags, "--json"])
    (partition,) = json.loads(capsys.readouterr().out)["partitions"]
    partition["shares"].pop("stale_hours")  # the clock goes on between two runs
    return dict(partition)


@pytest.mark.parametrize("flags", [[], ["--csv_separator", ";", "--csv_decimal", ","]])
def test_csv_has_the_figures_of_the_same_rows_in_parquet(
    flags: list[str], tmp_path: Path, capsys: Capture
) -> None:
    own = measured(write(tmp_path, "csv"), capsys, *flags)
    expected = measured(write(tmp_path, "parquet"), capsys)
    assert own == expected
    assert own["verdict"] == "warn"


def test_a_csv_with_two_meanings_is_set_aside_with_the_flag_that_decides(
    tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "2024" / "01" / "part-0.csv"
    path.parent.mkdir(parents=True)
    path.write_text("store;sku;timestamp;target\n1;2;2024-01-01;1.234\n1;2;2024-01-02;1.235\n")
    place = ["--bucket", f"file://{tmp_path}"]
    assert run(["data", "quality", *place, *FLAGS]) == 1
    assert "1.234" in capsys.readouterr().out
    assert run(["data", "quality", *place, *FLAGS, "--csv_decimal", "."]) == 0


def test_csv_is_cleaned_into_parquet_with_its_ids_as_text(tmp_path: Path) -> None:
    place = write(tmp_path, "csv")
    limits = ["--fail", "gaps=never", "--fail", "outliers=never"]
    assert run(["data", "clean", "partitions", "cleaned/SALES", *place, *FLAGS, *limits]) == 0
    (path,) = (tmp_path / "csv" / "cleaning").rglob("*.parquet")
    cleaned = pd.read_parquet(path)
    assert set(cleaned["store"]) == {"007", "7"}
    assert set(cleaned["sku"]) == {"1.10"}
    assert cleaned["target"].max() == 1e4
    assert len(cleaned) == 78
    manifest = next((tmp_path / "csv" / "cleaned").rglob("manifest.json"))
    (file,) = json.loads(manifest.read_text())["files"]
    assert file["path"] == "2024/01/part-0.parquet"
