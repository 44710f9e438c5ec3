"""A selection as a value: the candidates, the windows that judge them, and the rules of choice."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

from gigacast.backtesting.job import BacktestJob, check_job
from gigacast.backtesting.leaderboard.breakdown import check_segment
from gigacast.backtesting.partition import Windows
from gigacast.errors import ConfigError
from gigacast.forecasters.around.enhancement import Enhancement
from gigacast.job.forecast_job import ForecastJob, ModelChoice
from gigacast.lake.model.manifest import check_name
from gigacast.lake.model.resolve import DEFAULT_MODEL, NAIVE_MODEL, is_shipped
from gigacast.settings.command.selection import SelectOptions

SERIES = "series"
ALL = "all"
DEFAULT_CANDIDATES = (DEFAULT_MODEL, f"{DEFAULT_MODEL}+auto")


@dataclass(frozen=True)
class Candidate:
    """A model, and what is done around it."""

    reference: str
    enhance: Enhancement | None = None

    @classmethod
    def parse(cls, text: str) -> "Candidate":
        """Return the candidate of ``MODEL`` or ``MODEL+ENHANCEMENT``.

        Raises
        ------
        ConfigError
            If nothing is before or behind the plus.
        """
        reference, plus, enhance = text.rpartition("+")
        if not plus:
            return cls(text)
        # A folder or version may have a plus in its name.
        if enhance not in get_args(Enhancement):
            return cls(text)
        if not reference:
            raise ConfigError(f"model: {text!r} names no model", hint="write MODEL+auto")
        return cls(reference, enhance)  # type: ignore[arg-type]


@dataclass(frozen=True)
class SelectionJob:
    """What is selected, from which evidence.

    Parameters
    ----------
    name : str
        Name of the portfolio.
    forecast : ForecastJob
        Partitions and method; its model is not used.
    candidates : tuple of Candidate
        Models to choose from; seasonal naive is one of them always.
    options : SelectOptions
    """

    name: str
    forecast: ForecastJob
    candidates: tuple[Candidate, ...]
    options: SelectOptions

    @property
    def windows(self) -> Windows:
        """Origins from which each series is forecast."""
        return Windows(self.options.windows, self.options.step)


def selection_job(name: str, forecast: ForecastJob, options: SelectOptions) -> SelectionJob:
    """Return the selection of a command's options.

    Raises
    ------
    ConfigError
        If a number is out of its range, or options contradict each other.
    """
    check_name("model", name)
    if is_shipped(name):
        raise ConfigError(f"{name}: always means a model of the package", hint="take another name")
    candidates = [Candidate.parse(text) for text in options.models or DEFAULT_CANDIDATES]
    if Candidate(NAIVE_MODEL) not in candidates:
        candidates.append(Candidate(NAIVE_MODEL))
    method = replace(forecast.method, calibrate=False, enhance=None)
    job = SelectionJob(
        name,
        replace(forecast, method=method, synthetic=None),
        tuple(dict.fromkeys(candidates)),
        options,
    )
    _check(job)
    return job


def _check(job: SelectionJob) -> None:
    options = job.options
    models = tuple(ModelChoice(reference=entry.reference) for entry in job.candidates)
    check_job(
        BacktestJob(
            job.forecast,
            models,
            job.windows,
            partitions=options.sample_partitions,
            series=options.sample_series,
        )
    )
    if options.segment not in {SERIES, ALL}:
        check_segment(options.segment)
    if options.segment == "window":
        raise ConfigError("segment: a series to come is in no window", hint="take another segment")
    if options.segment == SERIES and options.method == "ensemble":
        raise ConfigError(
            "method: a single series is too little evidence for the weights of an ensemble",
            hint="take --segment frequency, all or column:NAME, or --method best",
        )
    if not 1 <= options.least_windows <= options.windows:
        raise ConfigError(
            f"least_windows: {options.least_windows} of {options.windows} windows",
            hint="ask for at least 1, and for no more than --windows",
        )
    for name in ("margin", "evidence"):
        if not getattr(options, name) >= 0:
            raise ConfigError(f"{name}: {getattr(options, name)} is less than 0")


def check_together(models: Sequence[str]) -> None:
    """Refuse a single candidate: there is nothing to choose.

    Raises
    ------
    ConfigError
    """
    if len(set(models)) < 2:
        raise ConfigError(
            f"model: {', '.join(models)} alone leaves nothing to choose",
            hint="name several models with --model",
        )
