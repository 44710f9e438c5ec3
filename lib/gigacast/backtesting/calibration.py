"""Calibrations that a backtest measures, made from the scores in its outputs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gigacast.backtesting.losses import SCORES
from gigacast.core.column import to_numpy
from gigacast.core.partition.task import Task
from gigacast.core.series.item_key import items_of
from gigacast.forecasters.around.calibration import LEAST_FORECASTS, ScoreCounts
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.forecasters.levels import MEDIAN, same_level
from gigacast.forecasting.prepare import Prepared
from gigacast.job.calibration import StoredCalibration, calibration_name, write_calibration
from gigacast.job.forecast_job import Method
from gigacast.report.document import Block, Column, Heading, Kind, Paragraph, Table, Tone
from gigacast.storage.parquet.read import read_table
from gigacast.storage.store import Store

_COLUMNS = (
    Column("model"),
    Column("steps", Kind.COUNT),
    Column("level"),
    Column("below before", label="share of values below it, as the model gives it"),
    Column("below after", label="calibrated by factors of other series"),
)


@dataclass(frozen=True)
class Measured:
    """The calibration of a model at a horizon.

    Parameters
    ----------
    model : str
    horizon : int
    stored : StoredCalibration, optional
        ``None`` if there were too few forecasts.
    forecasts : int
        Forecasts that were measured.
    key : str
        Where it is stored; empty if it is not.
    """

    model: str
    horizon: int
    stored: StoredCalibration | None
    forecasts: int
    key: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the values of ``--json``."""
        stored = self.stored
        shares = stored and {
            f"{level:.10g}": [before, after]
            for level, before, after in zip(stored.levels, stored.before, stored.after, strict=True)
        }
        return {
            "model": self.model,
            "horizon": self.horizon,
            "forecasts": self.forecasts,
            "key": self.key or None,
            "below": shares,
        }


def measure_calibrations(
    side: Prepared, name: str, outputs: Mapping[str, tuple[Task, str]]
) -> list[Measured]:
    """Measure and store the calibration of a model, one for each horizon of its partitions.

    Parameters
    ----------
    side : Prepared
    name : str
        Model and version, for people.
    outputs : mapping of str to (Task, str)
        Task and key of the losses of each partition.

    Raises
    ------
    StorageError
    """
    counts: dict[int, ScoreCounts] = {}
    for _, (task, key) in sorted(outputs.items()):
        counted = _count(side, task, key)
        if counted is not None:
            earlier = counts.get(task.horizon)
            counts[task.horizon] = counted if earlier is None else earlier + counted
    place = CalibrationPlace(side.outputs, side.info, side.job.method)
    return [place.store(name, horizon, total) for horizon, total in sorted(counts.items())]


def _count(side: Prepared, task: Task, key: str) -> ScoreCounts | None:
    table = read_table(side.outputs, key)
    if not table.num_rows:
        return None
    levels = side.job.method.levels
    flat = to_numpy(table[SCORES].combine_chunks().flatten())
    scores = flat.reshape(table.num_rows, task.horizon, len(levels))
    # All windows of a series are in one half: they are much alike.
    codes = items_of(table).combine_chunks().dictionary_encode().indices
    return ScoreCounts.count(levels, scores, np.asarray(to_numpy(codes), np.int64) % 2)


@dataclass(frozen=True)
class CalibrationPlace:
    """Where the calibrations of a model and method are stored.

    Parameters
    ----------
    outputs : Store
    info : ForecasterInfo
    method : Method
    """

    outputs: Store
    info: ForecasterInfo
    method: Method

    def store(self, name: str, horizon: int, counts: ScoreCounts) -> Measured:
        """Store the calibration that scores tell, if they are enough, under a name for people."""
        if counts.forecasts < LEAST_FORECASTS:
            return Measured(name, horizon, None, counts.forecasts)
        fitted = counts.fit()
        before, after = (_shares(counts.levels, shares) for shares in counts.coverage())
        stored = StoredCalibration(counts.levels, fitted.factors, counts.forecasts, before, after)
        place = calibration_name(self.info, self.method, horizon)
        key = write_calibration(self.outputs, self.info, place, stored)
        return Measured(name, horizon, stored, counts.forecasts, key)


def _shares(levels: tuple[float, ...], shares: Iterable[float]) -> tuple[float | None, ...]:
    return tuple(
        None if same_level(level, MEDIAN) or np.isnan(share) else round(float(share), 4)
        for level, share in zip(levels, shares, strict=True)
    )


def calibration_blocks(measured: Iterable[Measured]) -> list[Block]:
    """Return what was measured as a table, and the models with too few forecasts."""
    models = list(measured)
    rows = [
        (model.model, model.horizon, f"{level:.10g}", f"{before:.1%}", f"{after:.1%}")
        for model in models
        if model.stored is not None
        for level, before, after in zip(
            model.stored.levels, model.stored.before, model.stored.after, strict=True
        )
        if before is not None and after is not None
    ]
    blocks: list[Block] = []
    if rows:
        blocks += [Heading("Calibration, measured on other series"), Table(_COLUMNS, tuple(rows))]
    blocks += [
        Paragraph(
            f"{model.model} is not calibrated at {model.horizon} steps: {model.forecasts} "
            f"forecasts are fewer than {LEAST_FORECASTS}; ask for more --windows, or keep origins",
            Tone.WARNING,
        )
        for model in models
        if model.stored is None
    ]
    return blocks
