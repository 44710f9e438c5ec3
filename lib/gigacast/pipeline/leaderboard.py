"""Models side by side: figures of what backtests have left in the bucket.

Imports ``errors``, ``core``, ``storage``, ``forecast``'s metrics and neighbours. Partitions are
read one after the other and added up, so memory does not grow with the bucket. Only partitions that
every model has done count, and there only where all have forecast the same series from the same
origins: the others are named.
"""

import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gigacast.core.column import text_column
from gigacast.core.task import Task
from gigacast.errors import DataNotFoundError
from gigacast.forecast.metric import (
    Figures,
    Sums,
    add_up,
    figures_of,
    interval_name,
    intervals_of,
    skill,
)
from gigacast.pipeline.backtest_losses import read_losses
from gigacast.pipeline.leaderboard_segment import Segmenter
from gigacast.pipeline.prediction import level_name
from gigacast.storage.parquet import read_table
from gigacast.storage.store import Store

_FIGURES = ("mase", "wql", "sql", "rmse", "smape", "bias")
_COUNTS = ("forecasts", "steps", "missed", "undefined")
_ALL = "(all)"
_SAME = ("item_id", "target_name", "window")


@dataclass(frozen=True)
class Side:
    """One model's outputs: task and key by partition."""

    name: str
    outputs: Mapping[str, tuple[Task, str]]


@dataclass(frozen=True)
class Standing:
    """One model on the leaderboard.

    Parameters
    ----------
    model : str
    figures : Figures
        Over everything.
    skill_wql, skill_mase : float
        1 minus the geometric mean over segments of the error relative to the baseline's.
    wins : float
        Share of segments in which no other model has a lower WQL.
    """

    model: str
    figures: Figures
    skill_wql: float
    skill_mase: float
    wins: float


@dataclass(frozen=True)
class Leaderboard:
    """Models side by side, the best first (by WQL).

    Parameters
    ----------
    levels : tuple of float
    segment : str
    standings : tuple of Standing
    segments : dict
        Figures by segment, then by model.
    partitions : int
        Compared.
    left_out : list of str
        Partitions that some model has not done, or has forecast other series of.
    """

    levels: tuple[float, ...]
    segment: str
    standings: tuple[Standing, ...]
    segments: dict[str, dict[str, Figures]]
    partitions: int
    left_out: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values: NaN is null."""
        return {
            "levels": list(self.levels),
            "intervals": self.intervals,
            "segment": self.segment,
            "partitions": self.partitions,
            "left_out": self.left_out,
            "standings": [plain(asdict(one)) for one in self.standings],
            "segments": {
                name: {model: plain(asdict(figures)) for model, figures in models.items()}
                for name, models in self.segments.items()
            },
        }

    @property
    def intervals(self) -> list[str]:
        """Names of the central intervals, as ``80%``; figures have as many."""
        return [interval_name(self.levels, one) for one in intervals_of(self.levels)]

    def to_table(self) -> pa.Table:
        """Return the figures by segment and model as rows; first those over all segments."""
        rows = [(_ALL, standing.model, standing.figures) for standing in self.standings]
        rows += [
            (segment, model, figures)
            for segment, models in self.segments.items()
            for model, figures in models.items()
        ]
        columns: dict[str, pa.Array] = {
            "segment": text_column([segment for segment, _, _ in rows]),
            "model": text_column([model for _, model, _ in rows]),
        }
        for name in (*_COUNTS, *_FIGURES):
            columns[name] = pa.array([getattr(f, name) for _, _, f in rows], from_pandas=False)
        for n, level in enumerate(self.levels):
            columns[f"coverage_{level_name(level)}"] = pa.array(
                [f.coverage[n] for _, _, f in rows], pa.float64()
            )
        for n, name in enumerate(self.intervals):
            columns[f"inside_{name}"] = pa.array([f.intervals[n] for _, _, f in rows], pa.float64())
        return pa.table(columns)

    def tomarkdown_table(self) -> str:
        """Return it for people: standings, calibration, then the segments."""
        head = ["model", "WQL", "MASE", "skill (WQL)", "skill (MASE)", "wins", "SQL", "RMSE"]
        head += ["sMAPE", "bias"]
        rows = [
            [s.model, *(figure_text(v) for v in (s.figures.wql, s.figures.mase, s.skill_wql))]
            + [figure_text(s.skill_mase), f"{s.wins:.0%}"]
            + [figure_text(getattr(s.figures, name)) for name in ("sql", "rmse", "smape", "bias")]
            for s in self.standings
        ]
        first = self.standings[0].figures
        text = [
            f"# Leaderboard: {first.forecasts:,} forecasts of {self.partitions:,} partitions",
            "",
            markdown_table(head, rows),
            "",
            "Skill is 1 minus the geometric mean over the segments of the error relative to",
            "seasonal naive: 0 is as good, above is better.",
            f"MASE and SQL leave out {first.undefined:,} forecasts whose scale is undefined.",
            "",
            "## Calibration",
            "",
            "Share of actuals at or below each quantile, and within each interval; a calibrated",
            "model has as many as the head says.",
            "",
            markdown_table(
                ["model", *map(level_name, self.levels), *self.intervals],
                [
                    [s.model, *map(figure_text, (*s.figures.coverage, *s.figures.intervals))]
                    for s in self.standings
                ],
            ),
            "",
            f"## WQL by {self.segment}",
            "",
            markdown_table(
                [self.segment, "forecasts", *(s.model for s in self.standings)],
                [
                    [name, f"{next(iter(models.values())).forecasts:,}"]
                    + [figure_text(models[s.model].wql) for s in self.standings]
                    for name, models in self.segments.items()
                ],
            ),
        ]
        if self.left_out:
            text += ["", f"Left out: {', '.join(self.left_out[:20])}"]
        return "\n".join(text) + "\n"

    def files(self) -> dict[str, bytes]:
        """Return what is stored of it, by ending."""
        sink = io.BytesIO()
        pq.write_table(self.to_table(), sink)
        return {
            "md": self.tomarkdown_table().encode(),
            "json": json.dumps(self.to_json(), indent=1, ensure_ascii=False).encode(),
            "parquet": sink.getvalue(),
        }


def make_leaderboard(
    store: Store,
    sides: Sequence[Side],
    levels: tuple[float, ...],
    segmenter: Segmenter,
    *,
    baseline: str,
) -> Leaderboard:
    """Add up what the sides have left.

    Parameters
    ----------
    store : Store
    sides : sequence of Side
    levels : tuple of float
    segmenter : Segmenter
        What the figures are by.
    baseline : str
        Name of the side that skill is relative to.

    Raises
    ------
    DataNotFoundError
        When there is nothing that all sides have forecast.
    SchemaError
        When the input has no such column.
    """
    everywhere = set.intersection(*(set(side.outputs) for side in sides))
    anywhere = set.union(*(set(side.outputs) for side in sides))
    left_out = sorted(anywhere - everywhere)
    sums: dict[str, list[Sums]] = {}
    compared = 0
    for partition in sorted(everywhere):
        tables = [read_table(store, side.outputs[partition][1]) for side in sides]
        if not all(_is_same(tables[0], other) for other in tables[1:]):
            left_out.append(partition)
            continue
        compared += 1
        task, _ = sides[0].outputs[partition]
        _add_partition(sums, tables, task, levels, segmenter)
    if not sums:
        raise DataNotFoundError(
            "no series is long enough for a window, or no model has forecast it",
            hint="ask for fewer --windows or a shorter --horizon",
        )
    by_segment, totals = _figures(sums, [side.name for side in sides])
    standings = [
        Standing(
            model=name,
            figures=figures,
            skill_wql=_skill(by_segment, name, baseline, "wql"),
            skill_mase=_skill(by_segment, name, baseline, "mase"),
            wins=_wins(by_segment, name),
        )
        for name, figures in totals.items()
    ]
    standings.sort(key=lambda s: (math.isnan(s.figures.wql), s.figures.wql))
    return Leaderboard(levels, segmenter.segment, tuple(standings), by_segment, compared, left_out)


def _is_same(one: pa.Table, other: pa.Table) -> bool:
    """Say whether two files hold losses of the same series and windows, in the same order."""
    return one.num_rows == other.num_rows and all(
        pc.all(pc.equal(_plain(one[name]), _plain(other[name])), min_count=0).as_py()
        for name in _SAME
    )


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    is_dictionary = pa.types.is_dictionary(column.type)
    return column.cast(column.type.value_type) if is_dictionary else column


def _add_partition(
    sums: dict[str, list[Sums]],
    tables: Sequence[pa.Table],
    task: Task,
    levels: tuple[float, ...],
    segmenter: Segmenter,
) -> None:
    if not tables[0].num_rows:
        return
    labels, codes = segmenter.label(tables[0], task)
    added = [add_up(read_losses(table, levels), codes, len(labels)) for table in tables]
    for code, label in enumerate(labels):
        here = [one.take(np.array([code])) for one in added]
        known = sums.get(label)
        sums[label] = here if known is None else [a + b for a, b in zip(known, here, strict=True)]


def _figures(
    sums: Mapping[str, Sequence[Sums]], names: Sequence[str]
) -> tuple[dict[str, dict[str, Figures]], dict[str, Figures]]:
    """Return the figures by segment and model, and over all segments by model."""
    by_segment = {
        label: {name: figures_of(one)[0] for name, one in zip(names, parts, strict=True)}
        for label, parts in sorted(sums.items(), key=_natural)
    }
    totals = {}
    for place, name in enumerate(names):
        first, *others = (parts[place] for parts in sums.values())
        totals[name] = figures_of(sum(others, start=first))[0]
    return by_segment, totals


def _natural(entry: tuple[str, object]) -> list[tuple[bool, int, str]]:
    """Return the order of a label: numbers in it count as numbers."""
    parts = re.split(r"([0-9]+)", entry[0])
    return [(not p.isdigit(), int(p) if p.isdigit() else 0, p) for p in parts if p]


def _skill(
    by_segment: Mapping[str, Mapping[str, Figures]], name: str, baseline: str, figure: str
) -> float:
    ours = [getattr(models[name], figure) for models in by_segment.values()]
    base = [getattr(models[baseline], figure) for models in by_segment.values()]
    return skill(ours, base)


def _wins(by_segment: Mapping[str, Mapping[str, Figures]], name: str) -> float:
    won = [
        models[name].wql <= min(f.wql for f in models.values() if not math.isnan(f.wql))
        for models in by_segment.values()
        if not math.isnan(models[name].wql)
    ]
    return sum(won) / len(won) if won else 0.0


def plain(values: Any) -> Any:
    """Return values that JSON has words for: NaN becomes ``None``."""
    if isinstance(values, dict):
        return {name: plain(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [plain(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def figure_text(value: float) -> str:
    """Return a figure, or nothing where it is undefined."""
    return "" if math.isnan(value) else f"{value:.4g}"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown: text in the first column, numbers in the others."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
