"""The result of a backtest."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from gigacast.backtesting.calibration import Measured
from gigacast.backtesting.leaderboard.result import Leaderboard
from gigacast.core.lazy import shown_by
from gigacast.core.partition.task import Task
from gigacast.runtime.executor import Failure


@dataclass(frozen=True)
class BacktestResult:
    """The result of a backtest.

    Parameters
    ----------
    run_ids : tuple of str
        Id of the run of each model.
    status : str
        ``completed``, or ``failed`` when some partition failed.
    leaderboard : Leaderboard
        Figures over the partitions that every model has done.
    failures : list of (str, Task, Failure)
        Failures with the name of the model.
    computed, skipped : int
        Partitions times models, computed by this run and done before.
    location : str
        URL of the leaderboard without its ending: ``.md``, ``.json`` or ``.parquet``.
    conflicts : int
        Rows with the series and time of another row and other values, read by this run.
    problems : tuple of str
        Items that span parts of a month, which are compared apart.
    dropped : int
        Rows without an item id or a readable time, read by this run.
    horizon : int
        Steps ahead; of several, the longest.
    inputs : frozenset of str
        Keys of the inputs of all partitions with figures.
    calibrations : tuple of Measured
        Calibrations of the models, if they were asked for.
    """

    run_ids: tuple[str, ...]
    status: str
    leaderboard: Leaderboard
    failures: list[tuple[str, Task, Failure]]
    computed: int
    skipped: int
    location: str
    conflicts: int = 0
    problems: tuple[str, ...] = ()
    dropped: int = 0
    horizon: int = 0
    inputs: frozenset[str] = frozenset()
    calibrations: tuple[Measured, ...] = ()

    _repr_html_ = shown_by("gigacast.backtesting.document", "backtest_html")

    def to_table(self) -> pa.Table:
        """Return the leaderboard: a row per segment and model, first those over all segments."""
        return self.leaderboard.to_table()

    def to_pandas(self) -> Any:
        """Return the table as a pandas DataFrame."""
        return self.leaderboard.to_pandas()
