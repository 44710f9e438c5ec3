"""A run announces its plan in a line."""

import pytest

from gigacast.core.time.month import Month
from gigacast.lake.plan.planner import MonthCounts, Plan
from gigacast.report.run_progress import RunProgress, plan_line


def test_the_line_counts_what_a_limit_leaves_for_later() -> None:
    plan = Plan(months={Month(2024, 1): MonthCounts(done=4, pending=3)})
    assert plan_line(plan, 3, "forecast") == "7 partitions: 4 done, 3 to forecast"
    assert plan_line(plan, 1, "clean") == "7 partitions: 4 done, 1 to clean; 2 left for later"


def test_the_line_counts_objects_that_are_not_partitions() -> None:
    plan = Plan(
        months={Month(2024, 1): MonthCounts(done=1, superseded=2, orphaned=3)},
        unmatched_count=5,
        unmatched=["notes.txt", "a.csv"],
        foreign_folders=["logs", "tmp"],
    )
    _, *notes = plan_line(plan, 0, "measure").split("; ")
    assert notes == [
        "2 superseded",
        "3 orphaned",
        "5 objects not recognised (notes.txt, ...)",
        "folders not taken for input: logs, tmp",
    ]


def test_a_run_of_several_models_names_the_model_of_each_plan(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan = Plan(months={Month(2024, 1): MonthCounts(done=1)})
    with RunProgress(quiet=False, verb="backtest") as progress:
        for model in ("tiny/v1.0", "seasonal-naive"):
            progress.of_model(model)
            progress.planned("run", plan, 0)
    assert capsys.readouterr().err.splitlines() == [
        "tiny/v1.0: 1 partition: 1 done, 0 to backtest",
        "seasonal-naive: 1 partition: 1 done, 0 to backtest",
    ]


def test_a_quiet_run_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with RunProgress(quiet=True) as progress:
        progress.generated(2)
        progress.planned("run", Plan(), 1)
    assert capsys.readouterr() == ("", "")
