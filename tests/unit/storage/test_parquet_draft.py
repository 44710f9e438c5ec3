"""What a file says of itself when it is closed."""

from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.errors import SchemaError
from gigacast.storage.parquet.draft import DraftFile, ParquetDraft, describe_file
from tests.support.bars import bars

DAY = 86_400


def draft(path: Path, table: pa.Table, **metadata: str) -> DraftFile:
    one = ParquetDraft(path, table.schema)
    one.write(table)
    done = one.close(metadata)
    assert done == describe_file(path)
    return done


def test_the_same_rows_have_the_same_content_whatever_the_footer_says(tmp_path: Path) -> None:
    rows, others = (
        pa.Table.from_pandas(bars(1000, seed=seed), preserve_index=False) for seed in (0, 1)
    )
    first = draft(tmp_path / "a", rows, at="noon")
    again = draft(tmp_path / "b", rows, at="night")
    assert first.content == again.content != draft(tmp_path / "c", others).content
    assert first.sha256 != again.sha256


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_bounds_of_moments_are_those_that_arrow_tells(
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


def test_a_moment_that_has_no_name_in_python_leaves_its_column_without_bounds(
    tmp_path: Path,
) -> None:
    far = pa.array([0, 1 << 60], pa.int64()).view(pa.timestamp("us"))
    done = draft(tmp_path / "a", pa.table({"at": far, "n": pa.array([1, 2])}))
    assert done.bounds == {"n": (1, 2)}


def test_what_parquet_has_no_type_for_is_refused_by_name(tmp_path: Path) -> None:
    schema = pa.schema([("n", pa.int64()), ("every", pa.month_day_nano_interval())])
    with pytest.raises(SchemaError, match=r"cannot be stored as Parquet.*interval") as caught:
        ParquetDraft(tmp_path / "a", schema)
    assert "convert the column" in str(caught.value.hint)
    one = ParquetDraft(tmp_path / "b", pa.schema([("n", pa.int64())]))
    one.write(pa.table({"n": ["text"]}))
    with pytest.raises(SchemaError, match="cannot be stored"):
        one.close()
