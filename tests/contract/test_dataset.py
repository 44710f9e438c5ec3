"""What the lake promises, over every store: versions whole or not there, none ever changed."""

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from gigacast.core.contract.drift import needed_change
from gigacast.core.dataset.predicate import Predicate
from gigacast.core.dataset.ref import DatasetRef
from gigacast.core.dataset.version import Change
from gigacast.datasets.describe import describe_parquet, drift_of_versions
from gigacast.datasets.read import rows_of_version
from gigacast.errors import (
    ConfigError,
    ContractViolationError,
    DataNotFoundError,
    DatasetConflictError,
    DatasetIntegrityError,
    GigacastError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StorageError,
)
from gigacast.lake.dataset.catalog import DEPRECATED, PLAIN, PUBLISHED, UNFINISHED, Lake
from gigacast.lake.dataset.lineage import trace
from gigacast.lake.dataset.manifest import Dependency
from gigacast.lake.dataset.metadata import parse_metadata
from gigacast.lake.dataset.retire import (
    Retention,
    deprecate_version,
    plan_retirement,
    restore_version,
    retire,
)
from gigacast.lake.dataset.store import DatasetStore
from gigacast.storage.memory import forget_memory
from gigacast.storage.opening import open_store
from gigacast.storage.parquet.scan import ScanStats
from gigacast.storage.store import Store, StoreAddress
from tests.contract.store_backends import listed_keys
from tests.support.bars import ME, bars, parquet_bytes, publish, table
from tests.support.faulty_store import WRITES, Fault, FaultyStore, SimulatedCrash
from tests.support.moto_server import MotoServer

NewStore = Callable[[], Store]


@pytest.fixture(params=["memory", "folder", "s3"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewStore]:
    names: list[str] = []

    def make() -> Store:
        names.append(uuid.uuid4().hex)
        if request.param == "memory":
            return open_store(StoreAddress(f"memory://{names[-1]}/lake"))
        if request.param == "folder":
            (tmp_path / names[-1]).mkdir()
            return open_store(StoreAddress(f"file://{tmp_path / names[-1]}"))
        server: MotoServer = request.getfixturevalue("moto_server")
        return open_store(server.new_address("lake"))

    yield make
    for name in names:
        forget_memory(name)


@pytest.fixture
def store(new_store: NewStore) -> Store:
    return new_store()


def ref(text: str) -> DatasetRef:
    return DatasetRef.parse(text)


def contents(store: Store) -> dict[str, bytes]:
    return {key: store.get(key) for key in listed_keys(store)}


def read(
    store: Store, dataset: str, filters: list[tuple[str, str, object]] | None = None
) -> pa.Table:
    lake = Lake(store)
    manifest = lake.read(ref(dataset))
    view = DatasetStore(store, manifest, store.address)
    return rows_of_version(view, manifest).table(None, Predicate.parse(filters))


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


# -- crashes, races, damage ------------------------------------------------------------------------


def test_a_crash_between_any_two_requests_leaves_a_complete_version_or_none(
    new_store: NewStore,
) -> None:
    inner_store = new_store()
    counting = FaultyStore(inner_store)
    publish(counting, "cleaned/v1/MES", bars(90), max_file_rows=40)
    writes = sum(counting.counts[kind] for kind in WRITES)
    assert writes >= 7
    for nth in range(1, writes + 1):
        for when in ("before", "after"):
            store = new_store()
            faulty = FaultyStore(store, [Fault(WRITES, nth=nth, when=when)])
            with pytest.raises(SimulatedCrash):
                publish(faulty, "cleaned/v1/MES", bars(90), max_file_rows=40)
            lake = Lake(store)
            if lake.find(ref("cleaned/v1/MES")) is not None:
                assert read(store, "cleaned/v1/MES").equals(table(bars(90)))
            elif lake.state(ref("cleaned/v1/MES")) is not None:
                with pytest.raises(DataNotFoundError, match="unfinished"):
                    lake.read(ref("cleaned/v1/MES"))
                with pytest.raises(DatasetConflictError, match="unfinished"):
                    publish(store, "cleaned/v1/MES", bars(91))
            publish(store, "cleaned/v1/MES", bars(90), max_file_rows=40)
            assert read(store, "cleaned/v1/MES").equals(table(bars(90)))
            assert listed_keys(store) == listed_keys(inner_store)


@pytest.mark.parametrize("same", [True, False])
def test_two_concurrent_writers_leave_one_complete_version(store: Store, same: bool) -> None:
    frames = [bars(300), bars(300) if same else bars(300, seed=1)]
    barrier = threading.Barrier(2)
    outcomes: list[object] = [None, None]

    def run(number: int) -> None:
        barrier.wait()
        try:
            outcomes[number] = publish(store, "cleaned/v1/MES", frames[number], max_file_rows=50)
        except DatasetConflictError as error:
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = [n for n, outcome in enumerate(outcomes) if not isinstance(outcome, DatasetConflictError)]
    assert len(won) == (2 if same else 1)
    assert read(store, "cleaned/v1/MES").equals(table(frames[won[0]]))
    metadata = json.loads(store.get("cleaned/v1/MES/metadata.json"))
    assert metadata["digest"] == Lake(store).read(ref("cleaned/v1/MES")).digest
    if same:
        assert sum(outcome.new for outcome in outcomes) == 1  # type: ignore[attr-defined]


def test_two_concurrent_appends_lose_no_row(store: Store) -> None:
    publish(store, "cleaned/v1/MES", bars(10))
    barrier = threading.Barrier(2)
    lost: list[int] = []

    def run(number: int) -> None:
        rows = bars(10, start=f"2024-02-0{number + 1}", seed=number)
        barrier.wait()
        try:
            publish(store, "cleaned/MES", rows, append=True)
        except DatasetConflictError:
            lost.append(number)

    threads = [threading.Thread(target=run, args=(n,)) for n in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in lost:  # told so, and free to try again
        publish(
            store, "cleaned/MES", bars(10, start=f"2024-02-0{number + 1}", seed=number), append=True
        )
    assert len(read(store, "cleaned/latest/MES")) == 30


def test_a_file_replaced_after_it_was_published_is_refused_by_name(store: Store) -> None:
    publish(store, "cleaned/v1/MES", bars())
    store.put("cleaned/v1/MES/part-00000.parquet", parquet_bytes(bars(seed=1)))
    with pytest.raises(DatasetIntegrityError, match=r"part-00000.parquet was replaced"):
        read(store, "cleaned/v1/MES")
    store.delete(["cleaned/v1/MES/part-00000.parquet"])
    with pytest.raises(DatasetIntegrityError, match="is gone"):
        read(store, "cleaned/v1/MES")


def test_a_copy_of_a_lake_can_be_read(new_store: NewStore) -> None:
    store, copy = new_store(), new_store()
    publish(store, "cleaned/v1/MES", bars())
    for key, content in contents(store).items():
        copy.put(key, content)
    assert read(copy, "cleaned/v1/MES").equals(table(bars()))


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"format": 1}', b"\x00\xff"])
def test_a_manifest_whose_checksum_does_not_match_is_refused(store: Store, content: bytes) -> None:
    store.put("cleaned/v1/MES/manifest.json", content)
    with pytest.raises(DatasetIntegrityError, match="can't be trusted"):
        Lake(store).read(ref("cleaned/v1/MES"))


def test_a_manifest_copied_to_another_version_is_refused(store: Store) -> None:
    publish(store, "cleaned/v1/MES", bars())
    store.put("cleaned/v2/MES/manifest.json", store.get("cleaned/v1/MES/manifest.json"))
    with pytest.raises(DatasetIntegrityError, match="says it is cleaned/v1/MES"):
        Lake(store).read(ref("cleaned/v2/MES"))


def test_files_that_no_manifest_lists_are_not_overwritten(store: Store) -> None:
    store.put("cleaned/v1/MES/mine.parquet", b"mine")
    with pytest.raises(DatasetConflictError, match="by hand"):
        publish(store, "cleaned/v1/MES", bars())


def test_a_version_as_a_store_is_read_only(store: Store) -> None:
    manifest = publish(store, "cleaned/v1/MES", bars()).manifest
    view = DatasetStore(store, manifest, store.address)
    for write in (
        lambda: view.put("x", b""),
        lambda: view.put_if_absent("x", b""),
        lambda: view.put_if_match("x", b"", "etag"),
        lambda: view.move_if_absent("x", Path("local")),
        lambda: view.delete(["part-00000.parquet"]),
    ):
        with pytest.raises(StorageError, match="never change"):
            write()
    assert [meta.key for page in view.list() for meta in page] == ["part-00000.parquet"]
    assert view.list_folder().objects == (view.head("part-00000.parquet"),)


def test_a_version_on_this_machine_is_read_in_place(store: Store) -> None:
    manifest = publish(store, "cleaned/v1/MES", bars()).manifest
    view, key = DatasetStore(store, manifest, store.address), "part-00000.parquet"
    content = view.get(key)
    file = view.open_file(key, if_match=view.head(key).etag)
    assert (file is None) == (not store.address.url.startswith("file:"))
    if file is not None:
        with file:
            assert file.read() == content
    with pytest.raises(PreconditionFailedError):
        view.open_file(key, if_match="another")
    with pytest.raises(ObjectNotFoundError):
        view.open_file("none.parquet")


def test_a_copied_file_is_read_and_a_replaced_one_refused(tmp_path: Path) -> None:
    store = open_store(StoreAddress(f"file://{tmp_path}"))
    manifest = publish(store, "cleaned/v1/MES", bars()).manifest
    key = "cleaned/v1/MES/part-00000.parquet"
    content = store.get(key)
    store.put(key, content)  # as a copied lake has it: the bytes, and another ETag
    view = DatasetStore(store, manifest, store.address)
    with view.open_file("part-00000.parquet") as file:  # type: ignore[union-attr]
        assert file.read() == content
    store.put(key, b"other")
    with pytest.raises(DatasetIntegrityError, match="was replaced"):
        DatasetStore(store, manifest, store.address).open_file("part-00000.parquet")


# -- deprecation and retention ---------------------------------------------------------------------


def test_the_latest_version_is_the_newest_that_is_not_deprecated(store: Store) -> None:
    for version in ("v1", "v2"):
        publish(store, f"cleaned/{version}/MES", bars(seed=int(version[1])))
    lake = Lake(store)
    deprecate_version(lake, ref("cleaned/v2/MES"), ME, why="wrong zone", instead="v1")
    assert lake.resolve(ref("cleaned/MES")).version == "v1"
    assert lake.versions(ref("cleaned/MES"))["v2"] == DEPRECATED
    assert lake.deprecation(ref("cleaned/v2/MES")).why == "wrong zone"  # type: ignore[union-attr]
    assert read(store, "cleaned/v2/MES").num_rows == 100
    with pytest.raises(DatasetConflictError, match="wrong zone"):
        deprecate_version(lake, ref("cleaned/v2/MES"), ME)
    restore_version(lake, ref("cleaned/v2/MES"))
    assert lake.resolve(ref("cleaned/MES")).version == "v2"


def test_retirement_is_shown_first_and_keeps_shared_files(store: Store) -> None:
    publish(store, "cleaned/v1/MES", bars(10))
    publish(store, "cleaned/MES", bars(10, start="2024-02-01"), append=True)
    publish(store, "cleaned/v2/MES", bars(20, seed=3))
    lake, before = Lake(store), contents(store)
    now = datetime.now(UTC) + timedelta(days=400)
    plan = plan_retirement(lake, ref("cleaned/MES"), Retention(keep_last=2), now)
    assert [str(version) for version in plan.versions] == ["cleaned/v1/MES"]
    assert plan.shared_keys == ("cleaned/v1/MES/part-00000.parquet",)
    assert contents(store) == before
    assert retire(lake, plan) == 2
    assert read(store, "cleaned/v1.1/MES").num_rows == 20
    plan = plan_retirement(lake, ref("cleaned/MES"), Retention(versions=("v1.1", "v2")), now)
    assert plan.refused == {"v2": "the latest version stays"}
    retire(lake, plan)
    assert {key.split("/")[1] for key in listed_keys(store)} == {"v2"}


def test_only_old_or_deprecated_versions_are_retired(store: Store) -> None:
    for number in (1, 2, 3):
        publish(store, f"cleaned/v{number}/MES", bars(seed=number))
    lake = Lake(store)
    deprecate_version(lake, ref("cleaned/v2/MES"), ME)
    when = datetime(2026, 11, 22, tzinfo=UTC)

    def chosen(**rules: object) -> list[str]:
        retention = Retention(**rules)  # type: ignore[arg-type]
        plan = plan_retirement(lake, ref("cleaned/MES"), retention, when)
        return [str(retired.version) for retired in plan.versions]

    assert chosen(only_deprecated=True) == ["v2"]
    assert chosen(older_than_days=0.5) == ["v1", "v2"]
    assert chosen(older_than_days=2) == []


def test_files_of_a_killed_publication_are_retired_after_an_hour(store: Store) -> None:
    faulty = FaultyStore(store, [Fault(("put_if_absent",), nth=3)])
    with pytest.raises(SimulatedCrash):
        publish(faulty, "cleaned/v1/MES", bars())
    lake, retention = Lake(store), Retention(unfinished=True)
    soon = plan_retirement(lake, ref("cleaned/MES"), retention, datetime.now(UTC))
    assert soon.versions == ()
    assert "began" in soon.refused["v1"]
    later = datetime.now(UTC) + timedelta(hours=2)
    retire(lake, plan_retirement(lake, ref("cleaned/MES"), retention, later))
    assert listed_keys(store) == []
    publish(store, "cleaned/v1/MES", bars(seed=1))


# -- lineage ---------------------------------------------------------------------------------------


def test_lineage_lists_sources_and_products(store: Store) -> None:
    def source(dataset: str) -> tuple[Dependency, ...]:
        manifest = Lake(store).read(ref(dataset))
        return tuple(Dependency(f.key, f.etag, dataset) for f in manifest.files)

    publish(store, "raw/MES/2024-01-15", bars(10))
    publish(store, "cleaned/v1/MES", bars(10), dependencies=source("raw/MES/2024-01-15"))
    publish(store, "cleaned/MES", bars(5, start="2024-02-01"), append=True)
    publish(store, "features/v1/momentum", bars(10), dependencies=source("cleaned/v1/MES"))
    lake = Lake(store)
    lineage = trace(lake, "features/momentum")
    assert [(product.depth, product.name, product.state) for product in lineage.sources] == [
        (1, "cleaned/v1/MES", "as it was"),
        (2, "raw/MES/2024-01-15", "as it was"),
    ]
    assert lineage.sources[1].etag == store.head("raw/MES/2024-01-15/part-00000.parquet").etag
    down = trace(lake, "raw/MES/2024-01-15/part-00000.parquet").products
    assert {(product.depth, product.name, product.relation) for product in down} == {
        (1, "cleaned/v1/MES", "made from"),
        (1, "cleaned/v1.1/MES", "made from"),  # it holds the rows of its parent too
        (2, "features/v1/momentum", "made from"),
    }
    store.delete(["raw/MES/2024-01-15/part-00000.parquet"])
    assert [product.state for product in trace(lake, "cleaned/v1/MES").sources] == ["gone"]
    with pytest.raises(DataNotFoundError, match="neither a dataset nor an object"):
        trace(lake, "cleaned/v7/XYZ")
