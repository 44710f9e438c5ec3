"""A fine-tuning run as values: what is asked for, and how it ended."""

from dataclasses import dataclass, field
from pathlib import Path

from gigacast.errors import ConfigError
from gigacast.job.forecast_job import ForecastJob
from gigacast.lake.model.resolve import ResolvedModel
from gigacast.models.publish import Published
from gigacast.trainers.finetuning.config import Finetuned, FinetuneOptions
from gigacast.training.data import DEFAULT_HISTORY, TrainingData


@dataclass(frozen=True)
class FinetuneJob:
    """Everything a run needs to know.

    Parameters
    ----------
    job : ForecastJob
        Where the data and the registry are, which partitions, which parent, how series are read.
    options : FinetuneOptions
    data : TrainingData, optional
        The partitions that ``job`` selects when absent.
    name, version : str, optional
        What to publish as: the parent's name (with ``-tuned`` when that ships with the package) and
        the digest's first twelve digits when absent.
    switch : bool
        Whether to make it active.
    why : str
        Goes into the history then.
    checkpoint_dir : Path, optional
        A folder of the run's own in the cache when absent, removed when it is published.
    max_minutes : float, optional
        Stop after so many minutes and write a checkpoint; the same job goes on from there.
    history : int
        At most so many steps at the end of each series.
    threads : int, optional
        Of torch.
    """

    job: ForecastJob
    options: FinetuneOptions = field(default_factory=FinetuneOptions)
    data: TrainingData | None = None
    name: str | None = None
    version: str | None = None
    switch: bool = False
    why: str = ""
    checkpoint_dir: Path | None = None
    max_minutes: float | None = None
    history: int = DEFAULT_HISTORY
    threads: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_minutes", "history", "threads"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name}: {value} is not above 0")


@dataclass(frozen=True)
class FinetuneResult:
    """How a run ended.

    Parameters
    ----------
    parent : ResolvedModel
    done : Finetuned
    series, points : int
        Learned from.
    skipped : dict
        Series left out, by reason.
    wql_before, wql_after : float or None
        On what is held out.
    published : Published or None
        None when time was up: the same job goes on.
    switched : bool
    checkpoint_dir : Path
    """

    parent: ResolvedModel
    done: Finetuned
    series: int
    points: int
    skipped: dict[str, int]
    wql_before: float | None
    wql_after: float | None
    published: Published | None
    switched: bool
    checkpoint_dir: Path
