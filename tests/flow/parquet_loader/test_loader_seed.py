"""The usage examples of the loader's design, as they are written there, on files that exist."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from gigacast import ChronosLoader, ChronosTrainer, ParquetDataLoader
from gigacast.errors import IncompleteContextError
from gigacast.parquet_loader import ConfigError, DataNotFoundError
from tests.support.ticks import fill, folder_store, key_of, month_table, parquet

NAMING = r"([A-Z]+)_([0-9]+min)_h([0-9]+)_([0-9]{4})_([0-9]{2})_([a-f0-9]+)\\.(parquet|json)$"
CONFIG = """
model:
  model_path: "seasonal-naive"
parquet_loader:
  data_paths:
    root_dir: "{root}"
    training_subdir: null
    prediction_subdir: null
    incremental_subdir: null
  file_patterns:
    parquet_extension: ".parquet"
    json_extension: ".json"
    naming_regex: "{naming}"
  directory_structure:
    year_format: "YYYY"
    month_format: "MM"
  schema:
    datetime_column: "ds"
    target_columns: ["target_close", "target_volatility"]
    feature_columns:
      commodities: ["gold_xauusd_bid"]
    timestamp_columns: []
  processing:
    null_handling: "forward_fill"
    outlier_detection: true
    outlier_method: "iqr"
    outlier_threshold: 3.0
    optimize_dtypes: true
    use_categorical: true
    chunk_size: 10000
  performance:
    use_parallel: true
    n_workers: 4
    memory_limit: "2GB"
    cache_intermediate: true
    cache_dir: "{cache}"
  idempotency:
    enabled: true
    state_file: ".processed_files.json"
    checksum_algorithm: "md5"
  audit:
    enabled: true
    log_dir: "audit_logs"
    session_timeout_hours: 24
    max_log_files: 100
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    """The design's settings file, over three years of files that end in this year and month."""
    store = folder_store(tmp_path / "lake")
    fill(store, [(year, month) for year in (2014, 2015, 2016) for month in range(1, 13)], rows=30)
    path = tmp_path / "parquet_loader_config.yaml"
    path.write_text(CONFIG.format(naming=NAMING, root=tmp_path / "lake", cache=tmp_path / "cache"))
    return str(path)


def test_basic_training_data_loading(config: str) -> None:
    loader = ParquetDataLoader(config)
    available_files = loader.discover_files(
        symbol="SYMBOL", year_range=(2014, 2016), month_range=(1, 6), timeframes=["1min"]
    )
    assert len(available_files) == 18
    session_id = loader.start_audit_session(
        symbol="SYMBOL", year_range=(2014, 2016), month_range=(1, 6)
    )
    train_dataset = loader.load_training_data(
        symbol="SYMBOL",
        year_range=(2014, 2016),
        month_range=(1, 6),
        target_columns=["target_close", "target_volatility"],
        feature_columns=["feature_1", "feature_2", "feature_3"],
    )
    named = loader.config.schema.target_columns
    assert list(named) == ["target_close", "target_volatility"]
    grouped = {"first": ["feature_1"], "rest": ["feature_2", "feature_3"]}
    again = loader.load_training_data("SYMBOL", year=2014, month=1, feature_columns=grouped)
    assert again.table.column_names == train_dataset.table.column_names
    loader.end_audit_session(session_id, "completed")
    assert len(train_dataset) == 18 * 30
    assert loader.read_audit_session(session_id).files_processed == 18
    assert train_dataset.table["target_close"].type == "float"  # optimize_dtypes

    trainer = ChronosTrainer(parquet_config_path=config)
    series = trainer.load_training_data_from_parquet(symbol="SYMBOL", year=2014)
    assert series.shape[0] == 2
    same = loader.load_training_data("SYMBOL", year=2014).contexts(65_536)  # one way in
    assert np.array_equal(series, same, equal_nan=True)

    with pytest.raises(DataNotFoundError):
        loader.load_training_data(symbol="SYMBOL", year=1999)
    with pytest.raises(ConfigError):
        ParquetDataLoader("config/nowhere.yaml")


def test_real_time_prediction_loading(config: str) -> None:
    loader = ParquetDataLoader(config)
    current_year, current_month = 2017, 1
    prediction_files = loader.discover_files(
        symbol="SYMBOL", year=current_year, month=current_month, timeframes=["1min"]
    )
    if not prediction_files:
        prev_month = current_month - 1 if current_month > 1 else 12
        prev_year = current_year if current_month > 1 else current_year - 1
        prediction_files = loader.discover_files(
            symbol="SYMBOL", year=prev_year, month=prev_month, timeframes=["1min"]
        )
    prediction_dataset = loader.load_prediction_data(
        symbol="SYMBOL",
        year=prediction_files[-1].year,
        month=prediction_files[-1].month,
        context_length=30,
    )
    prediction_dataset = loader.feature_processor.process_prediction_features(prediction_dataset)
    if not loader.validate_context_completeness(prediction_dataset):
        raise IncompleteContextError("Insufficient context data for prediction")

    chronos_loader = ChronosLoader(parquet_config_path=config)
    context = chronos_loader.load_context_from_parquet(symbol="SYMBOL", year=2016, month=12)
    assert np.array_equal(context, prediction_dataset.contexts())
    assert chronos_loader.predict(context, 5).median.shape == (2, 5)


def test_the_pattern_for_training(config: str) -> None:
    loader = ParquetDataLoader(config)
    session_id = loader.start_audit_session("SYMBOL", (2014, 2016), (1, 12))
    training_files = loader.discover_files(
        "SYMBOL", year_range=(2014, 2016), month_range=(1, 12), timeframes=["1min"]
    )
    loader.audit_logger.update_session(session_id, files_discovered=len(training_files))
    loader.mark_as_processed(training_files[0])
    loaded = None
    for file_info in training_files:
        if loader.is_already_processed(file_info):
            continue
        raw_data = loader.load_training_data("SYMBOL", year=file_info.year, month=file_info.month)
        quality_report = loader.validate_data_quality(raw_data)
        assert quality_report.is_valid, quality_report.issues
        processed_data = loader.feature_processor.process_training_features(raw_data)
        assert processed_data is raw_data  # the design's settings name no recipe
        loaded = raw_data if loaded is None else loader.merge_incremental_data(loaded, raw_data)
        loader.mark_as_processed(file_info, "completed")
    assert loaded is not None
    train_data, val_data = loader.create_splits(loaded, validation_split=0.2)
    assert len(train_data) + len(val_data) == 35 * 30
    loader.end_audit_session(session_id)
    session = loader.read_audit_session(session_id)
    assert (session.files_discovered, session.files_processed, session.files_skipped) == (36, 35, 1)
    assert all(loader.is_already_processed(file_info) for file_info in training_files)


def test_the_pattern_for_incremental_loading(config: str, tmp_path: Path) -> None:
    loader = ParquetDataLoader(config)
    existing = loader.load_training_data("SYMBOL", year=2016)
    last_timestamp = existing.times.max().item()
    assert isinstance(last_timestamp, datetime)
    folder_store(tmp_path / "lake").put(key_of(2017, 1), parquet(month_table(2017, 1, 7)))
    new_data = loader.load_incremental_data("SYMBOL", last_timestamp)
    merged = loader.merge_incremental_data(existing, new_data)
    assert (len(new_data), len(merged)) == (7, len(existing) + 7)
