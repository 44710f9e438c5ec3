"""What a person reads the morning after: of which forecasts, and what became of the runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from gigacast.cli.program import run

NAIVE = ("--model", "seasonal-naive")
DAYS = [f"2024-01-{day:02d}" for day in range(1, 29)]


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    folder = tmp_path / "2024/01"
    folder.mkdir(parents=True)
    rows = [f"a,{day},{number % 7}" for number, day in enumerate(DAYS)]
    content = "\n".join(["item_id,timestamp,target", *rows])
    for part in range(2):
        (folder / f"part-{part}.csv").write_text(content)
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str], lake: Path, *words: str) -> str:
    run([*words, "--bucket", lake.as_uri(), *NAIVE])
    return capsys.readouterr().out


def kill_the_last_run(lake: Path) -> None:
    path = max((lake / "audit").glob("forecast_*.json"))
    audit: dict[str, Any] = json.loads(path.read_text())
    lost = {"status": "running", "end_time": None, "files_processed": 0, "totals": {}}
    path.write_text(json.dumps({**audit, **lost}))


def test_status_says_of_which_forecasts_it_is_and_that_a_run_made_others(
    lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed(capsys, lake, "forecast", "--horizon", "3")
    same = printed(capsys, lake, "status", "--horizon", "3")
    assert "forecasts h3-q9-" in same
    assert "made others" not in same
    others = printed(capsys, lake, "status", "--horizon", "4")
    assert "forecasts h4-q9-" in others
    assert "made others, h3-q9-" in others


def test_failures_of_other_forecasts_are_not_counted_as_those_of_these(
    lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = printed(capsys, lake, "forecast", "--horizon", "3", "--freq", "W")
    assert "2 failed" in refused
    own = json.loads(printed(capsys, lake, "status", "--horizon", "3", "--freq", "W", "--json"))
    assert (own["months"][0]["failed"], len(own["failures"])) == (2, 2)
    other = json.loads(printed(capsys, lake, "status", "--horizon", "3", "--json"))
    assert (other["months"][0]["failed"], other["failures"]) == (0, [])


def test_a_run_that_was_killed_is_not_said_to_run_or_to_have_had_nothing_to_do(
    lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed(capsys, lake, "forecast", "--horizon", "3")
    kill_the_last_run(lake)
    assert "running, or killed" in printed(capsys, lake, "status", "--horizon", "3")
    assert run(["report", "--bucket", lake.as_uri()]) == 0
    page = (lake / "reports/latest.html").read_text()
    assert "running, or killed" in page
    assert "counted when the run ends" in page
    assert "Nothing was pending" not in page


def test_a_coarser_frequency_names_the_flag_that_makes_bins(
    lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--aggregate sum" in printed(capsys, lake, "forecast", "--horizon", "3", "--freq", "W")


def test_a_selection_without_a_partition_says_which_years_there_are(
    lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["forecast", "--bucket", lake.as_uri(), *NAIVE, "--years", "2030"]) == 2
    assert "there are months of 2024" in capsys.readouterr().err
    assert run(["forecast", "--bucket", lake.as_uri(), *NAIVE, "--prefix", "none"]) == 2
    assert "there are months" not in capsys.readouterr().err
