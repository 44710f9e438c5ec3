"""Options of training. Their defaults and choices are those of `FinetuneOptions`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gigacast.settings.command.common import NewVersionOption
from gigacast.settings.flag import flag
from gigacast.trainers.finetuning.config import FinetuneOptions, Tuning

DEFAULT_HISTORY = 65_536
"""Maximum steps per series; bounds the memory of a batch while series are read."""
_DEFAULTS = FinetuneOptions()

TEXTS: Mapping[str, str] = {
    "model": "Model to start from: shipped model, folder, NAME/VERSION under models/, or hub id.",
    "horizon": "Steps of a training target; the model's horizon, at most 64, by default. A longer "
    "horizon than the model's is an error.",
    "context_length": "Maximum steps of history before a target; all the model can use by default.",
    "min_length": "Series with fewer values are left out.",
    "seed": "Seed; the same seed and data give the same weights on the same machine.",
    "precision": "Precision of the arithmetic; bfloat16 is mixed precision: weights stay float32.",
    "batch_size": f"Series per step; {_DEFAULTS.batch_size} by default.",
    "unsupported_covariates": "Covariates of a model that learns from each series alone: an error, "
    "or ignored.",
    "limit": "Maximum number of partitions to learn from.",
}
"""Help of settings that mean something else in fine-tuning."""


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Options of the training itself."""

    method: Tuning = flag(
        _DEFAULTS.method,
        "Train all weights (full), or a LoRA adapter (Chronos-2).",
        group="training",
    )
    steps: int = flag(_DEFAULTS.steps, "Maximum steps to train.", group="training")
    learning_rate: float | None = flag(
        _DEFAULTS.learning_rate,
        "Highest learning rate; by the kind of model by default.",
        group="training",
        details="It is 1e-4 for a Bolt, 1e-6 for a Chronos-2, 1e-5 for LoRA, and less for panels "
        "of fewer than 256 series, by the root of their number; it rises over the first steps and "
        "falls along a cosine.",
    )
    warmup_steps: int = flag(
        _DEFAULTS.warmup_steps,
        "Steps until the learning rate is at its highest.",
        group="training",
    )
    weight_decay: float = flag(_DEFAULTS.weight_decay, "Weight decay of AdamW.", group="training")
    gradient_clip: float = flag(
        _DEFAULTS.gradient_clip, "Largest norm of a gradient.", group="training"
    )
    min_context: int = flag(
        _DEFAULTS.min_context, "Minimum steps before a training target.", group="training"
    )
    validation_steps: int | None = flag(
        _DEFAULTS.validation_steps,
        "Steps held out at each series' end; a horizon by default.",
        group="training",
    )
    hold_out: int = flag(
        _DEFAULTS.hold_out,
        "Steps at each series' end that training does not see, nor its validation.",
        group="training",
        details="With the gate's windows times the horizon, `models switch --if_better` judges by "
        "what the version has not seen; otherwise its verdict says so.",
    )
    validation_windows: int = flag(
        _DEFAULTS.validation_windows,
        "Maximum windows to validate on, chosen evenly.",
        group="training",
    )
    validate_every: int = flag(
        _DEFAULTS.validate_every, "Steps from one validation to the next.", group="training"
    )
    patience: int = flag(
        _DEFAULTS.patience,
        "Validations in a row without improvement that end the run.",
        group="training",
    )
    lora_rank: int = flag(_DEFAULTS.lora_rank, "Rank of the adapter.", group="training")
    lora_alpha: int = flag(_DEFAULTS.lora_alpha, "Scale of the adapter.", group="training")
    history: int = flag(DEFAULT_HISTORY, "Maximum steps of each series to read.", group="training")
    checkpoint_every: int = flag(
        _DEFAULTS.checkpoint_every, "Steps from one checkpoint to the next.", group="training"
    )


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Checkpoints, time and threads of a run."""

    checkpoints: Path | None = flag(
        None, "Folder of the checkpoints; by default one in the cache.", kind="folder"
    )
    max_minutes: float | None = flag(
        None,
        "Minutes after which the run stops; a rerun continues it.",
        group="amount",
        details="The exit code is then 1.",
    )
    threads: int | None = flag(
        None, "Threads of torch; torch's own choice by default.", group="with"
    )


@dataclass(frozen=True, kw_only=True)
class FinetuneRunOptions(RunOptions):
    """Options of a fine-tuning run."""

    name: str | None = flag(
        None,
        "Model to publish as; the parent's name by default.",
        group="version",
        details="`-tuned` is added when the parent ships with the package.",
    )


@dataclass(frozen=True, kw_only=True)
class FinetuneVersionOptions(NewVersionOption):
    """Options of the version that comes out of fine-tuning."""

    switch: bool = flag(False, "Make the version active.", group="version")
    why: str | None = flag(
        None, "Reason that goes into the history with --switch.", group="version"
    )


@dataclass(frozen=True, kw_only=True)
class FinetuneFlags:
    """Flags of `gigacast train finetune` that are no keywords: functions take the data itself."""

    data: Path | None = flag(
        None,
        "File (.csv, .parquet, .json) to learn from, instead of partitions.",
        group="where",
        kind="file",
    )


@dataclass(frozen=True, kw_only=True)
class PretrainOptions(NewVersionOption, RunOptions):
    """Options of `gigacast train pretrain`."""

    recipe: Path = flag(
        ...,
        "Settings of the run in YAML, such as config/pretrain-nano.yaml.",
        group="training",
        kind="file",
    )
    output: Path = flag(..., "Folder of the trained model.", kind="folder")
    checkpoints: Path | None = flag(
        None,
        "Folder of checkpoints and loss curve; OUTPUT-checkpoints by default.",
        kind="folder",
    )
    name: str | None = flag(None, "Model to publish as; not published by default.", group="version")
    license: str | None = flag(None, "License of the published version.", group="version")
