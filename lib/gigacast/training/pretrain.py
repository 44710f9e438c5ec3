"""Pretraining as a job: train a model from a recipe and, on request, publish it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gigacast.errors import ConfigError
from gigacast.forecasters.engine import require_torch
from gigacast.lake.model.manifest import check_name
from gigacast.lake.model.registry import Registry
from gigacast.lake.model.resolve import is_shipped
from gigacast.lake.publication import Author
from gigacast.models.publish import ModelDescription, Published, publish_folder
from gigacast.trainers.finetuning.config import TrainingEvents
from gigacast.training.run import check_free


@dataclass(frozen=True)
class PretrainJob:
    """A pretraining job.

    Parameters
    ----------
    recipe : Path
        YAML settings, such as ``config/pretrain-nano.yaml``.
    output_dir : Path
        Folder for the model's files.
    checkpoint_dir : Path
        Folder of checkpoints and the curve; an existing checkpoint is resumed.
    max_minutes : float, optional
        Time limit, after which a checkpoint and the weights so far are written; unlimited by
        default.
    threads : int, optional
        Number of torch's threads; torch's own default if None.
    name : str, optional
        Name to publish the finished model under; not published by default.
    version : str, optional
        Version to publish as; the first twelve digits of the digest by default.
    license : str, optional
        License in the manifest.
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
    """Result of a pretraining job; ``published`` is None if unfinished or without a name."""

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
    """Start or resume the pretraining of a Chronos-Bolt on synthetic series.

    Parameters
    ----------
    job : PretrainJob
    registry : Registry, optional
        Registry to publish to; required with a name.
    author : Author
        Author of the version.
    events : TrainingEvents, optional
        Receiver of events; ignored by default.
    clock : callable
        Monotonic clock, in seconds.

    Raises
    ------
    MissingExtraError
        If torch is not installed.
    ConfigError
        If the recipe is invalid, or the checkpoint belongs to another recipe.
    ModelError
        If the loss is not a number.
    StorageError
        If the disk is full, or the registry cannot be reached.
    ModelConflictError
        If the version exists already.
    """
    require_torch("training")
    from gigacast.forecasters.network.device import set_threads  # noqa: PLC0415 - torch
    from gigacast.trainers.pretraining.config import load_config  # noqa: PLC0415
    from gigacast.trainers.pretraining.run import pretrain  # noqa: PLC0415

    config = load_config(job.recipe)
    # Before the hours of training, and again by the registry when the version is published.
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
    description = ModelDescription(
        name=job.name,
        version=job.version,
        license=job.license,
        metrics={"held_out_loss": loss},
        source={"kind": "training", "parent": None, "record": record},
    )
    # Not even the first version of a model becomes active: forecasts with it must be a decision.
    return publish_folder(registry, job.output_dir, description, author, activate=False)
