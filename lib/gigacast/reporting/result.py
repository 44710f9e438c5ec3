"""Documents of results that are no runs of forecasts: evaluation, backtest and quality."""

import math
from datetime import datetime
from typing import Any

from gigacast.anomalies.result import AnomalyReport
from gigacast.backtesting.document import backtest_document, evaluation_document, failed_forecasts
from gigacast.backtesting.evaluation.result import Evaluation
from gigacast.backtesting.leaderboard.result import Leaderboard
from gigacast.backtesting.result import BacktestResult
from gigacast.forecasters.metric import Figures
from gigacast.quality.measures import Verdict
from gigacast.quality.run import QualityResult
from gigacast.report.document import (
    Block,
    Column,
    Curve,
    Document,
    Figure,
    Heading,
    Kind,
    Table,
    Tile,
    Tiles,
    Tone,
)
from gigacast.report.html.page import Frame
from gigacast.reporting.accuracy import accuracy_blocks
from gigacast.reporting.picture import worst_blocks
from gigacast.reporting.quality import quality_pictures
from gigacast.reporting.sample import Sample
from gigacast.selection.document import selection_document
from gigacast.selection.result import SelectionResult

_VERDICTS = {Verdict.OK: Tone.GOOD, Verdict.WARN: Tone.WARNING, Verdict.FAIL: Tone.BAD}


def evaluation_report(result: Evaluation, sample: Sample, now: datetime) -> tuple[Document, Frame]:
    """Return an evaluation as the document of a page, and what stands around it."""
    status = "failed" if result.failures else "completed"
    return evaluation_page(result, sample), Frame("Evaluation", status, _when(now))


def evaluation_page(result: Evaluation, sample: Sample) -> Document:
    """Return an evaluation with the pictures of a sample of its series."""
    values = result.to_json()
    best = min(
        (f for f in result.figures["version"].values() if f.wql == f.wql),  # not NaN
        key=lambda figures: figures.wql,
        default=None,
    )
    tiles = [
        Tile("Steps with an actual", result.matched, Kind.COUNT, f"of {result.steps:,}"),
        Tile("Waiting", result.waiting, Kind.COUNT, "steps without an actual yet"),
    ]
    if best is not None:
        tiles += [
            Tile("WQL", best.wql, Kind.NUMBER, "weighted quantile loss"),
            Tile("MASE", best.mase, Kind.NUMBER, "mean absolute scaled error"),
            Tile("Bias", best.bias, Kind.PERCENT, "of the actuals' size"),
        ]
    document = evaluation_document(result)
    blocks = (
        Tiles(tuple(tiles)),
        *accuracy_blocks(values, with_table=False),
        *worst_blocks(sample.series, sample.ranked),
        *document.blocks,
        *_titled("Not evaluated", failed_forecasts(result)),
    )
    tone = Tone.BAD if result.failures else Tone.GOOD
    return Document(blocks, document.title, tone)


def backtest_report(result: BacktestResult, now: datetime) -> tuple[Document, Frame]:
    """Return a backtest as the document of a page, and what stands around it."""
    return backtest_page(result), Frame("Backtest", result.status, _when(now))


def selection_report(result: SelectionResult, now: datetime) -> tuple[Document, Frame]:
    """Return a selection as the document of a page, and what stands around it."""
    best = result.candidates[0]
    tiles = [
        Tile("Best model", best.model, Kind.TEXT, f"lowest {result.metric.upper()}"),
        Tile("Series", result.series, Kind.COUNT, "with evidence"),
        Tile("Own choice", result.own, Kind.COUNT, "of series or segments"),
    ]
    if result.ahead is not None and result.ahead[1] > 0:
        gain = 1 - result.ahead[0] / result.ahead[1]
        tiles.append(Tile("Gain", gain, Kind.PERCENT, "at the latest origins, chosen before them"))
    document = selection_document(result)
    tone = Tone.BAD if result.failures else Tone.GOOD
    page = Document((Tiles(tuple(tiles)), *document.blocks), document.title, tone)
    return page, Frame("Selection", result.status, _when(now))


def backtest_page(result: BacktestResult) -> Document:
    """Return a backtest as the document of a page."""
    board = result.leaderboard
    first = board.standings[0]
    tiles = (
        Tile("Best model", first.model, Kind.TEXT, "lowest weighted quantile loss"),
        Tile("WQL", first.figures.wql, Kind.NUMBER, "weighted quantile loss"),
        Tile("MASE", first.figures.mase, Kind.NUMBER, "mean absolute scaled error"),
        Tile("Skill", first.skill_wql, Kind.PERCENT, "over seasonal naive"),
        Tile(
            "Forecasts", first.figures.forecasts, Kind.COUNT, f"of {board.partitions:,} partitions"
        ),
    )
    document = backtest_document(result)
    tone = Tone.BAD if result.failures else Tone.GOOD
    blocks = (
        *(Tiles(tiles), *_beside(board), *_over_segments(board), Heading("Models")),
        *document.blocks,
    )
    return Document(blocks, document.title, tone)


def _beside(board: Leaderboard) -> tuple[Block, ...]:
    """Return the models side by side, their errors as bars."""
    columns = (
        Column("model", Kind.KEY),
        Column("WQL", Kind.NUMBER, label="weighted quantile loss", has_bar=True),
        Column("MASE", Kind.NUMBER, label="mean absolute scaled error", has_bar=True),
    )
    rows = tuple((s.model, s.figures.wql, s.figures.mase) for s in board.standings)
    return Heading("Errors, the lower the better"), Table(columns, rows)


def _over_segments(board: Leaderboard) -> tuple[Block, ...]:
    """Return the WQL of each model over months or windows; nothing for other segments."""
    if board.segment not in {"month", "window"} or len(board.segments) < 2:
        return ()
    labels = sorted(board.segments)
    if board.segment == "window":  # the latest window has the number 0
        labels.sort(key=int, reverse=True)
    curves = tuple(
        Curve(name, "line", tuple(_wql(board.segments[label].get(name)) for label in labels))
        for name in (standing.model for standing in board.standings)
    )
    title = f"Weighted quantile loss by {board.segment}"
    name = "windows before the last" if board.segment == "window" else ""
    figure = Figure(title, tuple(labels), curves, x_name=name, y_name="share of the actuals' size")
    return Heading(f"Accuracy by {board.segment}"), figure


def _wql(figures: Figures | None) -> float:
    return figures.wql if figures is not None else math.nan


def quality_report(result: QualityResult, now: datetime) -> tuple[Document, Frame]:
    """Return a quality run as the document of a page, and what stands around it."""
    report = result.report
    frame = Frame("Data quality", str(report.verdict), f"{_when(now)} · {report.source}")
    return quality_page(result), frame


def quality_page(result: QualityResult) -> Document:
    """Return a quality run as the document of a page."""
    report = result.report
    summary = report.summary()
    newest = str(summary["newest"] or "")
    document = result.to_document()
    tiles = (
        Tile("Partitions", len(report.partitions), Kind.COUNT, f"{result.computed:,} measured now"),
        *(
            Tile(name, report.count(verdict), Kind.COUNT, tone=_count_tone(report, verdict))
            for name, verdict in (("Warn", Verdict.WARN), ("Fail", Verdict.FAIL))
        ),
        Tile("Rows", summary["rows"], Kind.COUNT),
        Tile("Newest row", newest[:10] or "unknown", Kind.TEXT, newest[11:16]),
    )
    # The first line of the document has the same counts.
    blocks = (Tiles(tiles), *quality_pictures(report), *document.blocks[1:])
    return Document(blocks, document.title, _VERDICTS[report.verdict])


def anomaly_report(result: AnomalyReport, now: datetime) -> tuple[Document, Frame]:
    """Return a search for anomalies as the document of a page, and what stands around it."""
    status = "anomalies" if result.count else "nothing unusual"
    return anomaly_document(result), Frame("Anomalies", status, _when(now))


def anomaly_document(result: AnomalyReport) -> Document:
    """Return a search for anomalies as the document of a page."""
    document = result.to_document()
    share = result.count / result.compared if result.compared else 0.0
    tone = Tone.WARNING if result.count else Tone.GOOD
    tiles = (
        Tile("Anomalies", result.count, Kind.COUNT, f"{share:.2%} of the values", tone),
        Tile("Anomalous series", result.anomalous, Kind.COUNT, f"of {result.series:,} compared"),
        Tile("Values compared", result.compared, Kind.COUNT, f"of {result.values:,}"),
    )
    figures = result.figures
    pictures: tuple[Block, ...] = (Heading("Pictures"), *figures) if figures else ()
    blocks = (Tiles(tiles), *pictures, *document.blocks)
    return Document(blocks, document.title, document.tone)


def _count_tone(report: Any, verdict: Verdict) -> Tone:
    return _VERDICTS[verdict] if report.count(verdict) else Tone.PLAIN


def _titled(title: str, document: Document) -> tuple[Block, ...]:
    return (Heading(title), *document.blocks) if document.content else ()


def _when(now: datetime) -> str:
    return f"{now.day} {now:%b %Y, %H:%M} UTC"
