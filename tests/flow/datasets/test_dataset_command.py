"""`gigacast data ...` as people use it: import, publish, look, check, clear away."""

import io
import json
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.cli.program import run
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.bars import bars

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    (tmp_path / "bucket").mkdir()
    monkeypatch.chdir(tmp_path)
    bars(100).to_csv(tmp_path / "bars.csv", index=False)
    return open_store(StoreAddress(f"file://{tmp_path}/bucket"))


def command(bucket: Store, *words: str) -> int:
    return run(["data", *words, "--bucket", bucket.address.url])


def output_of(bucket: Store, capsys: Capture, *words: str, code: int = 0) -> str:
    capsys.readouterr()
    assert command(bucket, *words) == code
    streams = capsys.readouterr()
    return streams.out + streams.err


def json_of(bucket: Store, capsys: Capture, *words: str, code: int = 0) -> object:
    return json.loads(output_of(bucket, capsys, *words, "--json", code=code))


@pytest.fixture
def filled(bucket: Store) -> Store:
    """A bucket with a snapshot, and two versions of what was made from it."""
    assert command(bucket, "import", "bars.csv", "raw/MES/2024-01-15") == 0
    publish_words = [
        "publish",
        "raw/MES",
        "cleaned/MES",
        "--schema",
        "ohlcv",
        "--partition_by",
        "date",
    ]
    assert command(bucket, *publish_words) == 0
    later = bars(50, start="2024-02-01", seed=1)
    later.to_parquet("later.parquet", index=False)
    append = ["publish", "later.parquet", "cleaned/MES", "--append", "--what", "February"]
    assert command(bucket, *append, "--schema", "ohlcv", "--partition_by", "date") == 0
    return bucket


def test_a_csv_is_imported_and_published_as_a_version(filled: Store, capsys: Capture) -> None:
    versions = json_of(filled, capsys, "versions")
    assert [(v["dataset"], v["version"], v["rows"], v["changelog"]) for v in versions] == [  # type: ignore[union-attr, index, call-overload]
        ("raw/MES", "2024-01-15", 100, "imported from bars.csv"),
        ("cleaned/MES", "v1", 100, "first version"),
        ("cleaned/MES", "v1.1", 150, "February"),
    ]
    shown = output_of(filled, capsys, "versions", "cleaned/MES")
    assert "v1.1" in shown
    assert "February" in shown


def test_the_same_import_again_changes_nothing_and_other_content_is_refused(
    filled: Store, capsys: Capture
) -> None:
    shown = output_of(filled, capsys, "import", "bars.csv", "raw/MES/2024-01-15")
    assert shown == "there already, unchanged: raw/MES/2024-01-15: 100 rows in 1 files\n"
    shown = output_of(filled, capsys, "import", "later.parquet", "raw/MES/2024-01-15", code=2)
    assert "was published on" in shown
    assert "import it under another day" in shown


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


def test_a_broken_contract_is_shown_rule_by_rule(filled: Store, capsys: Capture) -> None:
    assert "keeps the contract ohlcv: 150 rows" in output_of(
        filled, capsys, "validate", "cleaned/MES"
    )
    frame = bars(20)
    frame.loc[3, "high"] = 1.0
    frame.to_csv("bad.csv", index=False)
    shown = output_of(filled, capsys, "validate", "bad.csv", "--schema", "ohlcv", code=1)
    assert "high >= low" in shown
    assert "1 of 20 rows break a rule" in shown
    report = json_of(filled, capsys, "validate", "bad.csv", "--schema", "ohlcv", code=1)
    assert report["violations"][0]["sample"][0]["row"] == 3  # type: ignore[index, call-overload]
    assert "without a contract" in output_of(filled, capsys, "validate", "raw/MES", code=2)


def test_a_contract_is_inferred_edited_and_enforced(filled: Store, capsys: Capture) -> None:
    assert command(filled, "infer", "bars.csv", "--output", "mine.yaml") == 0
    text = Path("mine.yaml").read_text(encoding="utf-8")
    assert "- high >= low" in text
    assert "ordered_by:\n- timestamp" in text
    assert command(filled, "validate", "bars.csv", "--schema", "mine.yaml") == 0
    Path("mine.yaml").write_text(
        text.replace("high >= low", "high >= low + 1000"), encoding="utf-8"
    )
    assert command(filled, "validate", "bars.csv", "--schema", "mine.yaml") == 1
    Path("mine.yaml").write_text("columns: [", encoding="utf-8")
    assert "mine.yaml: not valid YAML" in output_of(
        filled, capsys, "validate", "bars.csv", "--schema", "mine.yaml", code=2
    )


def test_drift_is_listed_field_by_field(filled: Store, capsys: Capture) -> None:
    frame = pd.read_parquet("later.parquet").assign(trades=1)
    frame.to_parquet("more.parquet", index=False)
    assert command(filled, "publish", "more.parquet", "cleaned/v2/MES") == 0
    shown = output_of(filled, capsys, "diff", "cleaned/v1/MES", "cleaned/v2/MES")
    assert shown.splitlines() == [
        "cleaned/v1/MES: 100 rows in 1 files",
        "cleaned/v2/MES: 50 rows in 1 files",
        "minor  timestamp: widened (timestamp[ms] -> timestamp[us])",  # as CSV gave it
        "minor  trades: added (None -> int64)",
    ]
    nothing = output_of(filled, capsys, "diff", "cleaned/v2/MES", "cleaned/v2/MES")
    assert "no column" in nothing
    grown = json_of(filled, capsys, "diff", "cleaned/v1/MES", "cleaned/MES")
    assert isinstance(grown, dict)
    assert grown["old"] == {"dataset": "cleaned/v1/MES", "rows": 100, "files": 1}
    assert grown["new"]["rows"] == 50


def write_panel(path: str) -> None:
    """Two symbols, one after the other, of three months each."""
    times = pd.date_range("2024-01-01", periods=180, freq="12h")
    rows = [bars(180, seed=n).assign(timestamp=times, symbol=s) for n, s in enumerate("AB")]
    pd.concat(rows).to_parquet(path, index=False)


def test_order_is_checked_within_each_file_and_uniqueness_across_all(
    bucket: Store, capsys: Capture
) -> None:
    Path("mine.yaml").write_text(
        "name: mine\ncolumns:\n- {name: timestamp, type: timestamp}\n"
        "- {name: symbol, type: string}\nunique: [[timestamp, symbol]]\n"
        "ordered_by: [symbol, timestamp]\n",
        encoding="utf-8",
    )
    flags = ["--schema", "mine.yaml", "--partition_by", "month"]
    write_panel("panel.parquet")
    assert command(bucket, "publish", "panel.parquet", "cleaned/PB", *flags) == 0
    assert command(bucket, "validate", "cleaned/PB") == 0
    assert command(bucket, "import", "panel.parquet", "raw/PA", "--partition_by", "month") == 0
    assert command(bucket, "publish", "raw/PA", "cleaned/PA", *flags) == 0
    assert command(bucket, "validate", "cleaned/PA") == 0
    publish_words = ["publish", "raw/PA", "cleaned/PC", "--schema", "mine.yaml"]
    assert "ordered" in output_of(
        bucket, capsys, *publish_words, code=2
    )  # three months end in one file
    Path("two").mkdir()
    for name in ("a", "b"):
        write_panel(f"two/{name}.parquet")
    shown = output_of(bucket, capsys, "validate", "two", "--schema", "mine.yaml", code=1)
    assert "unique" in shown
    assert "ordered" not in shown


def test_rows_out_of_order_in_a_file_are_refused_and_counted(
    bucket: Store, capsys: Capture
) -> None:
    frame = bars(100)
    frame.iloc[[10, 20]] = frame.iloc[[20, 10]].to_numpy()
    frame.to_parquet("back.parquet", index=False)
    publish_words = ["publish", "back.parquet", "cleaned/MES", "--schema", "ohlcv"]
    published = output_of(bucket, capsys, *publish_words, code=2)
    report = json_of(bucket, capsys, "validate", "back.parquet", "--schema", "ohlcv", code=1)
    assert isinstance(report, dict)
    (violation,) = [v for v in report["violations"] if v["rule"] == "ordered"]
    assert violation["count"] == 10
    assert "ordered" in published
    assert "10 rows" in published


@pytest.mark.parametrize("flags", [[], ["--schema", "ohlcv"]])
def test_the_same_append_again_publishes_nothing(
    filled: Store, capsys: Capture, flags: list[str]
) -> None:
    append = ["publish", "later.parquet", "cleaned/MES", "--append", "--partition_by", "date"]
    assert "unchanged: cleaned/v1.1/MES: 150 rows" in output_of(filled, capsys, *append, *flags)
    assert len(json_of(filled, capsys, "versions", "cleaned/MES")) == 2  # type: ignore[arg-type]


def test_the_key_and_order_of_a_column_with_a_wrong_type_are_not_checked(
    bucket: Store, capsys: Capture
) -> None:
    frame = bars(100).assign(symbol="MES")
    frame.assign(timestamp=frame.timestamp.astype(str)).to_parquet("text.parquet", index=False)
    report = json_of(bucket, capsys, "validate", "text.parquet", "--schema", "ohlcv", code=1)
    assert isinstance(report, dict)
    assert [(v["column"], v["rule"]) for v in report["violations"]] == [("timestamp", "type")]
    frame.drop(columns="timestamp").to_parquet("none.parquet", index=False)
    report = json_of(bucket, capsys, "validate", "none.parquet", "--schema", "ohlcv", code=1)
    assert isinstance(report, dict)
    assert [v["column"] for v in report["violations"]] == ["timestamp"]


def test_an_inferred_contract_is_reported_with_its_path(bucket: Store, capsys: Capture) -> None:
    shown = output_of(bucket, capsys, "infer", "bars.csv", "--output", "mine.yaml")
    assert "wrote mine.yaml: the contract 'bars'" in shown


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
    assert "which versions?" in output_of(filled, capsys, "retire", "cleaned/MES", code=2)
    assert command(filled, "validate", "cleaned/MES") == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["describe", "cleaned/v9/MES"], "is not published; there are: v1, v1.1"),
        (["describe", "cleaned/XYZ"], "no dataset 'XYZ' in cleaned/; there are: MES"),
        (["describe", "elsewhere/XYZ"], "is not a dataset"),
        (["publish", "nothing", "cleaned/MES"], "neither a local file nor a dataset"),
        (["import", "nothing.csv", "raw/X"], "nothing.csv: there is no such file"),
        (["import", "bars.csv", "raw/X/monday"], "'monday' is not a day"),
        (["publish", "bars.csv", "cleaned/vX/Y"], "'vX' is not a version"),
        (["validate", "bars.csv", "--schema", "mine"], "there is no file mine"),
        (["lineage", "cleaned/v1/nobody"], "neither a dataset nor an object"),
        (["versions", "cleaned/nobody"], "no dataset 'nobody'"),
    ],
)
def test_wrong_usage_ends_with_one_clear_line(
    filled: Store, capsys: Capture, words: list[str], message: str
) -> None:
    shown = output_of(filled, capsys, *words, code=2)
    assert message in shown
    assert "Traceback" not in shown


def test_a_missing_time_column_is_refused(bucket: Store, capsys: Capture) -> None:
    words = ["import", "bars.csv", "raw/MES/2024-01-15", "--time_column", "when"]
    shown = output_of(bucket, capsys, *words, code=2)
    assert "there is no time column 'when'" in shown
    assert "timestamp" in shown


def test_a_version_published_from_a_dataset_keeps_its_contract(
    filled: Store, capsys: Capture
) -> None:
    assert command(filled, "publish", "cleaned/MES", "cleaned/COPY") == 0
    assert "OHLCV" in output_of(filled, capsys, "describe", "cleaned/COPY").upper()
    bars(5).assign(high=0.0).to_parquet("bad.parquet", index=False)
    shown = output_of(filled, capsys, "publish", "bad.parquet", "cleaned/COPY", "--append", code=2)
    assert "high >=" in shown


def test_files_of_a_folder_may_have_their_columns_in_any_order(
    bucket: Store, capsys: Capture, tmp_path: Path
) -> None:
    (tmp_path / "two").mkdir()
    frame = bars(20)
    frame[:10].to_parquet("two/1.parquet", index=False)
    frame[10:][frame.columns[::-1]].to_parquet("two/2.parquet", index=False)
    assert command(bucket, "import", "two", "raw/MES/2024-01-15") == 0
    assert command(bucket, "import", "bars.csv", "raw/MES/2024-01-16") == 0
    capsys.readouterr()
    drift = output_of(bucket, capsys, "describe", "raw/MES/2024-01-15")
    assert "20 in 1 files" in drift
    frame[:5].assign(more=1).to_parquet("two/3.parquet", index=False)
    shown = output_of(bucket, capsys, "import", "two", "raw/MES/2024-01-17", code=2)
    assert "has other columns" in shown


def test_a_csv_with_another_encoding_or_separator_is_refused(
    bucket: Store, capsys: Capture
) -> None:
    Path("latin.csv").write_bytes("timestamp,city\n2024-01-01,Zürich\n".encode("latin-1"))
    assert "'city' is not UTF-8" in output_of(
        bucket, capsys, "import", "latin.csv", "raw/A", code=2
    )
    Path("german.csv").write_text("timestamp;value\n2024-01-01;1\n")
    shown = output_of(bucket, capsys, "import", "german.csv", "raw/A", code=2)
    assert "separated by ';'" in shown
    assert "no datasets" in output_of(bucket, capsys, "versions")


def test_an_append_without_rows_changes_nothing(bucket: Store, capsys: Capture) -> None:
    Path("one.csv").write_text("timestamp,v\n2024-01-01,1\n")
    Path("header.csv").write_text("timestamp,v,w\n")
    assert command(bucket, "publish", "one.csv", "cleaned/A") == 0
    shown = output_of(bucket, capsys, "publish", "header.csv", "cleaned/A", "--append")
    assert shown == "there already, unchanged: cleaned/v1/A: 1 rows in 1 files\n"


def test_a_header_alone_is_a_warning_and_no_version(bucket: Store, capsys: Capture) -> None:
    Path("header.csv").write_text("timestamp,item_id,value\n")
    assert command(bucket, "import", "header.csv", "raw/A/2024-01-15") == 0
    assert "no rows" in output_of(bucket, capsys, "quality", "raw/A")
    assert "nothing published" in output_of(bucket, capsys, "clean", "raw/A", "cleaned/A", code=1)


def test_a_version_published_without_the_contract_of_its_parent_is_warned_of(
    filled: Store, capsys: Capture
) -> None:
    bars(5).assign(high=0.0).to_parquet("bad.parquet", index=False)
    shown = output_of(filled, capsys, "publish", "bad.parquet", "cleaned/MES")
    assert "was held to the contract 'ohlcv', cleaned/v1.1.1/MES is not: give --schema" in shown


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


def test_without_a_bucket_the_lake_is_the_working_folder(
    bucket: Store, capsys: Capture, tmp_path: Path
) -> None:
    assert run(["data", "versions"]) == 0
    assert "no datasets under" in capsys.readouterr().out
    assert run(["data", "import", "bars.csv", "raw/MES/2024-01-15"]) == 0
    assert (tmp_path / "raw/MES/2024-01-15/manifest.json").is_file()
    assert run(["data"]) == 0


def test_versions_are_published_from_raw_files_without_a_manifest(
    bucket: Store, capsys: Capture
) -> None:
    bars(30).to_parquet("mine.parquet", index=False)
    bucket.put("raw/ES/2024-01-15/mine.parquet", Path("mine.parquet").read_bytes())
    assert command(bucket, "publish", "raw/ES/2024-01-15", "cleaned/ES", "--schema", "ohlcv") == 0
    made_from = json_of(bucket, capsys, "describe", "cleaned/ES")["dependencies"]  # type: ignore[index, call-overload]
    assert [source["key"] for source in made_from] == ["raw/ES/2024-01-15/mine.parquet"]
    bucket.put("raw/ES/2024-01-16/PUBLISHING", b"{}")
    bucket.put("raw/ES/2024-01-16/half.parquet", Path("mine.parquet").read_bytes())
    half = output_of(bucket, capsys, "publish", "raw/ES/2024-01-16", "cleaned/ES", code=2)
    assert "unfinished" in half


def test_an_append_keeps_the_contract_of_the_version_before(bucket: Store, capsys: Capture) -> None:
    bars(50).to_parquet("one.parquet", index=False)
    bars(50, start="2024-03-01").assign(low=1e6).to_parquet("bad.parquet", index=False)
    bars(50, start="2024-04-01").to_parquet("two.parquet", index=False)
    assert command(bucket, "publish", "one.parquet", "cleaned/A", "--schema", "ohlcv") == 0
    refused = output_of(bucket, capsys, "publish", "bad.parquet", "cleaned/A", "--append", code=2)
    assert "low" in refused
    assert command(bucket, "publish", "two.parquet", "cleaned/A", "--append") == 0
    assert "ohlcv" in output_of(bucket, capsys, "validate", "cleaned/A")
    assert len(json_of(bucket, capsys, "versions", "cleaned/A")) == 2  # type: ignore[arg-type]


def test_integers_that_no_float_represents_are_not_widened(bucket: Store, capsys: Capture) -> None:
    pd.DataFrame({"id": [2**53 + 1]}).to_parquet("one.parquet", index=False)
    pd.DataFrame({"id": [0.5]}).to_parquet("two.parquet", index=False)
    assert command(bucket, "publish", "one.parquet", "cleaned/B") == 0
    refused = output_of(bucket, capsys, "publish", "two.parquet", "cleaned/B", "--append", code=2)
    assert "9007199254740993" in refused
    assert len(json_of(bucket, capsys, "versions", "cleaned/B")) == 1  # type: ignore[arg-type]


@pytest.mark.parametrize("unit", [1, 1000, 10**9])
def test_numbers_are_not_coerced_to_times_without_a_unit(
    bucket: Store, capsys: Capture, unit: int
) -> None:
    Path("c.yaml").write_text("name: c\ncolumns:\n- {name: timestamp, type: timestamp}\n", "utf-8")
    frame = pd.DataFrame({"timestamp": [1_704_067_200 * unit], "close": [1.0]})
    frame.to_parquet("epoch.parquet", index=False)
    coerced = ["--schema", "c.yaml", "--mode", "coerce"]
    refused = output_of(bucket, capsys, "publish", "epoch.parquet", "cleaned/E", *coerced, code=2)
    assert "timestamp" in refused
    assert "int64" in refused


def test_a_file_with_one_name_twice_or_in_another_encoding_is_refused(
    bucket: Store, capsys: Capture
) -> None:
    Path("twice.csv").write_text("a,b,a\n1,2,3\n", encoding="utf-8")
    Path("latin.csv").write_bytes("größe,b\n1,2\n".encode("latin-1"))
    for name, message in (("twice", "more than one column is called 'a'"), ("latin", "UTF-8")):
        for words in (["import", f"{name}.csv", "raw/D"], ["infer", f"{name}.csv"]):
            capsys.readouterr()
            assert command(bucket, *words) in {1, 2}
            assert message in capsys.readouterr().err


def test_quiet_commands_still_name_skipped_data(bucket: Store, capsys: Capture) -> None:
    frame = bars(50).assign(timestamp="never")
    frame.to_parquet("times.parquet", index=False)
    assert command(bucket, "import", "times.parquet", "raw/T") == 0
    for words in (["clean", "raw/T", "cleaned/T"], ["quality", "raw/T"]):
        capsys.readouterr()
        assert command(bucket, *words, "--quiet") == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "set aside: " in printed.err


@pytest.mark.parametrize("mode", ["strict", "coerce"])
def test_text_columns_of_a_contract_are_read_from_csv_unchanged(
    bucket: Store, capsys: Capture, mode: str
) -> None:
    Path("c.yaml").write_text(
        "name: c\ncolumns:\n- {name: symbol, type: string}\n- {name: close, type: float64}\n",
        encoding="utf-8",
    )
    Path("bars.csv").write_text("symbol,close\n007,1.5\n008,2\nTRUE,3\n", encoding="utf-8")
    flags = ["--schema", "c.yaml", "--mode", mode]
    assert command(bucket, "validate", "bars.csv", *flags) == 0
    assert command(bucket, "import", "bars.csv", "raw/S", *flags) == 0
    (key,) = (m.key for page in bucket.list("raw/") for m in page if m.key.endswith(".parquet"))
    assert pd.read_parquet(io.BytesIO(bucket.get(key)))["symbol"].tolist() == ["007", "008", "TRUE"]
