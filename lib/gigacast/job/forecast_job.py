"""A forecasting job as a value. Nothing in it is looked up in the environment later."""

from dataclasses import dataclass, field, fields, replace
from typing import Literal

from gigacast.core.cost.price import PriceTable
from gigacast.core.partition.name import NamingPattern
from gigacast.core.series.calendar import HolidayTable
from gigacast.core.time.frequency import Frequency
from gigacast.forecasters.around.calibration import Calibration
from gigacast.forecasters.around.enhancement import Enhancement
from gigacast.forecasters.around.horizon import LongHorizon
from gigacast.forecasters.around.regression import CovariateRegressor
from gigacast.forecasters.around.wrapping import Around
from gigacast.forecasters.engine import EngineChoice, EngineName
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasters.options import DEFAULT_LEVELS, Fallback, ForecastOptions, MissingFuture
from gigacast.job.outage import DEFAULT_MINUTES, Patience
from gigacast.lake.model.resolve import DEFAULT_MODEL
from gigacast.lake.plan.discovery import Selection
from gigacast.lake.table.address import TableTarget
from gigacast.series.csv.dialect import CsvOptions
from gigacast.series.source import (
    Aggregate,
    Aggregation,
    ColumnNames,
    DuplicatePolicy,
    PartialBins,
    ReadOptions,
    TimestampUnit,
)
from gigacast.storage.store import StoreAddress

Layout = Literal["long", "wide"]
GIB = 1024**3
KEEP_ORIGINS = 30
"""Forecasts of a partition that are kept by default, the latest included."""


@dataclass(frozen=True)
class ModelChoice:
    """The model of a job, its device and precision.

    Parameters
    ----------
    reference : str
        Name, folder, key or hub id; see `lake.model.resolve_model`.
    version : str, optional
        Version of the model; by default that of the reference, or the active one.
    otherwise : str, optional
        Another reference, used if the first is not found.
    detect : bool
        Whether to look for the model in the bucket and on the hub as well.
    device : {"auto", "cpu", "cuda", "cuda:N"}
    precision : {"auto", "float32", "bfloat16", "int8"}
    engine : {"auto", "torch", "numpy", "openvino"}
    """

    reference: str = DEFAULT_MODEL
    version: str | None = None
    otherwise: str | None = None  # not part of the spec: the model's digest is, once resolved
    detect: bool = True
    device: str = "auto"
    precision: str = "auto"
    engine: EngineName = "auto"

    @property
    def engine_choice(self) -> EngineChoice:
        """How the model is computed."""
        return EngineChoice(self.engine, self.device, self.precision)


@dataclass(frozen=True)
class Method:
    """How series become forecasts.

    All fields are part of the spec except ``unsupported_covariates``: the spec holds the covariates
    that remain.

    Parameters
    ----------
    horizon : int, optional
        Steps ahead; by default the file name's, else the model's own.
    levels : tuple of float
        Quantile levels.
    context_length : int, optional
        Maximum steps of history; all the model can use by default.
    min_length : int
        Minimum number of values: shorter series get the fallback.
    fallback : {"seasonal_naive", "drop"}
        Forecast of series that the model cannot forecast.
    non_negative, integer : bool
        Clip quantiles at zero; round them to whole numbers.
    extrapolate_levels : bool
        Extend quantiles beyond the trained levels.
    seed : int
        Seed of models that sample.
    columns : ColumnNames
    frequency : Frequency, optional
        Frequency of every series; inferred per series by default.
    timestamp_unit : str, optional
        Unit of integer timestamps: ``s``, ``ms``, ``us``, ``ns`` or ``step``; inferred by default.
    layout : {"long", "wide"}
    joint_targets : bool
        Forecast the targets of an item together.
    missing_future : {"error", "past"}
        See `ForecastOptions`.
    unsupported_covariates : {"error", "ignore"}
        Refuse covariates that the model cannot use, or leave them out.
    duplicates, duplicate_share
        See `ReadOptions`. The share is not part of the spec: it decides only which partitions are
        refused.
    aggregate, partial_bins, zone
        Aggregation of rows into the calendar bins of the frequency, see `Aggregation`; none by
        default.
    csv : CsvOptions
        Parts of the dialect of CSV files that are named.
    enhance, long_horizon
        See `ForecastOptions`.
    calibrate : bool
        Whether forecasts are calibrated by the last backtest that measured how, or a backtest
        measures it.
    mean : bool
        Whether forecasts have the mean beside the median.
    calibration : Calibration, optional
        What that backtest has measured; resolved when a job is prepared.
    covariate_regressor, calendar
        See `ForecastOptions`.
    holidays : tuple of str
        Countries whose public holidays are known covariates.
    holiday_tables : tuple of HolidayTable
        Their days; resolved when a job is prepared.
    """

    horizon: int | None = None
    levels: tuple[float, ...] = DEFAULT_LEVELS
    context_length: int | None = None
    min_length: int = 1
    fallback: Fallback = "seasonal_naive"
    non_negative: bool = False
    integer: bool = False
    extrapolate_levels: bool = False
    seed: int = 0
    columns: ColumnNames = field(default_factory=ColumnNames)
    frequency: Frequency | None = None
    timestamp_unit: TimestampUnit | None = None
    layout: Layout = "long"
    joint_targets: bool = False
    missing_future: MissingFuture = "error"
    unsupported_covariates: Literal["error", "ignore"] = "error"
    duplicates: DuplicatePolicy | None = None
    duplicate_share: float = 0.01
    csv: CsvOptions = field(default_factory=CsvOptions)
    aggregate: Aggregate | None = None
    partial_bins: PartialBins = "drop"
    zone: str | None = None
    enhance: Enhancement | None = None
    long_horizon: LongHorizon = "bands"
    calibrate: bool = False
    mean: bool = False
    calibration: Calibration | None = None
    covariate_regressor: CovariateRegressor | None = None
    calendar: bool = False
    holidays: tuple[str, ...] = ()
    holiday_tables: tuple[HolidayTable, ...] = ()

    @property
    def calendar_names(self) -> tuple[str, ...]:
        """Names of the covariates that no column holds, for people."""
        return (
            *(("calendar",) if self.calendar else ()),
            *(f"holidays {c}" for c in self.holidays),
        )

    @property
    def around(self) -> Around:
        """What is done around the model."""
        return Around(self.enhance, self.long_horizon, self.covariate_regressor)

    @property
    def aggregation(self) -> Aggregation | None:
        """How rows are aggregated; ``None`` if they are not."""
        if self.aggregate is None:
            return None
        return Aggregation(self.aggregate, self.partial_bins, self.zone)

    @property
    def reading(self) -> ReadOptions:
        """How series are read, whatever is done with them; every job adds its own options."""
        return ReadOptions(
            columns=self.columns,
            freq=self.frequency,
            timestamp_unit=self.timestamp_unit,
            duplicates=self.duplicates,
            duplicate_share=self.duplicate_share,
            csv=self.csv,
            aggregation=self.aggregation,
        )

    def reading_for(self, info: ForecasterInfo, horizon: int) -> ReadOptions:
        """Return how series are read that a model is to forecast."""
        return replace(
            self.reading,
            context_length=min(self.context_length or info.context_length, info.context_length),
            min_length=self.min_length,
            horizon=horizon,
            joint=self.joint_targets,
        )

    def options(self, horizon: int, batch_size: int | None) -> ForecastOptions:
        """Return the options of a forecaster for a partition.

        Parameters
        ----------
        horizon : int
            Steps ahead of this partition.
        batch_size : int, optional
            Series per call of the model; found automatically by default.

        Raises
        ------
        ConfigError
            If a value is out of its range.
        """
        # An option of the same name in both reaches the forecaster without another line here.
        names = {field.name for field in fields(ForecastOptions)}
        shared = {name: getattr(self, name) for name in names if hasattr(self, name)}
        return ForecastOptions(
            **{
                **shared,
                "horizon": horizon,
                "batch_size": "auto" if batch_size is None else batch_size,
                "joint": self.joint_targets,
            }
        )


@dataclass(frozen=True)
class Synthetic:
    """Synthetic partitions; those that are missing are generated.

    Parameters
    ----------
    partitions : int
        Number of partitions.
    series_per_partition : int
    """

    partitions: int
    series_per_partition: int


@dataclass(frozen=True)
class Resources:
    """Processes and memory of a run. They do not change the numbers.

    Parameters
    ----------
    executor : {"auto", "inline", "joblib", "dask", "ray", "batch"}
    n_jobs : int, optional
        Processes, -1 for all cores; by default as many as pay.
    batch_size : int, optional
        Series per call of the model; found automatically by default.
    memory_limit_bytes : int
        Memory that reading may hold per process before it spills to disk.
    outage_minutes : float
        Minutes that a run waits for a store that does not answer.
    """

    executor: str = "auto"
    n_jobs: int | None = None
    batch_size: int | None = None
    memory_limit_bytes: int = GIB
    outage_minutes: float = DEFAULT_MINUTES

    @property
    def patience(self) -> Patience:
        """How long a run waits out an outage of its stores."""
        return Patience(self.outage_minutes * 60)


@dataclass(frozen=True)
class ForecastJob:
    """A forecasting job: addresses, model, method, selection and resources.

    Parameters
    ----------
    inputs, outputs : StoreAddress
        Input and output root; may be the same.
    bucket : StoreAddress
        Bucket or folder of both roots. It must exist, while a prefix need not.
    model : ModelChoice
    method : Method
    pattern : NamingPattern
    selection : Selection
    resources : Resources
    synthetic : Synthetic, optional
    overwrite : bool
        Whether partitions that are done are forecast again.
    limit : int, optional
        Maximum number of partitions to forecast.
    keep_origins : int
        Forecasts of a partition that are kept, the latest included. It is no part of the spec: it
        changes no number.
    incremental : bool
        Whether series that did not change keep their rows when a partition is forecast again. It is
        no part of the spec: it changes numbers by float rounding only, as the batch size does.
    prices : PriceTable, optional
        Prices of machine time; a run has no costs by default.
    table : TableTarget, optional
        Table that the results are written to as well.
    """

    inputs: StoreAddress
    outputs: StoreAddress
    bucket: StoreAddress
    model: ModelChoice = field(default_factory=ModelChoice)
    method: Method = field(default_factory=Method)
    pattern: NamingPattern = field(default_factory=NamingPattern)
    selection: Selection = field(default_factory=Selection)
    resources: Resources = field(default_factory=Resources)
    synthetic: Synthetic | None = None
    overwrite: bool = False
    limit: int | None = None
    keep_origins: int = KEEP_ORIGINS
    incremental: bool = False
    prices: PriceTable | None = None
    table: TableTarget | None = None
