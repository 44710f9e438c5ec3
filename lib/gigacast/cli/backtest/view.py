"""Figures as people read them: leaderboards and evaluations."""

import math

import click

from gigacast.backtesting.evaluation.result import Evaluation
from gigacast.backtesting.leaderboard.result import Leaderboard
from gigacast.report.table import print_table

_MOST = 30
"""Rows of a table on a terminal; the files hold all."""


def print_leaderboard(board: Leaderboard) -> None:
    """Print standings, calibration and the segments."""
    first = board.standings[0].figures
    title = f"{first.forecasts:,} forecasts of {board.partitions:,} partitions"
    print_table(
        title,
        ("model", "WQL", "MASE", "skill WQL", "skill MASE", "wins", "RMSE", "sMAPE", "bias"),
        [
            (
                s.model,
                *map(_shown, (s.figures.wql, s.figures.mase, s.skill_wql, s.skill_mase)),
                f"{s.wins:.0%}",
                *map(_shown, (s.figures.rmse, s.figures.smape, s.figures.bias)),
            )
            for s in board.standings
        ],
    )
    click.echo()
    print_table(
        "Calibration: share of actuals at or below each quantile, and within each interval",
        ("model", *(f"{level:.10g}" for level in board.levels), *board.intervals),
        [
            (s.model, *map(_shown, (*s.figures.coverage, *s.figures.intervals)))
            for s in board.standings
        ],
    )
    if len(board.segments) > 1:
        click.echo()
        names = [s.model for s in board.standings]
        print_table(
            f"WQL by {board.segment}",
            (board.segment, "forecasts", *names),
            [
                (
                    label,
                    next(iter(models.values())).forecasts,
                    *(_shown(models[name].wql) for name in names),
                )
                for label, models in list(board.segments.items())[:_MOST]
            ],
        )
    if board.left_out:
        click.echo(f"left out, not done by every model: {', '.join(board.left_out[:10])}")


def _shown(value: float) -> float | None:
    return None if math.isnan(value) else value


def print_evaluation(result: Evaluation) -> None:
    """Print figures by model version, by step and by month."""
    for by, title in (("version", "By model version"), ("month", "By month"), ("step", "By step")):
        rows = [
            (model, label, f.forecasts, *map(_shown, (f.wql, f.mase, f.rmse, f.smape, f.bias)))
            for (model, label), f in result.figures[by].items()
        ]
        if rows:
            columns = ("model", by, "series", "WQL", "MASE", "RMSE", "sMAPE", "bias")
            print_table(title, columns, rows[:_MOST])
            click.echo()
    for levels in dict.fromkeys(result.levels.values()):
        print_table("Calibration", *result.calibration(levels))
        click.echo()
    click.echo(
        f"{result.matched:,} of {result.steps:,} forecast steps have an actual; "
        f"{result.waiting:,} wait for theirs"
    )
    click.echo(f"written to {result.location}.md, .json, .parquet")
    for key, message in result.failures:
        click.echo(f"failed: {key}: {message}", err=True)
