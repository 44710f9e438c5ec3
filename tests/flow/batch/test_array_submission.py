"""Array runs are submitted completely or not at all, and closed once."""

import pytest

import gigacast
from gigacast.batch.aws import BatchService
from gigacast.batch.close import close_run
from gigacast.batch.result import array_of
from gigacast.batch.service import ArrayRequest
from gigacast.batch.submit import submit_run
from gigacast.errors import ComputeError, TransientComputeError
from gigacast.lake.plan.audit import read_audit
from gigacast.settings.assembly import array_options_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from handler.closing import handle
from tests.flow.batch.array_runs import assert_done_once, bucket_of, job_in, receipts, submit, watch
from tests.support.local_batch import PROGRAM, LocalBatch
from tests.support.moto_server import MotoServer

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
