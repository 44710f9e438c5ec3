"""`ParquetDataLoader`: rows of a symbol out of year and month folders, for training and forecasts.

A door like the command line: it may load settings. `loader` has what loads, `finding`, `shaping`
and `record` the methods beside it, `setup` what is made of settings.
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
    from gigacast.parquet_loader.loader import ParquetDataLoader
    from gigacast.pipeline.load_check import LoadQuality
    from gigacast.pipeline.load_dataset import (
        IncrementalDataset,
        LoadColumns,
        LoadedDataset,
        LoadStats,
        PredictionDataset,
        TrainingDataset,
    )
    from gigacast.pipeline.load_discovery import ParquetFileInfo

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
"""The root of all errors, by the name loaders know it."""
SchemaValidationError = SchemaError

_HOMES = {
    "IncrementalDataset": "gigacast.pipeline.load_dataset",
    "LoadColumns": "gigacast.pipeline.load_dataset",
    "LoadQuality": "gigacast.pipeline.load_check",
    "LoadStats": "gigacast.pipeline.load_dataset",
    "LoadedDataset": "gigacast.pipeline.load_dataset",
    "ParquetDataLoader": "gigacast.parquet_loader.loader",
    "ParquetFileInfo": "gigacast.pipeline.load_discovery",
    "PredictionDataset": "gigacast.pipeline.load_dataset",
    "TrainingDataset": "gigacast.pipeline.load_dataset",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
