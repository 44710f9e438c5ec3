"""Crashes, races and slow workers cost a recomputation at most, never a wrong done."""

import itertools
from contextlib import suppress
from dataclasses import replace

import pytest

from gigacast.lake.layout import receipt_key
from gigacast.lake.plan.receipt import write_receipt
from gigacast.storage.memory import MemoryStore
from tests.support.faulty_store import WRITES, Fault, FaultyStore, SimulatedCrash
from tests.unit.lake.plans import (
    PART,
    REQUEST,
    assert_never_a_wrong_done,
    converge,
    do,
    finish,
    forecast_of,
    plan_of,
    read_inputs,
    receipt_of,
)

# -- the protocol ----------------------------------------------------------------------------------

CRASHES = [Fault(WRITES, nth=nth, when=when) for nth in range(1, 5) for when in ("before", "after")]


@pytest.mark.parametrize("fault", CRASHES, ids=lambda f: f"{f.when}-write-{f.nth}")
@pytest.mark.parametrize("before", ["never done", "done", "done, then changed"])
def test_a_crash_between_two_steps_costs_a_recomputation_at_most(
    store: MemoryStore, fault: Fault, before: str
) -> None:
    store.put(PART, b"one")
    if before != "never done":
        do(store, plan_of(store).tasks[0])
    if before == "done, then changed":
        store.put(PART, b"two")
    request = replace(REQUEST, overwrite=before == "done")
    (task,) = plan_of(store, request).tasks
    crashing = FaultyStore(store, [fault])
    with suppress(SimulatedCrash):
        do(crashing, task)
    assert_never_a_wrong_done(store)
    converge(store)


def test_a_crash_after_the_receipt_leaves_the_partition_done(store: MemoryStore) -> None:
    store.put(PART, b"one")
    do(store, plan_of(store).tasks[0])
    store.put(PART, b"two")
    (task,) = plan_of(store).tasks
    with pytest.raises(SimulatedCrash):
        do(FaultyStore(store, [Fault(("delete",))]), task)
    plan = plan_of(store)
    assert plan.tasks == []
    assert len(plan.stale_receipts) == 1


def test_an_input_that_changed_and_changed_back_is_forecast_again(store: MemoryStore) -> None:
    store.put(PART, b"one")
    do(store, plan_of(store).tasks[0])
    store.put(PART, b"two")
    do(store, plan_of(store).tasks[0])
    store.put(PART, b"one")
    assert_never_a_wrong_done(store)
    converge(store)


def test_a_slow_worker_that_overwrites_a_newer_output_leaves_it_pending(store: MemoryStore) -> None:
    store.put(PART, b"one")
    (slow,) = plan_of(store).tasks
    content = read_inputs(store, slow)  # reads, then sleeps
    store.put(PART, b"two")
    do(store, plan_of(store).tasks[0])
    finish(store, slow, content)  # wakes up and writes what is out of date
    assert len(plan_of(store).tasks) == 1
    assert_never_a_wrong_done(store)
    converge(store)


def test_a_slow_worker_killed_before_its_receipt_leaves_it_pending(store: MemoryStore) -> None:
    store.put(PART, b"one")
    (slow,) = plan_of(store).tasks
    store.put(PART, b"two")
    do(store, plan_of(store).tasks[0])
    store.put(slow.output_key, forecast_of(b"one"))
    assert len(plan_of(store).tasks) == 1
    converge(store)


@pytest.mark.parametrize("order", sorted(set(itertools.permutations("aabb"))), ids="".join)
@pytest.mark.parametrize("changed_between", [False, True])
def test_two_racing_workers_both_finish_and_one_receipt_decides(
    store: MemoryStore, order: tuple[str, ...], changed_between: bool
) -> None:
    store.put(PART, b"one")
    tasks = {"a": plan_of(store).tasks[0]}
    contents = {"a": b"one"}
    if changed_between:
        store.put(PART, b"two")
    tasks["b"], contents["b"] = plan_of(store).tasks[0], store.get(PART)
    etags: dict[str, str] = {}
    for worker in order:
        task = tasks[worker]
        if worker not in etags:
            etags[worker] = store.put(task.output_key, forecast_of(contents[worker]))
        else:
            write_receipt(store, task, receipt_of(task), etags[worker])
    assert_never_a_wrong_done(store)
    converge(store)


def test_racing_on_equal_bytes_ends_with_the_partition_done(store: MemoryStore) -> None:
    """As on S3, where equal bytes have equal ETags."""
    store.put(PART, b"one")
    (task,) = plan_of(store).tasks
    etag = store.put(task.output_key, b"same")
    store.put(receipt_key(task.output_key, task.input_id, etag), b"{}")
    store.put(receipt_key(task.output_key, task.input_id, etag), b"{}")
    assert plan_of(store).tasks == []


def test_an_overwrite_killed_half_way_is_never_a_wrong_done(store: MemoryStore) -> None:
    for part in range(4):
        store.put(f"2024/01/part-{part}.parquet", b"%d" % part)
    converge(store)
    tasks = plan_of(store, replace(REQUEST, overwrite=True)).tasks
    crashing = FaultyStore(store, [Fault(("put",), nth=4)])
    with suppress(SimulatedCrash):
        for task in tasks:
            do(crashing, task)
    assert crashing.counts["put"] == 4
    assert_never_a_wrong_done(store)
    converge(store)


def test_one_receipt_per_partition_remains(store: MemoryStore) -> None:
    for content in (b"one", b"two", b"three"):
        store.put(PART, content)
        converge(store)
    receipts = [entry for page in store.list("timings/") for entry in page]
    assert len(receipts) == 1
