"""`ParquetDataLoader` on a folder and on S3: the same files, the same rows."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gigacast.errors import (
    ConfigError,
    CorruptedFileError,
    DataNotFoundError,
    InputChangedError,
)
from gigacast.parquet_loader import ParquetDataLoader, SchemaValidationError
from gigacast.storage.store import Store
from tests.flow.parquet_loader.loaders import YEAR, loader_of
from tests.support.ticks import fill, key_of, month_table, parquet

Make = Callable[..., ParquetDataLoader]


def close_of(year: int, month: int, rows: range) -> list[float]:
    """What a month's file holds in `target_close`."""
    return [((year - 2000) * 12 + month) * 1000.0 + row for row in rows]


# -- training --------------------------------------------------------------------------------------


def test_training_data_has_the_rows_of_the_files_ordered_by_time(
    store: Store, tmp_path: Path
) -> None:
    fill(store, [(2014, 2), (2014, 1), (2015, 1)])
    loader = loader_of(store, tmp_path)
    data = loader.load_training_data(
        "SYMBOL", year=2014, target_columns=["target_close"], feature_columns=["feature_1"]
    )
    assert data.table.schema.names == ["ds", "target_close", "feature_1"]
    expected = close_of(2014, 1, range(60)) + close_of(2014, 2, range(60))
    assert data.table["target_close"].to_pylist() == expected
    assert data.table["feature_1"].to_pylist() == [value + 0.25 for value in expected]
    assert data.table["ds"][60].as_py() == datetime(2014, 2, 1)  # noqa: DTZ001 - as stored
    assert (data.symbol, data.stats.rows, len(data.files)) == ("SYMBOL", 120, 2)


def test_chunks_hold_the_same_rows_and_stay_small(folder: Store, tmp_path: Path) -> None:
    fill(folder, YEAR[:3], rows=100)
    loader = loader_of(folder, tmp_path, "processing: {chunk_size: 30}")
    chunks = list(loader.iterate_training_data("SYMBOL", 2014))
    assert max(map(len, chunks)) == 30
    full_load = loader.load_training_data("SYMBOL", 2014)
    assert pa.concat_tables([chunk.table for chunk in chunks]).equals(full_load.table)


def test_rows_beyond_the_memory_limit_are_refused_and_read_in_chunks(
    folder: Store, tmp_path: Path
) -> None:
    folder.put(key_of(2014, 1), parquet(month_table(2014, 1, 20_000, step="s")))
    loader = loader_of(folder, tmp_path, "performance: {memory_limit: 256KB}")
    with pytest.raises(ConfigError, match=r"performance\.memory_limit"):
        loader.load_training_data("SYMBOL", 2014)
    chunks = list(loader.iterate_training_data("SYMBOL", 2014))
    assert sum(map(len, chunks)) == 20_000
    assert max(chunk.table.nbytes for chunk in chunks) <= 64 << 10


def test_a_feature_younger_than_the_first_file_is_missing_there(
    folder: Store, tmp_path: Path
) -> None:
    folder.put(key_of(2014, 1), parquet(month_table(2014, 1, 2).drop(["feature_1"])))
    folder.put(key_of(2014, 2), parquet(month_table(2014, 2, 2)))
    data = loader_of(folder, tmp_path).load_training_data(
        "SYMBOL", 2014, feature_columns=["feature_1"]
    )
    assert data.table["feature_1"].is_null().to_pylist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"target_columns": ["target_nothing"]}, "target_nothing"),
        ({"feature_columns": ["feature_9"]}, "feature_9"),
    ],
)
def test_a_column_that_is_in_no_file_is_named(
    folder: Store, tmp_path: Path, options: dict[str, list[str]], named: str
) -> None:
    fill(folder, [(2014, 1)], rows=2)
    with pytest.raises(SchemaValidationError, match=named):
        loader_of(folder, tmp_path).load_training_data("SYMBOL", 2014, **options)  # type: ignore[arg-type]


def test_a_target_that_one_file_lacks_names_that_file(folder: Store, tmp_path: Path) -> None:
    fill(folder, [(2014, 1)], rows=2)
    folder.put(key_of(2014, 2), parquet(month_table(2014, 2, 2).drop(["target_close"])))
    with pytest.raises(SchemaValidationError, match=r"2014/02/.*target_close"):
        loader_of(folder, tmp_path).load_training_data(
            "SYMBOL", 2014, target_columns=["target_close"]
        )


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not parquet at all" * 9])
def test_a_file_that_is_no_parquet_is_named(folder: Store, tmp_path: Path, content: bytes) -> None:
    fill(folder, [(2014, 1)], rows=2)
    folder.put(key_of(2014, 2), content)
    with pytest.raises(CorruptedFileError, match="2014/02/SYMBOL"):
        loader_of(folder, tmp_path).load_training_data("SYMBOL", 2014)


def test_files_without_rows_are_skipped(folder: Store, tmp_path: Path) -> None:
    folder.put(key_of(2014, 1), parquet(month_table(2014, 1, 0)))
    loader = loader_of(folder, tmp_path)
    with pytest.raises(DataNotFoundError, match="no rows in 1 file, such as"):
        loader.load_training_data("SYMBOL", 2014)
    fill(folder, [(2014, 2)], rows=3)
    assert len(loader.load_training_data("SYMBOL", 2014)) == 3


def test_empty_selections_and_several_timeframes_are_refused(folder: Store, tmp_path: Path) -> None:
    fill(folder, [(2014, 1)], rows=2)
    loader = loader_of(folder, tmp_path)
    with pytest.raises(DataNotFoundError, match="No files found for NOBODY"):
        loader.load_training_data("NOBODY", 2014)
    folder.put(key_of(2014, 1, timeframe="5min"), parquet(month_table(2014, 1, 2)))
    with pytest.raises(ConfigError, match="files of several series match"):
        loader.load_training_data("SYMBOL", 2014)
    assert len(loader.load_training_data("SYMBOL", 2014, timeframes=["5min"])) == 2
    assert len(loader.load_training_data("SYMBOL_1min_h15", 2014)) == 2


def test_json_without_a_parquet_beside_it_is_read_as_data(folder: Store, tmp_path: Path) -> None:
    table = month_table(2014, 1, 3)
    folder.put(key_of(2014, 1, ending="json"), json.dumps(table.to_pylist()).encode())
    fill(folder, [(2014, 2)], rows=2)
    loader = loader_of(folder, tmp_path)
    data = loader.load_training_data("SYMBOL", 2014, target_columns=["target_close"])
    assert [file.extension for file in data.files] == ["json", "parquet"]
    expected = close_of(2014, 1, range(3)) + close_of(2014, 2, range(2))
    assert data.table["target_close"].to_pylist() == expected


def test_a_panel_is_ordered_by_item_and_time(folder: Store, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    times = np.tile(np.arange("2014-01-01", "2014-01-05", dtype="M8[D]").astype("M8[us]"), 3)
    ids = np.repeat(["a", "b", "c"], 4)
    order = rng.permutation(12)
    table = pa.table({"item_id": ids, "timestamp": times, "target": np.arange(12.0)}).take(order)
    folder.put("2014/01/part-0.parquet", parquet(table))
    data = loader_of(folder, tmp_path).load_training_data("part-0", 2014)
    assert data.table["target"].to_pylist() == list(np.arange(12.0))
    context = loader_of(folder, tmp_path).load_prediction_data("part-0", 2014, 1, 2)
    assert context.table["target"].to_pylist() == [2, 3, 6, 7, 10, 11]


def test_a_file_replaced_after_discovery_is_never_read(
    folder: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(folder, [(2014, 1)], rows=2)
    loader = loader_of(folder, tmp_path)
    files = loader.discover_files("SYMBOL", 2014)
    fill(folder, [(2014, 1)], rows=3)
    monkeypatch.setattr(loader, "discover_files", lambda *_: files)
    with pytest.raises(InputChangedError, match="discover the files again"):
        loader.load_training_data("SYMBOL", 2014)


# -- contexts and what is new ----------------------------------------------------------------------


@pytest.mark.parametrize("text", [True, False])
def test_a_context_reads_as_many_earlier_months_as_it_needs(
    store: Store, tmp_path: Path, text: bool
) -> None:
    fill(store, [(2013, 12), (2014, 1), (2014, 2)], text=text)
    loader = loader_of(store, tmp_path)
    context = loader.load_prediction_data(
        "SYMBOL", 2014, 2, context_length=130, target_columns=["target_close"]
    )
    expected = close_of(2013, 12, range(50, 60))
    expected += close_of(2014, 1, range(60)) + close_of(2014, 2, range(60))
    assert context.table["target_close"].to_pylist() == expected
    assert not context.fell_back
    short = loader.load_prediction_data("SYMBOL", 2014, 2, context_length=25)
    assert short.table["target_close"].to_pylist() == close_of(2014, 2, range(35, 60))
    assert short.stats.row_groups_skipped == 1
    assert short.contexts(10).shape == (2, 10)


def test_a_month_without_a_file_falls_back_to_the_one_before(folder: Store, tmp_path: Path) -> None:
    fill(folder, [(2014, 11), (2014, 12)])
    loader = loader_of(folder, tmp_path)
    context = loader.load_prediction_data("SYMBOL", 2015, 1, context_length=5)
    assert context.fell_back
    assert context.table["target_close"].to_pylist() == close_of(2014, 12, range(55, 60))
    assert not loader.load_prediction_data("SYMBOL", 2014, context_length=5).fell_back
    assert loader.load_prediction_data("SYMBOL", 2015, context_length=5).fell_back
    with pytest.raises(DataNotFoundError, match="No prediction files found for SYMBOL"):
        loader.load_prediction_data("SYMBOL", 2015, 2, context_length=5)


def test_an_incomplete_context_reports_the_missing_rows(folder: Store, tmp_path: Path) -> None:
    fill(folder, [(2014, 1)], rows=10)
    loader = loader_of(folder, tmp_path)
    full_load = loader.load_prediction_data("SYMBOL", 2014, 1, context_length=10)
    assert loader.validate_context_completeness(full_load)
    assert loader.context_problems(full_load, 11) == ["10 rows of the 11 requested"]
    holey = month_table(2014, 1, 10).filter(pa.array([i not in {4, 5} for i in range(10)]))
    column = [None, *holey["target_close"].to_pylist()[1:]]
    holey = holey.set_column(1, "target_close", pa.array(column))
    folder.put(key_of(2014, 1), parquet(holey))
    broken = loader.load_prediction_data("SYMBOL", 2014, 1, target_columns=["target_close"])
    assert not loader.validate_context_completeness(broken)
    assert loader.context_problems(broken) == [
        "1 missing value of target_close",
        "2 steps without a row",
    ]
    assert loader.context_problems(broken, max_gaps=2) == ["1 missing value of target_close"]


@pytest.mark.parametrize("text", [True, False])
def test_only_rows_after_a_moment_are_loaded(store: Store, tmp_path: Path, text: bool) -> None:
    fill(store, [(2013, 12), (2014, 1), (2014, 2)], text=text)
    loader = loader_of(store, tmp_path)
    since = datetime(2014, 1, 1, 0, 49)  # noqa: DTZ001 - as stored
    new = loader.load_incremental_data("SYMBOL", since, target_columns=["target_close"])
    expected = close_of(2014, 1, range(50, 60)) + close_of(2014, 2, range(60))
    assert new.table["target_close"].to_pylist() == expected
    assert new.last_timestamp == datetime(2014, 2, 1, 0, 59)  # noqa: DTZ001
    # All of December (its file may be of another zone), and the first two groups of January.
    assert new.stats.row_groups_skipped == 3 + 2
    zoned = loader.load_incremental_data(
        "SYMBOL", since.replace(tzinfo=UTC), target_columns=["target_close"]
    )
    assert zoned.table.equals(new.table)
    again = loader.load_incremental_data("SYMBOL", new.last_timestamp)
    assert (len(again), again.last_timestamp) == (0, new.last_timestamp)
    later = datetime(2014, 4, 2)  # noqa: DTZ001 - the last file ends long before
    none = loader.load_incremental_data("SYMBOL", later)
    assert (len(none), none.last_timestamp) == (0, later)
    assert none.table.schema.names == again.table.schema.names
    with pytest.raises(DataNotFoundError):
        loader.load_incremental_data("NOBODY", later)


def test_a_single_name_is_a_list_and_times_may_be_text(folder: Store, tmp_path: Path) -> None:
    fill(folder, [(2014, 1), (2014, 2)], rows=5)
    loader = loader_of(folder, tmp_path)
    assert len(loader.discover_files("SYMBOL", 2014, timeframes="1min")) == 2
    data = loader.load_training_data(
        "SYMBOL", 2014, target_columns="target_close", feature_columns="feature_1"
    )
    assert data.table.schema.names == ["ds", "target_close", "feature_1"]
    for since in ("2014-02-01T00:02", datetime(2014, 2, 1, 0, 2)):  # noqa: DTZ001 - as stored
        assert len(loader.load_incremental_data("SYMBOL", since)) == 2
    assert len(loader.load_incremental_data("SYMBOL", date(2014, 2, 1))) == 4
    assert len(loader.load_incremental_data("SYMBOL", datetime.min)) == 10  # noqa: DTZ901
    for wrong in ("yesterday", 2014):
        with pytest.raises(ConfigError, match="last_timestamp"):
            loader.load_incremental_data("SYMBOL", wrong)  # type: ignore[arg-type]


def test_merging_keeps_the_newer_of_two_rows_of_one_time(folder: Store, tmp_path: Path) -> None:
    fill(folder, [(2014, 1)], rows=4)
    loader = loader_of(folder, tmp_path)
    old = loader.load_training_data("SYMBOL", 2014, target_columns=["target_close"])
    changed = month_table(2014, 1, 6)
    changed = changed.set_column(1, "target_close", pa.array([0.0, 1, 2, 3, 4, 5]))
    folder.put(key_of(2014, 1), parquet(changed))
    since = datetime(2014, 1, 1, 0, 1)  # noqa: DTZ001
    new = loader.load_incremental_data("SYMBOL", since, target_columns=["target_close"])
    merged = loader.merge_incremental_data(old, new)
    assert merged.table["target_close"].to_pylist() == [*close_of(2014, 1, range(2)), 2, 3, 4, 5]
    assert loader.merge_incremental_data(merged, new).table.equals(merged.table)
    volatility = loader.load_training_data("SYMBOL", 2014, target_columns=["target_volatility"])
    with pytest.raises(SchemaValidationError, match="the columns differ"):
        loader.merge_incremental_data(old, volatility)


def test_splits_are_made_by_time_and_contain_every_row(folder: Store, tmp_path: Path) -> None:
    fill(folder, YEAR[:2], rows=50)
    loader = loader_of(folder, tmp_path)
    data = loader.load_training_data("SYMBOL", 2014)
    train, validation = loader.create_splits(data, validation_split=0.2, time_based_split=True)
    assert (len(train), len(validation)) == (80, 20)
    assert train.times.max() < validation.times.min()
    parts = loader.create_splits(data, 0.2, test_split=0.1)
    assert [len(part) for part in parts] == [70, 20, 10]
    assert pa.concat_tables([part.table for part in parts]).equals(data.table)
    with pytest.raises(ConfigError, match="random"):
        loader.create_splits(data, time_based_split=False)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        loader.create_splits(data, 1.0)


def test_quality_is_measured_and_compared_with_its_limits(folder: Store, tmp_path: Path) -> None:
    table = month_table(2014, 1, 20)
    closes = pa.array([None] * 6 + table["target_close"].to_pylist()[6:])
    table = table.set_column(1, "target_close", closes).filter(
        pa.array([row not in {10, 11} for row in range(20)])
    )
    folder.put(key_of(2014, 1), parquet(pa.concat_tables([table, table.slice(0, 1)])))
    loader = loader_of(folder, tmp_path)
    data = loader.load_training_data("SYMBOL", 2014, target_columns=["target_close"])
    report = loader.validate_data_quality(data, max_gaps=0.01)
    assert not report.is_valid
    assert report.issues == (
        "36.8% of target_close is missing (over 0.2)",
        "1 repeated row (over 0)",
        "no row at 2 of 21 steps (over 0.01)",
    )
    allowed = {"max_missing": 0.5, "max_duplicates": 0.1}
    assert loader.validate_data_quality(data, **allowed).is_valid
    nothing = loader.load_incremental_data("SYMBOL", datetime(2014, 1, 31))  # noqa: DTZ001
    assert loader.validate_data_quality(nothing).issues == ("there are no rows",)
