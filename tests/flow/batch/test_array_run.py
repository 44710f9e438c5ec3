"""Array runs on a local Batch with real processes: nothing lost or done twice, audits right."""

import dataclasses
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

import boto3
import pytest

import gigacast
from gigacast.batch.aws import BatchService
from gigacast.batch.close import close_run
from gigacast.batch.result import array_of
from gigacast.batch.service import ArrayRequest
from gigacast.batch.submit import Submission, submit_run
from gigacast.batch.watch import ArrayProgress, cancel_run, read_logs, watch_run
from gigacast.errors import ComputeError, TransientComputeError
from gigacast.forecasting.run import run_forecast
from gigacast.job.forecast_job import ForecastJob
from gigacast.lake.layout import manifest_key
from gigacast.lake.plan.audit import Audit, read_audit
from gigacast.lake.plan.manifest import read_manifest
from gigacast.lake.plan.receipt import Receipt
from gigacast.settings.assembly import array_options_of, job_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store
from handler.closing import handle
from tests.support.faulty_store import Fault, FaultyStore
from tests.support.local_batch import EXITED, PROGRAM, LocalBatch
from tests.support.moto_server import MotoServer
from tests.support.panels import put_panels

CLUMSY = (sys.executable, "-m", "tests.support.batch_child")


@pytest.fixture(scope="module")
def server() -> Iterator[MotoServer]:
    with MotoServer() as server, LocalBatch() as batch:
        batch.provision()
        yield server


@pytest.fixture
def batch(server: MotoServer) -> Iterator[LocalBatch]:
    with LocalBatch(program=PROGRAM) as batch:
        yield batch


@pytest.fixture
def service() -> BatchService:
    return BatchService("us-east-1")


def job_in(store: Store, **options: Any) -> ForecastJob:
    arguments = {"bucket": store.address.url, "model": "seasonal-naive", "horizon": 6, **options}
    return job_of(load_settings(nest_arguments(arguments)))


def submit(store: Store, service: BatchService, children: int = 8, **options: Any) -> Submission:
    settings = load_settings(nest_arguments({"children": children}))
    return submit_run(job_in(store, **options), array_options_of(settings), service)


def watch(store: Store, submission: Submission, service: BatchService) -> Audit:
    return watch_run(store, submission.run_id, service, sleep=lambda seconds: time.sleep(0.05))


def bucket_of(server: MotoServer, parts: int) -> Store:
    store = open_store(server.new_address())
    put_panels(store, ("2024-01", "2024-02"), parts)
    return store


def forecasts(store: Store) -> dict[str, bytes]:
    """The content of every forecast, by key."""
    keys = [e.key for page in store.list("forecasts/") for e in page]
    return {key: store.get(key) for key in keys if not key.endswith("_manifest.parquet")}


def receipts(store: Store) -> list[Receipt]:
    keys = [e.key for page in store.list("timings/") for e in page]
    return [Receipt.from_json(store.get(key), key) for key in keys]


def assert_done_once(store: Store, partitions: int) -> None:
    """Every partition has its forecast and a single receipt."""
    receipt_counts = Counter(receipt.partition for receipt in receipts(store))
    assert len(receipt_counts) == partitions == len(forecasts(store))
    assert set(receipt_counts.values()) == {1}


def test_an_array_of_eight_children_writes_the_same_forecasts_as_a_local_run(
    server: MotoServer, batch: LocalBatch, service: BatchService
) -> None:
    store, local = bucket_of(server, 20), bucket_of(server, 20)
    submission = submit(store, service)
    progress: list[ArrayProgress] = []
    audit = watch_run(store, submission.run_id, service, on_progress=progress.append)
    assert (submission.tasks, submission.children) == (40, 8)
    assert (audit.status, audit.files_processed, audit.files_failed) == ("completed", 40, 0)
    assert audit.totals["series"] == 120
    assert array_of(audit)["attempts"] == 8
    assert (progress[-1].done, progress[-1].children) == (40, {"SUCCEEDED": 8})
    assert_done_once(store, 40)
    run_forecast(job_in(local))
    assert [*forecasts(store).values()] == [*forecasts(local).values()]
    again = submit(store, service)
    assert (again.tasks, again.job_ids, again.plan.totals.done) == (0, (), 40)


def test_the_manifest_is_made_from_lists_of_children_without_reading_receipts(
    server: MotoServer, batch: LocalBatch, service: BatchService
) -> None:
    store = bucket_of(server, 4)
    submission = submit(store, service, children=2)
    while not all(state.has_ended for state in service.describe(submission.job_ids)):
        time.sleep(0.05)
    receipts_read = Fault(("get",), lambda key: key.startswith("timings/"))
    audit = close_run(FaultyStore(store, [receipts_read]), submission.run_id, service)
    assert (audit.status, audit.files_processed) == ("completed", 8)
    (spec,) = cast("dict[str, object]", audit.plan["specs"])
    table, _ = read_manifest(store, manifest_key("seasonal-naive", "1", spec))
    assert table["rows"].to_pylist() == [18] * 8


# -- accidents -------------------------------------------------------------------------------------


def clumsy(child: int, after: int, signal_name: str, attempt: int = 1) -> dict[str, str]:
    accident = {"child": child, "attempt": attempt, "after": after, "signal": signal_name}
    return {"CHILD_ACCIDENT": json.dumps(accident)}


def test_a_killed_child_is_named_and_a_local_run_finishes_its_partitions(
    server: MotoServer, service: BatchService
) -> None:
    store = bucket_of(server, 4)
    with LocalBatch(program=CLUMSY, environment=clumsy(1, after=2, signal_name="SIGKILL")):
        audit = watch(store, submit(store, service, children=2), service)
    assert (audit.status, audit.files_processed, audit.files_failed) == ("failed", 6, 2)
    (child,) = array_of(audit)["failed_children"]
    assert (child["child"], child["partitions"], child["exit_code"]) == (1, 2, 137)
    assert (child["reason"], child["attempts"]) == (EXITED, 1)
    assert child["log_stream"].startswith("gigacast-cpu/default/")
    failure = audit.failures[0]
    assert "child 1 ended before it: Essential container" in str(failure["message"])
    assert failure["partition"] not in {receipt.partition for receipt in receipts(store)}
    second_run = run_forecast(job_in(store))
    assert (second_run.status, second_run.totals.partitions) == ("completed", 2)
    assert_done_once(store, 8)


@pytest.mark.parametrize(("signal_name", "lost"), [("SIGTERM", False), ("SIGKILL", True)])
def test_a_child_that_is_stopped_or_loses_its_host_is_tried_again_and_continues(
    server: MotoServer, service: BatchService, signal_name: str, lost: bool
) -> None:
    store = bucket_of(server, 3)
    lost_hosts = {(0, 1)} if lost else set()
    with LocalBatch(program=CLUMSY, environment=clumsy(0, 2, signal_name), lost_hosts=lost_hosts):
        audit = watch(store, submit(store, service, children=2), service)
    assert (audit.status, audit.files_processed, audit.files_failed) == ("completed", 6, 0)
    first, second = read_audit(store, f"{audit.session_id}/0").plan["attempts"]
    assert first["status"] == ("killed" if lost else "interrupted")
    assert first["lost_s"] > 0
    assert (second["attempt"], second["status"], second["lost_s"]) == (2, "completed", 0.0)
    assert array_of(audit)["attempts"] == 3
    assert array_of(audit)["lost_s"] == pytest.approx(first["lost_s"])
    assert_done_once(store, 6)


def test_a_bad_partition_fails_alone_and_is_not_tried_again(
    server: MotoServer, batch: LocalBatch, service: BatchService
) -> None:
    store = bucket_of(server, 2)
    store.put("2024/01/part-00001.parquet", b"this is no Parquet")
    submission = submit(store, service, children=2)
    audit = watch(store, submission, service)
    assert (audit.status, audit.files_processed, audit.files_failed) == ("failed", 3, 1)
    (failure,) = audit.failures
    assert (failure["partition"], failure["error"]) == ("2024/01/part-00001", "CorruptedFileError")
    (child,) = array_of(audit)["failed_children"]
    assert (child["exit_code"], child["attempts"], child["partitions"]) == (1, 1, 1)
    assert failure["log_stream"] == child["log_stream"]
    (log,) = read_logs(store, submission.run_id, service)
    assert any('"event": "failed"' in line and "part-00001" in line for line in log.lines)
    assert len(receipts(store)) == 3


def test_two_submissions_at_once_give_the_forecasts_of_one(
    server: MotoServer, batch: LocalBatch, service: BatchService
) -> None:
    store = bucket_of(server, 3)
    batch.pause()
    first, second = (submit(store, service, children=2) for _ in range(2))
    batch.resume()
    audits = [watch(store, submission, service) for submission in (first, second)]
    assert [audit.status for audit in audits] == ["completed", "completed"]
    assert all(audit.files_processed + audit.files_skipped == 6 for audit in audits)
    assert_done_once(store, 6)


def test_a_cancelled_run_is_resumed_by_the_next(
    server: MotoServer, batch: LocalBatch, service: BatchService
) -> None:
    store = bucket_of(server, 3)
    limited = submit(store, service, children=2, limit=2)
    watch(store, limited, service)
    batch.pause()
    submission = submit(store, service, children=3)
    cancel_run(store, submission.run_id, service)
    batch.wait()
    audit = close_run(store, submission.run_id, service)
    assert (audit.status, audit.files_processed, audit.failures) == ("interrupted", 0, [])
    assert array_of(audit)["unfinished"] == 4
    batch.resume()
    assert watch(store, submit(store, service, children=2), service).files_processed == 4
    assert_done_once(store, 6)


def test_a_cancelled_run_keeps_its_finished_partitions(
    server: MotoServer, service: BatchService
) -> None:
    store = bucket_of(server, 2)
    # The child waits in its third partition until it is asked to stop.
    with LocalBatch(program=CLUMSY, environment=clumsy(0, 2, "SIGCONT")) as batch:
        submission = submit(store, service, children=1)
        while len(receipts(store)) < 2:
            pass
        cancel_run(store, submission.run_id, service)
        batch.wait()
        audit = close_run(store, submission.run_id, service)
    assert (audit.status, audit.files_processed, audit.failures) == ("interrupted", 2, [])
    assert (
        read_audit(store, f"{submission.run_id}/0").plan["attempts"][0]["status"] == "interrupted"
    )
    assert run_forecast(job_in(store)).totals.partitions == 2
    assert_done_once(store, 4)


def test_an_array_forecasts_the_partitions_that_a_local_run_left(
    server: MotoServer, batch: LocalBatch, service: BatchService
) -> None:
    store = bucket_of(server, 2)
    assert run_forecast(job_in(store, limit=1)).totals.partitions == 1
    audit = watch(store, submit(store, service, children=1), service)
    assert (audit.status, audit.files_processed, audit.files_skipped) == ("completed", 3, 1)
    assert array_of(audit)["children"] == 1
    assert_done_once(store, 4)


def test_a_child_that_runs_too_long_is_ended_with_a_reason(
    server: MotoServer, service: BatchService
) -> None:
    store = bucket_of(server, 1)
    # The limit counts from the first receipt: a busy machine starts a child late.
    with LocalBatch(
        program=CLUMSY,
        environment=clumsy(0, 1, "SIGCONT"),
        is_counting=lambda: bool(receipts(store)),
    ) as batch:
        options = array_options_of(load_settings(nest_arguments({"children": 1})))
        quick = dataclasses.replace(options, timeout_s=2)
        submission = submit_run(job_in(store), quick, service)
        batch.wait()
    audit = close_run(store, submission.run_id, service)
    assert (audit.status, audit.files_processed, audit.files_failed) == ("failed", 1, 1)
    assert "Job attempt duration exceeded timeout" in str(audit.failures[0]["message"])


def test_a_run_without_a_machine_ends_with_the_reason(
    server: MotoServer, batch: LocalBatch, service: BatchService
) -> None:
    store = bucket_of(server, 1)
    batch.pause()
    submission = submit(store, service, children=2)
    batch.give_up_waiting("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT")
    audit = watch(store, submission, service)
    assert (audit.status, audit.files_failed) == ("failed", 2)
    assert "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT" in str(audit.failures[0]["message"])
    children = array_of(audit)["failed_children"]
    assert [(child["child"], child["attempts"]) for child in children] == [(0, 0), (1, 0)]
    batch.resume()
    assert watch(store, submit(store, service, children=1), service).files_processed == 2


def test_a_plan_changed_under_a_running_array_ends_the_run_and_the_next_continues(
    server: MotoServer, batch: LocalBatch, service: BatchService
) -> None:
    store = bucket_of(server, 1)
    batch.pause()
    submission = submit(store, service, children=2)
    key = f"plans/{submission.run_id}.json"
    store.put(key, store.get(key).replace(b'"horizon":6', b'"horizon":7'))
    batch.resume()
    audit = watch(store, submission, service)
    assert (audit.status, audit.files_processed) == ("failed", 0)
    assert audit.failures[0]["error"] == "PlanError"
    assert watch(store, submit(store, service, children=1), service).files_processed == 2


def test_a_job_that_waits_for_a_failed_one_never_runs(
    server: MotoServer, service: BatchService
) -> None:
    client = boto3.client("batch")
    batch_settings = {"jobQueue": "gigacast-cpu", "jobDefinition": "gigacast-cpu"}
    with LocalBatch(program=(sys.executable, "-c", "raise SystemExit(3)")) as batch:
        first = client.submit_job(jobName="first", **batch_settings)["jobId"]
        second = client.submit_job(
            jobName="second", dependsOn=[{"jobId": first}], **batch_settings
        )["jobId"]
        batch.wait()
    states = service.describe([first, second])
    assert [state.status for state in states] == ["FAILED", "FAILED"]
    assert states[1].reason == "Dependent Job failed"
    assert service.child(second, 0).attempts == 0


# -- more children than an array holds -------------------------------------------------------------


def test_too_many_children_for_an_array_are_divided_into_several_arrays(
    server: MotoServer,
    batch: LocalBatch,
    service: BatchService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gigacast.core.cost.array_plan.MAX_ARRAY", 2)
    store = bucket_of(server, 2)
    submission = submit(store, service, children=3)
    audit = watch(store, submission, service)
    jobs = array_of(audit)["jobs"]
    assert [(job["first"], job["size"]) for job in jobs] == [(0, 2), (2, 1)]
    assert (audit.status, audit.files_processed) == ("completed", 4)
    assert_done_once(store, 4)


class _Refusing(BatchService):
    """Takes the first array and refuses the second."""

    def submit(self, request: ArrayRequest) -> str:
        if "-1" in request.name[-2:]:
            raise TransientComputeError("AWS Batch: throttled")
        return super().submit(request)


def test_a_run_is_submitted_completely_or_not_at_all(
    server: MotoServer, batch: LocalBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gigacast.core.cost.array_plan.MAX_ARRAY", 2)
    store = bucket_of(server, 2)
    batch.pause()
    with pytest.raises(TransientComputeError, match="throttled"):
        submit(store, _Refusing("us-east-1"), children=4)
    batch.resume()
    batch.wait()
    assert receipts(store) == []
    (key,) = [e.key for page in store.list("audit/") for e in page]
    audit = read_audit(store, key.removeprefix("audit/").removesuffix(".json"))
    assert (audit.status, audit.end_time is not None) == ("failed", True)


# -- closing ---------------------------------------------------------------------------------------


def test_a_run_is_closed_from_the_bucket_alone_and_closed_once(
    server: MotoServer, batch: LocalBatch, service: BatchService
) -> None:
    store = bucket_of(server, 1)
    submission = submit(store, service, children=2)
    batch.wait()
    closed = close_run(store, submission.run_id)
    assert (closed.status, closed.files_processed) == ("completed", 2)
    assert close_run(store, submission.run_id, service) == closed
    assert len(gigacast.read_forecasts(store.address.url, model="seasonal-naive")) == 2 * 3 * 6


def test_the_handler_closes_a_run_when_batch_reports_its_end(
    server: MotoServer, service: BatchService
) -> None:
    store = bucket_of(server, 1)
    with LocalBatch(program=PROGRAM, on_end=lambda event: handle(event, None)) as batch:
        submission = submit(store, service, children=2)
        batch.wait()
    audit = read_audit(store, submission.run_id)
    assert (audit.status, audit.files_processed) == ("completed", 2)


def test_a_run_that_cannot_be_submitted_is_closed_with_the_reason(
    server: MotoServer, batch: LocalBatch, service: BatchService
) -> None:
    store = bucket_of(server, 1)
    options = array_options_of(load_settings(nest_arguments({"children": 2, "stack": "other"})))
    with pytest.raises(ComputeError, match="other-cpu does not exist"):
        submit_run(job_in(store), options, service)
    (run,) = [e.key for page in store.list("audit/") for e in page]
    audit = read_audit(store, run.removeprefix("audit/").removesuffix(".json"))
    assert (audit.status, audit.failures[0]["error"]) == ("failed", "ComputeError")
