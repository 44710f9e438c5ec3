"""Datasets from Python: read, write, check and describe them, on S3, in a folder or in memory.

A door like the command line. A path is ``s3://bucket/lake/cleaned/v3/EURUSD``, ``file:///...``,
``memory://name/...`` or local. What lies in ``raw/``, ``cleaned/`` or ``features/`` is a dataset of
the lake around that folder: raw snapshots and published versions never change, and are read as
their manifest names them. All else is a plain Parquet file.

>>> import pandas as pd
>>> from gigacast.datasets import OHLCV_SCHEMA, read_parquet_with_schema, write_cleaned_data
>>> bars = pd.DataFrame({"timestamp": pd.to_datetime(["2024-01-15"]), "open": 1.0, "high": 2.0,
...                      "low": 0.5, "close": 1.5, "volume": 10})
>>> done = write_cleaned_data(bars, "memory://doc/cleaned/v1/MES/ohlcv.parquet", OHLCV_SCHEMA)
>>> read_parquet_with_schema("memory://doc/cleaned/latest/MES")["close"].tolist()
[1.5]
"""

from gigacast.core.contract import Column, Contract, Mode
from gigacast.core.contract_drift import Drift
from gigacast.core.contract_predefined import (
    MOMENTUM_INDICATORS_SCHEMA,
    OHLCV_SCHEMA,
    PRICE_VOLATILITY_SCHEMA,
    VOLUME_PROFILE_SCHEMA,
)
from gigacast.core.contract_report import ContractReport, Violation
from gigacast.core.rule import Rule
from gigacast.datasets.reading import (
    get_parquet_metadata,
    get_parquet_schema,
    iterate_batches,
    read_features,
    read_parquet_with_schema,
    read_partitioned_dataset,
    read_raw_data,
)
from gigacast.datasets.schema import (
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
from gigacast.datasets.writing import (
    write_cleaned_data,
    write_features,
    write_parquet_validated,
)
from gigacast.errors import (
    ContractViolationError,
    CorruptedFileError,
    DatasetConflictError,
    DatasetIntegrityError,
    DataTypeValidationError,
    MissingRequiredColumnError,
    SchemaMismatchError,
)
from gigacast.pipeline.dataset_metadata import MetadataManager

__all__ = [
    "MOMENTUM_INDICATORS_SCHEMA",
    "OHLCV_SCHEMA",
    "PRICE_VOLATILITY_SCHEMA",
    "VOLUME_PROFILE_SCHEMA",
    "Column",
    "Contract",
    "ContractReport",
    "ContractViolationError",
    "CorruptedFileError",
    "DataTypeValidationError",
    "DatasetConflictError",
    "DatasetIntegrityError",
    "Drift",
    "MetadataManager",
    "MissingRequiredColumnError",
    "Mode",
    "Rule",
    "SchemaMismatchError",
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
