"""Fine-tuning: from a parent's folder and a corpus to the folder of a better model.

Loads torch and chronos: import it only where a model is about to be trained.
"""

from dataclasses import dataclass
from pathlib import Path

from gigacast.trainers.corpus import Corpus, Cut, WindowSource
from gigacast.trainers.finetuning.bolt import BoltTrainer
from gigacast.trainers.finetuning.chronos2 import Chronos2Trainer
from gigacast.trainers.finetuning.config import BOLT, FinetuneConfig, Finetuned, Limits, Origin


@dataclass(frozen=True)
class Finetuning:
    """A run to start, or to go on with.

    Parameters
    ----------
    parent : Path
        Its folder.
    config : FinetuneConfig
    corpus : Corpus
    origin : Origin
    checkpoint_dir : Path
        A checkpoint in it is resumed.
    """

    parent: Path
    config: FinetuneConfig
    corpus: Corpus
    origin: Origin
    checkpoint_dir: Path


def finetune(run: Finetuning, output_dir: Path, limits: Limits) -> Finetuned:
    """Train, or go on training; write the best weights once the run is finished.

    Parameters
    ----------
    run : Finetuning
    output_dir : Path
        Where a model, or an adapter, goes as chronos loads it.
    limits : Limits

    Raises
    ------
    ModelError
        When the parent cannot be trained, or a loss is not a number.
    ConfigError
        When the checkpoint is another run's.
    DataError
        When nothing in the corpus can be learned from.
    StorageError
        When the disk is full; the last checkpoint stays.
    MissingExtraError
    """
    trainer = _trainer(run, limits)
    done = trainer.run()
    if done.finished:
        trainer.export(output_dir)
    return done


def _trainer(run: Finetuning, limits: Limits) -> BoltTrainer | Chronos2Trainer:
    if run.config.family == BOLT:
        source = window_source(run.corpus, run.config)
        return BoltTrainer(run.parent, run.config, source, run.origin, run.checkpoint_dir, limits)
    return Chronos2Trainer(
        run.parent, run.config, run.corpus, run.origin, run.checkpoint_dir, limits
    )


def window_source(corpus: Corpus, config: FinetuneConfig) -> WindowSource:
    """Return the windows of a run."""
    options = config.options
    cut = Cut(
        context_length=config.context_length,
        horizon=config.horizon,
        validation_steps=config.validation_steps,
        min_context=options.min_context,
        patch_size=config.patch_size,
    )
    return WindowSource(corpus, cut, options.batch_size, options.seed)
