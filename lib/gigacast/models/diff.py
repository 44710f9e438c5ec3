"""Compare two versions of a model on a sample of the partitions.

The forecasts that the job would write are compared with each other, in units of each context's
scale. Then the last horizon of each series is held out, forecast from the steps before it, and
compared with the actuals. Nothing is written.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import starmap
from typing import NamedTuple

import numpy as np

from gigacast.backtesting.partition import HISTORY, seasons_of
from gigacast.core.array import FloatArray
from gigacast.core.partition.task import Task
from gigacast.core.series.batch import SeriesBatch, concat_batches
from gigacast.core.series.forecast import ForecastBatch
from gigacast.core.series.holdout import hold_out
from gigacast.core.series.reason import Reason
from gigacast.errors import ConfigError, DataNotFoundError
from gigacast.forecasters.batching import NO_LIMIT, BatchBudget, forecast_batch
from gigacast.forecasters.chronos.reference import context_scale
from gigacast.forecasters.forecaster import Forecaster, ForecasterInfo
from gigacast.forecasters.metric import Sums, add_up, figures_of, measure, seasonal_error
from gigacast.forecasters.naive import SeasonalNaive
from gigacast.forecasting.prepare import Prepared, check_discovered
from gigacast.forecasting.worker import read_options, sources_of
from gigacast.job.forecast_job import ForecastJob
from gigacast.job.location import open_inputs
from gigacast.job.model_choice import describe_resolved, load_resolved
from gigacast.job.spec import make_spec
from gigacast.lake.model.cache import ModelCache
from gigacast.lake.model.registry import Registry
from gigacast.lake.model.resolve import ResolvedModel, find_version, with_members
from gigacast.lake.plan.planner import make_plan
from gigacast.models.lineage import Seen, find_caveats
from gigacast.series.reader import read_series
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store

BASELINE = "seasonal-naive"
TIE = 1e-3
"""Versions whose WQL differs by at most this share are equally good."""


@dataclass(frozen=True)
class Movement:
    """Differences between the forecasts of two versions, in units of each context's scale.

    Parameters
    ----------
    mean, p95, largest : float
        Mean, 95th percentile and maximum over series of the mean absolute difference of medians.
    by_level : dict
        Mean absolute difference of the quantiles at each level.
    """

    mean: float
    p95: float
    largest: float
    by_level: dict[str, float]


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracy on held-out ends; figures are None if undefined.

    ``undefined`` counts the series whose context is too short or constant, which MASE leaves out.
    """

    name: str
    series: int
    wql: float | None
    mase: float | None
    undefined: int

    @classmethod
    def of(cls, name: str, sums: Sums | None) -> "Score":
        """Return the score of sums; of None, the score without any series."""
        if sums is None:
            return cls(name, 0, None, None, 0)
        (figures,) = figures_of(sums)
        wql, mase = (None if np.isnan(v) else v for v in (figures.wql, figures.mase))
        return cls(name, figures.forecasts, wql, mase, figures.undefined)


@dataclass(frozen=True)
class Comparison:
    """Result of comparing two versions.

    Parameters
    ----------
    model, first, second : str
        Name of the model and its two versions.
    partitions, series : int
        Number of compared partitions and series.
    movement : Movement
    scored : int
        Number of series that are long enough to hold out their last horizon.
    too_short : int
        Number of series that are not.
    scores : tuple of Score
        Scores of the first version, the second, and seasonal naive.
    better : str or None
        Version with the lower WQL; None if they are equally good or nothing was scored.
    caveats : tuple of str
        Why figures flatter a version: it was made from the held-out ends.
    """

    model: str
    first: str
    second: str
    partitions: int
    series: int
    movement: Movement
    scored: int
    too_short: int
    scores: tuple[Score, ...]
    better: str | None
    caveats: tuple[str, ...] = ()


class VersionPair(NamedTuple):
    """Two versions of a model to compare."""

    first: str
    second: str


def compare_versions(
    job: ForecastJob,
    model: str,
    versions: VersionPair,
    *,
    partitions: int = 5,
    series: int = 100,
    seed: int = 0,
) -> Comparison:
    """Compare two versions on a sample.

    Parameters
    ----------
    job : ForecastJob
        Selected partitions and method; its model is not used.
    model : str
    versions : VersionPair
    partitions, series : int
        Number of sampled partitions, and of series in each.
    seed : int
        Seed of the sample.

    Raises
    ------
    ModelNotFoundError, ModelIntegrityError
        If a version does not exist or is damaged.
    DataNotFoundError
        If no partition is selected, or none of its series can be forecast.
    """
    if seed < 0:
        raise ConfigError(f"sample_seed: {seed} is less than 0", hint="any whole number from 0 on")
    inputs, outputs = open_inputs(job.inputs), open_store(job.outputs)
    registry = Registry(outputs)
    resolved = [_find(registry, model, version) for version in versions]
    sides = [_Side.open(job, inputs, outputs, version) for version in resolved]
    rng = np.random.default_rng(seed)
    comparing = _Comparing(job, sides)
    tasks = _sample_tasks(sides[0].prepared, partitions, rng)
    for task in tasks:
        sample = _sample_series(sides, task, series, rng)
        if sample is not None:
            comparing.add(sample, task.horizon)
    keys = frozenset(entry.key for task in tasks for entry in task.inputs)
    seen = Seen(job.inputs.url, keys, max((task.horizon for task in tasks), default=0))
    caveats = find_caveats(registry, model, versions, seen)
    return replace(comparing.result(model, len(tasks)), caveats=caveats)


@dataclass(frozen=True)
class _Side:
    """One of the two versions, loaded."""

    prepared: Prepared
    forecaster: Forecaster

    @classmethod
    def open(cls, job: ForecastJob, inputs: Store, outputs: Store, model: ResolvedModel) -> "_Side":
        info = _info(model, job)
        spec = make_spec(info, job.method, job.selection)
        # Partitions that are done already are compared as well.
        overwriting = replace(job, overwrite=True)
        prepared = Prepared(overwriting, inputs, outputs, model, info, spec)
        return cls(prepared, load_resolved(job.model, model, info))


def _find(registry: Registry, model: str, version: str) -> ResolvedModel:
    resolved = find_version(registry, model, version, ModelCache())
    if resolved is None:
        raise registry.unknown(model, version)
    return with_members(resolved, registry.store)


def _info(model: ResolvedModel, job: ForecastJob) -> ForecasterInfo:
    return describe_resolved(model, job.model.engine_choice)


def _sample_tasks(prepared: Prepared, count: int, rng: np.random.Generator) -> list[Task]:
    plan = make_plan(prepared.inputs, prepared.outputs, prepared.request())
    check_discovered(plan, prepared.job)
    tasks = sorted(plan.tasks, key=lambda task: task.partition)
    return [tasks[index] for index in sorted(rng.permutation(len(tasks))[:count])]


def _sample_series(
    sides: list[_Side], task: Task, count: int, rng: np.random.Generator
) -> SeriesBatch | None:
    """Return up to ``count`` series that can be forecast, each equally likely; None if none can."""
    # Reservoir sampling: every series gets a random rank and those with the lowest ranks are kept,
    # so that a partition is read once and only the sample is in memory.
    sample: SeriesBatch | None = None
    ranks = np.empty(0)
    for batch in _read(sides, task):
        good = batch.take(np.flatnonzero(batch.reasons == Reason.OK))
        ranks = np.concatenate([ranks, rng.random(len(good))])
        sample = concat_batches([sample, good] if sample is not None else [good])
        lowest = np.sort(np.argsort(ranks)[:count])
        sample, ranks = sample.take(lowest), ranks[lowest]
    return sample if sample is not None and len(sample) else None


def _read(sides: list[_Side], task: Task) -> Iterator[SeriesBatch]:
    """Read a partition with enough steps for the longer context and a held-out horizon."""
    first, job = sides[0].prepared, sides[0].prepared.job
    limit = job.resources.memory_limit_bytes
    options = [
        read_options(task, job.method, side.prepared.info, memory_limit_bytes=limit)
        for side in sides
    ]
    longest = max(option.context_length for option in options)
    # As many as in a backtest, so that errors are scaled by the same history there and here.
    steps = max(longest, HISTORY) + task.horizon
    # About four batches are in memory at once, together at most a quarter of the limit.
    series_limit = max(1, limit // 16 // (4 * steps))
    batch_series = min(options[0].batch_series, series_limit)
    reading = replace(options[0], context_length=steps, batch_series=batch_series, precise=True)
    return iter(read_series(sources_of(task, first.inputs), reading))


class _Comparing:
    """Adds up differences and errors, partition by partition."""

    def __init__(self, job: ForecastJob, sides: list[_Side]) -> None:
        self._job = job
        self._sides = sides
        self._budgets = [BatchBudget(job.resources.batch_size or "auto") for _ in sides]
        requested = job.method.context_length or NO_LIMIT
        self._context = max(min(side.prepared.info.context_length, requested) for side in sides)
        self._moves: list[FloatArray] = []
        self._medians: list[FloatArray] = []
        names = [*(side.prepared.info.version for side in sides), BASELINE]
        self._scored: list[tuple[str, Sums | None]] = [(name, None) for name in names]
        self._too_short = 0

    def add(self, sample: SeriesBatch, horizon: int) -> None:
        """Forecast a sample with both versions, once complete and once with its end held out."""
        first, second = self._forecast(sample, horizon)
        # In units of each context's scale, so that series of large values do not decide the mean.
        scale = np.array([context_scale(values[-self._context :]) for values in sample])[:, None]
        moved = np.abs(second.quantiles - first.quantiles).mean(axis=1) / scale
        self._moves.append(moved)
        self._medians.append(np.abs(second.median - first.median).mean(axis=1) / scale[:, 0])
        held_out = hold_out(sample, horizon)
        self._too_short += len(sample) - len(held_out.contexts)
        if not len(held_out.contexts):
            return
        forecasts = [
            *self._forecast(held_out.contexts, horizon),
            self._naive(held_out.contexts, horizon),
        ]
        series = held_out.contexts
        scales = seasonal_error(series.values, series.offsets, seasons_of(series))
        levels = self._job.method.levels
        for index, forecast in enumerate(forecasts):
            name, earlier = self._scored[index]
            losses = measure(held_out.actuals, forecast.median, forecast.quantiles, levels, scales)
            sums = add_up(losses)
            self._scored[index] = (name, sums if earlier is None else earlier + sums)

    def _forecast(self, batch: SeriesBatch, horizon: int) -> list[ForecastBatch]:
        options = self._job.method.options(horizon, self._job.resources.batch_size)
        return [
            forecast_batch(side.forecaster, batch, options, budget)
            for side, budget in zip(self._sides, self._budgets, strict=True)
        ]

    def _naive(self, batch: SeriesBatch, horizon: int) -> ForecastBatch:
        options = replace(self._job.method.options(horizon, None), enhance=None)
        return forecast_batch(SeasonalNaive(), batch, options)

    def result(self, model: str, partitions: int) -> Comparison:
        """Return the comparison of all partitions so far.

        Raises
        ------
        DataNotFoundError
            If no series of the sample can be forecast.
        """
        if not self._moves:
            raise DataNotFoundError(
                f"{self._job.inputs.url}: no series of the sample can be forecast",
                hint="sample more with --partitions and --series",
            )
        medians, scores = np.concatenate(self._medians), list(starmap(Score.of, self._scored))
        first, second = (side.prepared.info.version for side in self._sides)
        return Comparison(
            model=model,
            first=first,
            second=second,
            partitions=partitions,
            series=len(medians),
            movement=self._movement(medians),
            scored=scores[0].series,
            too_short=self._too_short,
            scores=tuple(scores),
            better=_better(scores[0], scores[1]),
        )

    def _movement(self, medians: FloatArray) -> Movement:
        means = np.nanmean(np.concatenate(self._moves), axis=0)
        levels = [f"{level:.10g}" for level in self._job.method.levels]
        return Movement(
            mean=float(np.nanmean(medians)),
            p95=float(np.nanquantile(medians, 0.95)),
            largest=float(np.nanmax(medians)),
            by_level=dict(zip(levels, map(float, means), strict=True)),
        )


def _better(first: Score, second: Score) -> str | None:
    if first.wql is None or second.wql is None:
        return None
    if abs(first.wql - second.wql) <= TIE * max(first.wql, second.wql):
        return None
    return first.name if first.wql < second.wql else second.name
