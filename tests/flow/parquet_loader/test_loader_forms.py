"""Ids and targets of the loader have the types of the forecasts."""

import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gigacast
from gigacast.errors import SchemaError
from tests.support.ticks import write_config

NAMES = [uuid.UUID(int=2), uuid.UUID(int=1)]
ROWS = [0, 1, 0, 1]


def load(root: Path, **columns: Any) -> pa.Table:
    days = pa.array([1, 1, 2, 2], pa.int64()).cast(pa.timestamp("s"))
    table = pa.table({"item_id": ["b", "a", "b", "a"], "ds": days, "y": [1, 2, 3, 4]} | columns)
    (root / "2024/01").mkdir(parents=True)
    pq.write_table(table, root / "2024/01/part-0.parquet")
    loader = gigacast.ParquetDataLoader(write_config(root / "loader.yaml", f"file://{root}"))
    chunks = loader.iterate_training_data("part-0", year=2024)
    complete = loader.load_training_data("part-0", year=2024).table
    assert pa.concat_tables([chunk.table for chunk in chunks]).equals(complete)
    return complete


@pytest.mark.parametrize(
    "ids",
    [
        pa.array(["b", "a", "b", "a"]).dictionary_encode(),
        pa.array(["b", "a", "b", "a"], pa.string_view()),
        pa.array([b"b", b"a", b"b", b"a"]),
        pa.ExtensionArray.from_storage(pa.json_(), pa.array(["b", "a", "b", "a"])),
    ],
    ids=["dictionary", "views", "bytes", "JSON"],
)
def test_ids_of_any_form_are_texts_in_order(ids: pa.Array, tmp_path: Path) -> None:
    loaded = load(tmp_path, item_id=ids)
    assert loaded["item_id"].to_pylist() == ["a", "a", "b", "b"]
    assert loaded["y"].to_pylist() == [2, 4, 1, 3]


def test_uuids_are_texts(tmp_path: Path) -> None:
    stored = pa.array([NAMES[row].bytes for row in ROWS], pa.binary(16))
    loaded = load(tmp_path, item_id=pa.ExtensionArray.from_storage(pa.uuid(), stored))
    assert loaded["item_id"].to_pylist() == [str(name) for name in sorted(NAMES) for _ in "12"]


def test_targets_of_a_dictionary_are_numbers(tmp_path: Path) -> None:
    values = pa.array([1.0, 0.0, 1.0, None]).dictionary_encode()
    assert load(tmp_path, y=values)["y"].to_pylist() == [0, None, 1, 1]


def test_a_file_without_a_single_id_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="no row has an item id: column 'item_id'"):
        load(tmp_path, item_id=pa.nulls(4, pa.string()))
