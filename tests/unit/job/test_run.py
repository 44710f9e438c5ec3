"""The shell of every job, by a job of a few lines: it counts the bytes of the files of a folder."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from gigacast.core.partition.task import InputObject, Task
from gigacast.forecasters.forecaster import ForecasterInfo
from gigacast.job.audit import PlannedJob, RunDescription
from gigacast.job.receipt import ModelUse, Work, new_receipt
from gigacast.job.run import FinishedTask, Run, Silent, start_run
from gigacast.job.totals import Totals
from gigacast.lake.plan.audit import read_audit
from gigacast.lake.plan.discovery import Selection
from gigacast.lake.plan.file_plan import FoundFile, OutputPlace, plan_files
from gigacast.lake.plan.planner import Plan
from gigacast.lake.plan.receipt import Receipt, find_receipt, write_receipt
from gigacast.runtime.choice import InlineExecutor
from gigacast.runtime.executor import Failure
from gigacast.storage.memory import MemoryStore

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PLACE = OutputPlace("counts/", "c1", lambda file, _: f"counts/{file.partition}")
INFO = ForecasterInfo("m", "v", "d", "engine-1", "cuda", "bfloat16", 512, 64, (0.5,))


def plan_counts(store: MemoryStore) -> tuple[PlannedJob, list[FinishedTask]]:
    """The plan function of the job."""
    plan, finished = Plan(), list[FinishedTask]()
    entries = [entry for page in store.list("in/") for entry in page]
    files = [
        FoundFile(e.key, e.key, InputObject(e.key, e.etag, e.size_bytes, "parquet"))
        for e in entries
    ]
    plan_files(plan, files, store, PLACE, lambda entry: finished.append(FinishedTask.before(entry)))
    description = RunDescription("count", settings={"folder": "in/"}, engine="counter-1")
    return PlannedJob(store, plan, plan.tasks, Selection(), description), finished


@dataclass(frozen=True)
class CountSetup:
    """The setup of the job's workers."""

    store: MemoryStore
    run_id: str

    def __call__(self) -> Callable[[Task], Receipt]:
        return self.count

    def count(self, task: Task) -> Receipt:
        content = self.store.get(task.inputs[0].key, if_match=task.inputs[0].etag)
        if content == b"bad":
            raise ValueError("a file that can't be counted")
        result = str(len(content)).encode()
        etag = self.store.put(task.output_key, result)
        output = {"key": task.output_key, "etag": etag, "size_bytes": len(result), "rows": 1}
        receipt = new_receipt(task, output, Work("count", self.run_id, len(content), 1, {}))
        write_receipt(self.store, task, receipt, etag)
        return receipt


class Heard(Silent):
    """Keeps the names of events."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def planned(self, run_id: str, plan: Plan, tasks: int) -> None:
        self.names.append(f"planned {tasks}")

    def finished(self, receipt: Receipt) -> None:
        self.names.append(f"finished {receipt.partition}")

    def failed(self, task: Task, failure: Failure) -> None:
        self.names.append(f"failed {task.partition}")

    def closed(self, status: str, totals: Totals) -> None:
        self.names.append(f"closed {status}")


@pytest.fixture
def store(request: pytest.FixtureRequest) -> MemoryStore:
    store = MemoryStore(request.node.name)
    store.put("in/a", b"one")
    store.put("in/b", b"three")
    return store


def count_all(store: MemoryStore, events: Silent | None = None) -> tuple[Run, list[FinishedTask]]:
    planned, finished = plan_counts(store)
    run = start_run(planned, events=events, clock=lambda: NOON)
    run.execute(
        planned.tasks,
        CountSetup(store, run.run_id),
        InlineExecutor(),
        on_done=lambda task, receipt: finished.append(FinishedTask.now(task, receipt)),
    )
    return run, finished


def test_a_job_needs_only_a_plan_function_a_setup_and_a_description(store: MemoryStore) -> None:
    run, finished = count_all(store)
    audit = read_audit(store, run.run_id)
    assert run.run_id.startswith("count_20260101_120000_")
    assert (audit.job, audit.status, audit.settings) == ("count", "completed", {"folder": "in/"})
    assert (audit.files_discovered, audit.files_processed, audit.files_failed) == (2, 2, 0)
    assert audit.software["engine"] == "counter-1"
    assert audit.totals["rows"] == 8
    assert {f.output_key: store.get(f.output_key) for f in finished} == {
        "counts/in/a": b"3",
        "counts/in/b": b"5",
    }


def test_a_rerun_does_nothing_and_finds_the_receipts_of_what_is_done(store: MemoryStore) -> None:
    count_all(store)
    run, finished = count_all(store)
    assert (run.totals.partitions, run.audit.files_skipped) == (0, 2)
    assert all(isinstance(f.receipt, str) and store.get(f.receipt) for f in finished)


def test_a_changed_file_is_done_again_and_its_old_receipt_goes(store: MemoryStore) -> None:
    count_all(store)
    store.put("in/a", b"four")
    planned, _ = plan_counts(store)
    assert [task.partition for task in planned.tasks] == ["in/a"]
    count_all(store)
    assert find_receipt(store, planned.tasks[0]) is not None
    assert len([entry for page in store.list("timings/") for entry in page]) == 2


def test_a_task_that_fails_is_audited_and_tried_again_by_the_next_run(store: MemoryStore) -> None:
    store.put("in/c", b"bad")
    run, finished = count_all(store)
    failure = read_audit(store, run.run_id).failures[0]
    assert run.status == read_audit(store, run.run_id).status == "failed"
    assert (failure["partition"], failure["error"]) == ("in/c", "ValueError")
    assert len(finished) == 2
    assert [task.partition for task in plan_counts(store)[0].tasks] == ["in/c"]


def test_events_come_in_the_order_of_the_run_with_the_largest_task_first(
    store: MemoryStore,
) -> None:
    store.put("in/c", b"bad")
    events = Heard()
    count_all(store, events)
    assert events.names == [
        "planned 3",
        "finished in/b",
        "finished in/a",
        "failed in/c",
        "closed failed",
    ]


def test_the_audit_is_open_while_results_are_collected_and_closed_after(
    store: MemoryStore,
) -> None:
    planned, _ = plan_counts(store)
    run = start_run(planned, clock=lambda: NOON)
    seen_audits = []

    def look(run: Run) -> None:
        stored = read_audit(store, run.run_id)
        seen_audits.append((stored.end_time, run.totals.partitions))

    run.execute(planned.tasks, CountSetup(store, run.run_id), InlineExecutor(), on_results=look)
    assert seen_audits == [(None, 2)]
    assert read_audit(store, run.run_id).end_time == NOON.isoformat()


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), "interrupted"), (OSError("full"), "failed")]
)
def test_a_failure_while_collecting_results_is_recorded_in_the_audit(
    store: MemoryStore, error: BaseException, status: str
) -> None:
    planned, _ = plan_counts(store)
    run = start_run(planned, clock=lambda: NOON)

    def stop(run: Run) -> None:
        raise error

    with pytest.raises(type(error)):
        run.execute(planned.tasks, CountSetup(store, run.run_id), InlineExecutor(), on_results=stop)
    assert read_audit(store, run.run_id).status == status


def test_nothing_is_written_before_a_run_is_executed(store: MemoryStore) -> None:
    start_run(plan_counts(store)[0], clock=lambda: NOON)
    assert [entry.key for page in store.list() for entry in page] == ["in/a", "in/b"]


def test_runs_that_start_in_the_same_second_have_different_ids(store: MemoryStore) -> None:
    planned, _ = plan_counts(store)
    ids = {start_run(planned, clock=lambda: NOON).run_id for _ in range(20)}
    assert len(ids) > 10  # four random hex digits: two of twenty may agree, half of them not


# -- receipts --------------------------------------------------------------------------------------


def receipt_of(store: MemoryStore, model: ModelUse | None) -> dict[str, object]:
    task = plan_counts(store)[0].tasks[0]
    output = {"key": "o", "etag": "e", "size_bytes": 1, "rows": 1}
    work = Work("forecast", "run", 10, 2, {"total": 0.5}, repairs={"gaps": 1}, model=model)
    values: dict[str, object] = json.loads(new_receipt(task, output, work).to_json())
    return values


def test_receipts_of_all_jobs_have_the_same_fields(store: MemoryStore) -> None:
    plain, modelled = receipt_of(store, None), receipt_of(store, ModelUse(INFO))
    assert list(plain) == list(modelled) == sorted(plain)


def test_a_receipt_names_the_model_only_for_jobs_that_run_one(store: MemoryStore) -> None:
    plain, modelled = receipt_of(store, None), receipt_of(store, ModelUse(INFO, {"all_null": 1}))
    names = ("model", "version", "digest", "device", "precision", "reasons")
    assert [plain[name] for name in names] == ["none", "", "", "cpu", "float32", {}]
    assert [modelled[name] for name in names] == [
        "m",
        "v",
        "d",
        "cuda",
        "bfloat16",
        {"all_null": 1},
    ]
    host = modelled["host"]
    assert isinstance(host, dict)
    assert host["engine"] == "engine-1"
    assert "engine" not in str(plain["host"])


# -- totals ----------------------------------------------------------------------------------------


def test_totals_of_parts_merge_to_the_totals_of_all_in_any_order(store: MemoryStore) -> None:
    run, _ = count_all(store)
    receipts = [find_receipt(store, f.task) for f in count_all(store)[1]]
    parts = [Totals.of(receipt) for receipt in receipts if receipt is not None]
    forward, backward = Totals(), Totals()
    for part in parts:
        forward.merge(part)
    for part in reversed(parts):
        backward.merge(part)
    assert forward == backward == run.totals
