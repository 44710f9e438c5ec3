"""Models side by side, for people and programs."""

import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gigacast.core.column import text_column
from gigacast.forecasters.metric import Figures, interval_name, intervals_of
from gigacast.forecasting.prediction import level_name

_FIGURES = ("mase", "wql", "sql", "rmse", "smape", "bias")
_COUNTS = ("forecasts", "steps", "missed", "undefined")
_ALL = "(all)"


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

    def to_markdown(self) -> str:
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
            "md": self.to_markdown().encode(),
            "json": json.dumps(self.to_json(), indent=1, ensure_ascii=False).encode(),
            "parquet": sink.getvalue(),
        }


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
    cells = [[cell.replace("|", r"\|") for cell in line] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)
