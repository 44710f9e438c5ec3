"""Anomalies of series of large numbers that change little are those of a series near zero."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import gigacast
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.read import read_table
from gigacast.storage.store import Store, StoreAddress
from tests.support.panels import put_frame

H, LEVEL, STEPS = 6, 1.7e9, 60
# By version: which of the ordinary steps are outside a band differs from model to model.
MODEL = "gigacast-bolt-nano/d958e16694eb"
HOW: dict[str, Any] = {"model": MODEL, "model_engine": "numpy", "horizon": H}
KEYS = ["item_id", "timestamp"]


def meters(level: float) -> pd.DataFrame:
    """Counters that grow by 60 an hour; one jumps, one stands still, one reports zeros."""
    times = pd.date_range("2024-01-01", periods=STEPS, freq="h")
    frames = []
    for n, item in enumerate(("steady", "jumps", "stands", "silent")):
        rng = np.random.default_rng(n)
        values = level + 1 + np.append(0, rng.integers(30, 90, STEPS - 1)).cumsum()
        if item == "jumps":
            values[-3:] += 4000
        if item == "stands":
            values[-H:] = values[-H]
        if item == "silent":
            values[-2:] = 0
        frames.append(pd.DataFrame({"item_id": item, "timestamp": times, "target": values}))
    return pd.concat(frames, ignore_index=True)


def lake(folder: Path, frame: pd.DataFrame) -> Store:
    folder.mkdir()
    store = open_store(StoreAddress(folder.as_uri()))
    put_frame(store, "2024/01/part-0.parquet", frame)
    return store


def dataset(store: Store) -> pa.Table:
    keys = [e.key for page in store.list("anomalies/") for e in page if "part-0.p" in e.key]
    (key,) = [key for key in keys if "/_" not in key]
    return read_table(store, key)


def sorted_rows(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sort_values(KEYS).reset_index(drop=True)


def assert_same(high: pd.DataFrame, low: pd.DataFrame) -> None:
    """Rows near zero and at the level; only what reports zero is not moved with its series."""
    same = ["kind", "run", "direction"]
    high, low = (sorted_rows(f[f["item_id"] != "silent"]) for f in (high, low))
    pd.testing.assert_frame_equal(high[[*KEYS, *same]], low[[*KEYS, *same]])
    np.testing.assert_allclose(high["score"], low["score"], rtol=1e-3)
    for name in ("actual", "median", "lower", "upper"):
        np.testing.assert_allclose(high[name] - LEVEL, low[name], atol=0.01)


def test_searches_do_not_depend_on_the_level_and_see_single_steps(tmp_path: Path) -> None:
    frames = [gigacast.detect_anomalies(meters(level), **HOW) for level in (LEVEL, 0.0)]
    assert_same(*frames)
    high = frames[0]
    kinds = {(item, kind) for item, kind in zip(high["item_id"], high["kind"], strict=True)}
    # A share of the level as least deviation hid a jump of 4000 at 1.7e9.
    assert kinds == {("jumps", "spike"), ("stands", "stuck"), ("silent", "zeros")}
    store = lake(tmp_path / "lake", meters(LEVEL))
    search = gigacast.detect_anomalies(store.address.url, **HOW)
    assert search.count == len(high)
    rows = dataset(store)
    assert rows.schema.field("actual").type == pa.float64()
    of_bucket = sorted_rows(rows.to_pandas())
    pd.testing.assert_frame_equal(of_bucket, sorted_rows(high)[of_bucket.columns])
    panels = {panel.title.split(" ")[0]: panel for _, panel in search.panels}
    assert len(set(panels["jumps"].actuals.tolist())) == H, "its picture shows each step"


def test_stored_forecasts_are_compared_as_closely(tmp_path: Path) -> None:
    sides = []
    for level in (LEVEL, 0.0):
        panel = meters(level)
        store = lake(tmp_path / f"{level:.0f}", panel.groupby("item_id").head(STEPS - H))
        assert gigacast.forecast(store.address.url, **HOW).status == "completed"
        put_frame(store, "2024/01/part-0.parquet", panel)
        gigacast.detect_anomalies(store.address.url)
        sides.append(dataset(store).to_pandas())
    assert_same(*sides)
    assert {*sides[0]["kind"]} == {"spike", "stuck", "zeros"}


def test_ordinary_series_keep_their_floats_and_scores_beside_a_meter(tmp_path: Path) -> None:
    frame = meters(0.0)
    frame["item_id"] = "ordinary " + frame["item_id"]
    alone = gigacast.detect_anomalies(frame, **HOW)
    assert alone["actual"].dtype == np.float32
    both = gigacast.detect_anomalies(pd.concat([meters(LEVEL), frame]), **HOW)
    beside = both[both["item_id"].str.startswith("ordinary")]
    pd.testing.assert_frame_equal(sorted_rows(beside), sorted_rows(alone), check_dtype=False)


def test_a_later_batch_that_needs_doubles_begins_the_file_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gigacast.anomalies import rolling

    narrow = rolling.AnomalyWorker._read_options
    monkeypatch.setattr(
        rolling.AnomalyWorker,
        "_read_options",
        lambda worker, task: replace(narrow(worker, task), batch_series=2),
    )
    frame = meters(0.0)
    frame["item_id"] = "a " + frame["item_id"]
    store = lake(tmp_path / "lake", pd.concat([frame, meters(LEVEL)]))
    gigacast.detect_anomalies(store.address.url, **HOW)
    rows = dataset(store)
    assert rows.schema.field("median").type == pa.float64()
    high = rows.to_pandas()
    assert_same(
        high[~high["item_id"].str.startswith("a ")],
        gigacast.detect_anomalies(meters(0.0), **HOW),
    )
