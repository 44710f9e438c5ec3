"""Whether a version of a model may go live: a sampled backtest against the one that is active."""

import math
from dataclasses import dataclass

from gigacast.backtesting.leaderboard.result import Leaderboard
from gigacast.backtesting.partition import Windows
from gigacast.backtesting.run import BacktestJob, run_backtest
from gigacast.errors import ModelRejectedError
from gigacast.job.forecast_job import ForecastJob, ModelChoice
from gigacast.lake.model.resolve import NAIVE_MODEL


@dataclass(frozen=True)
class Gate:
    """How a version is judged.

    Parameters
    ----------
    partitions, series : int
        Size of the sample: partitions, and series of each.
    windows : int
        Origins per series.
    segment : str
        In each of these it must hold its own.
    tolerance : float
        The share by which its WQL may exceed the active version's in a segment.
    """

    partitions: int = 20
    series: int = 1000
    windows: int = 2
    segment: str = "partition"
    tolerance: float = 0.05


@dataclass(frozen=True)
class Verdict:
    """What the gate found.

    Parameters
    ----------
    model, version, active : str
        ``active`` is the version it was held against; ``None`` when none was active.
    objections : tuple of str
        Why it may not go live; empty when it may.
    leaderboard : Leaderboard
    location : str
        URL of the leaderboard, but for its ending.
    """

    model: str
    version: str
    active: str | None
    objections: tuple[str, ...]
    leaderboard: Leaderboard
    location: str

    @property
    def is_better(self) -> bool:
        """Whether it may go live."""
        return not self.objections

    def summary(self) -> str:
        """Return the figures in a line, as the history keeps them."""
        wql = {s.model: s.figures.wql for s in self.leaderboard.standings}
        told = ", ".join(f"{name} {value:.4g}" for name, value in wql.items())
        return f"WQL of a backtest of {self.leaderboard.partitions} partitions: {told}"


def judge_version(
    job: ForecastJob, model: str, version: str, active: str | None, gate: Gate
) -> Verdict:
    """Backtest a version on a sample, beside the active one and seasonal naive.

    Parameters
    ----------
    job : ForecastJob
        Which partitions and how; its model is not used.
    model, version : str
    active : str, optional
        The version that is active now.
    gate : Gate

    Raises
    ------
    DataNotFoundError
        When there is nothing to backtest on.
    ModelRejectedError
        When the backtest itself failed on a partition: nothing is known then.
    """
    versions = [version] if active in {None, version} else [version, str(active)]
    choices = [
        ModelChoice(f"{model}/{one}", device=job.model.device, precision=job.model.precision)
        for one in versions
    ]
    wanted = BacktestJob(
        forecast=job,
        models=tuple(choices),
        windows=Windows(gate.windows),
        segment=gate.segment,
        partitions=gate.partitions,
        series=gate.series,
    )
    result = run_backtest(wanted)
    if result.failures:
        name, task, failure = result.failures[0]
        raise ModelRejectedError(
            f"{model}/{version}: the backtest failed with {name} on {task.partition}: "
            f"{failure.message}",
            hint="mend the partition, or leave it out with --years or --symbol",
        )
    board = result.leaderboard
    objections = tuple(object_to(board, f"{model}/{version}", f"{model}/{active}", gate.tolerance))
    return Verdict(model, version, active, objections, board, result.location)


def object_to(board: Leaderboard, ours: str, active: str, tolerance: float) -> list[str]:
    """Return what speaks against a version: overall, against naive, and segment by segment."""
    overall = {s.model: s.figures.wql for s in board.standings}
    if math.isnan(overall[ours]):
        return ["its WQL is undefined on the sample"]
    found = []
    for other in dict.fromkeys((active, NAIVE_MODEL)):
        if other != ours and overall.get(other, math.inf) <= overall[ours]:
            found.append(
                f"WQL {overall[ours]:.4g} is no better than {overall[other]:.4g} of {other}"
            )
    for label, figures in board.segments.items():
        if active == ours or active not in figures:
            continue
        mine, held = figures[ours].wql, figures[active].wql
        if mine > held * (1 + tolerance):
            how = f"{mine / held - 1:.0%} worse than" if held > 0 else "worse than"
            found.append(f"{board.segment} {label}: WQL {mine:.4g} is {how} {held:.4g} of {active}")
    return found
