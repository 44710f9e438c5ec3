"""Versions are deprecated, retired and traced to their sources."""

from datetime import UTC, datetime, timedelta

import pytest

from gigacast.errors import (
    DataNotFoundError,
    DatasetConflictError,
)
from gigacast.lake.dataset.catalog import DEPRECATED, Lake
from gigacast.lake.dataset.lineage import trace
from gigacast.lake.dataset.manifest import Dependency
from gigacast.lake.dataset.retire import (
    Retention,
    deprecate_version,
    plan_retirement,
    restore_version,
    retire,
)
from gigacast.storage.store import Store
from tests.contract.lakes import contents, read, ref
from tests.contract.store_backends import listed_keys
from tests.support.bars import ME, bars, publish
from tests.support.faulty_store import Fault, FaultyStore, SimulatedCrash

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
