"""What a load must not lose: values at the borders of chunks, gaps, months that are damaged."""

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gigacast.errors import (
    ConfigError,
    CorruptedFileError,
    DataQualityError,
    IncompleteContextError,
)
from gigacast.parquet_loader.check import QualityLimits, count_gaps
from gigacast.parquet_loader.dataset import LoadColumns, LoadedDataset
from gigacast.storage.store import Store
from tests.flow.parquet_loader.loaders import YEAR, loader_of
from tests.support.ticks import fill, folder_store, key_of, month_table, parquet

NAMED = "schema: {datetime_column: ds, target_columns: [target_close], "
BAD = b"PAR1 no Parquet"

# -- chunks ----------------------------------------------------------------------------------------


def sparse(year: int, month: int, rows: int = 40) -> pa.Table:
    """A month whose values are missing at both ends, and where the seed says."""
    table = month_table(year, month, rows)
    rng = np.random.default_rng(month)
    for name in ("target_close", "feature_1"):
        missing = rng.random(rows) < 0.4
        missing[[0, -1]] = True
        values = pa.array(table[name].to_numpy(), mask=missing)
        table = table.set_column(table.column_names.index(name), name, values)
    return table


@pytest.mark.parametrize("nulls", ["forward_fill", "interpolate", "drop"])
@pytest.mark.parametrize("rows", [7, 25, 1000])
def test_chunks_hold_the_rows_of_a_load_at_once_whatever_their_size(
    folder: Store, tmp_path: Path, nulls: str, rows: int
) -> None:
    for month in (1, 2, 3):
        folder.put(key_of(2014, month), parquet(sparse(2014, month), row_group_size=16))
    more = (
        f"processing: {{null_handling: {nulls}, chunk_size: {rows}}}\n"
        f"{NAMED} feature_columns: [feature_1]}}"
    )
    loader = loader_of(folder, tmp_path, more)
    chunks = [chunk.table for chunk in loader.iterate_training_data("SYMBOL", 2014)]
    year = loader.load_training_data("SYMBOL", 2014).table
    assert pa.concat_tables(chunks).equals(year)


def test_each_item_of_a_panel_is_filled_from_its_own_earlier_chunks(
    folder: Store, tmp_path: Path
) -> None:
    for month, values in ((1, [1.0, None, 20.0, None]), (2, [None, 3.0, None, 40.0])):
        days = np.datetime64(f"2014-{month:02d}-01") + np.array([0, 1, 0, 1])
        rows = {"item_id": list("aabb"), "timestamp": days.astype("M8[us]"), "target": values}
        folder.put(f"2014/{month:02d}/part-0.parquet", parquet(pa.table(rows)))
    loader = loader_of(folder, tmp_path, "processing: {null_handling: forward_fill, chunk_size: 3}")
    chunks = list(loader.iterate_training_data("part-0", 2014))
    filled = pa.concat_tables([chunk.table for chunk in chunks])["target"].to_pylist()
    assert filled == [1.0, 1.0, 20.0, 20.0, 1.0, 3.0, 20.0, 40.0]


@pytest.mark.parametrize("seed", range(4))
def test_gaps_over_many_chunks_are_filled_as_in_a_load_at_once(
    folder: Store, tmp_path: Path, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    for month in range(1, 6):
        items = np.sort(rng.choice(6, 1 + rng.integers(6), replace=False))
        days = np.arange(
            np.datetime64(f"2014-{month:02d}-01"), np.datetime64(f"2014-{month:02d}-09")
        )
        rows = {
            "item_id": np.repeat([f"i{item}" for item in items], len(days)),
            "timestamp": np.tile(days.astype("M8[us]"), len(items)),
        }
        for name in ("target", "feature_1"):
            # Some months have no value at all, so gaps span whole files.
            missing = rng.random(len(rows["item_id"])) < rng.choice([0.3, 0.9, 1.0])
            rows[name] = pa.array(rng.normal(size=len(missing)), mask=missing)
        folder.put(f"2014/{month:02d}/part-0.parquet", parquet(pa.table(rows), row_group_size=5))
    sections = "schema: {datetime_column: timestamp, target_columns: [target], "
    loader = loader_of(
        folder,
        tmp_path,
        f"processing: {{null_handling: interpolate, chunk_size: {1 + seed * 4}}}\n"
        f"{sections}feature_columns: [feature_1]}}",
    )
    chunks = [chunk.table for chunk in loader.iterate_training_data("part-0", 2014)]
    whole = loader.load_training_data("part-0", 2014).table
    in_order = [("item_id", "ascending"), ("timestamp", "ascending")]
    assert pa.concat_tables(chunks).sort_by(in_order).equals(whole.sort_by(in_order))


def test_columns_that_hold_times_are_in_chunks_too_also_where_a_file_lacks_them(
    folder: Store, tmp_path: Path
) -> None:
    for month in (1, 2):
        table = month_table(2014, month, 6)
        folder.put(key_of(2014, month), parquet(table.append_column("when", table["ds"])))
    folder.put(key_of(2014, 3), parquet(month_table(2014, 3, 6)))
    loader = loader_of(folder, tmp_path, f"{NAMED} timestamp_columns: [when]}}")
    chunks = list(loader.iterate_training_data("SYMBOL", 2014))
    year = loader.load_training_data("SYMBOL", 2014).table
    assert pa.concat_tables([chunk.table for chunk in chunks]).equals(year)
    assert year["when"].null_count == 6


def test_chunks_are_cached_and_read_from_the_cache(folder: Store, tmp_path: Path) -> None:
    fill(folder, YEAR[:2], rows=50)
    cache = f"performance: {{cache_intermediate: true, cache_dir: '{tmp_path}/rows'}}"
    first = loader_of(folder, tmp_path, cache + "\nprocessing: {chunk_size: 20}")
    read = pa.concat_tables([c.table for c in first.iterate_training_data("SYMBOL", 2014)])
    second = loader_of(folder, tmp_path, cache + "\nprocessing: {chunk_size: 33}")
    session = second.start_audit_session("SYMBOL")
    again = [c.table for c in second.iterate_training_data("SYMBOL", 2014)]
    assert pa.concat_tables(again).equals(read)
    assert [len(chunk) for chunk in again] == [33, 17, 33, 17]
    totals = second.read_audit_session(session).totals
    assert (second.cache_stats.hit_rate, totals["cache_hit_rate"], totals["bytes_read"]) == (
        1,
        1,
        0,
    )


# -- gaps and outliers -----------------------------------------------------------------------------


def rows_at(minutes: np.ndarray, items: list[str] | None = None) -> LoadedDataset:
    times = (np.datetime64("2014-01-01", "us") + minutes.astype("m8[m]")).astype("M8[us]")
    columns = {"ds": times, "x": np.zeros(len(times))}
    if items is None:
        return LoadedDataset(pa.table(columns), LoadColumns("ds", None, ("x",)), "S")
    table = pa.table({"item": items, **columns})
    return LoadedDataset(table, LoadColumns("ds", "item", ("x",)), "S")


@pytest.mark.parametrize("gap", [1, 300, 86_000])
def test_gaps_are_counted_however_few_rows_follow(gap: int) -> None:
    minutes = np.append(np.arange(700), 700 + gap + np.arange(3))
    assert count_gaps(rows_at(minutes)) == gap
    twice = rows_at(np.append(minutes, np.arange(9)), ["a"] * len(minutes) + ["b"] * 9)
    assert count_gaps(twice) == gap


def test_a_context_of_which_a_model_sees_half_is_incomplete(folder: Store, tmp_path: Path) -> None:
    minutes = np.append(np.arange(40), 5000 + np.arange(30))
    times = (np.datetime64("2014-01-01", "us") + minutes.astype("m8[m]")).astype("M8[us]")
    folder.put(key_of(2014, 1), parquet(pa.table({"ds": times, "target_close": minutes * 1.0})))
    loader = loader_of(folder, tmp_path)
    context = loader.load_prediction_data("SYMBOL", 2014, 1, 70)
    assert not loader.validate_context_completeness(context)
    assert loader.context_problems(context) == ["4,960 steps without a row"]
    with pytest.raises(IncompleteContextError, match="4,960 steps without a row"):
        loader.check_context(context)
    quality = loader.validate_data_quality(context)
    assert (quality.gaps, quality.is_valid) == (4960, False)
    assert loader.validate_data_quality(context, max_gaps=0.99).is_valid
    with pytest.raises(DataQualityError, match="no row at 4960 of 5,030 steps"):
        loader.check_data_quality(context)


@pytest.mark.parametrize(("limits", "valid"), [("[]", True), ("[outliers=0.01]", False)])
def test_outliers_over_the_limit_make_rows_invalid(
    folder: Store, tmp_path: Path, limits: str, valid: bool
) -> None:
    close = [*np.linspace(0, 1, 97), 1e6, -1e6, 1e7]
    times = np.datetime64("2014-01-01", "us") + np.arange(100).astype("m8[m]")
    folder.put(key_of(2014, 1), parquet(pa.table({"ds": times, "target_close": close})))
    loader = loader_of(folder, tmp_path, "processing: {outlier_detection: true}")
    config = (tmp_path / "loader.yaml").read_text()
    (tmp_path / "strict.yaml").write_text(f"{config}quality: {{fail: {limits}}}\n")
    loader = type(loader)(tmp_path / "strict.yaml")
    data = loader.load_training_data("SYMBOL", 2014)
    quality = loader.validate_data_quality(data)
    assert (quality.outliers, quality.is_valid) == ({"target_close": 3}, valid)
    assert not loader.validate_data_quality(data, max_outliers=0.02).is_valid


@pytest.mark.parametrize("limit", ["outliers=x", "gaps=-1", "missing=inf"])
def test_limits_that_are_none_are_named(limit: str) -> None:
    with pytest.raises(ConfigError, match=r"quality\.fail: "):
        QualityLimits.parse([limit])
    assert QualityLimits.parse(["stale_hours=3", "gaps=never"]).gaps == np.inf


# -- months that cannot be read --------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [True, False])
def test_one_damaged_month_is_left_out_of_a_year_and_named(
    folder: Store, tmp_path: Path, at_once: bool
) -> None:
    store = folder
    fill(store, YEAR, rows=2)
    store.put(key_of(2014, 5), BAD)
    store.put(key_of(2014, 7), parquet(month_table(2014, 7, 2).drop(["target_close"])))
    with pytest.raises(CorruptedFileError, match="2014/05"):
        loader_of(store, tmp_path, f"{NAMED}}}").load_training_data("SYMBOL", 2014)
    loader = loader_of(store, tmp_path, f"{NAMED}}}\nprocessing: {{on_bad_file: skip}}")
    session = loader.start_audit_session("SYMBOL")
    if at_once:
        data = loader.load_training_data("SYMBOL", 2014)
        quality = loader.validate_data_quality(data, max_gaps=1)
        assert (len(data), len(data.files), quality.is_valid) == (20, 10, True)
        assert list(quality.bad_files) == [key_of(2014, 5), key_of(2014, 7)]
    else:
        chunks = list(loader.iterate_training_data("SYMBOL", 2014))
        assert len(chunks) == 10
    loader.end_audit_session(session)
    audit = loader.read_audit_session(session)
    assert (audit.files_discovered, audit.files_processed, audit.files_failed) == (12, 10, 2)
    assert [failure["partition"] for failure in audit.failures] == [
        key_of(2014, 5),
        key_of(2014, 7),
    ]


def test_damage_found_among_the_rows_of_a_file_ends_that_file(
    folder: Store, tmp_path: Path
) -> None:
    fill(folder, YEAR[:3], rows=100)
    content = folder.get(key_of(2014, 2))
    half = len(content) // 2
    folder.put(key_of(2014, 2), content[:half] + bytes(9) * 20 + content[half + 180 :])
    more = f"{NAMED}}}\nprocessing: {{on_bad_file: skip, chunk_size: 20}}"
    loader = loader_of(folder, tmp_path, more)
    session = loader.start_audit_session("SYMBOL")
    chunks = list(loader.iterate_training_data("SYMBOL", 2014))
    months = {chunk.files[0].month: 0 for chunk in chunks}
    for chunk in chunks:
        months[chunk.files[0].month] += len(chunk)
    assert (months[1], months[3]) == (100, 100)
    assert months.get(2, 0) < 100
    assert loader.read_audit_session(session).files_failed == 1
    assert len(loader.load_training_data("SYMBOL", 2014)) == 200


def test_a_load_of_damaged_files_alone_fails_whatever_is_allowed(
    folder: Store, tmp_path: Path
) -> None:
    folder.put(key_of(2014, 5), BAD)
    loader = loader_of(folder, tmp_path, "processing: {on_bad_file: skip}")
    with pytest.raises(CorruptedFileError, match="2014/05"):
        loader.load_training_data("SYMBOL", 2014)
    with pytest.raises(CorruptedFileError, match="2014/05"):
        list(loader.iterate_training_data("SYMBOL", 2014))


def test_fallback_roots_serve_missing_and_damaged_months(folder: Store, tmp_path: Path) -> None:
    copies = [folder_store(tmp_path / name) for name in ("copy", "archive")]
    fill(folder, YEAR[:3], rows=2)
    fill(copies[1], YEAR[:4], rows=3)
    folder.put(key_of(2014, 2), BAD)
    copies[0].put(key_of(2014, 2), BAD)
    roots = json.dumps([store.address.url for store in copies])
    loader = loader_of(folder, tmp_path, f"data_paths: {{root_dir: {tmp_path / 'lake'}}}")
    config = {
        "data_paths": {"root_dir": str(tmp_path / "lake"), "fallback_roots": json.loads(roots)}
    }
    (tmp_path / "loader.json").write_text(json.dumps({"parquet_loader": config}))
    loader = type(loader)(tmp_path / "loader.json")
    files = loader.discover_files("SYMBOL", 2014)
    assert [Path(info).is_relative_to(tmp_path / "archive") for info in files] == [False] * 3 + [
        True
    ]
    data = loader.load_training_data("SYMBOL", 2014)
    assert len(data) == 2 + 3 + 2 + 3
    archived = str(tmp_path / "archive" / key_of(2014, 2))
    assert loader.validate_data_quality(data, max_gaps=1).replaced == {key_of(2014, 2): archived}
    assert [str(info) for info in data.files][1] == archived
    assert pa.concat_tables(
        [chunk.table for chunk in loader.iterate_training_data("SYMBOL", 2014)]
    ).equals(data.table)
    context = loader.load_prediction_data("SYMBOL", 2014, 4, 8)
    assert context.table["target_close"].to_pylist()[:3] == [170000.0, 170001.0, 170002.0]


# -- what else a loader takes and gives ------------------------------------------------------------


def test_discovered_files_are_paths(folder: Store, tmp_path: Path) -> None:
    fill(folder, [(2014, 1)], rows=2)
    (info,) = loader_of(folder, tmp_path).discover_files("SYMBOL", 2014)
    assert Path(info).read_bytes() == folder.get(info.key)
    assert os.fspath(info) == str(info) == info.file_path
    assert (info.name, info.is_parquet, info.is_json) == (info.key.split("/")[-1], True, False)


@pytest.mark.parametrize("moment", [np.datetime64("2014-01-01T00:01"), "2014-01-01 00:01"])
def test_new_rows_follow_a_moment_of_numpy(folder: Store, tmp_path: Path, moment: object) -> None:
    fill(folder, [(2014, 1)], rows=4)
    loader = loader_of(folder, tmp_path)
    assert len(loader.load_incremental_data("SYMBOL", moment)) == 2  # type: ignore[arg-type]
    newest = loader.load_training_data("SYMBOL", 2014).times.max()
    assert len(loader.load_incremental_data("SYMBOL", newest)) == 0
    with pytest.raises(ConfigError, match="expected a moment"):
        loader.load_incremental_data("SYMBOL", np.datetime64("NaT"))


@pytest.mark.parametrize(
    ("section", "field"),
    [
        ("schema: {target_columns: [x]}", r"schema\.datetime_column"),
        ("file_patterns: {panel_regex: x}", r"file_patterns\.naming_regex"),
    ],
)
def test_a_section_without_its_required_field_fails_fast(
    folder: Store, tmp_path: Path, section: str, field: str
) -> None:
    with pytest.raises(ConfigError, match=f"missing: parquet_loader.{field}"):
        loader_of(folder, tmp_path, section)
    loader_of(folder, tmp_path, "schema: {datetime_column: null, target_columns: [x]}")


def test_a_session_records_what_was_loaded_and_how_fast(folder: Store, tmp_path: Path) -> None:
    fill(folder, YEAR[:2], rows=30)
    loader = loader_of(folder, tmp_path)
    session = loader.start_audit_session("SYMBOL")
    loads = [loader.load_training_data("SYMBOL", 2014, month=month) for month in (1, 2)]
    totals = loader.read_audit_session(session).totals
    sizes = sum(info.size_bytes for load in loads for info in load.files)
    assert (totals["rows"], totals["bytes_read"], totals["cache_hit_rate"]) == (60, sizes, None)
    seconds = totals["seconds"]["load"]  # type: ignore[index]
    assert seconds == pytest.approx(sum(load.stats.seconds for load in loads), abs=1e-5)
    assert totals["rows_per_second"] == pytest.approx(60 / seconds, rel=1e-2)
    assert totals["bytes_per_second"] == pytest.approx(sizes / seconds, rel=1e-2)
    assert totals["peak_rss_bytes"] > totals["largest_load_bytes"] > 0  # type: ignore[operator]


RECIPE = """
name: mine
features:
- {kind: rolling, column: target_close, window: 30, name: slow}
- {kind: lag, column: slow, steps: 5}
- {kind: rsi, column: target_close, window: 2}
"""


@pytest.mark.parametrize("length", [100, None])
def test_features_of_a_context_are_those_of_the_whole_history(
    folder: Store, tmp_path: Path, length: int | None
) -> None:
    fill(folder, YEAR[:3], rows=60)
    (tmp_path / "mine.yaml").write_text(RECIPE)
    recipe = f"processing: {{feature_recipe: {tmp_path}/mine.yaml}}"
    loader = loader_of(folder, tmp_path, f"{NAMED}}}\n{recipe}")
    training = loader.feature_processor.process_training_features(
        loader.load_training_data("SYMBOL", 2014)
    )
    context = loader.load_prediction_data("SYMBOL", 2014, 3, length)
    assert len(context) == (length or 60)
    ready = loader.feature_processor.process_prediction_features(context)
    tail = training.table.slice(len(training) - len(context))
    assert ready.table.drop_columns(["rsi"]).equals(tail.drop_columns(["rsi"]))
    np.testing.assert_allclose(ready.table["rsi"], tail["rsi"], rtol=1e-6)
    assert loader.validate_context_completeness(ready, max_gaps=10**6)
    # At the beginning of the data there is nothing to look back to, and a feature is missing.
    first = loader.load_prediction_data("SYMBOL", 2014, 1, 60)
    early = loader.feature_processor.process_prediction_features(first)
    assert any("missing values of slow" in problem for problem in loader.context_problems(early))
