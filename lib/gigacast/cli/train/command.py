"""``gigacast train``: fine-tune a model on one's own data, or pretrain one from scratch."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gigacast.cli.flags import (
    DEFAULT_CONFIG,
    F,
    config_option,
    json_option,
    quiet_option,
    settings_flags,
)
from gigacast.cli.train.view import (
    Watcher,
    finetune_json,
    pretrain_json,
    tell_finetuned,
    tell_pretrained,
)
from gigacast.core.exit import EXIT_FAILED
from gigacast.errors import ConfigError
from gigacast.job.audit import this_author
from gigacast.models.api import ModelManager
from gigacast.settings.options import names_of
from gigacast.training.api import finetune_job
from gigacast.training.data import FileData
from gigacast.training.pretrain import PretrainJob, run_pretrain
from gigacast.training.run import run_finetune

_SETTINGS = (
    *names_of("where"),
    *("years", "months", "symbol", "timeframe", "partition_by", "limit"),
    *("model", "model_version", "horizon", "context_length"),
    *names_of("columns"),
    *("freq", "min_length", "seed", "device", "precision", "batch_size", "memory_limit"),
)
_TEXTS = {
    "model": "What to start from: shipped model, folder, NAME/VERSION under models/, or hub id.",
    "horizon": "Steps the loss looks ahead; the model's own, at most 64, when absent.",
    "context_length": "Steps of history the loss looks back; all the model can use when absent.",
    "min_length": "Series with fewer values are left out.",
    "seed": "The same seed and data give the same weights.",
    "batch_size": "Series per step; 64 when absent.",
    "limit": "Learn from at most this many partitions.",
}
_PLACE = ("bucket", "prefix", "endpoint_url", "region")


@click.group(invoke_without_command=True)
@click.pass_context
def train(context: click.Context) -> None:
    """Train models: fine-tune one on your data, or pretrain one on synthetic series.

    \b
    Examples:
      gigacast train finetune --bucket my-bucket --prefix sales --horizon 28
      gigacast train finetune --data sales.csv --model chronos-bolt-small/v1.0 --bucket my-bucket
      gigacast train finetune --bucket my-bucket --model amazon/chronos-2 --method lora
      gigacast train pretrain --recipe config/pretrain-nano.yaml --output ./model
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _number(name: str, text: str, kind: Any = click.INT) -> Callable[[F], F]:
    return click.option(f"--{name}", type=kind, metavar="N", help=text)


_TRAINING = [
    click.option(
        "--data",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Learn from this .csv, .parquet or .json file instead of partitions.",
    ),
    click.option(
        "--method",
        type=click.Choice(("full", "lora")),
        help="Train all weights (full, the default), or a LoRA adapter (Chronos-2).",
    ),
    _number("steps", "Steps to train at most; 1000 when absent."),
    _number("learning_rate", "At its highest; by the kind of model when absent.", click.FLOAT),
    _number("warmup_steps", "Steps until the learning rate is at its highest; 50 when absent."),
    _number("weight_decay", "Of AdamW; 0.01 when absent.", click.FLOAT),
    _number("gradient_clip", "Largest norm of a gradient; 1.0 when absent.", click.FLOAT),
    _number("min_context", "Steps before a training target at least; 16 when absent."),
    _number("validation_steps", "Steps held out at each series' end; a horizon when absent."),
    _number("validation_windows", "Validate on at most this many windows; 2048 when absent."),
    _number("validate_every", "Steps from one validation to the next; 100 when absent."),
    _number("patience", "Validations without a better one that end the run; 5 when absent."),
    _number("lora_rank", "Rank of the adapter; 8 when absent."),
    _number("lora_alpha", "Scale of the adapter; 16 when absent."),
    _number("history", "At most this many steps of each series; 65536 when absent."),
    _number("checkpoint_every", "Steps from one checkpoint to the next; 100 when absent."),
]
_RUNNING = [
    click.option(
        "--checkpoints",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder of the checkpoints; one of the run's own in the cache when absent.",
    ),
    _number("max_minutes", "Stop after so many minutes; the same command goes on.", click.FLOAT),
    _number("threads", "Threads of torch."),
    click.option("--name", help="Model to publish as; the parent's name when absent."),
    click.option("--new_version", help="Version to publish as; its digest's start when absent."),
]


def _finetune_options(command: Any) -> Any:
    own = click.option("--switch", is_flag=True, default=None, help="Make the version active.")
    why = click.option("--why", help="Goes into the history with --switch.")
    shared = settings_flags(*_SETTINGS, texts=_TEXTS)
    for decorate in reversed([shared, *_TRAINING, *_RUNNING, own, why, config_option]):
        command = decorate(command)
    return command


@train.command()
@_finetune_options
@json_option
@quiet_option
def finetune(data: Path | None, as_json: bool, quiet: bool, **given: Any) -> int:
    """Fine-tune a model and publish the better version; the registry else stays as it was.

    The last steps of each series are held out, never trained on: their loss chooses the weights and
    ends the run. A killed run goes on where it was when the same command is given again.

    \b
    Examples:
      gigacast train finetune --bucket my-bucket --prefix sales --horizon 28 --new_version v1.1
      gigacast train finetune --data sales.csv --steps 500
      gigacast train finetune --bucket my-bucket --model amazon/chronos-2 --method lora --switch
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    file = _settings_file(given)
    job = finetune_job(given, FileData(data) if data is not None else None, file=file)
    with Watcher(quiet=quiet or as_json, batch_size=job.options.batch_size) as watcher:
        result = run_finetune(job, this_author(), events=watcher)
    if as_json:
        click.echo(json.dumps(finetune_json(result), indent=1))
    elif not quiet:
        tell_finetuned(result, job)
    return 0 if result.done.finished else EXIT_FAILED


def _settings_file(given: dict[str, Any]) -> Path | None:
    file: Path | None = given.pop("config", None)
    return DEFAULT_CONFIG if file is None and DEFAULT_CONFIG.is_file() else file


@train.command()
@click.option(
    "--recipe",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="YAML settings of the run, as config/pretrain-nano.yaml.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the trained model.",
)
@click.option(
    "--checkpoints",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of checkpoints and curve; OUTPUT-checkpoints when absent.",
)
@_number("max_minutes", "Stop after so many minutes; the same command goes on.", click.FLOAT)
@_number("threads", "Threads of torch.")
@click.option("--name", help="Publish it as this model; nothing is published when absent.")
@click.option("--new_version", help="Version to publish as; its digest's start when absent.")
@click.option("--license", help="License to publish it under.")
@settings_flags(*_PLACE)
@config_option
@json_option
@quiet_option
def pretrain(as_json: bool, quiet: bool, **given: Any) -> int:
    """Pretrain a Chronos-Bolt from scratch on synthetic series.

    A checkpoint is resumed. Until the last step the weights so far are written, and not published.

    \b
    Example:
      gigacast train pretrain --recipe config/pretrain-nano.yaml --output ./nano --max_minutes 45
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    file = _settings_file(given)
    place = {name: given.pop(name) for name in _PLACE}
    job = _pretrain_job(given)
    registry = ModelManager(file, **place).registry if job.name is not None else None
    with Watcher(quiet=quiet or as_json, batch_size=0) as watcher:
        report = run_pretrain(job, registry, this_author(), events=watcher)
    if as_json:
        click.echo(json.dumps(pretrain_json(report, job), indent=1))
    elif not quiet:
        tell_pretrained(report, job, registry.store.address.url if registry else "")
    return 0 if report.finished else EXIT_FAILED


def _pretrain_job(given: dict[str, Any]) -> PretrainJob:
    output: Path = given["output"]
    if not given["recipe"].is_file():
        raise ConfigError(f"recipe: {given['recipe']}: no such file")
    return PretrainJob(
        recipe=given["recipe"],
        output_dir=output,
        checkpoint_dir=given["checkpoints"] or output.with_name(f"{output.name}-checkpoints"),
        max_minutes=given["max_minutes"],
        threads=given["threads"],
        name=given["name"],
        version=given["new_version"],
        license=given["license"],
    )
