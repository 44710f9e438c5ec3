"""Anomalies of a bucket and of frames, against slow loops."""

import io
import json
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import gigacast
from gigacast.cli.program import run
from gigacast.errors import ConfigError
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.flow.reporting.lake import NAIVE, daily_panel, flags, forecast, put_lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bucket whose forecasts of March have met their actuals."""
    folder = tmp_path_factory.mktemp("anomalies") / "lake"
    assert forecast(put_lake(folder)) == 0
    return folder


@pytest.fixture
def store(lake: Path) -> Store:
    return open_store(StoreAddress(lake.as_uri()))


def read_dataset(store: Store, prefix: str = "anomalies/") -> pd.DataFrame:
    keys = [e.key for page in store.list(prefix) for e in page if e.key.endswith(".parquet")]
    parts = [pq.read_table(io.BytesIO(store.get(k))).to_pandas() for k in keys if "/_" not in k]
    return pd.concat(parts, ignore_index=True)


def slow_scores(forecasts: pd.DataFrame, actual: pd.DataFrame) -> dict[tuple[str, Any], float]:
    """Score row by row: the distance from the median over a tenth of the 80% interval's side."""
    values = {(r.item_id, r.timestamp): r.target for r in actual.itertuples()}
    z = NormalDist().inv_cdf(0.9)
    scores = {}
    for row in forecasts.to_dict("records"):
        y = values.get((row["item_id"], row["timestamp"]))
        if y is None:
            continue
        distance = y - row["predictions"]
        edge = row["0.9"] if distance >= 0 else row["0.1"]
        deviation = abs(edge - row["predictions"]) / z
        scores[row["item_id"], row["timestamp"]] = distance / deviation
    return scores


def test_values_outside_the_band_of_stored_forecasts_are_the_anomalies(
    lake: Path, store: Store
) -> None:
    result = gigacast.detect_anomalies(lake)
    rows = read_dataset(store)
    scores = slow_scores(gigacast.read_forecasts(lake.as_uri()), daily_panel())
    limit = NormalDist().inv_cdf(0.995)
    expected = {key for key, score in scores.items() if abs(score) >= limit}
    stored = dict(zip(zip(rows.item_id, rows.timestamp, strict=True), rows.score, strict=True))
    assert {key for key in stored if abs(stored[key]) >= limit} == expected
    for key in expected:
        assert stored[key] == pytest.approx(np.clip(scores[key], -100, 100), rel=1e-3)
    assert result.compared == len(scores)
    assert result.count == len(rows)


def test_each_kind_is_named_apart(lake: Path) -> None:
    result = gigacast.detect_anomalies(lake)
    kinds = {(entry.item, entry.kind): entry for entry in result.worst}
    assert kinds["north", "zeros"].steps == 11
    assert kinds["east", "stuck"].run == 11
    assert kinds["west", "level_shift"].direction == "above"
    assert kinds["north", "zeros"].first == "2024-03-01"
    assert result.basis == "stored"
    assert [panel.title for _, panel in result.panels][:1] == [
        f"{result.worst[0].item} · target: {result.worst[0].kind.replace('_', ' ')}"
    ]


def test_a_second_search_writes_the_same_bytes(lake: Path, store: Store) -> None:
    def contents() -> dict[str, bytes]:
        gigacast.detect_anomalies(lake)
        return {e.key: store.get(e.key) for page in store.list("anomalies/") for e in page}

    assert contents() == contents()


def test_the_report_is_stored_in_three_forms(lake: Path, store: Store) -> None:
    result = gigacast.detect_anomalies(lake)
    key = result.location.removeprefix(f"{lake.as_uri()}/")
    stored = json.loads(store.get(f"{key}.json"))
    assert stored["anomalies"] == result.count == sum(stored["kinds"].values())
    assert "| east |" in store.get(f"{key}.md").decode()
    table = pq.read_table(io.BytesIO(store.get(f"{key}.parquet")))
    assert table.column_names[:4] == ["partition", "item", "target", "kind"]
    assert table.num_rows == len(result.worst)


def test_rolling_searches_are_a_job_that_skips_what_is_done(tmp_path: Path) -> None:
    url = put_lake(tmp_path / "lake")
    store = open_store(StoreAddress(url))
    options = {"model": "seasonal-naive", "horizon": 11, "months": "3", "context_partitions": 2}
    first = gigacast.detect_anomalies(url, **options)
    assert first.basis == "rolling"
    assert first.run_id.startswith("anomalies_")
    audit = json.loads(store.get(f"audit/{first.run_id}.json"))
    assert (audit["status"], audit["job"]) == ("completed", "anomalies")
    kinds = {(entry.item, entry.kind) for entry in first.worst}
    assert {("north", "zeros"), ("east", "stuck"), ("west", "level_shift")} <= kinds
    second = gigacast.detect_anomalies(url, **options)
    assert second.run_id == ""
    assert second.worst == first.worst
    wider = gigacast.detect_anomalies(url, band=99.99, **options)
    assert wider.count <= first.count


def test_frames_have_the_anomalies_of_a_bucket_with_the_same_rows(tmp_path: Path) -> None:
    url = put_lake(tmp_path / "lake")
    options = {"model": "seasonal-naive", "horizon": 11}
    gigacast.detect_anomalies(url, months="3", context_partitions=2, **options)
    stored = read_dataset(open_store(StoreAddress(url)))
    keys = ["item_id", "timestamp"]
    rows = gigacast.detect_anomalies(daily_panel(), **options)
    of_frame, of_bucket = (f.sort_values(keys).reset_index(drop=True) for f in (rows, stored))
    pd.testing.assert_frame_equal(
        of_frame[[*keys, "kind", "run", "direction"]],
        of_bucket[[*keys, "kind", "run", "direction"]],
    )
    np.testing.assert_allclose(of_frame["score"], of_bucket["score"], rtol=1e-5)


def test_shuffled_rows_have_the_same_anomalies() -> None:
    panel = daily_panel()
    options = {"model": "seasonal-naive", "horizon": 11}
    keys = ["item_id", "timestamp"]
    first, second = (
        gigacast.detect_anomalies(frame, **options).sort_values(keys).reset_index(drop=True)
        for frame in (panel, panel.sample(frac=1, random_state=3))
    )
    pd.testing.assert_frame_equal(first, second)


def test_runs_go_on_from_one_window_into_the_next() -> None:
    days = pd.date_range("2024-01-01", periods=80, freq="D")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"item_id": "a", "timestamp": days, "target": rng.normal(50, 1, 80)})
    frame.loc[73:76, "target"] = 49.5
    rows = gigacast.detect_anomalies(
        frame, model="seasonal-naive", horizon=5, windows=2, stuck_steps=4
    )
    stuck = rows[rows.kind == "stuck"]
    assert stuck.run.tolist() == [4, 4, 4, 4]


@pytest.mark.parametrize(("fail_above", "code"), [("0", 1), ("1000", 0), (None, 0)])
def test_the_exit_code_is_for_alerting(
    lake: Path, fail_above: str | None, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--fail_above", fail_above] if fail_above is not None else []
    assert run(["anomalies", *flags(lake.as_uri()), *more, "--quiet"]) == code
    out, err = capsys.readouterr()
    assert (out, "anomalies are more than --fail_above" in err) == ("", bool(code))


def test_events_are_lines_of_json_with_metrics(
    lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["anomalies", *flags(lake.as_uri()), "--log", "json", "--json"]) == 0
    shown = capsys.readouterr()
    result, lines = json.loads(shown.out), [json.loads(line) for line in shown.err.splitlines()]
    last = lines[-1]
    assert [line["event"] for line in lines[:-1]] == ["anomaly"] * len(result["worst"])
    assert (last["event"], last["Anomalies"]) == ("anomalies", result["anomalies"])
    assert last["AnomalyZeros"] == result["kinds"]["zeros"] == 11
    names = {metric["Name"] for metric in last["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    assert {"Anomalies", "AnomalousSeries", "AnomalyStuckValues"} <= names


def test_a_damaged_forecast_is_named_and_the_others_are_compared(tmp_path: Path) -> None:
    url = put_lake(tmp_path / "lake")
    assert forecast(url) == 0
    damaged = next((tmp_path / "lake/forecasts").rglob("2024/01/*.parquet"))
    damaged.write_bytes(b"no Parquet")
    assert run(["anomalies", *flags(url)]) == 1
    result = gigacast.detect_anomalies(url)
    assert [key.endswith("2024/01/part-00000.parquet") for key, _ in result.failures] == [True]
    assert result.series == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"band": 100.0}, "band"),
        ({"band": 10.0}, "band"),
        ({"stuck_steps": 1}, "stuck_steps"),
        ({"windows": 0}, "windows"),
        ({"bucket": "x"}, "bucket"),
    ],
)
def test_options_out_of_their_range_are_refused(
    lake: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        gigacast.detect_anomalies(lake, **options)


def test_the_selection_is_kept(lake: Path) -> None:
    assert gigacast.detect_anomalies(lake, months="1").series == 5
    assert run(["anomalies", *flags(lake.as_uri()), *NAIVE[:2], "--years", "1999"]) == 2
