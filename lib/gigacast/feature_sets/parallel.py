"""Features of complete items, computed by several processes: a task is some of the items."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from gigacast import errors
from gigacast.core.column import to_arrow
from gigacast.errors import ConfigError, GigacastError, TaskError
from gigacast.feature_sets.kernel.compute import Setting, compute_features
from gigacast.feature_sets.kernel.recipe import Recipe
from gigacast.runtime.choice import make_executor
from gigacast.runtime.executor import Failure
from gigacast.series.segment import Segments

_LEAST_ROWS = 10_000
"""Rows below which a task costs more than it saves."""


@dataclass(frozen=True)
class ComputeSetup:
    """A picklable recipe for the worker that computes features.

    Parameters
    ----------
    recipe : Recipe
    setting : Setting
    train_until : int, optional
        See `compute_features`.
    """

    recipe: Recipe
    setting: Setting
    train_until: int | None = None

    def __call__(self) -> Callable[["ItemsTask"], pa.Table]:
        """Return the worker."""
        return self.compute

    def compute(self, task: "ItemsTask") -> pa.Table:
        """Return the features of the rows of a task."""
        return compute_features(task.rows, self.recipe, self.setting, self.train_until)


@dataclass(frozen=True, eq=False)
class ItemsTask:
    """The rows of some complete items, and their place among the others."""

    place: int
    rows: pa.Table


def compute_in_processes(
    tables: Iterator[pa.Table], setup: ComputeSetup, n_jobs: int, least_rows: int = _LEAST_ROWS
) -> Iterator[pa.Table]:
    """Yield the features of tables of complete items, in the order of items.

    The features do not depend on the number of processes: no item depends on another one.

    Parameters
    ----------
    tables : iterator of pyarrow.Table
    setup : ComputeSetup
    n_jobs : int
        Number of processes; -1 for all cores.
    least_rows : int
        Minimum rows of a task.

    Raises
    ------
    ConfigError, SchemaError
        As `compute_features`.
    """
    if n_jobs == 0:
        raise ConfigError("n_jobs: 0 processes", hint="1 for this process, -1 for all cores")
    for table in tables:
        if n_jobs == 1 or not setup.setting.items or len(table) < 2 * least_rows:
            yield setup.compute(ItemsTask(0, table))
        else:
            yield from _computed(_divided(table, setup.setting, least_rows), setup, n_jobs)


def _computed(tasks: list[ItemsTask], setup: ComputeSetup, n_jobs: int) -> Iterator[pa.Table]:
    executor = make_executor("auto", n_jobs, n_tasks=len(tasks))
    ready: dict[int, pa.Table] = {}
    place = 0
    for outcome in executor.run(tasks, setup):
        if outcome.failure is not None:
            raise _error_of(outcome.failure)
        assert outcome.result is not None  # noqa: S101 - an outcome without a failure has a result
        ready[outcome.task.place] = outcome.result
        # In the order of items, whichever task ends first.
        while place in ready:
            yield ready.pop(place)
            place += 1


def _error_of(failure: Failure) -> GigacastError:
    """Return the error of another process, of the same class if it is one of the package."""
    kind: Any = getattr(errors, failure.error, TaskError)
    error: GigacastError = kind(failure.message, hint=failure.hint)
    return error


def _divided(table: pa.Table, setting: Setting, least_rows: int) -> list[ItemsTask]:
    """Divide rows into tasks of complete items, in the order of items."""
    segments = Segments.of_table(table, setting.time, setting.items)
    offsets = segments.offsets
    cuts = np.searchsorted(offsets, np.arange(least_rows, len(table), least_rows))
    borders = np.unique(np.concatenate([[0], offsets[cuts], [len(table)]]))
    return [
        ItemsTask(place, table.take(to_arrow(segments.order[start:stop])))
        for place, (start, stop) in enumerate(pairwise(borders.tolist()))
    ]
