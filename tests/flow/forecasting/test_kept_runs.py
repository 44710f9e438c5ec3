"""Forecasts as an earlier run left them, and what `ls` says of runs and origins."""

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import gigacast
from gigacast.cli.program import run
from gigacast.errors import ConfigError, DataNotFoundError
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from tests.flow.reporting.lake import daily_panel
from tests.support.panels import put_frame

NIGHTS = ("2024-02-20", "2024-02-24", "2024-02-29")


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[tuple[str, pd.DataFrame]]]:
    """Return a bucket, and each night's run with the forecasts as they were read then."""
    folder = tmp_path_factory.mktemp("runs")
    store, panel = open_store(StoreAddress(folder.as_uri())), daily_panel()
    months = panel["timestamp"].dt.strftime("%Y/%m")
    put_frame(store, "2024/01/part-00000.parquet", panel[months == "2024/01"])
    read = []
    for night in NIGHTS:
        rows = panel[(months == "2024/02") & (panel["timestamp"] <= night)]
        put_frame(store, "2024/02/part-00000.parquet", rows)
        result = gigacast.forecast(folder, model="seasonal-naive", horizon=7)
        read.append((result.run_id, gigacast.read_forecasts(folder.as_uri())))
    return folder.as_uri(), read


def output_of(words: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> Any:
    capsys.readouterr()
    assert run([*words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_each_run_is_read_as_it_left_the_forecasts(
    nights: tuple[str, list[tuple[str, pd.DataFrame]]],
) -> None:
    url, read = nights
    for run_id, expected in read:
        again = gigacast.read_forecasts(url, run=run_id)
        pd.testing.assert_frame_equal(again, expected)
        assert again.attrs["spec"] == expected.attrs["spec"]


def test_the_command_reads_a_run(
    nights: tuple[str, list[tuple[str, pd.DataFrame]]], capsys: pytest.CaptureFixture[str]
) -> None:
    url, read = nights
    run_id, expected = read[0]
    assert run(["read", "--bucket", url, "--run", run_id, "--item", "west"]) == 0
    rows = pd.read_csv(io.StringIO(capsys.readouterr().out))
    own = expected[expected["item_id"] == "west"]
    assert rows["predictions"].tolist() == pytest.approx(own["predictions"].tolist())


def test_runs_and_origins_are_listed_the_latest_first(
    nights: tuple[str, list[tuple[str, pd.DataFrame]]], capsys: pytest.CaptureFixture[str]
) -> None:
    url, read = nights
    runs = output_of(["ls", "runs", "--bucket", url], capsys)
    assert [entry["run"] for entry in runs["runs"]] == [run_id for run_id, _ in read][::-1]
    assert {(e["partitions"], e["rows"]) for e in runs["runs"]} == {(2, 70)}
    origins = output_of(["ls", "origins", "--bucket", url], capsys)
    assert [e["origin"][:10] for e in origins["origins"]] == [*NIGHTS[::-1]]
    assert [e["is_current"] for e in origins["origins"]] == [True, False, False]
    first = output_of(["ls", "origins", "2024/01/part-00000", "--bucket", url], capsys)
    assert [e["origin"][:10] for e in first["origins"]] == ["2024-01-31"]
    assert output_of(["ls", "runs", "--count", "1", "--bucket", url], capsys)["total"] == 3
    assert run(["ls", "runs", "--bucket", url]) == 0
    assert read[1][0] in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"run": "forecast_none"}, DataNotFoundError, "no run forecast_none is kept"),
        ({"run": "../x"}, ConfigError, "no id of a run"),
        ({"origin": "all"}, ConfigError, "one forecast of a partition"),
    ],
)
def test_what_is_not_kept_is_refused(
    nights: tuple[str, list[tuple[str, pd.DataFrame]]],
    options: dict[str, str],
    error: type[Exception],
    message: str,
) -> None:
    url, read = nights
    with pytest.raises(error, match=message):
        gigacast.read_forecasts(url, **{"run": read[0][0], **options})


def test_a_forecast_that_is_no_longer_kept_is_named(tmp_path: Path) -> None:
    store, panel = open_store(StoreAddress(tmp_path.as_uri())), daily_panel()
    runs, config = [], tmp_path / "settings.yaml"
    config.write_text("forecast: {keep_origins: 2}\n")
    for night in NIGHTS:
        put_frame(store, "2024/02/part-00000.parquet", panel[panel["timestamp"] <= night])
        result = gigacast.forecast(tmp_path, model="seasonal-naive", horizon=7, config=config)
        runs.append(result.run_id)
    assert len(gigacast.read_forecasts(tmp_path.as_uri(), run=runs[1])) == 35
    with pytest.raises(DataNotFoundError, match=r"no longer kept|is kept"):
        gigacast.read_forecasts(tmp_path.as_uri(), run=runs[0])
