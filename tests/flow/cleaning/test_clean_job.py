"""Cleaning of whole datasets: correct, resumable, one version at a time."""

import io
import itertools
import json
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.cleaning import partition as clean_partition
from gigacast.cleaning.rules import CleanRules
from gigacast.cleaning.run import CleanJob, CleanResult, clean_dataset
from gigacast.core.contract.predefined import OHLCV_SCHEMA
from gigacast.core.dataset.ref import DatasetRef
from gigacast.core.time.frequency import Frequency
from gigacast.datasets.resolve import rows_in
from gigacast.errors import ConfigError, DataNotFoundError
from gigacast.job import file_job
from gigacast.job.file_job import FileJob, Reading, Sources, sources_of_dataset
from gigacast.lake.dataset.catalog import Lake
from gigacast.lake.dataset.lineage import trace
from gigacast.lake.dataset.metadata import parse_metadata
from gigacast.lake.dataset.retire import Retention, plan_retirement, retire
from gigacast.quality.file import ROW_BYTES
from gigacast.quality.measures import Limit, Thresholds
from gigacast.runtime.parallel import JoblibExecutor
from gigacast.series.source import ColumnNames
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.bars import ME, bars, parquet_bytes, publish
from tests.support.faulty_store import Fault, FaultyStore, SimulatedCrash
from tests.support.moto_server import MotoServer

ROOT = Path(__file__).parents[3]
RAW, TARGET = DatasetRef.parse("raw/FX"), DatasetRef.parse("cleaned/FX")
LENIENT = Thresholds(**{name: Limit() for name in Thresholds.__dataclass_fields__})


@pytest.fixture
def lake(tmp_path: Path) -> Store:
    (tmp_path / "lake").mkdir()
    return open_store(StoreAddress(f"file://{tmp_path}/lake"))


def dirty(symbol: str, start: str = "2024-01-15", seed: int = 0) -> pd.DataFrame:
    """Bars of a symbol with every fault that cleaning repairs."""
    frame = bars(200, start=start, seed=seed)
    frame.insert(0, "symbol", symbol)
    frame.loc[20:22, "close"] = np.nan
    frame.loc[60, "volume"] = 1e7
    frame = frame.drop(index=range(100, 110))
    again = frame.iloc[[30]].assign(volume=7.0)
    return pd.concat([frame, again], ignore_index=True)


def raw(store: Store, day: str = "2024-01-15", **options: Any) -> None:
    frame = pd.concat([dirty("EURUSD"), dirty("GBPUSD", "2024-02-10", 1)])
    arguments = {"contract": None, "partition_by": ["month"], **options}
    publish(store, f"raw/FX/{day}", frame, **arguments)


def job_of(store: Store, **options: Any) -> CleanJob:
    files = {name: options.pop(name) for name in ("reading", "limit") if name in options}
    every = options.pop("every", False)
    sources = options.pop("sources", None) or sources_of_dataset(store.address, RAW, every=every)
    arguments = {"rules": CleanRules(), "thresholds": LENIENT, **options}
    return CleanJob(FileJob(sources, store.address, **files), TARGET, **arguments)


def clean(store: Store, **options: Any) -> CleanResult:
    return clean_dataset(job_of(store, **options), ME)


def rows_of(store: Store, ref: DatasetRef = TARGET) -> pd.DataFrame:
    return rows_in(Lake(store), ref).table().to_pandas()


def pandas_way() -> pd.DataFrame:
    """Clean each month as a slow user would, with a loop over symbols."""
    parts = []
    for frame in (dirty("EURUSD"), dirty("GBPUSD", "2024-02-10", 1)):
        own = frame.sort_values("timestamp", kind="stable").drop_duplicates(
            "timestamp", keep="last"
        )
        own = own.reset_index(drop=True)
        columns = ["open", "high", "low", "close", "volume"]
        for name in columns:
            low, high = own[name].quantile([0.25, 0.75])
            far = (own[name] < low - 3 * (high - low)) | (own[name] > high + 3 * (high - low))
            own[f"{name}_outlier"] = far
        own[columns] = own[columns].ffill()
        own["timestamp"] = own["timestamp"].dt.tz_localize("UTC")
        parts.append(own)
    return pd.concat(parts, ignore_index=True)


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
        patched.setattr(clean_partition, "open_store", faulty)
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


BAD = {
    "corrupted": (b"PAR1" + b"\0" * 200 + b"PAR1", "CorruptedFileError"),
    "truncated": (parquet_bytes(bars(50))[:-100], "CorruptedFileError"),
    "empty": (b"", "CorruptedFileError"),
    "text": (b"timestamp,close\n2024-01-01,1\n", "CorruptedFileError"),
    "wrong": (parquet_bytes(pd.DataFrame({"close": [1.0]})), "SchemaError"),
    "mixed": (parquet_bytes(bars(50).assign(close="n/a")), "SchemaError"),
}


def partitions(store: Store) -> Sources:
    for month in (1, 2, 3):
        frame = dirty("EURUSD", f"2024-{month:02d}-10", month)
        store.put(f"2024/{month:02d}/part-00000.parquet", parquet_bytes(frame))
    return Sources(store.address)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_partition_is_set_aside_with_its_reason_and_the_others_are_cleaned(
    lake: Store, name: str
) -> None:
    sources = partitions(lake)
    content, error = BAD[name]
    lake.put("2024/04/part-00000.parquet", content)
    result = clean(lake, sources=sources)
    assert [partition.partition for partition in result.set_aside] == ["2024/04/part-00000"]
    assert result.set_aside[0].judgement.reasons[0].startswith(error)
    assert result.manifest is not None
    assert [file.path for file in result.manifest.files] == [
        f"2024/{month:02d}/part-00000.parquet" for month in (1, 2, 3)
    ]
    assert result.manifest.quality_flags[0] == "1 partitions set aside"
    set_aside = json.loads(lake.get("cleaned/v1/FX/metadata.json"))["cleaning"]["set_aside"]
    assert set_aside[0]["partition"] == "2024/04/part-00000"


def test_a_partition_without_rows_becomes_an_empty_file(lake: Store) -> None:
    sources = partitions(lake)
    lake.put("2024/04/part-00000.parquet", parquet_bytes(dirty("EURUSD").iloc[:0]))
    result = clean(lake, sources=sources)
    assert result.manifest is not None
    assert [file.rows for file in result.manifest.files] == [200, 200, 200, 0] or [
        file.rows for file in result.manifest.files
    ] == [190, 190, 190, 0]
    assert result.set_aside == []


def unreadable(symbol: str = "EURUSD") -> pd.DataFrame:
    frame = dirty(symbol, "2024-04-10")
    return frame.assign(timestamp=frame["timestamp"].dt.strftime("%d/%m/%Y %H:%M"))


def test_a_partition_that_loses_every_row_is_set_aside_with_its_reason(lake: Store) -> None:
    sources = partitions(lake)
    lake.put("2024/04/part-00000.parquet", parquet_bytes(unreadable()))
    result = clean(lake, sources=sources)
    (lost,) = result.set_aside
    assert lost.judgement.reasons == (
        "fail: no row has a time that can be read, the first is '10/04/2024 00:00'",
    )
    assert result.changes_by_partition[lost.partition]["null_keys"] == len(unreadable())
    assert result.manifest is not None
    assert [file.rows for file in result.manifest.files] == [190] * 3


def test_when_every_partition_loses_every_row_nothing_is_published(lake: Store) -> None:
    lake.put("2024/04/part-00000.parquet", parquet_bytes(unreadable()))
    sources = Sources(lake.address)
    result = clean(lake, sources=sources)
    assert (result.manifest, len(result.set_aside)) == (None, 1)
    again = clean(lake, sources=sources)
    assert (again.manifest, again.skipped) == (None, 1)
    assert again.set_aside[0].judgement == result.set_aside[0].judgement
    assert Lake(lake).versions(TARGET) == {}


def test_a_partition_whose_rows_a_rule_drops_is_set_aside_too(lake: Store) -> None:
    frame = bars(50).assign(close=np.nan)
    lake.put("2024/04/part-00000.parquet", parquet_bytes(frame))
    rules = CleanRules(nulls="drop")
    result = clean(lake, sources=Sources(lake.address), rules=rules)
    assert result.manifest is None
    assert result.set_aside[0].judgement.reasons == (
        "fail: no row is left of 50: 50 dropped_nulls",
    )


def test_a_partition_that_never_had_rows_is_a_warning_and_makes_no_version(lake: Store) -> None:
    lake.put("2024/04/part-00000.parquet", parquet_bytes(dirty("EURUSD").iloc[:0]))
    result = clean(lake, sources=Sources(lake.address))
    assert (result.manifest, result.set_aside) == (None, [])
    assert result.partitions[0].judgement.reasons == ("no rows",)


def damaged_file(store: Store) -> str:
    """Append bytes to a cleaned file, as a bad disk might."""
    keys = [meta.key for page in store.list("cleaning/") for meta in page]
    (key, *_) = [key for key in keys if key.endswith(".parquet")]
    store.put(key, store.get(key) + b"rubbish")
    return key


def test_a_damaged_file_that_no_version_lists_is_written_again(lake: Store) -> None:
    raw(lake)
    assert clean(lake, limit=1).manifest is None
    damaged_file(lake)
    result = clean(lake)
    assert (result.failures, result.computed) == ([], 2)
    pd.testing.assert_frame_equal(rows_of(lake), pandas_way(), check_dtype=False)


def test_a_damaged_file_of_a_version_is_named_with_a_hint(lake: Store) -> None:
    raw(lake)
    clean(lake)
    key = damaged_file(lake)
    content = lake.get(key)
    result = clean(lake)
    ((_, failure),) = result.failures
    assert failure.error == "DatasetIntegrityError"
    assert (
        f"{lake.address.url}/{key} is damaged, and cleaned/v1/FX is made of it" in failure.message
    )
    assert failure.hint is not None
    assert "delete it and run this again" in failure.hint
    assert (result.manifest, lake.get(key)) == (None, content)
    lake.delete([key])  # as it says
    mended = clean(lake)
    assert (str(mended.manifest.ref), mended.new) == ("cleaned/v1.0.1/FX", True)  # type: ignore[union-attr]
    pd.testing.assert_frame_equal(rows_of(lake), pandas_way(), check_dtype=False)
    assert clean(lake).new is False


def test_partitions_beyond_thresholds_are_set_aside_and_new_thresholds_read_no_rows(
    lake: Store,
) -> None:
    sources = partitions(lake)
    frame = dirty("EURUSD", "2024-04-10", 9).iloc[::3]
    lake.put("2024/04/part-00000.parquet", parquet_bytes(frame))
    strict = replace(LENIENT, off_grid=Limit(), gaps=Limit(None, 0.2))
    reading = Reading(frequency=Frequency.parse("min"))
    result = clean(lake, sources=sources, thresholds=strict, reading=reading)
    assert [partition.partition for partition in result.set_aside] == ["2024/04/part-00000"]
    assert "gaps" in result.set_aside[0].judgement.reasons[0]
    later = clean(lake, sources=sources, reading=reading)
    assert (later.computed, later.set_aside) == (0, [])
    assert later.manifest is not None
    assert len(later.manifest.files) == 4


def test_with_a_failing_store_nothing_is_published(
    lake: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.faulty_store import transient

    raw(lake)
    job = job_of(lake)

    def faulty(address: StoreAddress) -> Store:
        del address
        fault = Fault(("put_if_absent",), lambda key: "cleaning/" in key, 2, error=transient)
        return FaultyStore(lake, [fault])

    with monkeypatch.context() as patched:
        patched.setattr(clean_partition, "open_store", faulty)
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


TIMES = pd.date_range("2024-03-09", periods=5, freq="h")


@pytest.mark.parametrize(
    ("times", "zone"),
    [
        (TIMES.as_unit("ns"), None),
        (TIMES.tz_localize("UTC").tz_convert("Asia/Tokyo"), None),
        (TIMES.strftime("%Y-%m-%d %H:%M:%S"), None),
        (TIMES.strftime("%Y-%m-%dT%H:%M:%SZ"), "America/New_York"),
        ((TIMES + pd.Timedelta("2h")).strftime("%Y-%m-%dT%H:%M:%S+02:00"), None),
        (TIMES.as_unit("s").asi8, None),
        (TIMES.as_unit("ms").asi8, None),
        (TIMES.as_unit("us").asi8, "America/New_York"),
        (TIMES.as_unit("ns").asi8.astype(float), None),
        (
            TIMES.tz_localize("UTC").tz_convert("America/New_York").tz_localize(None),
            "America/New_York",
        ),
        (TIMES + pd.Timedelta("10s"), None),
    ],
    ids=[
        *("naive", "zoned", "text", "text in UTC", "text with offset", "s", "ms", "us", "ns"),
        *("wall", "late"),
    ],
)
def test_times_of_every_form_become_utc_on_the_grid(
    lake: Store, times: Any, zone: str | None
) -> None:
    frame = pd.DataFrame({"ds": times, "close": np.arange(5.0)})
    lake.put("2024/03/part-00000.parquet", parquet_bytes(frame))
    rules = CleanRules(align="nearest", frequency=Frequency.parse("h"), zone=zone)
    reading = Reading(zone=zone, frequency=rules.frequency)
    clean(lake, sources=Sources(lake.address), rules=rules, reading=reading)
    cleaned_times = rows_of(lake)["ds"]
    assert str(cleaned_times.dt.tz) == "UTC"
    assert cleaned_times.dt.tz_localize(None).tolist() == TIMES.tolist()


BERLIN = pd.date_range("2024-10-26 23:00", periods=6, freq="h", tz="UTC").tz_convert(
    "Europe/Berlin"
)


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("as_text", [False, True])
def test_the_repeated_hour_is_resolved_by_the_order_of_rows(
    lake: Store, newest_first: bool, as_text: bool
) -> None:
    local = BERLIN.tz_localize(None)
    times = local.strftime("%Y-%m-%d %H:%M:%S") if as_text else local
    frame = pd.DataFrame({"ds": times, "close": np.arange(6.0)})
    frame = frame[::-1] if newest_first else frame
    lake.put("2024/10/part-00000.parquet", parquet_bytes(frame))
    reading = Reading(zone="Europe/Berlin")
    clean(lake, sources=Sources(lake.address), rules=CleanRules(zone=reading.zone), reading=reading)
    rows = rows_of(lake)
    assert rows["ds"].tolist() == BERLIN.tz_convert("UTC").tolist()
    assert rows["close"].tolist() == list(range(6))


@pytest.mark.parametrize(
    ("times", "problem"),
    [
        (["2024-10-27 01:00", "2024-10-27 02:30", "2024-10-27 03:00"], "occur twice"),
        (["2024-03-31 01:00", "2024-03-31 02:30", "2024-03-31 03:00"], "do not exist"),
    ],
)
def test_local_times_that_the_order_cannot_resolve_are_refused(
    lake: Store, times: list[str], problem: str
) -> None:
    frame = pd.DataFrame({"ds": pd.to_datetime(times), "close": np.arange(3.0)})
    lake.put("2024/10/part-00000.parquet", parquet_bytes(frame))
    reading = Reading(zone="Europe/Berlin")
    rules = CleanRules(zone=reading.zone)
    result = clean(lake, sources=Sources(lake.address), rules=rules, reading=reading)
    assert f"1 local times {problem} in Europe/Berlin" in result.failures[0][1].message


def test_dates_are_days_of_their_zone_even_if_a_day_has_no_midnight(lake: Store) -> None:
    # In Havana clocks go forward at midnight of 10 March 2024, and back at 01:00 of 3 November.
    days = pd.DatetimeIndex(["2024-03-09", "2024-03-10", "2024-11-03", "2024-11-04"])
    frame = pd.DataFrame({"ds": days, "close": np.arange(4.0)})
    lake.put("2024/03/part-00000.parquet", parquet_bytes(frame))
    reading = Reading(zone="America/Havana")
    clean(lake, sources=Sources(lake.address), rules=CleanRules(zone=reading.zone), reading=reading)
    cleaned_days = rows_of(lake)["ds"].dt.tz_convert("America/Havana").dt.strftime("%Y-%m-%d")
    assert cleaned_days.tolist() == days.strftime("%Y-%m-%d").tolist()


def test_a_contract_sets_types_drops_bad_rows_and_holds_for_the_others(lake: Store) -> None:
    frame = dirty("EURUSD").astype({"close": str})
    frame.loc[5, "close"] = "a lot"
    frame.loc[7, "high"] = 1.0
    publish(lake, "raw/FX/2024-01-15", frame, contract=None)
    result = clean(lake, rules=CleanRules(contract=OHLCV_SCHEMA))
    assert result.changes["unreadable"] == 1
    assert result.changes["broken_rows"] >= 1
    assert result.manifest is not None
    assert result.manifest.contract == OHLCV_SCHEMA.to_dict()
    rows = rows_of(lake)
    assert rows["close"].dtype == np.float64
    assert (rows["high"] >= rows[["open", "close", "low"]].max(axis=1)).all()
    missing = clean(lake, rules=CleanRules(contract=replace(OHLCV_SCHEMA, columns=(
        *OHLCV_SCHEMA.columns, replace(OHLCV_SCHEMA.columns[-1], name="bid"))
    )))  # fmt: skip
    assert missing.set_aside[0].judgement.reasons[0].startswith("MissingRequiredColumnError")


def test_columns_are_narrowed_and_texts_are_dictionaries(lake: Store) -> None:
    frame = dirty("EURUSD").assign(count=1, ratio=0.1)
    publish(lake, "raw/FX/2024-01-15", frame, contract=None)
    clean(lake, rules=CleanRules(outliers="keep", float_tolerance=1e-6))
    key = Lake(lake).read(TARGET).files[0].key
    schema = pq.read_schema(io.BytesIO(lake.get(key)))
    assert schema.field("count").type == pa.int8()
    assert schema.field("ratio").type == pa.float32()
    assert pa.types.is_dictionary(schema.field("symbol").type)
    assert Lake(lake).read(TARGET).schema.field("symbol").type == pa.string()


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


def test_ids_that_became_floats_are_refused(lake: Store) -> None:
    frame = pd.concat([bars(50).assign(item_id=n) for n in (1.0, 2.0)])
    publish(lake, "raw/FX/2024-01-15", frame, contract=None)
    result = clean(lake)
    assert result.manifest is None
    (failure,) = (failure for _, failure in result.failures)
    assert "column 'item_id' of type double cannot hold item ids" in failure.message
    assert "whole numbers" in str(failure.hint)


STRICT_KEYS = replace(LENIENT, duplicates=Limit(0, 0.05), null_keys=Limit(0, 0.05))


def panel(**columns: list[Any]) -> pd.DataFrame:
    """Rows of each combination of some columns, with values of their own."""
    parts = []
    for combination in itertools.product(*columns.values()):
        own = dict(zip(columns, combination, strict=True))
        parts.append(bars(40, seed=len(parts)).assign(**own))
    return pd.concat(parts)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"ticker": ["A", "B", "C"]}, "ticker tells them apart: use --item_column ticker"),
        ({"site": [1, 2]}, "site tells them apart: use --item_column site"),
        ({"store": ["x", "y"], "sku": [7, 8, 9]}, "store and sku tell them apart"),
    ],
)
def test_items_of_unnamed_columns_are_not_dropped_as_duplicates(
    lake: Store, columns: dict[str, list[Any]], message: str
) -> None:
    frame = panel(**columns)
    publish(lake, "raw/FX/2024-01-15", frame, contract=None)
    result = clean(lake, thresholds=STRICT_KEYS)
    assert result.manifest is None
    (partition,) = result.set_aside
    (reason,) = partition.judgement.reasons
    assert reason.startswith(f"fail: {len(frame) - 40} of {len(frame)} rows had a series and time")
    assert message in reason
    if len(columns) == 1:
        reading = Reading(columns=ColumnNames(item_id=next(iter(columns))))
        named = clean(lake, thresholds=STRICT_KEYS, reading=reading)
        assert named.manifest is not None
        assert named.manifest.rows == len(frame)
    allowed = clean(lake, thresholds=replace(STRICT_KEYS, duplicates=Limit()))
    assert allowed.manifest is not None
    assert (allowed.manifest.rows, allowed.computed) == (40, 0)


def test_rows_moved_to_the_same_time_by_the_grid_do_not_conflict(lake: Store) -> None:
    ticks = bars(300, step="7s").assign(trade_id=[f"t{n}" for n in range(300)])
    publish(lake, "raw/FX/2024-01-15", ticks, contract=None)
    rules = CleanRules(align="floor", frequency=Frequency.parse("min"))
    result = clean(lake, rules=rules, thresholds=STRICT_KEYS)
    assert result.manifest is not None
    assert result.manifest.rows == ticks["timestamp"].dt.floor("min").nunique()


def test_rows_with_unreadable_times_are_judged_by_the_thresholds(lake: Store) -> None:
    frame = bars(60)
    frame["timestamp"] = frame["timestamp"].astype(str).where(frame.index % 2 == 0, "30/01/2024")
    publish(lake, "raw/FX/2024-01-15", frame, contract=None)
    (partition,) = clean(lake, thresholds=STRICT_KEYS).set_aside
    assert partition.judgement.reasons == (
        "fail: 30 of 60 rows had no series or no time that can be read",
    )


def test_values_of_another_type_than_the_contracts_count_as_missing(lake: Store) -> None:
    frame = bars(60)
    frame["volume"] = frame["volume"].astype(str).where(frame.index % 3 == 0, "n/a")
    publish(lake, "raw/FX/2024-01-15", frame, contract=None)
    rules = CleanRules(contract=OHLCV_SCHEMA)
    (partition,) = clean(
        lake, rules=rules, thresholds=replace(LENIENT, missing=Limit(0, 0.2))
    ).set_aside
    assert partition.judgement.reasons[0] == (
        "fail: 40 of 60 values of volume were not of the contract's type"
    )


def test_repeated_rows_are_dropped_also_with_text_columns(lake: Store) -> None:
    frame = bars(50).assign(venue="X")
    publish(lake, "raw/FX/2024-01-15", pd.concat([frame, frame]), contract=None)
    result = clean(lake, thresholds=STRICT_KEYS)
    assert result.manifest is not None
    assert (result.manifest.rows, result.changes["duplicates"]) == (50, 50)
    assert not result.set_aside


@pytest.mark.parametrize(
    ("rules", "values"),
    [
        ({"nulls": "interpolate", "outliers": "keep"}, [1.0, None, None, 2.0, 3.0]),
        ({"nulls": "interpolate", "outliers": "keep"}, [16777216.0, None, 16777218.0]),
        ({"outliers": "clip", "limit": 1 / 3}, [0.0, 1.0, 2.0, 3.0, 4.0, 1000.0]),
    ],
)
def test_without_a_tolerance_filled_values_are_not_rounded_either(
    lake: Store, rules: dict[str, Any], values: list[float | None]
) -> None:
    times = pd.date_range("2024-01-01", periods=len(values), freq="h")
    frame = pd.DataFrame({"timestamp": times, "y": values})
    publish(lake, "raw/FX/2024-01-15", frame, contract=None)
    expected = frame["y"].interpolate().to_numpy()
    if rules["outliers"] == "clip":
        low, high = np.quantile(expected, (0.25, 0.75))
        reach = (high - low) / 3
        expected = np.clip(expected, low - reach, high + reach)
    assert not np.array_equal(expected, expected.astype(np.float32))
    result = clean(lake, rules=CleanRules(**rules))
    assert result.manifest is not None
    assert rows_of(lake, result.manifest.ref)["y"].to_numpy() == pytest.approx(expected, rel=1e-14)
    with_tolerance = clean(lake, rules=CleanRules(**rules, float_tolerance=1e-6))
    assert with_tolerance.manifest is not None
    assert with_tolerance.manifest.schema.field("y").type == pa.float32()
