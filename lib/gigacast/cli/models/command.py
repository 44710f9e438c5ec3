"""``gigacast models``: publish, verify, switch, back up and compare versions of models."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from gigacast.cli.commands import MODEL_COMMANDS
from gigacast.cli.flags import (
    JOB_FLAGS,
    PLACE,
    flags_of,
    place_options,
    settings_flags,
    take_config,
)
from gigacast.cli.help import Command
from gigacast.cli.lazy import LazyGroup
from gigacast.cli.models.gate import GATE_SETTINGS, show_verdict, take_condition
from gigacast.cli.suggestion import proposed
from gigacast.core.exit import EXIT_FAILED
from gigacast.core.plural import counted
from gigacast.core.problem import Source
from gigacast.core.record import decode_json, read_value
from gigacast.errors import ConfigError
from gigacast.models.api import ModelManager
from gigacast.models.document import (
    comparison_document,
    comparison_json,
    history_blocks,
    history_json,
    models_document,
    summary_json,
    version_document,
)
from gigacast.models.publish import Published
from gigacast.report.document import Document, Items, KeyValues
from gigacast.report.terminal import say, show_json
from gigacast.report.terminal import show as render
from gigacast.settings.command.backtest import GateOptions
from gigacast.settings.command.common import ReasonOption
from gigacast.settings.command.models import (
    BackupOptions,
    DeleteModelOptions,
    DiffModelOptions,
    DownloadOptions,
    PublishModelOptions,
    SwitchOptions,
)
from gigacast.settings.flag import take
from gigacast.settings.options import names_of

_NOT_HERE = {"model", "model_version", "layout", "fallback", "executor", "n_jobs"}
_JOB_FLAGS = [name for name in JOB_FLAGS if name not in {*_NOT_HERE, *names_of("where")}]


@click.group(cls=LazyGroup, homes=MODEL_COMMANDS, invoke_without_command=True)
@click.pass_context
def models(context: click.Context) -> None:
    """Versions of models: publish, switch, roll back, verify, back up, compare.

    The registry is models/ under --bucket and --prefix; without a bucket, models/ in the working
    folder. Published versions never change.

    \b
    Examples:
      gigacast models download chronos-bolt-small --model_version v1.0 --bucket my-bucket
      gigacast models publish ./my-model --name my-model --model_version v1.1 --bucket my-bucket
      gigacast models switch my-model v1.1 --why "better on weekends" --bucket my-bucket
      gigacast models rollback my-model --bucket my-bucket
    """  # noqa: D301 - the mark of click for lines that are not wrapped
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _manager(flags: dict[str, Any]) -> ModelManager:
    return ModelManager(take_config(flags), **{name: flags.pop(name) for name in PLACE})


def _print_json(content: object) -> None:
    show_json(content, is_ascii=True)


def _split(reference: str) -> tuple[str, str]:
    """Return the name and the version of a reference, which must have both."""
    name, slash, version = reference.removeprefix("models/").partition("/")
    if not slash or not version:
        raise ConfigError(f"{reference!r}: expected NAME/VERSION")
    return name, version


name_version = click.argument("reference", metavar="NAME[/VERSION]")


@models.command("list", cls=Command)
@place_options
def list_(as_json: bool, **flags: Any) -> None:
    """List every model and version, and which is active."""
    manager = _manager(flags)
    summaries = manager.list_models()
    if as_json:
        _print_json([summary_json(summary) for summary in summaries])
        return
    render(models_document(summaries, manager.where, proposed))


@models.command(cls=Command)
@name_version
@place_options
def show(reference: str, as_json: bool, **flags: Any) -> None:
    """Show a model's versions and history, or the manifest of one version."""
    manager = _manager(flags)
    name, _, version = reference.removeprefix("models/").partition("/")
    summary, active = manager.show_model(name)
    if version:
        manifest = manager.read_manifest(name, version)
        if as_json:
            _print_json({**manifest.to_json(), "active": version == active.version})
            return
        render(version_document(manifest, active.version))
        return
    if as_json:
        _print_json({**summary_json(summary), "history": history_json(active)})
        return
    document = models_document([summary], manager.where, proposed)
    render(document.followed_by(*history_blocks(active)))


@models.command(cls=Command)
@click.argument("model")
@flags_of(DownloadOptions)
@place_options
def download(model: str, as_json: bool, **flags: Any) -> None:
    """Fetch MODEL (chronos-bolt-small, or OWNER/NAME) from the hub and publish it."""
    options = take(DownloadOptions, flags)
    published = _manager(flags).download_model(
        model, options.model_version, revision=options.revision, name=options.name
    )
    _show_published(published, as_json)


@models.command(cls=Command)
@click.argument("folder", type=click.Path(path_type=Path))
@flags_of(PublishModelOptions)
@place_options
def publish(folder: Path, as_json: bool, **flags: Any) -> None:
    """Publish FOLDER as a version; the first version of a model becomes active."""
    options = take(PublishModelOptions, flags)
    for name, value in (("name", options.name), ("model_version", options.model_version)):
        if value == "":
            raise ConfigError(f"--{name} is empty", hint="leave the flag out, or give a name")
    metrics = _read_facts(options.metrics, "metrics")
    source = _read_facts(options.source, "source")
    published = _manager(flags).publish_model(
        folder,
        options.name,
        options.model_version,
        base=options.base,
        license=options.license,
        metrics=metrics,
        source=source,
    )
    _show_published(published, as_json)


def _read_facts(text: str | None, flag: str) -> dict[str, Any] | None:
    """Read the value of a flag on a version: a JSON object, a file with one, or free text.

    Raises
    ------
    ConfigError
        If text that looks like JSON is not valid, or a file cannot be read.
    """
    if text is None:
        return None
    is_file = text.endswith(".json")
    if not is_file and not text.lstrip().startswith("{"):
        return {"kind": "note", "note": text} if flag == "source" else {"note": text}
    hint = "give a JSON object, a .json file that holds one, or free text"
    source = Source(f"{flag}: {text[:80]}", ConfigError, hint=hint)
    try:
        content = Path(text).read_bytes() if is_file else text
    except OSError as error:
        raise source.refuse(f"cannot be read: {error.strerror}") from error
    values: dict[str, Any] = read_value(dict[str, Any], decode_json(content, source), source)
    return values


def _show_published(published: Published, as_json: bool) -> None:
    manifest = published.manifest
    if as_json:
        _print_json({**manifest.to_json(), "new": published.new, "activated": published.activated})
        return
    label = f"{manifest.model}/{manifest.version}"
    verb = "published" if published.new else "already there, the same content:"
    say(f"{verb} {label}, digest {manifest.digest}")
    if published.activated:
        say(f"active: {label}, the first version")
    elif published.new:
        switch = proposed(f"gigacast models switch {manifest.model} {manifest.version}")
        say(f"to use it: {switch}")


@models.command("switch", cls=Command)
@click.argument("name")
@click.argument("version")
@flags_of(SwitchOptions, GateOptions)
@settings_flags(*GATE_SETTINGS)
@place_options
def switch_(name: str, version: str, as_json: bool, **flags: Any) -> int:
    """Make VERSION of NAME the active one.

    With --if-better it is first backtested on a sample of the bucket, together with the active
    version and seasonal naive. If it is worse, nothing changes, the table shows in which segments,
    and the exit code is 1.
    """
    options = take(SwitchOptions, flags)
    condition = take_condition(flags)
    manager = _manager(flags)
    if condition is not None:
        verdict = manager.promote_model(
            name, version, why=options.why, gate=condition.gate, **condition.settings
        )
        return show_verdict(verdict, as_json)
    active = manager.switch_model(name, version, why=options.why, expected=options.expected)
    _show_active(name, active.version, history_json(active), as_json)
    return 0


@models.command(cls=Command)
@click.argument("name")
@flags_of(ReasonOption)
@place_options
def rollback(name: str, as_json: bool, **flags: Any) -> None:
    """Go back to the version of NAME that was active before."""
    why = take(ReasonOption, flags).why
    active = _manager(flags).rollback_model(name, why=why)
    _show_active(name, active.version, history_json(active), as_json)


def _show_active(name: str, version: str | None, history: object, as_json: bool) -> None:
    if as_json:
        _print_json({"name": name, "active": version, "history": history})
        return
    say(f"active: {name}/{version}")


@models.command(cls=Command)
@name_version
@place_options
def verify(reference: str, as_json: bool, **flags: Any) -> int:
    """Hash the files of a version, or of all, and compare; exit code 1 if a file has changed.

    Every file is read as a whole, which takes as long as downloading it.
    """
    name, _, version = reference.removeprefix("models/").partition("/")
    report = _manager(flags).verify_model(name, version or None)
    if as_json:
        _print_json(asdict(report))
    else:
        facts = [("as published", label) for label in report.verified]
        facts += [("skipped", text) for text in report.skipped]
        facts += [("problem", text) for text in report.problems]
        render(Document((KeyValues.of(facts),)))
    return EXIT_FAILED if report.problems else 0


@models.command(cls=Command)
@click.argument("archive", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("names", nargs=-1, metavar="[NAME[/VERSION]]...")
@flags_of(BackupOptions)
@place_options
def backup(archive: Path, names: tuple[str, ...], as_json: bool, **flags: Any) -> None:
    """Write versions into ARCHIVE, a tar file; all versions by default."""
    if not take(BackupOptions, flags).overwrite and archive.exists():
        raise ConfigError(f"{archive} exists already", hint="--overwrite replaces it")
    report = _manager(flags).backup_models(archive, names)
    if as_json:
        _print_json({**asdict(report), "archive": str(report.archive)})
        return
    say(f"{archive}: {', '.join(report.versions)}")
    for label in report.skipped:
        say(f"left out: {label}")


@models.command(cls=Command)
@click.argument("archive", type=click.Path(path_type=Path, dir_okay=False))
@place_options
def restore(archive: Path, as_json: bool, **flags: Any) -> None:
    """Import the versions of ARCHIVE after verifying all; damaged files are replaced."""
    report = _manager(flags).restore_models(archive)
    if as_json:
        _print_json(asdict(report))
        return
    facts = [("restored", label) for label in report.versions]
    facts += [("there already", label) for label in report.present]
    facts += [("active", f"{name}/{version}") for name, version in report.active.items()]
    facts += [
        ("still active", f"{name}/{version}") if version else ("none active", name)
        for name, version in report.kept_active.items()
    ]
    render(Document((KeyValues.of(facts),)))


@models.command(cls=Command)
@click.argument("reference", metavar="NAME/VERSION")
@flags_of(DeleteModelOptions)
@place_options
def delete(reference: str, as_json: bool, **flags: Any) -> None:
    """Delete an inactive or unfinished version; without --yes only show its objects."""
    name, version = _split(reference)
    options = take(DeleteModelOptions, flags)
    yes = options.yes
    keys = _manager(flags).delete_model(name, version, why=options.why, dry_run=not yes)
    if as_json:
        _print_json({"keys": keys, "deleted": len(keys) if yes else 0})
        return
    render(Document((Items.of(keys),)))
    amount = counted(len(keys), "object")
    say(f"deleted {amount}" if yes else "nothing deleted; add --yes to delete")


@models.command(cls=Command)
@click.argument("name")
@click.argument("first")
@click.argument("second")
@settings_flags("input_prefix", *_JOB_FLAGS)
@flags_of(DiffModelOptions)
@place_options
def diff(name: str, first: str, second: str, as_json: bool, **flags: Any) -> None:
    """Compare two versions of NAME on a sample: movement of the forecasts, and which is better.

    Movements are in units of each context's standard deviation. The last horizon of each series is
    held out; the version with the lower WQL and MASE is better. Nothing is written.
    """
    manager = _manager(flags)
    options = {option: value for option, value in flags.items() if value is not None}
    report = manager.diff_versions(name, first, second, **options)
    if as_json:
        _print_json(comparison_json(report))
    else:
        render(comparison_document(report))
