"""An incremental run gives the bytes of one that computes everything, and computes what changed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gigacast
from gigacast.cli.program import run
from tests.flow.forecasting.refresh.lake import BASE, EDITS, Lake, late_row, make_series
from tests.support.tiny_models import session_folder, tiny_chronos2

NANO: dict[str, Any] = {"model": "gigacast-bolt-nano", "horizon": 3}
WAYS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "wide, dropped": {
        "layout": "wide",
        "fallback": "drop",
        "min_length": 6,
        "quantiles": [0.1, 0.9],
        "mean": True,
    },
    "lean": NANO,
    "numpy, unrolled": {**NANO, "model_engine": "numpy", "horizon": 70, "layout": "wide"},
}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.mark.parametrize("way", ["baseline", "wide, dropped"])
def test_after_any_changes_the_files_are_those_of_a_full_run(lake: Lake, way: str) -> None:
    options, rng = WAYS[way], np.random.default_rng(7)
    series = make_series()
    lake.write(series)
    assert lake.forecast(**options).kept == 0
    for edit in EDITS:
        former, series = series, edit(series, rng)
        lake.write(series)
        totals = lake.forecast(**options)
        unchanged = sum(
            name in former and frame.equals(former[name]) for name, frame in series.items()
        )
        # Items move from part to part where one before them is gone.
        assert 0 < (totals.kept or 0) <= unchanged
        assert edit is EDITS[2] or totals.kept == unchanged
        assert lake.files() == lake.made_anew(**options)


@pytest.mark.parametrize("way", ["lean", "numpy, unrolled"])
def test_networks_compute_no_series_that_did_not_change(lake: Lake, way: str) -> None:
    """Their rounding depends on the shape of a call, so that calls of one length have one shape."""
    options, rng = WAYS[way], np.random.default_rng(7)
    former = series = make_series()
    lake.write(series)
    lake.forecast(**options)
    for edit in EDITS:
        series = edit(series, rng)
    lake.write(series)
    count = lake.forecast(**options).kept or 0
    assert 0 < count <= sum(name in former and f.equals(former[name]) for name, f in series.items())
    assert lake.files() == lake.made_anew(**options)


def test_covariates_and_joint_targets_are_part_of_a_history(
    lake: Lake, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model = str(tiny_chronos2(session_folder(tmp_path_factory)))
    options = {"model": model, "past_covariates": ["price"], "joint_targets": True}
    series = {n: f for n, f in make_series(12).items() if len(f) > 9}
    for frame in series.values():
        frame["other"] = frame["target"] ** 2
    options |= {"targets": ["target", "other"]}
    lake.write(series)
    lake.forecast(**options)
    name = min(series)
    series = {**series, name: series[name].assign(price=1.5)}
    name = max(series)
    series = {**series, name: series[name].assign(other=1.5)}
    lake.write(series)
    # Both targets of an item are computed: they are forecast together.
    assert lake.forecast(**options).kept == 2 * (len(series) - 2)
    assert lake.files() == lake.made_anew(**options)


@pytest.mark.parametrize(
    "change",
    [
        {"horizon": 4},
        {"model": "gigacast-bolt-nano"},
        {"quantiles": [0.2, 0.5]},
        {"overwrite": True},
        {"batch_size": 7},
    ],
    ids=str,
)
def test_with_another_spec_model_or_size_everything_is_computed(
    lake: Lake, change: dict[str, Any]
) -> None:
    series = make_series()
    lake.write(series)
    lake.forecast()
    lake.write(late_row(series, np.random.default_rng(0)))
    assert lake.forecast(**change).kept == 0
    assert lake.files().items() >= lake.made_anew(**change).items()


def test_ids_of_another_type_are_other_items(lake: Lake) -> None:
    series = {str(n): frame for n, frame in enumerate(make_series().values())}
    lake.write(series)
    lake.forecast()
    lake.write(series, cast={"item_id": "int64"})
    assert lake.forecast().kept == 0
    lake.write(series, cast={"item_id": "int64", "target": "float32"})
    assert (lake.forecast().kept or 0) > 0  # the same numbers, as the model sees them
    assert lake.files() == lake.made_anew()


def test_the_order_of_rows_changes_nothing(lake: Lake) -> None:
    series = make_series()
    lake.write(series)
    lake.forecast()
    lake.write(series, shuffle=True)
    assert lake.forecast().kept == len(series)
    assert lake.files() == lake.made_anew()


def test_receipts_audit_and_summary_count_both(lake: Lake) -> None:
    series = make_series()
    lake.write(series)
    lake.forecast()
    lake.write(late_row(series, np.random.default_rng(0)))
    finished = gigacast.forecast(lake.folder, **BASE)
    unchanged = len(series) - 3
    receipts = [json.loads(p.read_text()) for p in lake.folder.glob("timings/**/*.json")]
    assert sum(receipt["kept"] for receipt in receipts) == unchanged
    audit = json.loads((lake.folder / f"audit/{finished.run_id}.json").read_text())
    assert (audit["totals"]["series"], audit["totals"]["kept"]) == (len(series), unchanged)


def test_means_are_kept_and_what_is_counted_of_computed_series_too(lake: Lake) -> None:
    options = {**NANO, "model_engine": "numpy", "mean": True, "enhance": "trend"}
    series = make_series(6)
    short = min(series, key=lambda name: len(series[name]))
    lake.write({**series, short: series[short][:3]})
    lake.forecast(**options)
    changed = {**series, short: series[short][:3].assign(target=[1.0, 2.0, 4.0])}
    lake.write(changed)
    totals = lake.forecast(**options)
    assert (totals.kept, totals.repairs["not_enhanced"]) == (5, 1)
    assert lake.files() == lake.made_anew(**options)


@pytest.mark.parametrize("layout", ["long", "wide"])
def test_series_beside_large_numbers_are_kept_and_so_are_these(lake: Lake, layout: str) -> None:
    series = make_series(6)
    first, second, *_ = sorted(series, key=lambda name: -len(series[name]))
    series[first] = series[first].assign(target=1.7e9 + np.arange(len(series[first])) / 4)
    lake.write(series)
    lake.forecast(layout=layout, mean=True)
    lake.write({**series, second: series[second].assign(target=1.5)})
    assert lake.forecast(layout=layout, mean=True).kept == 5
    assert lake.files() == lake.made_anew(layout=layout, mean=True)


def test_whoever_does_not_ask_for_it_has_nothing_of_it(lake: Lake) -> None:
    lake.write(make_series())
    finished = gigacast.forecast(lake.folder, **{**BASE, "incremental": False})
    assert not (lake.folder / "digests").exists()
    for path in (
        *lake.folder.glob("timings/**/*.json"),
        lake.folder / f"audit/{finished.run_id}.json",
    ):
        assert '"kept"' not in path.read_text()


def test_former_forecasts_are_kept_as_origins(lake: Lake) -> None:
    series = make_series()
    days = []
    for night in range(3):
        moved = {
            n: f.assign(timestamp=f["timestamp"] + pd.Timedelta(days=night))
            for n, f in series.items()
        }
        lake.write(moved)
        lake.forecast()
        days.append(lake.files())
    origins = [path.read_bytes() for path in lake.folder.glob("origins/**/2024-*.parquet")]
    assert sorted(origins) == sorted([*days[0].values(), *days[1].values()])


def test_digests_go_with_their_forecasts(lake: Lake) -> None:
    lake.write(make_series())
    lake.forecast()
    lake.forecast(quantiles=[0.5])
    (lake.folder / "2024/03/part-1.parquet").unlink()
    flags = ["--model", "seasonal-naive", "--horizon", "3", "--old_specs", "--yes"]
    assert run(["prune", "--bucket", lake.folder.as_uri(), *flags]) == 0
    assert len(list(lake.paths("digests"))) == len(list(lake.paths("forecasts"))) == 1
