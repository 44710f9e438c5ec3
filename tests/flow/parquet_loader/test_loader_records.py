"""Processed files, sessions, the cache and features that the loader keeps."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gigacast.errors import (
    ConfigError,
    DataNotFoundError,
    PreconditionFailedError,
)
from gigacast.storage.store import Store
from tests.flow.parquet_loader.loaders import YEAR, loader_of
from tests.support.ticks import fill

# -- what was done ---------------------------------------------------------------------------------


def test_a_processed_file_is_recognised_by_content_and_not_by_its_time(
    store: Store, tmp_path: Path
) -> None:
    fill(store, [(2014, 1), (2014, 2)], rows=2)
    loader = loader_of(store, tmp_path)
    first, second = loader.discover_files("SYMBOL", 2014)
    assert not loader.is_already_processed(first)
    loader.mark_as_processed(first, "completed")
    assert loader.is_already_processed(first)
    assert not loader.is_already_processed(second)
    store.put(first.key, store.get(first.key))  # a folder's ETag changes with the time
    again = loader.discover_files("SYMBOL", 2014)[0]
    assert loader.is_already_processed(again)
    loader.mark_as_processed(again)
    receipts = [e.key for page in store.list("timings/processed/") for e in page]
    assert len(receipts) == 1
    fill(store, [(2014, 1)], rows=3)
    changed = loader.discover_files("SYMBOL", 2014)[0]
    assert not loader.is_already_processed(changed)
    with pytest.raises(PreconditionFailedError):
        loader.mark_as_processed(first)


def test_a_failure_revokes_an_earlier_completion(folder: Store, tmp_path: Path) -> None:
    fill(folder, [(2014, 1)], rows=2)
    loader = loader_of(folder, tmp_path)
    (info,) = loader.discover_files("SYMBOL", 2014)
    loader.mark_as_processed(info)
    loader.mark_as_processed(info, "failed")
    assert not loader.is_already_processed(info)
    with pytest.raises(ConfigError, match="none of completed, failed, skipped"):
        loader.mark_as_processed(info, "done")
    off = loader_of(folder, tmp_path, "idempotency: {enabled: false}")
    off.mark_as_processed(info)
    assert not off.is_already_processed(info)


def test_concurrent_marks_of_the_same_files_lose_none(folder: Store, tmp_path: Path) -> None:
    fill(folder, YEAR, rows=1)
    loader = loader_of(folder, tmp_path)
    files = loader.discover_files("SYMBOL", 2014)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(loader.idempotency_tracker.mark_processed, files * 3))
    assert all(loader.is_already_processed(info) for info in files)


def test_a_session_counts_found_and_loaded_files_and_ends_once(
    store: Store, tmp_path: Path
) -> None:
    fill(store, YEAR[:3], rows=2)
    loader = loader_of(store, tmp_path)
    session = loader.start_audit_session("SYMBOL", (2014, 2014), (1, 3))
    files = loader.discover_files("SYMBOL", 2014)
    loader.mark_as_processed(files[0])
    loader.is_already_processed(files[0])
    loader.load_training_data("SYMBOL", 2014, month_range=(2, 3))
    loader.end_audit_session(session, "failed")
    loader.end_audit_session(session, "completed")  # as in a `finally`
    audit = json.loads(store.get(f"audit/{session}.json"))
    names = ("symbol", "year_range", "month_range", "files_discovered", "files_processed")
    assert [audit[name] for name in names] == ["SYMBOL", [2014, 2014], [1, 3], 3, 2]
    assert (audit["files_skipped"], audit["status"]) == (1, "failed")
    assert audit["start_time"] <= audit["end_time"]
    with pytest.raises(DataNotFoundError, match="no session"):
        loader.end_audit_session("SYMBOL_20140101_000000_abcd")


def test_only_the_configured_number_of_session_records_is_kept(
    folder: Store, tmp_path: Path
) -> None:
    loader = loader_of(folder, tmp_path, "audit: {max_log_files: 3}")
    other_session = loader.start_audit_session("OTHER")
    for _ in range(5):
        loader.start_audit_session("SYMBOL")
    keys = [entry.key for page in folder.list("audit/") for entry in page]
    assert len([key for key in keys if "SYMBOL_" in key]) == 3
    assert f"audit/{other_session}.json" in keys


# -- the cache -------------------------------------------------------------------------------------


def test_the_cache_is_used_the_second_time_and_notices_a_change(
    store: Store, tmp_path: Path
) -> None:
    fill(store, [(2014, 1), (2014, 2)])
    cache = f"performance: {{cache_intermediate: true, cache_dir: '{tmp_path}/rows'}}"
    first = loader_of(store, tmp_path, cache)
    data = first.load_training_data("SYMBOL", 2014)
    assert (data.stats.cache_hits, first.cache_stats.hit_rate) == (0, 0.0)
    second = loader_of(store, tmp_path, cache)  # of another process, as it were
    again = second.load_training_data("SYMBOL", 2014)
    assert again.table.equals(data.table)
    assert (again.stats.files, again.stats.cache_misses) == (0, 0)
    assert second.cache_stats.hit_rate == 1.0
    fill(store, [(2014, 2)], rows=70)
    changed = second.load_training_data("SYMBOL", 2014)
    assert len(changed) == 130
    assert (changed.stats.files, changed.stats.cache_misses) == (1, 1)


# -- features --------------------------------------------------------------------------------------

RECIPE = """
name: mine
training: {share: 0.5}
scale: {method: standard}
features:
- {kind: lag, column: target_close}
- {kind: rolling, column: feature_1, window: 5}
"""


def test_features_are_learned_in_training_and_the_same_for_predictions(
    folder: Store, tmp_path: Path
) -> None:
    fill(folder, YEAR[:2], rows=50)
    (tmp_path / "mine.yaml").write_text(RECIPE)
    loader = loader_of(folder, tmp_path, f"processing: {{feature_recipe: {tmp_path}/mine.yaml}}")
    options = {"target_columns": ["target_close"], "feature_columns": ["feature_1"]}
    raw = loader.load_training_data("SYMBOL", 2014, **options)  # type: ignore[arg-type]
    context = loader.load_prediction_data("SYMBOL", 2014, 2, 20, **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="is not trained yet"):
        loader.feature_processor.process_prediction_features(context)
    trained = loader.feature_processor.process_training_features(raw)
    names = ("feature_1", "target_close_lag_1", "feature_1_mean_5")
    assert trained.columns.features == names
    early = trained.table["target_close_lag_1"].to_numpy()[:50]
    assert np.nanmean(early) == pytest.approx(0, abs=1e-12)
    assert np.nanstd(early) == pytest.approx(1)
    ready = loader.feature_processor.process_prediction_features(context)
    expected = trained.table.slice(len(trained) - 16)  # the first four lack their window
    assert ready.table.slice(4).equals(expected)
    train, validation = loader.create_splits(trained)
    assert (len(train), len(validation)) == (80, 20)


@pytest.mark.parametrize(("named", "message"), [("moon", "no recipe 'moon'"), ("rsi.yaml", "rsi")])
def test_a_missing_recipe_is_an_error_that_names_the_field(
    folder: Store, tmp_path: Path, named: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=rf"processing\.feature_recipe: .*{message}"):
        loader_of(folder, tmp_path, f"processing: {{feature_recipe: {named}}}")
