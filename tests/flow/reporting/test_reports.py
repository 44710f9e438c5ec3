"""Pages of runs and results, written by commands."""

import json
import re
import shutil
import signal
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gigacast.cli.program import run
from gigacast.reporting import run as reporting
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.flow.reporting.lake import HOSTILE, NAIVE, daily_panel, flags, forecast, put_lake
from tests.support.faulty_store import FaultyStore
from tests.support.moto_server import MotoServer
from tests.support.panels import put_frame


@pytest.fixture
def url(morning: Path) -> str:
    return morning.as_uri()


@pytest.fixture
def store(url: str) -> Store:
    return open_store(StoreAddress(url))


def pages(store: Store) -> dict[str, str]:
    keys = [e.key for page in store.list("reports/") for e in page if e.key.endswith(".html")]
    names = [key.removeprefix("reports/").removesuffix(".html") for key in keys]
    return {name: store.get(f"reports/{name}.html").decode() for name in names}


def page_of(store: Store, kind: str) -> str:
    return next(page for name, page in pages(store).items() if name.startswith(kind))


def test_every_job_writes_its_page_and_the_index_lists_them(store: Store) -> None:
    written = pages(store)
    kinds = [name.partition("_")[0] for name in sorted(written)]
    assert kinds == [
        "anomalies",
        "backtest",
        "evaluation",
        "forecast",
        "index",
        "latest",
        "quality",
    ]
    index = written["index"]
    named = set(re.findall(r'<a href="([^"#]+)\.html">', index))
    assert named == set(written) - {"index", "latest"}
    assert written["latest"] == page_of(store, "anomalies")


def test_the_page_of_a_run_has_its_numbers_and_its_worst_series(store: Store) -> None:
    page = page_of(store, "forecast")
    assert "Worst series" in page
    # In the order of their losses: what is stuck far below, what fell to zero, what doubled.
    titles = re.findall(r"<figcaption>(.+?) · target</figcaption>", page)
    assert titles[:3] == ["east", "north", "west"]
    assert "../audit/forecast_" in page
    assert "completed" in page
    assert HOSTILE not in page
    assert "&lt;img src=x" in page


def test_a_page_is_made_again_with_what_is_known_by_now(
    morning: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(morning, tmp_path / "lake")
    url, folder = (tmp_path / "lake").as_uri(), tmp_path / "lake/reports"
    page = next(folder.glob("forecast_*.html"))
    assert "Accuracy by step ahead" not in page.read_text(encoding="utf-8")
    newest = (folder / "latest.html").read_bytes()

    assert run(["report", page.stem, "--bucket", url, "--json"]) == 0

    content = json.loads(capsys.readouterr().out)
    text = page.read_text(encoding="utf-8")
    assert content["location"].endswith(f"/reports/{page.name}")
    assert content["audit"]["session_id"] == page.stem
    assert "Accuracy by step ahead" in text
    assert "Calibration curve" in text
    assert "Anomalies</h2>" in text
    assert content["anomalies"]["anomalies"] > 20
    assert (folder / "latest.html").read_bytes() == newest  # an older run is not the latest
    assert f"{content['evaluation']['version'][0]['wql']:.4g}" in text
    worst = content["worst"]
    assert worst == sorted(worst, key=lambda entry: -entry["wql"])
    assert content["freshness"]["newest"].startswith("2024-02-29")


def test_the_page_of_a_run_of_any_job_can_be_written_to_a_file(
    url: str, store: Store, tmp_path: Path
) -> None:
    names = [e.key for page in store.list("audit/") for e in page]
    for job in ("backtest", "quality"):
        name = next(key for key in names if f"/{job}_" in key).split("/")[1].removesuffix(".json")
        file = tmp_path / "deep" / f"{job}.html"
        assert run(["report", name, "--bucket", url, "--output", str(file)]) == 0
        assert f"<h1>{name}</h1>" in file.read_text(encoding="utf-8")
        assert "index.html" not in file.read_text(encoding="utf-8")


def test_two_reports_of_one_state_are_the_same_bytes(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        assert run(["report", "--bucket", url, "-o", str(tmp_path / name)]) == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    # The page of the forecast, although other jobs ran later.
    own, later = capsys.readouterr().out.splitlines()[:2]
    assert own.startswith("report of forecast_")
    assert re.match(r"  later runs of other jobs: anomalies_\w+ and 3 more; `gigacast rep", later)


@pytest.mark.parametrize(
    ("name", "message"),
    [("../x", "no id of a run"), ("a/b", "no id of a run"), ("forecast_1", "no such run")],
)
def test_a_run_that_is_none_is_refused(
    url: str, name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["report", name, "--bucket", url]) == 2
    assert message in capsys.readouterr().err


def test_a_bucket_without_runs_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "--bucket", tmp_path.as_uri()]) == 2
    assert "no run yet" in capsys.readouterr().err


def test_failures_are_on_the_page_of_their_run(tmp_path: Path) -> None:
    url = put_lake(tmp_path / "lake")
    bad = tmp_path / "lake/2024/01/part-00001.parquet"
    bad.write_bytes(b"no Parquet")

    assert forecast(url, "--report") == 1

    page = (tmp_path / "lake/reports/latest.html").read_text(encoding="utf-8")
    assert "<h2" in page
    assert "Failed</h2>" in page
    assert "2024/01/part-00001" in page
    assert 'class="status bad">failed' in page


def test_the_setting_writes_pages_without_the_flag_and_a_dry_run_writes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = put_lake(tmp_path / "lake")
    monkeypatch.setenv("GIGACAST_REPORT__WRITE", "true")
    assert forecast(url, "--dry_run") == 0
    assert not (tmp_path / "lake/reports").exists()
    assert forecast(url) == 0
    assert (tmp_path / "lake/reports/latest.html").exists()


def test_a_report_of_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.csv"
    file.write_text("item_id,timestamp,target\na,2024-01-01,1\n")
    assert run(["forecast", str(file), "--report"]) == 2
    assert "report" in capsys.readouterr().err


def test_the_run_before_is_compared_with(tmp_path: Path) -> None:
    url = put_lake(tmp_path / "lake")
    assert run(["forecast", *flags(url), *NAIVE, "--months", "1"]) == 0
    assert run(["forecast", *flags(url), *NAIVE, "--months", "1:2", "--report"]) == 0
    page = (tmp_path / "lake/reports/latest.html").read_text(encoding="utf-8")
    assert "Change since the run before" in page
    assert 'class="spark"' in page
    # A run without work shows what it found, and no change.
    assert run(["forecast", *flags(url), *NAIVE, "--months", "1:2", "--report"]) == 0
    page = (tmp_path / "lake/reports/latest.html").read_text(encoding="utf-8")
    assert "Nothing was pending" in page
    assert "Worst series</h2>" in page
    assert "Change since the run before" not in page


def test_reports_read_a_bounded_number_of_objects(tmp_path: Path, monkeypatch: Any) -> None:
    url = put_lake(tmp_path / "lake")
    source = tmp_path / "lake/2024/02/part-00000.parquet"
    for number in range(1, 10):
        target = source.with_name(f"part-{number:05d}.parquet")
        target.write_bytes(source.read_bytes())
    assert forecast(url) == 0
    stores: list[FaultyStore] = []

    def counted(address: Any) -> FaultyStore:
        stores.append(FaultyStore(open_store(address)))
        return stores[-1]

    monkeypatch.setattr(reporting, "open_store", counted)
    assert run(["report", "--bucket", url]) == 0
    (outputs,) = stores
    # The audit, the manifest, and of six partitions the forecast, its receipt and its ranges.
    assert outputs.counts["get"] <= 60


def test_a_bucket_is_served_until_the_process_is_interrupted(morning: Path) -> None:
    command = [sys.executable, "-m", "gigacast", "serve-report", "--bucket", morning.as_uri()]
    with subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        place = process.stdout.readline().split()[-1]
        port = int(place.rstrip("/").rpartition(":")[2])
        connection = HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/reports/latest.html")
        answer = connection.getresponse()
        assert answer.read() == (morning / "reports/latest.html").read_bytes()
        connection.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


@pytest.mark.parametrize("segment", ["window", "month"])
def test_a_backtest_by_window_or_month_has_its_accuracy_over_them(
    tmp_path: Path, segment: str
) -> None:
    url = put_lake(tmp_path / "lake")
    backtest = ["backtest", *flags(url), "--model", "seasonal-naive", "--horizon", "5"]
    assert run([*backtest, "--windows", "3", "--segment", segment, "--report"]) == 0
    page = (tmp_path / "lake/reports/latest.html").read_text(encoding="utf-8")
    assert f"Accuracy by {segment}</h2>" in page
    ticks = re.findall(r'text-anchor="(?:start|middle|end)">([^<]+)</text>', page)
    expected = {"window": ["2", "1", "0"], "month": ["2024-01", "2024-02", "2024-03"]}[segment]
    assert [tick for tick in ticks if tick in expected][:3] == expected


def test_pages_are_written_to_s3(moto_server: MotoServer) -> None:
    store = open_store(moto_server.new_address())
    panel = daily_panel()
    put_frame(store, "2024/01/part-00000.parquet", panel[panel["timestamp"] < "2024-02-01"])
    place = ["--bucket", store.address.url, "--quiet", "--model", "seasonal-naive"]
    for horizon in ("3", "4"):
        assert run(["forecast", *place, "--horizon", horizon, "--report"]) == 0
    names = [entry["name"] for entry in json.loads(store.get("reports/index.json"))]
    assert len(names) == 2
    assert store.get("reports/latest.html") == store.get(f"reports/{names[0]}.html")


def test_items_of_several_columns_have_their_past(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    store = open_store(StoreAddress((tmp_path / "lake").as_uri()))
    panel = daily_panel().assign(sku=1)
    panel = pd.concat([panel, panel.assign(sku=2, target=panel["target"] * 3)])
    panel = panel.rename(columns={"item_id": "store"})
    put_frame(store, "2024/03/part-00000.parquet", panel)
    place = ["--bucket", store.address.url, "--quiet", "--item_columns", "store,sku"]
    assert run(["forecast", *place, *NAIVE]) == 0
    assert run(["report", "--bucket", store.address.url]) == 0  # without the columns' flag
    page = (tmp_path / "lake/reports/latest.html").read_text(encoding="utf-8")
    # In the mark of the page, in each of six pictures, and in their legend.
    assert page.count('class="history" d="M') == 8
    assert "context" in page
