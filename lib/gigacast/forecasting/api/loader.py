"""`ChronosLoader`: forecasts of arrays, with the model and the code of the forecasting job.

It loads settings, as the commands do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gigacast.core.array import FloatArray
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.time.frequency import Frequency
from gigacast.core.time.month import Month
from gigacast.errors import ConfigError, DataNotFoundError
from gigacast.forecasters.batching import forecast_batch
from gigacast.forecasters.forecaster import Forecaster
from gigacast.forecasters.options import DEFAULT_LEVELS
from gigacast.forecasting.frame import load_chosen
from gigacast.forecasting.history import find_partition, offsets_of, pad_contexts, read_contexts
from gigacast.job.forecast_job import Method, ModelChoice
from gigacast.job.location import open_inputs
from gigacast.lake.model.resolve import DEFAULT_MODEL
from gigacast.series.source import Format, ReadOptions, SeriesSource
from gigacast.settings.assembly import job_of, method_of, registry_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.storage.parquet.read import open_object


@dataclass(frozen=True)
class Prediction:
    """A probabilistic forecast of N series.

    Parameters
    ----------
    levels : tuple of float
        Q quantile levels.
    quantiles : float32 [N, H, Q]
    median : float32 [N, H]
    """

    levels: tuple[float, ...]
    quantiles: FloatArray
    median: FloatArray


class ChronosLoader:
    """A model that is loaded once and forecasts contexts.

    Parameters
    ----------
    parquet_config_path : path, optional
        Settings file. Its ``parquet_loader`` is the place and form of the data that
        `load_context_from_parquet` reads, its ``model`` the model.
    model : str, optional
        Shipped model, folder, NAME/VERSION under ``models/``, or hub id; the settings' by default.
    bucket, prefix : str, optional
        Bucket whose ``models/``, below the prefix, is searched as well; that of the settings by
        default, if they name one.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    precision : str
        ``auto``, ``float32`` or ``bfloat16``.

    Raises
    ------
    ConfigError
        If the settings are wrong.

    Examples
    --------
    >>> loader = ChronosLoader(model="seasonal-naive")
    >>> loader.predict([1.0, 2.0, 3.0], prediction_length=2).median
    array([[3., 3.]], dtype=float32)
    """

    def __init__(
        self,
        parquet_config_path: str | Path | None = None,
        *,
        model: str | None = None,
        bucket: str | None = None,
        prefix: str | None = None,
        device: str = "auto",
        precision: str = "auto",
    ) -> None:
        file = Path(parquet_config_path) if parquet_config_path is not None else None
        place = nest_arguments({"bucket": bucket, "prefix": prefix})
        self._settings = load_settings(place, file=file)
        chosen = model or self._settings.model.model_path or self._settings.model.model_type
        # A version in the settings belongs to the settings' model.
        version = None if model else self._settings.model.version
        self._choice = ModelChoice(
            chosen or DEFAULT_MODEL, version, device=device, precision=precision
        )
        self._forecaster: Forecaster | None = None

    @property
    def forecaster(self) -> Forecaster:
        """The model; it is loaded when it is first used.

        Raises
        ------
        ModelError, StorageError
            If it cannot be loaded.
        """
        if self._forecaster is None:
            self._forecaster = load_chosen(self._choice, registry_of(self._settings))
        return self._forecaster

    def predict(
        self,
        context: Any,
        prediction_length: int | None = None,
        quantile_levels: Sequence[float] = DEFAULT_LEVELS,
    ) -> Prediction:
        """Forecast one or many series.

        Parameters
        ----------
        context : array [T] or [N, T], or a sequence of arrays
            One series of T steps, or N series. NaN is a missing value.
        prediction_length : int, optional
            Steps ahead, H; by default the settings', else the model's own.
        quantile_levels : sequence of float

        Returns
        -------
        Prediction
            Quantiles [N, H, Q] and median [N, H].

        Raises
        ------
        ConfigError
            If the context has another shape, or a value is out of its range.
        """
        info = self.forecaster.info
        horizon = prediction_length
        if horizon is None:
            horizon = self._settings.model.prediction_length
        method = Method(levels=tuple(sorted(quantile_levels)))
        options = method.options(info.prediction_length if horizon is None else horizon, None)
        forecast = forecast_batch(self.forecaster, _batch_of(_contexts_of(context)), options)
        return Prediction(forecast.levels, forecast.quantiles, forecast.median)

    def load_context_from_parquet(
        self,
        file_path: str | Path | None = None,
        *,
        symbol: str | None = None,
        year: int | None = None,
        month: int | None = None,
        context_length: int | None = None,
    ) -> FloatArray:
        """Read a context from a file, or from a symbol's partition under the configured root.

        Parameters
        ----------
        file_path : path, optional
            A ``.parquet``, ``.csv`` or ``.json`` file.
        symbol : str, optional
            Symbol of a partition, together with ``year`` and ``month``. The settings must have
            ``parquet_loader.data_paths.root_dir`` or ``run.bucket``.
        year, month : int, optional
        context_length : int, optional
            Maximum steps; all the model can use by default.

        Returns
        -------
        float32 [T] or [N, T]
            One series, or N left-padded with NaN.

        Raises
        ------
        ConfigError
            If neither a file nor a symbol with year and month is given.
        DataError, StorageError
            If the data is not there or cannot be read.
        """
        method = method_of(self._settings)
        length = self.forecaster.info.context_length
        if context_length is not None:
            length = context_length
        if file_path is not None:
            path = Path(file_path)
            format_of(path)  # checked first: a wrong ending explains more than a missing file
            if not path.is_file():
                raise DataNotFoundError(f"{path}: no such file")
            source = SeriesSource(partial(path.open, "rb"), format_of(path), str(path))
            sources, item = [source], path.stem
        elif symbol and year and month:
            sources, item = self._sources_of(symbol, Month(year, month)), symbol
        else:
            raise ConfigError(
                "load_context_from_parquet: give file_path, or symbol, year and month"
            )
        options = ReadOptions(
            columns=method.columns,
            context_length=length,
            item_id=item,
            duplicates=method.duplicates,
            duplicate_share=method.duplicate_share,
        )
        contexts = [values for batch in read_contexts(sources, options) for values in batch]
        return contexts[0] if len(contexts) == 1 else pad_contexts(contexts)

    def _sources_of(self, symbol: str, month: Month) -> list[SeriesSource]:
        job = job_of(self._settings)
        inputs = open_inputs(job.inputs)
        inputs.check()
        partition = find_partition(inputs, job.pattern, symbol, month)
        return [
            SeriesSource(
                partial(open_object, inputs, i.key, if_match=i.etag, size_bytes=i.size_bytes),
                i.extension,
                i.key,
            )
            for i in partition.inputs
        ]


def _contexts_of(context: Any) -> list[FloatArray]:
    # numpy would read a data frame's columns as series, its times among them.
    if hasattr(context, "columns"):
        raise ConfigError(
            "context: expected numbers, got a data frame", hint="gigacast.forecast takes frames"
        )
    try:
        if isinstance(context, np.ndarray) and context.ndim == 2:
            return [np.asarray(row, dtype=np.float32) for row in context]
        if len(context) and np.ndim(context[0]) == 1:
            return [np.asarray(row, dtype=np.float32) for row in context]
        flat = np.asarray(context, dtype=np.float32)
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise ConfigError(
            f"context: expected numbers [T], [N, T] or a sequence of arrays: {error}"
        ) from error
    if flat.ndim != 1 or not flat.size:
        raise ConfigError(f"context: expected [T] or [N, T], got an array of shape {flat.shape}")
    return [flat]


def _batch_of(contexts: list[FloatArray]) -> SeriesBatch:
    # Arrays have no times: their steps are numbered, and the frequency is one step.
    count = len(contexts)
    return SeriesBatch(
        item_ids=pa.array(range(count), pa.int64()),
        target_names=pa.array(["target"] * count, pa.string()),
        values=np.concatenate([*contexts, np.empty(0, np.float32)]),
        offsets=offsets_of(contexts),
        last_timestamps=np.array([len(context) - 1 for context in contexts], dtype=np.int64),
        frequencies=(Frequency.steps(),),
        frequency_codes=np.zeros(count, dtype=np.int64),
        reasons=np.zeros(count, dtype=np.int8),
        timestamp_type=pa.int64(),
    )


def format_of(path: Path) -> Format:
    """Return the format of a file, by its ending.

    Raises
    ------
    ConfigError
        If the ending is not that of a format that can be read.
    """
    formats: dict[str, Format] = {".parquet": "parquet", ".csv": "csv", ".json": "json"}
    if path.suffix.lower() not in formats:
        raise ConfigError(f"{path}: expected a .parquet, .csv or .json file")
    return formats[path.suffix.lower()]
