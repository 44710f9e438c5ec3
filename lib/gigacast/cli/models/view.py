"""Models as people and programs read them: tables and JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from gigacast.cli.suggestion import proposed
from gigacast.errors import ConfigError
from gigacast.lake.model.active import Active
from gigacast.lake.model.manifest import ModelManifest
from gigacast.models.diff import Comparison
from gigacast.models.publish import ModelSummary, VersionSummary
from gigacast.report import quantity
from gigacast.report.table import print_table

_COLUMNS = ("model", "version", "", "digest", "parameters", "size", "context", "steps", "from")


def print_models(found: Sequence[ModelSummary], where: str) -> None:
    """Print a line for every version."""
    if not found:
        click.echo(f"no models under {where}")
        fetch = proposed("gigacast models download chronos-bolt-tiny")
        click.echo(f"  `{fetch}` fetches one")
        return
    print_table(where, _COLUMNS, [_row(one.name, v) for one in found for v in one.versions])
    for problem in _problems(found):
        click.echo(f"problem: {problem}")


def _problems(found: Sequence[ModelSummary]) -> list[str]:
    told = [[one.problem, *(version.problem for version in one.versions)] for one in found]
    return [problem for problems in told for problem in problems if problem]


def _row(name: str, version: VersionSummary) -> tuple[str, ...]:
    known = version.manifest
    state = "active" if version.active else ""
    if known is None:
        return (name, version.version, f"{state} {version.state}".strip(), *[""] * 6)
    return (
        name,
        version.version,
        state,
        known.digest[:12],
        quantity.count(known.parameters),
        quantity.size(known.size_bytes),
        str(known.context_length),
        str(known.prediction_length),
        origin(known.source),
    )


def origin(source: Mapping[str, Any]) -> str:
    """Say in a few words where a version comes from."""
    match source.get("kind"):
        case "hub":
            return f"hub {source.get('repo')}@{str(source.get('revision'))[:12]}"
        case "training":
            parent = source.get("parent")
            if not parent:
                return "trained from scratch"
            return f"trained from {parent.get('model')}/{parent.get('version')}"
        case "folder":
            return f"folder {source.get('path')}"
        case "note":
            return str(source.get("note"))
    return json.dumps(dict(source))


def read_facts(text: str | None, flag: str) -> dict[str, Any] | None:
    """Read what a flag says of a version: a JSON object, a file with one, or free text.

    Raises
    ------
    ConfigError
        When it is meant as JSON and is none, or a file cannot be read.
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


def print_history(active: Active) -> None:
    """Print every change of what is active, the latest first."""
    rows = [(c.when, c.action, c.version, c.who, c.why) for c in reversed(active.history)]
    if rows:
        click.echo()
        print_table("History", ("when", "what", "version", "who", "why"), rows)


def manifest_facts(known: ModelManifest, active: str | None) -> list[tuple[str, str]]:
    """Return what a manifest says, as lines."""
    levels = ", ".join(f"{level:g}" for level in known.quantile_levels) or "any, by sampling"
    facts = [
        ("model", f"{known.model}/{known.version}{', active' if active == known.version else ''}"),
        ("digest", known.digest),
        ("architecture", known.architecture),
        ("parameters", quantity.count(known.parameters)),
        ("context", f"{known.context_length} steps"),
        ("prediction", f"{known.prediction_length} steps"),
        ("levels", levels),
        ("license", known.license or "not stated"),
        ("from", origin(known.source)),
        ("created", f"{known.created_at} by {known.created_by}"),
        ("software", ", ".join(f"{name} {number}" for name, number in known.software.items())),
        ("metrics", json.dumps(dict(known.metrics)) if known.metrics else ""),
    ]
    files = [("file", f"{f.name}  {quantity.size(f.size_bytes)}  {f.sha256}") for f in known.files]
    return [(name, value) for name, value in facts if value] + files


def summary_json(summary: ModelSummary) -> dict[str, Any]:
    """Return a model as plain values."""
    versions = [
        {
            "version": one.version,
            "state": one.state,
            "active": one.active,
            "problem": one.problem,
            "manifest": one.manifest.to_json() if one.manifest else None,
        }
        for one in summary.versions
    ]
    return {"name": summary.name, "active": summary.active, "versions": versions} | (
        {"problem": summary.problem} if summary.problem else {}
    )


def history_json(active: Active) -> list[dict[str, str]]:
    """Return the changes of what is active as plain values, the oldest first."""
    return [asdict(change) for change in active.history]


def comparison_json(report: Comparison) -> dict[str, Any]:
    """Return a comparison as plain values."""
    return asdict(report)


def print_comparison(report: Comparison) -> None:
    """Print how far forecasts move and which version is better."""
    moved = report.movement
    click.echo(
        f"compared     {report.model}/{report.first} and {report.model}/{report.second}: "
        f"{report.series} series of {report.partitions} partitions"
    )
    click.echo(
        f"median moves {moved.mean:.3g} of the context's scale on average, "
        f"{moved.p95:.3g} at the 95th percentile, {moved.largest:.3g} at most"
    )
    levels = ", ".join(f"{level}: {value:.3g}" for level, value in moved.by_level.items())
    click.echo(f"by level     {levels}\n")
    rows = [(s.name, s.wql, s.mase, s.series, s.undefined) for s in report.scores]
    title = "Held-out ends (lower is better)"
    print_table(title, ("version", "WQL", "MASE", "series", "MASE undefined"), rows)
    if report.too_short:
        click.echo(f"{report.too_short} series are too short to hold out their last horizon")
    click.echo(f"\nbetter: {report.better}" if report.better else "\nneither is better")
