"""The errors of stored forecasts against later actuals: values, table and document."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

from gigacast.backtesting.calibration import Measured, calibration_blocks
from gigacast.backtesting.leaderboard.result import calibration_table, plain
from gigacast.core.plural import counted
from gigacast.forecasters.metric import Figures
from gigacast.report.document import Block, Column, Document, Heading, Kind, Paragraph, Table
from gigacast.report.markdown import render_markdown
from gigacast.series.frame import to_pandas
from gigacast.storage.parquet.writer import table_bytes

BY = ("version", "month", "step")
ORIGIN = "origin"
"""Figures by the newest cutoff of forecasts; left out where no forecast has one."""
_SHOWN = ("wql", "mase", "sql", "rmse", "smape", "bias")
_COLUMNS = (
    Column("WQL", Kind.NUMBER),
    Column("MASE", Kind.NUMBER),
    Column("SQL", Kind.NUMBER, 4),
    Column("RMSE", Kind.NUMBER, 2),
    Column("sMAPE", Kind.NUMBER, 3),
    Column("bias", Kind.NUMBER, 1),
)
_SHOWN_ROWS = 30
"""Rows of a table on a screen; files hold all."""


SEGMENT = "segment"
"""Figures by a property of series, which leaves out steps without an actual."""


class FigureKey(NamedTuple):
    """A model, and what its figures are of: a version, a month, a step or a partition."""

    model: str
    label: str


class Uncompared(NamedTuple):
    """A forecast that could not be evaluated, and the reason."""

    key: str
    message: str


class WorstSeries(NamedTuple):
    """A series with large errors: its place, and its figures over all origins."""

    model: str
    partition: str
    item: str
    target: str
    figures: Figures


@dataclass
class Evaluation:
    """Errors of stored forecasts against the actuals that came later.

    Parameters
    ----------
    figures : dict
        Figures by (model, label), by ``version``, ``month`` and ``step``; by ``origin`` where
        forecasts have a cutoff, and by ``segment`` on request.
    partitions : dict
        Figures by (model, partition); empty unless requested.
    levels : dict
        Quantile levels by model.
    steps, matched, waiting : int
        Forecast steps in all, with an actual, and without.
    passed_over : list of str
        Keys of forecasts that are not evaluated, as their names are not of the naming pattern.
    failures : list of Uncompared
        Forecasts that could not be evaluated.
    location : str
        URL of the stored files without their ending.
    conflicts : int
        Actuals of the series and time of another one, and other values, that this run read.
    worst : list of WorstSeries
        Series with the largest MASE, the worst first; empty unless requested.
    calibrations : tuple of Measured
        What is stored for `forecast --calibrate`; empty unless requested.
    dropped : int
        Rows of a frame of actuals without an item id or a readable time.
    """

    figures: dict[str, dict[FigureKey, Figures]] = field(
        default_factory=lambda: {by: {} for by in BY}
    )
    partitions: dict[FigureKey, Figures] = field(default_factory=dict)
    levels: dict[str, tuple[float, ...]] = field(default_factory=dict)
    steps: int = 0
    matched: int = 0
    passed_over: list[str] = field(default_factory=list)
    failures: list[Uncompared] = field(default_factory=list)
    location: str = ""
    conflicts: int = 0
    worst: list[WorstSeries] = field(default_factory=list)
    calibrations: tuple[Measured, ...] = ()
    dropped: int = 0

    @property
    def _groups(self) -> tuple[str, ...]:
        """Groups that there are, those that are always there first."""
        return (*BY, *(by for by in (ORIGIN, SEGMENT) if by in self.figures))

    @property
    def waiting(self) -> int:
        """Forecast steps without an actual yet."""
        return self.steps - self.matched

    def to_json(self) -> dict[str, Any]:
        """Return the values of ``--json``; NaN becomes null."""
        return {
            "steps": self.steps,
            "matched": self.matched,
            "waiting": self.waiting,
            # Left out without any: stored reports of the same figures stay as they are.
            **({"conflicts": self.conflicts} if self.conflicts else {}),
            "failures": [{"key": key, "message": message} for key, message in self.failures],
            **({"passed_over": self.passed_over} if self.passed_over else {}),
            "location": self.location,
            "levels": {model: list(levels) for model, levels in self.levels.items()},
            **{
                by: [
                    {"model": model, by: label, **plain(asdict(figures))}
                    for (model, label), figures in self.figures[by].items()
                ]
                for by in self._groups
            },
            **({"worst": [_plain_series(series) for series in self.worst]} if self.worst else {}),
            **(
                {"calibrations": [one.to_json() for one in self.calibrations]}
                if self.calibrations
                else {}
            ),
        }

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
        """Return the figures as rows: ``by``, ``label``, ``model``, ``levels`` and the figures."""
        rows = [
            {"by": by, "label": label, "model": model, "levels": self.levels[model]}
            | asdict(figures)
            for by in self._groups
            for (model, label), figures in self.figures[by].items()
        ]
        return pa.Table.from_pylist(rows)

    def to_document(self, *, with_counts: bool = True) -> Document:
        """Return the figures by version, month and step, and the calibration, as a document.

        Parameters
        ----------
        with_counts : bool
            Show the number of forecasts of each row. Stored reports have no such column: they
            would change although no figure did.
        """
        blocks = [b for by in self._groups for b in self._by(by, with_counts=with_counts)]
        if self.worst and with_counts:
            blocks += [Heading("Worst series"), self._worst()]
        meaning = "Share of actuals at or below each quantile, and within each interval."
        blocks += [Heading("Calibration"), Paragraph(meaning)]
        # Levels are the columns of a calibration table: models with other levels get their own.
        blocks += [self._calibration(levels) for levels in dict.fromkeys(self.levels.values())]
        if with_counts:  # stored reports are of the forecasts alone
            blocks += calibration_blocks(self.calibrations)
        title = f"Evaluation: {self.matched:,} of {self.steps:,} forecast steps have an actual"
        return Document(tuple(blocks), title)

    def _by(self, by: str, *, with_counts: bool) -> list[Block]:
        count = [Column("series", Kind.COUNT, 1)] if with_counts else []
        rows = [
            (model, label)
            + ((figures.forecasts,) if with_counts else ())
            + tuple(getattr(figures, name) for name in _SHOWN)
            for (model, label), figures in self.figures[by].items()
        ]
        columns = (Column("model", Kind.KEY), Column(by, align="right"), *count, *_COLUMNS)
        return [Heading(f"By {by}"), Table(columns, tuple(rows), limit=_SHOWN_ROWS)]

    def _worst(self) -> Table:
        rows = [
            (*series[:4], *(getattr(series.figures, name) for name in _SHOWN))
            for series in self.worst
        ]
        names = (Column("model", Kind.KEY), Column("partition", Kind.KEY), Column("item", Kind.KEY))
        return Table((*names, Column("target", Kind.KEY), *_COLUMNS), tuple(rows))

    def _calibration(self, levels: tuple[float, ...]) -> Table:
        """Return the calibration of the models with these levels."""
        rows = [
            (model, figures)
            for (model, _), figures in self.figures["version"].items()
            if self.levels[model] == levels
        ]
        return calibration_table(levels, rows)

    def to_markdown(self) -> str:
        """Return the document as Markdown."""
        return render_markdown(self.to_document(with_counts=False))

    def files(self) -> dict[str, bytes]:
        """Return the stored files by ending: Markdown, JSON, Parquet."""
        return {
            "md": self.to_markdown().encode(),
            "json": json.dumps(self.to_json(), indent=1, ensure_ascii=False).encode(),
            "parquet": table_bytes(self.to_table(), checksums=False),
        }


def _plain_series(series: WorstSeries) -> dict[str, Any]:
    names = series._asdict()
    figures = names.pop("figures")
    return {**names, **plain(asdict(figures))}


def passed_over_text(keys: Sequence[str]) -> str:
    """Return which forecasts are not evaluated and what to do; empty if there are none."""
    if not keys:
        return ""
    count = f"{counted(len(keys), 'forecast')} {'is' if len(keys) == 1 else 'are'}"
    return (
        f"{count} not evaluated, such as {keys[0]}: its name is not "
        "of the naming pattern of these settings; give the forecast's settings file by --config"
    )
