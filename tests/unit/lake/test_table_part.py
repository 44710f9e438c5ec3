"""Which data files of a table are which object of which month, and what makes one pending."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gigacast.errors import ConfigError, SchemaError
from gigacast.lake.table.address import TableAddress
from gigacast.lake.table.content import (
    DataFile,
    DeleteFile,
    PartValue,
    TableColumn,
    TableContent,
    find_time,
    microseconds,
)
from gigacast.lake.table.part import TableObject, objects_of

COLUMNS = (
    TableColumn("item_id", pa.string(), 1),
    TableColumn("timestamp", pa.timestamp("us"), 2),
    TableColumn("target", pa.float64(), 3),
)


def us(text: str) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000


def file(name: str, *parts: PartValue, first: str = "", last: str = "", size: int = 10) -> DataFile:
    bounds = (us(first), us(last or first)) if first else None
    return DataFile(f"/lake/t/{name}", size, 3, parts, bounds)


def month(text: str | None) -> PartValue:
    return PartValue("timestamp_month", text, is_time=True)


def divide(*files: DataFile, **options: Any) -> dict[str, TableObject]:
    columns, time = options.pop("columns", COLUMNS), options.pop("time", "timestamp")
    content = TableContent("/lake/t", columns, files, time, 0)
    address = TableAddress("delta", "/lake/t", 1, columns=options.pop("chosen", ()), **options)
    return {part.key: part for part in objects_of(content, address)}


def names(part: TableObject) -> list[str]:
    return [file.url.rpartition("/")[2] for file in part.files]


def test_files_of_a_month_are_one_object_in_the_order_of_time() -> None:
    parts = divide(
        file("late", month("2024-03"), first="2024-03-20", size=5),
        file("early", month("2024-03"), first="2024-03-01", size=7),
        file("other", month("2024-04")),
    )
    assert {key: names(part) for key, part in parts.items()} == {
        "2024/03/part-0.parquet": ["early", "late"],
        "2024/04/part-0.parquet": ["other"],
    }
    assert parts["2024/03/part-0.parquet"].size_bytes == 12


@pytest.mark.parametrize(
    ("parts", "key"),
    [
        ([PartValue("d", "2024-03-05", is_time=True)], "2024/03"),
        ([PartValue("h", "2024-03-05-23", is_time=True)], "2024/03"),
        ([PartValue("ts", "2024-03-05T10:00:00+00:00", is_time=True)], "2024/03"),
        ([PartValue("date", "2024-03-05")], "2024/03"),
        ([PartValue("month", "2024-03")], "2024/03"),
        ([PartValue("year", "2024"), PartValue("month", "3")], "2024/03"),
        (
            [PartValue("year", "2024"), PartValue("month", "03"), PartValue("day", "5")],
            "2024/03",
        ),
        ([month("2024-03"), PartValue("day", "5")], "2024/03"),
        ([month("2024-03"), PartValue("store", "a/b")], "2024/03/store=a%2Fb"),
        ([PartValue("store", None), month("2024-03")], "2024/03/store=__HIVE_DEFAULT_PARTITION__"),
        ([month("2024-03"), PartValue("lot", "2023-01")], "2024/03/lot=2023-01"),
    ],
)
def test_a_field_of_times_is_the_month_and_others_are_levels(
    parts: list[PartValue], key: str
) -> None:
    assert list(divide(file("a", *parts))) == [f"{key}/part-0.parquet"]


def test_years_and_whole_tables_are_of_the_month_of_their_newest_row() -> None:
    years = [PartValue("y", "2023", is_time=True), PartValue("y", "2024", is_time=True)]
    parts = divide(
        file("a", years[0], first="2023-01-01", last="2023-11-30"),
        file("b", years[0], first="2023-02-01", last="2023-10-01"),
        file("c", years[1], first="2024-01-01", last="2024-02-01"),
    )
    assert {key: names(part) for key, part in parts.items()} == {
        "2023/11/part-0.parquet": ["a", "b"],
        "2024/02/part-0.parquet": ["c"],
    }
    assert list(divide(file("a", first="1969-12-31"), file("b", first="1970-01-01"))) == [
        "1970/01/part-0.parquet"
    ]


def test_a_month_or_a_day_without_its_year_is_a_level() -> None:
    for name in ("month", "day"):
        parts = divide(file("a", PartValue(name, "5"), first="2024-01-01"))
        assert list(parts) == [f"2024/01/{name}=5/part-0.parquet"]
    parts = divide(
        file("a", PartValue("year", "2024"), PartValue("day", "5"), first="2024-01-01"),
        file("b", PartValue("year", "2024"), PartValue("day", "5"), first="2024-02-01"),
    )
    assert {key: names(part) for key, part in parts.items()} == {
        "2024/02/day=5/part-0.parquet": ["a", "b"]
    }


def test_a_table_cut_by_month_has_a_file_in_each_month_of_its_times() -> None:
    parts = divide(
        file("a", first="2023-12-31", last="2024-02-01"),
        file("b", first="2024-02-29"),
        by="month",
    )
    assert {key: names(part) for key, part in parts.items()} == {
        "2023/12/part-0.parquet": ["a"],
        "2024/01/part-0.parquet": ["a"],
        "2024/02/part-0.parquet": ["a", "b"],
    }
    assert parts["2024/02/part-0.parquet"].cut == (us("2024-02-01"), us("2024-03-01"))


def test_only_what_changes_an_object_changes_its_etag() -> None:
    first, second = file("a", month("2024-03")), file("b", month("2024-03"))
    mask = np.array([True, False, True])
    deletes = DeleteFile("/lake/t/d", 4, "parquet")
    etags = [
        next(iter(divide(*files).values())).etag
        for files in (
            (first, second),
            (first,),
            (replace(first, size_bytes=11), second),
            (replace(first, deletes=(deletes,)), second),
            (replace(first, deletes=(replace(deletes, size_bytes=5),)), second),
            (replace(first, mask=mask, mask_id="x"), second),
        )
    ]
    assert len(set(etags)) == len(etags)
    renamed = (replace(COLUMNS[0], name="id"), *COLUMNS[1:])
    wider = (*COLUMNS, TableColumn("price", pa.float64(), 4))
    key = "2024/03/part-0.parquet"
    assert divide(second, first)[key].etag == etags[0]
    assert divide(first, second, columns=renamed)[key].etag != etags[0]
    assert divide(first, second, columns=wider)[key].etag != etags[0]
    narrow = divide(first, second, columns=wider, chosen=("item_id", "timestamp", "target"))
    assert narrow[key].etag == etags[0]


def test_a_copy_of_a_table_has_the_same_etags() -> None:
    original = TableContent("/lake/t", COLUMNS, (file("a", month("2024-03")),), None, 0)
    copy = replace(
        original, location="s3://b/t", files=(replace(original.files[0], url="s3://b/t/a"),)
    )
    address = TableAddress("delta", "/lake/t", 1)
    assert objects_of(original, address)[0].etag == objects_of(copy, address)[0].etag


def test_what_does_not_say_its_month_is_refused() -> None:
    with pytest.raises(SchemaError, match="no column is the only one of times"):
        divide(file("a"), time=None)
    with pytest.raises(SchemaError, match="first and last 'timestamp' of /lake/t/a are unknown"):
        divide(file("a"))
    with pytest.raises(SchemaError, match="partitioned in 2 ways, by nothing and by timestamp_mon"):
        divide(file("a", month("2024-03")), file("b", first="2024-03-01"))


def test_rows_without_a_time_are_in_no_partition_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert list(divide(file("a", month("2024-03")), file("b", month(None)))) == [
        "2024/03/part-0.parquet"
    ]
    assert "3 rows have no time" in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "delta:///data/sales",
        "delta://s3://bucket/sales?version=12&by=month&time=ts&columns=a%2Cb,c%3Fd,e f",
        "iceberg://lake/ns.a.sales?snapshot=8120938120398123&columns=x",
        "iceberg://lake/ns.sales?ref=audit",
        "delta:///data/sales?as_of=2026-01-31T12:00:00%2B00:00",
    ],
)
def test_an_address_comes_back_as_it_is(url: str) -> None:
    address = TableAddress.parse(url)
    assert TableAddress.parse(address.url) == address
    assert TableAddress.parse(address.pinned(3).url) == address.pinned(3)


def test_columns_of_an_address_may_hold_any_character() -> None:
    address = TableAddress("delta", "/a", columns=("a,b", "c&d=1", "e+f", "g%h"))
    assert TableAddress.parse(address.url) == address
    with pytest.raises(ConfigError, match="is not known"):
        TableAddress.parse("delta:///a?columnss=a")


def test_the_time_column_is_the_only_one_of_its_type() -> None:
    times = {"day": pa.date32(), "ts": pa.timestamp("us"), "id": pa.string()}
    assert find_time(times, None) == "ts"
    assert find_time({"day": pa.date32()}, None) == "day"
    assert find_time({**times, "made": pa.timestamp("ns")}, None) is None
    assert find_time(times, "made") == "made"


def test_microseconds_are_rounded_down() -> None:
    assert microseconds(pa.array([-1, 1_999], pa.timestamp("ns"))).to_pylist() == [-1, 1]
    assert microseconds(pa.array([1], pa.date32())).to_pylist() == [86_400_000_000]
    assert microseconds(pa.array([2], pa.timestamp("s", "UTC"))).to_pylist() == [2_000_000]
