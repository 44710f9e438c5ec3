"""Documents of models: versions, history, manifests, comparisons and the verdict of the gate."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from gigacast.core.plural import counted
from gigacast.lake.model.active import Active
from gigacast.lake.model.manifest import ModelManifest
from gigacast.models.diff import Comparison
from gigacast.models.gate import Verdict
from gigacast.models.publish import ModelSummary, VersionSummary
from gigacast.report import quantity
from gigacast.report.document import (
    Block,
    Cell,
    Column,
    Document,
    Fact,
    Heading,
    Items,
    KeyValues,
    Kind,
    Paragraph,
    Table,
    Tone,
    titled,
)

_COLUMNS = (
    Column("model", Kind.KEY),
    Column("version", Kind.KEY),
    Column("", label="state"),
    Column("digest", Kind.KEY, 4),
    Column("parameters", Kind.COUNT, 1),
    Column("size", Kind.SIZE, 2),
    Column("context", Kind.COUNT, 3),
    Column("steps", Kind.COUNT, 3),
    Column("from", Kind.KEY, 2),
)
_HISTORY_COLUMNS = (
    Column("when", Kind.DATE),
    Column("what"),
    Column("version", Kind.KEY),
    Column("who", priority=2),
    Column("why", priority=1),
)
_SCORE_COLUMNS = (
    Column("version", Kind.KEY),
    Column("WQL", Kind.NUMBER),
    Column("MASE", Kind.NUMBER),
    Column("series", Kind.COUNT, 1),
    Column("MASE undefined", Kind.COUNT, 2),
)


def models_document(
    models: Sequence[ModelSummary], url: str, complete: Callable[[str], str] = str
) -> Document:
    """Return a row per version, and the problems of damaged ones.

    Parameters
    ----------
    models : sequence of ModelSummary
    url : str
        Address of the registry.
    complete : callable
        Adds the flags for the registry to a suggested command; none by default.
    """
    if not models:
        fetch = complete("gigacast models download chronos-bolt-tiny")
        hint = Items.of([f"`{fetch}` fetches one"], depth=1)
        return Document((Paragraph(f"no models under {url}"), hint))
    rows = [_row(model.name, version) for model in models for version in model.versions]
    problems = Items.of(f"problem: {problem}" for problem in _problems(models))
    return Document((*titled(url, Table(_COLUMNS, tuple(rows))), problems))


def _problems(models: Sequence[ModelSummary]) -> list[str]:
    entries = [[model.problem, *(v.problem for v in model.versions)] for model in models]
    return [problem for problems in entries for problem in problems if problem]


def _row(name: str, version: VersionSummary) -> tuple[Cell, ...]:
    manifest = version.manifest
    state = "active" if version.active else ""
    if manifest is None:
        return (name, version.version, f"{state} {version.state}".strip(), *[None] * 6)
    return (
        name,
        version.version,
        state,
        manifest.digest[:12],
        manifest.parameters,
        manifest.size_bytes,
        manifest.context_length,
        manifest.prediction_length,
        origin(manifest.source),
    )


def origin(source: Mapping[str, Any]) -> str:
    """Return the source of a version in a few words."""
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
        case "note" | "portfolio":
            return str(source.get("note", "selected by a backtest"))
    return json.dumps(dict(source))


def history_blocks(active: Active) -> tuple[Block, ...]:
    """Return the changes of the active version, the latest first; nothing without any."""
    rows = [(c.when, c.action, c.version, c.who, c.why) for c in reversed(active.history)]
    return titled("History", Table(_HISTORY_COLUMNS, tuple(rows))) if rows else ()


def version_document(manifest: ModelManifest, active: str | None) -> Document:
    """Return the manifest of a version: facts, and its files."""
    levels = ", ".join(f"{level:g}" for level in manifest.quantile_levels) or "any, by sampling"
    state = ", active" if active == manifest.version else ""
    software = ", ".join(f"{name} {number}" for name, number in manifest.software.items())
    facts = KeyValues.of(
        [
            ("model", f"{manifest.model}/{manifest.version}{state}"),
            ("digest", manifest.digest),
            ("architecture", manifest.architecture),
            ("parameters", quantity.count(manifest.parameters)),
            ("context", counted(manifest.context_length, "step")),
            ("prediction", counted(manifest.prediction_length, "step")),
            ("levels", levels),
            ("license", manifest.license or "not stated"),
            ("from", origin(manifest.source)),
            ("created", f"{manifest.created_at} by {manifest.created_by}"),
            ("software", software),
            ("metrics", json.dumps(dict(manifest.metrics)) if manifest.metrics else ""),
            *(
                ("file", f"{file.name}  {quantity.size(file.size_bytes)}  {file.sha256}")
                for file in manifest.files
            ),
        ]
    )
    return Document((facts,))


def summary_json(summary: ModelSummary) -> dict[str, Any]:
    """Return a model as ``--json`` lists it."""
    versions = [
        {
            "version": version.version,
            "state": version.state,
            "active": version.active,
            "problem": version.problem,
            "manifest": version.manifest.to_json() if version.manifest else None,
        }
        for version in summary.versions
    ]
    return {"name": summary.name, "active": summary.active, "versions": versions} | (
        {"problem": summary.problem} if summary.problem else {}
    )


def history_json(active: Active) -> list[dict[str, str]]:
    """Return the changes of the active version for ``--json``, the oldest first."""
    return [asdict(change) for change in active.history]


def comparison_document(report: Comparison) -> Document:
    """Return how far the forecasts of two versions differ, and which version is better."""
    moved = report.movement
    partitions = counted(report.partitions, "partition")
    models = f"{report.model}/{report.first} and {report.model}/{report.second}"
    facts = (
        Fact(
            "compared",
            f"{models}: {report.series} series of {partitions}",
        ),
        Fact(
            "median moves",
            f"{moved.mean:.3g} of the context's scale on average, "
            f"{moved.p95:.3g} at the 95th percentile, {moved.largest:.3g} at most",
        ),
        Fact("by level", ", ".join(f"{level}: {v:.3g}" for level, v in moved.by_level.items())),
    )
    rows = [(s.name, s.wql, s.mase, s.series, s.undefined) for s in report.scores]
    blocks: list[Block] = [
        KeyValues(facts),
        Heading("Held-out ends (lower is better)"),
        Table(_SCORE_COLUMNS, tuple(rows)),
    ]
    if report.too_short:
        verb = "is" if report.too_short == 1 else "are"
        short = f"{report.too_short} series {verb} too short to hold out the last horizon"
        blocks.append(Paragraph(short))
    better = f"better: {report.better}" if report.better else "neither is better"
    caveats = (Paragraph(text, Tone.WARNING) for text in report.caveats)
    return Document((*blocks, Paragraph(better), *caveats))


def comparison_json(report: Comparison) -> dict[str, Any]:
    """Return a comparison for ``--json``."""
    values = asdict(report)
    if not report.caveats:
        del values["caveats"]
    return values


def verdict_document(verdict: Verdict) -> Document:
    """Return the leaderboard, which version is active now, and the objections."""
    caveats = (Paragraph(text, Tone.WARNING) for text in verdict.caveats)
    board = verdict.leaderboard.to_document().followed_by(*caveats)
    if verdict.is_better:
        return board.followed_by(Paragraph(f"active: {verdict.model}/{verdict.version}", Tone.GOOD))
    active = f"{verdict.model}/{verdict.active}"
    state = f"stays active: {active}" if verdict.active else "nothing active"
    refusal = Paragraph(f"not switched to {verdict.version}; {state}", Tone.BAD)
    return board.followed_by(refusal, Items.of(verdict.objections, depth=1))


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict for ``--json``."""
    return {
        "name": verdict.model,
        "version": verdict.version,
        "switched": verdict.is_better,
        "objections": list(verdict.objections),
        **({"caveats": list(verdict.caveats)} if verdict.caveats else {}),
        "location": verdict.location,
        "leaderboard": verdict.leaderboard.to_json(),
    }
