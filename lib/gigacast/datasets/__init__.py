"""Datasets from Python: read, write, check and describe them, on S3, in a folder or in memory.

A path is ``s3://bucket/lake/cleaned/v3/EURUSD``, ``file:///...``, ``memory://name/...`` or a local
path. Paths in ``raw/``, ``cleaned/`` or ``features/`` are datasets of the lake that contains this
folder: raw snapshots and published versions never change, and their manifests list their files.
All other paths are plain Parquet files.

>>> import pandas as pd
>>> from gigacast.datasets import OHLCV_SCHEMA, read_parquet_with_schema, write_cleaned_data
>>> bars = pd.DataFrame({"timestamp": pd.to_datetime(["2024-01-15"]), "open": 1.0, "high": 2.0,
...                      "low": 0.5, "close": 1.5, "volume": 10})
>>> done = write_cleaned_data(bars, "memory://doc/cleaned/v1/MES/ohlcv.parquet", OHLCV_SCHEMA)
>>> read_parquet_with_schema("memory://doc/cleaned/latest/MES")["close"].tolist()
[1.5]
"""

from typing import TYPE_CHECKING

from gigacast.core.lazy import lazy_names
from gigacast.errors import (
    ContractViolationError,
    CorruptedFileError,
    DatasetConflictError,
    DatasetIntegrityError,
    DataTypeValidationError,
    MissingRequiredColumnError,
    SchemaMismatchError,
)

if TYPE_CHECKING:
    from gigacast.core.contract.definition import Column, Contract, Mode
    from gigacast.core.contract.drift import Drift
    from gigacast.core.contract.predefined import (
        MOMENTUM_INDICATORS_SCHEMA,
        OHLCV_SCHEMA,
        PRICE_VOLATILITY_SCHEMA,
        VOLUME_PROFILE_SCHEMA,
    )
    from gigacast.core.contract.report import ContractReport, Violation
    from gigacast.core.contract.rule import Rule
    from gigacast.datasets.api.reading import (
        get_parquet_metadata,
        get_parquet_schema,
        iterate_batches,
        read_features,
        read_parquet_with_schema,
        read_partitioned_dataset,
        read_raw_data,
    )
    from gigacast.datasets.api.schema import (
        SCHEMA_REGISTRY,
        ColumnSchema,
        DataSchema,
        SchemaValidator,
        filter_data,
        generate_data,
        get_schema,
        infer_schema,
        load_schema,
        register_schema,
        save_schema,
        schema_drift,
        validate_data,
    )
    from gigacast.datasets.api.writing import (
        write_cleaned_data,
        write_features,
        write_parquet_validated,
    )
    from gigacast.datasets.metadata import MetadataManager

__all__ = [
    "MOMENTUM_INDICATORS_SCHEMA",
    "OHLCV_SCHEMA",
    "PRICE_VOLATILITY_SCHEMA",
    "SCHEMA_REGISTRY",
    "VOLUME_PROFILE_SCHEMA",
    "Column",
    "ColumnSchema",
    "Contract",
    "ContractReport",
    "ContractViolationError",
    "CorruptedFileError",
    "DataSchema",
    "DataTypeValidationError",
    "DatasetConflictError",
    "DatasetIntegrityError",
    "Drift",
    "MetadataManager",
    "MissingRequiredColumnError",
    "Mode",
    "Rule",
    "SchemaMismatchError",
    "SchemaValidator",
    "Violation",
    "filter_data",
    "generate_data",
    "get_parquet_metadata",
    "get_parquet_schema",
    "get_schema",
    "infer_schema",
    "iterate_batches",
    "load_schema",
    "read_features",
    "read_parquet_with_schema",
    "read_partitioned_dataset",
    "read_raw_data",
    "register_schema",
    "save_schema",
    "schema_drift",
    "validate_data",
    "write_cleaned_data",
    "write_features",
    "write_parquet_validated",
]

_HOMES = {
    "ColumnSchema": "gigacast.datasets.api.schema",
    "DataSchema": "gigacast.datasets.api.schema",
    "SCHEMA_REGISTRY": "gigacast.datasets.api.schema",
    "SchemaValidator": "gigacast.datasets.api.schema",
    "Column": "gigacast.core.contract.definition",
    "Contract": "gigacast.core.contract.definition",
    "ContractReport": "gigacast.core.contract.report",
    "Drift": "gigacast.core.contract.drift",
    "MOMENTUM_INDICATORS_SCHEMA": "gigacast.core.contract.predefined",
    "MetadataManager": "gigacast.datasets.metadata",
    "Mode": "gigacast.core.contract.definition",
    "OHLCV_SCHEMA": "gigacast.core.contract.predefined",
    "PRICE_VOLATILITY_SCHEMA": "gigacast.core.contract.predefined",
    "Rule": "gigacast.core.contract.rule",
    "VOLUME_PROFILE_SCHEMA": "gigacast.core.contract.predefined",
    "Violation": "gigacast.core.contract.report",
    "filter_data": "gigacast.datasets.api.schema",
    "generate_data": "gigacast.datasets.api.schema",
    "get_parquet_metadata": "gigacast.datasets.api.reading",
    "get_parquet_schema": "gigacast.datasets.api.reading",
    "get_schema": "gigacast.datasets.api.schema",
    "infer_schema": "gigacast.datasets.api.schema",
    "iterate_batches": "gigacast.datasets.api.reading",
    "load_schema": "gigacast.datasets.api.schema",
    "read_features": "gigacast.datasets.api.reading",
    "read_parquet_with_schema": "gigacast.datasets.api.reading",
    "read_partitioned_dataset": "gigacast.datasets.api.reading",
    "read_raw_data": "gigacast.datasets.api.reading",
    "register_schema": "gigacast.datasets.api.schema",
    "save_schema": "gigacast.datasets.api.schema",
    "schema_drift": "gigacast.datasets.api.schema",
    "validate_data": "gigacast.datasets.api.schema",
    "write_cleaned_data": "gigacast.datasets.api.writing",
    "write_features": "gigacast.datasets.api.writing",
    "write_parquet_validated": "gigacast.datasets.api.writing",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
