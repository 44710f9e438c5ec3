"""Reconciliation of a bucket: a job whose forecasts add up."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gigacast
from gigacast.cli.program import run
from gigacast.errors import ConfigError
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.panels import put_frame

OPTIONS: dict[str, Any] = {
    "model": "gigacast-bolt-nano",
    "model_engine": "numpy",
    "horizon": 5,
    "quantiles": (0.1, 0.5, 0.9),
    "item_columns": ["store", "sku"],
}
SUMS = ["store", "sku"]


def panel(part: int, steps: int = 60) -> pd.DataFrame:
    """Sales of two stores; the parts of a month have different articles."""
    rng = np.random.default_rng(part)
    common = 3 * np.sin(np.arange(steps) / 7 * 2 * np.pi)
    frames = [
        pd.DataFrame(
            {
                "store": store,
                "sku": f"{part}{sku}",
                "timestamp": pd.date_range("2024-01-01", periods=steps, freq="D"),
                "target": 10 * store + common + rng.normal(0, 1, steps),
            }
        )
        for store in (1, 2)
        for sku in "ab"
    ]
    return pd.concat(frames, ignore_index=True)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(StoreAddress(f"file://{tmp_path}"))
    for part in range(2):
        put_frame(store, f"2024/01/part-{part}.parquet", panel(part))
    return store


def reconcile(store: Store, **options: Any) -> Any:
    result = gigacast.reconcile(store.address.url, **{**OPTIONS, "sums": SUMS, **options})
    assert result.failures == []
    return result


def check_sums(frame: pd.DataFrame) -> None:
    """Each sum is that of its series, at every step."""
    series = frame[frame["sum_by"].isna()]
    for label, columns in (("(total)", []), ("store", ["store"]), ("sku", ["sku"])):
        sums = frame[frame["sum_by"] == label].set_index([*columns, "timestamp"])["mean"]
        expected = series.groupby([*columns, "timestamp"])["mean"].sum()
        assert len(sums) == len(expected)
        np.testing.assert_allclose(sums.sort_index(), expected.sort_index(), rtol=1e-12)


@pytest.mark.parametrize("method", ["bottom_up", "mint_diagonal", "mint_shrink"])
def test_sums_over_the_parts_of_a_month_add_up(store: Store, method: str) -> None:
    frame = reconcile(store, method=method).to_pandas()
    assert len(frame) == 5 * (8 + 1 + 2 + 4)
    check_sums(frame)
    assert (frame["0.1"] <= frame["predictions"]).all()
    assert (frame["predictions"] <= frame["0.9"]).all()
    assert frame["fallback"].isna().all()
    has_moved = (frame["mean"] != frame["base"]).any()
    of_series = frame[frame["sum_by"].isna()]
    assert has_moved
    assert (of_series["mean"] != of_series["base"]).any() == (method != "bottom_up")


def test_bottom_up_keeps_the_forecasts_of_the_series(store: Store) -> None:
    frame = reconcile(store, method="bottom_up").to_pandas()
    plain = gigacast.forecast(store.address.url, **OPTIONS)
    assert plain.failures == []
    forecasts = gigacast.read_forecasts(store.address.url)
    keys = ["store", "sku", "timestamp"]
    both = frame[frame["sum_by"].isna()].merge(forecasts, on=keys)
    assert len(both) == 40
    for name in ("predictions", "0.1", "0.9"):
        np.testing.assert_allclose(both[f"{name}_x"], both[f"{name}_y"], rtol=1e-5)


def test_a_rerun_computes_nothing_and_a_changed_part_its_month(store: Store) -> None:
    first = reconcile(store)
    assert (first.computed, first.skipped, first.series) == (1, 0, 8)
    again = reconcile(store)
    assert (again.computed, again.skipped) == (0, 1)
    assert again.to_table().equals(first.to_table())
    put_frame(store, "2024/01/part-1.parquet", panel(1, steps=61))
    changed = reconcile(store)
    # The series of the other part end before: they are in no sum, and that is said.
    assert (changed.computed, changed.unsummed) == (1, 4)
    assert reconcile(store, method="bottom_up").computed == 1
    assert len(changed.keys) == 1
    receipts = [meta.key for page in store.list("timings/reconciled/") for meta in page]
    assert len(receipts) == 2


def test_clipped_forecasts_add_up_as_well(store: Store) -> None:
    frame = panel(0).assign(target=lambda rows: rows["target"] - 15)
    put_frame(store, "2024/01/part-0.parquet", frame)
    clipped = reconcile(store, non_negative=True).to_pandas()
    check_sums(clipped)
    assert (clipped[["mean", "0.1", "predictions"]] >= 0).all().all()


def test_the_command_says_what_it_did(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["reconcile", "--bucket", store.address.url, "--horizon", "5", "--item_columns"]
    line += ["store,sku", "--sum", "store", "--model", "seasonal-naive"]
    assert run(line) == 0
    assert "1 computed, 0 done before" in capsys.readouterr().out
    assert run([*line, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["computed"], answer["skipped"], answer["status"]) == (0, 1, "completed")
    assert answer["keys"][0].startswith("reconciled/seasonal-naive/1/h5-")


def test_series_of_one_id_have_a_total(tmp_path: Path) -> None:
    store = open_store(StoreAddress(f"file://{tmp_path}/plain"))
    frame = panel(0).assign(item_id=lambda rows: rows["sku"] + rows["store"].astype(str))
    put_frame(store, "2024/01/part-0.parquet", frame[["item_id", "timestamp", "target"]])
    frame = reconcile(store, sums=(), item_columns=None, model="seasonal-naive").to_pandas()
    assert frame["item_id"].isna().sum() == 5
    assert set(frame["sum_by"].dropna()) == {"(total)"}


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"sums": ["mood"]}, "sum: 'mood' is no column"),
        ({"integer": True}, "integer: not for sums"),
        ({"fallback": "drop"}, "fallback: not for sums"),
        ({"known_covariates": ["price"]}, "covariates: not for sums"),
        ({"method": "magic"}, "method: "),
    ],
)
def test_what_sums_cannot_keep_is_refused(
    store: Store, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        reconcile(store, **options)
