"""`finetune` and `ChronosTrainer`: a model trained further on a team's own data.

They load settings, as the commands do. The registry is ``models/`` under the bucket and prefix;
without a bucket, ``models/`` in the working folder.
"""

import operator
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from gigacast.core.array import RealArray
from gigacast.core.problem import did_you_mean
from gigacast.errors import ConfigError
from gigacast.forecasting.history import joined_contexts, read_contexts
from gigacast.job.audit import this_author
from gigacast.job.forecast_job import Method
from gigacast.job.location import open_inputs
from gigacast.series.frame import is_frame, table_of
from gigacast.series.source import FILE_FORMATS
from gigacast.settings.argument import as_path, check_argument, checked
from gigacast.settings.assembly import job_of, method_of
from gigacast.settings.command.training import DEFAULT_HISTORY
from gigacast.settings.commands import TRAIN_KEYWORDS
from gigacast.settings.load import load_settings
from gigacast.settings.model import Settings
from gigacast.settings.options import ARGUMENTS, nest_arguments
from gigacast.settings.signature import with_options
from gigacast.trainers.finetuning.config import MOST, FinetuneOptions, TrainingEvents
from gigacast.training.data import (
    FileData,
    TableData,
    TrainingData,
    find_partitions,
)
from gigacast.training.job import FinetuneJob, FinetuneResult
from gigacast.training.keywords import TrainOptions
from gigacast.training.run import run_finetune

if TYPE_CHECKING:
    import pandas as pd

_PLAIN = (float, bool, str)
_FROM_SETTINGS = ("horizon", "context_length", "seed", "batch_size")
"""Options of training that are settings of every job, by name."""


@with_options(TRAIN_KEYWORDS)
def finetune(
    data: "str | Path | pd.DataFrame",
    *,
    config: str | Path | None = None,
    events: TrainingEvents | None = None,
    **options: Unpack[TrainOptions],
) -> FinetuneResult:
    """Fine-tune a model, and publish the result as a version with its lineage.

    Parameters
    ----------
    data : str, path or pandas.DataFrame
        Data to learn from: a bucket name, ``s3://...`` or ``file:///folder`` for its partitions; a
        ``.csv``, ``.parquet`` or ``.json`` file; or a data frame. Forms are those of `forecast`.
    config : path, optional
        Settings file; none by default.
    events : TrainingEvents, optional
        Callbacks for the run's progress.
    **options
        Flags of the command line by name; ``bucket`` is the place of the registry when ``data`` is
        a file or data frame.

    Raises
    ------
    ConfigError, DataError, ModelError, StorageError
        If training cannot start or fails. The registry is unchanged then.
    """
    arguments: dict[str, Any] = dict(options)
    source = _source_of(data)
    if source is None:
        arguments["bucket"] = str(data)
    job = finetune_job(arguments, source, file=as_path("config", config))
    return run_finetune(job, this_author(), events=events)


def _source_of(data: "str | Path | pd.DataFrame") -> TrainingData | None:
    """Return the data of a file or data frame; ``None`` for a bucket."""
    if is_frame(data):
        return TableData(table_of(data))
    # "data.csv" is a valid name of a bucket as well; a file is meant far more often.
    is_file = "://" not in str(data) and str(data).lower().endswith(tuple(FILE_FORMATS))
    if isinstance(data, Path) or is_file:
        return FileData(Path(data).expanduser())
    if not isinstance(data, str):
        table_of(data, takes="a bucket, a file")  # raises, and says what can be given
    return None


def finetune_job(
    options: Mapping[str, Any], data: TrainingData | None, *, file: Path | None = None
) -> FinetuneJob:
    """Return the fine-tuning job of options and settings.

    Parameters
    ----------
    options : mapping
        Options by name, see `TrainOptions`; ``None`` counts as not given.
    data : TrainingData, optional
        Data to learn from; by default the partitions of the bucket.
    file : Path, optional
        Settings file; none by default.

    Raises
    ------
    ConfigError
        If a name is unknown or a value is out of its range.
    """
    requested = {n: _plain(n, v) for n, v in options.items() if v is not None}
    requested = {n: v for n, v in requested.items() if n not in ARGUMENTS}
    settings = training_settings(options, file, needs_bucket=data is None)
    own = {field.name for field in fields(FinetuneOptions)} - set(_FROM_SETTINGS)
    chosen = {name: requested.pop(name) for name in list(requested) if name in own}
    for name in _FROM_SETTINGS:
        if (value := ARGUMENTS[name].read(settings)) is not None:
            chosen[name] = value
    checkpoints = requested.pop("checkpoints", None)
    # A misspelt option must not train for hours with a default in its place.
    unknown = set(requested) - set(TrainOptions.__annotations__)
    if unknown:
        name = sorted(unknown)[0]
        near = did_you_mean(name, TrainOptions.__annotations__)
        raise ConfigError(f"{name}: no such argument", hint=near or None)
    return FinetuneJob(
        job=job_of(settings),
        options=FinetuneOptions(**chosen),
        data=data,
        name=requested.get("name"),
        version=requested.get("new_version"),
        switch=requested.get("switch", False),
        why=requested.get("why", ""),
        checkpoint_dir=path.expanduser() if (path := as_path("checkpoints", checkpoints)) else None,
        max_minutes=requested.get("max_minutes"),
        history=requested.get("history", DEFAULT_HISTORY),
        threads=requested.get("threads"),
    )


def _plain(name: str, value: Any) -> Any:
    """Return an option of training as a number, text or truth of Python; others as they are.

    Raises
    ------
    ConfigError
        If it is of another type than its annotation says.
    """
    hint = TrainOptions.__annotations__.get(name)
    if hint is None or name in ARGUMENTS:  # settings have types of their own
        return value
    check_argument(name, value, hint)
    if hint is float and isinstance(value, int) and abs(value) >= MOST:
        raise ConfigError(f"{name}: a number of {value.bit_length()} bits is too large")
    # Those of NumPy are no values of JSON, in which the lineage is stored.
    return operator.index(value) if hint is int else hint(value) if hint in _PLAIN else value


def training_settings(
    options: Mapping[str, Any], file: Path | None = None, *, needs_bucket: bool = True
) -> Settings:
    """Return the settings of training, with the working folder as bucket if none is named.

    A file needs no bucket to be learned from, but the registry needs a place.

    Parameters
    ----------
    options : mapping
        Options by name; ``None`` counts as not given.
    file : Path, optional
        Settings file; none by default.
    needs_bucket : bool
        Whether a bucket must be named.

    Raises
    ------
    ConfigError
        If it must be, and is not.
    """
    arguments = {n: v for n, v in options.items() if v is not None and n in ARGUMENTS}
    settings = load_settings(nest_arguments(arguments), file=file)
    bucket = settings.run.bucket or settings.parquet_loader.data_paths.root_dir
    if needs_bucket and not bucket:
        raise ConfigError(
            "there is nothing to train on: no bucket named",
            hint="use --bucket NAME, s3://..., or the path of a folder; or a file by --data",
        )
    if bucket:
        return settings
    local = {**arguments, "bucket": f"file://{Path.cwd()}"}
    return load_settings(nest_arguments(local), file=file)


@checked
class ChronosTrainer:
    """Training data, and the model that is trained on it.

    Parameters
    ----------
    parquet_config_path : path, optional
        Settings file. Its ``parquet_loader`` is the place and form of the data that
        `load_training_data_from_parquet` reads, its ``model`` the model to train.
    model : str, optional
        Shipped model, folder, NAME/VERSION under ``models/``, or hub id; the settings' by default.
    bucket, prefix : str, optional
        Place of the registry and of partitions; the settings' by default, and without either
        ``models/`` in the working folder is the registry.

    Raises
    ------
    ConfigError
        If the settings are wrong.
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

    def load_training_data(self, data: "str | Path | pd.DataFrame") -> RealArray:
        """Read a file or a data frame to train on.

        Parameters
        ----------
        data : path or pandas.DataFrame
            A ``.csv``, ``.parquet`` or ``.json`` file, or a data frame, in the forms of `forecast`.

        Returns
        -------
        float32 [T] or [N, T]
            Values: one series, or N left-padded with NaN. They are float64 if float32 would lose
            steps.

        Raises
        ------
        ConfigError
            If it is neither.
        DataError
            If columns are missing, or the file cannot be read.
        """
        source = _source_of(data)
        if source is None:
            raise ConfigError(
                f"data: {data!r} is no .csv, .parquet or .json file",
                hint="give a path, as Path(...); gigacast.finetune takes buckets",
            )
        return self._take(source)

    def load_training_data_from_parquet(
        self,
        file_path: str | Path | None = None,
        *,
        symbol: str | None = None,
        year: int | None = None,
        month: int | None = None,
    ) -> RealArray:
        """Read a file, or the partitions of a symbol, to train on.

        Parameters
        ----------
        file_path : path, optional
            A ``.csv``, ``.parquet`` or ``.json`` file.
        symbol : str, optional
            Symbol of partitions under the configured root.
        year, month : int, optional
            Year and month of the symbol's partitions; all by default.

        Returns
        -------
        float32 [T] or [N, T]
            Values: one series, or N left-padded with NaN. They are float64 if float32 would lose
            steps.

        Raises
        ------
        ConfigError
            If neither a file nor a symbol is given.
        DataError, StorageError
            If the data is not there or cannot be read.
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

    def _take(self, data: TrainingData) -> RealArray:
        """Keep the data for `train`, and return its values."""
        # Faults of the data are found here and not an hour later: `train` reads it again.
        method: Method = method_of(self._settings)
        values: list[RealArray] = []
        for group in data.groups():
            options = replace(method.reading, context_length=DEFAULT_HISTORY, item_id=group.name)
            values += read_contexts(group.sources, options)
        self._data = data
        return joined_contexts(values)

    @with_options(TRAIN_KEYWORDS)
    def train(self, **options: Unpack[TrainOptions]) -> FinetuneResult:
        """Fine-tune the model on the loaded data, and publish the result as a version.

        Parameters
        ----------
        **options
            Flags of the command line by name.

        Raises
        ------
        ConfigError
            If no data was loaded, or an option is wrong.
        DataError, ModelError, StorageError
            If training fails. The registry is unchanged then.
        """
        if self._data is None:
            raise ConfigError(
                "train: there is no training data", hint="call load_training_data(...) before"
            )
        own = {name: value for name, value in self._given.items() if value is not None}
        job = finetune_job({**own, **options}, self._data, file=self._file)
        return run_finetune(job, this_author())
