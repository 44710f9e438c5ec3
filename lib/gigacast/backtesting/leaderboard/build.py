"""The leaderboard, built from the losses that backtests have stored in the bucket.

Partitions are read one after the other and added up, so memory does not grow with the bucket. Only
partitions that every model has done count, and there only where all have forecast the same series
from the same origins: the others are named.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.backtesting.leaderboard.breakdown import Segmenter
from gigacast.backtesting.leaderboard.result import Leaderboard, Standing
from gigacast.backtesting.losses import read_losses
from gigacast.core.partition.task import Task
from gigacast.core.series.item_key import item_names
from gigacast.errors import DataNotFoundError
from gigacast.forecasters.metric import Figures, Sums, add_up, figures_of, skill
from gigacast.storage.parquet.read import read_table
from gigacast.storage.store import Store

_SAME = ("target_name", "window")


@dataclass(frozen=True)
class Side:
    """A model's outputs: task and output key by partition."""

    name: str
    outputs: Mapping[str, tuple[Task, str]]


def make_leaderboard(
    store: Store,
    sides: Sequence[Side],
    levels: tuple[float, ...],
    segmenter: Segmenter,
    *,
    baseline: str,
) -> Leaderboard:
    """Return the leaderboard of several models.

    Parameters
    ----------
    store : Store
    sides : sequence of Side
    levels : tuple of float
    segmenter : Segmenter
        Assigns losses to the segments of the figures.
    baseline : str
        Name of the model that skill is relative to.

    Raises
    ------
    DataNotFoundError
        When there is no forecast that all models have made.
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
        if not all(_is_same(tables[0], table) for table in tables[1:]):
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
    # NaN is neither less nor greater than a number: models without a WQL come last.
    standings.sort(key=lambda s: (math.isnan(s.figures.wql), s.figures.wql))
    return Leaderboard(levels, segmenter.segment, tuple(standings), by_segment, compared, left_out)


def _is_same(first: pa.Table, second: pa.Table) -> bool:
    """Return whether two files hold losses of the same series and windows, in the same order."""
    if first.num_rows != second.num_rows or item_names(first.schema) != item_names(second.schema):
        return False
    return all(
        pc.all(pc.equal(_plain(first[name]), _plain(second[name])), min_count=0).as_py()
        for name in (*item_names(first.schema), *_SAME)
    )


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    # Each file has dictionaries of its own: the same text has another code in another file.
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
    # All tables have the same rows in the same order: the segments of the first serve them all.
    labels, codes = segmenter.label(tables[0], task)
    added = [add_up(read_losses(table, levels), codes, len(labels)) for table in tables]
    for code, label in enumerate(labels):
        new = [model_sums.take(np.array([code])) for model_sums in added]
        old = sums.get(label)
        sums[label] = new if old is None else [a + b for a, b in zip(old, new, strict=True)]


def _figures(
    sums: Mapping[str, Sequence[Sums]], names: Sequence[str]
) -> tuple[dict[str, dict[str, Figures]], dict[str, Figures]]:
    """Return the figures by segment and model, and over all segments by model."""
    by_segment = {
        label: {
            name: figures_of(model_sums)[0] for name, model_sums in zip(names, parts, strict=True)
        }
        for label, parts in sorted(sums.items(), key=_natural)
    }
    totals = {}
    for place, name in enumerate(names):
        # `Sums` has no zero: the sum starts with those of the first segment.
        first, *more = (parts[place] for parts in sums.values())
        totals[name] = figures_of(sum(more, start=first))[0]
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
    # In a segment of zeros only, WQL is undefined: it has no winner.
    won = [
        models[name].wql <= min(f.wql for f in models.values() if not math.isnan(f.wql))
        for models in by_segment.values()
        if not math.isnan(models[name].wql)
    ]
    return sum(won) / len(won) if won else 0.0
