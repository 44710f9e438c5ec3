"""The plan follows from listings; the protocol of receipts survives every crash.

The oracle of the protocol: whatever happened, a partition that the plan calls done has an output
that holds the forecast of the input that is there now.
"""

from dataclasses import replace

import pytest

from gigacast.core.time.month import IntRange, MonthFilter
from gigacast.lake.plan.discovery import Selection
from gigacast.storage.memory import MemoryStore
from tests.support.faulty_store import FaultyStore
from tests.unit.lake.plans import (
    PART,
    REQUEST,
    SPEC,
    assert_never_a_wrong_done,
    converge,
    do,
    plan_of,
    read_inputs,
)

# -- planning --------------------------------------------------------------------------------------


def test_a_partition_without_a_forecast_is_pending(store: MemoryStore) -> None:
    store.put(PART, b"data")
    (task,) = plan_of(store).tasks
    assert task.partition == "2024/01/part-00000"
    assert task.output_key == f"forecasts/model/v1/{SPEC.id(7)}/{PART}"
    assert [entry.key for entry in task.inputs] == [PART]


def test_a_finished_partition_is_skipped(store: MemoryStore) -> None:
    store.put(PART, b"data")
    do(store, plan_of(store).tasks[0])
    plan = plan_of(store)
    assert plan.tasks == []
    assert (plan.totals.done, plan.totals.pending) == (1, 0)


def only_receipt(store: MemoryStore) -> str:
    (key,) = [entry.key for page in store.list("timings/") for entry in page]
    return key


def test_an_empty_receipt_proves_nothing_and_is_replaced(store: MemoryStore) -> None:
    store.put(PART, b"data")
    do(store, plan_of(store).tasks[0])
    sound = store.get(only_receipt(store))
    store.put(only_receipt(store), b"")
    assert len(plan_of(store).tasks) == 1
    converge(store)
    assert store.get(only_receipt(store)) == sound


@pytest.mark.parametrize("content", [b"{", b"null", b"\x00" * 300, b'{"job": "another"}'])
def test_a_receipt_of_damaged_content_proves_by_its_key_what_is_still_true(
    store: MemoryStore, content: bytes
) -> None:
    store.put(PART, b"data")
    do(store, plan_of(store).tasks[0])
    store.put(only_receipt(store), content)
    assert plan_of(store).tasks == []
    assert_never_a_wrong_done(store)
    # The key names versions of input and output: once either changes, it proves nothing.
    store.put(PART, b"other")
    assert len(plan_of(store).tasks) == 1
    converge(store)


@pytest.mark.parametrize("foreign", ["0" * 16, "f" * 16])
def test_a_foreign_receipt_for_the_same_output_neither_counts_nor_blocks(
    store: MemoryStore, foreign: str
) -> None:
    store.put(PART, b"data")
    do(store, plan_of(store).tasks[0])
    own = only_receipt(store)
    head, _, _, ending = own.rsplit(".", 3)
    store.put(f"{head}.{foreign}.{foreign}.{ending}", store.get(own))
    store.delete([own])
    (task,) = plan_of(store).tasks
    assert task.stale_receipts == (f"{head}.{foreign}.{foreign}.{ending}",)
    converge(store)
    assert only_receipt(store) == own


def test_a_changed_input_is_forecast_again(store: MemoryStore) -> None:
    store.put(PART, b"old")
    do(store, plan_of(store).tasks[0])
    store.put(PART, b"new")
    assert len(plan_of(store).tasks) == 1
    converge(store)


def test_another_spec_makes_the_partition_pending_again(store: MemoryStore) -> None:
    store.put(PART, b"data")
    do(store, plan_of(store).tasks[0])
    assert len(plan_of(store, replace(REQUEST, horizon=8)).tasks) == 1


def test_overwrite_makes_finished_partitions_pending(store: MemoryStore) -> None:
    store.put(PART, b"data")
    do(store, plan_of(store).tasks[0])
    (task,) = plan_of(store, replace(REQUEST, overwrite=True)).tasks
    assert len(task.stale_receipts) == 1


def test_reserved_folders_are_never_input(store: MemoryStore) -> None:
    for folder in (
        "forecasts",
        "timings",
        "audit",
        "plans",
        "models",
        "raw",
        "cleaned",
        "features",
    ):
        store.put(f"{folder}/2024/01/part-00000.parquet", b"x")
    plan = plan_of(store)
    assert plan.tasks == []
    assert plan.foreign_folders == []


def test_unrecognised_objects_are_counted_and_named(store: MemoryStore) -> None:
    for key in ("readme.txt", "2024/notes.txt", "2024/01/x.xlsx", "2024/13/part-0.parquet", PART):
        store.put(key, b"x")
    store.put("other/part-0.parquet", b"x")
    plan = plan_of(store)
    assert plan.unmatched_count == 4
    assert set(plan.unmatched) == {
        "readme.txt",
        "2024/notes.txt",
        "2024/01/x.xlsx",
        "2024/13/part-0.parquet",
    }
    assert plan.foreign_folders == ["other/"]
    assert plan.discovered == 1


def test_years_and_months_select_partitions_and_missing_ones_are_no_error(
    store: MemoryStore,
) -> None:
    for year, month in ((2013, 12), (2014, 1), (2014, 7), (2016, 2)):
        store.put(f"{year}/{month:02d}/part-00000.parquet", b"x")
    months = MonthFilter(IntRange(2014, 2016), IntRange(1, 6))
    request = replace(REQUEST, selection=Selection(months=months))
    assert [t.month for t in plan_of(store, request).tasks] == ["2014-01", "2016-02"]


def test_only_the_requested_months_are_listed(store: MemoryStore) -> None:
    for month in range(1, 13):
        store.put(f"2014/{month:02d}/part-00000.parquet", b"x")
    watched = FaultyStore(store)
    months = MonthFilter(IntRange(2014, 2014), IntRange(3, 3))
    plan_of(watched, replace(REQUEST, selection=Selection(months=months)))
    assert [key for kind, key in watched.log if kind == "list"] == ["2014/03/"]


def test_symbols_and_timeframes_select_partitions(store: MemoryStore) -> None:
    for name in ("EURUSD_1min", "GBPUSD_1min", "EURUSD_5min"):
        store.put(f"2014/03/{name}_h15_2014_03_ab12.parquet", b"x")
    selection = Selection(symbols=frozenset({"EURUSD"}), timeframes=frozenset({"1min"}))
    tasks = plan_of(store, replace(REQUEST, selection=selection)).tasks
    assert [task.partition for task in tasks] == ["2014/03/EURUSD_1min_h15"]


def test_the_horizon_is_the_setting_then_the_file_names_then_the_models(store: MemoryStore) -> None:
    store.put("2014/03/EURUSD_1min_h15_2014_03_ab12.parquet", b"x")
    store.put("2014/03/EURUSD_5min_h15_2014_03_ab12.parquet", b"x")
    store.put("2014/03/part-0.parquet", b"x")
    by_name = plan_of(store, replace(REQUEST, horizon=None)).tasks
    assert {t.partition.rpartition("/")[2]: t.horizon for t in by_name} == {
        "EURUSD_1min_h15": 15,
        "EURUSD_5min_h15": 3,
        "part-0": 64,
    }
    assert {t.horizon for t in plan_of(store).tasks} == {7}


def test_partitions_of_several_horizons_are_all_skipped_when_done(store: MemoryStore) -> None:
    store.put("2014/03/EURUSD_1min_h15_2014_03_ab12.parquet", b"x")
    store.put("2014/03/part-0.parquet", b"x")
    converge(store, replace(REQUEST, horizon=None))


def test_the_newest_generation_is_forecast_and_older_ones_are_reported(store: MemoryStore) -> None:
    store.put("2014/03/EURUSD_1min_h15_2014_03_ffff.parquet", b"first")
    converge(store)
    store.put("2014/03/EURUSD_1min_h15_2014_03_0000.parquet", b"second")
    plan = plan_of(store)
    assert [t.inputs[0].key[-12:] for t in plan.tasks] == ["0000.parquet"]
    assert plan.superseded_inputs == ["2014/03/EURUSD_1min_h15_2014_03_ffff.parquet"]
    assert (plan.totals.superseded, plan.totals.orphaned) == (1, 1)


def test_a_json_beside_a_parquet_is_not_a_partition_but_a_json_alone_is(store: MemoryStore) -> None:
    stem = "2014/03/EURUSD_1min_h15_2014_03_ab12"
    store.put(f"{stem}.json", b"{}")
    assert [t.output_key[-12:] for t in plan_of(store).tasks] == ["json.parquet"]
    store.put(f"{stem}.parquet", b"x")
    plan = plan_of(store)
    assert [t.inputs[0].key for t in plan.tasks] == [f"{stem}.parquet"]
    assert plan.twins == 1


def test_an_output_without_its_input_is_an_orphan(store: MemoryStore) -> None:
    store.put(PART, b"data")
    converge(store)
    store.delete([PART])
    plan = plan_of(store)
    assert plan.orphans == [f"forecasts/model/v1/{SPEC.id(7)}/{PART}"]
    assert len(plan.stale_receipts) == 1
    assert plan.discovered == 0


def test_hive_folders_are_read_too(store: MemoryStore) -> None:
    store.put("year=2014/month=03/data_0.parquet", b"x")
    store.put("year=2014/month=11/data_0.parquet", b"x")
    converge(store)
    assert plan_of(store).totals.done == 2


# -- context and whole months ----------------------------------------------------------------------


@pytest.mark.parametrize("style", ["{:04d}/{:02d}", "year={:04d}/month={:d}"])
def test_earlier_months_of_the_same_part_are_context(store: MemoryStore, style: str) -> None:
    for year, month in ((2013, 11), (2013, 12), (2014, 1), (2014, 2)):
        store.put(f"{style.format(year, month)}/part-0.parquet", f"{year}{month}".encode())
    store.put(f"{style.format(2013, 12)}/part-1.parquet", b"another part")
    request = replace(REQUEST, selection=Selection(context_partitions=2))
    tasks = {t.partition: t for t in plan_of(store, request).tasks}
    chosen = tasks[f"{style.format(2014, 1)}/part-0"]
    assert [read_inputs(store, replace(chosen, inputs=(i,))) for i in chosen.inputs] == [
        b"201311",
        b"201312",
        b"20141",
    ]
    assert chosen.own == 1
    converge(store, request)


def test_a_gap_of_months_ends_the_context(store: MemoryStore) -> None:
    for month in (1, 5):
        store.put(f"2014/{month:02d}/part-0.parquet", b"x")
    request = replace(REQUEST, selection=Selection(context_partitions=2))
    assert [len(task.inputs) for task in plan_of(store, request).tasks] == [1, 1]


def test_a_changed_context_month_makes_the_months_after_it_pending(store: MemoryStore) -> None:
    for month in (1, 2, 3, 4):
        store.put(f"2014/{month:02d}/part-0.parquet", b"x")
    request = replace(REQUEST, selection=Selection(context_partitions=1))
    converge(store, request)
    store.put("2014/02/part-0.parquet", b"y")
    assert [t.month for t in plan_of(store, request).tasks] == ["2014-02", "2014-03"]


def test_context_includes_months_before_the_first_requested_one(store: MemoryStore) -> None:
    for year, month in ((2013, 12), (2014, 1)):
        store.put(f"{year}/{month:02d}/part-0.parquet", b"x")
    months = MonthFilter(IntRange(2014, 2014), None)
    selection = Selection(months=months, context_partitions=1)
    (task,) = plan_of(store, replace(REQUEST, selection=selection)).tasks
    assert [i.key for i in task.inputs] == ["2013/12/part-0.parquet", "2014/01/part-0.parquet"]


def test_partitioned_by_month_all_parts_are_one_partition(store: MemoryStore) -> None:
    for part in (0, 1, 2):
        store.put(f"2014/03/part-{part}.parquet", b"x%d" % part)
    store.put("2014/03/EURUSD_1min_h15_2014_03_ab12.parquet", b"own partition")
    request = replace(REQUEST, selection=Selection(by_month=True))
    tasks = {task.partition: task for task in plan_of(store, request).tasks}
    assert set(tasks) == {"2014/03/month", "2014/03/EURUSD_1min_h15"}
    assert len(tasks["2014/03/month"].inputs) == tasks["2014/03/month"].own == 3
    converge(store, request)
    store.put("2014/03/part-3.parquet", b"a late part")
    assert [t.partition for t in plan_of(store, request).tasks] == ["2014/03/month"]


STEPS = ("put output", "put receipt")


def test_planning_only_lists_and_reads_no_object(store: MemoryStore) -> None:
    for part in range(5):
        store.put(f"2024/01/part-{part}.parquet", b"x")
    converge(store)
    watched = FaultyStore(store)
    plan_of(watched)
    assert set(watched.counts) == {"list", "list_folder"}
    assert watched.counts["list"] == 3


def test_the_forecasts_of_another_horizon_are_not_orphans(store: MemoryStore) -> None:
    store.put(PART, b"data")
    converge(store)
    shorter_horizon = replace(REQUEST, horizon=3)
    converge(store, shorter_horizon)
    plan = plan_of(store, shorter_horizon)
    assert (plan.orphans, plan.stale_receipts, plan.totals.orphaned) == ([], [], 0)
