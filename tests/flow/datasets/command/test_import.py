"""`gigacast data import` and `publish`: files that are read, and those that are refused."""

import datetime as dt
import io
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from gigacast.cli.program import run
from gigacast.storage.store import Store
from tests.flow.datasets.command.calls import Capture, command, json_of, output_of
from tests.support.bars import bars


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
    assert shown == "there already, unchanged: raw/MES/2024-01-15: 100 rows in 1 file\n"
    shown = output_of(filled, capsys, "import", "later.parquet", "raw/MES/2024-01-15", code=2)
    assert "was published on" in shown
    assert "import it under another day" in shown


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
    assert "20 in 1 file" in drift
    frame[:5].assign(more=1).to_parquet("two/3.parquet", index=False)
    shown = output_of(bucket, capsys, "import", "two", "raw/MES/2024-01-17", code=2)
    assert "has other columns" in shown


def test_a_csv_of_an_unknown_form_or_with_two_meanings_is_refused(
    bucket: Store, capsys: Capture
) -> None:
    refused = {
        "cyrillic": ("timestamp,city\n2024-01-01,Москва\n".encode("cp1251"), "--csv_encoding"),
        "colons": (b"timestamp:value\n2024-01-01:1\n", "separated by ':'"),
        "number": (b"timestamp;value\n2024-01-01;1.234\n", "--csv_decimal"),
        "date": (b"timestamp,value\n01/02/2024,1\n", "--csv_dates"),
    }
    for name, (content, cause) in refused.items():
        Path(f"{name}.csv").write_bytes(content)
        assert cause in output_of(bucket, capsys, "import", f"{name}.csv", "raw/A", code=2)
    assert "no datasets" in output_of(bucket, capsys, "versions")


def imported(bucket: Store, *words: str) -> list[dict[str, Any]]:
    """Import a file or folder, and return the rows of the snapshot."""
    assert command(bucket, "import", *words[:1], "raw/A/2024-01-15", *words[1:]) == 0
    listed = (meta.key for page in bucket.list("raw/A/") for meta in page)
    files = [io.BytesIO(bucket.get(key)) for key in listed if key.endswith(".parquet")]
    return [row for file in files for row in pq.read_table(file).to_pylist()]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_a_csv_of_another_dialect_is_imported_as_the_plain_one(
    bucket: Store, encoding: str
) -> None:
    text = "item_id;timestamp;value;city\n007;31.01.2024;1.234,5;Zürich\n007;01.02.2024;7;NA\n"
    Path("german.csv").write_bytes(text.encode(encoding))
    first, second = imported(bucket, "german.csv")
    assert first == {
        "item_id": "007",
        "timestamp": dt.datetime.fromisoformat("2024-01-31"),
        "value": 1234.5,
        "city": "Zürich",
    }
    assert (second["value"], second["city"]) == (7.0, "NA")


def test_the_dialect_of_an_import_can_be_named(bucket: Store) -> None:
    Path("odd.csv").write_text("a:01/02/2024:1.234\n", encoding="utf-8")
    flags = ["--csv_separator", ":", "--csv_decimal", ",", "--csv_dates", "day_first"]
    (row,) = imported(bucket, "odd.csv", *flags, "--csv_header", "none")
    assert row == {
        "column_1": "a",
        "column_2": dt.datetime.fromisoformat("2024-02-01"),
        "column_3": 1234.0,
    }


def test_files_of_an_import_must_have_the_same_marks(bucket: Store, capsys: Capture) -> None:
    Path("two").mkdir()
    Path("two/a.csv").write_text("timestamp;value\n2024-01-01;1,5\n", encoding="utf-8")
    Path("two/b.csv").write_text("timestamp;value\n2024-01-02;2.5\n", encoding="utf-8")
    assert "b.csv: its decimal mark" in output_of(bucket, capsys, "import", "two", "raw/A", code=2)


def test_a_header_alone_is_a_warning_and_no_version(bucket: Store, capsys: Capture) -> None:
    Path("header.csv").write_text("timestamp,item_id,value\n")
    assert command(bucket, "import", "header.csv", "raw/A/2024-01-15") == 0
    assert "no rows" in output_of(bucket, capsys, "quality", "raw/A")
    assert "nothing published" in output_of(bucket, capsys, "clean", "raw/A", "cleaned/A", code=1)


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


def test_a_file_with_one_name_twice_or_in_another_encoding_is_refused(
    bucket: Store, capsys: Capture
) -> None:
    Path("twice.csv").write_text("a,b,a\n1,2,3\n", encoding="utf-8")
    Path("cyrillic.csv").write_bytes("размер,b\n1,2\n".encode("cp1251"))
    for name, message in (("twice", "more than one column is called 'a'"), ("cyrillic", "UTF-8")):
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


@pytest.mark.parametrize("flag", ["--item_columns", "--item_column"])
def test_columns_that_a_flag_names_stay_text(
    bucket: Store, capsys: Capture, tmp_path: Path, flag: str
) -> None:
    Path("shops.csv").write_text("date,shop,sales\n2024-01-01,1.10,2.50\n", encoding="utf-8")
    (row,) = imported(bucket, "shops.csv", flag, "shop")
    assert (row["shop"], row["sales"]) == ("1.10", 2.5)
    shown = output_of(bucket, capsys, "import", "shops.csv", "raw/B", flag, "shp", code=2)
    assert "there is no column 'shp'" in shown
    assert "did you mean shop?" in shown
    # Columns of the jobs in a settings file need not be in every table.
    (tmp_path / "jobs.yaml").write_text("parquet_loader:\n  schema:\n    item_id_column: sku\n")
    assert command(bucket, "import", "shops.csv", "raw/C", "--config", "jobs.yaml") == 0


def test_an_import_keeps_the_types_of_the_day_before_and_says_it(
    bucket: Store, capsys: Capture
) -> None:
    for day, text in enumerate(["7", "007"], start=15):
        Path("shops.csv").write_text(f"date,shop\n2024-01-01,{text}\n", encoding="utf-8")
        assert command(bucket, "import", "shops.csv", f"raw/B/2024-01-{day}") == 0
    assert "'007' in column 'shop' becomes a number" in capsys.readouterr().err
    (_, shop) = json_of(bucket, capsys, "describe", "raw/B/2024-01-16")["schema"]["columns"]  # type: ignore[index, call-overload]
    assert shop["type"] == "int64"
