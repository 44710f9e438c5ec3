"""`gigacast data` on versions: describing, appending, lineage and retirement."""

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.storage.store import Store
from tests.flow.datasets.command.calls import Capture, command, json_of, output_of


def test_describe_shows_the_metadata_of_a_version(filled: Store, capsys: Capture) -> None:
    shown = output_of(filled, capsys, "describe", "cleaned/MES")
    for text in (
        "cleaned/v1.1/MES",
        "150 in 2 files",
        "ohlcv v1",
        "2024-02-01T00:49:00",
        "Changelog",
    ):
        assert text in shown
    description = json_of(filled, capsys, "describe", "cleaned/v1/MES")
    assert description["dependencies"][0]["dataset"] == "raw/MES/2024-01-15"  # type: ignore[index, call-overload]
    key = description["files"][0]["key"]  # type: ignore[index, call-overload]
    assert "100 rows" in output_of(filled, capsys, "describe", key)


def test_lineage_goes_back_to_the_file_that_was_imported(filled: Store, capsys: Capture) -> None:
    shown = output_of(filled, capsys, "lineage", "cleaned/v1.1/MES")
    assert "raw/MES/2024-01-15/part-00000.parquet" in shown
    assert "bars.csv" in shown
    assert "appended to" in shown
    down = json_of(filled, capsys, "lineage", "raw/MES/2024-01-15")
    assert {product["name"] for product in down["products"]} == {
        "cleaned/v1/MES",
        "cleaned/v1.1/MES",
    }  # type: ignore[index, call-overload]


@pytest.mark.parametrize("flags", [[], ["--schema", "ohlcv"]])
def test_the_same_append_again_publishes_nothing(
    filled: Store, capsys: Capture, flags: list[str]
) -> None:
    append = ["publish", "later.parquet", "cleaned/MES", "--append", "--partition_by", "date"]
    assert "unchanged: cleaned/v1.1/MES: 150 rows" in output_of(filled, capsys, *append, *flags)
    assert len(json_of(filled, capsys, "versions", "cleaned/MES")) == 2  # type: ignore[arg-type]


def test_versions_are_deprecated_and_are_retired_after_a_preview(
    filled: Store, capsys: Capture
) -> None:
    assert command(filled, "deprecate", "cleaned/v1/MES", "--why", "old", "--instead", "v1.1") == 0
    assert "old" in output_of(filled, capsys, "describe", "cleaned/v1/MES")
    shown = output_of(filled, capsys, "retire", "cleaned/MES", "--deprecated")
    assert "would delete cleaned/v1/MES" in shown
    assert "stays, shared: cleaned/v1/MES/date=2024-01-15/part-00000.parquet" in shown
    assert len(json_of(filled, capsys, "versions", "cleaned/MES")) == 2  # type: ignore[arg-type]
    assert "deleted" in output_of(filled, capsys, "retire", "cleaned/v1/MES", "--yes")
    versions = json_of(filled, capsys, "versions", "cleaned/MES")
    assert [(v["version"], v["state"]) for v in versions] == [
        ("v1", "retired"),
        ("v1.1", "published"),
    ]  # type: ignore[union-attr, index, call-overload]
    assert "was retired" in output_of(
        filled, capsys, "publish", "bars.csv", "cleaned/v1/MES", code=2
    )
    assert "no version is named" in output_of(filled, capsys, "retire", "cleaned/MES", code=2)
    assert command(filled, "validate", "cleaned/MES") == 0


def test_an_append_without_rows_changes_nothing(bucket: Store, capsys: Capture) -> None:
    Path("one.csv").write_text("timestamp,v\n2024-01-01,1\n")
    Path("header.csv").write_text("timestamp,v,w\n")
    assert command(bucket, "publish", "one.csv", "cleaned/A") == 0
    shown = output_of(bucket, capsys, "publish", "header.csv", "cleaned/A", "--append")
    assert shown == "there already, unchanged: cleaned/v1/A: 1 row in 1 file\n"


def test_a_dataset_published_to_raw_is_a_dated_snapshot(filled: Store, capsys: Capture) -> None:
    assert command(filled, "publish", "cleaned/MES", "raw/COPY") == 0
    versions = json_of(filled, capsys, "versions", "raw/COPY")
    assert date.fromisoformat(versions[0]["version"])  # type: ignore[index]


def test_a_broken_manifest_is_left_out_of_the_lineage_of_others(
    filled: Store, capsys: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    assert command(filled, "import", "bars.csv", "cleaned/OTHER") == 0
    filled.put("cleaned/v1/OTHER/manifest.json", b"{")
    assert "cleaned/v1/MES" in output_of(filled, capsys, "lineage", "raw/MES")
    assert "cleaned/v1/OTHER is left out of the lineage" in caplog.text


def test_a_column_of_days_can_be_partitioned_by_date(bucket: Store, capsys: Capture) -> None:
    days = pd.DataFrame({"Date": pd.date_range("2024-01-20", periods=20).date, "v": range(20)})
    days.to_csv("days.csv", index=False)
    words = ["import", "days.csv", "raw/D/2024-03-01", "--partition_by", "month"]
    assert command(bucket, *words) == 0
    shown = output_of(bucket, capsys, "describe", "raw/D")
    assert "year=2024/month=01/" in shown
    assert "year=2024/month=02/" in shown
    assert "time      2024-01-20 to 2024-02-08" in shown


def test_lists_structs_and_half_floats_are_described(bucket: Store, capsys: Capture) -> None:
    table = pa.table(
        {
            "timestamp": pa.array(range(4), pa.int64()).cast(pa.timestamp("us")),
            "half": pa.array(np.array([1, -2, 3, 4], np.float16)),
            "parts": [[1, None], None, [], [2]],
        }
    )
    pq.write_table(table, "odd.parquet")
    assert command(bucket, "import", "odd.parquet", "cleaned/ODD") == 0
    description = json_of(bucket, capsys, "describe", "cleaned/ODD")
    columns = {c["name"]: c for c in description["schema"]["columns"]}  # type: ignore[index, call-overload]
    assert columns["parts"]["null_count"] == 1
    assert description["quality"]["completeness_percentage"] == pytest.approx(
        100 * 11 / 12, abs=1e-3
    )  # type: ignore[index, call-overload]
    inferred = output_of(bucket, capsys, "infer", "odd.parquet")
    assert "without parts" in inferred
    assert "halffloat" in inferred
    Path("odd.yaml").write_text(inferred.partition("\nwritten")[0])
    assert command(bucket, "validate", "odd.parquet", "--schema", "odd.yaml") == 0
    file = output_of(bucket, capsys, "describe", "cleaned/v1/ODD/part-00000.parquet")
    assert "-2.0" in file
