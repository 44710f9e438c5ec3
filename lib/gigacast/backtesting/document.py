"""Documents and JSON of backtests and evaluations."""

from typing import Any

from gigacast.backtesting.calibration import calibration_blocks
from gigacast.backtesting.evaluation.result import Evaluation, passed_over_text
from gigacast.backtesting.result import BacktestResult
from gigacast.core.plural import counted
from gigacast.report.document import Document, Items, Paragraph, Tone
from gigacast.report.notebook import render_notebook
from gigacast.report.summary import FailedPartition, and_more, equal_failures


def backtest_json(result: BacktestResult) -> dict[str, Any]:
    """Return the result of a backtest for ``--json``."""
    return {
        "status": result.status,
        "runs": list(result.run_ids),
        "computed": result.computed,
        "skipped": result.skipped,
        "leaderboard": result.leaderboard.to_json(),
        "location": result.location or None,
        "conflicts": result.conflicts,
        **(
            {"calibrations": [one.to_json() for one in result.calibrations]}
            if result.calibrations
            else {}
        ),
        **({"problems": list(result.problems)} if result.problems else {}),
        "failures": [
            {"model": model, "partition": task.partition, "error": f.error, "message": f.message}
            for model, task, f in result.failures
        ],
    }


def backtest_document(result: BacktestResult) -> Document:
    """Return the leaderboard of a backtest, its counts, and the location of its files."""
    return result.leaderboard.to_document().followed_by(
        *calibration_blocks(result.calibrations),
        Paragraph(f"{result.computed} computed, {result.skipped} done before"),
        *_conflicts(result.conflicts),
        *(Paragraph(problem, Tone.WARNING) for problem in result.problems),
        *([Paragraph(f"written to {result.location}.md, .json, .parquet")] * bool(result.location)),
    )


def backtest_html(result: BacktestResult) -> str:
    """Return the result of a backtest as notebooks show it."""
    return render_notebook(backtest_document(result))


def evaluation_document(result: Evaluation) -> Document:
    """Return the figures of an evaluation and the location of its files."""
    steps = counted(result.waiting, "forecast step")
    return result.to_document().followed_by(
        Paragraph(f"{steps} {'waits' if result.waiting == 1 else 'wait'} for their actual"),
        *_conflicts(result.conflicts),
        *_passed_over(result),
        Paragraph(f"written to {result.location}.md, .json, .parquet"),
    )


def _passed_over(result: Evaluation) -> list[Paragraph]:
    text = passed_over_text(result.passed_over)
    return [Paragraph(text, Tone.WARNING)] if text else []


def _conflicts(count: int) -> list[Paragraph]:
    text = f"{counted(count, 'row')} with the series and the time of another row, and other values"
    return [Paragraph(f"{text}: see --duplicates")] if count else []


def failed_backtests(result: BacktestResult) -> Document:
    """Return the partitions that could not be backtested; equal failures once, with their count."""
    texts = []
    for model in dict.fromkeys(model for model, _, _ in result.failures):
        own = [
            FailedPartition(task.partition, failure.error, failure.message)
            for name, task, failure in result.failures
            if name == model
        ]
        for group in equal_failures(own):
            name = and_more(group[0].partition, len(group))
            texts.append(f"failed: {model} on {name}: {group[0].message}")
    return Document((Items.of(texts),))


def failed_forecasts(result: Evaluation) -> Document:
    """Return the forecasts that could not be evaluated; equal failures once, with their count."""
    failures = (FailedPartition(key, "", message) for key, message in result.failures)
    texts = (
        f"failed: {and_more(group[0].partition, len(group))}: {group[0].message}"
        for group in equal_failures(failures)
    )
    return Document((Items.of(texts),))
