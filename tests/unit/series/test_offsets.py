"""Offsets from UTC in some timestamps only are noticed wherever the others are."""

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gigacast
from gigacast.errors import SchemaError
from gigacast.series.timestamp import OffsetGuard
from tests.unit.series.reading import moment, parquet, reader_of


def rows(offset: str, start: int, kind: pa.DataType | None = None) -> pa.Table:
    hours = [moment("2024-01-01") + timedelta(hours=start + hour) for hour in range(20)]
    times = pa.array([hour.isoformat() + offset for hour in hours]).cast(kind or pa.string())
    values = [float(hour) for hour in range(20)]
    return pa.table({"item_id": ["a"] * 20, "timestamp": times, "target": values})


ZONED, BARE = rows("+02:00", 0), rows("", 20)
MIXED = "have an offset from UTC, such as '2024-01-01T00:00:00\\+02:00', and others.* have none"


@pytest.mark.parametrize("kind", [pa.large_string(), pa.binary()])
@pytest.mark.parametrize("order", [1, -1])
def test_row_groups_and_parts_with_and_without_an_offset_are_refused(
    kind: pa.DataType, order: int
) -> None:
    tables = [rows("+02:00", 0, kind), rows("", 20, kind)][::order]
    grouped = parquet(pa.concat_tables(tables), row_group_size=20)
    with pytest.raises(SchemaError, match=MIXED):
        list(reader_of(grouped))
    with pytest.raises(SchemaError, match=MIXED):
        list(reader_of(*map(parquet, tables)))
    assert len(list(reader_of(parquet(tables[0]), parquet(tables[0])))) == 1


def test_chunks_of_a_frame_with_and_without_an_offset_are_refused() -> None:
    with pytest.raises(SchemaError, match=MIXED):
        gigacast.forecast(pa.concat_tables([ZONED, BARE]), model="seasonal-naive", horizon=2)


def test_files_of_a_load_with_and_without_an_offset_are_refused(tmp_path: Path) -> None:
    for month, table in (("01", ZONED), ("02", BARE)):
        (tmp_path / "2024" / month).mkdir(parents=True)
        pq.write_table(table, tmp_path / "2024" / month / "part-0.parquet")
    config = tmp_path / "loader.yaml"
    config.write_text(f"parquet_loader: {{data_paths: {{root_dir: '{tmp_path}'}}}}\n")
    loader = gigacast.ParquetDataLoader(config)
    with pytest.raises(SchemaError, match=MIXED):
        loader.load_training_data("part-0", year=2024)


def test_texts_that_are_no_times_say_nothing_of_offsets() -> None:
    guard = OffsetGuard()
    guard.check(pa.array([None, "unknown", "2024-01-01"]), "one")
    guard.check(pa.array(["n/a +02:00", None]), "two")
    guard.check(pa.array(["2024-01-02"]).dictionary_encode(), "three")
    guard.check(pa.array([1, 2]), "four")
    with pytest.raises(SchemaError, match=r"six: some .* and others in one have none"):
        guard.check(pa.array(["2024-01-01T00:00Z"]), "six")
