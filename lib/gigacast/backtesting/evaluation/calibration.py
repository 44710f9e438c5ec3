"""Calibrations that stored forecasts and their actuals tell, those of kept origins included.

They have the names of those that a backtest measures, so that `forecast --calibrate` takes either.
Only forecasts of the model itself count: neither those of the fallback nor calibrated ones.
"""

import logging
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.backtesting.calibration import CalibrationPlace, Measured
from gigacast.backtesting.evaluation.join import match
from gigacast.backtesting.evaluation.partition import PartitionScorer, PartitionWork
from gigacast.backtesting.evaluation.plan import ScorePlan
from gigacast.backtesting.evaluation.score import ScoredPart
from gigacast.core.partition.task import Task
from gigacast.core.series.digest import text_hashes
from gigacast.core.series.item_key import items_of
from gigacast.errors import DataError, StorageError
from gigacast.forecasters.around.calibration import ScoreCounts, scores_of
from gigacast.forecasters.around.wrapping import are_outdated
from gigacast.forecasting.prediction import long_table
from gigacast.forecasting.read import Generation
from gigacast.forecasting.stored.recipe import Recipe, recipe_at
from gigacast.job.covariates import with_holiday_tables
from gigacast.job.forecast_job import ForecastJob
from gigacast.storage.store import Store

logger = logging.getLogger(__name__)


class ScoreCounter(PartitionScorer):
    """Counts the scores of a partition's forecasts from all origins."""

    def __init__(self, job: ForecastJob) -> None:
        super().__init__(job, "")
        self._counts: ScoreCounts | None = None

    def count(self, task: Task) -> ScoreCounts | None:
        """Return the counts of a partition; ``None`` without a forecast of the model."""
        self._counts = None
        work = PartitionWork(task)
        for part in self._parts(work):
            self._score(work, part)
        return self._counts

    def _long(self, table: pa.Table) -> pa.Table:
        rows = long_table(table)
        # The fallback flags all rows of a series.
        return rows.filter(pc.is_null(rows["fallback"]))

    def _score(self, work: PartitionWork, part: ScoredPart) -> None:
        assert work.actuals is not None  # noqa: S101 - `_open` found them
        rows = np.flatnonzero(work.seen.new(part.series))
        forecasts = part.forecasts
        places, _ = work.actuals.find(forecasts, work.month, work.lineage, work.items)
        actual = match(forecasts, places)[rows]
        scores = scores_of(actual, forecasts.median[rows], forecasts.quantiles[rows])
        # All origins of a series are in one half: they are much alike.
        names = items_of(part.series).cast(pa.string()).combine_chunks().take(pa.array(rows))
        half = (text_hashes(names) & np.uint64(1)).astype(np.int64)
        counted = ScoreCounts.count(forecasts.levels, scores, half)
        self._counts = counted if self._counts is None else self._counts + counted


def calibrate_stored(
    plan: ScorePlan, job: ForecastJob, outputs: Store, names: dict[Generation, str]
) -> tuple[Measured, ...]:
    """Measure and store the calibrations of stored forecasts.

    Parameters
    ----------
    plan : ScorePlan
        Partitions of the selected forecasts, those that are done.
    job : ForecastJob
    outputs : Store
    names : dict
        Name of each generation, for people.

    Raises
    ------
    StorageError, DataError
    """
    tasks = [task for task, _ in plan.done]
    measured = []
    for generation, name in names.items():
        own = [task for task in tasks if plan.generations.get(task.output_key) == generation]
        recipe = next(filter(None, (_recipe(outputs, task, generation) for task in own)), None)
        if reason := _unfit(recipe):
            logger.warning("calibrate: the forecasts of %s %s, and are left out", name, reason)
            continue
        assert recipe is not None  # noqa: S101 - that is unfit
        measured += _measure(own, recipe, name, (job, outputs))
    return tuple(measured)


def _unfit(recipe: Recipe | None) -> str:
    """Return why no calibration can be measured by some forecasts; empty if one can."""
    if recipe is None:
        return "do not say how they were made"
    # A calibration is of the quantiles that this release makes.
    if are_outdated({**recipe.spec.fields, **recipe.spec.long_fields}):
        return "were made by an earlier revision of what is done around the model"
    return "are calibrated" if recipe.method.calibrate else ""


def _recipe(outputs: Store, task: Task, generation: Generation) -> Recipe | None:
    try:
        return recipe_at(outputs, task.output_key, generation.spec)
    # Replaced or damaged: the evaluation itself names it as a failure.
    except (StorageError, DataError):
        return None


def _measure(
    tasks: Iterable[Task], recipe: Recipe, name: str, place: tuple[ForecastJob, Store]
) -> list[Measured]:
    """Return the calibrations of one generation, one for each horizon."""
    job, outputs = place
    counter = ScoreCounter(job)
    counts: dict[int, ScoreCounts] = {}
    for task in tasks:
        counted = counter.count(task)
        if counted is not None:
            earlier = counts.get(task.horizon)
            counts[task.horizon] = counted if earlier is None else earlier + counted
    method, info = with_holiday_tables(recipe.method), recipe.info
    stored = []
    for horizon, total in sorted(counts.items()):
        # A recipe knows of the trained horizon only whether the forecast goes beyond it.
        beyond = "long_horizon" in recipe.spec.describe(horizon)
        trained = replace(info, prediction_length=horizon - 1 if beyond else horizon)
        stored.append(CalibrationPlace(outputs, trained, method).store(name, horizon, total))
    return stored
