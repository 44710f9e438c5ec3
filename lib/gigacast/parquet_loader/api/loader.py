"""`ParquetDataLoader`: rows of a symbol out of year and month folders.

A door like the command line: it may load settings. Files are found, columns recognised and rows
read by the readers that the forecasting job and the datasets use.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from functools import partial
from pathlib import Path

from gigacast.core.time.month import Month
from gigacast.errors import ConfigError, DataNotFoundError
from gigacast.parquet_loader.api.finding import LoaderFinding
from gigacast.parquet_loader.api.processing import LoadedFeatures, first_month_after, parse_moment
from gigacast.parquet_loader.api.setup import (
    cache_of,
    open_below,
    processing_of,
    recipe_of,
    resources_of,
    roots_of,
    wanted_columns_of,
)
from gigacast.parquet_loader.api.shaping import LoaderShaping
from gigacast.parquet_loader.context import ContextRequest, load_context
from gigacast.parquet_loader.dataset import IncrementalDataset, PredictionDataset, TrainingDataset
from gigacast.parquet_loader.discovery import (
    FileDiscovery,
    ParquetFileInfo,
    Range,
    check_one_series,
)
from gigacast.parquet_loader.load import LoadRequest, RowLoader
from gigacast.parquet_loader.process import Processing, process_rows
from gigacast.settings.load import load_settings
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.table_cache import CacheStats

_FIRST_YEAR, _LAST_YEAR = 1, 9999


class ParquetDataLoader(LoaderFinding, LoaderShaping):
    """Finds and loads the files of a symbol, on S3 or in a folder.

    Parameters
    ----------
    config_path : str or Path
        A settings file with the section ``parquet_loader``; `data_paths.root_dir` has no default.

    Raises
    ------
    ConfigError
        When the file is missing, a field is missing or wrong (it is named), or the root is not
        there.

    Examples
    --------
    >>> from gigacast import ParquetDataLoader
    >>> ParquetDataLoader("nowhere.yaml")
    Traceback (most recent call last):
    gigacast.errors.ConfigError: nowhere.yaml: no such configuration file
    """

    def __init__(self, config_path: str | Path) -> None:
        settings = load_settings(file=Path(config_path))
        config = settings.parquet_loader
        root, outputs = roots_of(settings)
        paths = config.data_paths
        self._inputs = {
            "training": open_below(root, paths.training_subdir),
            "prediction": open_below(root, paths.prediction_subdir),
            "incremental": open_below(root, paths.incremental_subdir),
        }
        super().__init__(config, self._inputs["training"], open_store(outputs))
        self._discovery = {n: FileDiscovery(s, self._pattern) for n, s in self._inputs.items()}
        self._cache = cache_of(config)
        self._wanted = wanted_columns_of(config)
        self._processing = processing_of(config)
        self.feature_processor = LoadedFeatures(recipe_of(config))

    def load_training_data(  # noqa: PLR0913, PLR0917 - each with a default
        self,
        symbol: str,
        year: int | None = None,
        year_range: Range | None = None,
        month: int | None = None,
        month_range: Range | None = None,
        target_columns: Sequence[str] | None = None,
        feature_columns: Sequence[str] | None = None,
        *,
        timeframes: Sequence[str] | None = None,
    ) -> TrainingDataset:
        """Load the rows of a symbol over months or years, in the order of time.

        Parameters
        ----------
        symbol, year, year_range, month, month_range, timeframes
            See `discover_files`.
        target_columns, feature_columns : sequence of str, optional
            Only these are read; the settings' when absent, else targets are recognised. A file
            older than a feature has it as missing.

        Raises
        ------
        DataNotFoundError
            When no file matches.
        SchemaValidationError
            When a column is missing, or a file's columns do not fit the others'.
        ConfigError
            When files of several timeframes match, or the rows take more than the memory limit.
        CorruptedFileError, InputChangedError, StorageError
        """
        files = self.discover_files(symbol, year, year_range, month, month_range, timeframes)
        request = self._request(symbol, files, target_columns, feature_columns)
        found = self._rows("training").load(request)
        self._session.note("files_processed", files)
        return TrainingDataset(**vars(found))

    def iterate_training_data(  # noqa: PLR0913, PLR0917 - as `load_training_data`
        self,
        symbol: str,
        year: int | None = None,
        year_range: Range | None = None,
        month: int | None = None,
        month_range: Range | None = None,
        target_columns: Sequence[str] | None = None,
        feature_columns: Sequence[str] | None = None,
        *,
        timeframes: Sequence[str] | None = None,
    ) -> Iterator[TrainingDataset]:
        """Yield the same rows chunk by chunk, for data larger than memory.

        A chunk has rows of one file, `processing.chunk_size` at most, and takes no more than about
        a quarter of `performance.memory_limit`. Missing values are filled within a chunk.
        """
        files = self.discover_files(symbol, year, year_range, month, month_range, timeframes)
        request = self._request(symbol, files, target_columns, feature_columns)
        for chunk in self._rows("training").iterate(request):
            yield TrainingDataset(**vars(chunk))
        self._session.note("files_processed", files)

    def load_prediction_data(  # noqa: PLR0913 - each with a default
        self,
        symbol: str,
        year: int,
        month: int | None = None,
        context_length: int | None = None,
        *,
        target_columns: Sequence[str] | None = None,
        feature_columns: Sequence[str] | None = None,
        timeframes: Sequence[str] | None = None,
    ) -> PredictionDataset:
        """Load the last rows of a symbol: the context of a forecast.

        Parameters
        ----------
        symbol : str
        year, month : int
            The latest month of the year when none is given. Where it has no file the month before
            is read.
        context_length : int, optional
            Rows of each item; all of the month when absent. Earlier months are read until there are
            so many.
        target_columns, feature_columns, timeframes
            See `load_training_data`.

        Raises
        ------
        DataNotFoundError
            When neither month has a file.
        SchemaValidationError, CorruptedFileError, StorageError
        """
        if context_length is not None and context_length < 1:
            raise ConfigError(f"context_length must be at least 1, got {context_length}")
        wanted = self._wanted.with_chosen(target_columns, feature_columns)
        asked = Month(year, month or 12)
        request = ContextRequest(symbol, asked, month is not None, context_length, wanted)

        def find(found: Month) -> list[ParquetFileInfo]:
            files = self._discovery["prediction"].discover_files(
                symbol, found.year, month=found.month, timeframes=timeframes
            )
            check_one_series(symbol, files)
            return files

        found = load_context(self._rows("prediction", Processing()), find, request)
        table = process_rows(found.table, found.columns, self._processing, found.stats)
        self._session.note("files_processed", found.files)
        return PredictionDataset(**{**vars(found), "table": table})

    def load_incremental_data(
        self,
        symbol: str,
        last_timestamp: datetime | date | str,
        *,
        target_columns: Sequence[str] | None = None,
        feature_columns: Sequence[str] | None = None,
        timeframes: Sequence[str] | None = None,
    ) -> IncrementalDataset:
        """Load the rows of a symbol after a moment; row groups before it are not read.

        Parameters
        ----------
        symbol : str
        last_timestamp : datetime, date or str
            Text as ISO 8601. Without a zone: the files' own time, UTC where they have a zone.
        target_columns, feature_columns, timeframes
            See `load_training_data`.

        Returns
        -------
        IncrementalDataset
            Empty when the files have nothing newer.

        Raises
        ------
        DataNotFoundError
            When the symbol has no file at all.
        SchemaValidationError, CorruptedFileError, StorageError
        """
        since = parse_moment(last_timestamp)
        first = first_month_after(since)
        discover = partial(
            self._discovery["incremental"].discover_files, symbol, timeframes=timeframes
        )
        later = discover(year_range=(first.year, _LAST_YEAR))
        files = [info for info in later if info.calendar_month >= first]
        # where all ends before, the last file tells the columns of no rows
        files = files or discover(year_range=(_FIRST_YEAR, _LAST_YEAR))[-1:]
        self._session.note("files_discovered", files)
        request = self._request(symbol, files, target_columns, feature_columns, since)
        found = self._rows("incremental").load(request)
        self._session.note("files_processed", files)
        return IncrementalDataset(**vars(found), since=since)

    @property
    def cache_stats(self) -> CacheStats:
        """What the cache was asked for by this loader, and its ``hit_rate``."""
        return self._cache.stats if self._cache is not None else CacheStats()

    def _rows(self, kind: str, processing: Processing | None = None) -> RowLoader:
        chosen = self._processing if processing is None else processing
        return RowLoader(self._inputs[kind], resources_of(self.config), chosen, self._cache)

    def _request(
        self,
        symbol: str,
        files: Sequence[ParquetFileInfo],
        targets: Sequence[str] | None,
        features: Sequence[str] | None,
        since: datetime | None = None,
    ) -> LoadRequest:
        if not files:
            raise DataNotFoundError(
                f"No files found for {symbol} under {self._inputs['training'].address.url}",
                hint="`gigacast data discover` shows what is there",
            )
        check_one_series(symbol, files)
        wanted = self._wanted.with_chosen(targets, features)
        return LoadRequest(symbol, tuple(files), wanted, since)
