"""A night is backfill, upload and comparison, each after what it needs."""

from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

import handler.nightly
from gigacast.errors import ConfigError
from gigacast.feature_store.definition.group_by import GroupBy
from gigacast.feature_store.definition.join import Join
from gigacast.feature_store.nightly import day_before, plan_night
from tests.flow.feature_store.shop import purchases, training_set, users


def described(*definitions: GroupBy | Join) -> list[tuple[str, str, list[str]]]:
    jobs = plan_night(definitions, "2024-01-31")
    assert all(job.command == (job.step, job.name, "--ds", "2024-01-31") for job in jobs)
    return [
        (job.step, job.name, [f"{jobs[n].step} {jobs[n].name}" for n in job.after]) for job in jobs
    ]


def test_a_join_is_backfilled_then_uploaded_then_compared() -> None:
    assert described(training_set()) == [
        ("backfill", "shop.training_set", []),
        ("upload", "shop.training_set", ["backfill shop.training_set"]),
        ("consistency", "shop.training_set", ["upload shop.training_set"]),
    ]


def test_uploads_that_share_a_group_by_follow_each_other() -> None:
    jobs = described(training_set(), users(), purchases(name="shop.other"))

    assert ("upload", "shop.users", ["upload shop.training_set", "backfill shop.users"]) in jobs
    assert ("upload", "shop.other", ["backfill shop.other"]) in jobs
    assert len(jobs) == 7


def test_the_day_is_the_one_before_the_schedule() -> None:
    assert day_before(datetime(2024, 3, 1, 2, tzinfo=UTC)) == "2024-02-29"


class Service:
    """Batch as the function sees it: what was submitted, in order."""

    submitted: list[Any]

    def __init__(self, region: str | None) -> None:
        Service.submitted = []

    def submit(self, request: Any, after: Any = ()) -> str:
        self.submitted.append((request, list(after)))
        return f"job-{len(self.submitted)}"


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> None:
    definitions = {"shop.training_set": training_set(), "shop.users": users()}

    class Found:
        def __init__(self, name: str) -> None:
            self.definition = definitions[name]

    monkeypatch.setattr(handler.nightly, "find_stored", lambda store, name: Found(name))
    monkeypatch.setattr(handler.nightly, "BatchService", Service)
    monkeypatch.setenv("GIGACAST_RUN__BUCKET", "file:///nowhere")
    monkeypatch.setenv("GIGACAST_BATCH__STACK", "shop")
    monkeypatch.setenv("NIGHTLY_FEATURES", "shop.training_set,shop.users")


def test_the_function_submits_each_job_after_those_it_waits_for(stored: None) -> None:
    answer = handler.nightly.handle({"time": "2024-02-01T02:00:00Z"}, None)

    assert answer == {"ds": "2024-01-31", "jobs": [f"job-{n}" for n in range(1, 6)]}
    assert [after for _, after in Service.submitted] == [
        [],
        ["job-1"],
        ["job-2"],
        [],
        ["job-2", "job-4"],
    ]
    request = Service.submitted[1][0]
    assert (request.queue, request.definition) == ("shop-nightly", "shop-nightly")
    assert request.name == "shop-nightly-upload-shop_training_set-2024-01-31"
    command = ("feature-store", "upload", "shop.training_set", "--ds", "2024-01-31")
    assert (request.command, request.stack) == (command, "shop")


@pytest.mark.parametrize(
    ("event", "names", "message"),
    [
        ({}, "shop.users", "no time of a schedule"),
        ({"ds": "soon"}, "shop.users", "no time of a schedule"),
        ({"ds": "2024-01-31"}, "", "expected joins and group-bys"),
    ],
)
def test_a_night_without_a_day_or_names_is_refused(
    stored: None, monkeypatch: pytest.MonkeyPatch, event: Any, names: str, message: str
) -> None:
    monkeypatch.setenv("NIGHTLY_FEATURES", names)
    with pytest.raises(ConfigError, match=message):
        handler.nightly.handle(event, None)


def test_batch_takes_the_jobs_with_what_they_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request is one of Batch's API: boto3 checks it by its model."""
    from botocore.stub import Stubber

    from gigacast.batch.aws import BatchService
    from gigacast.batch.service import ArrayRequest

    client = boto3.client("batch", region_name="us-east-1")
    with Stubber(client) as stub:
        stub.add_response(
            "submit_job",
            {"jobName": "n", "jobId": "2"},
            {
                "jobName": "n",
                "jobQueue": "q",
                "jobDefinition": "d",
                "containerOverrides": {"command": ["upload"]},
                "dependsOn": [{"jobId": "1"}],
            },
        )
        service = BatchService("us-east-1", make_client=lambda name, **options: client)
        assert service.submit(ArrayRequest("n", "q", "d", ("upload",), 1, None), ["1"]) == "2"
