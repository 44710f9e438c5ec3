"""Names that users import and commands that deployments start: none of them goes away."""

import importlib
import inspect
import subprocess
import sys

import pytest

import gigacast.errors

PUBLIC = {
    "gigacast.datasets": """
        Column ColumnSchema Contract ContractReport ContractViolationError CorruptedFileError
        DataSchema DataTypeValidationError DatasetConflictError DatasetIntegrityError Drift
        MOMENTUM_INDICATORS_SCHEMA MetadataManager MissingRequiredColumnError Mode OHLCV_SCHEMA
        PRICE_VOLATILITY_SCHEMA Rule SCHEMA_REGISTRY SchemaMismatchError SchemaValidator
        VOLUME_PROFILE_SCHEMA Violation filter_data generate_data get_parquet_metadata
        get_parquet_schema get_schema infer_schema iterate_batches load_schema read_features
        read_parquet_with_schema read_partitioned_dataset read_raw_data register_schema save_schema
        schema_drift validate_data write_cleaned_data write_features write_parquet_validated
    """,
    "gigacast.feature_sets": """
        FeatureProcessor FeatureSet Recipe Scaler build_features compute_features get_recipe
        load_recipe read_feature_set save_recipe
    """,
    "gigacast.feature_store": """
        Accuracy Aggregation BootstrapPart ContextualSource Derivation EntitySource EventSource
        ExternalPart ExternalSource Fetcher GroupBy Join JoinPart JoinSource LabelPart Operation
        Query Request RequestLog Response Source StagingQuery TimeUnit Window backfill
        fetch_group_by fetch_group_by_async fetch_join fetch_join_async label open_features
        open_fetcher open_request_log read_features read_table select upload upload_metadata
    """,
    "gigacast.parquet_loader": """
        AuditLogger ConfigError CorruptedFileError CrossAssetFeatureProcessor DataNotFoundError
        DataQualityError DataQualityValidator DummyDataGenerator FeatureProcessor FileDiscovery
        IdempotencyTracker IncompleteContextError IncrementalDataset InvalidFilenameError
        LoadColumns LoadQuality LoadStats LoadedDataset ParquetDataLoader ParquetFileInfo
        ParquetLoaderError PredictionDataset QualityLimits SchemaValidationError SchemaValidator
        TemporalFeatureProcessor TrainingDataset TypeConverter
    """,
}
ERRORS = """
    AccessDeniedError BucketNotFoundError ComputeAccessError ComputeError ConfigError
    ContractViolationError CorruptedFileError DataError DataNotFoundError DataQualityError
    DefinitionError DataTypeValidationError DatasetConflictError DatasetIntegrityError GigacastError
    IncompleteContextError InputChangedError InvalidFilenameError MissingExtraError
    MissingRequiredColumnError ModelConflictError ModelError ModelIntegrityError
    ModelNotFoundError ModelRejectedError ObjectNotFoundError PlanError PreconditionFailedError
    SchemaError SchemaMismatchError StorageError TaskError TransientComputeError
    TransientStorageError UnsupportedForecastError WorkerLostError
"""


@pytest.mark.parametrize("package", PUBLIC)
def test_the_public_names_of_a_package_stay(package: str) -> None:
    module = importlib.import_module(package)
    assert sorted(PUBLIC[package].split()) == sorted(module.__all__)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    assert set(module.__all__) <= set(dir(module))


def test_every_error_that_users_catch_stays() -> None:
    classes = {name for name, value in vars(gigacast.errors).items() if inspect.isclass(value)}
    assert set(ERRORS.split()) <= classes


@pytest.mark.parametrize(
    ("module", "function", "parameters"),
    [
        ("handler.schedule", "handle", ["event", "context"]),
        ("handler.arrival", "handle", ["event", "context"]),
        ("handler.features", "handle", ["event", "context"]),
        ("handler.stream", "handle", ["event", "context"]),
        ("handler.closing", "handle", ["event", "context"]),
        ("handler.batch", "main", ["arguments", "environment"]),
        ("gigacast.__main__", "main", []),
    ],
)
def test_entry_points_of_deployments_stay(
    module: str, function: str, parameters: list[str]
) -> None:
    entry = getattr(importlib.import_module(module), function)
    assert list(inspect.signature(entry).parameters) == parameters


def test_the_former_path_of_synthetic_series_works_for_one_more_release() -> None:
    former = importlib.import_module("gigacast.forecast.synthetic")
    current = importlib.import_module("gigacast.synthetic")
    assert former.__all__ == current.__all__
    assert all(getattr(former, name) is getattr(current, name) for name in current.__all__)


def test_the_former_command_of_pretraining_works_for_one_more_release() -> None:
    command = [sys.executable, "-m", "gigacast.forecast.pretraining", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "--checkpoints" in shown


def test_the_package_of_former_paths_hides_no_function() -> None:
    importlib.import_module("gigacast.forecast.synthetic")
    assert inspect.isfunction(importlib.import_module("gigacast").forecast)
