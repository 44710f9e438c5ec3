"""Array jobs of AWS Batch, by boto3.

The job definition (``infra/``) says how a child is retried: after the loss of its host and after
exit code 75, and in no other case. Throttled requests are retried here, with backoff.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gigacast.batch.aws_error import translated
from gigacast.batch.service import FAILED, ArrayRequest, ArrayState, ChildState
from gigacast.storage.aws_client import open_aws_client

LOG_GROUP = "/aws/batch/job"
"""Log group of Batch, unless a job definition names another."""

TAG = "gigacast"
"""Tag of jobs and machines, whose value is the name of the deployment."""

ATTEMPTS = 8
_DESCRIBED_AT_ONCE = 100
"""Jobs per request: the limit of ``DescribeJobs``."""
_FAILED_DESCRIBED = 1000
"""Failed children whose exit code and log are requested; of others Batch lists only the reason."""

ClientFactory = Callable[..., Any]


def _boto3_client(name: str, *, attempts: int, **options: Any) -> Any:
    """Return a client of a service."""
    from botocore.config import Config  # noqa: PLC0415 - slow to import, and arrays alone need it

    # Adaptive: a throttled client slows down by itself before it tries again.
    retries = {"max_attempts": attempts, "mode": "adaptive"}
    config = Config(retries=retries, connect_timeout=10, read_timeout=60)
    return open_aws_client(name, config=config, **options)


class BatchService:
    """AWS Batch in an account and region.

    Parameters
    ----------
    region : str, optional
        Name of the region; from the environment or the profile by default.
    endpoint_url : str, optional
        URL of the endpoint; that of AWS by default.
    attempts : int
        Number of attempts of a request that is throttled or gets no answer.
    make_client : callable
        Makes the clients; boto3's by default.
    """

    def __init__(
        self,
        region: str | None = None,
        endpoint_url: str | None = None,
        *,
        attempts: int = ATTEMPTS,
        make_client: ClientFactory = _boto3_client,
    ) -> None:
        self._region = region or ""
        self._options = {
            "region": region,
            "endpoint_url": endpoint_url,
            "attempts": attempts,
        }
        self._make_client = make_client
        self._clients: dict[str, Any] = {}

    def submit(self, request: ArrayRequest, after: Sequence[str] = ()) -> str:
        """Submit a job and return its id.

        Parameters
        ----------
        request : ArrayRequest
        after : sequence of str
            Ids of jobs that must have ended well before it begins.
        """
        options: dict[str, Any] = {}
        if after:
            options["dependsOn"] = [{"jobId": job_id} for job_id in after]
        if request.timeout_s is not None:
            options["timeout"] = {"attemptDurationSeconds": request.timeout_s}
        # The roles of a deployment may end the jobs with its tag alone.
        if request.stack:
            options["tags"] = {TAG: request.stack}
        # Batch refuses arrays of a single job.
        if request.size > 1:
            options["arrayProperties"] = {"size": request.size}
        answer = self._ask(
            f"submit to {request.queue}",
            "submit_job",
            jobName=request.name,
            jobQueue=request.queue,
            jobDefinition=request.definition,
            containerOverrides={"command": list(request.command)},
            **options,
        )
        return str(answer["jobId"])

    def describe(self, job_ids: Sequence[str]) -> list[ArrayState]:
        """Return the states of jobs, in their order, by one request per hundred jobs."""
        jobs = {job["jobId"]: job for job in self._describe(job_ids)}
        return [_state_of(job_id, jobs.get(job_id)) for job_id in job_ids]

    def failed_children(self, job_id: str) -> list[ChildState]:
        """Return the failed children of a job, by index."""
        failed = self._failed(job_id)
        if not failed:  # none, or a plain job, which Batch does not list as its own child
            states = [_child_of(job) for job in self._describe([job_id])]
            return [state for state in states if state.status == FAILED]
        detailed = {
            job["jobId"]: job
            for job in self._describe([job["jobId"] for job in failed[:_FAILED_DESCRIBED]])
        }
        states = [_child_of(detailed.get(job["jobId"], job)) for job in failed]
        return sorted(states, key=lambda state: state.index)

    def child(self, job_id: str, index: int) -> ChildState:
        """Return the state of a child of a job."""
        # A plain job has no children: its own id is the fallback.
        jobs = self._describe([f"{job_id}:{index}"]) or self._describe([job_id])
        return _child_of(jobs[0]) if jobs else ChildState(index, "UNKNOWN")

    def cancel(self, job_ids: Sequence[str], reason: str) -> None:
        """Cancel jobs: waiting children never start, running ones are asked to stop (SIGTERM)."""
        # Not `cancel_job`: that leaves children alone which have started.
        for job_id in job_ids:
            self._ask(f"end {job_id}", "terminate_job", jobId=job_id, reason=reason)

    def call(self, function: str, event: Mapping[str, Any]) -> None:
        """Call a function of Lambda with an event, and do not wait for its end."""
        self._ask(
            f"call {function}",
            "invoke",
            service="lambda",
            FunctionName=function,
            InvocationType="Event",
            Payload=json.dumps(event).encode(),
        )

    def read_log(self, child: ChildState, lines: int) -> list[str]:
        """Return the last lines of a child's log."""
        group = child.log_group or LOG_GROUP
        answer = self._ask(
            f"log {group} {child.log_stream}",
            "get_log_events",
            service="logs",
            logGroupName=group,
            logStreamName=child.log_stream,
            limit=lines,
            startFromHead=False,
        )
        return [str(event["message"]) for event in answer["events"]]

    def _describe(self, job_ids: Sequence[str]) -> list[Mapping[str, Any]]:
        jobs: list[Mapping[str, Any]] = []
        for first in range(0, len(job_ids), _DESCRIBED_AT_ONCE):
            chunk = list(job_ids[first : first + _DESCRIBED_AT_ONCE])
            jobs += self._ask("describe jobs", "describe_jobs", jobs=chunk)["jobs"]
        return jobs

    def _failed(self, job_id: str) -> list[Mapping[str, Any]]:
        jobs: list[Mapping[str, Any]] = []
        page: dict[str, str] = {}
        while True:
            answer = self._ask(
                f"list the failed children of {job_id}",
                "list_jobs",
                arrayJobId=job_id,
                jobStatus=FAILED,
                **page,
            )
            jobs += answer["jobSummaryList"]
            if not answer.get("nextToken"):
                return jobs
            page = {"nextToken": answer["nextToken"]}

    def _ask(self, action: str, method: str, *, service: str = "batch", **arguments: Any) -> Any:
        title = {"batch": "AWS Batch", "lambda": "Lambda", "logs": "CloudWatch Logs"}[service]
        with translated(f"{title}: {action}", self._region):
            if service not in self._clients:
                self._clients[service] = self._make_client(service, **self._options)
            return getattr(self._clients[service], method)(**arguments)


def _state_of(job_id: str, job: Mapping[str, Any] | None) -> ArrayState:
    if job is None:
        return ArrayState(job_id, "UNKNOWN", is_known=False)
    status = str(job["status"])
    counts = job.get("arrayProperties", {}).get("statusSummary") or {status: 1}
    children = {name: int(count) for name, count in counts.items() if count}
    return ArrayState(job_id, status, children, _reason_of(job))


def _child_of(job: Mapping[str, Any]) -> ChildState:
    container = job.get("container", {})
    attempts = job.get("attempts", [])
    last = attempts[-1].get("container", {}) if attempts else {}
    return ChildState(
        index=int(job.get("arrayProperties", {}).get("index", _index_of(job["jobId"]))),
        status=str(job["status"]),
        reason=_reason_of(job),
        exit_code=container.get("exitCode", last.get("exitCode")),
        attempts=len(attempts),
        log_stream=container.get("logStreamName") or last.get("logStreamName"),
        log_group=container.get("logConfiguration", {}).get("options", {}).get("awslogs-group"),
    )


def _index_of(job_id: str) -> int:
    _, _, index = job_id.partition(":")
    return int(index) if index.isdigit() else 0


def _reason_of(job: Mapping[str, Any]) -> str | None:
    """Return the reasons that Batch gives for the status of the job and of its container."""
    reasons = [job.get("statusReason"), job.get("container", {}).get("reason")]
    return "; ".join(dict.fromkeys(reason for reason in reasons if reason)) or None
