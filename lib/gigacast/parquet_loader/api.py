"""`ParquetDataLoader`: loads the rows of a symbol from year and month folders."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from gigacast.core.time.month import Month
from gigacast.errors import ConfigError
from gigacast.lake.plan.audit import COMPLETED, Audit
from gigacast.parquet_loader.check import LoadQuality, check_context, measure_quality
from gigacast.parquet_loader.check import context_problems as find_context_problems
from gigacast.parquet_loader.context import ContextRequest, load_context
from gigacast.parquet_loader.dataset import (
    IncrementalDataset,
    LoadedDataset,
    LoadStats,
    PredictionDataset,
    TrainingDataset,
)
from gigacast.parquet_loader.discovery import (
    ParquetFileInfo,
    Range,
    parse_moment,
    read_metadata,
)
from gigacast.parquet_loader.features import FeatureProcessor
from gigacast.parquet_loader.frame import TypeConverter
from gigacast.parquet_loader.process import Processing
from gigacast.parquet_loader.rows import merge_rows, split_rows
from gigacast.parquet_loader.session import SessionProgress
from gigacast.parquet_loader.setup import assemble_loader
from gigacast.settings.argument import checked
from gigacast.settings.load import load_settings
from gigacast.storage.parquet.table_cache import CacheStats

D = TypeVar("D", bound=LoadedDataset)


@checked
class ParquetDataLoader:
    """Finds and loads the files of a symbol, on S3 or in a folder.

    Parameters
    ----------
    config_path : str or Path
        Settings file with a section ``parquet_loader``; its `data_paths.root_dir` is required.

    Raises
    ------
    ConfigError
        If the file is missing, a field is missing or wrong (the error names it), or the root does
        not exist.

    Examples
    --------
    >>> from gigacast import ParquetDataLoader
    >>> ParquetDataLoader("nowhere.yaml")
    Traceback (most recent call last):
    gigacast.errors.ConfigError: nowhere.yaml: no such configuration file
    """

    def __init__(self, config_path: str | Path) -> None:
        settings = load_settings(file=Path(config_path))
        self.config = settings.parquet_loader
        self._parts = assemble_loader(settings)
        self.schema_validator = self._parts.schema_validator
        self.type_converter = TypeConverter(self._parts.columns)
        self.file_discovery = self._parts.discovery["training"]
        self.feature_processor = FeatureProcessor(self._parts.recipe)
        self.audit_logger = self._parts.sessions
        self.idempotency_tracker = self._parts.ledger
        self._session = SessionProgress(self.audit_logger)

    def discover_files(
        self,
        symbol: str,
        year: int | None = None,
        year_range: Range | None = None,
        month: int | None = None,
        month_range: Range | None = None,
        timeframes: Sequence[str] | None = None,
    ) -> list[ParquetFileInfo]:
        """Return the files of a symbol, oldest first. A month without a file is not an error.

        Parameters
        ----------
        symbol : str
            Symbol, or name of a panel part such as ``part-00042``.
        year, month : int, optional
        year_range, month_range : (int, int), optional
            First and last, both included; a range of months applies to each year.
        timeframes : sequence of str, optional
            Timeframes to include, such as ``1min``; all by default.

        Raises
        ------
        ConfigError
            If no year is given, both a value and a range are given, or a range runs backwards.
        StorageError
        """
        files = self.file_discovery.discover_files(
            symbol, year, year_range, month, month_range, timeframes
        )
        self._session.note("files_discovered", files)
        return files

    def read_metadata(self, file_info: ParquetFileInfo) -> dict[str, Any]:
        """Return the content of the JSON file beside a Parquet file; empty if there is none.

        Raises CorruptedFileError if it is not a JSON object.
        """
        return read_metadata(self._parts.inputs["training"], file_info)

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
            Columns to read; by default those of the settings, and targets that these do not name
            are recognised. Features are missing in rows of files that lack their column.

        Raises
        ------
        DataNotFoundError
            If no file matches.
        SchemaValidationError
            If a column is missing, or a file's columns do not fit those of the other files.
        ConfigError
            If files of several timeframes match, or the rows take more than the memory limit.
        CorruptedFileError, InputChangedError, StorageError
        """
        files = self.discover_files(symbol, year, year_range, month, month_range, timeframes)
        request = self._parts.request(symbol, files, target_columns, feature_columns)
        data = self._parts.row_loader("training").load(request)
        self._session.note_load(data.files, data.stats)
        return TrainingDataset(data)

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
        """Yield the rows of `load_training_data` in chunks, for data larger than memory.

        A chunk holds at most `processing.chunk_size` rows, all of one file, and takes about a
        quarter of `performance.memory_limit` at most. Missing values are filled across the borders
        of chunks, as in a load at once; integers are not narrowed.
        """
        files = self.discover_files(symbol, year, year_range, month, month_range, timeframes)
        request = self._parts.request(symbol, files, target_columns, feature_columns)
        totals, read = LoadStats(), dict[ParquetFileInfo, None]()
        for chunk in self._parts.row_loader("training").iterate(request, totals):
            yield TrainingDataset(chunk)
            read |= dict.fromkeys(chunk.files)
        self._session.note_load(list(read), totals)

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
        year, month : int
            Month of the last rows; by default the latest of the year that has a file. If the month
            has no file, the month before it is read.
        context_length : int, optional
            Rows of each item; by default all of the month. Earlier months are read as long as rows
            are lacking, also those that the features of the first rows look back to.
        symbol, target_columns, feature_columns, timeframes
            See `load_training_data`.

        Raises
        ------
        DataNotFoundError
            If neither month has a file.
        SchemaValidationError, CorruptedFileError, StorageError
        """
        if context_length is not None and context_length < 1:
            raise ConfigError(f"context_length must be at least 1, got {context_length}")
        columns = self._parts.columns.with_chosen(target_columns, feature_columns)
        latest, before = Month(year, month or 12), self.feature_processor.reach
        request = ContextRequest(symbol, latest, month is not None, context_length, columns, before)
        find_month = self._parts.discovery["prediction"].month_finder(symbol, timeframes)
        rows = self._parts.row_loader("prediction", Processing())
        data = load_context(rows, find_month, request, self._parts.processing)
        self._session.note_load(data.files, data.stats)
        return data

    def load_incremental_data(
        self,
        symbol: str,
        last_timestamp: datetime | date | str | np.datetime64,
        *,
        target_columns: Sequence[str] | None = None,
        feature_columns: Sequence[str] | None = None,
        timeframes: Sequence[str] | None = None,
    ) -> IncrementalDataset:
        """Load the rows of a symbol after a moment. Row groups before the moment are not read.

        Parameters
        ----------
        last_timestamp : datetime, date, str or numpy.datetime64
            Moment; a text in ISO 8601. Without a zone it is in the time of the files, or in UTC
            if their times have a zone.
        symbol, target_columns, feature_columns, timeframes
            See `load_training_data`.

        Returns
        -------
        IncrementalDataset
            No rows if the files have none after the moment.

        Raises
        ------
        DataNotFoundError
            If the symbol has no file at all.
        SchemaValidationError, CorruptedFileError, StorageError
        """
        since = parse_moment(last_timestamp)
        files = self._parts.discovery["incremental"].discover_after(symbol, since, timeframes)
        self._session.note("files_discovered", files)
        request = self._parts.request(symbol, files, target_columns, feature_columns, since)
        data = self._parts.row_loader("incremental").load(request)
        self._session.note_load(data.files, data.stats)
        return IncrementalDataset(**vars(data), since=since)

    @property
    def cache_stats(self) -> CacheStats:
        """Hits and misses of the cache by this loader, and its ``hit_rate``."""
        cache = self._parts.cache
        return cache.stats if cache is not None else CacheStats()

    def merge_incremental_data(self, existing: D, new: LoadedDataset) -> D:
        """Return the rows of both, by item and time; the new row where both have one.

        Raises
        ------
        SchemaValidationError
            If their columns differ.
        """
        return merge_rows(existing, new)

    def create_splits(
        self,
        data: D,
        validation_split: float = 0.2,
        time_based_split: bool = True,
        *,
        test_split: float | None = None,
    ) -> tuple[D, ...]:
        """Split rows by time: rows for validation are later than all rows for training.

        Parameters
        ----------
        validation_split, test_split : float
            Shares of the rows; the test rows are the latest.
        time_based_split : bool
            Must be true: a random split would show the model its future.

        Returns
        -------
        tuple of LoadedDataset
            Rows for training, for validation and, with ``test_split``, for testing.

        Raises
        ------
        ConfigError
        """
        return split_rows(data, validation_split, test_split, time_based=time_based_split)

    def validate_context_completeness(
        self, data: LoadedDataset, context_length: int | None = None, *, max_gaps: int = 0
    ) -> bool:
        """Return whether a context has enough rows, without gaps and missing values.

        Parameters
        ----------
        context_length : int, optional
            Rows that each item needs; by default those requested of `load_prediction_data`.
        max_gaps : int
            Steps that may lack a row, such as those of a weekend.
        """
        return not find_context_problems(data, context_length, max_gaps)

    def context_problems(
        self, data: LoadedDataset, context_length: int | None = None, *, max_gaps: int = 0
    ) -> list[str]:
        """Return the problems of a context as texts; see `validate_context_completeness`."""
        return find_context_problems(data, context_length, max_gaps)

    def check_context(
        self, data: LoadedDataset, context_length: int | None = None, *, max_gaps: int = 0
    ) -> None:
        """Raise IncompleteContextError unless `validate_context_completeness`."""
        check_context(data, context_length, max_gaps)

    def validate_data_quality(
        self,
        data: LoadedDataset,
        *,
        max_missing: float | None = None,
        max_duplicates: float | None = None,
        max_gaps: float | None = None,
        max_outliers: float | None = None,
    ) -> LoadQuality:
        """Measure the quality of rows: see ``is_valid``, ``issues`` in words, and ``check``.

        Parameters
        ----------
        max_missing, max_duplicates, max_gaps, max_outliers : float, optional
            Limits by `quality.fail` of the settings, else of `QualityLimits`.
        """
        limits = self._parts.limits.with_shares(
            missing=max_missing, duplicates=max_duplicates, gaps=max_gaps, outliers=max_outliers
        )
        return measure_quality(data, limits, self._parts.processing)

    def check_data_quality(self, data: LoadedDataset) -> None:
        """Raise DataQualityError unless `validate_data_quality` finds the rows valid."""
        measure_quality(data, self._parts.limits, self._parts.processing).check(data.symbol)

    def is_already_processed(self, file_info: ParquetFileInfo) -> bool:
        """Return whether this content of a file was processed, by its ETag or its checksum."""
        if not self.config.idempotency.enabled:
            return False
        is_processed = self.idempotency_tracker.is_processed(file_info)
        if is_processed:
            self._session.note("files_skipped", [file_info])
        return is_processed

    def mark_as_processed(self, file_info: ParquetFileInfo, status: str = COMPLETED) -> None:
        """Write a receipt for a file: ``completed``, ``failed`` or ``skipped``.

        Raises
        ------
        ConfigError
            If the status is another.
        PreconditionFailedError
            If the file was replaced after it was discovered.
        """
        if self.config.idempotency.enabled:
            self.idempotency_tracker.mark_processed(file_info, status)

    def start_audit_session(
        self, symbol: str, year_range: Range | None = None, month_range: Range | None = None
    ) -> str:
        """Start a recorded session and return its id; it counts the files found and loaded."""
        session_id = self.audit_logger.start_session(symbol, year_range, month_range)
        self._session = SessionProgress(self.audit_logger, session_id)
        return session_id

    def end_audit_session(self, session_id: str, status: str = COMPLETED) -> None:
        """End a session. A session that has already ended does not change."""
        self.audit_logger.end_session(session_id, status)
        if self._session.session_id == session_id:
            self._session = SessionProgress(self.audit_logger)

    def read_audit_session(self, session_id: str) -> Audit:
        """Return the record of a session.

        Raises
        ------
        DataNotFoundError
        """
        return self.audit_logger.read_session(session_id)
