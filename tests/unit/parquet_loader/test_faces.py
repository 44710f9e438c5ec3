"""The loader's parts by themselves: conversions, checks and features of frames that users have."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gigacast.datasets import (
    OHLCV_SCHEMA,
    SCHEMA_REGISTRY,
    ColumnSchema,
    DataSchema,
    SchemaMismatchError,
    generate_data,
    register_schema,
)
from gigacast.datasets import SchemaValidator as ContractValidator
from gigacast.parquet_loader import (
    AuditLogger,
    ConfigError,
    CrossAssetFeatureProcessor,
    DataQualityValidator,
    DummyDataGenerator,
    FileDiscovery,
    IdempotencyTracker,
    ParquetDataLoader,
    PredictionDataset,
    SchemaValidator,
    TemporalFeatureProcessor,
    TrainingDataset,
    TypeConverter,
)
from tests.support.ticks import fill, folder_store, write_config


def quotes(rows: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    price = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (rows, 3)), axis=0))
    times = pd.date_range("2024-01-01", periods=rows, freq="min")
    return pd.DataFrame(
        {
            "ds": times.strftime("%Y-%m-%d %H:%M"),
            "target_close": price[:, 0],
            "gold_bid": price[:, 1],
            "gold_ask": price[:, 1] + 0.5,
            "gold_bid_volume": np.arange(rows),
            "curve_GS10": price[:, 2],
            "curve_GS2": price[:, 2] - 1,
            "venue": ["a", "b"] * (rows // 2),
        }
    )


def test_types_are_converted_in_the_form_of_the_data() -> None:
    converter, frame = TypeConverter(), quotes()
    times = converter.convert_timestamps(frame)["ds"]
    assert times.tolist() == pd.to_datetime(frame["ds"]).tolist()
    narrow = converter.optimize_dtypes(frame)
    kinds = {"target_close": "float32", "gold_bid_volume": "int8", "venue": "category"}
    assert {name: str(narrow[name].dtype) for name in kinds} == kinds
    assert narrow["ds"].tolist() == frame["ds"].tolist()
    holes = frame.assign(target_close=frame["target_close"].mask(frame.index % 3 == 1))
    filled = converter.handle_nulls(holes, "forward_fill")["target_close"]
    assert filled.tolist() == holes["target_close"].ffill().tolist()
    assert len(converter.handle_nulls(pa.Table.from_pandas(holes), "drop")) == 40
    with pytest.raises(ConfigError, match="no treatment of missing values"):
        converter.handle_nulls(holes, "guess")


def test_schemas_and_rows_are_checked_one_by_one() -> None:
    frame, validator = quotes(), DataQualityValidator()
    table = pa.Table.from_pandas(frame)
    assert SchemaValidator().validate_schema(table.schema).is_valid
    wrong = SchemaValidator().validate_schema(table.drop_columns(["ds"]).schema)
    assert not wrong.is_valid
    assert len(wrong.issues) == 1
    assert validator.check_schema_compliance(frame).is_valid
    assert validator.check_missing_values(frame).is_valid
    assert validator.check_temporal_consistency(frame).is_valid
    assert validator.check_outliers(frame).measures == {"target_close": 0}
    assert SchemaValidator().validate_data_quality(frame).is_valid
    holes = frame.assign(target_close=frame["target_close"].mask(frame.index % 2 == 1))
    assert validator.check_missing_values(holes).issues == ("50.0% of target_close is missing",)
    mixed = pd.concat([frame.iloc[50:], frame.iloc[:10], frame.iloc[:2]])
    order = validator.check_temporal_consistency(mixed)
    expected = {"duplicates": 2, "gaps": 40, "unordered": 2, "without_time": 0}
    assert (dict(order.measures), order.is_valid) == (expected, False)
    wild = frame.assign(target_close=[1e9] * 14 + [1.0] * 46)
    assert not validator.check_outliers(wild).is_valid


def test_temporal_features_are_those_of_pandas() -> None:
    frame, processor = quotes(), TemporalFeatureProcessor()
    close = frame["target_close"]
    lags = processor.create_lag_features(frame, [1, 5])
    pd.testing.assert_series_equal(lags["target_close_lag_5"], close.shift(5), check_names=False)
    windows = processor.create_rolling_features(frame, [7])
    for statistic in ("mean", "std", "min", "max"):
        expected = getattr(close.rolling(7), statistic)()
        pd.testing.assert_series_equal(
            windows[f"target_close_{statistic}_7"], expected, check_names=False
        )
    changes = processor.create_difference_features(frame)
    pd.testing.assert_series_equal(
        changes["target_close_diff_2"], close.diff().diff(), check_names=False
    )
    dated = frame.assign(curve_date=pd.Timestamp("2024-01-01").date())
    aligned = processor.align_timestamps(dated.iloc[::-1])
    assert aligned["ds"].is_monotonic_increasing
    assert aligned["curve_date"].dtype == aligned["ds"].dtype
    assert type(processor.create_lag_features(pa.Table.from_pandas(frame), [1])) is pa.Table


def test_cross_asset_features_are_those_of_pandas() -> None:
    frame, processor = quotes(), CrossAssetFeatureProcessor(window=20)
    spreads = processor.create_spread_features(frame)
    np.testing.assert_allclose(spreads["gold_spread"], 0.5)
    np.testing.assert_allclose(spreads["curve_GS10_GS2_spread"], 1.0)
    assert set(spreads.columns) - set(frame.columns) == {"gold_spread", "curve_GS10_GS2_spread"}
    change = np.log(frame[["target_close", "gold_bid"]]).diff()
    together = processor.create_correlation_features(frame)
    expected = change["target_close"].rolling(20).corr(change["gold_bid"])
    np.testing.assert_allclose(together["target_close_gold_bid_corr_20"], expected, rtol=1e-9)
    volatility = processor.create_volatility_features(frame)["gold_bid_volatility_20"]
    np.testing.assert_allclose(volatility, change["gold_bid"].rolling(20).std(), rtol=1e-9)


def test_parts_are_made_of_the_settings_of_a_loader(tmp_path: Path) -> None:
    fill(folder_store(tmp_path / "lake"), [(2014, 1), (2014, 2)], rows=2)
    loader = ParquetDataLoader(write_config(tmp_path / "loader.yaml", str(tmp_path / "lake")))
    files = FileDiscovery(loader.config).discover_files("SYMBOL", year=2014)
    assert files == loader.discover_files("SYMBOL", 2014)
    IdempotencyTracker(loader.config).mark_processed(files[0])
    assert [loader.is_already_processed(info) for info in files] == [True, False]
    session = AuditLogger(loader.config).start_session("SYMBOL")
    loader.audit_logger.update_session(session, files_discovered=2)
    loader.end_audit_session(session)
    assert loader.read_audit_session(session).files_discovered == 2


def test_datasets_of_training_and_prediction_are_made_of_rows(tmp_path: Path) -> None:
    fill(folder_store(tmp_path / "lake"), [(2014, 1)], rows=20)
    loader = ParquetDataLoader(write_config(tmp_path / "loader.yaml", str(tmp_path / "lake")))
    train, validation = loader.create_splits(loader.load_training_data("SYMBOL", 2014))
    dataset = TrainingDataset(train, validation)
    assert (len(dataset), dataset.validation) == (16, validation)
    assert dataset.train.table is train.table
    context = PredictionDataset(loader.load_prediction_data("SYMBOL", 2014, 1, 5))
    assert (len(context), context.context_length) == (5, 5)
    assert loader.validate_context_completeness(context)
    with pytest.raises(ConfigError, match="expected rows of ParquetDataLoader, got DataFrame"):
        TrainingDataset(quotes())  # type: ignore[arg-type]


def test_dummy_data_is_the_same_for_the_same_seed() -> None:
    first, again = (DummyDataGenerator(3).generate(4, 64) for _ in range(2))
    assert first.shape == (4, 64)
    assert np.array_equal(first, again, equal_nan=True)
    frame = DummyDataGenerator(3).generate_frame(4, 64, "D")
    assert np.array_equal(frame["target"].to_numpy().reshape(4, 64), first, equal_nan=True)
    assert frame["timestamp"].diff().iloc[1] == pd.Timedelta("1D")
    with pytest.raises(ConfigError, match="freq: 'w'"):
        DummyDataGenerator().generate_frame(1, 64, "w")


def test_schemas_have_the_names_of_the_storage_document() -> None:
    assert isinstance(OHLCV_SCHEMA, DataSchema)
    assert isinstance(OHLCV_SCHEMA.columns[0], ColumnSchema)
    assert SCHEMA_REGISTRY["ohlcv"] is OHLCV_SCHEMA
    own = DataSchema("own_of_the_test", (ColumnSchema("x", "float64"),))
    register_schema(own)
    assert SCHEMA_REGISTRY["own_of_the_test"] is own
    with pytest.raises(TypeError):
        SCHEMA_REGISTRY["x"] = own  # type: ignore[index]
    bars = generate_data(OHLCV_SCHEMA, 5)
    validator = ContractValidator("ohlcv")
    pd.testing.assert_frame_equal(validator.validate(bars), bars)
    bad = bars.assign(high=-1.0)
    assert validator.report(bad).violations
    with pytest.raises(SchemaMismatchError):
        validator.validate(bad)
