"""What a plan counts, names and lists."""

from dataclasses import replace

import pytest

from gigacast.core.partition.name import PartitionName
from gigacast.core.time.month import IntRange, Month, MonthFilter
from gigacast.lake.plan.discovery import Selection
from gigacast.lake.plan.planner import MAX_REPORTED, NO_MONTH
from gigacast.storage.memory import MemoryStore
from tests.support.faulty_store import FaultyStore
from tests.unit.lake.plans import PART, REQUEST, SPEC, converge, do, done_of, plan_of


def test_a_plan_counts_partitions_and_bytes_by_month(store: MemoryStore) -> None:
    store.put("2024/01/part-0.parquet", b"four")
    store.put("2024/02/part-0.parquet", b"seven b")
    converge(store)
    store.put("2024/02/part-1.parquet", b"12 bytes now")
    store.put("2024/02/part-2.parquet", b"x")
    plan = plan_of(store)
    assert {str(m): (c.done, c.pending) for m, c in plan.months.items()} == {
        "2024-01": (1, 0),
        "2024-02": (1, 2),
    }
    assert (plan.discovered, plan.totals.done, plan.totals.pending) == (4, 2, 2)
    assert (plan.done_bytes, plan.pending_bytes) == (11, 13)
    assert plan.specs == {SPEC.id(7)}


def test_done_partitions_are_handed_on_with_output_and_receipt(store: MemoryStore) -> None:
    store.put(PART, b"data")
    converge(store)
    (entry,) = done_of(store)
    assert entry.output == store.head(entry.task.output_key)
    assert store.get(entry.receipt_key)
    assert done_of(store, replace(REQUEST, overwrite=True)) == []


def test_receipts_of_an_earlier_input_or_output_are_stale(store: MemoryStore) -> None:
    store.put(PART, b"old")
    do(store, plan_of(store).tasks[0])
    (old,) = [entry.key for page in store.list("timings/") for entry in page]
    content = store.get(old)
    store.put(PART, b"new")
    (task,) = plan_of(store).tasks
    assert task.stale_receipts == (old,)
    do(store, task)
    store.put(old, content)  # as a worker leaves it that dies before its last step
    plan = plan_of(store)
    assert (plan.tasks, plan.stale_receipts) == ([], [old])


def test_orphans_and_their_receipts_are_counted_in_their_month(store: MemoryStore) -> None:
    for key in (PART, "2024/02/part-0.parquet", "2024/02/part-1.parquet"):
        store.put(key, b"data")
    converge(store)
    store.delete([PART, "2024/02/part-0.parquet"])
    plan = plan_of(store)
    assert {str(month): counts.orphaned for month, counts in plan.months.items()} == {
        "2024-01": 1,
        "2024-02": 1,
    }
    assert (len(plan.orphans), len(plan.stale_receipts), plan.totals.done) == (2, 2, 1)


def test_months_that_are_not_selected_are_neither_counted_nor_orphans(store: MemoryStore) -> None:
    for month in (1, 2, 3):
        store.put(f"2024/{month:02d}/part-0.parquet", b"data")
    converge(store)
    store.delete(["2024/01/part-0.parquet", "2024/03/part-0.parquet"])
    store.put("2024/01/notes.txt", b"x")
    months = MonthFilter(IntRange(2024, 2024), IntRange(2, 2))
    selection = Selection(months=months, context_partitions=1)
    plan = plan_of(store, replace(REQUEST, selection=selection))
    assert (plan.orphans, plan.unmatched_count, plan.discovered) == ([], 0, 1)
    assert [str(month) for month in plan.months] == ["2024-02"]


def test_only_the_first_keys_without_a_partition_are_named(store: MemoryStore) -> None:
    for number in range(13):
        store.put(f"2024/01/{number:02d}.txt", b"x")
        store.put(f"2024/02/{number:02d}.txt", b"x")
        store.put(f"2024/03/{number:02d}.txt", b"x")
    plan = plan_of(store)
    assert (plan.unmatched_count, len(plan.unmatched), MAX_REPORTED) == (39, 20, 20)
    assert plan.unmatched == sorted(plan.unmatched)[:20]
    assert plan.unmatched[-1] == "2024/02/06.txt"


def test_a_month_without_an_older_generation_has_no_counts(store: MemoryStore) -> None:
    store.put("2024/01/notes.txt", b"x")
    assert dict(plan_of(store).months) == {}


@pytest.mark.parametrize(
    ("minutes", "timeframe", "steps"),
    [
        (15, "1min", 15),
        (15, "5min", 3),
        (16, "5min", 4),
        (1, "1h", 1),
        (0, "5min", 1),
        (61, "1h", 2),
    ],
)
def test_minutes_of_a_name_become_steps_rounded_up(
    minutes: int, timeframe: str, steps: int
) -> None:
    name = PartitionName("2024/01", Month(2024, 1), "x", "parquet", "x", timeframe, minutes, "f")
    request = replace(REQUEST, horizon=None)
    assert request.horizon_of(name) == steps
    assert request.horizon_of(replace(name, timeframe=None)) == 64
    assert request.horizon_of(replace(name, horizon_minutes=None)) == 64
    assert REQUEST.horizon_of(name) == 7


def test_outputs_of_other_specs_and_models_are_left_alone(store: MemoryStore) -> None:
    store.put(PART, b"data")
    converge(store)
    for other in ("h7-q3-00000000", "notes", "h9-q3-ffffffff"):
        store.put(f"forecasts/model/v1/{other}/2024/01/gone.parquet", b"x")
    store.put(f"forecasts/model/v2/{SPEC.id(7)}/2024/01/gone.parquet", b"x")
    assert plan_of(store).orphans == []


def test_a_month_spelled_in_two_ways_is_reported_once_for_each_place(store: MemoryStore) -> None:
    store.put("year=2024/month=01/a.parquet", b"x")
    store.put("year=2024/month=1/b.parquet", b"x")
    store.put("year=2024/month=02/a.parquet", b"x")
    store.put("2024/01/part-0.parquet", b"x")
    store.put("s=1/year=2024/month=1/a.parquet", b"x")
    plan = plan_of(store)
    assert plan.spellings == [("year=2024/month=01", "year=2024/month=1")]


def test_a_spelling_without_a_partition_is_not_reported(store: MemoryStore) -> None:
    store.put("year=2024/month=01/a.parquet", b"x")
    store.put("year=2024/month=1/_notes.txt", b"x")
    assert plan_of(store).spellings == []


def test_a_year_is_listed_at_once_or_by_months(store: MemoryStore) -> None:
    for month in range(1, 13):
        store.put(f"2024/{month:02d}/part-0.parquet", b"x")
        store.put(f"year=2024/month={month}/a.parquet", b"x")

    def listed(**selection: object) -> list[str]:
        watched = FaultyStore(store)
        request = replace(REQUEST, selection=Selection(**selection))  # type: ignore[arg-type]
        assert len(plan_of(watched, request).tasks) in {24, 22}
        return [key for kind, key in watched.log if kind == "list"]

    assert listed() == ["2024/", "year=2024/"]
    # In one listing month=3 comes after month=12, which would be its context.
    by_month = listed(context_partitions=1)
    assert by_month[0] == "2024/"
    assert len(by_month) == 1 + 12 + 9
    assert len(listed(months=MonthFilter(None, IntRange(1, 11)))) == 11 + 11 + 9


def test_several_shards_are_listed_ahead(store: MemoryStore) -> None:
    for year in range(2000, 2012):
        store.put(f"{year}/01/part-0.parquet", b"x")
    plan = plan_of(store)
    assert [task.month for task in plan.tasks] == [f"{year}-01" for year in range(2000, 2012)]


def test_files_of_no_month_count_for_a_month_before_all_others() -> None:
    assert Month(1, 1) == NO_MONTH
