"""``gigacast models``: publish, verify, switch, back up and compare versions of models."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from gigacast.cli.flags import (
    DEFAULT_CONFIG,
    JOB_FLAGS,
    config_option,
    json_option,
    settings_flags,
)
from gigacast.cli.models.gate import gate_options, promote, show_verdict, take_gate
from gigacast.cli.suggestion import proposed
from gigacast.core.exit import EXIT_FAILED
from gigacast.errors import ConfigError
from gigacast.models.api import ModelManager
from gigacast.models.document import (
    comparison_document,
    history_blocks,
    history_json,
    models_document,
    summary_json,
    version_document,
)
from gigacast.models.publish import Published
from gigacast.report.document import Document, Items, KeyValues
from gigacast.report.terminal import say
from gigacast.report.terminal import show as render
from gigacast.settings.options import names_of

_NOT_HERE = {"model", "model_version", "layout", "fallback", "executor", "n_jobs"}
_PLACE = ("bucket", "prefix", "endpoint_url", "region")
_JOB_FLAGS = [name for name in JOB_FLAGS if name not in {*_NOT_HERE, *names_of("where")}]


@click.group(invoke_without_command=True)
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


def _placed(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags for the address of the registry, and ``--json``."""
    return settings_flags(*_PLACE)(config_option(json_option(command)))


def _manager(flags: dict[str, Any]) -> ModelManager:
    file = flags.pop("config", None)
    if file is None and DEFAULT_CONFIG.is_file():
        file = DEFAULT_CONFIG
    return ModelManager(file, **{name: flags.pop(name) for name in _PLACE})


def _print_json(content: object) -> None:
    click.echo(json.dumps(content, indent=1))


def _split(reference: str) -> tuple[str, str]:
    """Return the name and the version of a reference, which must have both."""
    name, slash, version = reference.removeprefix("models/").partition("/")
    if not slash or not version:
        raise ConfigError(f"{reference!r}: expected NAME/VERSION")
    return name, version


name_version = click.argument("reference", metavar="NAME[/VERSION]")
why_option = click.option("--why", default="", help="Reason, kept in the history.")


@models.command("list")
@_placed
def list_(as_json: bool, **flags: Any) -> None:
    """List every model and version, and which is active."""
    manager = _manager(flags)
    summaries = manager.list_models()
    if as_json:
        _print_json([summary_json(summary) for summary in summaries])
        return
    render(models_document(summaries, manager.where, proposed))


@models.command()
@name_version
@_placed
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


@models.command()
@click.argument("model")
@click.option("--name", help="Name of the model; the repository's by default.")
@click.option("--model_version", help="Version to publish as; the commit by default.")
@click.option("--revision", help="Branch, tag or commit on the hub; main by default.")
@_placed
def download(
    model: str,
    name: str | None,
    model_version: str | None,
    revision: str | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Fetch MODEL (chronos-bolt-small, or OWNER/NAME) from the hub and publish it."""
    published = _manager(flags).download_model(model, model_version, revision=revision, name=name)
    _show_published(published, as_json)


@models.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the model; the folder's by default.")
@click.option(
    "--model_version", help="Version; by default the folder's (NAME/v1.0), else from the digest."
)
@click.option("--base", help="Base model of a LoRA adapter: folder, NAME/VERSION or hub id.")
@click.option("--license", "license_", help="License; the model card's by default.")
@click.option("--metrics", help="Measured figures: JSON, a .json file, or free text.")
@click.option("--source", help="Origin: JSON, a .json file, or free text.")
@_placed
def publish(folder: Path, as_json: bool, **flags: Any) -> None:
    """Publish FOLDER as a version; the first version of a model becomes active."""
    for name in ("name", "model_version"):
        if flags[name] == "":
            raise ConfigError(f"--{name} is empty", hint="leave the flag out, or give a name")
    metrics, source = (_read_facts(flags.pop(name), name) for name in ("metrics", "source"))
    manager = _manager(flags)
    published = manager.publish_model(
        folder,
        flags["name"],
        flags["model_version"],
        base=flags["base"],
        license=flags["license_"],
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
    try:
        content = json.loads(Path(text).read_bytes() if is_file else text)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{flag}: {text[:80]}: cannot be read as JSON: {error}",
            hint="give a JSON object, a .json file that holds one, or free text",
        ) from error
    if not isinstance(content, dict):
        raise ConfigError(f"{flag}: {text[:80]}: expected a JSON object")
    return content


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


@models.command("switch")
@click.argument("name")
@click.argument("version")
@why_option
@click.option("--expected", metavar="VERSION", help="Switch only if this version is active now.")
@gate_options
@_placed
def switch_(
    name: str, version: str, why: str, expected: str | None, as_json: bool, **flags: Any
) -> int:
    """Make VERSION of NAME the active one.

    With --if-better it is first backtested on a sample of the bucket, together with the active
    version and seasonal naive. If it is worse, nothing changes, the table shows in which segments,
    and the exit code is 1.
    """
    wants_gate = flags["if_better"]
    gate = take_gate(flags)
    manager = _manager(flags)
    if wants_gate:
        return show_verdict(promote(manager, name, version, why, gate), as_json)
    active = manager.switch_model(name, version, why=why, expected=expected)
    _show_active(name, active.version, history_json(active), as_json)
    return 0


@models.command()
@click.argument("name")
@why_option
@_placed
def rollback(name: str, why: str, as_json: bool, **flags: Any) -> None:
    """Go back to the version of NAME that was active before."""
    active = _manager(flags).rollback_model(name, why=why)
    _show_active(name, active.version, history_json(active), as_json)


def _show_active(name: str, version: str | None, history: object, as_json: bool) -> None:
    if as_json:
        _print_json({"name": name, "active": version, "history": history})
        return
    say(f"active: {name}/{version}")


@models.command()
@name_version
@_placed
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


@models.command()
@click.argument("archive", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("names", nargs=-1, metavar="[NAME[/VERSION]]...")
@click.option("--overwrite", is_flag=True, help="Replace ARCHIVE if it exists.")
@_placed
def backup(
    archive: Path, names: tuple[str, ...], overwrite: bool, as_json: bool, **flags: Any
) -> None:
    """Write versions into ARCHIVE, a tar file; all versions by default."""
    if archive.exists() and not overwrite:
        raise ConfigError(f"{archive} exists already", hint="--overwrite replaces it")
    report = _manager(flags).backup_models(archive, names)
    if as_json:
        _print_json({**asdict(report), "archive": str(report.archive)})
        return
    say(f"{archive}: {', '.join(report.versions)}")
    for label in report.skipped:
        say(f"left out: {label}")


@models.command()
@click.argument("archive", type=click.Path(path_type=Path, dir_okay=False))
@_placed
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


@models.command()
@click.argument("reference", metavar="NAME/VERSION")
@click.option("--yes", is_flag=True, help="Delete; without it nothing is deleted.")
@why_option
@_placed
def delete(reference: str, yes: bool, why: str, as_json: bool, **flags: Any) -> None:
    """Delete an inactive or unfinished version; without --yes only show its objects."""
    name, version = _split(reference)
    keys = _manager(flags).delete_model(name, version, why=why, dry_run=not yes)
    if as_json:
        _print_json({"keys": keys, "deleted": len(keys) if yes else 0})
        return
    render(Document((Items.of(keys),)))
    say(f"deleted {len(keys)} objects" if yes else "nothing deleted; add --yes to delete")


def _job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags of a job for its partitions, method and resources."""
    return settings_flags("input_prefix", *_JOB_FLAGS)(command)


@models.command()
@click.argument("name")
@click.argument("first")
@click.argument("second")
@_job_options
@click.option("--partitions", default=5, show_default=True, help="Number of partitions to sample.")
@click.option(
    "--series", default=100, show_default=True, help="Number of series to sample per partition."
)
@click.option("--sample_seed", default=0, show_default=True, help="Seed of the sample.")
@_placed
def diff(name: str, first: str, second: str, as_json: bool, **flags: Any) -> None:
    """Compare two versions of NAME on a sample: movement of the forecasts, and which is better.

    Movements are in units of each context's standard deviation. The last horizon of each series is
    held out; the version with the lower WQL and MASE is better. Nothing is written.
    """
    manager = _manager(flags)
    options = {option: value for option, value in flags.items() if value is not None}
    report = manager.diff_versions(name, first, second, **options)
    if as_json:
        _print_json(asdict(report))
    else:
        render(comparison_document(report))
