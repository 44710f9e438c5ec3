"""The description of a local Parquet file, and its digests."""

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.core.footer import VerifiedParquet
from gigacast.errors import SchemaError
from gigacast.storage.memory import MemoryStore
from gigacast.storage.parquet.draft import DraftFile, describe_file
from gigacast.storage.parquet.writer import ParquetSink, ParquetWriter, scratch_writer
from tests.support.bars import bars

DAY = 86_400


def draft(path: Path, table: pa.Table, **metadata: str) -> DraftFile:
    writer = ParquetWriter(path, table.schema.remove_metadata())
    writer.write(table)
    file = writer.finish(metadata)
    assert file == describe_file(path)
    return file


def test_the_same_rows_have_the_same_content_whatever_the_footer_says(tmp_path: Path) -> None:
    rows, other_rows = (
        pa.Table.from_pandas(bars(1000, seed=seed), preserve_index=False) for seed in (0, 1)
    )
    first = draft(tmp_path / "a", rows, at="noon")
    again = draft(tmp_path / "b", rows, at="night")
    assert first.content == again.content != draft(tmp_path / "c", other_rows).content
    assert first.sha256 != again.sha256


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_bounds_of_times_are_those_of_the_statistics(
    tmp_path: Path, unit: str, zone: str | None
) -> None:
    steps = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    moments = pa.array([3 * DAY * steps, None, -DAY * steps], pa.int64())
    table = pa.table({"at": moments.view(pa.timestamp(unit, zone))})
    bounds = draft(tmp_path / "a", table).bounds["at"]
    statistics = pq.read_metadata(tmp_path / "a").row_group(0).column(0).statistics
    assert bounds == (statistics.min, statistics.max)
    assert all(isinstance(bound, datetime) for bound in bounds)
    assert bounds[0].strftime("%Y-%m-%d") == "1969-12-31"


def test_a_column_of_times_after_the_year_9999_has_no_bounds(
    tmp_path: Path,
) -> None:
    far = pa.array([0, 1 << 60], pa.int64()).view(pa.timestamp("us"))
    file = draft(tmp_path / "a", pa.table({"at": far, "n": pa.array([1, 2])}))
    assert file.bounds == {"n": (1, 2)}


def test_a_column_that_parquet_has_no_type_for_is_named(tmp_path: Path) -> None:
    schema = pa.schema([("n", pa.int64()), ("every", pa.month_day_nano_interval())])
    with pytest.raises(SchemaError, match=r"cannot be stored as Parquet.*interval") as caught:
        ParquetWriter(tmp_path / "a", schema)
    assert "convert the column" in str(caught.value.hint)
    writer = ParquetWriter(tmp_path / "b", pa.schema([("n", pa.int64())]))
    writer.write(pa.table({"n": ["text"]}))
    with pytest.raises(SchemaError, match="cannot be stored"):
        writer.close()


def test_an_object_and_a_local_file_of_the_same_rows_are_the_same_bytes(tmp_path: Path) -> None:
    rows = pa.Table.from_pandas(bars(1000), preserve_index=False).replace_schema_metadata(
        {"a": "1"}
    )
    store = MemoryStore("draft-bytes")
    with ParquetSink(store, "a", rows.schema, row_group_rows=300) as sink:
        sink.write(rows)
    writer = ParquetWriter(tmp_path / "a", rows.schema, "zstd", 300)
    for batch in rows.to_batches(max_chunksize=77):
        writer.write(batch)
    writer.close()
    assert store.get("a") == (tmp_path / "a").read_bytes()


def test_a_discarded_file_leaves_nothing(tmp_path: Path) -> None:
    writer = ParquetWriter(tmp_path / "a", pa.schema([("n", pa.int64())]), row_group_rows=2)
    writer.write(pa.table({"n": [1, 2, 3]}))
    writer.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_scratch_file_keeps_rows_and_is_deleted_when_its_writing_fails(tmp_path: Path) -> None:
    rows = pa.table({"n": [1, 2, None], "text": ["a", "b", "a"]})
    with scratch_writer(tmp_path / "whole", rows.schema) as writer:
        for batch in rows.to_batches(max_chunksize=2):
            writer.write(batch)
    assert VerifiedParquet(tmp_path / "whole").read().equals(rows)
    with pytest.raises(SchemaError), scratch_writer(tmp_path / "half", rows.schema) as writer:
        writer.write(pa.table({"n": ["text"]}))
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]
