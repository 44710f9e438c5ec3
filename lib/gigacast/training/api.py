"""`finetune` and `ChronosTrainer`: a better version of a model, trained on a team's own data.

A door like the command line, which uses it: it may load settings. The registry is ``models/`` under
the bucket and prefix; without a bucket, ``models/`` in the working folder.
"""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import pyarrow as pa

from gigacast.core.array import FloatArray
from gigacast.errors import ConfigError
from gigacast.forecasting.history import pad_contexts, read_contexts
from gigacast.job.audit import this_author
from gigacast.job.forecast_job import Method
from gigacast.job.location import open_inputs
from gigacast.series.source import ReadOptions
from gigacast.settings.assembly import job_of, method_of
from gigacast.settings.load import load_settings
from gigacast.settings.model import Settings
from gigacast.settings.options import ARGUMENTS, nest_arguments
from gigacast.settings.signature import with_options
from gigacast.trainers.finetuning.config import FinetuneOptions, TrainingEvents
from gigacast.training.data import (
    DEFAULT_HISTORY,
    FileData,
    TableData,
    TrainingData,
    find_partitions,
)
from gigacast.training.job import FinetuneJob, FinetuneResult
from gigacast.training.keywords import TrainOptions
from gigacast.training.options import KEYWORDS
from gigacast.training.run import run_finetune

if TYPE_CHECKING:
    import pandas as pd

FILE_ENDINGS = (".csv", ".parquet", ".json")
_FROM_SETTINGS = ("horizon", "context_length", "seed", "batch_size")
"""Options of training that are settings of every job, by name."""


@with_options(KEYWORDS)
def finetune(
    data: "str | Path | pd.DataFrame",
    *,
    config: str | Path | None = None,
    events: TrainingEvents | None = None,
    **options: Unpack[TrainOptions],
) -> FinetuneResult:
    """Fine-tune a model, and publish what comes out as a version with its lineage.

    Parameters
    ----------
    data : str, path or pandas.DataFrame
        A bucket name, ``s3://...`` or ``file:///folder``, whose partitions are learned from; a
        ``.csv``, ``.parquet`` or ``.json`` file; or a data frame. In any form the readers know.
    config : path, optional
        A settings file.
    events : TrainingEvents, optional
        Told how the run goes on.
    **options
        Flags of the command line by name; ``bucket`` is the place of the registry when ``data`` is
        a file or data frame.

    Raises
    ------
    ConfigError, DataError, ModelError, StorageError
        The registry then is as it was.
    """
    given: dict[str, Any] = dict(options)
    source = _source_of(data)
    if source is None:
        given["bucket"] = str(data)
    job = finetune_job(given, source, file=Path(config) if config else None)
    return run_finetune(job, this_author(), events=events)


def _source_of(data: "str | Path | pd.DataFrame") -> TrainingData | None:
    """Return a file or frame to learn from; ``None`` for a bucket."""
    if hasattr(data, "columns"):
        return TableData(pa.Table.from_pandas(data, preserve_index=False))
    is_file = "://" not in str(data) and str(data).lower().endswith(FILE_ENDINGS)
    if isinstance(data, Path) or is_file:
        return FileData(Path(data).expanduser())
    if not isinstance(data, str):
        raise ConfigError(
            f"data: expected a bucket, a file or a DataFrame, got {type(data).__name__}"
        )
    return None


def finetune_job(
    given: Mapping[str, Any], data: TrainingData | None, *, file: Path | None = None
) -> FinetuneJob:
    """Return what is asked for by name, and by the settings, as the plain values of a run.

    Parameters
    ----------
    given : mapping
        See `TrainOptions`; ``None`` counts as not given.
    data : TrainingData, optional
        The partitions of the bucket when absent.
    file : Path, optional
        A settings file.

    Raises
    ------
    ConfigError
        When a name is unknown or a value is out of its range.
    """
    wishes = {name: value for name, value in given.items() if value is not None}
    arguments = {name: wishes.pop(name) for name in list(wishes) if name in ARGUMENTS}
    settings = _settings(arguments, file, needs_bucket=data is None)
    own = {field.name for field in fields(FinetuneOptions)} - set(_FROM_SETTINGS)
    chosen = {name: wishes.pop(name) for name in list(wishes) if name in own}
    for name in _FROM_SETTINGS:
        if (value := ARGUMENTS[name].read(settings)) is not None:
            chosen[name] = value
    checkpoints = wishes.pop("checkpoints", None)
    unknown = set(wishes) - set(TrainOptions.__annotations__)
    if unknown:
        raise ConfigError(f"{sorted(unknown)[0]}: no such argument")
    return FinetuneJob(
        job=job_of(settings),
        options=FinetuneOptions(**chosen),
        data=data,
        name=wishes.get("name"),
        version=wishes.get("new_version"),
        switch=wishes.get("switch", False),
        why=wishes.get("why", ""),
        checkpoint_dir=Path(checkpoints).expanduser() if checkpoints else None,
        max_minutes=wishes.get("max_minutes"),
        history=wishes.get("history", DEFAULT_HISTORY),
        threads=wishes.get("threads"),
    )


def _settings(arguments: dict[str, Any], file: Path | None, *, needs_bucket: bool) -> Settings:
    """Load settings; where no bucket is named, the registry of a file is in the working folder."""
    settings = load_settings(nest_arguments(arguments), file=file)
    named = settings.run.bucket or settings.parquet_loader.data_paths.root_dir
    if needs_bucket and not named:
        raise ConfigError(
            "there is nothing to train on: no bucket named",
            hint="use --bucket NAME, s3://..., or file:///folder; or a file by --data",
        )
    if named:
        return settings
    here = {**arguments, "bucket": f"file://{Path.cwd()}"}
    return load_settings(nest_arguments(here), file=file)


class ChronosTrainer:
    """Takes training data in, and trains a model on it.

    Parameters
    ----------
    parquet_config_path : path, optional
        A settings file; its ``parquet_loader`` says where `load_training_data_from_parquet` looks,
        its ``model`` what is trained.
    model : str, optional
        Overrides the settings: see the guide for what can be named.
    bucket, prefix : str, optional
        Override the settings: where the registry is, and partitions are. Without any bucket the
        registry is ``models/`` in the working folder.

    Raises
    ------
    ConfigError
        When the settings are wrong.
    """

    def __init__(
        self,
        parquet_config_path: str | Path | None = None,
        *,
        model: str | None = None,
        bucket: str | None = None,
        prefix: str | None = None,
    ) -> None:
        self._file = Path(parquet_config_path) if parquet_config_path is not None else None
        self._given = {"model": model, "bucket": bucket, "prefix": prefix}
        self._settings = load_settings(nest_arguments(self._given), file=self._file)
        self._data: TrainingData | None = None

    def load_training_data(self, data: "str | Path | pd.DataFrame") -> FloatArray:
        """Take a file or a data frame to train on.

        Parameters
        ----------
        data : path or pandas.DataFrame
            A ``.csv``, ``.parquet`` or ``.json`` file, in any form the readers know.

        Returns
        -------
        float32 [T] or [N, T]
            What was read: one series, or N left-padded with NaN.

        Raises
        ------
        ConfigError
            When it is neither.
        DataError
            When columns are missing, or the file cannot be read.
        """
        source = _source_of(data)
        if source is None:
            raise ConfigError(
                f"data: {data!r} is no .csv, .parquet or .json file",
                hint="gigacast.finetune takes buckets",
            )
        return self._take(source)

    def load_training_data_from_parquet(
        self,
        file_path: str | Path | None = None,
        *,
        symbol: str | None = None,
        year: int | None = None,
        month: int | None = None,
    ) -> FloatArray:
        """Take a file to train on, or the partitions of a symbol.

        Parameters
        ----------
        file_path : path, optional
        symbol : str, optional
            Of the partitions under the configured root: all of them when no year is given.
        year, month : int, optional

        Returns
        -------
        float32 [T] or [N, T]
            As `load_training_data`.

        Raises
        ------
        ConfigError
            When neither a file nor a symbol is given.
        DataError, StorageError
        """
        if file_path is not None:
            return self._take(FileData(Path(file_path).expanduser()))
        if symbol is None or (month is not None and year is None):
            raise ConfigError(
                "load_training_data_from_parquet: give file_path, or symbol with or without year "
                "and month"
            )
        return self._take(self._find(symbol, year, month))

    def _find(self, symbol: str, year: int | None, month: int | None) -> TrainingData:
        chosen = {"years": year, "months": month, "symbol": symbol}
        texts = {name: str(value) for name, value in chosen.items() if value is not None}
        settings = load_settings(nest_arguments({**self._given, **texts}), file=self._file)
        job = job_of(settings)
        inputs = open_inputs(job.inputs)
        inputs.check()
        return find_partitions(job, inputs)

    def _take(self, data: TrainingData) -> FloatArray:
        """Read once, so that what is wrong with the data is said now; train reads it again."""
        method: Method = method_of(self._settings)
        found: list[FloatArray] = []
        for group in data.groups():
            options = ReadOptions(
                columns=method.columns,
                context_length=DEFAULT_HISTORY,
                freq=method.frequency,
                item_id=group.name,
                timestamp_unit=method.timestamp_unit,
            )
            found += [series for batch in read_contexts(group.sources, options) for series in batch]
        self._data = data
        return np.array(found[0]) if len(found) == 1 else pad_contexts(found)

    @with_options(KEYWORDS)
    def train(self, **options: Unpack[TrainOptions]) -> FinetuneResult:
        """Fine-tune the model on what was loaded, and publish the version that comes out.

        Parameters
        ----------
        **options
            Flags of the command line by name.

        Raises
        ------
        ConfigError
            When nothing was loaded, or an option is wrong.
        DataError, ModelError, StorageError
            The registry then is as it was.
        """
        if self._data is None:
            raise ConfigError(
                "train: there is no training data", hint="call load_training_data(...) before"
            )
        own = {name: value for name, value in self._given.items() if value is not None}
        job = finetune_job({**own, **options}, self._data, file=self._file)
        return run_finetune(job, this_author())
