"""What the lake promises, over every store: versions whole or not there, none ever changed."""

import pandas as pd
import pyarrow as pa
import pytest

from gigacast.core.contract.drift import needed_change
from gigacast.core.dataset.predicate import Predicate
from gigacast.core.dataset.version import Change
from gigacast.datasets.describe import describe_parquet, drift_of_versions
from gigacast.datasets.read import rows_of_version
from gigacast.errors import (
    ConfigError,
    ContractViolationError,
    DataNotFoundError,
    DatasetConflictError,
    GigacastError,
)
from gigacast.lake.dataset.catalog import PLAIN, PUBLISHED, UNFINISHED, Lake
from gigacast.lake.dataset.manifest import Dependency
from gigacast.lake.dataset.metadata import parse_metadata
from gigacast.lake.dataset.store import DatasetStore
from gigacast.storage.parquet.scan import ScanStats
from gigacast.storage.store import Store
from tests.contract.lakes import contents, read, ref
from tests.contract.store_backends import NewStore, listed_keys
from tests.support.bars import bars, parquet_bytes, publish, table

# -- publishing ------------------------------------------------------------------------------------


def test_a_version_is_its_files_its_metadata_and_a_manifest(store: Store) -> None:
    result = publish(store, "cleaned/v1/MES", bars())
    assert result.new
    assert listed_keys(store) == [
        "cleaned/v1/MES/manifest.json",
        "cleaned/v1/MES/metadata.json",
        "cleaned/v1/MES/part-00000.parquet",
    ]
    assert Lake(store).read(ref("cleaned/v1/MES")) == result.manifest
    assert read(store, "cleaned/v1/MES").equals(table(bars()))


def test_metadata_records_content_origin_quality_and_software(store: Store) -> None:
    frame = bars(10)
    frame.loc[3, "volume"] = None
    etag = store.put("raw/MES/2024-01-15/x.parquet", b"x")
    made_from = (Dependency("raw/MES/2024-01-15/x.parquet", etag, "raw/MES/2024-01-15"),)
    publish(
        store,
        "cleaned/v1/MES",
        frame,
        dependencies=made_from,
        what="first",
        quality_flags=("thin",),
    )
    metadata = parse_metadata(store.get("cleaned/v1/MES/metadata.json"), "here")
    file = store.head("cleaned/v1/MES/part-00000.parquet")
    assert (metadata["layer"], metadata["asset"], metadata["version"]) == ("cleaned", "MES", "v1")
    assert (metadata["record_count"], metadata["file_size_bytes"]) == (10, file.size_bytes)
    assert metadata["quality"] == {
        "null_counts": {n: int(n == "volume") for n in frame.columns},
        "completeness_percentage": 98.3333,
        "quality_flags": ["thin"],
    }
    assert metadata["dependencies"] == [
        {"key": made_from[0].key, "etag": etag, "dataset": "raw/MES/2024-01-15"}
    ]
    assert metadata["changelog"][0] == {
        "version": "v1",
        "when": "2026-11-21T00:00:00.000+00:00",
        "who": "ann@desk",
        "what": "first",
    }
    assert metadata["schema"]["name"] == "ohlcv"
    assert metadata["schema"]["columns"][0] == {
        "name": "timestamp",
        "type": "timestamp[us]",
        "nullable": True,
        "null_count": 0,
        "minimum": "2024-01-15T00:00:00",
        "maximum": "2024-01-15T00:09:00",
    }
    assert metadata["files"][0]["etag"] == file.etag
    assert set(metadata["software"]) == {"python", "gigacast", "pyarrow", "numpy"}


def test_a_copied_file_still_names_its_dataset_and_version(new_store: NewStore) -> None:
    store, elsewhere = new_store(), new_store()
    publish(store, "features/v2/momentum", bars(10), what="first try", contract=None)
    elsewhere.put("x.parquet", store.get("features/v2/momentum/part-00000.parquet"))
    metadata = describe_parquet(elsewhere, "x.parquet")["metadata"]
    assert (metadata["layer"], metadata["feature_set"], metadata["version"]) == (
        "features",
        "momentum",
        "v2",
    )
    assert (metadata["record_count"], metadata["quality"]["completeness_percentage"]) == (10, 100.0)
    assert metadata["changelog"][0]["what"] == "first try"
    assert metadata["created_at"] == "2026-11-21T00:00:00.000+00:00"
    assert metadata["software"]["pyarrow"] == pa.__version__


def test_publishing_the_same_content_again_changes_nothing(store: Store) -> None:
    publish(store, "cleaned/v1/MES", bars())
    before = contents(store)
    assert not publish(store, "cleaned/v1/MES", bars()).new
    assert contents(store) == before


@pytest.mark.parametrize("dataset", ["cleaned/v1/MES", "raw/MES/2024-01-15"])
def test_other_content_under_a_published_version_is_refused(store: Store, dataset: str) -> None:
    publish(store, dataset, bars())
    before = contents(store)
    with pytest.raises(DatasetConflictError, match=r"published on .* with other content"):
        publish(store, dataset, bars(seed=1))
    assert contents(store) == before


def test_rows_that_break_the_contract_leave_nothing_behind(store: Store) -> None:
    frame = bars(5000)
    frame.loc[4321, "high"] = 0.0
    with pytest.raises(ContractViolationError, match="high >= low") as caught:
        publish(store, "cleaned/v1/MES", frame)
    assert {violation.rule for violation in caught.value.violations} == {
        "high >= low",
        "high >= open",
        "high >= close",
    }
    assert listed_keys(store) == []


def test_a_duplicate_key_is_found_across_files_and_batches(store: Store) -> None:
    frame = pd.concat([bars(3000), bars(1)])
    with pytest.raises(ContractViolationError, match="timestamp: unique in 1 row") as caught:
        publish(store, "cleaned/v1/MES", frame, max_file_rows=700)
    violations = {violation.rule: violation for violation in caught.value.violations}
    first = pd.Timestamp("2024-01-15").to_pydatetime()
    assert violations["unique"].sample[0] == {"row": 3000, "timestamp": first}
    assert violations["ordered"].count == 1


def test_the_latest_version_is_the_highest_that_is_published(store: Store) -> None:
    for version in ("v9", "v10", "v10.1"):
        publish(store, f"cleaned/{version}/MES", bars(seed=len(version)))
    store.put("cleaned/v11/MES/part-00000.parquet", parquet_bytes(bars()))
    store.put("cleaned/v12/MES/PUBLISHING", b"{}")
    lake = Lake(store)
    assert lake.resolve(ref("cleaned/latest/MES")).version == "v10.1"
    assert lake.versions(ref("cleaned/MES")) == {
        "v9": PUBLISHED,
        "v10": PUBLISHED,
        "v10.1": PUBLISHED,
        "v11": PLAIN,
        "v12": UNFINISHED,
    }
    with pytest.raises(DataNotFoundError, match=r"v11 \(no manifest\), v12 \(unfinished\)"):
        lake.read(ref("cleaned/v11/MES"))


def test_the_kind_of_change_decides_the_next_version_number(store: Store) -> None:
    frame = bars()
    numbers = [publish(store, "cleaned/MES", frame, contract=None).manifest.version]
    steps = (
        frame.assign(close=frame["close"] + 1),
        frame.assign(vwap=1.0),
        frame.drop(columns=["volume"]),
    )
    for changed in steps:
        numbers.append(publish(store, "cleaned/MES", changed, contract=None).manifest.version)
    assert numbers == ["v1", "v1.0.1", "v1.1", "v2"]
    assert not publish(store, "cleaned/MES", steps[-1], contract=None).new
    changelog = Lake(store).read(ref("cleaned/MES")).changelog
    assert [entry.version for entry in changelog] == numbers[::-1]


def test_a_minor_version_number_is_refused_for_a_breaking_change(store: Store) -> None:
    publish(store, "cleaned/v1/MES", bars(), contract=None)
    with pytest.raises(
        ConfigError, match="too small a step from v1 for: volume: removed"
    ) as caught:
        publish(store, "cleaned/v1.1/MES", bars().drop(columns=["volume"]), contract=None)
    assert caught.value.hint == "publish it as v2 or higher"


def test_drift_between_versions_is_listed_field_by_field(store: Store) -> None:
    publish(store, "cleaned/v1/MES", bars())
    changed = bars().rename(columns={"volume": "size"}).astype({"size": "int64"})
    changed.loc[:49, "size"] = 0
    publish(store, "cleaned/v2/MES", changed, contract=None)
    lake = Lake(store)
    drift = drift_of_versions(lake.read(ref("cleaned/v1/MES")), lake.read(ref("cleaned/v2/MES")))
    assert [(d.field, d.kind) for d in drift] == [("size", "added"), ("volume", "removed")]
    assert needed_change(drift) is Change.MAJOR


# -- appending -------------------------------------------------------------------------------------


def test_an_append_is_a_new_version_that_shares_the_files_of_its_parent(store: Store) -> None:
    publish(store, "cleaned/v1/MES", bars(100))
    before = contents(store)
    later = bars(50, start="2024-02-01", seed=1)
    result = publish(store, "cleaned/MES", later, append=True)
    assert (result.manifest.version, result.manifest.parent) == ("v1.1", "v1")
    assert [file.key for file in result.manifest.files] == [
        "cleaned/v1/MES/part-00000.parquet",
        "cleaned/v1.1/MES/part-00001.parquet",
    ]
    assert read(store, "cleaned/v1.1/MES").equals(table(pd.concat([bars(100), later])))
    assert read(store, "cleaned/v1/MES").equals(table(bars(100)))
    assert {key: contents(store)[key] for key in before} == before


def test_an_append_that_repeats_a_key_of_its_parent_is_refused(store: Store) -> None:
    publish(store, "cleaned/v1/MES", bars(100))
    with pytest.raises(ContractViolationError, match="timestamp: unique in 40 rows"):
        publish(store, "cleaned/MES", bars(60, start="2024-01-15 01:00", seed=1), append=True)
    between = bars(60, start="2024-01-15 00:00:30", seed=1)
    assert publish(store, "cleaned/MES", between, append=True).manifest.version == "v1.1"


def test_old_files_are_read_with_added_and_widened_columns(store: Store) -> None:
    old = bars(10).astype({"volume": "int32"})
    publish(store, "cleaned/v1/MES", old, contract=None)
    new = bars(10, start="2024-02-01").astype({"volume": "int64"}).assign(trades=7.5)
    publish(store, "cleaned/MES", new, contract=None, append=True)
    got = read(store, "cleaned/latest/MES")
    assert got.schema.field("volume").type == pa.int64()
    assert got["volume"].to_pylist() == [*old["volume"], *new["volume"]]
    assert got["trades"].to_pylist() == [None] * 10 + [7.5] * 10
    assert len(read(store, "cleaned/MES", [("trades", ">", 7)])) == 10
    assert Lake(store).read(ref("cleaned/MES")).null_counts["trades"] == 10
    with pytest.raises(GigacastError, match="volume"):
        publish(store, "cleaned/MES", new.astype({"volume": "str"}), contract=None, append=True)


def test_a_reader_of_one_version_does_not_notice_the_next(store: Store) -> None:
    publish(store, "cleaned/v1/MES", bars(3000), max_file_rows=500)
    manifest = Lake(store).read(ref("cleaned/MES"))
    view = DatasetStore(store, manifest, store.address)
    reading = rows_of_version(view, manifest).read()
    first = next(reading)
    publish(store, "cleaned/MES", bars(10, start="2025-01-01"), append=True)
    publish(store, "cleaned/v2/MES", bars(5))
    assert pa.Table.from_batches([first, *reading]).equals(table(bars(3000)))


# -- partitions and filters ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("partition_by", "filters", "files"),
    [
        (["date"], [("date", "==", "2024-01-16")], 1),
        (["symbol"], [("symbol", "==", "MES")], 1),
        (["symbol", "date"], [("symbol", "==", "MES"), ("date", ">", "2024-01-15")], 1),
        (["date"], [("timestamp", "<", pd.Timestamp("2024-01-16"))], 1),
        ([], [("symbol", "==", "none of them")], 0),
    ],
)
def test_files_that_cannot_match_a_filter_are_not_read(
    store: Store, partition_by: list[str], filters: list[tuple[str, str, object]], files: int
) -> None:
    parts = [bars(90, step="30min").assign(symbol=name) for name in ("ES", "MES")]
    frame = pd.concat(parts, ignore_index=True)
    manifest = publish(
        store, "cleaned/v1/X", frame, partition_by=partition_by, contract=None
    ).manifest
    stats = ScanStats()
    view = DatasetStore(store, manifest, store.address)
    got = rows_of_version(view, manifest).table(None, Predicate.parse(filters), stats=stats)
    expected = frame.assign(date=frame["timestamp"].dt.date.astype(str))
    for column, operator, value in filters:
        expected = expected[
            getattr(expected[column], {"==": "eq", ">": "gt", "<": "lt"}[operator])(value)
        ]
    assert stats.files == files
    key = ["symbol", "timestamp"]
    pd.testing.assert_frame_equal(
        got.to_pandas().sort_values(key).reset_index(drop=True),
        expected.drop(columns="date").sort_values(key).reset_index(drop=True),
        check_dtype=False,
    )
