"""``gigacast train``: fine-tune a model on your own data, or pretrain one from scratch."""

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import click

from gigacast.cli.features import with_features
from gigacast.cli.flags import (
    PLACE,
    config_option,
    flags_of,
    json_option,
    quiet_option,
    settings_flags,
    take_config,
)
from gigacast.cli.help import Command
from gigacast.cli.suggestion import proposed
from gigacast.core.exit import EXIT_FAILED
from gigacast.core.plural import counted
from gigacast.errors import ConfigError
from gigacast.job.audit import this_author
from gigacast.models.api import ModelManager
from gigacast.report import quantity
from gigacast.report.progress import Progress
from gigacast.report.terminal import say, show, show_json
from gigacast.settings.command.feature_store import FeaturesOption
from gigacast.settings.command.training import (
    FinetuneFlags,
    FinetuneRunOptions,
    FinetuneVersionOptions,
    PretrainOptions,
    TrainingOptions,
)
from gigacast.settings.commands import TRAIN_SHARED
from gigacast.settings.flag import take
from gigacast.training.api import finetune_job, training_settings
from gigacast.training.data import FileData
from gigacast.training.document import (
    finetune_document,
    finetune_json,
    pretrain_document,
    pretrain_json,
)
from gigacast.training.pretrain import PretrainJob, run_pretrain
from gigacast.training.run import run_finetune

_UNFINISHED = "gigacast: the training is not finished: the same command continues it"


@click.group(invoke_without_command=True)
@click.pass_context
def train(context: click.Context) -> None:
    """Train models: fine-tune on your data, or pretrain on synthetic series.

    \b
    Examples:
      gigacast train finetune --bucket my-bucket --prefix sales --horizon 28
      gigacast train finetune --data sales.csv --model chronos-bolt-small/v1.0 --bucket my-bucket
      gigacast train finetune --bucket my-bucket --model amazon/chronos-2 --method lora
      gigacast train pretrain --recipe config/pretrain-nano.yaml --output ./model
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@train.command(cls=Command)
@settings_flags(*TRAIN_SHARED, command="finetune")
@flags_of(
    FinetuneFlags, FeaturesOption, TrainingOptions, FinetuneRunOptions, FinetuneVersionOptions
)
@config_option
@json_option
@quiet_option
def finetune(as_json: bool, quiet: bool, **flags: Any) -> int:
    """Fine-tune a model and publish its best weights; the active version stays without --switch.

    The last steps of each series are held out, never trained on: their loss chooses the weights and
    ends the run. The same command continues a run that was killed.

    \b
    Examples:
      gigacast train finetune --bucket my-bucket --prefix sales --horizon 28 --new_version v1.1
      gigacast train finetune --data sales.csv --steps 500
      gigacast train finetune --bucket my-bucket --model amazon/chronos-2 --method lora --switch
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    file = take_config(flags)
    data = take(FinetuneFlags, flags).data
    features = take(FeaturesOption, flags).features
    job = finetune_job(flags, FileData(data) if data is not None else None, file=file)
    if features is not None:
        if data is not None:
            raise ConfigError(
                f"--features {features}: --data {data} is a file of its own",
                hint="--features takes the partitions of a bucket: leave --data out",
            )
        series = with_features(
            job.job, features, training_settings(flags, file), quiet=quiet or as_json
        )
        job = replace(job, job=series)
    with Watcher(quiet=quiet or as_json, batch_size=job.options.batch_size) as watcher:
        result = run_finetune(job, this_author(), events=watcher)
    if as_json:
        show_json(finetune_json(result), is_ascii=True)
    elif not quiet:
        show(finetune_document(result, job, proposed))
    elif not result.done.finished:
        say(_UNFINISHED, err=True)
    return 0 if result.done.finished else EXIT_FAILED


@train.command(cls=Command)
@flags_of(PretrainOptions)
@settings_flags(*PLACE)
@config_option
@json_option
@quiet_option
def pretrain(as_json: bool, quiet: bool, **flags: Any) -> int:
    """Pretrain a Chronos-Bolt from scratch on synthetic series.

    The same command resumes from the last checkpoint. Before the last step the weights so far are
    written to OUTPUT, but not published.

    \b
    Example:
      gigacast train pretrain --recipe config/pretrain-nano.yaml --output ./nano --max_minutes 45
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    file = take_config(flags)
    place = {name: flags.pop(name) for name in PLACE}
    job = _pretrain_job(take(PretrainOptions, flags))
    registry = ModelManager(file, **place).registry if job.name is not None else None
    with Watcher(quiet=quiet or as_json, batch_size=0) as watcher:
        report = run_pretrain(job, registry, this_author(), events=watcher)
    if as_json:
        show_json(pretrain_json(report, job), is_ascii=True)
    elif not quiet:
        outputs = registry.store.address.url if registry else ""
        show(pretrain_document(report, job, outputs, proposed))
    elif not report.finished:
        say(_UNFINISHED, err=True)
    return 0 if report.finished else EXIT_FAILED


def _pretrain_job(options: PretrainOptions) -> PretrainJob:
    output = options.output
    if not options.recipe.is_file():
        raise ConfigError(f"recipe: {options.recipe}: no such file")
    return PretrainJob(
        recipe=options.recipe,
        output_dir=output,
        checkpoint_dir=options.checkpoints or output.with_name(f"{output.name}-checkpoints"),
        max_minutes=options.max_minutes,
        threads=options.threads,
        name=options.name,
        version=options.new_version,
        license=options.license,
    )


class Watcher(ExitStack):
    """Shows the progress of training; opened before the run, closed after it.

    Parameters
    ----------
    quiet : bool
    batch_size : int
        Series per step.
    """

    def __init__(self, *, quiet: bool, batch_size: int) -> None:
        super().__init__()
        self._quiet = quiet
        self._batch_size = batch_size
        self._progress: Progress | None = None
        self._losses = {"loss": "", "held out": ""}

    def prepared(self, series: int, points: int) -> None:
        """Print the size of the training data."""
        if not self._quiet:
            amount = f"{quantity.count(series)} series, {counted(points, 'step')}"
            say(f"training on {amount}", err=True)

    def started(self, step: int, steps: int) -> None:
        """Start the bar at the step where the run resumes."""
        self._progress = self.enter_context(Progress(steps, quiet=self._quiet, unit="steps"))
        self._progress.resume(step)
        if step and not self._quiet:
            say(f"resumed at step {step}", err=True)

    def stepped(self, step: int, loss: float) -> None:
        """Advance the bar and show the loss."""
        self._note("loss", f"{loss:.4f}")
        if self._progress is not None:
            self._progress.advance(self._batch_size)

    def validated(self, step: int, loss: float) -> None:
        """Show the loss on the held-out ends."""
        self._note("held out", f"{loss:.4f} at step {step}")

    def _note(self, name: str, value: str) -> None:
        self._losses[name] = value
        if self._progress is not None:
            losses = [f"{name} {loss}" for name, loss in self._losses.items() if loss]
            self._progress.note = ", ".join(losses)
