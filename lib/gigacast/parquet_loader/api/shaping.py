"""What is done with rows once they are loaded: joined, split, checked."""

from typing import TypeVar

from gigacast.errors import ConfigError
from gigacast.parquet_loader.check import LoadQuality, context_problems, measure_quality
from gigacast.parquet_loader.dataset import LoadedDataset
from gigacast.parquet_loader.rows import merge_rows, split_by_time

D = TypeVar("D", bound=LoadedDataset)


class LoaderShaping:
    """The methods of `ParquetDataLoader` that look at loaded rows only."""

    def merge_incremental_data(self, existing: D, new: LoadedDataset) -> D:
        """Return both rows together, by item and time; where both have a row the new one stays.

        Raises
        ------
        SchemaValidationError
            When their columns differ.
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
        """Cut rows by time: every row to validate on is later than every row to train on.

        Parameters
        ----------
        data : LoadedDataset
        validation_split, test_split : float
            Shares of the rows; the test is the latest.
        time_based_split : bool
            Always: splits at random would show the model the future.

        Returns
        -------
        tuple of LoadedDataset
            To train on, to validate on, and to test on where that was asked for.

        Raises
        ------
        ConfigError
        """
        if not time_based_split:
            raise ConfigError(
                "time_based_split=False: rows drawn at random would show a model its future",
                hint="leave it out; sample within the training part",
            )
        return split_by_time(data, [s for s in (validation_split, test_split) if s is not None])

    def validate_context_completeness(
        self, data: LoadedDataset, context_length: int | None = None, *, max_gaps: int = 0
    ) -> bool:
        """Whether a context has as many rows as asked for, without gaps and missing targets.

        Parameters
        ----------
        data : LoadedDataset
        context_length : int, optional
            What `load_prediction_data` was asked for, when absent.
        max_gaps : int
            Steps that may lack a row: those of a weekend, for example.
        """
        return not context_problems(data, context_length, max_gaps)

    def context_problems(
        self, data: LoadedDataset, context_length: int | None = None, *, max_gaps: int = 0
    ) -> list[str]:
        """Return what a context lacks, in words; see `validate_context_completeness`."""
        return context_problems(data, context_length, max_gaps)

    def validate_data_quality(
        self,
        data: LoadedDataset,
        *,
        max_missing: float = 0.2,
        max_duplicates: float = 0.0,
        max_gaps: float = 0.5,
    ) -> LoadQuality:
        """Return how good rows are: ``is_valid``, and the ``issues`` in words.

        Parameters
        ----------
        data : LoadedDataset
        max_missing : float
            Share of the values of a target or feature that may be missing.
        max_duplicates, max_gaps : float
            Shares of the rows that may come twice, and of the steps that may lack one.
        """
        return measure_quality(data, max_missing, max_duplicates, max_gaps)
