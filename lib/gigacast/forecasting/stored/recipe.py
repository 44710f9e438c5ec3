"""Recipes: what stored forecasts were made with, as the metadata of their files says.

The metadata holds the description of the spec, from which the spec's id is a digest, and the place
of the inputs. So a recipe that was changed, or copied from other forecasts, is noticed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from gigacast.core.partition.name import Partitioning
from gigacast.core.partition.spec import Spec
from gigacast.core.problem import Source
from gigacast.core.record import decode_json, read_record
from gigacast.core.text import blank_secrets
from gigacast.core.time.frequency import Frequency
from gigacast.core.time.zone import check_zone
from gigacast.errors import ConfigError, CorruptedFileError
from gigacast.forecasters.around.wrapping import Around
from gigacast.forecasters.engine import kind_of_engine
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasters.options import Fallback, MissingFuture
from gigacast.forecasting.prepare import Prepared, pin_months
from gigacast.job.forecast_job import ForecastJob, Layout, Method
from gigacast.job.location import open_inputs
from gigacast.lake.model.resolve import ResolvedModel
from gigacast.lake.table.address import TableAddress, is_table
from gigacast.series.csv.dialect import CsvOptions
from gigacast.series.source import (
    Aggregate,
    ColumnNames,
    DuplicatePolicy,
    PartialBins,
    TimestampUnit,
)
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.read import open_parquet
from gigacast.storage.store import Store, StoreAddress

RECIPE = "gigacast.settings"
"""Key of the metadata of forecasts with the description of their spec."""
INPUT_ROOT = "gigacast.input_root"
"""Key of the metadata of forecasts whose inputs are not at the output root."""
_FLAGS = {
    "levels": "quantiles",
    "frequency": "freq",
    "items": "item_columns",
    "version": "model_version",
    "calendar": "known_calendar",
    "holidays": "known_holidays",
}
"""Flags whose names are not those of the fields of a spec."""
_PARTS = {
    "columns": ("item_column", "timestamp_column", "targets"),
    "covariates": ("past_covariates", "known_covariates", "missing_future"),
    "aggregate": ("aggregate", "freq", "partial_bins", "zone"),
}
"""Flags of the fields of a spec that are lists of several."""
_REVISED = ("enhance", "long_horizon", "covariate_regressor")
"""Fields of a spec that end with a revision."""


_PLAIN_CSV = CsvOptions()


class _Columns(NamedTuple):
    item_id: str | None
    timestamp: str | None
    targets: tuple[str, ...]


class _Covariates(NamedTuple):
    past: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    missing: MissingFuture = "error"


class _Bins(NamedTuple):
    how: Aggregate
    frequency: str
    partial: PartialBins
    zone: str | None


_NO_COVARIATES = _Covariates()


@dataclass(frozen=True, slots=True)
class _Fields:
    """The description of a spec, see `gigacast.job.spec.make_spec`."""

    model: str
    version: str
    levels: tuple[float, ...]
    horizon: int
    format: int
    digest: str
    engine: str
    precision: str
    context_length: int
    context_partitions: int
    partition_by: Partitioning
    columns: _Columns
    frequency: str | None
    timestamp_unit: TimestampUnit | None
    min_length: int
    fallback: Fallback
    non_negative: bool
    integer: bool
    extrapolate_levels: bool
    seed: int
    layout: Layout
    covariates: _Covariates = _NO_COVARIATES
    joint_targets: bool = False
    duplicates: DuplicatePolicy | None = None
    items: tuple[str, ...] = ()
    csv: CsvOptions = _PLAIN_CSV
    aggregate: _Bins | None = None
    tails: str | None = None
    enhance: str | None = None
    long_horizon: str | None = None
    calibration: str | None = None
    mean: bool = False
    covariate_regressor: str | None = None
    calendar: str | None = None
    holidays: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipe:
    """What forecasts were made with.

    Parameters
    ----------
    spec : Spec
    horizon : int
        Steps ahead.
    method : Method
        How series became forecasts.
    partition_by : {"object", "month", "bucket"}
        What a partition is.
    context_partitions : int
        Number of earlier months that were read as context.
    info : ForecasterInfo
        The model, as far as the spec describes it.
    input_root : str, optional
        Place of the inputs, relative to that of the forecasts or as a URL; the same by default.
    """

    spec: Spec
    horizon: int
    method: Method
    partition_by: Partitioning
    context_partitions: int
    info: ForecasterInfo
    input_root: str | None = None

    @property
    def flags(self) -> dict[str, Any]:
        """The settings by the names of their flags, for people; those without a flag as well."""
        flags: dict[str, Any] = {}
        described: dict[str, Any] = self.spec.describe(self.horizon)
        for name, value in described.items():
            if name in _PARTS:
                flags |= dict(zip(_PARTS[name], value, strict=True))
            elif name == "csv":
                flags |= {f"csv_{part}": mark for part, mark in value.items()}
            elif name in _REVISED:
                flags[name] = str(value).rpartition("-")[0]
            elif name == "calendar":
                flags[_FLAGS[name]] = True
            elif name == "holidays":
                flags[_FLAGS[name]] = ",".join(countries_of(value))
            elif name not in ("format", "tails"):
                flags[_FLAGS.get(name, name)] = value
        if (engine := kind_of_engine(self.info.engine)) != "auto":
            flags["model_engine"] = engine
        return flags | ({"input_prefix": self.input_root} if self.input_root else {})

    def differences(self, recipe: "Recipe") -> dict[str, Any]:
        """Return the settings of this recipe that another does not share, by their flags."""
        own, base = self.flags, recipe.flags
        missing = {name: None for name in base if name not in own}
        return {n: v for n, v in (own | missing).items() if v != base.get(n)}

    def job(self, job: ForecastJob) -> ForecastJob:
        """Return a job with the method and the inputs of this recipe.

        Inputs that the job names itself stay.
        """
        selection = replace(
            job.selection,
            by_month=self.partition_by != "object",
            by_bucket=self.partition_by == "bucket",
            context_partitions=self.context_partitions,
        )
        # Only how much is refused differs, which is no part of a spec.
        share = job.method.duplicate_share
        method = replace(self.method, duplicate_share=share)
        inputs = job.inputs if job.inputs != job.outputs else self._inputs_of(job)
        return replace(job, inputs=inputs, method=method, selection=selection)

    def _inputs_of(self, job: ForecastJob) -> StoreAddress:
        root = self.input_root
        if root is None:
            return job.inputs
        # Metadata may be anybody's: it must not lead a reader out of the bucket that they named.
        if "://" in root or ".." in root.split("/"):
            raise ConfigError(
                f"the inputs of these forecasts are at {root}, outside of this bucket",
                hint="name them by --input_prefix",
            )
        return (job.bucket if root.startswith("/") else job.outputs).child(root)

    def prepared(self, job: ForecastJob) -> Prepared:
        """Return a job prepared to look at the forecasts of this recipe, without their model.

        Raises
        ------
        StorageError
        """
        job = pin_months(self.job(job))
        model = ResolvedModel(
            self.spec.model, self.spec.version, self.info.digest, None, "the metadata of forecasts"
        )
        inputs = open_inputs(job.inputs)
        outputs = inputs if job.outputs == job.inputs else open_store(job.outputs)
        return Prepared(job, inputs, outputs, model, self.info, self.spec)


def recipe_metadata(spec: Spec, horizon: int, job: ForecastJob) -> dict[str, str]:
    """Return the metadata by which forecasts name their recipe.

    Parameters
    ----------
    spec : Spec
    horizon : int
    job : ForecastJob
    """
    root = _input_root(job)
    described = json.dumps(spec.describe(horizon), sort_keys=True, ensure_ascii=False)
    return {RECIPE: described, **({INPUT_ROOT: root} if root is not None else {})}


def _input_root(job: ForecastJob) -> str | None:
    if job.inputs == job.outputs:
        return None
    # Relative, where it can be: copies of a bucket have the same bytes, and stay readable.
    for root, mark in ((job.outputs, ""), (job.bucket, "/")):
        if job.inputs.is_below(root):
            return mark + job.inputs.url.removeprefix(f"{root.url.rstrip('/')}/")
    if is_table(job.inputs.url):
        # Without the snapshot: equal rows of a later one make the same bytes. Audits name it.
        return replace(TableAddress.parse(job.inputs.url), snapshot=None).url
    return blank_secrets(job.inputs.url)


def recipe_of(metadata: Mapping[bytes, bytes] | None, spec_id: str, name: str) -> Recipe | None:
    """Return the recipe in the metadata of a forecast; ``None`` if an earlier release made it.

    Parameters
    ----------
    metadata : mapping
        Metadata of the file.
    spec_id : str
        Id of the spec in whose folder the file is.
    name : str
        Key of the file, for error messages.

    Raises
    ------
    CorruptedFileError
        If the metadata is not that of this spec.
    """
    content = (metadata or {}).get(RECIPE.encode())
    if content is None:
        return None
    source = Source(name, CorruptedFileError, hint="give the flags of the run, or forecast again")
    values = decode_json(content, source)
    fields = read_record(_Fields, values, source, place=RECIPE)
    levels = tuple(values["levels"])
    fields_of_spec = {
        n: v for n, v in values.items() if n not in ("model", "version", "levels", "horizon")
    }
    spec = Spec(fields.model, fields.version, levels, fields_of_spec)
    if spec.id(fields.horizon) != spec_id:
        raise source.refuse(f"it describes other settings than those of {spec_id}", RECIPE)
    root = (metadata or {}).get(INPUT_ROOT.encode())
    return Recipe(
        spec,
        fields.horizon,
        _method_of(fields),
        fields.partition_by,
        fields.context_partitions,
        _info_of(fields),
        None if root is None else root.decode(errors="replace"),
    )


def recipe_at(outputs: Store, key: str, spec_id: str) -> Recipe | None:
    """Return the recipe of a stored forecast; ``None`` if an earlier release made it.

    Raises
    ------
    StorageError, CorruptedFileError
    """
    with open_parquet(outputs, key, selective=True) as file:
        return recipe_of(file.schema_arrow.metadata, spec_id, key)


def _method_of(fields: _Fields) -> Method:
    item, timestamp, targets = fields.columns
    past, future, missing = fields.covariates
    around = Around.of_fields(fields.enhance, fields.long_horizon, fields.covariate_regressor)
    method = Method(
        horizon=fields.horizon,
        levels=fields.levels,
        context_length=fields.context_length,
        min_length=fields.min_length,
        fallback=fields.fallback,
        non_negative=fields.non_negative,
        integer=fields.integer,
        extrapolate_levels=fields.extrapolate_levels,
        seed=fields.seed,
        columns=ColumnNames(item, timestamp, targets, past, future, fields.items),
        frequency=Frequency.parse(fields.frequency) if fields.frequency else None,
        timestamp_unit=fields.timestamp_unit,
        layout=fields.layout,
        joint_targets=fields.joint_targets,
        missing_future=missing,
        duplicates=fields.duplicates,
        csv=fields.csv,
        enhance=around.enhance,
        long_horizon=around.long_horizon,
        calibrate=fields.calibration is not None,
        mean=fields.mean,
        covariate_regressor=around.covariate_regressor,
        calendar=fields.calendar is not None,
        holidays=countries_of(fields.holidays),
    )
    if fields.aggregate is None:
        return method
    aggregate, bins, partial, zone = fields.aggregate
    check_zone(zone)
    frequency = Frequency.parse(bins)
    return replace(
        method, frequency=frequency, aggregate=aggregate, partial_bins=partial, zone=zone
    )


def countries_of(field: Sequence[Any]) -> tuple[str, ...]:
    """Return the countries in the field ``holidays`` of a spec: a revision, then pairs."""
    return tuple(str(pair[0]) for pair in field[1:])


def _info_of(fields: _Fields) -> ForecasterInfo:
    return ForecasterInfo(
        name=fields.model,
        version=fields.version,
        digest=fields.digest,
        engine=fields.engine,
        device="cpu",
        precision=fields.precision,
        context_length=fields.context_length,
        prediction_length=fields.horizon,
        levels=fields.levels,
    )
