"""Pictures of a quality report: its measures over months, or over partitions of a month."""

from collections.abc import Sequence

import numpy as np

from gigacast.core.partition.name import month_of_folder
from gigacast.quality.result import SHARES, Judged, QualityReport
from gigacast.report.document import Block, Column, Curve, Figure, Heading, Kind, Table

_MOST = 60
"""Places of a picture; of more partitions evenly chosen ones are drawn."""


def quality_pictures(report: QualityReport) -> tuple[Block, ...]:
    """Return the rows and the shares that are not zero, over time; and the verdicts as bars."""
    measured = [judged for judged in report.partitions if judged.quality is not None]
    groups = _groups(measured)
    blocks: list[Block] = []
    if len(groups) > 1:
        labels = tuple(groups)
        rows = Curve("rows", "line", tuple(_rows(group) for group in groups.values()))
        shares = tuple(
            Curve(name, "line", tuple(_share(group, name) for group in groups.values()))
            for name in SHARES
            if any(judged.shares.get(name) for judged in measured)
        )
        blocks = [Heading("Over time"), Figure("Rows", labels, (rows,))]
        if shares:
            blocks.append(Figure("Share of rows, values or steps", labels, shares))
    verdicts = tuple((name, n) for name, n in _verdicts(report) if n)
    columns = (Column("verdict"), Column("partitions", Kind.COUNT, has_bar=True))
    return (*blocks, Heading("Verdicts"), Table(columns, verdicts))


def _groups(measured: Sequence[Judged]) -> dict[str, list[Judged]]:
    """Return the partitions by month, or one by one if they are of one month."""
    by_month: dict[str, list[Judged]] = {}
    for judged in measured:
        month = month_of_folder(judged.partition.rpartition("/")[0])
        by_month.setdefault(str(month or "other"), []).append(judged)
    if len(by_month) < 2:
        by_month = {judged.partition.rpartition("/")[2]: [judged] for judged in measured}
    names = sorted(by_month)
    chosen = np.unique(np.linspace(0, len(names) - 1, min(_MOST, len(names))).round().astype(int))
    return {names[place]: by_month[names[place]] for place in chosen.tolist()}


def _rows(group: Sequence[Judged]) -> float:
    return float(sum(judged.quality.keys.rows for judged in group if judged.quality is not None))


def _share(group: Sequence[Judged], name: str) -> float:
    """Return the share of a group, each partition by its rows."""
    pairs = [
        (judged.shares[name], judged.quality.keys.rows)
        for judged in group
        if name in judged.shares and judged.quality is not None
    ]
    total = sum(rows for _, rows in pairs)
    return sum(share * rows for share, rows in pairs) / total if total else float("nan")


def _verdicts(report: QualityReport) -> list[tuple[str, int]]:
    names = dict.fromkeys(judged.verdict for judged in report.partitions)
    return sorted((str(name), report.count(name)) for name in names)
