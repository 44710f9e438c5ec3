"""An AWS Batch on this machine that really runs submitted jobs: moto's, with a scheduler.

moto keeps queues, definitions and jobs, and answers; `LocalBatch` runs the jobs as processes, with
``AWS_BATCH_JOB_ARRAY_INDEX`` and ``AWS_BATCH_JOB_ATTEMPT``, retries (``evaluateOnExit``), timeouts,
dependencies, failed ones too, termination by SIGTERM, and logs. Use it within a `MotoServer`.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Self
from unittest import mock

import boto3
from moto.batch.models import Job
from moto.moto_api import state_manager

from tests.support.warm_python import WarmProcess, warm_python

ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "handler.batch")
HOST_LOST = "Host EC2 (instance i-0123456789abcdef0) terminated."
EXITED = "Essential container in task exited"
TIMED_OUT = "Job attempt duration exceeded timeout"
RETRY = {
    "attempts": 5,
    "evaluateOnExit": [
        {"onStatusReason": "Host EC2*", "action": "RETRY"},
        {"onExitCode": "75", "action": "RETRY"},
        {"onReason": "*", "action": "EXIT"},
    ],
}
_POLL_S = 0.02


@dataclass
class _Attempt:
    """A running process and the time from which its duration counts."""

    job: Job
    number: int
    process: "subprocess.Popen[bytes] | WarmProcess"
    log: IO[bytes]
    counted_from_s: float | None = None
    asked_to_stop_s: float | None = None


@dataclass
class LocalBatch:
    """A Batch that runs jobs on this machine while it is entered.

    Parameters
    ----------
    slots : int
        Processes at the same time.
    program : sequence of str
        Program of the image; the job's command is its arguments.
    grace_s : float
        Seconds from SIGTERM to SIGKILL.
    lost_hosts : set of (int, int)
        Index and attempt of children whose death is reported as the loss of their host.
    environment : mapping
        Variables for the children, in addition to this process's own.
    on_end : callable, optional
        Called with an event as EventBridge sends it, when a job that is no child has ended.
    is_counting : callable
        Whether the duration of attempts counts already: from their start by default. With another
        start a time limit does not depend on how long a process takes to start.
    """

    slots: int = 2
    program: Sequence[str] = PROGRAM
    grace_s: float = 5.0
    lost_hosts: set[tuple[int, int]] = field(default_factory=set)
    environment: Mapping[str, str] = field(default_factory=dict)
    on_end: Callable[[dict[str, Any]], None] | None = None
    is_counting: Callable[[], bool] = lambda: True

    def __enter__(self) -> Self:
        self._waiting: list[Job] = []
        self._running: list[_Attempt] = []
        self._parents: list[Job] = []
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._is_paused = threading.Event()
        state_manager.set_transition("batch::job", {"progression": "manual", "times": 10**9})
        batch = self

        def start(job: Job) -> None:
            batch._take(job)

        self._patch = mock.patch.object(Job, "start", start)
        self._patch.start()
        self._thread = threading.Thread(target=self._schedule, name="local-batch")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._patch.stop()
        state_manager.unset_transition("batch::job")

    def provision(self, stack: str = "gigacast", *, retry: Mapping[str, Any] = RETRY) -> None:
        """Make what `infra/` would make: queues and job definitions for CPU and GPU.

        What is there stays: moto's backends are one for all servers of a process.
        """
        batch, iam = boto3.client("batch"), boto3.client("iam")
        if batch.describe_job_queues(jobQueues=[f"{stack}-cpu"])["jobQueues"]:
            return
        role = iam.create_role(RoleName=f"{stack}-service", AssumeRolePolicyDocument="{}")
        for kind in ("cpu", "gpu"):
            name = f"{stack}-{kind}"
            environment = batch.create_compute_environment(
                computeEnvironmentName=name,
                type="UNMANAGED",
                state="ENABLED",
                serviceRole=role["Role"]["Arn"],
            )
            order = [{"order": 1, "computeEnvironment": environment["computeEnvironmentArn"]}]
            batch.create_job_queue(
                jobQueueName=name, state="ENABLED", priority=1, computeEnvironmentOrder=order
            )
            batch.register_job_definition(
                jobDefinitionName=name,
                type="container",
                containerProperties={"image": "gigacast", "vcpus": 1, "memory": 512},
                retryStrategy=dict(retry),
            )

    def pause(self) -> None:
        """Start nothing more: jobs wait, as where no machine can be had."""
        self._is_paused.set()

    def resume(self) -> None:
        """Start what waits."""
        self._is_paused.clear()

    def give_up_waiting(self, reason: str) -> None:
        """End what waits, as the time limits of a queue do (``jobStateTimeLimitActions``)."""
        with self._lock:
            for job in self._waiting:
                job.terminate(reason)

    def wait(self, timeout_s: float = 60.0) -> None:
        """Wait until nothing waits or runs."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            with self._lock:
                if not (self._waiting or self._running or self._parents):
                    return
            time.sleep(_POLL_S)
        raise TimeoutError(f"jobs are still under way after {timeout_s} s")

    # -- the scheduler -----------------------------------------------------------------------------

    def _take(self, job: Job) -> None:
        """Take a job that moto would start: a child, or a plain job."""
        job.status = "PENDING" if job.depends_on else "RUNNABLE"
        with self._lock:
            self._waiting.append(job)
            parent = _parent_of(job)
            if parent is not None and parent not in self._parents:
                parent.status = "PENDING"
                self._parents.append(parent)

    def _schedule(self) -> None:
        while not self._is_over.is_set():
            with self._lock:
                self._watch_running()
                self._end_hopeless()
                self._start_some()
                ended = self._ended_parents()
            for job in ended:
                self._tell(job)
            time.sleep(_POLL_S)
        with self._lock:
            for attempt in self._running:
                attempt.process.kill()
                attempt.process.wait()
                attempt.log.close()

    def _start_some(self) -> None:
        for job in list(self._waiting):
            if self._is_paused.is_set() or len(self._running) >= self.slots:
                return
            if job.depends_on and not all(
                job.all_jobs[d["jobId"]].status == "SUCCEEDED" for d in job.depends_on
            ):
                continue
            self._waiting.remove(job)
            self._running.append(self._start(job))

    def _start(self, job: Job) -> _Attempt:
        number = len(job.attempts) + 1
        command = [*self.program, *job._get_container_property("command", [])]
        environment = {
            **os.environ,
            **self.environment,
            "AWS_BATCH_JOB_ID": job.job_id,
            "AWS_BATCH_JOB_ATTEMPT": str(number),
        }
        if "index" in job.array_properties:
            environment["AWS_BATCH_JOB_ARRAY_INDEX"] = str(job.array_properties["index"])
        log = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the process has ended
        process = _run(command, environment, log)
        job.status = "RUNNING"
        job.job_started_at = _now()
        job.log_stream_name = job._stream_name
        job._start_attempt()
        return _Attempt(job, number, process, log)

    def _watch_running(self) -> None:
        for attempt in list(self._running):
            code = attempt.process.poll()
            if code is not None:
                self._running.remove(attempt)
                self._settle(attempt, code)
            elif _is_stopped(attempt.job):
                self._stop(attempt)
            elif self._is_late(attempt):
                attempt.process.kill()
                attempt.process.wait()

    def _stop(self, attempt: _Attempt) -> None:
        now_s = time.monotonic()
        if attempt.asked_to_stop_s is None:
            attempt.asked_to_stop_s = now_s
            attempt.process.terminate()
        elif now_s - attempt.asked_to_stop_s > self.grace_s:
            attempt.process.kill()

    def _is_late(self, attempt: _Attempt) -> bool:
        limit_s = attempt.job._get_attempt_duration()
        if limit_s is None:
            return False
        if attempt.counted_from_s is None:
            if not self.is_counting():
                return False
            attempt.counted_from_s = time.monotonic()
        return time.monotonic() - attempt.counted_from_s > limit_s

    def _settle(self, attempt: _Attempt, code: int) -> None:
        """Keep the log of the process, and end the job or start it again."""
        job = attempt.job
        _keep_log(job, attempt.log)
        exit_code = 128 - code if code < 0 else code
        lost = (int(job.array_properties.get("index", 0)), attempt.number) in self.lost_hosts
        late = self._is_late(attempt) and code == -signal.SIGKILL
        reason = HOST_LOST if lost else TIMED_OUT if late else EXITED
        job.job_stopped_at = _now()
        job._stop_attempt()
        job.attempts[-1] |= {"statusReason": reason}
        job.attempts[-1]["container"] |= {} if lost else {"exitCode": exit_code}
        stopped = _is_stopped(job)
        if not stopped and code != 0 and not late and self._retries(job, reason, exit_code, lost):
            job.status = "RUNNABLE"
            self._waiting.append(job)
            return
        job.exit_code = None if lost else exit_code
        _end(job, code == 0 and not stopped, reason)

    def _retries(self, job: Job, reason: str, exit_code: int, lost: bool) -> bool:
        strategy = {k.lower(): v for k, v in (job.job_definition.retry_strategy or {}).items()}
        if len(job.attempts) >= int(strategy.get("attempts", 1)):
            return False
        ending = {"onStatusReason": reason, "onExitCode": "" if lost else str(exit_code)}
        for rule in strategy.get("evaluateonexit", []):
            conditions = {k: v for k, v in rule.items() if k != "action"}
            if all(_fits(v, ending.get(k, "exited")) for k, v in conditions.items()):
                return str(rule["action"]).upper() == "RETRY"
        return True

    def _end_hopeless(self) -> None:
        """End the jobs that will never start: cancelled ones, and those whose dependency failed."""
        for job in list(self._waiting):
            failed = [
                d for d in job.depends_on or [] if job.all_jobs[d["jobId"]].status == "FAILED"
            ]
            if _is_stopped(job) or failed:
                self._waiting.remove(job)
                _end(job, False, "Dependent Job failed" if failed else "")

    def _ended_parents(self) -> list[Job]:
        ended = [p for p in self._parents if _has_ended(p)]
        for parent in ended:
            self._parents.remove(parent)
            succeeded = all(c.status == "SUCCEEDED" for c in _children_of(parent))
            if parent._child_jobs:
                _end(parent, succeeded, "Array Child Job failed")
        return ended

    def _tell(self, job: Job) -> None:
        if self.on_end is not None:
            detail = {"container": {}, **job.describe()}
            self.on_end({"detail-type": "Batch Job State Change", "detail": detail})


def _run(
    command: Sequence[str], environment: Mapping[str, str], log: IO[bytes]
) -> "subprocess.Popen[bytes] | WarmProcess":
    """Start a command; a module is run by a Python that has imported gigacast already."""
    if tuple(command[:2]) == (sys.executable, "-m"):
        return warm_python().start(
            command[2], command[3:], environment=environment, cwd=ROOT, out=log, err=log
        )
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
    )


def _now() -> datetime:
    """Return the time as moto keeps it: without a zone."""
    return datetime.now(UTC).astimezone().replace(tzinfo=None)


def _parent_of(job: Job) -> Job | None:
    """Return the array of a child, and a plain job itself."""
    parent_id, _, index = job.job_id.partition(":")
    if not index:
        return job
    parent: Job | None = job.all_jobs.get(parent_id)
    return parent


def _children_of(job: Job) -> list[Job]:
    return list(job._child_jobs) if job._child_jobs else [job]


def _has_ended(parent: Job) -> bool:
    if parent.array_properties.get("size") and not parent._child_jobs:
        return False  # moto is still making them
    return all(child.status in {"SUCCEEDED", "FAILED"} for child in _children_of(parent))


def _is_stopped(job: Job) -> bool:
    parent = _parent_of(job)
    return bool(job.stop or (parent is not None and parent.stop))


def _end(job: Job, succeeded: bool, reason: str) -> None:
    parent = _parent_of(job)
    stop_reason = job.job_stopped_reason or (
        parent.job_stopped_reason if parent is not None else None
    )
    job.job_stopped_reason = stop_reason or reason or None
    job.job_stopped = True
    job.job_stopped_at = _now()
    job.status = "SUCCEEDED" if succeeded else "FAILED"


def _fits(pattern: str, text: str) -> bool:
    """Match as Batch does: a star at the end stands for anything."""
    if pattern.endswith("*"):
        return text.startswith(pattern[:-1])
    return text == pattern


def _keep_log(job: Job, log: IO[bytes]) -> None:
    with log:
        log.seek(0)
        lines = log.read().decode(errors="replace").splitlines()
    job._log_backend.ensure_log_group(job._log_group)
    job._log_backend.ensure_log_stream(job._log_group, job.log_stream_name)
    now_ms = int(time.time() * 1000)
    events = [{"timestamp": now_ms, "message": line} for line in lines]
    job._log_backend.put_log_events(job._log_group, job.log_stream_name, events)
