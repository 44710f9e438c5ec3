"""How good forecasts turned out to be, for people and programs."""

import io
import json
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gigacast.backtesting.leaderboard.result import figure_text, markdown_table, plain
from gigacast.forecasters.metric import Figures, interval_name, intervals_of
from gigacast.forecasting.prediction import level_name

BY = ("version", "month", "step")
_SHOWN = ("wql", "mase", "sql", "rmse", "smape", "bias")
_HEAD = ("WQL", "MASE", "SQL", "RMSE", "sMAPE", "bias")


@dataclass
class Evaluation:
    """How good forecasts turned out to be.

    Parameters
    ----------
    figures : dict
        By ``version``, ``month`` and ``step``: figures by (model, label).
    partitions : dict
        Figures by (model, partition), where they were asked for.
    levels : dict
        Quantile levels by model.
    steps, matched, waiting : int
        Forecast steps, those with an actual, and those without.
    failures : list of (key, message)
        Forecasts that could not be evaluated.
    location : str
        URL of the results, but for their ending.
    """

    figures: dict[str, dict[tuple[str, str], Figures]] = field(
        default_factory=lambda: {by: {} for by in BY}
    )
    partitions: dict[tuple[str, str], Figures] = field(default_factory=dict)
    levels: dict[str, tuple[float, ...]] = field(default_factory=dict)
    steps: int = 0
    matched: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    location: str = ""

    @property
    def waiting(self) -> int:
        """Forecast steps whose actual has not come."""
        return self.steps - self.matched

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values: NaN is null."""
        return {
            "steps": self.steps,
            "matched": self.matched,
            "waiting": self.waiting,
            "failures": [{"key": key, "message": message} for key, message in self.failures],
            "location": self.location,
            "levels": {model: list(levels) for model, levels in self.levels.items()},
            **{
                by: [
                    {"model": model, by: label, **plain(asdict(figures))}
                    for (model, label), figures in self.figures[by].items()
                ]
                for by in BY
            },
        }

    def to_table(self) -> pa.Table:
        """Return the figures as rows: ``by``, ``label``, ``model``, ``levels`` and the figures."""
        rows = [
            {"by": by, "label": label, "model": model, "levels": self.levels[model]}
            | asdict(figures)
            for by in BY
            for (model, label), figures in self.figures[by].items()
        ]
        return pa.Table.from_pylist(rows)

    def to_markdown(self) -> str:
        """Return it for people."""
        text = [
            f"# Evaluation: {self.matched:,} of {self.steps:,} forecast steps have an actual",
        ]
        for by in BY:
            rows = [
                [model, label, *(figure_text(getattr(figures, name)) for name in _SHOWN)]
                for (model, label), figures in self.figures[by].items()
            ]
            text += ["", f"## By {by}", "", markdown_table(["model", by, *_HEAD], rows)]
        text += ["", "## Calibration", ""]
        text += ["Share of actuals at or below each quantile, and within each interval."]
        for levels in dict.fromkeys(self.levels.values()):
            text += ["", markdown_table(*self.calibration(levels))]
        return "\n".join(text) + "\n"

    def calibration(self, levels: tuple[float, ...]) -> tuple[list[str], list[list[str]]]:
        """Return a table of the models with these levels: its head, and a row for each."""
        names = [interval_name(levels, interval) for interval in intervals_of(levels)]
        rows = [
            [model, *map(figure_text, (*figures.coverage, *figures.intervals))]
            for (model, _), figures in self.figures["version"].items()
            if self.levels[model] == levels
        ]
        return ["model", *map(level_name, levels), *names], rows

    def files(self) -> dict[str, bytes]:
        """Return what is stored of it, by ending."""
        sink = io.BytesIO()
        pq.write_table(self.to_table(), sink)
        return {
            "md": self.to_markdown().encode(),
            "json": json.dumps(self.to_json(), indent=1, ensure_ascii=False).encode(),
            "parquet": sink.getvalue(),
        }
