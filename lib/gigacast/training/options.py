"""The table of options of fine-tuning: those of training, and what shared ones mean to it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

from gigacast.settings.options import ARGUMENTS, Option, names_of
from gigacast.trainers.finetuning.config import FinetuneOptions, Tuning
from gigacast.training.data import DEFAULT_HISTORY

_DEFAULTS = FinetuneOptions()

SHARED = (
    *names_of("where"),
    *("years", "months", "symbol", "timeframe", "partition_by", "limit"),
    *("model", "model_version", "horizon", "context_length"),
    *names_of("columns"),
    *(
        "freq",
        "duplicates",
        "min_length",
        "seed",
        "device",
        "precision",
        "batch_size",
        "memory_limit",
    ),
)
"""Names of the options that fine-tuning shares with forecasting."""
SHARED_TEXTS: Mapping[str, str] = {
    "model": "Model to start from: shipped model, folder, NAME/VERSION under models/, or hub id.",
    "horizon": "Steps of a training target; the model's horizon, at most 64, by default. A longer "
    "horizon than the model's is an error.",
    "context_length": "Maximum steps of history before a target; all the model can use by default.",
    "min_length": "Series with fewer values are left out.",
    "seed": "Seed; the same seed and data give the same weights on the same machine.",
    "precision": "Precision of the arithmetic; bfloat16 is mixed precision: weights stay float32.",
    "batch_size": f"Series per step; {_DEFAULTS.batch_size} by default.",
    "limit": "Maximum number of partitions to learn from.",
}
"""Help of shared options that mean something else in fine-tuning."""
TRAINING: tuple[Option, ...] = (
    Option(
        "method",
        "choice",
        "Train all weights (full), or a LoRA adapter (Chronos-2).",
        _DEFAULTS.method,
        choices=get_args(Tuning),
    ),
    Option("steps", "integer", "Maximum steps to train.", _DEFAULTS.steps),
    Option(
        "learning_rate",
        "number",
        "Highest learning rate; by the kind of model by default.",
        _DEFAULTS.learning_rate,
        details="It is 1e-4 for a Bolt, 1e-6 for a Chronos-2, 1e-5 for LoRA; it rises over the "
        "first steps and falls along a cosine.",
    ),
    Option(
        "warmup_steps",
        "integer",
        "Steps until the learning rate is at its highest.",
        _DEFAULTS.warmup_steps,
    ),
    Option("weight_decay", "number", "Weight decay of AdamW.", _DEFAULTS.weight_decay),
    Option("gradient_clip", "number", "Largest norm of a gradient.", _DEFAULTS.gradient_clip),
    Option(
        "min_context", "integer", "Minimum steps before a training target.", _DEFAULTS.min_context
    ),
    Option(
        "validation_steps",
        "integer",
        "Steps held out at each series' end; a horizon by default.",
        _DEFAULTS.validation_steps,
    ),
    Option(
        "validation_windows",
        "integer",
        "Maximum windows to validate on, chosen evenly.",
        _DEFAULTS.validation_windows,
    ),
    Option(
        "validate_every",
        "integer",
        "Steps from one validation to the next.",
        _DEFAULTS.validate_every,
    ),
    Option(
        "patience",
        "integer",
        "Validations in a row without improvement that end the run.",
        _DEFAULTS.patience,
    ),
    Option("lora_rank", "integer", "Rank of the adapter.", _DEFAULTS.lora_rank),
    Option("lora_alpha", "integer", "Scale of the adapter.", _DEFAULTS.lora_alpha),
    Option("history", "integer", "Maximum steps of each series to read.", DEFAULT_HISTORY),
    Option(
        "checkpoint_every",
        "integer",
        "Steps from one checkpoint to the next.",
        _DEFAULTS.checkpoint_every,
    ),
)
"""Options of the training itself."""
RUNNING: tuple[Option, ...] = (
    Option("checkpoints", "folder", "Folder of the checkpoints; by default one in the cache."),
    Option(
        "max_minutes",
        "number",
        "Minutes after which the run stops; a rerun continues it.",
        details="The exit code is then 1.",
    ),
    Option("threads", "integer", "Threads of torch; torch's own choice by default."),
    Option(
        "name",
        "text",
        "Model to publish as; the parent's name by default.",
        details="`-tuned` is added when the parent ships with the package.",
    ),
    Option("new_version", "text", "Version to publish as; the start of its digest by default."),
    Option("switch", "switch", "Make the version active.", default=False),
    Option("why", "text", "Reason that goes into the history with --switch."),
)
"""Options of the run and of the version that comes out."""
KEYWORDS: tuple[Option, ...] = (
    *(
        replace(ARGUMENTS[name], help=SHARED_TEXTS[name], details="")
        if name in SHARED_TEXTS
        else ARGUMENTS[name]
        for name in SHARED
    ),
    *TRAINING,
    *RUNNING,
)
"""Options of `gigacast.finetune`."""
