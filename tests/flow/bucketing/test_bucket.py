"""`data bucket` divides rows by their items, once, and forecasts of buckets are those of months."""

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gigacast
from gigacast.bucketing import partition as bucketing
from gigacast.cli.program import run
from gigacast.forecasting import look
from gigacast.storage.folder.store import FolderStore
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.panels import hourly_panel, put_frame

ITEMS = [f"item-{number}" for number in range(30)]
NAIVE: dict[str, Any] = {"model": "seasonal-naive", "horizon": 4}


@pytest.fixture(autouse=True)
def _no_settings_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


def put_lake(store: Store, months: tuple[str, ...] = ("2024-01", "2024-02")) -> pd.DataFrame:
    """Write months of two parts, over which the rows of every item are spread; return all rows."""
    frames = []
    for month in months:
        panel = hourly_panel(month, ITEMS, steps=48)
        panel["note"] = "n" + panel.index.astype(str)
        for part in range(2):
            own = panel[panel.index % 2 == part]
            put_frame(store, f"{month.replace('-', '/')}/part-{part:05d}.parquet", own)
        frames.append(panel)
    return pd.concat(frames, ignore_index=True)


@pytest.fixture
def lake(tmp_path: Path) -> Store:
    (tmp_path / "lake").mkdir()
    return open_store(StoreAddress(f"file://{tmp_path}/lake"))


def divide(store: Store, *flags: str, code: int = 0) -> Any:
    words = ["data", "bucket", "--bucket", store.address.url, "--buckets", "5", *flags, "--json"]
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out)
        assert run(words) == code
    return json.loads(out.getvalue())


def parts_of(store: Store, into: str = "bucketed") -> dict[str, pd.DataFrame]:
    keys = [entry.key for page in store.list(f"{into}/") for entry in page]
    return {key: pq.read_table(io.BytesIO(store.get(key))).to_pandas() for key in keys}


def bucket_in(key: str) -> str:
    return key.split("/bucket=")[1][:2]


# -- what is written -------------------------------------------------------------------------------


def test_every_row_is_in_one_part_and_every_item_in_one_bucket_of_all_months(lake: Store) -> None:
    rows = put_lake(lake)
    result = divide(lake)
    assert (result["computed"], result["rows"], result["failures"]) == (4, len(rows), [])
    parts = parts_of(lake)
    buckets: dict[str, set[str]] = {}
    for key, frame in parts.items():
        assert list(frame.columns) == list(rows.columns)
        for item in frame["item_id"].unique():
            buckets.setdefault(item, set()).add(bucket_in(key))
    assert {len(own) for own in buckets.values()} == {1}
    assert len({bucket for own in buckets.values() for bucket in own}) == 5
    written = pd.concat(parts.values()).sort_values(["item_id", "timestamp"], ignore_index=True)
    pd.testing.assert_frame_equal(
        written, rows.sort_values(["item_id", "timestamp"], ignore_index=True)
    )
    for key in parts:
        folder, _, name = key.removeprefix("bucketed/").rpartition("/")
        assert lake.head(f"{folder[:7]}/{name}")
    # Of the series that are in a bucket nothing is known: they are not read.
    receipts = [e.key for page in lake.list("timings/bucketing/") for e in page]
    counts = [(r["rows"], r["series"]) for r in (json.loads(lake.get(k)) for k in receipts)]
    assert [series for _, series in counts] == [0] * 4
    assert sum(count for count, _ in counts) == len(rows)


def test_a_second_run_writes_nothing_and_a_third_the_same_bytes(
    lake: Store, tmp_path: Path
) -> None:
    put_lake(lake)
    divide(lake)
    before = {e.key: e.etag for page in lake.list("bucketed/") for e in page}
    second = divide(lake)
    assert (second["computed"], second["skipped"]) == (0, 4)
    assert {e.key: e.etag for page in lake.list("bucketed/") for e in page} == before
    contents = {key: lake.get(key) for key in before}
    for folder in ("bucketed/", "bucketing/", "timings/bucketing/"):
        lake.delete(entry.key for page in lake.list(folder) for entry in page)
    divide(lake)
    assert {key: lake.get(key) for key in contents} == contents


def test_the_spec_of_a_division_is_the_same_on_every_day_and_machine(lake: Store) -> None:
    # Another one would divide all objects of users again.
    put_frame(lake, "2024/01/part-0.parquet", hourly_panel(items=["a"], steps=2))
    divide(lake)
    lists = [entry.key for page in lake.list("bucketing/") for entry in page]
    assert "bucketing/bucketed/807854f8/2024/01/part-0.json" in lists


def test_a_changed_object_is_divided_again_and_leaves_no_rows_of_its_former_state(
    lake: Store,
) -> None:
    put_lake(lake, ("2024-01",))
    divide(lake)
    panel = hourly_panel("2024-01", ITEMS[:1], steps=10)
    panel["note"] = "new"
    put_frame(lake, "2024/01/part-00001.parquet", panel)
    result = divide(lake)
    assert (result["computed"], result["skipped"], result["rows"]) == (1, 1, 10)
    second = [frame for key, frame in parts_of(lake).items() if "part-00001" in key]
    assert [len(frame) for frame in second] == [10]


def test_a_run_that_dies_between_parts_is_finished_by_the_next(
    lake: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = put_lake(lake, ("2024-01",))
    putting, count = FolderStore.put_unless_equal, Counter[str]()

    def dying(self: FolderStore, key: str, content: bytes | Path) -> str:
        count["parts"] += "/bucket=" in key
        if count["parts"] == 4:
            raise OSError("the machine is gone")
        return putting(self, key, content)

    with monkeypatch.context() as patch:
        patch.setattr(FolderStore, "put_unless_equal", dying)
        words = ["data", "bucket", "--bucket", lake.address.url, "--buckets", "5", "--quiet"]
        assert run(words) == 1
    divide(lake)
    written = pd.concat(parts_of(lake).values())
    assert Counter(written["note"]) == Counter(rows["note"])


def test_an_object_that_is_gone_is_named(lake: Store) -> None:
    put_lake(lake, ("2024-01",))
    divide(lake)
    lake.delete(["2024/01/part-00001.parquet"])
    assert divide(lake)["orphans"] == ["2024/01/part-00001"]
    assert divide(lake, "--limit", "1")["orphans"] == []


# -- items -----------------------------------------------------------------------------------------


def test_an_item_has_one_bucket_whatever_the_type_of_its_id(lake: Store) -> None:
    days = pd.date_range("2024-01-01", periods=3)
    for month, kind in ((1, "int32"), (2, "str"), (3, "category"), (4, "int64")):
        ids = pd.Series(range(40)).astype("str" if kind == "category" else kind)
        frame = pd.DataFrame({"item_id": ids.astype(kind), "target": 1.0}).merge(
            pd.DataFrame({"timestamp": days}), how="cross"
        )
        frame["item_id"] = frame["item_id"].astype(kind)
        put_frame(lake, f"2024/{month:02d}/part-0.parquet", frame)
    divide(lake)
    buckets: dict[str, set[str]] = {}
    for key, frame in parts_of(lake).items():
        for item in frame["item_id"].unique():
            buckets.setdefault(str(item), set()).add(bucket_in(key))
    assert len(buckets) == 40
    assert {len(own) for own in buckets.values()} == {1}


def test_several_columns_are_an_item_together(lake: Store) -> None:
    days = pd.date_range("2024-01-01", periods=2)
    pairs = [(store, sku) for store in range(6) for sku in ("tea", "a/b", "a")]
    frame = pd.DataFrame(pairs, columns=["store", "sku"]).merge(
        pd.DataFrame({"timestamp": days, "target": 1.0}), how="cross"
    )
    put_frame(lake, "2024/01/part-0.parquet", frame)
    divide(lake, "--item_columns", "store,sku")
    places = Counter(
        (row.store, row.sku, bucket_in(key))
        for key, part in parts_of(lake).items()
        for row in part.itertuples()
    )
    assert set(places.values()) == {2}
    assert len(places) == len(pairs)
    # By the first column alone there would be no more than a bucket for each store.
    assert len({(store, own) for store, _, own in places}) > 6


def test_other_columns_are_named_and_divide_nothing_again(lake: Store) -> None:
    panel = hourly_panel(items=ITEMS[:4], steps=5)
    panel.columns = pd.Index(["item_id", "hour", "sales"])
    put_frame(lake, "2024/01/part-0.parquet", panel.assign(price=1))
    named = ["--timestamp_column", "hour", "--targets", "sales"]
    assert divide(lake, *named)["computed"] == 1
    again = divide(lake, "--timestamp_column", "hour", "--targets", "price")
    assert (again["computed"], again["skipped"]) == (0, 1)


def test_rows_without_an_item_are_in_the_first_bucket(lake: Store) -> None:
    frame = hourly_panel(items=["a", "b"], steps=24)
    frame.loc[::5, "item_id"] = None
    put_frame(lake, "2024/01/part-0.parquet", frame)
    divide(lake)
    parts = parts_of(lake)
    absent = {bucket_in(key): int(part["item_id"].isna().sum()) for key, part in parts.items()}
    assert {bucket: n for bucket, n in absent.items() if n} == {"00": frame["item_id"].isna().sum()}


def test_batches_of_an_object_do_not_show(lake: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put_lake(lake, ("2024-01",))
    divide(lake)
    divide_small = {"_BATCH_ROWS": 7, "_HELD_ROWS": 1}
    for name, value in divide_small.items():
        monkeypatch.setattr(bucketing, name, value)
    divide(lake, "--into", "small")
    large, small = parts_of(lake), parts_of(lake, "small")
    assert {key.replace("bucketed", "small") for key in large} == {*small}
    for key, part in large.items():
        pd.testing.assert_frame_equal(small[key.replace("bucketed", "small")], part)


# -- what is refused -------------------------------------------------------------------------------


def test_a_folder_is_divided_by_one_number_of_buckets(lake: Store) -> None:
    put_lake(lake, ("2024-01",))
    divide(lake)
    error = divide(lake, "--buckets", "6", code=2)["error"]
    assert "divided by other settings" in error["message"]
    assert divide(lake, "--buckets", "6", "--into", "six")["computed"] == 2


@pytest.mark.parametrize("into", ["", "a//b", "../up", "forecasts", "timings/x", "."])
def test_a_folder_that_cannot_hold_buckets_is_refused(into: str, lake: Store) -> None:
    put_lake(lake, ("2024-01",))
    assert "--into" in divide(lake, "--into", into, code=2)["error"]["message"]


def test_objects_that_cannot_be_divided_fail_with_a_remedy_and_the_others_are_divided(
    lake: Store,
) -> None:
    put_lake(lake, ("2024-01",))
    lake.put("2024/01/part-2.csv", b"item_id,timestamp,target\na,2024-01-01,1\n")
    bare = hourly_panel(items=["a"], steps=5).drop(columns="item_id")
    put_frame(lake, "2024/01/part-3.parquet", bare)
    result = divide(lake, code=1)
    assert result["computed"] == 2
    messages = " ".join(failure["message"] for failure in result["failures"])
    assert "only Parquet is divided" in messages
    assert "no column of item ids" in messages


def test_a_list_that_is_no_list_is_replaced_and_deletes_nothing_else(lake: Store) -> None:
    put_lake(lake, ("2024-01",))
    divide(lake)
    (key, *_) = [e.key for page in lake.list("bucketing/bucketed/b") for e in page] or [
        e.key for page in lake.list("bucketing/") for e in page if "part-00000" in e.key
    ]
    content = json.loads(lake.get(key))
    content["parts"].append(
        {"key": "2024/01/part-00001.parquet", "etag": "", "rows": 1, "size_bytes": 1}
    )
    lake.put(key, json.dumps(content).encode())
    divide(lake)
    assert lake.head("2024/01/part-00001.parquet")
    lake.put(key, b"[")
    assert divide(lake)["computed"] == 1


# -- reading buckets -------------------------------------------------------------------------------


def test_forecasts_of_buckets_are_those_of_whole_months(lake: Store) -> None:
    put_lake(lake)
    divide(lake)
    options = {**NAIVE, "context_partitions": 1}
    url = lake.address.url
    run_ = gigacast.forecast(url, input_prefix="bucketed", partition_by="bucket", **options)
    assert run_.totals.partitions == 10
    buckets = gigacast.read_forecasts(url)
    gigacast.forecast(url, partition_by="month", **options)
    months = gigacast.read_forecasts(url)
    assert buckets.attrs["spec"] != months.attrs["spec"]
    keys = ["item_id", "timestamp"]
    pd.testing.assert_frame_equal(
        buckets.sort_values(keys, ignore_index=True), months.sort_values(keys, ignore_index=True)
    )


def test_a_bucket_has_the_earlier_months_of_the_same_bucket_as_context(lake: Store) -> None:
    put_lake(lake)
    divide(lake)
    options = {**NAIVE, "context_partitions": 1, "partition_by": "bucket"}
    plan = gigacast.plan(lake.address.url, input_prefix="bucketed", months="2", **options).plan
    assert len(plan.tasks) == 5
    for task in plan.tasks:
        assert {bucket_in(entry.key) for entry in task.inputs} == {bucket_in(task.partition)}
        assert [entry.key[:7] for entry in task.inputs] == [
            "2024/01",
            "2024/01",
            "2024/02",
            "2024/02",
        ]
        assert task.own == 2


def test_forecasts_of_buckets_are_evaluated_like_those_of_months(
    lake: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = hourly_panel("2024-01", ITEMS, steps=24 * 31)
    put_frame(lake, "2024/01/part-0.parquet", rows)
    put_frame(lake, "2024/02/part-0.parquet", hourly_panel("2024-02", ITEMS, steps=24))
    divide(lake)
    place = {"input_prefix": "bucketed", "partition_by": "bucket", "months": "1"}
    gigacast.forecast(lake.address.url, **NAIVE, **place)
    capsys.readouterr()
    assert run(["evaluate", "--bucket", lake.address.url, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["matched"], result["failures"]) == (4 * len(ITEMS), [])
    assert run(["show", "item-7", "--bucket", lake.address.url, "--json"]) == 0
    (series,) = json.loads(capsys.readouterr().out)["series"]
    assert series["item_id"] == "item-7"


# -- the warning -----------------------------------------------------------------------------------


def test_a_plan_warns_of_a_task_that_holds_most_of_the_work(
    lake: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_lake(lake)
    assert not gigacast.plan(lake.address.url, partition_by="month", **NAIVE).look.problems
    monkeypatch.setattr(look, "HEAVY_BYTES", 1000)
    months = gigacast.plan(lake.address.url, partition_by="month", months="1", **NAIVE)
    (problem,) = months.look.problems
    assert problem.startswith("2024/01/month is 100% of the pending bytes")
    assert "gigacast data bucket" in problem
    assert "--partition_by object" in problem
    assert not months.look.impossible
    assert not gigacast.plan(lake.address.url, partition_by="month", **NAIVE).look.problems
    divide(lake)
    buckets = {"input_prefix": "bucketed", "partition_by": "bucket"}
    assert not gigacast.plan(lake.address.url, **buckets, **NAIVE).look.problems


def test_an_estimate_is_made_of_receipts_of_the_same_kind_of_partition(lake: Store) -> None:
    put_lake(lake)
    divide(lake)
    url = lake.address.url
    gigacast.forecast(url, partition_by="month", **NAIVE)
    gigacast.forecast(url, input_prefix="bucketed", partition_by="bucket", **NAIVE)
    for partition_by, place in (("month", {}), ("bucket", {"input_prefix": "bucketed"})):
        options = {**NAIVE, "horizon": 9, "partition_by": partition_by, **place}
        estimate = gigacast.plan(url, **options).estimate
        assert estimate.series == pytest.approx(2 * len(ITEMS), rel=0.1)
        assert estimate.receipts == (2 if partition_by == "month" else 10)
    assert gigacast.plan(url, **{**NAIVE, "horizon": 9}).estimate.receipts == 0


def test_the_table_of_arrow_is_written_as_it_is_stored(lake: Store) -> None:
    kind = pa.list_(pa.float32())
    table = pa.table(
        {
            "item_id": pa.array(["a", "b", "c"]),
            "timestamp": pa.array([[1, 2], [3], []], pa.list_(pa.timestamp("ms"))),
            "target": pa.array([[1.0, None], [2.0], []], kind),
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink)
    lake.put("2024/01/part-0.parquet", sink.getvalue())
    divide(lake)
    keys = [entry.key for page in lake.list("bucketed/") for entry in page]
    tables = [pq.read_table(io.BytesIO(lake.get(key))) for key in keys]
    assert all(part.schema.equals(table.schema) for part in tables)
    joined = pa.concat_tables(tables).sort_by("item_id")
    assert joined.equals(table)
