"""Files as they should not be: each is refused by name, whichever way it is loaded, or passed over
where that is right. Nothing is ever left out in silence."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from gigacast.errors import CorruptedFileError, DataNotFoundError, GigacastError, SchemaError
from gigacast.parquet_loader import LoadedDataset, ParquetDataLoader
from gigacast.storage.store import Store
from tests.support.ticks import fill, folder_store, key_of, month_table, parquet, write_config

GOOD = parquet(month_table(2014, 2, 50), write_page_checksum=True, use_dictionary=False)
ROWS = month_table(2014, 2, 5)
Load = Callable[[ParquetDataLoader], list[LoadedDataset]]
JANUARY = datetime(2014, 1, 1)  # noqa: DTZ001 - as stored

WAYS: dict[str, Load] = {
    "training": lambda loader: [loader.load_training_data("SYMBOL", 2014)],
    "chunks": lambda loader: list(loader.iterate_training_data("SYMBOL", 2014)),
    "prediction": lambda loader: [loader.load_prediction_data("SYMBOL", 2014, 2, 3)],
    "incremental": lambda loader: [loader.load_incremental_data("SYMBOL", JANUARY)],
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A folder with two good rows in January."""
    store = folder_store(tmp_path / "lake")
    fill(store, [(2014, 1)], rows=2)
    return store


def loader_of(store: Store, tmp_path: Path, more: str = "") -> ParquetDataLoader:
    schema = "schema: {datetime_column: ds, target_columns: [target_close]}\n"
    return ParquetDataLoader(write_config(tmp_path / "l.yaml", store.address.url, schema + more))


def changed(name: str, values: object) -> pa.Table:
    return ROWS.set_column(ROWS.column_names.index(name), name, pa.array(values))


def flipped(content: bytes, first: int, last: int) -> bytes:
    return content[:first] + bytes(b ^ 0xFF for b in content[first:last]) + content[last:]


CORRUPTED = {
    "empty": b"",
    "truncated in its pages": GOOD[: len(GOOD) // 2],
    "truncated in its footer": GOOD[:-8],
    "its end alone": GOOD[-500:],
    "text": b"ds,target_close\n2014-02-01,1\n",
    "magic alone": b"PAR1" * 3,
    "damaged in its footer": flipped(GOOD, len(GOOD) - 300, len(GOOD) - 8),
    "damaged in its first page": flipped(GOOD, 60, 90),
    "encrypted": b"PARE" + GOOD[4:-4] + b"PARE",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("content", CORRUPTED.values(), ids=CORRUPTED)
def test_a_damaged_parquet_file_is_named(
    store: Store, tmp_path: Path, content: bytes, way: str
) -> None:
    store.put(key_of(2014, 2), content)
    with pytest.raises(
        CorruptedFileError, match=r"2014/02/SYMBOL.*is not readable Parquet"
    ) as caught:
        WAYS[way](loader_of(store, tmp_path))
    assert caught.value.hint


@pytest.mark.parametrize("place", range(0, len(GOOD), 331))
def test_damage_raises_an_error_of_this_package_or_is_not_read(
    store: Store, tmp_path: Path, place: int
) -> None:
    store.put(key_of(2014, 2), flipped(GOOD, place, place + 40))
    loader = loader_of(store, tmp_path)
    result = error = None
    try:
        result = loader.load_training_data("SYMBOL", 2014)
    except GigacastError as raised:
        error = raised
    if result is None:
        assert "2014/02/SYMBOL" in str(error) or "SYMBOL (2 files)" in str(error)
        return
    # What was damaged is not read: another column's pages, or a gap.
    closes = result.table["target_close"].to_pylist()[2:]
    assert closes == [170_000.0 + row for row in range(50)]


OTHER_COLUMNS = {
    "none of them": (pa.table({"a": [1], "b": ["x"]}), r"no column 'ds', 'target_close'"),
    "no target": (ROWS.drop(["target_close"]), "no column 'target_close'"),
    "no time": (ROWS.drop(["ds"]), "no column 'ds'"),
    "a target of text": (changed("target_close", ["a"] * 5), "of type string and holds no numbers"),
    "a target of truths": (changed("target_close", [True] * 5), "of type bool and holds no number"),
    "lists": (changed("target_close", [[1.0]] * 5), "holds no numbers|a list for each series"),
    "times that are none": (changed("ds", ["soon"] * 5), "no row of 5 has a readable time"),
    "no times at all": (changed("ds", pa.nulls(5, pa.string())), "no row of 5 has a readable time"),
    "a column twice": (
        pa.Table.from_arrays(
            [ROWS["ds"], *[ROWS["target_close"]] * 2], ["ds", *["target_close"] * 2]
        ),
        "'target_close' comes twice",
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("table", "message"), OTHER_COLUMNS.values(), ids=OTHER_COLUMNS)
def test_a_file_with_other_columns_is_refused_and_not_skipped(
    store: Store, tmp_path: Path, table: pa.Table, message: str, way: str
) -> None:
    store.put(key_of(2014, 2), parquet(table))
    expected = message
    if way == "prediction":  # the only file that is looked at: nobody else has other columns
        expected += "|no timestamp column|there is no column|recognised|unusable type"
    with pytest.raises(SchemaError, match=expected) as caught:
        WAYS[way](loader_of(store, tmp_path))
    assert "2014/02/" in str(caught.value)


@pytest.mark.parametrize("way", ["training", "chunks", "incremental"])
def test_a_column_whose_types_have_no_common_type_is_named(
    store: Store, tmp_path: Path, way: str
) -> None:
    store.put(key_of(2014, 2), parquet(changed("feature_1", ["a"] * 5)))
    columns = "target_columns: [target_close], feature_columns: [feature_1]"
    schema = f"schema: {{datetime_column: ds, {columns}}}"
    loader = ParquetDataLoader(write_config(tmp_path / "l.yaml", store.address.url, schema))
    with pytest.raises(SchemaError, match=r"'feature_1' is double in one file and string"):
        WAYS[way](loader)


@pytest.mark.parametrize("way", ["training", "chunks"])
@pytest.mark.parametrize(
    "changes",
    [
        {"target_close": [1, 2, 3, 4, 5]},
        {"target_close": pa.array([1, 2, 3, 4, 5], pa.float32())},
        {"target_close": pa.nulls(5)},
        {"ds": month_table(2014, 2, 5, text=False)["ds"].combine_chunks()},
        {"ds": [1391212800 + 60 * row for row in range(5)]},
        {"ds": month_table(2014, 2, 5, text=False)["ds"].cast(pa.timestamp("ms", "UTC"))},
    ],
    ids=["integers", "float32", "null", "timestamps", "seconds", "zoned"],
)
def test_compatible_types_are_read_as_one_type(
    store: Store, tmp_path: Path, way: str, changes: dict[str, Any]
) -> None:
    table = ROWS
    for name, values in changes.items():
        column = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
        table = table.set_column(table.column_names.index(name), name, column)
    store.put(key_of(2014, 2), parquet(table))
    parts = WAYS[way](loader_of(store, tmp_path))
    rows = pa.concat_tables([part.table for part in parts])
    assert rows["target_close"].type == pa.float64()
    assert rows["ds"].to_pylist()[2:] == month_table(2014, 2, 5, text=False)["ds"].to_pylist()
    if "target_close" in changes:
        assert rows["target_close"].to_pylist()[2:] == column.cast(pa.float64()).to_pylist()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("table", [ROWS.slice(0, 0), pa.table({})], ids=["rows", "columns"])
def test_a_file_without_rows_is_skipped_and_alone_is_an_error(
    store: Store, tmp_path: Path, table: pa.Table, way: str
) -> None:
    store.put(key_of(2014, 2), parquet(table))
    parts = WAYS[way](loader_of(store, tmp_path))
    assert sum(len(part) for part in parts) == (1 if way == "incremental" else 2)
    store.delete([key_of(2014, 1), key_of(2014, 1, ending="json")])
    with pytest.raises(DataNotFoundError, match=r"no rows in 1 file|No prediction files"):
        WAYS[way](loader_of(store, tmp_path))


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (b"", CorruptedFileError, "cannot be read as json"),
        (b"{", CorruptedFileError, "cannot be read as json"),
        (b"\xff\xfe\x00", CorruptedFileError, "cannot be read as json"),
        (b"[1, 2]", CorruptedFileError, "cannot be read as json"),
        (json.dumps([{"a": 1}]).encode(), SchemaError, "SYMBOL"),
    ],
)
def test_json_without_rows_is_named(
    store: Store, tmp_path: Path, content: bytes, error: type[Exception], message: str
) -> None:
    store.put(key_of(2014, 2, ending="json"), content)
    for way in WAYS.values():
        with pytest.raises(error, match=message) as caught:
            way(loader_of(store, tmp_path))
        assert "2014/02/" in str(caught.value)


def test_one_huge_row_group_is_read_in_chunks_within_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = 400_000
    store = folder_store(tmp_path / "huge")
    table = month_table(2014, 1, rows, text=False, step="s")
    store.put(key_of(2014, 1), parquet(table, row_group_size=rows, use_dictionary=False))
    size = table.select(["ds", "target_close"]).nbytes
    del table
    loader = loader_of(store, tmp_path, "performance: {memory_limit: 1MB}")
    pool = pa.default_memory_pool()
    before, row_count, peak = pool.bytes_allocated(), 0, 0
    for chunk in loader.iterate_training_data("SYMBOL", 2014):
        row_count += len(chunk)
        peak = max(peak, pool.bytes_allocated() - before)
        del chunk
    assert row_count == rows
    # Chunks, and a compressed page of each column; the group alone would be its whole size.
    assert peak < size / 2
