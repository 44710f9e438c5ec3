"""Accuracy as figures: over origins, months and horizon steps, and the calibration."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from gigacast.backtesting.leaderboard.result import calibration_figure
from gigacast.core.mark import Amount
from gigacast.core.problem import Source
from gigacast.core.record import decode_json, read_value
from gigacast.errors import CorruptedFileError, StorageError
from gigacast.forecasting.read import Generation
from gigacast.lake.layout import EVALUATIONS
from gigacast.report.document import Block, Column, Curve, Figure, Heading, Kind, Scale, Table
from gigacast.storage.store import Store

_NEWEST = 5
"""Stored evaluations that are searched for a model."""
_TITLES = {
    "origin": "Accuracy over origins",
    "month": "Accuracy by month",
    "step": "Accuracy by step ahead",
}
_COLUMNS = (
    Column("model", Kind.KEY),
    Column("WQL", Kind.NUMBER, label="weighted quantile loss (WQL)"),
    Column("MASE", Kind.NUMBER, label="mean absolute scaled error (MASE)"),
    Column("bias", Kind.NUMBER),
    Column("steps", Kind.COUNT),
)
_PARTS = ("version", *_TITLES)
Entries = Sequence[Mapping[str, Any]]


def accuracy_blocks(evaluation: Mapping[str, Any], *, with_table: bool = True) -> tuple[Block, ...]:
    """Return the figures of an evaluation; of each kind only those that there are.

    Parameters
    ----------
    evaluation : mapping
        JSON of an `Evaluation`; with ``origin``, errors by origin are drawn.
    with_table : bool
        Whether to add the figures by version.
    """
    blocks: list[Block] = []
    for by, title in _TITLES.items():
        figure = _over(by, evaluation.get(by) or ())
        blocks += [Heading(title), figure] if figure is not None else []
    blocks += _calibration(evaluation)
    versions = evaluation.get("version") or ()
    names = ("wql", "mase", "bias", "steps")
    rows = [(str(entry["model"]), *(_cell(entry, name) for name in names)) for entry in versions]
    if rows and with_table:
        blocks += [Heading("Accuracy by version"), Table(_COLUMNS, tuple(rows))]
    return tuple(blocks)


def _cell(entry: Mapping[str, Any], name: str) -> float | int | None:
    value = entry.get(name)
    return value if isinstance(value, int | float) else None


def _over(by: str, entries: Entries) -> Figure | None:
    """Return the WQL over labels, a line per model; ``None`` for fewer than two labels."""
    labels = list(dict.fromkeys(str(entry.get(by)) for entry in entries if _is_known(entry)))
    if len(labels) < 2:
        return None
    labels.sort(key=_order)
    models = dict.fromkeys(str(entry["model"]) for entry in entries)
    values = {
        (str(entry["model"]), str(entry.get(by))): float(entry["wql"])
        for entry in entries
        if _is_known(entry)
    }
    curves = tuple(
        Curve(model, "line", tuple(values.get((model, label), math.nan) for label in labels))
        for model in models
    )
    places = _places(labels) if by == "origin" else None
    return Figure(
        title="Weighted quantile loss",
        x=tuple(labels),
        curves=curves,
        places=places,
        scale=Scale.TIME if places else Scale.STEP,
        x_name={"step": "steps ahead"}.get(by, ""),
        y_name="share of the actuals' size",
    )


def _is_known(entry: Mapping[str, Any]) -> bool:
    wql = entry.get("wql")
    return isinstance(wql, int | float) and math.isfinite(wql)


def _order(label: str) -> tuple[int, str]:
    return (int(label), "") if label.isdigit() else (0, label)


def _places(labels: Sequence[str]) -> tuple[float, ...] | None:
    """Return labels as seconds since 1970; ``None`` if they are no times."""
    try:
        times = [datetime.fromisoformat(text) for text in labels]
    except ValueError:
        return None
    return tuple(t.replace(tzinfo=t.tzinfo or UTC).timestamp() for t in times)


def _calibration(evaluation: Mapping[str, Any]) -> list[Block]:
    levels: Mapping[str, Sequence[float]] = evaluation.get("levels") or {}
    blocks: list[Block] = []
    for own in dict.fromkeys(tuple(part) for part in levels.values()):
        shares = {
            str(entry["model"]): [math.nan if s is None else float(s) for s in entry["coverage"]]
            for entry in evaluation.get("version") or ()
            if tuple(levels.get(str(entry["model"]), ())) == own
            and len(entry["coverage"]) == len(own)
            and any(share is not None for share in entry["coverage"])
        }
        if shares:
            blocks += [Heading("Calibration curve"), calibration_figure(own, shares)]
    return blocks


def find_evaluation(outputs: Store, generation: Generation) -> dict[str, Any] | None:
    """Return the figures of a spec in the latest stored evaluation; ``None`` if there are none.

    One listing, and a few small objects at most.

    Raises
    ------
    StorageError
    """
    entries = [e for page in outputs.list(EVALUATIONS) for e in page if e.key.endswith(".json")]
    entries.sort(key=lambda entry: (entry.modified_ns, entry.key), reverse=True)
    version = f"{generation.model}/{generation.version}"
    # Its spec is named only where a version has several.
    names = {version, f"{version}/{generation.spec}"}
    for entry in entries[:_NEWEST]:
        with suppress(CorruptedFileError, StorageError):
            content = read_evaluation(outputs.get(entry.key), entry.key)
            own = {n: [r for r in content[n] if r["model"] in names] for n in _PARTS}
            if own["version"]:
                return {"levels": content["levels"], **own}
    return None


def read_evaluation(content: bytes, key: str) -> dict[str, Any]:
    """Return the parts of a stored evaluation that are drawn, checked.

    Raises
    ------
    CorruptedFileError
    """
    source = Source(key, CorruptedFileError, "not an evaluation", "run `gigacast evaluate` again")
    values = read_value(dict[str, object], decode_json(content, source), source)
    parts = {name: values.get(name) or [] for name in _PARTS}
    levels = read_value(dict[str, list[Amount]], values.get("levels") or {}, source, place="levels")
    checked = {
        name: read_value(list[dict[str, object]], rows, source, place=name)
        for name, rows in parts.items()
    }
    for name, rows in checked.items():
        for row in rows:
            read_value(str, row.get("model"), source, place=f"{name}.model")
            read_value(list[float | None], row.get("coverage"), source, place=f"{name}.coverage")
    return {"levels": levels, **checked}
