"""Pretraining as a job: train from a recipe, and publish what came out if that is asked for."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gigacast.errors import ConfigError
from gigacast.lake.model.manifest import check_name
from gigacast.lake.model.registry import Author, Registry
from gigacast.lake.model.resolve import is_shipped
from gigacast.models.publish import Publication, Published, publish_folder
from gigacast.trainers.finetuning.config import TrainingEvents
from gigacast.training.run import check_free


@dataclass(frozen=True)
class PretrainJob:
    """Everything a run needs to know.

    Parameters
    ----------
    recipe : Path
        YAML settings, as ``config/pretrain-nano.yaml``.
    output_dir : Path
        Where the model's files go.
    checkpoint_dir : Path
        Where checkpoints and the curve go; a checkpoint there is resumed.
    max_minutes : float, optional
        Stop after so many minutes, write a checkpoint and the weights so far.
    threads : int, optional
        Of torch.
    name, version : str, optional
        What to publish as once it is finished; without a name nothing is published.
    license : str, optional
    """

    recipe: Path
    output_dir: Path
    checkpoint_dir: Path
    max_minutes: float | None = None
    threads: int | None = None
    name: str | None = None
    version: str | None = None
    license: str | None = None

    def __post_init__(self) -> None:
        if self.name is not None and is_shipped(self.name):
            raise ConfigError(
                f"name: {self.name} ships with the package", hint="choose another --name"
            )
        if self.version is not None and self.name is None:
            raise ConfigError("new_version: there is no --name to publish it under")
        for field in ("max_minutes", "threads"):
            value = getattr(self, field)
            if value is not None and not value > 0:
                raise ConfigError(f"{field}: {value} is not above 0")


@dataclass(frozen=True)
class PretrainReport:
    """How far a run came; ``published`` is None when it is not finished, or was not to be."""

    step: int
    steps: int
    finished: bool
    held_out_loss: float
    published: Published | None


def run_pretrain(
    job: PretrainJob,
    registry: Registry | None,
    author: Author,
    *,
    events: TrainingEvents | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> PretrainReport:
    """Train, or go on training, a Chronos-Bolt from scratch on synthetic series.

    Parameters
    ----------
    job : PretrainJob
    registry : Registry, optional
        Where to publish; needed with a name.
    author : Author
    events : TrainingEvents, optional
    clock : callable

    Raises
    ------
    ConfigError
        When the recipe is wrong, or the checkpoint was made by another one.
    ModelError
        When the loss is not a number.
    StorageError
    ModelConflictError
        When the version is there already.
    """
    from gigacast.forecasters.network.device import set_threads  # noqa: PLC0415 - torch
    from gigacast.trainers.pretraining.config import load_config  # noqa: PLC0415
    from gigacast.trainers.pretraining.run import pretrain  # noqa: PLC0415

    config = load_config(job.recipe)
    if registry is not None and job.name is not None:
        check_free(registry, check_name("name", job.name), job.version)
    if job.threads is not None:
        set_threads(job.threads)
    result = pretrain(config, job.output_dir, job.checkpoint_dir, job.max_minutes, clock, events)
    published = None
    if result.finished and registry is not None and job.name is not None:
        record = {"settings": config.model_dump(mode="json"), "steps": result.step}
        published = _publish(job, registry, author, record, result.held_out_loss)
    return PretrainReport(
        result.step, config.steps, result.finished, result.held_out_loss, published
    )


def _publish(
    job: PretrainJob, registry: Registry, author: Author, record: dict[str, Any], loss: float
) -> Published:
    wanted = Publication(
        name=job.name,
        version=job.version,
        license=job.license,
        metrics={"held_out_loss": loss},
        source={"kind": "training", "parent": None, "record": record},
    )
    return publish_folder(registry, job.output_dir, wanted, author, activate=False)
