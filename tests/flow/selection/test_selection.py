"""Selections: from a bucket's past to a portfolio that any job takes as its model."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gigacast
from gigacast.cli.program import run
from gigacast.errors import ConfigError, DataNotFoundError, ModelIntegrityError, ModelNotFoundError
from gigacast.forecasters.portfolio.recipe import Member, Portfolio
from gigacast.lake.model.resolve import resolve_model
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.panels import put_frame

NANO = "gigacast-bolt-nano"
WEIGHTS = Path(gigacast.__file__).parent / "forecasters" / "weights" / NANO
HOW = ["--horizon", "6", "--quantiles", "0.1,0.5,0.9", "--model_engine", "numpy"]
OPTIONS: dict[str, Any] = {
    "horizon": 6,
    "quantiles": (0.1, 0.5, 0.9),
    "model_engine": "numpy",
}


def panel(steps: int, part: int = 0) -> pd.DataFrame:
    """Half of the items repeat a week exactly, which seasonal naive knows best; half grow."""
    frames = []
    for n in range(6):
        rng = np.random.default_rng([part, n])
        noise = rng.normal(0, 0.3, 200)
        week = np.resize(rng.integers(0, 60, 7), 200)
        values = week + 0.02 * noise if n % 2 else 10 + 0.5 * np.arange(200) + noise
        times = pd.date_range("2024-01-01", periods=steps, freq="D")
        kind = "week" if n % 2 else "trend"
        frames.append(
            pd.DataFrame(
                {
                    "item_id": f"{part}-{n}",
                    "kind": kind,
                    "timestamp": times,
                    "target": values[:steps],
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def fill(store: Store, steps: int = 60, parts: int = 2) -> Store:
    for part in range(parts):
        put_frame(store, f"2024/01/part-{part}.parquet", panel(steps, part))
    return store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return fill(open_store(StoreAddress(f"file://{tmp_path}")))


@pytest.fixture
def capture(capsys: pytest.CaptureFixture[str]) -> pytest.CaptureFixture[str]:
    return capsys


def select(store: Store, capture: Any, *words: str, code: int = 0) -> Any:
    models = [] if "--refresh" in words or "--model" in words else ["--model", NANO]
    line = ["models", "select", "mix", "--bucket", store.address.url, *HOW, *models, *words]
    capture.readouterr()
    assert run([*line, "--json"]) == code
    return json.loads(capture.readouterr().out)


def forecast(store: Store, model: str) -> pd.DataFrame:
    run_result = gigacast.forecast(store.address.url, model=model, **OPTIONS)
    assert run_result.failures == []
    frame = gigacast.read_forecasts(store.address.url, model=model)
    return frame.sort_values(["item_id", "timestamp"]).reset_index(drop=True)


def evidence(store: Store, model: str = "seasonal-naive") -> pd.DataFrame:
    keys = [
        meta.key
        for page in store.list(f"backtests/{model}/")
        for meta in page
        if meta.key.endswith(".parquet")
    ]
    return pd.concat([pq.read_table(pa.BufferReader(store.get(k))).to_pandas() for k in keys])


def test_each_series_is_forecast_by_the_model_that_was_selected_for_it(
    store: Store, capture: Any
) -> None:
    chosen = select(store, capture)
    assert (chosen["status"], chosen["series"], chosen["active"]) == ("completed", 12, True)
    assert chosen["own"] in {6, 12 - 6}
    portfolio, single = chosen["ahead"]
    assert portfolio < single
    mixed, naive, nano = (forecast(store, model) for model in ("mix", "seasonal-naive", NANO))
    numbers = ["predictions", "0.1", "0.5", "0.9"]
    choices = pq.read_table(
        pa.BufferReader(store.get(f"models/mix/{chosen['version']}/choices.parquet"))
    ).to_pandas()
    recipe = json.loads(store.get(f"models/mix/{chosen['version']}/portfolio.json"))
    names = [member["name"] for member in recipe["members"]]
    assert len(choices) == 12
    for row in choices.itertuples():
        name = names[int(np.argmax(recipe["mixtures"][row.mixture]))]
        alone = naive if name == "seasonal-naive" else nano
        rows = mixed["item_id"] == row.item_id
        # But for rounding, as the batches of the model have other series.
        np.testing.assert_allclose(mixed.loc[rows, numbers], alone.loc[rows, numbers], rtol=1e-6)
        if row.item_id.endswith(("1", "3", "5")):
            assert name == "seasonal-naive"


def test_a_rerun_computes_nothing_and_publishes_the_same_version(
    store: Store, capture: Any
) -> None:
    first = select(store, capture)
    again = select(store, capture)
    assert (first["computed"], first["skipped"]) == (4, 0)
    assert (again["computed"], again["skipped"], again["new"]) == (0, 4, False)
    assert again["version"] == first["version"]
    # One more candidate costs only its own forecasts, another rule nothing.
    more = select(store, capture, "--model", NANO, "--model", f"{NANO}+flip")
    assert (more["computed"], more["skipped"]) == (2, 4)
    by_segment = select(
        store, capture, "--segment", "column:kind", "--method", "ensemble", "--evidence", "1"
    )
    assert by_segment["computed"] == 0
    units = {unit["unit"]: unit for unit in by_segment["units"]}
    assert set(units) == {"week", "trend"}
    assert "seasonal-naive" in units["week"]["model"]


def test_forecasts_of_a_portfolio_stay_done_until_another_version_is_active(
    store: Store, capture: Any
) -> None:
    select(store, capture)
    forecast(store, "mix")
    again = gigacast.forecast(store.address.url, model="mix", **OPTIONS)
    assert again.plan.totals.pending == 0
    by_one = select(store, capture, "--segment", "all")
    assert by_one["version"] != select(store, capture)["version"]
    assert by_one["active"] is False
    assert gigacast.forecast(store.address.url, model="mix", **OPTIONS).plan.totals.pending == 0
    assert select(store, capture, "--segment", "all", "--switch")["active"] is True
    pending = gigacast.forecast(store.address.url, model="mix", dry_run=True, **OPTIONS)
    assert pending.plan.totals.pending == 2


def test_series_that_came_after_the_selection_get_the_fallback_and_are_counted(
    store: Store, capture: Any, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = select(store, capture)
    put_frame(store, "2024/01/part-2.parquet", panel(60, part=7))
    run_result = gigacast.forecast(store.address.url, model="mix", **OPTIONS)
    assert run_result.totals.repairs["not_selected"] == 6
    frame = gigacast.forecast(panel(60, part=7), model="mix", bucket=store.address.url, **OPTIONS)
    assert len(frame) == 36
    assert "no model was selected for 6" in caplog.text
    fallback = forecast(store, NANO if chosen["fallback"].startswith(NANO) else "seasonal-naive")
    mixed = forecast(store, "mix")
    rows = mixed["item_id"].str.startswith("7-")
    np.testing.assert_array_equal(mixed.loc[rows, "0.9"], fallback.loc[rows, "0.9"])


def test_a_refresh_judges_only_origins_that_have_come_since(store: Store, capture: Any) -> None:
    select(store, capture, "--windows", "4")
    before = evidence(store)
    fill(store, steps=60 + 13)
    fresh = select(store, capture, "--refresh")
    after = evidence(store)
    origins = before.groupby("item_id")["origin"].apply(set)
    for item, times in after.groupby("item_id")["origin"]:
        # Two horizons have passed: two new origins, in place of the two oldest.
        assert len(times) == 4
        assert sorted(set(times) - origins[item]) == sorted(times)[-2:]
        assert (np.diff(sorted(times)) == np.timedelta64(6, "D")).all()
    shared_rows = after.merge(before, on=["item_id", "origin"])
    assert len(shared_rows) == 24
    assert (shared_rows["loss_0.5_x"] == shared_rows["loss_0.5_y"]).all()
    assert fresh["computed"] == 4
    # What is judged anew has the losses that it would have had at any time.
    select(store, capture, "--windows", "4", "--overwrite")
    scratch = evidence(store)
    shared = after.merge(scratch, on=["item_id", "origin"])
    np.testing.assert_allclose(shared["loss_0.5_x"], shared["loss_0.5_y"])


def test_a_refresh_without_new_origins_keeps_the_evidence_and_drops_series_that_left(
    store: Store, capture: Any
) -> None:
    select(store, capture, "--windows", "3")
    frame = panel(60 + 2)
    put_frame(store, "2024/01/part-0.parquet", frame[frame["item_id"] != "0-3"])
    before = evidence(store)
    select(store, capture, "--refresh")
    after = evidence(store)
    assert len(after) == len(before) - 3
    assert "0-3" not in set(after["item_id"])


def test_a_portfolio_is_one_of_the_models_of_every_job(store: Store, capture: Any) -> None:
    select(store, capture)
    place = ["--bucket", store.address.url]
    forecast(store, "mix")
    capture.readouterr()
    assert run(["verify", *place, "--model", "mix", *HOW, "--series", "2"]) == 0
    assert "the same forecaster" in capture.readouterr().out
    board = gigacast.backtest(
        store.address.url, models=["mix", NANO], windows=2, **OPTIONS
    ).leaderboard
    assert board.standings[0].model.startswith("mix/")
    fill(store, steps=66)
    assert gigacast.evaluate(store.address.url, model="mix").matched == 72
    assert run(["models", "verify", "mix", *place]) == 0
    archive = store.address.url.removeprefix("file://") + "/mix.tar"
    assert run(["models", "backup", archive, "mix", *place]) == 0
    assert run(["models", "show", "mix", *place]) == 0
    assert "selected by a backtest" in capture.readouterr().out
    with pytest.raises(ConfigError, match="is a portfolio"):
        gigacast.forecast(store.address.url, model="mix", enhance="flip", **OPTIONS)


def test_models_of_a_portfolio_are_found_by_any_machine(store: Store, capture: Any) -> None:
    place = ["--bucket", store.address.url]
    # A folder of this machine is nothing that another could find.
    capture.readouterr()
    assert run(["models", "select", "x", *place, *HOW, "--model", str(WEIGHTS)]) == 2
    assert "publish it first" in capture.readouterr().err
    for file in WEIGHTS.iterdir():
        if file.suffix in {".json", ".safetensors"}:
            store.put(f"models/own/v1/{file.name}", file.read_bytes())
    chosen = select(store, capture, "--model", "own/v1")
    key = f"models/mix/{chosen['version']}/portfolio.json"
    members = json.loads(store.get(key))["members"]
    assert ("own", "v1") in [(member["reference"], member["version"]) for member in members]
    assert len(forecast(store, "mix")) == 72


@pytest.mark.parametrize(
    ("change", "kind", "problem"),
    [
        ({"digest": "0" * 64}, ModelIntegrityError, "it was chosen with 000000000000"),
        ({"reference": "hand", "version": "v1"}, ModelIntegrityError, "is a portfolio itself"),
        ({"reference": "nowhere", "version": "v1"}, ModelNotFoundError, "no model 'nowhere'"),
    ],
)
def test_a_model_that_is_gone_or_another_is_refused(
    tmp_path: Path, change: dict[str, str], kind: type[Exception], problem: str
) -> None:
    store = open_store(StoreAddress(f"file://{tmp_path}"))
    member = Member("seasonal-naive", "seasonal-naive", "1", "seasonal-naive-1")
    for recipe in (member, replace(member, **change)):  # type: ignore[arg-type]
        # Put by hand: without a manifest a version is pinned by its ETags.
        content = Portfolio(6, (recipe,), ((1.0,),)).to_bytes()
        store.put("models/hand/v1/portfolio.json", content)
        if recipe == member:
            assert resolve_model("hand/v1", store).members[0].digest == "seasonal-naive-1"
    with pytest.raises(kind, match=problem):
        resolve_model("hand/v1", store)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--segment", "series", "--method", "ensemble"], "too little evidence"),
        (["--segment", "window"], "is in no window"),
        (["--segment", "mood"], "is unknown"),
        (["--least_windows", "9"], "of 4 windows"),
        (["--margin", "-1"], "is less than 0"),
        (["--model", "seasonal-naive"], "leaves nothing to choose"),
        (["--model", "nowhere"], "no model 'nowhere'"),
        (["--refresh"], "there is no portfolio"),
        (["--refresh", "--windows", "2"], "a refresh takes it"),
    ],
)
def test_what_cannot_be_selected_is_refused(
    store: Store, capture: pytest.CaptureFixture[str], words: list[str], problem: str
) -> None:
    answer = select(store, capture, *words, code=2)
    assert problem in answer["error"]["message"]


def test_names_of_the_package_stay_its_own(store: Store, capture: Any) -> None:
    line = ["models", "select", NANO, "--bucket", store.address.url, *HOW]
    assert run(line) == 2
    assert "always means a model of the package" in capture.readouterr().err


def test_too_short_series_leave_nothing_to_select(tmp_path: Path, capture: Any) -> None:
    short = fill(open_store(StoreAddress(f"file://{tmp_path}/x")), steps=6)
    answer = select(short, capture, code=2)
    assert answer["error"]["kind"] == DataNotFoundError.__name__


def test_a_selection_shows_its_choices_as_text_and_as_a_page(store: Store, capture: Any) -> None:
    line = ["models", "select", "mix", "--bucket", store.address.url, *HOW, "--model", NANO]
    assert run([*line, "--report", "--segment", "frequency"]) == 0
    out = capture.readouterr().out
    for text in ("Candidates, by SQL", "Chosen", "fallback", "published"):
        assert text in out
    pages = [meta.key for page in store.list("reports/") for meta in page]
    assert any(key.startswith("reports/selection_select-mix-") for key in pages)
    endings = {
        meta.key.rpartition(".")[2]
        for page in store.list("backtests/_leaderboards/select-mix-")
        for meta in page
    }
    assert endings == {"md", "json", "parquet"}
