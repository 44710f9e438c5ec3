"""A fine-tuning job and its result, as values."""

from dataclasses import dataclass, field
from pathlib import Path

from gigacast.errors import ConfigError
from gigacast.job.forecast_job import ForecastJob
from gigacast.lake.model.resolve import ResolvedModel
from gigacast.models.publish import Published
from gigacast.settings.command.training import DEFAULT_HISTORY
from gigacast.trainers.finetuning.config import MOST, Finetuned, FinetuneOptions
from gigacast.training.data import TrainingData

MOST_THREADS = 1 << 15
"""More threads than any machine has cores; torch fails at a greater number."""


@dataclass(frozen=True)
class FinetuneJob:
    """A fine-tuning job.

    Parameters
    ----------
    job : ForecastJob
        Locations of data and registry, selected partitions, parent model, and reading options.
    options : FinetuneOptions
    data : TrainingData, optional
        Training data; the partitions that ``job`` selects by default.
    name : str, optional
        Name to publish under; the parent's by default, with ``-tuned`` if the parent ships with
        the package.
    version : str, optional
        Version to publish as; the first twelve digits of the digest by default.
    switch : bool
        Whether to make the published version active.
    why : str
        Reason for the switch, for the history.
    checkpoint_dir : Path, optional
        Folder of checkpoints; by default a folder of this run in the cache, which is removed after
        publication.
    max_minutes : float, optional
        Time limit, after which a checkpoint is written; the same job resumes it. Unlimited by
        default.
    history : int
        Maximum steps per series, counted from its end.
    threads : int, optional
        Number of torch's threads; torch's own default if None.
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
                raise ConfigError(f"{name}: {value:g} is not above 0")
        for name, most in (("threads", MOST_THREADS), ("history", MOST - 1)):
            if (getattr(self, name) or 0) > most:
                raise ConfigError(f"{name}: the most is {most:,}")


@dataclass(frozen=True)
class FinetuneResult:
    """Result of a fine-tuning job.

    Parameters
    ----------
    parent : ResolvedModel
    done : Finetuned
        Result of the training.
    series, points : int
        Number of series, and of their steps, in the training data.
    skipped : dict
        Number of series left out, by reason.
    wql_before, wql_after : float or None
        WQL on the held-out windows, of the parent and of the new version; None if undefined.
    published : Published or None
        None if the time ran out first, and the same job resumes the run; or if no step was better
        than the parent, whose weights they are.
    switched : bool
        Whether the new version was made active.
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
