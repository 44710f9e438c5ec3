"""AWS Batch through boto3's Stubber: requests, answers, and every refusal in a single line."""

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import (
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
)
from botocore.stub import ANY, Stubber

from gigacast.batch.aws import BatchService
from gigacast.batch.service import ArrayRequest, ChildState
from gigacast.errors import (
    ComputeAccessError,
    ComputeError,
    ConfigError,
    GigacastError,
    TransientComputeError,
)

REQUEST = ArrayRequest("run", "gigacast-cpu", "gigacast-cpu", ("url", "run"), 8, 3600)


class Stubbed:
    """A service whose clients give the answers that a test lists."""

    def __init__(self) -> None:
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "eu-west-1"}
        self.batch = boto3.client("batch", **keys)
        self.logs = boto3.client("logs", **keys)
        self.stubs = {"batch": Stubber(self.batch), "logs": Stubber(self.logs)}
        self.service = BatchService("eu-west-1", make_client=self._client)

    def _client(self, name: str, **options: Any) -> Any:
        self.stubs[name].activate()
        return getattr(self, name)

    def answer(self, method: str, answer: dict[str, Any], expected: dict[str, Any]) -> None:
        name = "logs" if method == "get_log_events" else "batch"
        self.stubs[name].add_response(method, answer, expected)

    def refuse(self, method: str, code: str, message: str, status: int) -> None:
        self.stubs["batch"].add_client_error(method, code, message, status)


@pytest.fixture
def aws() -> Iterator[Stubbed]:
    stubbed = Stubbed()
    yield stubbed
    for stub in stubbed.stubs.values():
        stub.assert_no_pending_responses()


def test_an_array_is_submitted_with_its_size_and_a_plain_job_without(aws: Stubbed) -> None:
    common = {
        "jobName": "run",
        "jobQueue": "gigacast-cpu",
        "jobDefinition": "gigacast-cpu",
        "containerOverrides": {"command": ["url", "run"]},
        "timeout": {"attemptDurationSeconds": 3600},
    }
    answer = {"jobName": "run", "jobId": "j1"}
    aws.answer("submit_job", answer, {**common, "arrayProperties": {"size": 8}})
    assert aws.service.submit(REQUEST) == "j1"
    aws.answer("submit_job", answer, common)
    plain = ArrayRequest("run", "gigacast-cpu", "gigacast-cpu", ("url", "run"), 1, 3600)
    assert aws.service.submit(plain) == "j1"


def job(job_id: str, status: str, **more: Any) -> dict[str, Any]:
    needed = {"jobName": "run", "jobQueue": "q", "startedAt": 1, "jobDefinition": "d"}
    return {"jobId": job_id, "status": status, **needed, **more}


def test_jobs_are_described_a_hundred_at_a_time_in_their_order(aws: Stubbed) -> None:
    ids = [f"j{n}" for n in range(150)]
    for some in (ids[:100], ids[100:]):
        answer = {"jobs": [job(j, "SUCCEEDED") for j in reversed(some)]}
        aws.answer("describe_jobs", answer, {"jobs": some})
    assert [state.job_id for state in aws.service.describe(ids)] == ids


def test_the_counts_of_an_array_are_read_and_a_forgotten_job_has_ended(aws: Stubbed) -> None:
    summary = {"RUNNING": 3, "SUCCEEDED": 5, "FAILED": 0}
    array = job("j1", "PENDING", arrayProperties={"size": 8, "statusSummary": summary})
    aws.answer("describe_jobs", {"jobs": [array]}, ANY_JOBS)
    described, gone = aws.service.describe(["j1", "j2"])
    assert (described.counts, described.has_ended) == ({"RUNNING": 3, "SUCCEEDED": 5}, False)
    assert (gone.is_known, gone.has_ended) == (False, True)


ANY_JOBS = {"jobs": ANY}


def test_a_failed_child_has_a_reason_an_exit_code_and_a_log(aws: Stubbed) -> None:
    listed = [{"jobId": f"j1:{n}", "jobName": "run"} for n in (7, 2)]
    page = {"arrayJobId": "j1", "jobStatus": "FAILED"}
    aws.answer("list_jobs", {"jobSummaryList": listed[:1], "nextToken": "more"}, page)
    aws.answer("list_jobs", {"jobSummaryList": listed[1:]}, {**page, "nextToken": "more"})
    pull = "CannotPullContainerError: manifest unknown"
    described = [
        job(
            "j1:7",
            "FAILED",
            statusReason="Task failed to start",
            arrayProperties={"index": 7},
            container={"reason": pull},
            attempts=[{"container": {}}],
        ),
        job(
            "j1:2",
            "FAILED",
            statusReason="Essential container in task exited",
            arrayProperties={"index": 2},
            container={
                "exitCode": 137,
                "reason": "OutOfMemoryError: Container killed due to memory usage",
                "logStreamName": "child/x/y",
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {"awslogs-group": "/aws/batch/gigacast"},
                },
            },
            attempts=[{"container": {"exitCode": 75}}, {"container": {"exitCode": 137}}],
        ),
    ]
    aws.answer("describe_jobs", {"jobs": described}, {"jobs": ["j1:7", "j1:2"]})
    two, seven = aws.service.failed_children("j1")
    assert (two.index, two.exit_code, two.attempts, two.log_stream) == (2, 137, 2, "child/x/y")
    assert two.log_group == "/aws/batch/gigacast"
    assert "OutOfMemoryError" in str(two.reason)
    assert (seven.index, seven.reason) == (7, f"Task failed to start; {pull}")


def test_a_log_is_read_from_the_group_of_its_child(aws: Stubbed) -> None:
    expected = {
        "logGroupName": "/aws/batch/gigacast",
        "logStreamName": "s",
        "limit": 2,
        "startFromHead": False,
    }
    events = [{"message": "one", "timestamp": 1}, {"message": "two", "timestamp": 2}]
    aws.answer("get_log_events", {"events": events}, expected)
    state = ChildState(0, "FAILED", log_stream="s", log_group="/aws/batch/gigacast")
    assert aws.service.read_log(state, 2) == ["one", "two"]


QUEUE = "arn:aws:batch:eu-west-1:1:job-queue/gigacast-cpu"
REFUSALS = {
    "no permission": (
        "AccessDeniedException",
        f"User: me is not authorized to perform: batch:SubmitJob on resource: {QUEUE}",
        403,
        ComputeAccessError,
        f"allow batch:SubmitJob on {QUEUE}",
    ),
    "expired credentials": (
        "ExpiredTokenException",
        "The security token included in the request is expired",
        403,
        ComputeAccessError,
        "AWS_PROFILE",
    ),
    "wrong clock": (
        "InvalidSignatureException",
        "Signature expired: 20261121T010000Z is now earlier than 20261121T060000Z",
        403,
        ComputeAccessError,
        "the clock of this machine is wrong",
    ),
    "missing queue": (
        "ClientException",
        f"Job Queue {QUEUE} does not exist",
        400,
        ComputeError,
        "make deploy",
    ),
    "throttled": (
        "TooManyRequestsException",
        "Rate exceeded",
        429,
        TransientComputeError,
        "minute",
    ),
    "down": ("ServerException", "An error has occurred", 500, TransientComputeError, "minute"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_is_a_single_line_with_a_hint(aws: Stubbed, case: str) -> None:
    code, message, status, kind, hint = REFUSALS[case]
    aws.refuse("submit_job", code, message, status)
    with pytest.raises(kind) as caught:
        aws.service.submit(REQUEST)
    assert type(caught.value) is kind
    assert caught.value.message.startswith("AWS Batch: submit to gigacast-cpu (eu-west-1): ")
    assert "\n" not in caught.value.message
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (NoCredentialsError(), ComputeAccessError, "Unable to locate credentials"),
        (ProfileNotFound(profile="x"), ComputeAccessError, "profile"),
        (NoRegionError(), ConfigError, "no region named"),
        (
            EndpointConnectionError(endpoint_url="https://batch.eu-nowhere-1.example"),
            TransientComputeError,
            "Could not connect",
        ),
    ],
)
def test_an_error_that_prevents_a_client_has_a_hint(
    error: Exception, kind: type[GigacastError], message: str
) -> None:
    def fail(name: str, **options: Any) -> Any:
        raise error

    make_client: Callable[..., Any] = fail
    with pytest.raises(kind, match=message) as caught:
        BatchService("eu-nowhere-1", make_client=make_client).describe(["j1"])
    assert caught.value.hint
