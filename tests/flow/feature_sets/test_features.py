"""Feature sets: cleaned bars in, a published version out, with what made it beside it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gigacast.cli.program import run
from gigacast.core.dataset.ref import DatasetRef
from gigacast.datasets import read_features, validate_data
from gigacast.datasets.resolve import rows_in
from gigacast.errors import (
    ConfigError,
    CorruptedFileError,
    DataNotFoundError,
    SchemaError,
)
from gigacast.feature_sets import (
    FeatureProcessor,
    Recipe,
    build_features,
    compute_features,
    load_recipe,
    read_feature_set,
    save_recipe,
)
from gigacast.feature_sets.build import EXTRA, FeatureOptions, feature_set_of
from gigacast.feature_sets.build import build_features as build
from gigacast.feature_sets.kernel.predefined import RECIPES
from gigacast.lake.dataset.catalog import Lake
from gigacast.lake.dataset.lineage import trace
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.bars import ME, bars, publish
from tests.support.moto_server import MotoServer

ITEMS = ("AAA", "BBB", "CCC")
LEARNING = {
    "name": "learning",
    "training": {"until": "2024-03-01"},
    "scale": {"method": "standard"},
    "select": {"target": "close_log_return_1", "measure": "spearman", "most_alike": 0.9},
    "features": [
        {"kind": "return", "column": "close"},
        {"kind": "rolling", "column": "close", "window": [5, 6, 20]},
        {"kind": "rsi"},
        {"kind": "lag", "column": "volume", "steps": [1, 2]},
    ],
}


def panel(rows: int = 120, seed: int = 0) -> pd.DataFrame:
    """Daily bars of three assets."""
    parts = [bars(rows, step="D", seed=seed + n).assign(symbol=s) for n, s in enumerate(ITEMS)]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "lake").mkdir()
    return open_store(StoreAddress(f"file://{tmp_path}/lake"))


@pytest.fixture
def lake(store: Store) -> Lake:
    publish(store, "cleaned/v1/BARS", panel())
    return Lake(store)


def url(lake: Lake, path: str) -> str:
    return f"{lake.store.address.url}/{path}"


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipes_of_the_package_keep_their_contracts(lake: Lake, name: str) -> None:
    metadata = build_features(
        url(lake, "cleaned/latest/BARS"), url(lake, f"features/latest/{name}"), name
    )
    assert metadata["schema"]["name"] == name
    features = read_features(url(lake, f"features/latest/{name}"), name)
    assert len(validate_data(features, name)) == 360
    assert features.drop(columns=["timestamp", "symbol"]).notna().any().all()


def test_lineage_names_the_sources_of_a_set_and_the_sets_of_a_source(lake: Lake) -> None:
    metadata = build_features(url(lake, "cleaned/v1/BARS"), url(lake, "features/v1/rsi"), RSI)
    source = lake.read(DatasetRef.parse("cleaned/v1/BARS"))
    expected = [{"key": f.key, "etag": f.etag, "dataset": "cleaned/v1/BARS"} for f in source.files]
    assert metadata["dependencies"] == expected
    assert [link.name for link in trace(lake, "cleaned/v1/BARS").products] == ["features/v1/rsi"]
    assert Recipe.from_dict(metadata[EXTRA]["recipe"]) == Recipe.from_dict(RSI)
    again = build_features(url(lake, "cleaned/v1/BARS"), url(lake, "features/latest/rsi"), RSI)
    assert (again["version"], again["created_at"]) == ("v1", metadata["created_at"])


RSI = {"name": "rsi", "features": [{"kind": "rsi"}]}


def test_scales_and_ranks_use_the_training_part_only(lake: Lake) -> None:
    target = url(lake, "features/v1/learned")
    build_features(url(lake, "cleaned/v1/BARS"), target, LEARNING)
    changed = panel()
    late = changed["timestamp"] > "2024-03-01"
    changed.loc[late, ["open", "high", "low", "close"]] *= 50
    changed.loc[late, "volume"] = 7.0
    publish(lake.store, "cleaned/v2/BARS", changed)
    build_features(url(lake, "cleaned/v2/BARS"), url(lake, "features/v2/learned"), LEARNING)
    first_set, second_set = (
        read_feature_set(url(lake, f"features/{v}/learned")) for v in ("v1", "v2")
    )
    assert first_set == second_set
    assert first_set.scaler is not None
    frame = read_features(target)
    training = frame["timestamp"] <= "2024-03-01"
    for name in first_set.features:
        assert frame.loc[training, name].mean() == pytest.approx(0, abs=1e-9)
        assert frame.loc[training, name].std(ddof=0) == pytest.approx(1)
    assert not {"close_mean_5", "close_mean_6"} <= set(first_set.features)  # they say the same


def test_later_rows_become_the_same_features_by_an_earlier_version(lake: Lake) -> None:
    build_features(url(lake, "cleaned/v1/BARS"), url(lake, "features/v1/learned"), LEARNING)
    longer = panel(200)
    longer["close"] += 40.0
    longer["high"] += 40.0
    publish(lake.store, "cleaned/v2/BARS", longer)
    first = url(lake, "features/v1/learned")
    build_features(url(lake, "cleaned/v2/BARS"), url(lake, "features/v2/learned"), like=first)
    metadata = read_feature_set(url(lake, "features/v2/learned"))
    assert metadata.scaler == read_feature_set(first).scaler
    published = read_features(url(lake, "features/v2/learned"))
    table = pa.Table.from_pandas(longer, preserve_index=False)
    by_hand = metadata.processor().process_prediction_features(table).to_pandas()
    pd.testing.assert_frame_equal(by_hand, published, check_dtype=False)


def test_a_processor_without_training_refuses_to_predict() -> None:
    table = pa.Table.from_pandas(panel(), preserve_index=False)
    processor = FeatureProcessor(Recipe.from_dict(LEARNING))
    with pytest.raises(ConfigError, match="is not trained yet"):
        processor.process_prediction_features(table)
    trained = processor.process_training_features(table)
    assert processor.process_prediction_features(table).equals(trained)


def test_every_store_gives_the_same_version(
    lake: Lake, moto_server: MotoServer, request: pytest.FixtureRequest
) -> None:
    addresses = [StoreAddress(f"memory://{request.node.name}"), moto_server.new_address("lake")]
    options = FeatureOptions(Recipe.from_dict(LEARNING))
    digests = []
    for target_lake in (lake, *(Lake(open_store(address)) for address in addresses)):
        if target_lake is not lake:
            publish(target_lake.store, "cleaned/v1/BARS", panel())
        rows = rows_in(target_lake, DatasetRef.parse("cleaned/BARS"))
        result = build(target_lake, DatasetRef.parse("features/learned"), rows, options, ME)
        digests.append(result.published.manifest.digest)
        assert feature_set_of(target_lake.read(DatasetRef.parse("features/learned"))).features
    assert len(set(digests)) == 1


def test_the_memory_limit_does_not_change_the_features(lake: Lake) -> None:
    ref, rows = DatasetRef.parse("cleaned/v1/BARS"), rows_in(lake, DatasetRef.parse("cleaned/BARS"))
    options = FeatureOptions(Recipe.from_dict(LEARNING))
    unbounded = build(lake, DatasetRef.parse("features/v1/whole"), rows, options, ME)
    one_item = replace(options, memory_limit_bytes=150 * 24 * 10)
    parts = build(lake, DatasetRef.parse("features/v1/parts"), rows, one_item, ME)
    assert parts.published.manifest.digest == unbounded.published.manifest.digest
    assert parts.learned == unbounded.learned
    too_small = replace(options, memory_limit_bytes=1000)
    with pytest.raises(ConfigError, match=r"120 rows of AAA take about .* more than memory"):
        build(lake, DatasetRef.parse("features/v1/small"), rows, too_small, ME)
    assert lake.versions(DatasetRef.parse("features/small")) == {}
    assert ref.layer == "cleaned"


def test_a_later_day_changes_no_earlier_feature(lake: Lake) -> None:
    publish(lake.store, "cleaned/v2/BARS", panel().query("timestamp < '2024-04-01'"))
    recipe = {"name": "r", "features": [*LEARNING["features"], {"kind": "macd"}]}  # type: ignore[misc]
    for version in ("v1", "v2"):
        target = url(lake, f"features/{version}/r")
        build_features(url(lake, f"cleaned/{version}/BARS"), target, recipe)
    long, short = (read_features(url(lake, f"features/{v}/r")) for v in ("v1", "v2"))
    early = long[long["timestamp"] < "2024-04-01"].reset_index(drop=True)
    pd.testing.assert_frame_equal(early, short, check_exact=True)


def test_assets_are_compared_with_a_reference_asset(lake: Lake) -> None:
    recipe = {
        "name": "market",
        "features": [
            {
                "kind": "correlation",
                "column": "close",
                "other": "close",
                "item": "BBB",
                "window": 10,
            }
        ],
    }
    build_features(url(lake, "cleaned/v1/BARS"), url(lake, "features/v1/market"), recipe)
    frame = read_features(url(lake, "features/v1/market"))
    close = panel().pivot_table(index="timestamp", columns="symbol", values="close")
    moves = np.log(close).diff()
    for item in ITEMS:
        expected = moves[item].rolling(10).corr(moves["BBB"]).to_numpy()
        correlation = frame.loc[frame["symbol"] == item, "close_BBB_close_corr_10"].to_numpy()
        np.testing.assert_allclose(correlation, expected, atol=1e-9)


def test_files_in_any_folder_become_features_too(lake: Lake, tmp_path: Path) -> None:
    frame = panel().rename(columns={"timestamp": "ds", "symbol": "unique_id"})
    frame.to_parquet(tmp_path / "mine.parquet", index=False)
    target = url(lake, "features/v1/momentum")
    metadata = build_features(tmp_path / "mine.parquet", target, "momentum_indicators")
    assert metadata["dependencies"][0]["key"].endswith("mine.parquet")
    assert [c["name"] for c in metadata["schema"]["columns"]][:2] == ["symbol", "timestamp"]


@pytest.mark.parametrize("kind", ["dates", "steps"])
def test_times_may_be_dates_or_steps(lake: Lake, tmp_path: Path, kind: str) -> None:
    frame = panel().rename(columns={"timestamp": "date"})
    frame["date"] = frame["date"].dt.date if kind == "dates" else frame.index % 120
    frame.to_parquet(tmp_path / "mine.parquet", index=False)
    metadata = build_features(tmp_path / "mine.parquet", url(lake, "features/v1/mine"), RSI)
    start = {"dates": {"start": "2024-01-15", "end": "2024-05-13"}, "steps": None}[kind]
    assert metadata["time_range"] == start
    assert metadata["record_count"] == 360


def test_a_source_without_rows_becomes_a_set_without_rows(lake: Lake, tmp_path: Path) -> None:
    panel().head(0).to_parquet(tmp_path / "mine.parquet", index=False)
    metadata = build_features(tmp_path / "mine.parquet", url(lake, "features/v1/mine"), RSI)
    assert metadata["record_count"] == 0
    with pytest.raises(ConfigError, match="no feature of learning depends on"):
        build_features(tmp_path / "mine.parquet", url(lake, "features/v1/x"), LEARNING)


def test_a_frame_in_memory_gets_the_same_features(lake: Lake) -> None:
    build_features(url(lake, "cleaned/v1/BARS"), url(lake, "features/v1/learned"), LEARNING)
    published = read_features(url(lake, "features/v1/learned"))
    pd.testing.assert_frame_equal(compute_features(panel(), LEARNING), published, check_dtype=False)


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"features": [{"kind": "rsi", "column": "mid"}]}, SchemaError, "no column 'mid'"),
        (
            {"scale": {}, "training": {"until": "2000-01-01"}},
            ConfigError,
            "no row is in the training part",
        ),
        (
            {"select": {"target": "symbol"}, "training": {"share": 0.5}},
            SchemaError,
            "'symbol' of type .* holds no numbers",
        ),
        ({"contract": "nothing"}, ConfigError, "there is no 'nothing'"),
        ({"contract": "ohlcv"}, SchemaError, "open"),
    ],
)
def test_a_recipe_that_does_not_fit_publishes_nothing(
    lake: Lake, wrong: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        build_features(url(lake, "cleaned/v1/BARS"), url(lake, "features/v1/x"), {**RSI, **wrong})
    assert lake.versions(DatasetRef.parse("features/x")) == {}


def test_a_set_that_was_not_made_by_a_recipe_has_no_processor(lake: Lake) -> None:
    publish(lake.store, "features/v1/by_hand", panel())
    with pytest.raises(DataNotFoundError, match="was not made by a recipe"):
        read_feature_set(url(lake, "features/v1/by_hand"))
    manifest = lake.read(DatasetRef.parse("features/v1/by_hand"))
    broken = replace(manifest, extra={EXTRA: {"recipe": RSI, "features": 3}})
    with pytest.raises(CorruptedFileError, match="its recipe cannot be read"):
        feature_set_of(broken)


def test_recipes_are_files(tmp_path: Path) -> None:
    save_recipe(LEARNING, tmp_path / "mine.yaml")
    assert load_recipe(tmp_path / "mine.yaml") == Recipe.from_dict(LEARNING)
    (tmp_path / "bad.yaml").write_text("name: [")
    with pytest.raises(ConfigError, match=r"bad\.yaml: not valid YAML"):
        load_recipe(tmp_path / "bad.yaml")
    (tmp_path / "odd.yaml").write_text("name: odd\nfeatures: [{kind: moon}]")
    with pytest.raises(ConfigError, match=r"odd\.yaml: .*: there is no kind of feature 'moon'"):
        load_recipe(tmp_path / "odd.yaml")


# -- the command -----------------------------------------------------------------------------------


def output_of(lake: Lake, capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    capsys.readouterr()
    assert run(["data", "features", *words, "--bucket", lake.store.address.url]) == code
    streams = capsys.readouterr()
    return streams.out + streams.err


def test_the_command_builds_and_shows_what_it_learned(
    lake: Lake, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_recipe(LEARNING, "mine.yaml")
    shown = output_of(lake, capsys, "cleaned/BARS", "features/mine", "--recipe", "mine.yaml")
    assert "published features/v1/mine: 360 rows in 1 file" in shown
    assert "scaled: standard, of 141 rows up to 2024-03-01T00:00:00" in shown
    assert "left out" in shown
    capsys.readouterr()
    assert run(["data", "describe", "features/mine", "--bucket", lake.store.address.url]) == 0
    assert "learning, scaled (standard, up to 2024-03-01T00:00:00)" in capsys.readouterr().out
    same = ("cleaned/BARS", "features/again", "--like", "features/v1/mine", "--json")
    metadata = json.loads(output_of(lake, capsys, *same))
    assert metadata["record_count"] == 360
    assert metadata[EXTRA]["scaler"]["until"] == "2024-03-01T00:00:00"
    panel().to_parquet("local.parquet", index=False)
    local = ("local.parquet", "features/local", "--recipe", "volume_profile")
    assert "value_area_high" in output_of(lake, capsys, *local, "--partition_by", "month")


def test_empty_features_are_warned_of_and_a_set_without_values_is_not_published(
    lake: Lake, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    long = {"kind": "rolling", "column": "close", "window": 500}
    save_recipe({"name": "some", "features": [long, {"kind": "rsi"}]}, "some.yaml")
    save_recipe({"name": "none", "features": [long]}, "none.yaml")
    shown = output_of(lake, capsys, "cleaned/BARS", "features/some", "--recipe", "some.yaml")
    assert "warning: close_mean_500 has no value in any row" in shown
    assert "min_count" in shown
    assert shown.count("warning:") == 1
    capsys.readouterr()
    flags = ("--bucket", lake.store.address.url)
    words = ("cleaned/BARS", "features/some", "--recipe", "some.yaml", "--json", *flags)
    assert run(["data", "features", *words]) == 0
    assert json.loads(capsys.readouterr().out)["without_values"] == ["close_mean_500"]
    shown = output_of(lake, capsys, "cleaned/BARS", "features/x", "--recipe", "none.yaml", code=2)
    assert "no feature has a value in any of 360 rows" in shown
    assert lake.versions(DatasetRef.parse("features/x")) == {}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cleaned/BARS", "features/x"], "give --recipe, or --like"),
        (["cleaned/BARS", "features/x", "--recipe", "moon"], "no recipe 'moon'"),
        (["cleaned/BARS", "features/x", "--recipe", "moon.yaml"], "no file moon.yaml"),
        (["cleaned/BARS", "cleaned/x", "--recipe", "ohlcv"], "is not in features/"),
        (["cleaned/NONE", "features/x", "--recipe", "ohlcv"], "no dataset 'NONE'"),
        (["nothing", "features/x", "--recipe", "ohlcv"], "neither a local file nor a dataset"),
        (["cleaned/BARS", "features/x", "--recipe", "ohlcv", "--memory_limit", "2XB"], "no size"),
        (["cleaned/BARS", "features/x", "--recipe", "ohlcv", "--memory_limit", "1KB"], "raise the"),
        (["cleaned/BARS", "features/x", "--like", "features/y"], "no dataset 'y'"),
    ],
)
def test_an_impossible_build_is_refused_with_a_message(
    lake: Lake, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    shown = output_of(lake, capsys, *words, code=2)
    assert message in shown
    assert "Traceback" not in shown
