"""Several objects as one partition, and objects that cannot be read."""

import io
import json

import pyarrow as pa
import pytest

from gigacast.errors import (
    ConfigError,
    CorruptedFileError,
    GigacastError,
    SchemaError,
    TransientStorageError,
)
from gigacast.series.reader import read_series
from gigacast.series.source import ReadOptions, SeriesSource
from tests.unit.series.reading import days, panel, parquet, read, reader_of, source_of

JANUARY = panel(a=(days("2024-01-01", 31), range(31)), b=(days("2024-01-01", 31), range(31)))
FEBRUARY = panel(b=(days("2024-02-01", 3), [31, 32, 33]), c=(days("2024-02-01", 3), [1, 2, 3]))


def context(table: pa.Table) -> SeriesSource:
    return source_of(table, name="2024/01/part.parquet", primary=False)


def test_earlier_months_add_context_but_no_items():
    series = read(context(JANUARY), FEBRUARY)
    assert {item: values.values for (item, _), values in series.items()} == {
        "b": tuple(range(34)),
        "c": (1, 2, 3),
    }


def test_the_order_of_the_sources_does_not_matter():
    assert read(FEBRUARY, context(JANUARY)) == read(context(JANUARY), FEBRUARY)


def test_parts_of_one_partition_add_up():
    assert read(JANUARY, FEBRUARY) == read(pa.concat_tables([JANUARY, FEBRUARY]))


def test_context_for_a_partition_without_rows_gives_nothing():
    assert read(context(JANUARY), FEBRUARY.slice(0, 0)) == {}


def test_sources_of_several_formats_may_be_mixed():
    text = "item_id,timestamp,target\n" + "\n".join(
        f"a,2024-02-0{day},{30 + day}" for day in (1, 2)
    )
    series = read(context(JANUARY), source_of(text.encode(), "csv"))
    assert series["a", "target"].values == tuple(range(33))


def test_units_of_timestamps_may_differ():
    times = FEBRUARY["timestamp"].cast(pa.timestamp("ns"))
    assert (
        read(context(JANUARY), FEBRUARY.set_column(1, "timestamp", times)).keys()
        == read(context(JANUARY), FEBRUARY).keys()
    )


@pytest.mark.parametrize(
    ("column", "replacement", "says"),
    [
        ("item_id", pa.array(range(6)), "item ids"),
        ("timestamp", pa.array(range(6)), "timestamps"),
        ("timestamp", pa.array([0] * 6, pa.timestamp("us", "Europe/Berlin")), "timestamps"),
        ("target", pa.array([[1.0]] * 6), "no timestamps|targets"),
    ],
)
def test_sources_that_disagree_are_named(column, replacement, says):
    index = FEBRUARY.column_names.index(column)
    other_source = source_of(FEBRUARY.set_column(index, column, replacement), name="other.parquet")
    if says == "no timestamps|targets":
        other_source = source_of(FEBRUARY.rename_columns({"target": "y"}), name="other.parquet")
        says = "targets"
    with pytest.raises(SchemaError, match=rf"other\.parquet.*{says}|table.*{says}.*other\.parquet"):
        read(source_of(JANUARY), other_source)


WHOLE = parquet(JANUARY, compression="none", use_dictionary=False)


@pytest.mark.parametrize(
    ("content", "fmt"),
    [
        (b"", "parquet"), (b"PAR1", "parquet"), (b"not parquet at all" * 9, "parquet"),
        (WHOLE[: len(WHOLE) // 2], "parquet"), (WHOLE[:-200] + bytes(200), "parquet"),
        (b"PAR1" + bytes(900) + WHOLE[904:], "parquet"),
        (b"", "csv"), (b"item_id,timestamp,target\na,2024-01-01\n", "csv"),
        (b"", "json"), (b'[{"item_id": ', "json"), (b"7", "json"), (b"\xff\xfe\x00", "json"),
    ],
    ids=lambda value: str(value)[:24],
)  # fmt: skip
def test_a_file_that_is_not_of_its_format_is_a_corrupted_file_error(content, fmt):
    with pytest.raises(CorruptedFileError, match=rf"2024/01/part\.{fmt}"):
        read(source_of(content, fmt))


def test_missing_columns_are_named_with_their_object():
    with pytest.raises(SchemaError, match=r"2024/01/part\.parquet: no timestamp column"):
        read(parquet(JANUARY.drop_columns("timestamp")))


@pytest.mark.parametrize(
    "table", [JANUARY.slice(0, 0), pa.table({}), pa.table({"x": pa.array([], pa.int8())})]
)
def test_objects_without_rows_give_no_series_and_no_error(table):
    assert read(parquet(table)) == read(table) == {}
    assert read(table, JANUARY) == read(JANUARY)


def test_rows_without_an_item_give_no_series_and_are_refused_if_they_are_all():
    ids = pa.array([None, *["a"] * (len(JANUARY) - 1)])
    reader = reader_of(JANUARY.set_column(0, "item_id", ids))
    assert sum(len(batch) for batch in reader) == 1
    assert reader.stats.null_items == 1
    reader = reader_of(JANUARY.set_column(0, "item_id", pa.nulls(len(JANUARY), pa.string())))
    with pytest.raises(SchemaError, match="no row has an item id: column 'item_id' is empty"):
        list(reader)


class Failing(io.BytesIO):
    """A file whose storage fails half-way."""

    def __init__(self, error: Exception) -> None:
        super().__init__(WHOLE)
        self._error = error

    def read(self, *args):
        raise self._error


@pytest.mark.parametrize("error", [TransientStorageError("throttled"), OSError(5, "disk")])
def test_errors_of_the_storage_are_not_called_corruption(error):
    source = SeriesSource(lambda: Failing(error), "parquet", "part")
    with pytest.raises(type(error)) as caught:
        list(read_series([source], ReadOptions()))
    assert not isinstance(caught.value, CorruptedFileError)
    assert isinstance(error, GigacastError) or caught.value.errno == 5


def test_files_are_closed():
    opened = []

    def opening():
        opened.append(io.BytesIO(WHOLE))
        return opened[-1]

    list(read_series([SeriesSource(opening, "parquet", "part")], ReadOptions()))
    assert opened
    assert all(file.closed for file in opened)


def test_bytes_read_are_those_of_the_files():
    reader = reader_of(WHOLE, source_of(json.dumps([]).encode(), "json"))
    list(reader)
    assert reader.stats.bytes_read == len(WHOLE)


@pytest.mark.parametrize(
    "field", ["context_length", "min_length", "batch_series", "memory_limit_bytes", "batch_rows"]
)
def test_numbers_below_one_are_refused_by_name(field):
    with pytest.raises(ConfigError, match=field):
        ReadOptions(**{field: 0})


def test_an_unknown_unit_is_refused():
    with pytest.raises(ConfigError, match="timestamp_unit"):
        ReadOptions(timestamp_unit="minutes")
