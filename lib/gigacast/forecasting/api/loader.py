"""`ChronosLoader`: forecasts of arrays, with the model and the code of the forecasting job.

It loads settings, as the commands do.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import pyarrow as pa

from gigacast.core.array import FloatArray, RealArray
from gigacast.core.column import to_arrow
from gigacast.core.time.month import Month
from gigacast.errors import ConfigError, DataNotFoundError
from gigacast.forecasters.around.enhancement import Enhancement
from gigacast.forecasters.batching import forecast_batch
from gigacast.forecasters.forecaster import Forecaster, is_shift_free
from gigacast.forecasters.options import DEFAULT_LEVELS
from gigacast.forecasting.api.arrays import batch_of, contexts_of
from gigacast.forecasting.frame import load_chosen
from gigacast.forecasting.history import find_partition, joined_contexts, read_contexts
from gigacast.forecasting.prediction import level_name
from gigacast.job.forecast_job import Method
from gigacast.job.location import open_inputs
from gigacast.series.frame import to_pandas
from gigacast.series.source import Format, SeriesSource
from gigacast.settings.argument import as_count, as_path, as_text
from gigacast.settings.assembly import choice_of, job_of, method_of, registry_of
from gigacast.settings.level import quantiles_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.storage.parquet.read import open_object
from gigacast.storage.store import StoreAddress


@dataclass(frozen=True)
class Prediction:
    """A probabilistic forecast of N series.

    Parameters
    ----------
    levels : tuple of float
        Q quantile levels.
    quantiles : float32 [N, H, Q]
    median : float32 [N, H]
        Both are float64 if float32 would lose steps of a series.
    """

    levels: tuple[float, ...]
    quantiles: FloatArray
    median: FloatArray

    def to_table(self) -> pa.Table:
        """Return a row per series and step.

        Columns are ``series`` (from 0), ``step`` (from 1), ``predictions`` (the median), and one
        per quantile level; a missing number is null.
        """
        count, steps = self.median.shape
        series, step = np.repeat(np.arange(count), steps), np.tile(np.arange(1, steps + 1), count)
        numbers = {"predictions": self.median.ravel()}
        numbers |= {
            level_name(q): self.quantiles[:, :, n].ravel() for n, q in enumerate(self.levels)
        }
        columns = {name: to_arrow(values, np.isnan(values)) for name, values in numbers.items()}
        return pa.table({"series": to_arrow(series), "step": to_arrow(step), **columns})

    def to_pandas(self) -> Any:
        """Return the table as a pandas DataFrame.

        Raises
        ------
        MissingExtraError
            If pandas is not installed.
        """
        return to_pandas(self.to_table())


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
        default, and the working folder if they name none.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; the settings' by default.
    precision : str
        ``auto``, ``float32``, ``bfloat16`` or ``int8``; the settings' by default.

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
        file = as_path("parquet_config_path", parquet_config_path)
        place = nest_arguments({"bucket": bucket, "prefix": prefix})
        self._settings = load_settings(place, file=file)
        model = as_text("model", os.fspath(model) if isinstance(model, Path) else model)
        choice = choice_of(self._settings)
        if model:
            # The version and the stand-in of the settings belong to the settings' model.
            choice = replace(choice, reference=model, version=None, otherwise=None)
        self._choice = replace(
            choice,
            device=_chosen("device", device, choice.device),
            precision=_chosen("precision", precision, choice.precision),
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
            self._forecaster = load_chosen(self._choice, self._models())
        return self._forecaster

    def _models(self) -> StoreAddress | None:
        """Return the root of ``models/``: that of the settings, else the working folder."""
        # `ModelManager` and `ChronosTrainer` publish there if no bucket is named.
        here = StoreAddress(f"file://{Path.cwd()}") if Path("models").is_dir() else None
        return registry_of(self._settings) or here

    def predict(
        self,
        context: Any,
        prediction_length: int | None = None,
        quantile_levels: Sequence[float] = DEFAULT_LEVELS,
        *,
        level: Sequence[float] | None = None,
        enhance: Enhancement | None = None,
        season: int | None = None,
    ) -> Prediction:
        """Forecast one or many series.

        Parameters
        ----------
        context : array [T] or [N, T], or a sequence of arrays
            One series of T steps, or N series, oldest step first: arrays of NumPy (masked ones
            too), Arrow or PyTorch, Series of pandas or polars, lists. NaN, null, NA and what is
            masked are missing values. Dates in an index are not read, but must ascend.
        prediction_length : int, optional
            Steps ahead, H; by default the settings', else the model's own.
        quantile_levels : sequence of float
        level : sequence of float, optional
            Central intervals in percent, as ``[80, 95]``, in place of ``quantile_levels``.
        enhance : {"seasonal_difference", "trend", "flip", "zeros", "auto"}, optional
            Changes of series before the model, and passes that are averaged; none by default.
        season : int, optional
            Steps of a season, which ``enhance`` and the fallback need, as arrays have no times; 1
            by default.

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
        horizon = as_count("prediction_length", prediction_length)
        if horizon is None:
            horizon = self._settings.model.prediction_length
        method = Method(
            levels=_levels(quantile_levels) if level is None else tuple(quantiles_of(level)),
            enhance=_enhancement(enhance),
        )
        options = method.options(info.prediction_length if horizon is None else horizon, None)
        options = replace(options, season=as_count("season", season))
        batch = batch_of(contexts_of(context), precise=is_shift_free(info))
        forecast = forecast_batch(self.forecaster, batch, options)
        return Prediction(forecast.levels, forecast.quantiles, forecast.median)

    def load_context_from_parquet(
        self,
        file_path: str | Path | None = None,
        *,
        symbol: str | None = None,
        year: int | None = None,
        month: int | None = None,
        context_length: int | None = None,
    ) -> RealArray:
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
            One series, or N left-padded with NaN. They are float64 if float32 would lose steps.

        Raises
        ------
        ConfigError
            If neither a file nor a symbol with year and month is given.
        DataError, StorageError
            If the data is not there or cannot be read.
        """
        method = method_of(self._settings)
        length = as_count("context_length", context_length)
        if length is None:
            length = self.forecaster.info.context_length
        symbol = as_text("symbol", symbol)
        year, month = as_count("year", year), as_count("month", month)
        path = as_path("file_path", file_path)
        if path is not None:
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
        freq = method.frequency if method.aggregate is not None else None
        options = replace(method.reading, context_length=length, item_id=item, freq=freq)
        return joined_contexts(read_contexts(sources, options))

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


def _chosen(name: str, text: str, otherwise: str) -> str:
    """Return an argument, or the settings' value where the argument leaves the choice."""
    chosen = as_text(name, text) or "auto"
    return otherwise if chosen == "auto" else chosen


def _enhancement(name: Any) -> Enhancement | None:
    if name is None or name in get_args(Enhancement):
        return cast("Enhancement | None", name)
    raise ConfigError(
        f"enhance: {name!r} is not known", hint=f"use {', '.join(get_args(Enhancement))}"
    )


def _levels(levels: Any) -> tuple[float, ...]:
    try:
        # A text is a sequence too, of letters.
        return tuple(sorted(float(level) for level in (() if isinstance(levels, str) else levels)))
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"quantile_levels: expected numbers between 0 and 1, got {levels!r}"
        ) from error


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
