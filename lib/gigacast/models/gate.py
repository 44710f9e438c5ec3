"""Decide whether a version may become active: a sampled backtest against the active version."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gigacast.backtesting.job import BacktestJob
from gigacast.backtesting.leaderboard.result import Leaderboard
from gigacast.backtesting.partition import Windows
from gigacast.backtesting.run import run_backtest
from gigacast.core.plural import counted
from gigacast.errors import ConfigError, ModelError, ModelRejectedError
from gigacast.job.forecast_job import ForecastJob
from gigacast.lake.model.registry import Registry
from gigacast.lake.model.resolve import NAIVE_MODEL
from gigacast.settings.command.backtest import GateOptions

MOST_PARENTS = 32
"""Versions of a line that are looked at; nobody tunes a version more often than that."""
PORTFOLIO = "portfolio"
"""Kind of the source of versions that a selection has published."""
_TABLES = ("file", "table")
"""Kinds of training data without keys of a bucket."""


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
    caveats: list[str] = []
    if registry is not None:
        horizon = job.method.horizon or result.horizon
        seen = Seen(job.inputs.url, result.inputs, gate.windows * horizon)
        lineages = (_lineage(registry, model, name) for name in versions)
        texts_of = ((seen.caveat(name, source) for name, source in lineage) for lineage in lineages)
        # What a parent has seen, a version knows as well; the first of a line says enough.
        caveats = [text for texts in texts_of if (text := next(filter(None, texts), None))]
    return Verdict(model, version, active, objections, board, result.location, tuple(caveats))


@dataclass(frozen=True)
class Seen:
    """What a gate judges by, to be compared with what a version was trained on.

    Parameters
    ----------
    url : str
        Place of the inputs.
    inputs : frozenset of str
        Keys of the inputs.
    steps : int
        Steps at the end of each series that the windows cover.
    """

    url: str
    inputs: frozenset[str]
    steps: int

    def caveat(self, name: str, source: Mapping[str, Any]) -> str | None:
        """Return why the figures of a version flatter it; ``None`` if they do not.

        Parameters
        ----------
        name : str
            Model and version.
        source : mapping
            Origin of the version, see `ModelManifest`. It is read from the bucket: what is not of
            the form that training writes is no lineage.
        """
        if source.get("kind") == PORTFOLIO:
            return self._of_selection(name, source)
        record = _mapping(source.get("record"))
        data, settings = _mapping(record.get("data")), _mapping(record.get("settings"))
        unseen = settings.get("hold_out", 0)
        if source.get("kind") != "training" or (isinstance(unseen, int) and unseen >= self.steps):
            return None
        reason = _table_of(data) if data.get("kind") in _TABLES else self._of_inputs(data)
        if reason is None:
            return None
        remedy = f"train with --hold_out {self.steps} to judge it by what it has not seen"
        return f"{name} was trained on {reason}: {remedy}"

    def _of_inputs(self, data: Mapping[str, Any]) -> str | None:
        """Return what of the inputs a version was trained on; ``None`` for other inputs."""
        listed, url = data.get("inputs"), data.get("url")
        entries = listed if isinstance(listed, list) else []
        # A prefix may be a part of the place in one run and of the keys in another.
        places = {f"{url}/{_mapping(entry).get('key')}" for entry in entries}
        shared = sum(f"{self.url}/{key}" in places for key in self.inputs)
        if shared:
            return f"{shared} of these {len(self.inputs)} inputs, and its figures flatter it"
        count = data.get("objects")
        if url != self.url or not isinstance(count, int) or count <= len(entries):
            return None
        # Manifests list the first inputs only.
        return (
            f"{count:,} inputs of the same place, of which its manifest lists {len(entries):,}, "
            "and its figures flatter it if these are among them"
        )

    def _of_selection(self, name: str, source: Mapping[str, Any]) -> str | None:
        """Return that a portfolio is judged by what chose it; ``None`` for other inputs."""
        if source.get("inputs", self.url) != self.url:
            return None
        return (
            f"{name} was chosen by a backtest of these inputs, and its figures flatter it unless "
            f"{self.steps} steps have come since: the line `checked` of its selection does not"
        )


def _lineage(
    registry: Registry, model: str, version: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield a version, the one that it was tuned from, and so on, each with its origin."""
    source: Mapping[str, Any] = registry.read(model, version).source
    name = own = f"{model}/{version}"
    for _ in range(MOST_PARENTS):
        yield (name if name == own else f"{own} comes from {name}, which"), source
        parent = _mapping(source.get("parent"))
        named = parent.get("model"), parent.get("version")
        try:
            manifest = registry.find(str(named[0]), str(named[1])) if all(named) else None
        # It may have been deleted since, or be a model of the package.
        except (ConfigError, ModelError):
            manifest = None
        if manifest is None:
            return
        name, source = f"{named[0]}/{named[1]}", manifest.source


def _table_of(data: Mapping[str, Any]) -> str:
    return f"a {data['kind']}, and its figures flatter it if that holds the ends of these inputs"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


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
