"""What a backfill writes becomes a version of a dataset: whole or not at all, and unchanging."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.cli.program import run
from gigacast.core.dataset.ref import DatasetRef
from gigacast.datasets import read_parquet_with_schema
from gigacast.errors import (
    ConfigError,
    DataNotFoundError,
    DatasetConflictError,
    DatasetIntegrityError,
    SchemaError,
)
from gigacast.feature_store import (
    JoinPart,
    LabelPart,
    open_features,
    read_features,
)
from gigacast.feature_store.definition.json import encode
from gigacast.feature_store.offline.label_run import label_days
from gigacast.feature_store.offline.result import BackfillResult, Days
from gigacast.feature_store.offline.run import backfill_days
from gigacast.feature_store.offline.stage import Backfill
from gigacast.feature_store.stored import key_of
from gigacast.lake.dataset.catalog import Lake as DatasetLake
from gigacast.lake.dataset.lineage import CHANGED, UNCHANGED, trace
from gigacast.lake.dataset.retire import Retention, plan_retirement, retire
from tests.flow.feature_store.shop import DAY, DAYS, FIRST, purchases, put_shop, training_set, users
from tests.support.features.lake import Lake

TABLE = "default.shop_training_set"
JOIN = training_set(purchases(("2d",)))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    put_shop(lake)
    return lake


def change_day(lake: Lake, number: int, price: int = 999) -> None:
    start = FIRST + number * DAY
    rows = [{"user": 1, "price": price, "ts": start + 2}]
    lake.put_day("data.purchases", DAYS[number], rows, part=1)


def stored(lake: Lake) -> list[dict[str, Any]]:
    """Return the rows of the partition files as they are, with the days of their folders."""
    return lake.read(JOIN)


def read(lake: Lake, **more: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_features(JOIN, bucket=lake.address.url, **more).to_pylist()
    return rows


def versions(lake: Lake) -> dict[str, str]:
    return DatasetLake(lake.store).versions(DatasetRef("features", TABLE))


def test_features_are_what_the_partition_files_hold(lake: Lake) -> None:
    result = lake.backfill(JOIN)
    assert result.datasets == (f"features/v1/{TABLE}",)
    assert read(lake) == stored(lake)
    span = [row for row in stored(lake) if DAYS[2] <= row["ds"] <= DAYS[4]]
    assert read(lake, start_ds=DAYS[2], ds=DAYS[4]) == span
    columns = ["ds", "shop_purchases_price_sum_2d"]
    assert read(lake, columns=columns) == [{c: row[c] for c in columns} for row in stored(lake)]


def test_a_version_is_found_by_definition_name_table_and_dataset(lake: Lake) -> None:
    lake.backfill(JOIN)
    for name in (JOIN, TABLE, "shop_training_set", f"features/v1/{TABLE}", f"features/{TABLE}"):
        assert read_features(name, bucket=lake.address.url).to_pylist() == stored(lake)
    opened = open_features(TABLE, bucket=lake.address.url)
    batches = list(opened.batches(batch_rows=3))
    assert max(batch.num_rows for batch in batches) == 3
    assert pa.Table.from_batches(batches).to_pylist() == stored(lake)
    assert (opened.dataset, opened.schema.names[-1]) == (f"features/v1/{TABLE}", "ds")


def test_duckdb_and_pandas_read_the_files_of_a_version(lake: Lake) -> None:
    lake.backfill(JOIN)
    files = open_features(TABLE, bucket=lake.address.url).files()
    paths = [file.removeprefix("file://") for file in files]
    glob = f"{lake.root}/feature_store/tables/default/shop_training_set/ds=*/*.parquet"
    options = "hive_partitioning = true, hive_types = {'ds': VARCHAR}"
    with duckdb.connect() as connection:
        for source in (paths, glob):
            relation = connection.sql(
                f'SELECT * FROM read_parquet(?, {options}) ORDER BY ds, "user"', params=[source]
            )
            assert relation.to_arrow_table().to_pylist() == stored(lake)
    for place in (paths, Path(glob).parents[1]):
        frame = pd.read_parquet(place)
        rows = frame.astype("object").where(frame.notna(), None).to_dict("records")
        named = [{name: row[name] for name in frame} for row in stored(lake)]
        assert rows == named


def test_the_reader_of_datasets_reads_it_too(lake: Lake) -> None:
    lake.backfill(JOIN)
    path = f"{lake.root}/features/latest/{TABLE}"
    frame = read_parquet_with_schema(path, filters=[("ds", "==", DAYS[3])])
    rows = frame.astype("object").where(frame.notna(), None).to_dict("records")
    assert rows == [row for row in stored(lake) if row["ds"] == DAYS[3]]


def test_a_rerun_publishes_nothing_new(lake: Lake) -> None:
    lake.backfill(JOIN)
    folder = lake.root / "features"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert lake.backfill(JOIN).datasets == (f"features/v1/{TABLE}",)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_nightly_backfill_shares_the_days_before_and_copies_none(lake: Lake) -> None:
    lake.backfill(JOIN, last=DAYS[5])
    first = read(lake)
    tables = lake.root / "feature_store/tables"
    times = {path: path.stat().st_mtime_ns for path in tables.rglob("*.parquet")}
    assert lake.backfill(JOIN, DAYS[6], DAYS[6]).datasets == (f"features/v1.1/{TABLE}",)
    assert [path.parent.name for path in {*tables.rglob("*.parquet")} - {*times}] == [
        f"ds={DAYS[6]}"
    ]
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert not list((lake.root / "features").rglob("*.parquet"))
    assert not (lake.root / "feature_store/kept").exists()
    assert read(lake, version="v1") == first
    assert read(lake) == stored(lake)


def test_a_day_that_is_computed_again_leaves_the_version_before_as_it_was(lake: Lake) -> None:
    lake.backfill(JOIN)
    before = read(lake)
    change_day(lake, 2)
    assert lake.backfill(JOIN).datasets == (f"features/v1.0.1/{TABLE}",)
    assert stored(lake) != before
    assert read(lake) == stored(lake)
    assert read(lake, version="v1") == before
    kept = open_features(JOIN, bucket=lake.address.url, version="v1").files()
    rows = [pq.ParquetFile(file.removeprefix("file://")).read().to_pylist() for file in kept]
    assert sum(map(len, rows)) == len(before)
    assert [r["shop_purchases_price_sum_2d"] for day in rows for r in day] == [
        row["shop_purchases_price_sum_2d"] for row in before
    ]


def test_a_moment_names_the_version_that_was_the_latest_then(lake: Lake) -> None:
    lake.backfill(JOIN)
    before = read(lake)
    published = datetime.fromisoformat(
        DatasetLake(lake.store).read(DatasetRef("features", TABLE)).created_at
    )
    change_day(lake, 2)
    moment = published + timedelta(seconds=1)
    job = Backfill(JOIN, lake.address)
    backfill_days(job, Days(), clock=lambda: moment + timedelta(hours=1))
    assert read(lake, as_of=moment) == before
    assert read(lake, as_of=(moment + timedelta(days=2)).date().isoformat()) == stored(lake)
    with pytest.raises(DataNotFoundError, match="no version was published until"):
        read(lake, as_of="2020-01-01")
    with pytest.raises(ConfigError, match="'yesterday' is no time"):
        read(lake, as_of="yesterday")
    with pytest.raises(ConfigError, match="version and as_of"):
        read(lake, as_of="2020-01-01", version="v1")


def test_another_definition_gets_a_version_of_its_own_days(lake: Lake) -> None:
    lake.backfill(JOIN)
    before = read(lake)
    longer = training_set(purchases(("3d",)))
    # The column of two days is gone, and all days but one: readers of v1 would break.
    assert lake.backfill(longer, DAYS[6], DAYS[6]).datasets == (f"features/v2/{TABLE}",)
    now = read_features(longer, bucket=lake.address.url)
    assert set(now["ds"].to_pylist()) == {DAYS[6]}
    assert "shop_purchases_price_sum_3d" in now.column_names
    assert read(lake, version="v1") == before


def test_labels_and_group_bys_are_published_and_stages_are_not(lake: Lake) -> None:
    group_by = purchases(("2d",))
    assert lake.backfill(group_by).datasets == ("features/v1/default.shop_purchases",)
    table = read_features(group_by, bucket=lake.address.url)
    assert table.to_pylist() == lake.read(group_by)
    assert lake.backfill(JOIN, only="parts").datasets == ()
    assert lake.backfill(JOIN, only="left").datasets == ()


def test_the_labels_of_several_days_are_one_dataset(lake: Lake) -> None:
    labels = LabelPart(labels=[JoinPart(group_by=users())], left_start_offset=3, left_end_offset=2)
    join = replace(JOIN, label_part=labels)
    lake.backfill(join)
    for day in DAYS[4:6]:
        for result in label_days(Backfill(join, lake.address), day):
            assert result.all_failures == []
    table = read_features(f"{TABLE}_labels", bucket=lake.address.url)
    assert table.to_pylist() == lake.read(join, "labels")
    assert table.column_names[-2:] == ["ds", "label_ds"]
    beside = read_features(f"{TABLE}_labeled", bucket=lake.address.url)
    assert beside.to_pylist() == lake.read(join, "labeled")


def test_a_version_says_what_it_was_made_of(lake: Lake) -> None:
    lake.backfill(JOIN)
    folder = lake.root / f"features/v1/{TABLE}"
    metadata = json.loads((folder / "metadata.json").read_text())
    manifest = json.loads((folder / "manifest.json").read_text())
    note = metadata["feature_store"]
    assert (note["definition"], note["engine"]) == ("join shop.training_set", "local")
    names = [name for name, _ in note["inputs"]]
    path = f"ds={DAYS[4]}/part-00000.parquet"
    seen = [names[place] for start, stop in note["days"][path] for place in range(start, stop)]
    assert seen == [
        f"data.checkouts/ds={DAYS[4]}",
        *(f"data.purchases/ds={day}" for day in DAYS[0:4]),
    ]
    contract = {column["name"]: column["type"] for column in manifest["contract"]["columns"]}
    schema = read_features(JOIN, bucket=lake.address.url).schema
    assert contract == {field.name: str(field.type) for field in schema}
    assert metadata["time_range"] == {"start": DAYS[0], "end": DAYS[-1]}
    lineage = trace(DatasetLake(lake.store), f"features/{TABLE}")
    assert {link.key for link in lineage.sources} == {
        f"data/{table}/ds={day}/part-0.parquet"
        for table, days in (("checkouts", DAYS), ("purchases", DAYS[:7]))
        for day in days
    }
    assert {link.state for link in lineage.sources} == {UNCHANGED}
    lake.put_day("data.purchases", DAYS[2], [{"user": 1, "price": 5, "ts": FIRST}])
    states = {x.key: x.state for x in trace(DatasetLake(lake.store), f"features/{TABLE}").sources}
    assert states[f"data/purchases/ds={DAYS[2]}/part-0.parquet"] == CHANGED


def test_a_dataset_that_something_else_made_is_not_replaced(lake: Lake) -> None:
    lake.backfill(JOIN)
    manifest = lake.root / f"features/v1/{TABLE}/manifest.json"
    stored_manifest = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(stored_manifest | {"extra": {}}))
    with pytest.raises(DatasetConflictError, match="was not made by a backfill") as error:
        lake.backfill(JOIN)
    assert "another name" in str(error.value.hint)


def test_a_run_with_a_day_that_fails_publishes_nothing(lake: Lake) -> None:
    lake.backfill(JOIN, last=DAYS[3])
    before = read(lake)
    good = [{"user": 1, "price": 5, "ts": FIRST + 4 * DAY}]
    lake.put_day("data.purchases", DAYS[4], [{**good[0], "price": 1.5}])
    result = backfill_days(Backfill(JOIN, lake.address), Days())
    assert [task.partition[-10:] for task, _ in result.failures] == DAYS[6:8]
    assert result.datasets == ()
    assert read(lake) == before
    lake.put_day("data.purchases", DAYS[4], good)
    assert lake.backfill(JOIN).datasets == (f"features/v1.1/{TABLE}",)
    assert read(lake) == stored(lake)


def test_a_bucket_of_an_earlier_release_gets_a_version_without_computing_anything(
    lake: Lake,
) -> None:
    lake.backfill(JOIN)
    for path in sorted((lake.root / "features").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    result: BackfillResult = lake.backfill(JOIN)
    assert (result.pending, result.datasets) == (0, (f"features/v1/{TABLE}",))
    assert read(lake) == stored(lake)


def test_a_day_that_others_replaced_is_named_and_never_read_for_another(lake: Lake) -> None:
    lake.backfill(JOIN)
    key = f"feature_store/tables/default/shop_training_set/ds={DAYS[2]}/part-00000.parquet"
    lake.store.put(key, (lake.root / key.replace(DAYS[2], DAYS[3])).read_bytes())
    with pytest.raises(DatasetIntegrityError, match=rf"ds={DAYS[2]}.*was replaced"):
        read(lake)


def test_retired_versions_take_their_kept_days_along_and_no_day_of_the_table(lake: Lake) -> None:
    lake.backfill(JOIN)
    for number in (2, 3):
        change_day(lake, number)
        lake.backfill(JOIN)
    datasets, ref = DatasetLake(lake.store), DatasetRef("features", TABLE)
    kept = lake.root / "feature_store/kept"
    assert list(kept.rglob("*.parquet"))
    plan = plan_retirement(datasets, ref, Retention(versions=("v1",)), datetime.now(UTC))
    retire(datasets, plan)
    assert read(lake) == stored(lake)
    assert read(lake, version="v1.0.1")
    rest = plan_retirement(datasets, ref, Retention(keep_last=1), datetime.now(UTC))
    retire(datasets, rest)
    assert not list(kept.rglob("*.parquet"))
    assert read(lake) == stored(lake)
    assert [*versions(lake)] == ["v1.0.2"]


def test_wrong_names_columns_and_versions_are_refused_by_name(lake: Lake) -> None:
    bucket = lake.address.url
    with pytest.raises(DataNotFoundError, match="shop_training_set"):
        read_features(JOIN, bucket=bucket)
    lake.backfill(JOIN)
    with pytest.raises(SchemaError, match="has no column 'pirce'"):
        read(lake, columns=["pirce"])
    with pytest.raises(DataNotFoundError, match=r"v7.*there are: v1"):
        read(lake, version="v7")
    with pytest.raises(DataNotFoundError, match="no compiled definition"):
        read_features("shop.nothing", bucket=bucket)
    with pytest.raises(ConfigError, match="dict is no definition"):
        read_features({}, bucket=bucket)  # type: ignore[arg-type]


def test_the_commands_name_the_version(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    put_definition(lake)
    bucket = ["--bucket", f"file://{lake.root}"]
    assert run(["feature-store", "backfill", "shop.purchases", *bucket]) == 0
    shown = capsys.readouterr()
    assert "features/v1/default.shop_purchases" in shown.out
    assert f"default.shop_purchases/ds={DAYS[0]}: 3 rows" in shown.err
    assert "series" not in shown.err
    assert run(["feature-store", "backfill", "shop.purchases", "--json", *bucket]) == 0
    assert json.loads(capsys.readouterr().out)["datasets"] == ["features/v1/default.shop_purchases"]
    assert run(["data", "versions", "features/default.shop_purchases", *bucket]) == 0
    assert "group-by shop.purchases: 8 new partitions" in capsys.readouterr().out


def put_definition(lake: Lake) -> None:
    group_by = purchases(("2d",))
    lake.store.put(key_of(group_by), encode(group_by, {}))
