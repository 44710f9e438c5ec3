"""Documents and JSON of feature sets: the published version, its features and their scales."""

from typing import Any

from gigacast.core.plural import counted
from gigacast.datasets.document import extent_text, published_json
from gigacast.feature_sets.build import EXTRA, BuiltFeatures
from gigacast.lake.dataset.manifest import DatasetManifest
from gigacast.report.document import Cell, Column, Document, Items, Kind, Paragraph, Table

_COLUMNS = (
    Column("feature", Kind.KEY),
    Column("score", Kind.NUMBER),
    Column("missing", Kind.COUNT),
    Column("centre", Kind.NUMBER, 1),
    Column("scale", Kind.NUMBER, 1),
)


def features_json(built: BuiltFeatures) -> dict[str, Any]:
    """Return a published feature set for ``--json``."""
    content = published_json(built.published)
    return {"new": content.pop("new"), "without_values": list(built.valueless), **content}


def features_document(built: BuiltFeatures) -> Document:
    """Return where the feature set was published, its features, scaler and warnings."""
    manifest, scaler = built.published.manifest, built.learned.scaler
    state = "published" if built.published.new else "there already, unchanged:"
    scaled = ""
    if scaler is not None:
        rows = counted(scaler.rows, "row")
        scaled = f"scaled: {scaler.method}, of {rows} up to {scaler.until}"
    report = built.published.report
    return Document(
        (
            Paragraph(f"{state} {manifest.ref}: {extent_text(manifest)}"),
            _features_table(built, manifest),
            *([Paragraph(scaled)] if scaled else []),
            Items.of(f"warning: {warning}" for warning in (report.warnings if report else ())),
        )
    )


def _features_table(built: BuiltFeatures, manifest: DatasetManifest) -> Table:
    """Return a row per feature, the best first if they were ranked; without empty columns."""
    learned, scaler = built.learned, built.learned.scaler
    scores = {rank.name: rank.score for rank in learned.ranks}
    names = [rank.name for rank in learned.ranks] or list(learned.chosen)
    rows: list[tuple[Cell, ...]] = []
    for name in names:
        is_chosen = name in learned.chosen
        is_scaled = scaler is not None and name in scaler.centre
        rows.append(
            (
                name,
                scores.get(name),
                manifest.null_counts.get(name) if is_chosen else "left out",
                scaler.centre[name] if is_scaled and scaler else None,
                scaler.scale[name] if is_scaled and scaler else None,
            )
        )
    used = [i for i, _ in enumerate(_COLUMNS) if any(row[i] is not None for row in rows)]
    return Table(
        tuple(_COLUMNS[i] for i in used), tuple(tuple(row[i] for i in used) for row in rows)
    )


def recipe_text(manifest: DatasetManifest) -> str:
    """Return the name of the recipe of a feature set, and its scaling; empty for other datasets."""
    made_by = manifest.extra.get(EXTRA) or {}
    scaler = made_by.get("scaler")
    scaled = f", scaled ({scaler['method']}, up to {scaler['until']})" if scaler else ""
    return f"{made_by['recipe']['name']}{scaled}" if made_by else ""
