"""The audit of a run, its totals, and the process that its tasks run in."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gigacast.errors import AccessDeniedError
from gigacast.job import run as module
from gigacast.job.run import FinishedTask, Run, start_run, utc_now
from gigacast.job.totals import Totals
from gigacast.lake.plan.audit import Audit, audit_key, read_audit
from gigacast.lake.plan.receipt import Receipt
from gigacast.runtime.choice import InlineExecutor
from gigacast.runtime.executor import Executor
from gigacast.runtime.instance import Rental
from gigacast.storage.memory import MemoryStore
from tests.support.faulty_store import Fault, FaultyStore, transient
from tests.unit.job.test_run import NOON, CountSetup, count_all, plan_counts


@pytest.fixture
def store(request: pytest.FixtureRequest) -> MemoryStore:
    store = MemoryStore(request.node.name)
    store.put("in/a", b"one")
    store.put("in/b", b"three")
    return store


def receipt(**changes: Any) -> Receipt:
    first = Receipt(
        job="count", partition="p", run_id="r", finished_at=NOON.isoformat(),
        inputs=[{"key": "i", "etag": "e", "size_bytes": 100}],
        output={"key": "o", "etag": "f", "size_bytes": 10, "rows": 3},
        rows=30, series=10, seconds={"read": 0.5, "total": 2.0}, reasons={"empty": 1},
        model="m", version="v", digest="d", spec="s", horizon=3, peak_rss_bytes=500,
        repairs={"gaps": 2},
    )  # fmt: skip
    return replace(first, **changes)


def test_totals_start_at_nothing_and_are_sums_but_for_the_peak() -> None:
    totals = Totals()
    assert totals == Totals(0, 0, 0, 0, 0, 0, 0, {}, {}, {})
    totals.add(receipt())
    totals.add(receipt(peak_rss_bytes=300, seconds={"read": 0.25, "write": 1.0}))
    assert totals == Totals(
        partitions=2,
        series=20,
        rows=60,
        rows_written=6,
        bytes_read=200,
        bytes_written=20,
        peak_rss_bytes=500,
        seconds={"read": 0.75, "total": 2.0, "write": 1.0},
        reasons={"empty": 2},
        repairs={"gaps": 4},
    )


def test_seconds_of_totals_have_three_digits() -> None:
    totals = Totals()
    for seconds in (0.1, 0.2, 0.0004):
        totals.add(receipt(seconds={"read": seconds}))
    assert totals.seconds == {"read": 0.3}


def test_a_finished_task_names_its_output_and_its_receipt(store: MemoryStore) -> None:
    task = plan_counts(store)[0].tasks[0]
    proof = receipt()
    assert FinishedTask.now(task, proof) == FinishedTask(task, "o", proof)
    count_all(store)
    _, finished = plan_counts(store)
    assert [entry.output_key for entry in finished] == ["counts/in/a", "counts/in/b"]
    assert all(store.get(str(entry.receipt)) for entry in finished)


def test_the_clock_of_a_run_has_a_zone() -> None:
    now = utc_now()
    assert now.tzinfo is UTC
    assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)


def test_only_the_first_failures_are_listed_and_all_are_counted(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_AUDITED_FAILURES", 2)
    for name in "cdef":
        store.put(f"in/{name}", b"bad")
    run, _ = count_all(store)
    audit = read_audit(store, run.run_id)
    assert (len(audit.failures), audit.files_failed, len(run.failures)) == (2, 4, 4)
    assert audit.failures[0]["attempts"] == 1
    assert audit.failures[0]["month"] == run.failures[0][0].month


def test_the_audit_is_written_before_the_first_task_and_not_after_each(store: MemoryStore) -> None:
    watched = FaultyStore(store)
    planned, _ = plan_counts(store)
    run = start_run(replace(planned, outputs=watched), clock=lambda: NOON)
    run.execute(planned.tasks, CountSetup(store, run.run_id), InlineExecutor())
    written = [key for kind, key in watched.log if kind == "put"]
    assert written == [audit_key(run.run_id)] * 2  # at the start and at the end
    early = FaultyStore(store, [Fault(("put",), error=lambda: AccessDeniedError("read only"))])
    run = start_run(replace(planned, outputs=early), clock=lambda: NOON)
    with pytest.raises(AccessDeniedError):
        run.execute(planned.tasks, CountSetup(store, run.run_id), InlineExecutor())
    assert run.totals.partitions == 0


def test_the_audit_shows_the_sums_so_far(store: MemoryStore) -> None:
    run, _ = count_all(store)
    audit = read_audit(store, run.run_id)
    assert (audit.files_processed, audit.totals["partitions"]) == (2, 2)
    assert audit.totals["rows"] == run.totals.rows == 8


# -- the process -----------------------------------------------------------------------------------


@pytest.fixture
def remade(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    calls: list[tuple[object, ...]] = []

    def make(*arguments: object) -> Executor:
        calls.append(arguments)
        return InlineExecutor()

    monkeypatch.setattr(module, "make_executor", make)
    return calls


def killed_run(store: MemoryStore) -> None:
    audit = Audit("count_20260101_110000_dead", (NOON - timedelta(hours=1)).isoformat(), "count")
    store.put(audit_key(audit.session_id), audit.to_json())


def execute(store: MemoryStore, executor: Executor, outputs: Any = None) -> Run:
    planned, _ = plan_counts(store)
    run = start_run(replace(planned, outputs=outputs or store), clock=lambda: NOON)
    run.execute(planned.tasks, CountSetup(store, run.run_id), executor)
    return run


def test_after_a_run_that_was_killed_tasks_have_a_process_of_their_own(
    store: MemoryStore, remade: list[tuple[object, ...]], caplog: pytest.LogCaptureFixture
) -> None:
    killed_run(store)
    execute(store, InlineExecutor(is_default=True))
    assert remade == [("joblib", 1)]
    assert "count_20260101_110000_dead did not end" in caplog.text


def test_a_process_that_was_chosen_by_name_or_has_no_reason_to_die_stays(
    store: MemoryStore, remade: list[tuple[object, ...]]
) -> None:
    execute(store, InlineExecutor(is_default=True))
    killed_run(store)
    store.put("in/c", b"three")
    execute(store, InlineExecutor())
    # Nothing is left to do: no process is needed.
    watched = FaultyStore(store)
    execute(store, InlineExecutor(is_default=True), watched)
    assert remade == []
    assert watched.counts["list"] == 0


def test_a_run_that_can_not_look_for_a_killed_one_goes_on(
    store: MemoryStore, remade: list[tuple[object, ...]]
) -> None:
    killed_run(store)
    failing = FaultyStore(store, [Fault(("list",), error=transient)])
    assert execute(store, InlineExecutor(is_default=True), failing).status == "completed"
    assert remade == []


# -- the bill --------------------------------------------------------------------------------------


@pytest.mark.parametrize("instance", [None, "c7i.large"])
def test_the_audit_has_a_bill_where_the_machine_is_known(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch, instance: str | None
) -> None:
    monkeypatch.setattr(module, "this_machine", lambda: Rental(instance, "spot"))
    run, _ = count_all(store)
    assert ("actual" in read_audit(store, run.run_id).cost) == (instance is not None)
