"""Array runs on a local Batch with real processes: nothing lost or done twice, audits right."""

import dataclasses
import json
import sys
import time
from typing import cast

import boto3
import pytest

from gigacast.batch.aws import BatchService
from gigacast.batch.close import close_run
from gigacast.batch.result import array_of
from gigacast.batch.submit import submit_run
from gigacast.batch.watch import ArrayProgress, cancel_run, read_logs, watch_run
from gigacast.cleaning.run import CleanJob, clean_dataset
from gigacast.core.dataset.ref import DatasetRef
from gigacast.forecasting.run import run_forecast
from gigacast.job.file_job import FileJob, Sources
from gigacast.job.run import utc_now
from gigacast.lake.layout import manifest_key
from gigacast.lake.plan.audit import read_audit
from gigacast.lake.plan.manifest import read_manifest
from gigacast.lake.publication import Author
from gigacast.settings.assembly import array_options_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from tests.flow.batch.array_runs import (
    assert_done_once,
    bucket_of,
    forecasts,
    job_in,
    receipts,
    submit,
    watch,
)
from tests.support.faulty_store import Fault, FaultyStore
from tests.support.local_batch import EXITED, LocalBatch
from tests.support.moto_server import MotoServer

CLUMSY = (sys.executable, "-m", "tests.support.batch_child")


def test_a_version_of_a_dataset_is_an_input_whose_manifest_names_every_partition(
    server: MotoServer, batch: LocalBatch, service: BatchService
) -> None:
    store = bucket_of(server, 1)
    files = FileJob(Sources(store.address), store.address)
    clean_dataset(CleanJob(files, DatasetRef.parse("cleaned/sales")), Author("ann", utc_now))
    place = "cleaned/latest/sales"
    run_forecast(job_in(store, limit=1, input_prefix=place))
    second = submit(store, service, input_prefix=place)
    assert (second.tasks, watch(store, second, service).status) == (1, "completed")
    (key,) = [e.key for page in store.list("forecasts/") for e in page if "_manifest" in e.key]
    entries, _ = read_manifest(store, key)
    assert len(entries) == 2


def test_an_array_of_eight_children_writes_the_same_forecasts_as_a_local_run(
    server: MotoServer, batch: LocalBatch, service: BatchService
) -> None:
    store, local = bucket_of(server, 8), bucket_of(server, 8)
    submission = submit(store, service)
    progress: list[ArrayProgress] = []
    audit = watch_run(
        store,
        submission.run_id,
        service,
        on_progress=progress.append,
        sleep=lambda seconds: time.sleep(0.05),
    )
    assert (submission.tasks, submission.children) == (16, 8)
    assert (audit.status, audit.files_processed, audit.files_failed) == ("completed", 16, 0)
    assert audit.totals["series"] == 48
    assert array_of(audit)["attempts"] == 8
    assert (progress[-1].done, progress[-1].children) == (16, {"SUCCEEDED": 8})
    assert_done_once(store, 16)
    run_forecast(job_in(local))
    assert [*forecasts(store).values()] == [*forecasts(local).values()]
    again = submit(store, service)
    assert (again.tasks, again.job_ids, again.plan.totals.done) == (0, (), 16)


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
