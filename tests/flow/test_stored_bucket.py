"""What an earlier release has stored is skipped whole, read whole, and named the same."""

import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from gigacast import ModelManager, ParquetDataLoader
from gigacast.datasets import read_partitioned_dataset
from gigacast.feature_sets import read_feature_set
from gigacast.lake.dataset.manifest import parse_dataset_manifest
from gigacast.lake.dataset.metadata import describe_manifest, metadata_bytes, parse_metadata
from gigacast.lake.model.active import parse_active
from gigacast.lake.model.manifest import parse_manifest
from gigacast.lake.plan.audit import Audit
from gigacast.lake.plan.manifest import decode_table, encode_table
from gigacast.lake.plan.receipt import Receipt
from gigacast.quality.measures import PartitionQuality
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from tests.support.stored_bucket import (
    BACKTEST,
    CLEAN,
    COVARIATES,
    DATASETS,
    EVALUATE,
    FEATURES,
    FOLDER,
    FORECASTS,
    GROUPED_SPECS,
    LOADER_CONFIG,
    MTIMES,
    OBJECTS,
    QUALITY,
    READINGS,
    RECIPE,
    SPECS,
    STORED_URL,
    command_json,
    command_output,
    content_of,
    expected,
    files_in,
    grouped_spec,
    numbers_of,
    placeless,
    restore_folder,
    rows_of,
    specs_of,
)

EXPECTED = expected()
ALL_FORECASTS = {**FORECASTS, "covariates": COVARIATES}
BY_CHRONOS = pytest.mark.skipif(
    version("chronos-forecasting") != EXPECTED["chronos"],
    reason="the version of chronos is in the spec",
)
MARKED = [
    pytest.param(name, marks=BY_CHRONOS if name == "covariates" else ()) for name in ALL_FORECASTS
]


@pytest.fixture(autouse=True)
def _no_settings_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture(scope="session")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The bucket's URL, for tests that only read."""
    return restore_folder(tmp_path_factory.mktemp("untouched") / "lake")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    restore_folder(tmp_path / "lake")
    return tmp_path / "lake"


SCORES = {"audit", "evaluations", "timings"}
"""Roots that an evaluation writes to."""


def url(folder: Path) -> str:
    return f"file://{folder}"


def news(folder: Path, but: str = "/_nothing/") -> set[str]:
    """What is new in the folder; nothing that was there may be another or gone, but where told."""
    before, now = content_of(FOLDER), content_of(folder)
    copy_url, stored_url = url(folder).encode(), STORED_URL.encode()
    kept_objects = {key: content for key, content in before.items() if but not in key}
    assert {key: now[key].replace(copy_url, stored_url) for key in kept_objects} == kept_objects
    return {*now} - {*before}


def roots(keys: set[str]) -> set[str]:
    """The first folders below the prefix of keys."""
    return {key.split("/")[1] for key in keys}


def receipts() -> list[str]:
    return [key for key, _ in files_in(FOLDER) if "/timings/" in key]


# -- the store -------------------------------------------------------------------------------------


def test_a_restored_folder_has_the_etags_that_receipts_name(untouched: str) -> None:
    store = open_store(StoreAddress(untouched))
    assert set(json.loads(MTIMES.read_text())) == {*content_of(FOLDER)}
    named = 0
    for key in receipts():
        receipt = json.loads((FOLDER / key).read_text())
        if receipt["job"] != "forecast":
            continue
        prefix = key.partition("/")[0]
        output = receipt["output"]
        assert store.head(f"{prefix}/{output['key']}").etag == output["etag"]
        for source in receipt["inputs"] if prefix != "lake" else ():
            assert store.head(f"{prefix}/{source['key']}").etag == source["etag"]
        named += 1
    assert named == 13


# -- what is done is skipped -----------------------------------------------------------------------


@pytest.mark.parametrize("name", MARKED)
def test_a_stored_forecast_is_not_computed_again(name: str, folder: Path) -> None:
    run = command_json(f"forecast {ALL_FORECASTS[name]}", url(folder))
    counts = run["partitions"]
    assert run["specs"] == [EXPECTED["forecasts"][name]["spec"]]
    assert (counts["done"], counts["pending"], counts["failed"]) == (0, 0, 0)
    assert counts["skipped"] > 0
    assert roots(news(folder)) == {"audit"}


def test_a_stored_backtest_computes_nothing_and_has_the_same_leaderboard(
    folder: Path,
) -> None:
    result = command_json(BACKTEST, url(folder))
    assert (result["computed"], result["skipped"]) == (0, 3)
    (stored,) = (FOLDER / "sales/backtests/_leaderboards").glob("*.json")
    assert result["leaderboard"] == json.loads(stored.read_bytes())
    fresh = {key for key in news(folder) if "/audit/" not in key}
    assert {key.rpartition("/")[0] for key in fresh} == {"sales/backtests/_leaderboards"}
    for key in fresh:  # the bucket's place is in the name
        twin = stored.with_suffix(Path(key).suffix)
        if twin.suffix == ".parquet":
            assert pq.read_table(folder / key).equals(pq.read_table(twin))
        else:
            assert (folder / key).read_bytes() == twin.read_bytes()


def test_stored_forecasts_are_evaluated_with_the_same_figures(folder: Path) -> None:
    result = command_json(EVALUATE, url(folder))
    stored = [*(FOLDER / "sales/evaluations").glob("*.json")]
    assert timeless(result) in [timeless(json.loads(path.read_bytes())) for path in stored]
    # The reports have the same bytes; the scores that they are made of are new.
    assert roots(news(folder)) == SCORES


@pytest.mark.parametrize("name", QUALITY)
def test_stored_quality_is_not_measured_again(name: str, folder: Path) -> None:
    code = 1 if name == "dataset" else 0
    report = command_json(QUALITY[name], url(folder), code=code)
    prefix = "lake" if name == "dataset" else "sales"
    paths = (FOLDER / prefix / "quality/_reports").glob("*.json")
    (stored,) = [path for path in paths if "accuracy" not in path.name]
    assert timeless(report) == timeless(json.loads(stored.read_bytes()))
    beside = stored.with_name(f"{stored.stem}-accuracy.json")
    assert report.get("accuracy") == (json.loads(beside.read_bytes()) if beside.exists() else None)
    fresh = {key for key in news(folder, but="/_reports/") if "/_reports/" not in key}
    assert roots(fresh) == (SCORES if report.get("accuracy") else {"audit"})


def timeless(value: Any) -> Any:
    """Leave out what the clock says, and what is no part of a report."""
    if isinstance(value, dict):
        changing = {"at", "stale_hours", "source", "location", "run_id", "accuracy"}
        changing |= {"computed", "skipped", "column_shares"}
        return {name: timeless(entry) for name, entry in value.items() if name not in changing}
    return [timeless(entry) for entry in value] if isinstance(value, list) else value


def test_a_dataset_that_was_cleaned_is_not_cleaned_again(folder: Path) -> None:
    result = command_json(CLEAN, url(folder))
    assert (result["dataset"]["version"], result["new"]) == ("v1.1", False)
    assert roots(news(folder)) == {"audit"}


@pytest.mark.parametrize(
    ("dataset", "flags"),
    [
        ("raw/MES/2024-01-15", "import {file} raw/MES/2024-01-15"),
        ("cleaned/v1/QUOTES", "publish {file} cleaned/v1/QUOTES --schema ohlcv"),
        ("cleaned/v1.1/QUOTES", "publish {file} cleaned/QUOTES --schema ohlcv --append"),
    ],
)
def test_published_rows_are_not_published_again(dataset: str, flags: str, folder: Path) -> None:
    frame = read_partitioned_dataset(f"{url(folder)}/lake/{dataset}")
    if "--append" in flags:
        frame = frame[frame["timestamp"] >= "2024-02-01"]
    frame.to_parquet("again.parquet", index=False)
    place = "--prefix lake --partition_by month"
    again = command_json(f"data {flags} {place}", url(folder), file="again.parquet")
    assert (again["new"], again["version"]) == (False, dataset.split("/")[1 + ("raw" in dataset)])
    assert news(folder) == set()


@pytest.mark.parametrize("name", FEATURES)
def test_a_stored_feature_set_is_found(name: str, folder: Path) -> None:
    Path("recipe.yaml").write_text(RECIPE)
    result = command_json(FEATURES[name], url(folder), recipe="recipe.yaml")
    assert result["new"] is False
    assert news(folder) == set()


def test_a_file_processed_by_the_loader_stays_processed(folder: Path) -> None:
    Path("loader.yaml").write_text(LOADER_CONFIG.format(url=url(folder)))
    loader = ParquetDataLoader("loader.yaml")
    first, second = loader.discover_files("EURUSD", year=2014)
    assert loader.is_already_processed(first)
    assert not loader.is_already_processed(second)


def test_a_forecast_computed_again_equals_the_stored_one(folder: Path) -> None:
    for name in ("wide", "month", "symbol", "dataset"):
        command_output(f"forecast {FORECASTS[name]} --overwrite --quiet", url(folder))
        stored = EXPECTED["forecasts"][name]
        again = numbers_of(url(folder), FORECASTS[name], stored["spec"])
        assert again["sum"] == pytest.approx(stored["sum"], rel=1e-6)
        assert again["columns"] == [*stored["columns"], "cutoff"]
        assert again["rows"] == stored["rows"]
    # A forecast of equal bytes keeps its receipt; another processor may round the last bit.
    fresh = roots({*content_of(folder)} - {*content_of(FOLDER)})
    assert fresh - {"timings"} == {"audit", "origins"}


# -- what is stored is read ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL_FORECASTS)
def test_stored_forecasts_are_read_with_the_same_numbers(name: str, untouched: str) -> None:
    stored = dict(EXPECTED["forecasts"][name])
    spec = stored.pop("spec")
    assert numbers_of(untouched, ALL_FORECASTS[name], spec) == stored


@pytest.mark.parametrize("name", ["nano", "registry"])
def test_stored_forecasts_are_verified(name: str, untouched: str) -> None:
    report = command_json(f"verify {FORECASTS[name]}", untouched)
    assert (report["differences"], report["series"]) == ([], {"nano": 6, "registry": 2}[name])


def without_new_keys(output: Any, stored: Any) -> Any:
    """Return JSON without keys that an earlier release did not write: scripts do not read them."""
    if isinstance(output, dict) and isinstance(stored, dict):
        return {key: without_new_keys(output[key], stored[key]) for key in output if key in stored}
    if isinstance(output, list) and isinstance(stored, list) and len(output) == len(stored):
        return [without_new_keys(*pair) for pair in zip(output, stored, strict=True)]
    return output


@pytest.mark.parametrize("name", READINGS)
def test_the_json_that_scripts_read_has_not_changed(name: str, untouched: str) -> None:
    output = placeless(command_json(READINGS[name], untouched), untouched)
    assert without_new_keys(output, EXPECTED["readings"][name]) == EXPECTED["readings"][name]


@pytest.mark.parametrize("name", SPECS)
def test_the_same_options_are_the_same_spec(name: str, untouched: str) -> None:
    assert specs_of(SPECS[name], untouched) == EXPECTED["specs"][name]


@pytest.mark.parametrize("name", GROUPED_SPECS)
def test_the_same_covariates_are_the_same_spec(name: str) -> None:
    assert grouped_spec(GROUPED_SPECS[name]) == EXPECTED["grouped"][name]


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_version_of_a_dataset_has_its_rows(dataset: str, untouched: str) -> None:
    rows, stored = rows_of(untouched, dataset), EXPECTED["datasets"][dataset]
    assert rows.pop("sums") == pytest.approx(stored["sums"])
    assert rows == {name: value for name, value in stored.items() if name != "sums"}


def test_a_stored_feature_set_has_its_recipe_and_scaler(untouched: str) -> None:
    first, second = (read_feature_set(f"{untouched}/lake/features/{v}/mine") for v in ("v1", "v2"))
    assert first.recipe.to_dict() == second.recipe.to_dict()
    assert first.recipe.name == yaml.safe_load(RECIPE)["name"]
    assert first.learned == second.learned
    assert first.learned.scaler is not None


def test_a_stored_failure_is_shown(untouched: str) -> None:
    flags = "--prefix broken --model seasonal-naive --horizon 2"
    assert "failed: 2024/01/part-00000: CorruptedFileError" in command_output(
        f"status {flags}", untouched
    )


# -- the registry ----------------------------------------------------------------------------------


def test_a_stored_switch_can_be_rolled_back(folder: Path) -> None:
    manager = ModelManager(bucket=url(folder), prefix="sales")
    summary, active = manager.show_model("tiny")
    assert [entry.version for entry in summary.versions] == ["v1.0", "v1.1"]
    assert [(change.version, change.why) for change in active.history] == [
        ("v1.0", "the first version"),
        ("v1.1", "better on weekends"),
    ]
    assert manager.active_version("tiny") == "v1.1"
    assert manager.rollback_model("tiny").version == "v1.0"
    assert manager.switch_model("tiny", "v1.1", expected="v1.0").version == "v1.1"
    assert specs_of(SPECS["what is active"], url(folder)) == EXPECTED["specs"]["what is active"]


def test_a_model_published_again_is_the_stored_one(folder: Path, tmp_path: Path) -> None:
    manager = ModelManager(bucket=url(folder), prefix="sales")
    assert manager.verify_model("tiny").problems == []
    fetched = manager.fetch_model("tiny", "v1.0")
    assert fetched.folder is not None
    shutil.copytree(fetched.folder, tmp_path / "tiny", ignore=shutil.ignore_patterns("manifest*"))
    again = manager.publish_model(tmp_path / "tiny", "tiny", "v1.0")
    assert not again.new
    assert news(folder) == set()


# -- records ---------------------------------------------------------------------------------------


def test_records_are_read_and_written_to_the_same_bytes() -> None:
    counts = dict.fromkeys(("audit", "receipt", "manifest", "metadata", "active", "quality"), 0)
    for key, path in [*files_in(FOLDER), *files_in(OBJECTS)]:
        kind = kind_of(key)
        if kind is not None:
            content = path.read_bytes()
            assert written_again(kind, key, content) == content, key
            counts[kind] += 1
    assert counts == {
        "audit": 20,
        "receipt": 27,
        "manifest": 11,
        "metadata": 8,
        "active": 2,
        "quality": 5,
    }


def kind_of(key: str) -> str | None:
    name = key.rpartition("/")[2]
    if not name.endswith(".json"):
        return "active" if name == "ACTIVE" else None
    if "/audit/" in key:
        return "audit"
    if "/timings/" in key:
        return "receipt"
    if "/quality/" in key:
        return None if "_reports" in key else "quality"
    return {"manifest.json": "manifest", "metadata.json": "metadata"}.get(name)


def written_again(kind: str, key: str, content: bytes) -> bytes:
    if kind == "manifest":
        parse = parse_manifest if "/models/" in key else parse_dataset_manifest
        return parse(content, key).to_bytes()
    return WAYS[kind](content, key)


def metadata_again(content: bytes, key: str) -> bytes:
    """Describe the version once more, by its manifest."""
    manifest = (FOLDER / key).with_name("manifest.json").read_bytes()
    described = describe_manifest(parse_dataset_manifest(manifest, key))
    assert described == parse_metadata(content, key)
    return metadata_bytes(described, key)


def quality_again(content: bytes, key: str) -> bytes:
    quality = PartitionQuality.from_dict(json.loads(content))
    return json.dumps(quality.to_dict(), indent=1, ensure_ascii=False).encode()


WAYS = {
    "audit": lambda content, key: Audit.from_json(content, key).to_json(),
    "receipt": lambda content, key: Receipt.from_json(content, key).to_json(),
    "active": lambda content, key: parse_active(content, key).to_bytes(),
    "metadata": metadata_again,
    "quality": quality_again,
}


def test_manifests_of_forecasts_list_the_existing_objects(untouched: str) -> None:
    store = open_store(StoreAddress(untouched))
    manifests = [key for key, _ in files_in(FOLDER) if key.endswith("/_manifest.parquet")]
    assert len(manifests) == 7
    for key in manifests:
        table = decode_table(store.get(key), key)
        assert decode_table(encode_table(table), key).equals(table)
        for row in table.to_pylist():
            assert store.head(f"{key.partition('/')[0]}/{row['key']}").etag == row["etag"]
