"""Fine-tune a parent model on a corpus and write the best weights.

This module loads torch and chronos, so it is imported only where a model is about to be trained.
"""

from dataclasses import dataclass
from pathlib import Path

from gigacast.trainers.corpus import Corpus, Cut, WindowSource
from gigacast.trainers.finetuning.bolt import BoltTrainer
from gigacast.trainers.finetuning.chronos2 import Chronos2Trainer
from gigacast.trainers.finetuning.config import BOLT, FinetuneConfig, Finetuned, Limits, Origin


@dataclass(frozen=True)
class Finetuning:
    """A fine-tuning run to start or resume.

    Parameters
    ----------
    parent : Path
        Folder of the parent model.
    config : FinetuneConfig
    corpus : Corpus
    origin : Origin
    checkpoint_dir : Path
        Folder of checkpoints; an existing checkpoint is resumed.
    """

    parent: Path
    config: FinetuneConfig
    corpus: Corpus
    origin: Origin
    checkpoint_dir: Path


def finetune(run: Finetuning, output_dir: Path, limits: Limits) -> Finetuned:
    """Start or resume a run, and write the best weights once it is finished.

    Parameters
    ----------
    run : Finetuning
    output_dir : Path
        Folder for the model or adapter, in the format that chronos loads.
    limits : Limits

    Raises
    ------
    ModelError
        If the parent cannot be trained, or a loss is not a number.
    ConfigError
        If the checkpoint belongs to another run.
    DataError
        If nothing in the corpus can be learned from.
    StorageError
        If the disk is full; the last checkpoint is kept.
    """
    trainer = _trainer(run, limits)
    result = trainer.run()
    if result.finished:
        trainer.export(output_dir)
    return result


def _trainer(run: Finetuning, limits: Limits) -> BoltTrainer | Chronos2Trainer:
    if run.config.family == BOLT:
        source = window_source(run.corpus, run.config)
        return BoltTrainer(run.parent, run.config, source, run.origin, run.checkpoint_dir, limits)
    return Chronos2Trainer(
        run.parent, run.config, run.corpus, run.origin, run.checkpoint_dir, limits
    )


def window_source(corpus: Corpus, config: FinetuneConfig) -> WindowSource:
    """Return the source of training and validation windows of a run."""
    options = config.options
    cut = Cut(
        context_length=config.context_length,
        horizon=config.horizon,
        validation_steps=config.validation_steps,
        min_context=options.min_context,
        patch_size=config.patch_size,
    )
    return WindowSource(corpus, cut, options.batch_size, options.seed)
