"""Tables are found by their names, and their files and rows are those of the days asked for."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from gigacast.datasets import write_cleaned_data
from gigacast.errors import (
    ConfigError,
    CorruptedFileError,
    DataError,
    DataNotFoundError,
    PreconditionFailedError,
    SchemaError,
)
from gigacast.feature_store.rows import count_rows, read_rows, read_schema
from gigacast.feature_store.table import Tables
from gigacast.storage.store import StoreAddress

ROWS = {"user_id": [1, 2], "price": [1.5, None]}


def put(root: Path, path: str, rows: dict[str, list[Any]]) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(rows)
    if path.endswith(".parquet"):
        pq.write_table(table, file)
    elif path.endswith(".csv"):
        pa_csv.write_csv(table, file)
    else:
        file.write_text("\n".join(json.dumps(row) for row in table.to_pylist()))


def tables(root: Path, places: dict[str, str] | None = None) -> Tables:
    return Tables.at(StoreAddress(f"file://{root}"), places)


def rows_of(shop: Tables, name: str, columns: list[str] | None = None) -> list[dict[str, Any]]:
    table = shop.find(name)
    files = [meta for metas in table.partitions().values() for meta in metas]
    return [row for batch in read_rows(table, files, columns) for row in batch.to_pylist()]


@pytest.mark.parametrize("ending", ["parquet", "csv", "json"])
def test_a_table_is_its_files_by_day_in_every_format(tmp_path: Path, ending: str) -> None:
    put(tmp_path, f"data/purchases/ds=2024-01-02/a.{ending}", ROWS)
    put(tmp_path, f"data/purchases/ds=2024-01-01/b.{ending}", ROWS)
    (tmp_path / "data/purchases/_SUCCESS").touch()
    (tmp_path / "data/purchases/ds=2024-01-01/notes.txt").touch()
    shop = tables(tmp_path)
    partitions = shop.partitions("data.purchases")
    assert [(day, [m.key for m in files]) for day, files in partitions.items()] == [
        ("2024-01-01", [f"data/purchases/ds=2024-01-01/b.{ending}"]),
        ("2024-01-02", [f"data/purchases/ds=2024-01-02/a.{ending}"]),
    ]
    assert all(m.etag and m.size_bytes for files in partitions.values() for m in files)
    assert rows_of(shop, "data.purchases")[1:3] == [
        {"user_id": 2, "price": None, "ds": "2024-01-01"},
        {"user_id": 1, "price": 1.5, "ds": "2024-01-02"},
    ]
    table = shop.find("data.purchases")
    first = partitions["2024-01-01"][0]
    assert count_rows(table, first) == 2
    assert read_schema(table, first).names == ["user_id", "price", "ds"]


def test_sub_partitions_choose_folders(tmp_path: Path) -> None:
    put(tmp_path, "data/t/ds=2024-01-01/country=NO/a.parquet", ROWS)
    put(tmp_path, "data/t/ds=2024-01-01/country=S%20E/a.parquet", ROWS)
    shop = tables(tmp_path)
    files = shop.partitions("data.t/country=S E")["2024-01-01"]
    assert [meta.key for meta in files] == ["data/t/ds=2024-01-01/country=S%20E/a.parquet"]
    with pytest.raises(DataNotFoundError, match="in country=DK"):
        shop.partitions("data.t/country=DK")


def test_days_have_the_column_that_the_query_names(tmp_path: Path) -> None:
    put(tmp_path, "data/t/day=2024-01-01/a.parquet", ROWS)
    assert list(tables(tmp_path).partitions("data.t", "day")) == ["2024-01-01"]
    assert list(tables(tmp_path).partitions("data.t")) == [""]


@pytest.mark.parametrize("day", ["20240101", "2024-1-1", "..x", "-x", "2024-01-01T00", "yesterday"])
def test_a_folder_that_is_no_day_is_refused_by_name(tmp_path: Path, day: str) -> None:
    put(tmp_path, "data/t/ds=2024-01-01/a.parquet", ROWS)
    put(tmp_path, f"data/t/ds={day}/a.parquet", ROWS)
    with pytest.raises(DataError, match=f"the folder '{re.escape(day)}' of table data.t is no day"):
        tables(tmp_path).partitions("data.t")


def test_rows_that_hive_wrote_without_a_day_are_left_aside_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, "data/t/ds=2024-01-01/a.parquet", ROWS)
    put(tmp_path, "data/t/ds=__HIVE_DEFAULT_PARTITION__/a.parquet", ROWS)
    assert list(tables(tmp_path).partitions("data.t")) == ["2024-01-01"]
    assert "the rows in ds=__HIVE_DEFAULT_PARTITION__ have no day" in caplog.text


def test_the_setting_names_folders_files_and_datasets(tmp_path: Path) -> None:
    put(tmp_path, "elsewhere/x/ds=2024-01-01/a.parquet", ROWS)
    put(tmp_path, "one.csv", {**ROWS, "ds": ["2024-01-01", "2024-01-02"]})
    write_cleaned_data(pa.table(ROWS), tmp_path / "lake" / "cleaned" / "v1" / "users")
    put(tmp_path, "lake/moved/x/ds=2024-01-01/a.parquet", ROWS)
    places = {
        "data.relative": "moved/x",
        "data.absolute": str(tmp_path / "elsewhere" / "x"),
        "data.url": f"file://{tmp_path}/elsewhere/x/",
        "data.file": str(tmp_path / "one.csv"),
        "data.users": "cleaned/users",
    }
    shop = tables(tmp_path / "lake", places)
    for name in ("data.relative", "data.absolute", "data.url"):
        assert list(shop.partitions(name)) == ["2024-01-01"]
    assert rows_of(shop, "data.file")[0] == {"user_id": 1, "price": 1.5, "ds": "2024-01-01"}
    assert rows_of(shop, "data.users") == rows_of(shop, "cleaned/users")
    assert rows_of(shop, "cleaned/v1/users", ["user_id"]) == [{"user_id": 1}, {"user_id": 2}]
    assert list(shop.partitions(f"file://{tmp_path}/elsewhere/x")) == ["2024-01-01"]


def test_the_output_of_a_definition_is_a_table(tmp_path: Path) -> None:
    put(tmp_path, "feature_store/tables/default/team_st/ds=2024-01-01/part-0.parquet", ROWS)
    assert list(tables(tmp_path).partitions("default.team_st")) == ["2024-01-01"]
    assert list(tables(tmp_path).partitions("team_st")) == ["2024-01-01"]


@pytest.mark.parametrize("name", ["../up", "a..b", "a b", "data./etc", "", "data.t;drop"])
def test_names_that_could_leave_the_root_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="is no name of a table"):
        tables(tmp_path).find(name)


def test_a_missing_table_says_where_its_files_should_be(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"data/nothing/.*data/nothing/ds=2024-01-31/"):
        tables(tmp_path).partitions("data.nothing")
    with pytest.raises(DataNotFoundError):
        tables(tmp_path).find("cleaned/nothing")


def test_files_of_other_columns_and_damaged_ones_are_refused_by_name(tmp_path: Path) -> None:
    put(tmp_path, "data/t/ds=2024-01-01/a.parquet", ROWS)
    put(tmp_path, "data/t/ds=2024-01-02/a.parquet", {"user_id": [1], "cost": [1.0]})
    shop = tables(tmp_path)
    with pytest.raises(SchemaError, match=r"ds=2024-01-02/a\.parquet .* cost, price"):
        rows_of(shop, "data.t")
    with pytest.raises(SchemaError, match=r"ds=2024-01-02/a\.parquet has no column price"):
        rows_of(shop, "data.t", ["price"])
    (tmp_path / "data/t/ds=2024-01-02/a.parquet").unlink()
    (tmp_path / "data/t/ds=2024-01-02/a.csv").write_text("user_id,price\n1,2\n3\n")
    with pytest.raises(CorruptedFileError, match=r"a\.csv cannot be read"):
        rows_of(shop, "data.t")


def test_integers_of_a_later_file_fit_the_floats_of_the_first(tmp_path: Path) -> None:
    put(tmp_path, "data/t/ds=2024-01-01/a.csv", ROWS)
    put(tmp_path, "data/t/ds=2024-01-02/a.csv", {"price": [3], "user_id": [9]})
    assert rows_of(tables(tmp_path), "data.t")[-1] == {
        "user_id": 9,
        "price": 3.0,
        "ds": "2024-01-02",
    }


def test_a_file_that_changed_after_the_listing_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "data/t/ds=2024-01-01/a.parquet", ROWS)
    table = tables(tmp_path).find("data.t")
    files = table.partitions()["2024-01-01"]
    put(tmp_path, "data/t/ds=2024-01-01/a.parquet", {"user_id": [5], "price": [0.0]})
    with pytest.raises(PreconditionFailedError):
        list(read_rows(table, files))
