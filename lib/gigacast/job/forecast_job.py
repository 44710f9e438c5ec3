"""A forecasting job as a value: everything a run needs to know, resolved from no environment."""

from dataclasses import dataclass, field, fields
from typing import Literal

from gigacast.core.cost.price import PriceTable
from gigacast.core.partition.name import NamingPattern
from gigacast.core.time.frequency import Frequency
from gigacast.forecasters.options import DEFAULT_LEVELS, Fallback, ForecastOptions, MissingFuture
from gigacast.lake.model.resolve import DEFAULT_MODEL
from gigacast.lake.plan.discovery import Selection
from gigacast.series.source import ColumnNames, TimestampUnit
from gigacast.storage.store import StoreAddress

Layout = Literal["long", "wide"]
GIB = 1024**3


@dataclass(frozen=True)
class ModelChoice:
    """Which model, and how it runs.

    Parameters
    ----------
    reference : str
        See `lake.model.resolve_model`.
    version : str, optional
    otherwise : str, optional
        Another reference, for when the first is nowhere at hand.
    detect : bool
        Whether to look beyond what ships and the local folder.
    device : {"auto", "cpu", "cuda", "cuda:N"}
    precision : {"auto", "float32", "bfloat16"}
    """

    reference: str = DEFAULT_MODEL
    version: str | None = None
    otherwise: str | None = None
    detect: bool = True
    device: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True)
class Method:
    """How series become forecasts: all of it is part of the spec.

    Parameters
    ----------
    horizon : int, optional
        Steps; when absent the file name's, or the model's own.
    levels : tuple of float
    context_length : int, optional
        At most this many steps of history; all the model can use when absent.
    min_length : int
        Series with fewer values get the fallback.
    fallback : {"seasonal_naive", "drop"}
    non_negative, integer, extrapolate_levels : bool
    seed : int
        For models that sample.
    columns : ColumnNames
    frequency : Frequency, optional
        Of every series; inferred per series when absent.
    timestamp_unit : str, optional
        How integer timestamps are read: ``s``, ``ms``, ``us``, ``ns`` or ``step``.
    layout : {"long", "wide"}
    joint_targets : bool
        Whether the targets of an item are forecast together.
    missing_future, unsupported_covariates : str
        See `ForecastOptions`; whether a model without a use for covariates is an ``error``, or
        they are to be left out, ``ignore``.
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

    def options(self, horizon: int, batch_size: int | None) -> ForecastOptions:
        """Return what a forecaster needs of this."""
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
    """Synthetic partitions to generate where they are missing.

    Parameters
    ----------
    partitions : int
    series_per_partition : int
    """

    partitions: int
    series_per_partition: int


@dataclass(frozen=True)
class Resources:
    """What a run may use; none of it changes the numbers.

    Parameters
    ----------
    executor : {"auto", "inline", "joblib"}
    n_jobs : int, optional
        Processes; -1 for all cores. When absent one, or with GPUs one for each.
    batch_size : int, optional
        Series per call of the model; found automatically when absent.
    memory_limit_bytes : int
        What reading may hold per process before it spills to disk.
    """

    executor: str = "auto"
    n_jobs: int | None = None
    batch_size: int | None = None
    memory_limit_bytes: int = GIB


@dataclass(frozen=True)
class ForecastJob:
    """Everything a run needs to know.

    Parameters
    ----------
    inputs, outputs : StoreAddress
        The input and the output root; may be the same.
    bucket : StoreAddress
        What both lie in: must exist, while a prefix need not.
    model : ModelChoice
    method : Method
    pattern : NamingPattern
    selection : Selection
    resources : Resources
    synthetic : Synthetic, optional
    overwrite : bool
    limit : int, optional
        Forecast at most this many partitions.
    prices : PriceTable, optional
        What machine time is billed by.
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
    prices: PriceTable | None = None
