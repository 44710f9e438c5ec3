"""Cleaning of whole datasets: correct, resumable, one version at a time."""

import json
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gigacast.cleaning.rules import CleanRules
from gigacast.cleaning.run import CleanResult, clean_dataset
from gigacast.errors import ConfigError, DataNotFoundError
from gigacast.job import file_job, file_worker
from gigacast.job.file_job import Reading, Sources
from gigacast.job.forecast_job import Resources
from gigacast.lake.dataset.catalog import Lake
from gigacast.lake.dataset.lineage import trace
from gigacast.lake.dataset.metadata import parse_metadata
from gigacast.lake.dataset.retire import Retention, plan_retirement, retire
from gigacast.quality.file import ROW_BYTES
from gigacast.runtime.parallel import JoblibExecutor
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.flow.cleaning.cleanings import RAW, TARGET, clean, job_of, pandas_way, raw, rows_of
from tests.support.bars import ME, bars, parquet_bytes, publish
from tests.support.faulty_store import Fault, FaultyStore, SimulatedCrash
from tests.support.moto_server import MotoServer

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("backend", ["folder", "memory", "s3"])
def test_cleaned_rows_equal_those_of_a_slow_loop_in_pandas(
    backend: str, lake: Store, moto_server: MotoServer
) -> None:
    store = {
        "folder": lambda: lake,
        "memory": lambda: open_store(StoreAddress("memory://clean-job/lake")),
        "s3": lambda: open_store(moto_server.new_address()),
    }[backend]()
    raw(store)
    result = clean(store)
    assert (str(result.manifest.ref), result.new) == ("cleaned/v1/FX", True)  # type: ignore[union-attr]
    assert result.changes == {
        "duplicates": 2,
        "filled": 6,
        "outliers": 2,
        "narrowed": 2,
        "sorted": 2,
    }
    pd.testing.assert_frame_equal(rows_of(store), pandas_way(), check_dtype=False)


def test_changes_and_sources_are_recorded(lake: Store) -> None:
    raw(lake)
    result = clean(lake)
    text = lake.get("cleaned/v1/FX/metadata.json")
    metadata = parse_metadata(text, "metadata.json")
    assert metadata["cleaning"]["changes"] == dict(result.changes)
    assert [partition["changes"]["filled"] for partition in metadata["cleaning"]["partitions"]] == [
        3,
        3,
    ]
    etags = {meta.key: meta.etag for page in lake.list("raw/FX/") for meta in page}
    assert {partition["key"]: partition["etag"] for partition in metadata["dependencies"]} == {
        key: etag for key, etag in etags.items() if key.endswith(".parquet")
    }
    audit = json.loads(lake.get(f"audit/{result.run_id}.json"))
    assert (audit["status"], audit["job"], audit["files_processed"]) == ("completed", "clean", 2)
    assert audit["totals"]["cleaning"]["dataset"] == "cleaned/v1/FX"
    assert audit["totals"]["repairs"]["filled"] == 6
    links = trace(Lake(lake), "cleaned/v1/FX").sources
    assert {link.name for link in links} == {"raw/FX/2024-01-15"}
    assert {link.state for link in links} == {"as it was"}


def test_a_second_run_computes_nothing_and_publishes_nothing(lake: Store) -> None:
    raw(lake)
    clean(lake)
    again = clean(lake)
    assert (again.computed, again.skipped, again.new) == (0, 2, False)
    assert list(Lake(lake).versions(TARGET)) == ["v1"]


def test_new_partitions_cost_only_themselves_and_share_the_earlier_files(lake: Store) -> None:
    raw(lake)
    clean(lake, every=True)
    raw(lake, "2024-01-16")
    result = clean(lake, every=True)
    manifest = result.manifest
    assert manifest is not None
    assert (result.computed, result.skipped, manifest.version) == (2, 2, "v1.1")
    assert len(manifest.files) == 4
    assert manifest.parent == "v1"


def test_other_rules_make_another_version_and_keep_the_first(lake: Store) -> None:
    raw(lake)
    clean(lake)
    before = rows_of(lake, replace(TARGET, version="v1"))
    result = clean(lake, rules=CleanRules(nulls="drop", outliers="drop", optimise=False))
    assert result.manifest is not None
    assert result.manifest.version == "v2"  # columns of flags went
    assert result.changes["dropped_nulls"] == 6
    pd.testing.assert_frame_equal(rows_of(lake, replace(TARGET, version="v1")), before)


def test_several_processes_make_the_same_version_as_one(lake: Store, tmp_path: Path) -> None:
    raw(lake)
    first = clean(lake)
    (tmp_path / "other").mkdir()
    other_store = open_store(StoreAddress(f"file://{tmp_path}/other"))
    raw(other_store)
    two = clean_dataset(job_of(other_store), ME, executor=JoblibExecutor(2, 1))
    assert first.manifest is not None
    assert two.manifest is not None
    assert first.manifest.digest == two.manifest.digest


@pytest.mark.parametrize(
    ("kind", "nth"), [("put_if_absent", 1), ("put_if_absent", 2), ("put", 1), ("put", 2)]
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_killed_at_any_write_leaves_no_version_and_a_rerun_continues(
    lake: Store, monkeypatch: pytest.MonkeyPatch, kind: Any, nth: int, when: Any
) -> None:
    raw(lake)

    def faulty(address: StoreAddress) -> Store:
        del address
        return FaultyStore(lake, [Fault((kind,), lambda key: "cleaning/" in key, nth, when=when)])

    job = job_of(lake)
    with monkeypatch.context() as patched:
        patched.setattr(file_worker, "open_store", faulty)
        with pytest.raises(SimulatedCrash):
            clean_dataset(job, ME)
    assert [v for v in Lake(lake).versions(TARGET) if v != "v1"] == []
    result = clean(lake)
    assert result.failures == []
    assert result.manifest is not None
    assert result.computed + result.skipped == 2
    pd.testing.assert_frame_equal(rows_of(lake), pandas_way(), check_dtype=False)


@pytest.mark.parametrize("nth", range(1, 5))
def test_a_run_killed_while_publishing_leaves_no_partial_version(
    lake: Store, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    raw(lake)
    job = job_of(lake)

    def faulty(address: StoreAddress) -> Store:
        del address
        writes = ("put", "put_if_absent", "delete")
        return FaultyStore(lake, [Fault(writes, lambda key: key.startswith("cleaned/"), nth)])

    with monkeypatch.context() as patched:
        patched.setattr(file_job, "open_store", faulty)
        with pytest.raises(SimulatedCrash):
            clean_dataset(job, ME)
    with pytest.raises(DataNotFoundError) if nth < 4 else _nothing():
        Lake(lake).read(TARGET)
    result = clean(lake)
    assert (result.computed, result.skipped) == (0, 2)
    pd.testing.assert_frame_equal(rows_of(lake), pandas_way(), check_dtype=False)


def _nothing() -> Any:
    import contextlib

    return contextlib.nullcontext()


def test_a_run_continues_after_its_process_is_killed(lake: Store) -> None:
    for month in range(1, 9):
        frame = pd.concat([bars(20_000, start=f"2024-{month:02d}-01", seed=n) for n in range(2)])
        lake.put(f"2024/{month:02d}/part-00000.parquet", parquet_bytes(frame))
    flags = ["--bucket", lake.address.url, "--executor", "inline"]
    command = [sys.executable, str(ROOT / "main.py"), "data", "clean", "partitions", "cleaned/FX"]
    process = subprocess.Popen([*command, *flags], stderr=subprocess.DEVNULL)
    while process.poll() is None and len([m for p in lake.list("timings/") for m in p]) < 2:
        time.sleep(0.005)
    process.kill()
    process.wait()
    receipt_count = len([meta for page in lake.list("timings/") for meta in page])
    result = clean(lake, sources=Sources(lake.address))
    assert result.failures == []
    assert result.manifest is not None
    assert len(result.manifest.files) == 8
    assert (result.skipped, result.computed) == (receipt_count, 8 - receipt_count)
    assert receipt_count >= 2


def test_two_runs_at_once_make_a_single_version(lake: Store) -> None:
    raw(lake)
    results: list[CleanResult] = []
    threads = [threading.Thread(target=lambda: results.append(clean(lake))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert list(Lake(lake).versions(TARGET)) == ["v1"]
    pd.testing.assert_frame_equal(rows_of(lake), pandas_way(), check_dtype=False)


def test_with_a_failing_store_nothing_is_published(
    lake: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.faulty_store import transient

    raw(lake)
    job = job_of(lake, resources=Resources(outage_minutes=0))

    def faulty(address: StoreAddress) -> Store:
        del address
        fault = Fault(("put_if_absent",), lambda key: "cleaning/" in key, 2, error=transient)
        return FaultyStore(lake, [fault])

    with monkeypatch.context() as patched:
        patched.setattr(file_worker, "open_store", faulty)
        result = clean_dataset(job, ME)
    assert (result.manifest, len(result.failures), result.computed) == (None, 1, 1)
    assert clean(lake).computed == 1


def test_a_raw_file_that_differs_from_its_manifest_stops_the_version(lake: Store) -> None:
    raw(lake)
    lake.put("raw/FX/2024-01-15/year=2024/month=01/part-00000.parquet", parquet_bytes(bars(50)))
    result = clean(lake)
    assert result.manifest is None
    assert [failure.error for _, failure in result.failures] == ["DatasetIntegrityError"]


def test_a_limit_leaves_the_version_for_later(lake: Store) -> None:
    raw(lake)
    first = clean(lake, limit=1)
    assert (first.manifest, first.computed, first.pending) == (None, 1, 1)
    second = clean(lake, limit=1)
    assert (second.computed, second.skipped, second.pending) == (1, 1, 0)
    assert second.manifest is not None


def test_memory_is_bounded_by_chunks_and_a_partition_that_cannot_fit_is_refused(
    lake: Store,
) -> None:
    frame = pd.concat([bars(20_000, seed=n).assign(symbol=f"S{n}") for n in range(3)])
    publish(lake, "raw/FX/2024-01-15", frame, contract=None)
    limit = 60_000 * ROW_BYTES
    tight = clean(lake, reading=Reading(memory_limit_bytes=limit))
    chunked = rows_of(lake)
    other_store = open_store(StoreAddress("memory://clean-memory/lake"))
    publish(other_store, "raw/FX/2024-01-15", frame, contract=None)
    roomy = clean(other_store)
    assert tight.failures == roomy.failures == []
    pd.testing.assert_frame_equal(chunked, rows_of(other_store))
    refused = clean(
        lake, reading=Reading(memory_limit_bytes=1 << 20), rules=CleanRules(nulls="drop")
    )
    assert "--memory_limit" not in refused.set_aside[0].judgement.reasons[0]
    assert refused.failures[0][1].hint is not None
    assert "--memory_limit" in refused.failures[0][1].hint


def test_an_isolation_forest_flags_rows(lake: Store) -> None:
    pytest.importorskip("sklearn")
    raw(lake)
    clean(lake, rules=CleanRules(method="isolation_forest", nulls="keep"))
    rows = rows_of(lake)
    assert rows["row_outlier"].sum() >= 2
    assert rows.loc[rows["volume"] == 1e7, "row_outlier"].all()


def test_retiring_a_version_deletes_its_files_but_not_those_that_others_share(lake: Store) -> None:
    raw(lake)
    clean(lake, every=True)
    raw(lake, "2024-01-16")
    clean(lake, every=True)
    changed = clean(lake, every=True, rules=CleanRules(outliers="keep"))
    assert changed.new
    from datetime import UTC, datetime

    versions = list(Lake(lake).versions(TARGET))
    plan = plan_retirement(Lake(lake), TARGET, Retention(tuple(versions[:1])), datetime.now(UTC))
    retire(Lake(lake), plan)
    assert len(rows_of(lake, replace(TARGET, version=versions[1]))) == 2 * len(pandas_way())
    plan = plan_retirement(Lake(lake), TARGET, Retention(keep_last=1), datetime.now(UTC))
    retire(Lake(lake), plan)
    remaining_keys = {meta.key for page in lake.list("cleaning/") for meta in page}
    assert changed.manifest is not None
    assert remaining_keys == {file.key for file in changed.manifest.files}


def test_a_version_below_the_latest_and_a_layer_that_is_not_cleaned_are_refused(
    lake: Store,
) -> None:
    raw(lake)
    clean_dataset(replace(job_of(lake), target=replace(TARGET, version="v3")), ME)
    with pytest.raises(ConfigError, match="below"):
        clean_dataset(replace(job_of(lake), target=replace(TARGET, version="v2")), ME)
    with pytest.raises(ConfigError, match="not in cleaned"):
        replace(job_of(lake), target=RAW)


def test_cleaning_does_not_import_pandas(lake: Store) -> None:
    """The import would cost a third of a second in every process."""
    raw(lake)
    code = """
import sys
from gigacast.__main__ import main
sys.argv = ["gigacast", "data", "clean", "raw/FX", "cleaned/FX", "--schema", "ohlcv", *sys.argv[1:]]
try:
    main()
finally:
    assert "pandas" not in sys.modules
"""
    flags = ["--bucket", lake.address.url, "--n_jobs", "1"]
    subprocess.run([sys.executable, "-c", code, *flags], check=True, cwd=ROOT)
    assert Lake(lake).resolve(TARGET).version is not None
