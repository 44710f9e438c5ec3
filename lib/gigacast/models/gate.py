"""Decide whether a version may become active: a sampled backtest against the active version."""

import math
from dataclasses import dataclass, replace

from gigacast.backtesting.job import BacktestJob
from gigacast.backtesting.leaderboard.result import Leaderboard
from gigacast.backtesting.partition import Windows
from gigacast.backtesting.run import run_backtest
from gigacast.core.plural import counted
from gigacast.errors import ModelRejectedError
from gigacast.job.forecast_job import ForecastJob
from gigacast.lake.model.registry import Registry
from gigacast.lake.model.resolve import NAIVE_MODEL
from gigacast.models.lineage import Seen, find_caveats
from gigacast.settings.command.backtest import GateOptions


@dataclass(frozen=True)
class Gate:
    """Size of the backtest and criteria by which a version is judged.

    Parameters
    ----------
    partitions, series : int
        Number of partitions, and of series in each.
    windows : int
        Number of origins per series.
    segment : str
        Division of the backtest into segments; see ``leaderboard_segment``.
    tolerance : float
        Share by which the WQL may exceed that of the active version in a segment. Segments are
        small, so that their WQL varies even between equally good versions.
    """

    partitions: int = GateOptions.sample_partitions
    series: int = GateOptions.sample_series
    windows: int = GateOptions.windows
    segment: str = GateOptions.segment
    tolerance: float = GateOptions.tolerance


@dataclass(frozen=True)
class Verdict:
    """Result of judging a version.

    Parameters
    ----------
    model, version : str
    active : str or None
        Version it was compared with; None if no version was active.
    objections : tuple of str
        Reasons why it must not become active; empty if it may.
    leaderboard : Leaderboard
    location : str
        URL of the leaderboard without its extension.
    caveats : tuple of str
        Why figures flatter a version: it was trained on what it is judged by.
    """

    model: str
    version: str
    active: str | None
    objections: tuple[str, ...]
    leaderboard: Leaderboard
    location: str
    caveats: tuple[str, ...] = ()

    @property
    def is_better(self) -> bool:
        """Whether the version may become active."""
        return not self.objections

    def summary(self) -> str:
        """Return the figures in one line, for the history."""
        wql = {s.model: s.figures.wql for s in self.leaderboard.standings}
        figures = ", ".join(f"{name} {value:.4g}" for name, value in wql.items())
        partitions = counted(self.leaderboard.partitions, "partition")
        return "; ".join((f"WQL of a backtest of {partitions}: {figures}", *self.caveats))


def judge_version(
    job: ForecastJob,
    model: str,
    version: str,
    active: str | None,
    gate: Gate,
    registry: Registry | None = None,
) -> Verdict:
    """Backtest a version on a sample, together with the active version and seasonal naive.

    Parameters
    ----------
    job : ForecastJob
        Selected partitions and method; its model is not used.
    model, version : str
    active : str, optional
        Active version; none by default.
    gate : Gate
    registry : Registry, optional
        Where versions say what they were trained on; their figures are taken as they are without.

    Raises
    ------
    DataNotFoundError
        If there is nothing to backtest on.
    ModelRejectedError
        If the backtest failed on a partition, so that the comparison would be incomplete.
    """
    # Without another active version seasonal naive is the only rival.
    versions = [version] if active in {None, version} else [version, str(active)]
    choices = [
        replace(job.model, reference=f"{model}/{name}", version=None, otherwise=None, detect=True)
        for name in versions
    ]
    backtest = BacktestJob(
        forecast=job,
        models=tuple(choices),
        windows=Windows(gate.windows),
        segment=gate.segment,
        partitions=gate.partitions,
        series=gate.series,
    )
    result = run_backtest(backtest)
    if result.failures:
        name, task, failure = result.failures[0]
        raise ModelRejectedError(
            f"{model}/{version}: the backtest failed with {name} on {task.partition}: "
            f"{failure.message}",
            hint="repair the partition, or leave it out with --years or --symbol",
        )
    board = result.leaderboard
    objections = tuple(object_to(board, f"{model}/{version}", f"{model}/{active}", gate.tolerance))
    horizon = job.method.horizon or result.horizon
    seen = Seen(job.inputs.url, result.inputs, gate.windows * horizon)
    caveats = find_caveats(registry, model, versions, seen) if registry is not None else ()
    return Verdict(model, version, active, objections, board, result.location, caveats)


def object_to(board: Leaderboard, ours: str, active: str, tolerance: float) -> list[str]:
    """Return the objections to a version: overall, against seasonal naive, and by segment.

    Parameters
    ----------
    board : Leaderboard
    ours, active : str
        Names of the version and of the active version on the leaderboard.
    tolerance : float
        See `Gate`.
    """
    overall = {s.model: s.figures.wql for s in board.standings}
    if math.isnan(overall[ours]):
        return ["its WQL is undefined on the sample"]
    objections = []
    for rival in dict.fromkeys((active, NAIVE_MODEL)):
        # An equal WQL is an objection too: a switch without a gain is only a risk.
        if rival != ours and overall.get(rival, math.inf) <= overall[ours]:
            objections.append(
                f"WQL {overall[ours]:.4g} is no better than {overall[rival]:.4g} of {rival}"
            )
    # A better WQL overall can hide a segment that has become much worse.
    for label, figures in board.segments.items():
        if active == ours or active not in figures:
            continue
        new, old = figures[ours].wql, figures[active].wql
        if new > old * (1 + tolerance):
            comparison = f"{new / old - 1:.0%} worse than" if old > 0 else "worse than"
            objections.append(
                f"{board.segment} {label}: WQL {new:.4g} is {comparison} {old:.4g} of {active}"
            )
    return objections
