"""The leaderboard of a backtest: its values, table and document."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from gigacast.core.column import text_column
from gigacast.core.plural import counted
from gigacast.forecasters.metric import Figures, interval_name, intervals_of
from gigacast.forecasting.prediction import level_name
from gigacast.report.document import (
    Block,
    Cell,
    Column,
    Curve,
    Document,
    Figure,
    Heading,
    Kind,
    Paragraph,
    Scale,
    Table,
)
from gigacast.report.markdown import render_markdown
from gigacast.series.frame import to_pandas
from gigacast.storage.parquet.writer import table_bytes

_FIGURES = ("mase", "wql", "sql", "rmse", "smape", "bias")
_COUNTS = ("forecasts", "steps", "missed", "undefined")
_ALL = "(all)"
_SHOWN = 30
"""Segments on a screen; files hold all."""
_LEFT_OUT_SHOWN = 20
_STANDING_COLUMNS = (
    Column("model", Kind.KEY),
    Column("WQL", Kind.NUMBER, label="weighted quantile loss (WQL)"),
    Column("MASE", Kind.NUMBER, label="mean absolute scaled error (MASE)"),
    Column("skill (WQL)", Kind.NUMBER, 1),
    Column("skill (MASE)", Kind.NUMBER, 3),
    Column("wins", Kind.PERCENT, 2, digits=0),
    Column("SQL", Kind.NUMBER, 6, "scaled quantile loss (SQL)"),
    Column("RMSE", Kind.NUMBER, 4),
    Column("sMAPE", Kind.NUMBER, 5),
    Column("bias", Kind.NUMBER, 4),
)


@dataclass(frozen=True)
class Standing:
    """A model's place on the leaderboard.

    Parameters
    ----------
    model : str
    figures : Figures
        Errors over all segments.
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
    """Errors of several models on the same forecasts, the lowest WQL first.

    Parameters
    ----------
    levels : tuple of float
        Quantile levels.
    segment : str
        Key of the segments: ``month``, ``symbol``, ``column:NAME``, ...
    standings : tuple of Standing
    segments : dict
        Figures by segment, then by model.
    partitions : int
        Partitions compared.
    left_out : list of str
        Partitions that a model has not done, or in which it has forecast other series.
    """

    levels: tuple[float, ...]
    segment: str
    standings: tuple[Standing, ...]
    segments: dict[str, dict[str, Figures]]
    partitions: int
    left_out: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return the values of ``--json``; NaN becomes null."""
        return {
            "levels": list(self.levels),
            "intervals": self.intervals,
            "segment": self.segment,
            "partitions": self.partitions,
            "left_out": self.left_out,
            "standings": [plain(asdict(standing)) for standing in self.standings],
            "segments": {
                name: {model: plain(asdict(figures)) for model, figures in models.items()}
                for name, models in self.segments.items()
            },
        }

    @property
    def intervals(self) -> list[str]:
        """Names of the central intervals, as ``80%``, in the order of the figures' intervals."""
        return [interval_name(self.levels, interval) for interval in intervals_of(self.levels)]

    def to_pandas(self) -> Any:
        """Return the table as a pandas DataFrame.

        Raises
        ------
        MissingExtraError
            If pandas is not installed.
        """
        return to_pandas(self.to_table())

    def _repr_html_(self) -> str:
        from gigacast.report.notebook import render_notebook  # noqa: PLC0415 - notebooks only

        return render_notebook(self.to_document())

    def to_table(self) -> pa.Table:
        """Return a row per segment and model; first those over all segments."""
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

    def to_document(self, *, is_stored: bool = False) -> Document:
        """Return standings, calibration and the WQL of each segment as a document.

        Parameters
        ----------
        is_stored : bool
            Return the form of stored reports, which must not change although no number does: in
            the words of the first release, and without the figure of the calibration, which as
            text would repeat its table.
        """
        first = self.standings[0].figures
        forecasts, partitions = f"{first.forecasts:,} forecasts", f"{self.partitions:,} partitions"
        if not is_stored:
            forecasts = counted(first.forecasts, "forecast")
            partitions = counted(self.partitions, "partition")
        title = f"Leaderboard: {forecasts} of {partitions}"
        figure = () if is_stored else (self._calibration_figure(),)
        blocks = (*self._standings(), *self._calibration(), *figure, *self._by_segment())
        return Document(blocks, title)

    def _standings(self) -> tuple[Block, ...]:
        rows = [_standing_row(standing) for standing in self.standings]
        undefined = self.standings[0].figures.undefined
        # The breaks of these lines are part of stored reports, which a rerun must not change.
        meaning = Paragraph(
            "Skill is 1 minus the geometric mean over the segments of the error relative to\n"
            "seasonal naive: 0 is as good, above is better.\n"
            f"MASE and SQL leave out {undefined:,} forecasts whose scale is undefined."
        )
        return Table(_STANDING_COLUMNS, tuple(rows)), meaning

    def _calibration(self) -> tuple[Block, ...]:
        meaning = Paragraph(
            "Share of actuals at or below each quantile, and within each interval; a calibrated\n"
            "model has as many as the head says."
        )
        rows = [(s.model, s.figures) for s in self.standings]
        return Heading("Calibration"), meaning, calibration_table(self.levels, rows)

    def _calibration_figure(self) -> Figure:
        shares = {s.model: s.figures.coverage for s in self.standings}
        return calibration_figure(self.levels, shares)

    def _by_segment(self) -> tuple[Block, ...]:
        names = [s.model for s in self.standings]
        # The best models stay where space is short.
        columns = [Column(name, Kind.NUMBER, rank) for rank, name in enumerate(names)]
        rows: list[tuple[Cell, ...]] = [
            (segment, next(iter(models.values())).forecasts, *(models[name].wql for name in names))
            for segment, models in self.segments.items()
        ]
        table = Table(
            (Column(self.segment, Kind.KEY), Column("forecasts", Kind.COUNT), *columns),
            tuple(rows),
            limit=_SHOWN,
        )
        left_out = ", ".join(self.left_out[:_LEFT_OUT_SHOWN])
        note = (Paragraph(f"Left out: {left_out}"),) if left_out else ()
        return Heading(f"WQL by {self.segment}"), table, *note

    def to_markdown(self) -> str:
        """Return the document as Markdown."""
        return render_markdown(self.to_document(is_stored=True))

    def files(self) -> dict[str, bytes]:
        """Return the stored files by ending: Markdown, JSON, Parquet."""
        return {
            "md": self.to_markdown().encode(),
            "json": json.dumps(self.to_json(), indent=1, ensure_ascii=False).encode(),
            "parquet": table_bytes(self.to_table(), checksums=False),
        }


def plain(values: Any) -> Any:
    """Return nested values with ``None`` for NaN and infinity, which JSON cannot hold."""
    if isinstance(values, dict):
        return {name: plain(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [plain(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def _standing_row(standing: Standing) -> tuple[Cell, ...]:
    figures = standing.figures
    return (
        standing.model,
        figures.wql,
        figures.mase,
        standing.skill_wql,
        standing.skill_mase,
        standing.wins,
        figures.sql,
        figures.rmse,
        figures.smape,
        figures.bias,
    )


def calibration_table(levels: tuple[float, ...], rows: Sequence[tuple[str, Figures]]) -> Table:
    """Return the coverage of each quantile level and central interval, a row per model."""
    # Where space is short, the tails and the widest intervals stay: levels near the median show
    # least of a bad calibration.
    ranks = [round(10 * min(level, 1 - level)) for level in levels]
    columns = [
        Column(level_name(level), Kind.NUMBER, rank)
        for level, rank in zip(levels, ranks, strict=True)
    ]
    columns += [
        Column(interval_name(levels, interval), Kind.NUMBER, 1 + rank)
        for rank, interval in enumerate(intervals_of(levels))
    ]
    cells: list[tuple[Cell, ...]] = [
        (model, *figures.coverage, *figures.intervals) for model, figures in rows
    ]
    return Table((Column("model", Kind.KEY), *columns), tuple(cells))


def calibration_figure(levels: Sequence[float], coverage: Mapping[str, Sequence[float]]) -> Figure:
    """Return the share of actuals at or below each quantile against its level, a line per model.

    Parameters
    ----------
    levels : sequence of float
        Q quantile levels.
    coverage : mapping of str to sequence of float
        Q shares by model; equal to the levels for a calibrated model.
    """
    order = sorted(range(len(levels)), key=lambda place: levels[place])
    # The diagonal goes from corner to corner, whatever the levels.
    places = (0.0, *(float(levels[place]) for place in order), 1.0)
    lines = [
        Curve(model, "line", (math.nan, *(shares[place] for place in order), math.nan))
        for model, shares in coverage.items()
    ]
    return Figure(
        title="Share of actuals at or below the quantile",
        x=tuple(f"{place:g}" for place in places),
        curves=(Curve("calibrated", "guide", places), *lines),
        places=places,
        scale=Scale.SHARE,
        x_name="quantile level",
    )
