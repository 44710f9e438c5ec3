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
    from gigacast.parquet_loader.check import LoadQuality
    from gigacast.parquet_loader.dataset import (
        IncrementalDataset,
        LoadColumns,
        LoadedDataset,
        LoadStats,
        PredictionDataset,
        TrainingDataset,
    )
    from gigacast.parquet_loader.discovery import ParquetFileInfo

__all__ = [
    "ConfigError",
    "CorruptedFileError",
    "DataNotFoundError",
    "DataQualityError",
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
    "SchemaValidationError",
    "TrainingDataset",
]

ParquetLoaderError = GigacastError
"""The root of all errors, under the name that users of the loader know."""
SchemaValidationError = SchemaError

_HOMES = {
    "IncrementalDataset": "gigacast.parquet_loader.dataset",
    "LoadColumns": "gigacast.parquet_loader.dataset",
    "LoadQuality": "gigacast.parquet_loader.check",
    "LoadStats": "gigacast.parquet_loader.dataset",
    "LoadedDataset": "gigacast.parquet_loader.dataset",
    "ParquetDataLoader": "gigacast.parquet_loader.api",
    "ParquetFileInfo": "gigacast.parquet_loader.discovery",
    "PredictionDataset": "gigacast.parquet_loader.dataset",
    "TrainingDataset": "gigacast.parquet_loader.dataset",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
