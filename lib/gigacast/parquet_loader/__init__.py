"""`ParquetDataLoader`: rows of a symbol from year and month folders, for training and forecasts.

Start at `gigacast.parquet_loader.api`.
"""

from typing import TYPE_CHECKING

from gigacast.core.lazy import lazy_names
from gigacast.errors import (
    ConfigError,
    CorruptedFileError,
    DataNotFoundError,
    DataQualityError,
    GigacastError,
    IncompleteContextError,
    InvalidFilenameError,
    SchemaError,
)

if TYPE_CHECKING:
    from gigacast.parquet_loader.api import ParquetDataLoader
    from gigacast.parquet_loader.check import LoadQuality, QualityLimits
    from gigacast.parquet_loader.dataset import (
        IncrementalDataset,
        LoadColumns,
        LoadedDataset,
        LoadStats,
        PredictionDataset,
        TrainingDataset,
    )
    from gigacast.parquet_loader.discovery import ParquetFileInfo
    from gigacast.parquet_loader.engineering import (
        CrossAssetFeatureProcessor,
        TemporalFeatureProcessor,
    )
    from gigacast.parquet_loader.features import FeatureProcessor
    from gigacast.parquet_loader.frame import DataQualityValidator, SchemaValidator, TypeConverter
    from gigacast.parquet_loader.part import (
        AuditLogger,
        DummyDataGenerator,
        FileDiscovery,
        IdempotencyTracker,
    )

__all__ = [
    "AuditLogger",
    "ConfigError",
    "CorruptedFileError",
    "CrossAssetFeatureProcessor",
    "DataNotFoundError",
    "DataQualityError",
    "DataQualityValidator",
    "DummyDataGenerator",
    "FeatureProcessor",
    "FileDiscovery",
    "IdempotencyTracker",
    "IncompleteContextError",
    "IncrementalDataset",
    "InvalidFilenameError",
    "LoadColumns",
    "LoadQuality",
    "LoadStats",
    "LoadedDataset",
    "ParquetDataLoader",
    "ParquetFileInfo",
    "ParquetLoaderError",
    "PredictionDataset",
    "QualityLimits",
    "SchemaValidationError",
    "SchemaValidator",
    "TemporalFeatureProcessor",
    "TrainingDataset",
    "TypeConverter",
]

ParquetLoaderError = GigacastError
"""The root of all errors, under the name that users of the loader know."""
SchemaValidationError = SchemaError

_HOMES = {
    "AuditLogger": "gigacast.parquet_loader.part",
    "CrossAssetFeatureProcessor": "gigacast.parquet_loader.engineering",
    "DataQualityValidator": "gigacast.parquet_loader.frame",
    "DummyDataGenerator": "gigacast.parquet_loader.part",
    "FeatureProcessor": "gigacast.parquet_loader.features",
    "FileDiscovery": "gigacast.parquet_loader.part",
    "IdempotencyTracker": "gigacast.parquet_loader.part",
    "IncrementalDataset": "gigacast.parquet_loader.dataset",
    "LoadColumns": "gigacast.parquet_loader.dataset",
    "LoadQuality": "gigacast.parquet_loader.check",
    "LoadStats": "gigacast.parquet_loader.dataset",
    "LoadedDataset": "gigacast.parquet_loader.dataset",
    "ParquetDataLoader": "gigacast.parquet_loader.api",
    "ParquetFileInfo": "gigacast.parquet_loader.discovery",
    "PredictionDataset": "gigacast.parquet_loader.dataset",
    "QualityLimits": "gigacast.parquet_loader.check",
    "SchemaValidator": "gigacast.parquet_loader.frame",
    "TemporalFeatureProcessor": "gigacast.parquet_loader.engineering",
    "TrainingDataset": "gigacast.parquet_loader.dataset",
    "TypeConverter": "gigacast.parquet_loader.frame",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
