"""Searches in the forecasts of several nights: a job over partitions, and every kept origin."""

import json
import shutil
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import gigacast
from gigacast.cli.program import run
from gigacast.errors import ConfigError, DataNotFoundError
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.flow.anomalies.test_anomalies import slow_scores
from tests.flow.reporting.lake import daily_panel, flags
from tests.support.panels import put_frame

NIGHTS = ("2024-02-18", "2024-02-24", "2024-02-29")
LIMIT = NormalDist().inv_cdf(0.995)


def put_until(store: Store, day: str) -> None:
    """Write the rows up to a day, a part for each month; months that are whole stay as they are."""
    panel = daily_panel()
    # A sensor that is stuck within the month in which it is forecast.
    stuck = (panel["item_id"] == "south") & panel["timestamp"].between("2024-02-19", "2024-02-29")
    panel.loc[stuck, "target"] = 222.0
    for month, rows in panel[panel["timestamp"] <= day].groupby(
        panel["timestamp"].dt.strftime("%Y/%m")
    ):
        key = f"{month}/part-00000.parquet"
        path = Path(store.address.url.removeprefix("file://")) / key
        if not path.exists() or len(pd.read_parquet(path)) != len(rows):
            put_frame(store, key, rows)


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bucket with the forecasts of three nights, and what has come since."""
    folder = tmp_path_factory.mktemp("nights") / "lake"
    folder.mkdir()
    store = open_store(StoreAddress(folder.as_uri()))
    for night in NIGHTS:
        put_until(store, night)
        gigacast.forecast(
            folder, model="seasonal-naive", horizon=11, context_partitions=1, months="2"
        )
    put_until(store, "2024-03-11")
    return folder


@pytest.fixture
def lake(nights: Path, tmp_path: Path) -> Path:
    """Return a bucket in which nobody has searched."""
    folder = Path(shutil.copytree(nights, tmp_path / "lake"))
    for searched in ("anomalies", "timings/anomalies"):
        shutil.rmtree(folder / searched, ignore_errors=True)
    return folder


def rows_of(lake: Path, origin: str) -> pd.DataFrame:
    folder = lake / "anomalies" if origin == "latest" else lake / "anomalies/_origins" / origin
    files = [p for p in folder.rglob("*.parquet") if origin != "latest" or "/_" not in str(p)]
    return pd.concat([pq.read_table(path).to_pandas() for path in sorted(files)])


def truth(lake: Path) -> pd.DataFrame:
    return pd.concat([pq.read_table(p).to_pandas() for p in sorted(lake.glob("2024/*/*.parquet"))])


@pytest.mark.parametrize("origin", ["all", "latest", "2024-02-24"])
def test_values_are_compared_with_the_forecasts_of_an_origin(nights: Path, origin: str) -> None:
    result = gigacast.detect_anomalies(nights, origin=origin)
    forecasts = gigacast.read_forecasts(nights.as_uri(), origin=origin)
    expected, compared = {}, 0
    for cutoff, own in forecasts.groupby("cutoff"):
        scores = slow_scores(own, truth(nights))
        compared += len(scores)
        expected |= {(item, when, cutoff): s for (item, when), s in scores.items()}
    rows = rows_of(nights, origin)
    found = rows[rows["score"].abs() >= LIMIT]
    keys = list(zip(found["item_id"], found["timestamp"], found["cutoff"], strict=True))
    assert {*keys} == {key for key, score in expected.items() if abs(score) >= LIMIT}
    assert len({*keys}) == len(keys)
    bounded = [np.clip(expected[key], -100, 100) for key in keys]
    np.testing.assert_allclose(found["score"], bounded, rtol=1e-3)
    assert (result.compared, result.count, result.series) == (compared, len(rows), 5)
    assert result.origins == (3 if origin == "all" else 1)


def test_what_is_compared_is_not_taken_for_the_usual(nights: Path) -> None:
    gigacast.detect_anomalies(nights, origin="2024-02-18")
    rows = rows_of(nights, "2024-02-18")
    south = rows[rows["item_id"] == "south"]
    # The partition holds the eleven equal values by now; the history before the cutoff has none.
    assert south["kind"].tolist() == ["stuck"] * 11
    assert south["run"].tolist() == [11] * 11


def test_a_search_is_a_run_and_a_second_one_does_nothing(lake: Path) -> None:
    first = gigacast.detect_anomalies(lake, origin="all")
    audit = json.loads((lake / f"audit/{first.run_id}.json").read_text())
    assert (audit["job"], audit["status"], audit["files_processed"]) == (
        "anomalies", "completed", 1,
    )  # fmt: skip
    assert first.location.endswith(audit["plan"]["result"])
    receipts = sorted((lake / "timings/anomalies").rglob("*.json"))
    assert len(receipts) == 1
    before = {p: p.read_bytes() for p in lake.rglob("*") if p.is_file()}
    second = gigacast.detect_anomalies(lake, origin="all")
    assert second.run_id == ""
    assert {p: p.read_bytes() for p in lake.rglob("*") if p.is_file()} == before
    assert second.to_json() == {**first.to_json(), "run_id": ""}
    assert [(w, p.title) for w, p in second.panels] == [(w, p.title) for w, p in first.panels]
    assert second.panels


def test_only_what_changed_is_searched_again(lake: Path) -> None:
    gigacast.detect_anomalies(lake)
    store = open_store(StoreAddress(lake.as_uri()))
    late = daily_panel()
    put_frame(store, "2024/03/part-00000.parquet", late[late["timestamp"] >= "2024-03-05"])
    again = gigacast.detect_anomalies(lake)
    assert again.run_id
    assert again.compared < gigacast.detect_anomalies(lake, origin="2024-02-24").values
    # Other limits, and other origins, are other searches.
    assert gigacast.detect_anomalies(lake, band=99.9).run_id
    assert gigacast.detect_anomalies(lake, band=99.9).run_id == ""
    assert len([*(lake / "timings/anomalies").rglob("*.json")]) == 2


def test_a_killed_search_is_continued(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gigacast.anomalies import partition

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(partition, "write_receipt", killed)
        with pytest.raises(KeyboardInterrupt):
            gigacast.detect_anomalies(lake)
    assert gigacast.detect_anomalies(lake).run_id
    assert gigacast.detect_anomalies(lake).run_id == ""


def test_columns_are_those_of_the_forecasts(tmp_path: Path) -> None:
    store = open_store(StoreAddress(tmp_path.as_uri()))
    names = {"item_id": "shop", "timestamp": "day", "target": "sold"}
    panel = daily_panel().rename(columns=names).assign(noise=1.0)
    panel["month"] = panel["day"].dt.strftime("%Y/%m")
    for month, rows in panel.groupby("month"):
        put_frame(store, f"{month}/part-00000.parquet", rows.drop(columns="month"))
    columns = {"item_column": "shop", "timestamp_column": "day", "targets": ["sold"]}
    gigacast.forecast(tmp_path, model="seasonal-naive", horizon=11, months="2", **columns)
    result = gigacast.detect_anomalies(tmp_path)
    assert {entry.target for entry in result.worst} == {"sold"}
    assert result.compared == 55


@pytest.mark.parametrize(
    ("origin", "error"),
    [("2023-01-01", DataNotFoundError), ("yesterday", ConfigError), ("", ConfigError)],
)
def test_an_origin_that_is_not_kept_is_refused(
    nights: Path, origin: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match="origin"):
        gigacast.detect_anomalies(nights, origin=origin)


def test_the_command_takes_an_origin(nights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["anomalies", *flags(nights.as_uri()), "--json", "--origin"]
    assert run([*words, "all"]) == 0
    assert json.loads(capsys.readouterr().out)["origin"] == "all"
    assert run([*words, "all", "--rolling"]) == 2
    assert "rolling" in capsys.readouterr().err
