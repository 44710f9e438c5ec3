"""`ParquetDataLoader`: rows of a symbol out of year and month folders, for training and forecasts.

A door like the command line: it may load settings. `loader` has what loads, `finding`, `shaping`
and `record` the methods beside it, `setup` what is made of settings.
"""

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
