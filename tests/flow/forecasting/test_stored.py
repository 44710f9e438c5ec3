"""Finished forecasts are found, read and compared by what their metadata says, without flags."""

import io
import json
import shutil
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
from gigacast.core.footer import VerifiedParquet
from gigacast.core.time.month import IntRange, LatestMonth, Month, MonthFilter
from gigacast.errors import ConfigError, CorruptedFileError
from gigacast.forecasting.drawing import looks_of
from gigacast.forecasting.file import open_file, read_predictions
from gigacast.forecasting.read import find_generations
from gigacast.forecasting.stored import search
from gigacast.forecasting.stored.choice import read_recipe
from gigacast.forecasting.stored.recipe import RECIPE, recipe_of
from gigacast.job.forecast_job import ForecastJob, Method
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.panels import hourly_panel, put_frame, put_panels, seasonal_naive

RUNS: dict[str, dict[str, Any]] = {
    "first": {"horizon": 6},
    "weekly": {
        "freq": "W",
        "aggregate": "sum",
        "zone": "Europe/Oslo",
        "partial_bins": "keep",
        "horizon": 2,
        "item_column": "shop",
        "timestamp_column": "day",
        "targets": ["sold"],
    },
    "last": {"horizon": 5, "freq": "h", "quantiles": [0.1, 0.5, 0.9], "layout": "wide"},
}


@pytest.fixture(autouse=True)
def _no_settings_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A bucket with forecasts of two specs; tests of this fixture only read."""
    folder = tmp_path_factory.mktemp("lake")
    store = open_store(StoreAddress(f"file://{folder}"))
    put_panels(store)
    for name in ("first", "last"):
        gigacast.forecast(store.address.url, model="seasonal-naive", **RUNS[name])
    return store


def spec_of(store: Store, horizon: int) -> str:
    (spec,) = (g.spec for g in find_generations(store) if g.spec.startswith(f"h{horizon}-"))
    return spec


def output_of(
    words: list[str], store: Store, capsys: pytest.CaptureFixture[str], code: int = 0
) -> Any:
    capsys.readouterr()
    assert run([*words, "--bucket", store.address.url, "--json"]) == code
    return json.loads(capsys.readouterr().out)


# -- what is chosen --------------------------------------------------------------------------------


def test_without_flags_the_forecasts_that_were_finished_last_are_shown(
    lake: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = output_of(["show", "2024/01/part-00000"], lake, capsys)
    (series,) = shown["series"]
    assert len(series["predictions"]) == 5
    assert shown["forecasts"]["spec"] == spec_of(lake, 5)
    (former,) = shown["others"]
    assert former["spec"] == spec_of(lake, 6)
    assert former["differences"] == {
        "horizon": 6,
        "freq": None,
        "layout": "long",
        "quantiles": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
    }


def test_shown_numbers_are_those_of_the_forecasts(
    lake: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["show", "2024/01/part-00000", "--item", "0-b", "--steps", "7", "--spec", "h6"]
    (series,) = output_of(words, lake, capsys)["series"]
    stored = gigacast.read_forecasts(lake.address.url, spec="h6", items=["0-b"], months="1")
    assert series["predictions"] == [float(str(np.float32(x))) for x in stored["predictions"]]
    assert series["quantiles"]["0.2"] == [float(str(np.float32(x))) for x in stored["0.2"]]
    assert [pd.Timestamp(time) for time in series["timestamps"]] == list(stored["timestamp"])
    panel = hourly_panel("2024-01", ["0-a", "0-b", "0-c"], seed=0)
    history = panel[panel["item_id"] == "0-b"].tail(7)
    assert [pd.Timestamp(t) for t in series["context"]["timestamps"]] == list(history["timestamp"])
    np.testing.assert_allclose(series["context"]["values"], history["target"], rtol=1e-6)


@pytest.mark.parametrize("start", [slice(None), slice(0, 2), slice(6, None), slice(6, 9)])
def test_a_spec_is_named_by_the_start_of_its_id_or_digest(
    start: slice, lake: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = spec_of(lake, 6)
    words = ["show", "2024/01/part-00000", "--spec", spec[start]]
    assert output_of(words, lake, capsys)["forecasts"]["spec"] == spec
    frame = gigacast.read_forecasts(lake.address.url, spec=spec[start])
    assert frame.attrs["spec"] == spec


def test_flags_that_describe_forecasts_choose_these_as_ever(
    lake: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--model", "seasonal-naive", "--horizon", "6"]
    shown = output_of(["show", "2024/01/part-00000", *flags], lake, capsys)
    assert len(shown["series"][0]["predictions"]) == 6
    assert "forecasts" not in shown
    failure = output_of(["show", "2024/01/part-00000", "--horizon", "7"], lake, capsys, code=2)
    assert "is not forecast yet" in failure["error"]["message"]


def test_settings_of_the_environment_hold_if_forecasts_of_theirs_exist(
    lake: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIGACAST_MODEL__MODEL_PATH", "seasonal-naive")
    monkeypatch.setenv("GIGACAST_MODEL__PREDICTION_LENGTH", "6")
    words = ["show", "2024/01/part-00000"]
    assert len(output_of(words, lake, capsys)["series"][0]["predictions"]) == 6
    monkeypatch.setenv("GIGACAST_MODEL__PREDICTION_LENGTH", "7")
    assert len(output_of(words, lake, capsys)["series"][0]["predictions"]) == 5


def test_settings_without_a_horizon_mean_the_latest_forecasts_that_they_describe(
    lake: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIGACAST_MODEL__MODEL_PATH", "seasonal-naive")
    shown = output_of(["show", "2024/01/part-00000"], lake, capsys)
    assert shown["forecasts"]["spec"] == spec_of(lake, 6)


def test_a_spec_beside_flags_that_describe_another_is_refused(
    lake: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["show", "2024/01/part-00000", "--spec", "h6", "--horizon", "5"]
    failure = output_of(words, lake, capsys, code=2)
    assert "--horizon describes some" in failure["error"]["message"]


def test_a_spec_that_is_not_there_or_is_several_is_refused_with_their_names(
    lake: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["show", "2024/01/part-00000", "--spec"]
    missing = output_of([*words, "h9"], lake, capsys, code=2)["error"]["message"]
    several = output_of([*words, "h"], lake, capsys, code=2)["error"]["message"]
    for message in (missing, several):
        assert spec_of(lake, 5) in message
        assert spec_of(lake, 6) in message


def test_others_are_said_on_stderr(lake: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", "2024/01/part-00000", "--bucket", lake.address.url]) == 0
    out, err = capsys.readouterr()
    assert f"{spec_of(lake, 6)}: " in err
    assert "horizon 6" in err
    assert "context" in out


# -- recipes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*RUNS])
def test_a_recipe_is_the_job_that_was_run(name: str, tmp_path: Path) -> None:
    store = open_store(StoreAddress(f"file://{tmp_path}"))
    days = pd.date_range("2024-01-01", periods=60)
    rows = {"shop": ["n"] * 60, "day": days, "sold": range(60)}
    panel = pd.DataFrame(rows) if name == "weekly" else hourly_panel()
    put_frame(store, "2024/01/part-0.parquet", panel)
    options = {**RUNS[name], "model": "seasonal-naive"}
    report = gigacast.plan(store.address.url, **options)
    gigacast.forecast(store.address.url, **options)
    (generation,) = find_generations(store)
    recipe = read_recipe(store, generation)
    assert recipe is not None
    plain = ForecastJob(store.address, store.address, store.address)
    prepared = recipe.prepared(plain)
    described = report.prepared.job.method
    # The length of the context is the one that takes effect, and within the trained horizon
    # nothing is done beyond it.
    assert prepared.job.method.context_length == report.prepared.info.context_length
    effective = {"context_length": None, "long_horizon": "stock"}
    assert {**vars(prepared.job.method), **effective} == {**vars(described), **effective}
    assert prepared.spec.id(recipe.horizon) == generation.spec


def test_metadata_of_another_spec_is_refused(lake: Store) -> None:
    generation = find_generations(lake)[0]
    pages = lake.list(f"forecasts/seasonal-naive/1/{generation.spec}/2024/")
    key = next(entry.key for page in pages for entry in page)
    metadata = pq.read_schema(io.BytesIO(lake.get(key))).metadata
    changed = metadata[RECIPE.encode()].replace(b'"h"', b'"D"')
    assert changed != metadata[RECIPE.encode()]
    with pytest.raises(CorruptedFileError, match="describes other settings"):
        recipe_of({RECIPE.encode(): changed}, generation.spec, key)
    with pytest.raises(CorruptedFileError):
        recipe_of({RECIPE.encode(): b"[]"}, generation.spec, key)
    assert recipe_of({}, generation.spec, key) is None


def test_a_recipe_leads_to_its_inputs_but_never_out_of_the_bucket(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = open_store(StoreAddress(f"file://{tmp_path}"))
    put_frame(store, "sales/clean/2024/01/part-0.parquet", hourly_panel())
    place = ["--bucket", store.address.url, "--prefix", "sales"]
    flags = ["--model", "seasonal-naive", "--horizon", "3", "--quiet"]
    assert run(["forecast", *place, *flags, "--input_prefix", "clean"]) == 0
    assert run(["show", "a", *place]) == 0
    outside = StoreAddress(f"file://{tmp_path}/other")
    job = ForecastJob(outside, outside, outside)
    sales = open_store(StoreAddress(f"file://{tmp_path}/sales"))
    recipe = read_recipe(sales, find_generations(sales)[0])
    assert recipe is not None
    assert recipe.input_root == "clean"
    for root in ("../clean", "s3://elsewhere/clean", "/../x"):
        bad = type(recipe)(
            **{n: getattr(recipe, n) for n in recipe.__slots__} | {"input_root": root}
        )
        with pytest.raises(ConfigError, match="outside of this bucket"):
            bad.job(job)


def test_the_settings_of_forecasts_name_the_place_of_inputs_only_where_it_is_another(
    lake: Store,
) -> None:
    recipe = read_recipe(lake, find_generations(lake)[0])
    assert recipe is not None
    assert "input_prefix" not in recipe.flags
    assert replace(recipe, input_root="clean").flags["input_prefix"] == "clean"


# -- items and names -------------------------------------------------------------------------------


def test_an_item_finds_its_newest_partition(
    lake: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = output_of(["show", "1-b"], lake, capsys)
    (series,) = shown["series"]
    assert series["item_id"] == "1-b"
    assert series["timestamps"][0].startswith("2024-02-04")


def test_a_misspelt_item_is_answered_with_those_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = open_store(StoreAddress(f"file://{tmp_path}"))
    put_frame(store, "2024/01/part-0.parquet", hourly_panel(items=["kitchen", "garden"]))
    gigacast.forecast(store.address.url, model="seasonal-naive", horizon=3)
    error = output_of(["show", "kitchn"], store, capsys, code=2)["error"]
    assert error["hint"] == "did you mean kitchen?"
    error = output_of(["show", "2024/01/part-0", "--item", "gardn"], store, capsys, code=2)["error"]
    assert error["hint"] == "did you mean garden?"


def test_the_search_for_an_item_has_a_bound_and_says_so(
    lake: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(search, "MOST_FOOTERS", 2)
    error = output_of(["show", "no-such"], lake, capsys, code=2)["error"]
    assert "in the 2 partitions of 4 that were looked at" in error["message"]


def test_items_are_found_by_bounds_without_reading_other_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(StoreAddress(f"file://{tmp_path}"))
    for part in range(6):
        items = [f"{part}{letter}" for letter in "abc"]
        put_frame(store, f"2024/01/part-{part}.parquet", hourly_panel(items=items))
    gigacast.forecast(store.address.url, model="seasonal-naive", horizon=3)
    (generation,) = find_generations(store)
    reads: list[list[int]] = []
    reading = VerifiedParquet.read_row_groups

    def counted(self: VerifiedParquet, row_groups: list[int], **options: Any) -> Any:
        reads.append(row_groups)
        return reading(self, row_groups, **options)

    monkeypatch.setattr(VerifiedParquet, "read_row_groups", counted)
    assert search.partition_of_item(store, generation, "4b") == "2024/01/part-4"
    assert reads == [[0]]


@pytest.mark.parametrize(("count", "groups"), [(1, 1), (2, 1), (3, 2), (9, 3)])
def test_row_groups_are_read_until_there_are_enough_names(
    count: int, groups: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(StoreAddress(f"file://{tmp_path}"))
    content = io.BytesIO()
    table = pa.table({"item_id": ["a", "b", "c", "d", "e", "f"]})
    pq.write_table(table, content, row_group_size=2)
    etag = store.put("part.parquet", content.getvalue())
    reads: list[list[int]] = []
    reading = VerifiedParquet.read_row_groups

    def counted(self: VerifiedParquet, row_groups: list[int], **options: Any) -> Any:
        reads.append(row_groups)
        return reading(self, row_groups, **options)

    monkeypatch.setattr(VerifiedParquet, "read_row_groups", counted)
    names = search.names_of_items(store, {"key": "part.parquet", "etag": etag}, count)
    assert names == ["a", "b", "c", "d", "e", "f"][:count]
    assert reads == [[number] for number in range(groups)]


# -- lists -----------------------------------------------------------------------------------------


def test_ls_lists_specs_versions_partitions_and_items(
    lake: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    specs = output_of(["ls"], lake, capsys)
    assert [entry["spec"][:2] for entry in specs["specs"]] == ["h5", "h6"]
    assert [entry["rows"] for entry in specs["specs"]] == [12, 72]
    assert specs["total"] == 2
    (version,) = output_of(["ls", "versions"], lake, capsys)["versions"]
    assert (version["model"], version["version"], version["specs"]) == ("seasonal-naive", "1", 2)
    parts = output_of(["ls", "partitions", "--count", "1"], lake, capsys)
    assert parts["total"] == 4
    assert [entry["partition"] for entry in parts["partitions"]] == ["2024/02/part-00000"]
    items = output_of(["ls", "items", "2024/01/part-00001", "--like", "c"], lake, capsys)
    assert [entry["item"] for entry in items["items"]] == ["1-c"]


def test_ls_prints_tables(lake: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for kind in ("specs", "versions", "partitions", "items"):
        assert run(["ls", kind, "--bucket", lake.address.url, "--count", "2"]) == 0
        out = capsys.readouterr().out
        assert out.count("\n") >= 3


def test_ls_of_nothing_says_what_is_missing(
    tmp_path: Path, lake: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = open_store(StoreAddress(f"file://{tmp_path}"))
    assert "no finished forecasts" in output_of(["ls"], empty, capsys, 2)["error"]["message"]
    error = output_of(["ls", "items", "2024/01/part-7"], lake, capsys, 2)["error"]
    assert "no partition 2024/01/part-7" in error["message"]


# -- months ----------------------------------------------------------------------------------------


def test_the_latest_month_is_the_newest_of_the_input(
    lake: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--model", "seasonal-naive", "--horizon", "4", "--months", "latest"]
    tasks = output_of(["plan", *flags], lake, capsys)["tasks"]
    assert [task["partition"] for task in tasks] == ["2024/02/part-00000", "2024/02/part-00001"]
    frame = gigacast.read_forecasts(lake.address.url, months="latest")
    assert set(frame["item_id"]) == {f"{part}-{letter}" for part in "01" for letter in "abc"}
    listed = output_of(["ls", "partitions", "--months", "latest"], lake, capsys)["partitions"]
    assert {entry["partition"][:7] for entry in listed} == {"2024/02"}
    quality = output_of(["data", "quality", "--months", "latest"], lake, capsys)
    assert "2024/01" not in json.dumps(quality)


def test_the_latest_month_of_a_year_is_within_it() -> None:
    months = [Month(2023, 11), Month(2024, 2), Month(2023, 4)]
    year = LatestMonth(IntRange(2023, 2023)).among(months)
    assert [month for month in months if month in year] == [Month(2023, 11)]
    assert not any(month in LatestMonth().among([]) for month in months)
    with pytest.raises(ConfigError, match="latest month"):
        _ = months[0] in LatestMonth()
    assert str(MonthFilter()) == "MonthFilter(years=None, months=None)"


# -- commands that compute, compare and delete -----------------------------------------------------


def test_verify_needs_no_flags(lake: Store, capsys: pytest.CaptureFixture[str]) -> None:
    report = output_of(["verify", "--partitions", "1", "--series", "2"], lake, capsys)
    assert (report["series"], report["differences"]) == (2, [])
    assert report["forecasts"]["settings"]["horizon"] == 5


def test_evaluate_reads_actuals_by_the_columns_that_the_forecasts_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = open_store(StoreAddress(f"file://{tmp_path}"))
    for month in ("2024-01", "2024-02"):
        panel = hourly_panel(month, steps=24 * 31 if month.endswith("1") else 48)
        panel.columns = pd.Index(["meter", "read_at", "kwh"])
        panel["noise"] = 1.0
        put_frame(store, f"{month.replace('-', '/')}/part-0.parquet", panel)
    columns = {"item_column": "meter", "timestamp_column": "read_at", "targets": ["kwh"]}
    for horizon in (4, 8):
        gigacast.forecast(store.address.url, model="seasonal-naive", horizon=horizon, **columns)
    both = output_of(["evaluate"], store, capsys)
    single = output_of(["evaluate", "--spec", "h4"], store, capsys)
    assert (both["steps"], both["matched"]) == (2 * 3 * 12, 3 * 12)
    assert (single["steps"], single["matched"]) == (2 * 3 * 4, 3 * 4)
    named = ["--item_column", "meter", "--timestamp_column", "read_at", "--targets", "kwh"]
    assert output_of(["evaluate", "--spec", "h4", *named], store, capsys) == single


def test_prune_keeps_the_latest_forecasts_and_those_of_other_horizons(
    lake: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(Path(lake.address.url.removeprefix("file://")), tmp_path / "copy")
    store = open_store(StoreAddress(f"file://{tmp_path}/copy"))
    gigacast.forecast(
        store.address.url,
        model="seasonal-naive",
        **{**RUNS["last"], "horizon": 3},  # type: ignore[arg-type]
    )
    shown = output_of(["prune", "--old_specs"], store, capsys)
    assert shown["forecasts"]["spec"] == spec_of(store, 3)
    assert [folder.split("/")[3][:2] for folder in shown["old_specs"]] == ["h6"]
    before = gigacast.read_forecasts(store.address.url, spec="h5")
    output_of(["prune", "--old_specs", "--yes"], store, capsys)
    pd.testing.assert_frame_equal(gigacast.read_forecasts(store.address.url, spec="h5"), before)
    assert [g.spec[:2] for g in find_generations(store)] == ["h3", "h5"]


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "parquet", "json"])
def test_a_file_is_drawn_with_its_forecasts_in_another(
    ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    panel = hourly_panel(items=["a"], steps=60)
    panel.head(48).to_csv(tmp_path / "past.csv", index=False)
    panel.to_csv(tmp_path / "all.csv", index=False)
    out, picture = tmp_path / f"out.{ending}", tmp_path / "a.png"
    flags = ["--model", "seasonal-naive", "--horizon", "6", "--quiet"]
    assert run(["forecast", str(tmp_path / "past.csv"), "--output", str(out), *flags]) == 0
    capsys.readouterr()
    words = ["plot", str(tmp_path / "all.csv"), str(out), "--output", str(picture), "--json"]
    assert run(words) == 0
    assert json.loads(capsys.readouterr().out)["series"] == [["a", "target"]]
    source = open_file(str(tmp_path / "all.csv"))
    (look,) = looks_of(source, read_predictions(str(out)), Method(), steps=9)
    np.testing.assert_allclose(look.actuals, panel["target"][48:54], rtol=1e-6)
    np.testing.assert_allclose(look.context, panel["target"][39:48], rtol=1e-6)
    oracle = seasonal_naive(panel.head(48), 6)
    np.testing.assert_allclose(look.median, oracle["predictions"], rtol=1e-6)
    assert list(look.times) == list(oracle["timestamp"].to_numpy())


def test_a_file_alone_is_forecast_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hourly_panel(items=["a", "b"], steps=48).to_csv(tmp_path / "past.csv", index=False)
    picture = tmp_path / "a.png"
    flags = ["--model", "seasonal-naive", "--horizon", "6", "--count", "2"]
    words = ["plot", str(tmp_path / "past.csv"), *flags, "--output", str(picture), "--json"]
    assert run(words) == 0
    content = json.loads(capsys.readouterr().out)
    assert content == {"output": str(picture), "series": [["a", "target"], ["b", "target"]]}
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_file_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plot", "meters.csv"]) == 2
    assert "meters.csv" in capsys.readouterr().err
