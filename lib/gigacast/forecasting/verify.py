"""Verification: recompute a sample of finished series by the stock pipeline and compare."""

import json
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import FloatArray
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.item_key import items_of
from gigacast.errors import ConfigError, DataNotFoundError
from gigacast.forecasters.batching import forecast_batch
from gigacast.forecasters.chronos.reference import (
    TOLERANCES,
    context_scale,
    continues_otherwise,
    reference_around,
    reference_groups,
    reference_quantiles,
)
from gigacast.forecasters.forecaster import is_shift_free
from gigacast.forecasters.options import ForecastOptions
from gigacast.forecasting.prediction import level_name, long_table
from gigacast.forecasting.prepare import Prepared, prepare
from gigacast.forecasting.worker import read_options, sources_of
from gigacast.job.covariates import calendar_fields, with_holiday_tables
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.model_choice import load_resolved
from gigacast.lake.plan.planner import make_plan
from gigacast.lake.plan.rows import DoneEntry
from gigacast.series.reader import read_series
from gigacast.storage.parquet.read import read_table


@dataclass(frozen=True, slots=True)
class Difference:
    """A finished series whose recomputed numbers differ.

    ``error`` is the largest difference, relative to the scale of the context.
    """

    partition: str
    item_id: str
    target_name: str
    error: float


@dataclass(slots=True)
class VerifyReport:
    """The comparison of a sample with the reference.

    Parameters
    ----------
    tolerance : float
        Accepted difference, relative to the scale of each context.
    reference : str
        Name of the reference, for people.
    partitions, series : int
        Numbers compared.
    skipped : int
        Series of the sample that the fallback had forecast; they have no reference.
    worst : float
        Largest difference, relative to the scale of its context.
    differences : list of Difference
        Series beyond the tolerance.
    """

    tolerance: float
    reference: str
    partitions: int = 0
    series: int = 0
    skipped: int = 0
    worst: float = 0.0
    differences: list[Difference] = field(default_factory=list)


def verify(
    job: ForecastJob | Prepared, *, partitions: int = 5, series: int = 20, seed: int = 0
) -> VerifyReport:
    """Compare a sample of finished series with the reference.

    Parameters
    ----------
    job : ForecastJob or Prepared
    partitions, series : int
        Size of the sample: partitions, and series of each.
    seed : int
        Seed of the sample.

    Raises
    ------
    DataNotFoundError
        When no partition is done yet.
    """
    prepared = prepare(job) if isinstance(job, ForecastJob) else _with_holidays(job)
    rng = np.random.default_rng(seed)
    finished: list[DoneEntry] = []
    make_plan(prepared.inputs, prepared.outputs, prepared.request(), on_done=finished.extend)
    if not finished:
        raise DataNotFoundError(
            f"nothing under {prepared.outputs.address.url} is forecast by this model and these "
            "settings",
            hint="run the job first, with the same flags",
        )
    chosen = rng.permutation(len(finished))[:partitions]
    report = VerifyReport(TOLERANCES[prepared.info.precision], _reference_name(prepared))
    for place in sorted(chosen):
        _verify_partition(prepared, finished[place], series, rng, report)
    return report


def _with_holidays(prepared: Prepared) -> Prepared:
    """Return a job that stored forecasts describe, with the days of its holidays.

    Raises
    ------
    ConfigError
        If they are others now.
    """
    method = with_holiday_tables(prepared.job.method)
    stored = prepared.spec.fields.get("holidays")
    if json.dumps(calendar_fields(method).get("holidays")) != json.dumps(stored):
        raise ConfigError(
            "known_holidays: the installed package knows other days than those of the forecasts",
            hint="install the version that they were made with",
        )
    return replace(prepared, job=replace(prepared.job, method=method))


def _reference_name(prepared: Prepared) -> str:
    is_one = prepared.model.folder is not None and not prepared.model.members
    if is_one and prepared.info.samples == 0:
        return "the stock chronos-forecasting pipeline in float32"
    return "the same forecaster, one series at a time"


def _verify_partition(
    prepared: Prepared,
    entry: DoneEntry,
    series: int,
    rng: np.random.Generator,
    report: VerifyReport,
) -> None:
    options = prepared.job.method.options(entry.task.horizon, None)
    stored = read_table(prepared.outputs, entry.task.output_key, if_match=entry.output.etag)
    stored = long_table(stored)
    report.partitions += 1
    pairs = []
    for batch in _sample_series(prepared, entry, series, rng):
        numbers = _stored(stored, batch, options.levels)
        # A forecast of the fallback is not the model's: nothing to compare.
        if numbers is None:
            report.skipped += 1
        else:
            pairs.append((batch, numbers))
    if not pairs:
        return
    expected = _recompute(prepared, [batch for batch, _ in pairs], options)
    for (batch, numbers), reference in zip(pairs, expected, strict=True):
        scale = context_scale(batch.values)
        error = float(np.max(np.abs(numbers.astype(np.float64) - reference)) / scale)
        report.series += 1
        report.worst = max(report.worst, error)
        if not error <= report.tolerance:  # not `>`: a NaN differs, too
            item, target = str(batch.item_ids[0]), str(batch.target_names[0])
            report.differences.append(Difference(entry.task.partition, item, target, error))


def _stored(stored: pa.Table, batch: SeriesBatch, levels: tuple[float, ...]) -> FloatArray | None:
    """Return the stored quantiles of a series, [H, Q]; ``None`` when the fallback made them."""
    mask = pc.and_(
        pc.equal(items_of(stored), batch.item_ids[0]),
        pc.equal(stored["target_name"].cast(pa.string()), batch.target_names[0]),
    )
    rows = stored.filter(mask)
    if len(rows) == 0 or rows["fallback"].null_count < len(rows):
        return None
    return np.stack([rows[level_name(level)].to_numpy() for level in levels], axis=1)


def _recompute(
    prepared: Prepared, sample: list[SeriesBatch], options: ForecastOptions
) -> list[FloatArray]:
    """Return the quantiles of each series by the reference, [H, Q]."""
    folder, info = prepared.model.folder, prepared.info
    columns = options.calendar_columns
    has_covariates = bool(columns) or any(batch.covariates is not None for batch in sample)
    is_calibrated = options.calibration is not None
    is_changed = is_calibrated or options.around.changes(info, options.horizon)
    is_changed = is_changed or continues_otherwise(info, options.horizon)
    is_changed = is_changed or any(batch.bases is not None for batch in sample)
    # A regression takes covariates away before the stock pipeline, which is alone in what it sees.
    if options.covariate_regressor is not None and folder is not None and not info.samples:
        return reference_around(folder, info, sample, options)
    # The stock pipeline takes covariates in a form that nothing can be done around.
    is_own = folder is None or info.samples > 0 or bool(prepared.model.members)
    if folder is None or is_own or (has_covariates and is_changed):
        forecaster = load_resolved(prepared.job.model, prepared.model, info)
        return [forecast_batch(forecaster, batch, options).quantiles[0] for batch in sample]
    if has_covariates:
        sample = [columns.add_to(b, info.context_length, options.horizon) for b in sample]
        return reference_groups(folder, sample, options.levels, options)
    if is_changed:
        return reference_around(folder, info, sample, options)
    contexts = [batch.values for batch in sample]
    return list(reference_quantiles(folder, contexts, options.levels, options))


def _sample_series(
    prepared: Prepared, entry: DoneEntry, count: int, rng: np.random.Generator
) -> list[SeriesBatch]:
    """Return ``count`` series drawn evenly from a partition, in random order."""
    task = entry.task
    options = read_options(task, prepared.job.method, prepared.info, memory_limit_bytes=2**30)
    options = replace(options, precise=is_shift_free(prepared.info))
    sample: list[tuple[float, SeriesBatch]] = []
    for batch in read_series(sources_of(task, prepared.inputs), options):
        # Every series draws a number, and the smallest ones win: an even sample in one pass.
        draws = rng.random(len(batch))
        best = np.argsort(draws)[:count]
        sample += [(float(draws[row]), _with_siblings(batch, row)) for row in best]
        sample = sorted(sample, key=lambda pair: pair[0])[:count]
    return [batch for _, batch in sample]


def _with_siblings(batch: SeriesBatch, row: int) -> SeriesBatch:
    """Return a series, followed by those that were forecast together with it."""
    rows = np.array([row])
    # With covariates, all targets of an item are forecast in one group: alone, a series would get
    # other numbers.
    if batch.covariates is not None:
        of_item = np.flatnonzero(batch.covariates.items == batch.covariates.items[row])
        rows = np.concatenate([rows, of_item[of_item != row]])
    return batch.take(rows)
