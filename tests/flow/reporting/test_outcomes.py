"""Pages of runs of any job are made again with their results, pictures and all."""

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gigacast.cli.program import run
from gigacast.errors import CorruptedFileError
from gigacast.reporting.stored import (
    read_anomaly_report,
    read_evaluation_result,
    read_leaderboard,
    read_quality,
)

JOBS = ("evaluate", "backtest", "anomalies", "quality")
PAGES = {"evaluate": "evaluation", "quality": "quality"}
STORED: dict[str, tuple[str, Callable[[bytes, str], Any]]] = {
    "evaluate": ("evaluations/*.json", read_evaluation_result),
    "backtest": ("backtests/_leaderboards/*.json", read_leaderboard),
    "anomalies": ("anomalies/_reports/*.json", read_anomaly_report),
    "quality": ("quality/_reports/*.json", read_quality),
}


@pytest.fixture(scope="module")
def folder(morning: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(morning, tmp_path_factory.mktemp("outcomes") / "lake"))


def page_of(folder: Path, job: str, output: Path) -> str:
    newest = max((folder / "audit").glob(f"{job}_*.json"))
    words = ["report", newest.stem, "--bucket", folder.as_uri(), "--output", str(output)]
    assert run(words) == 0
    return output.read_text()


def sections(page: str) -> list[str]:
    return [part.partition("</h2>")[0].partition(">")[2] for part in page.split("<h2")[1:]]


@pytest.mark.parametrize("job", JOBS)
def test_the_page_of_a_run_has_its_result(folder: Path, tmp_path: Path, job: str) -> None:
    again = page_of(folder, job, tmp_path / "again.html")
    first = max((folder / "reports").glob(f"{PAGES.get(job, job)}_*.html")).read_text()
    assert [name for name in sections(first) if name not in sections(again)] == []
    pictures = first.count("<figure") + first.count('class="bar"')
    assert pictures
    assert again.count("<figure") >= first.count("<figure")
    assert ">Result</a>" in again
    assert f'href="../{STORED[job][0].partition("*")[0]}' in again


@pytest.mark.parametrize("job", JOBS)
def test_a_stored_result_is_read_back_whole(folder: Path, job: str) -> None:
    pattern, read = STORED[job]
    for path in folder.glob(pattern):
        content = path.read_bytes()
        again = json.loads(json.dumps(read(content, path.name).to_json(), default=str))
        assert again == json.loads(content)


@pytest.mark.parametrize("job", JOBS)
def test_a_result_that_is_damaged_is_left_out(folder: Path, tmp_path: Path, job: str) -> None:
    lake = Path(shutil.copytree(folder, tmp_path / "lake"))
    pattern, read = STORED[job]
    for path in lake.glob(pattern):
        values = json.loads(path.read_bytes())
        for name in values:
            content = json.dumps({**values, name: {"a": [{}]}}).encode()
            with suppress(CorruptedFileError):
                read(content, path.name).to_json()
        path.write_bytes(b"[]")
    page = page_of(lake, job, tmp_path / "page.html")
    assert ">Audit</a>" in page
    assert "Worst series" not in page


def test_a_result_elsewhere_is_not_read(folder: Path, tmp_path: Path) -> None:
    lake = Path(shutil.copytree(folder, tmp_path / "lake"))
    path = max((lake / "audit").glob("evaluate_*.json"))
    audit = json.loads(path.read_bytes())
    audit["plan"]["result"] = "evaluations/../../secret"
    path.write_text(json.dumps(audit))
    page = page_of(lake, "evaluate", tmp_path / "page.html")
    assert "secret" not in page
    assert "Accuracy" not in page


def test_a_run_has_the_drift_of_its_inputs(folder: Path, tmp_path: Path) -> None:
    page = page_of(folder, "forecast", tmp_path / "page.html")
    assert "Drift of the inputs" in sections(page)
    assert "population stability index" in page
