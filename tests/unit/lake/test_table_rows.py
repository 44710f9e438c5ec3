"""The rows of a table's partition: of which months, which are deleted, under which names."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.errors import CorruptedFileError, SchemaError
from gigacast.lake.table.content import DataFile, TableColumn, TableContent
from gigacast.lake.table.part import TableObject
from gigacast.lake.table.place import TablePlaces
from gigacast.lake.table.rows import RowReader, groups_within

DAY = 86_400_000_000
COLUMNS = (TableColumn("n", pa.int64(), "n"), TableColumn("ts", pa.timestamp("us"), "ts"))


def write(folder: Path, rows: pa.Table, **options: Any) -> DataFile:
    path = folder / "a.parquet"
    pq.write_table(rows, path, **options)
    return DataFile(str(path), path.stat().st_size, rows.num_rows)


def read(folder: Path, file: DataFile, columns: Any = COLUMNS, cut: Any = None) -> dict[str, Any]:
    reader = RowReader(TableContent(str(folder), COLUMNS, (file,), "ts", 0), TablePlaces())
    part = TableObject("k", "e", file.size_bytes, (file,), columns, cut)
    batches = list(reader.batches(part))
    return pa.Table.from_batches(batches, reader.schema(part)).to_pydict()


def days(*numbers: int) -> pa.Table:
    times = pa.array([DAY * number for number in numbers], pa.timestamp("us"))
    return pa.table({"n": pa.array(numbers), "ts": times})


@pytest.mark.parametrize("group_rows", [1, 2, 5])
@pytest.mark.parametrize("has_deleted", [False, True])
def test_rows_of_a_month_are_those_of_the_slow_oracle(
    tmp_path: Path, group_rows: int, has_deleted: bool
) -> None:
    numbers = [0, 40, 10, 31, 30, 59, 58, 60]
    mask = np.array([True, True, False, True, True, False, True, True])
    file = write(tmp_path, days(*numbers), row_group_size=group_rows)
    if has_deleted:
        file = DataFile(file.url, file.size_bytes, file.rows, mask=mask)
    remaining = [n for n, stays in zip(numbers, mask, strict=True) if stays or not has_deleted]
    assert read(tmp_path, file)["n"] == remaining
    for first, stop in ((0, 31), (31, 60), (60, 91), (91, 120)):
        expected = [n for n in remaining if first <= n < stop]
        assert read(tmp_path, file, cut=(first * DAY, stop * DAY))["n"] == expected


def test_row_groups_of_other_months_are_not_read(tmp_path: Path) -> None:
    file = write(tmp_path, days(0, 1, 40, 41, 1, 40), row_group_size=2)
    metadata = pq.read_metadata(file.url)
    assert groups_within(metadata, "ts", (0, 31 * DAY)) == [0, 2]
    assert groups_within(metadata, "ts", (31 * DAY, 60 * DAY)) == [1, 2]
    write(tmp_path, days(0, 40), row_group_size=1, write_statistics=False)
    assert groups_within(pq.read_metadata(file.url), "ts", (0, DAY)) == [0, 1]


def test_missing_columns_are_null_or_constant_and_others_are_widened(tmp_path: Path) -> None:
    file = write(tmp_path, pa.table({"n": pa.array([1, 2], pa.int32()), "old": ["x", "y"]}))
    file = DataFile(file.url, file.size_bytes, 2, constants={"level": "a"})
    columns = (
        *(COLUMNS[0], TableColumn("added", pa.float64(), "added")),
        *(TableColumn("level", pa.string(), "level"), TableColumn("new", pa.string(), "old")),
    )
    assert read(tmp_path, file, columns) == {
        "n": [1, 2],
        "added": [None, None],
        "level": ["a", "a"],
        "new": ["x", "y"],
    }
    only_added = (columns[1],)
    assert read(tmp_path, file, only_added) == {"added": [None, None]}


def test_what_would_be_another_number_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, days(0, 1))
    default = TableColumn("price", pa.float64(), "price", has_default=True)
    with pytest.raises(SchemaError, match="default value is not null"):
        read(tmp_path, file, (*COLUMNS, default))
    with pytest.raises(SchemaError, match="cannot be read as int32"):
        read(tmp_path, file, (TableColumn("t", pa.int32(), "ts"),))
    with pytest.raises(CorruptedFileError, match="2 rows, 3 by its table"):
        read(tmp_path, DataFile(file.url, file.size_bytes, 3))
    with pytest.raises(CorruptedFileError, match="by its table"):
        read(tmp_path, DataFile(file.url, file.size_bytes + 1, 2))


def test_a_table_in_a_bucket_may_not_name_files_of_this_machine() -> None:
    from gigacast.lake.table.address import TableAddress
    from gigacast.lake.table.opening import check_reach

    address = TableAddress("delta", "s3://bucket/t", 1)
    for url in ("/etc/secret.parquet", "file:///etc/secret.parquet", "file:/etc/secret.parquet"):
        content = TableContent("s3://bucket/t", COLUMNS, (DataFile(url, 1, 1),), "ts", 0)
        with pytest.raises(SchemaError, match="a file of this machine"):
            check_reach(content, address)
