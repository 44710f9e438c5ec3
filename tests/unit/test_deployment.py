"""The steps of `make deploy` beside CloudFormation: schedules, the account, failures, wheels."""

import json
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.exceptions
import pytest
import yaml

from gigacast.errors import ComputeError, ConfigError
from infra import account, pin_images, wheels
from infra.clock import Clock, longest_gap_hours, max_age_hours, with_clocks
from infra.cloud import Cloud
from infra.configuration import Deployment, template_file
from infra.deploy import watched_age
from infra.requirements import requirements
from tests.unit.test_infra import _Loader

ROOT = Path(__file__).parents[2]


def deployment(**changes: Any) -> Deployment:
    options = {"name": "n", "region": "us-east-1", "prefix": "sales/", "parameters": {}, **changes}
    return Deployment(**{"cpu_torch_index": "", "gpu_torch_index": "", **options})


# -- schedules -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "gap", "late"),
    [
        ("rate(1 hour)", 1, 3),
        ("rate(30 minutes)", 0.5, 2),
        ("cron(0 4 * * ? *)", 24, 31),
        ("cron(0/15 8-18 * * ? *)", 13.25, 18),
        ("cron(0 4 ? * MON-FRI *)", 72, 91),
        ("cron(0 4,16 ? * 2,4,6 *)", 60, 76),
        ("cron(0 4 ? * MON *)", 168, None),
        ("cron(0 4 1 * ? *)", 31 * 24, None),
        ("cron(0 4 L * ? *)", None, None),
        ("at(2024-01-01T00:00:00)", None, None),
    ],
)
def test_the_alarm_waits_as_long_as_the_schedule_pauses(
    schedule: str, gap: float | None, late: int | None
) -> None:
    assert (longest_gap_hours(schedule), max_age_hours([schedule])) == (gap, late)


def test_without_a_schedule_no_age_is_watched_and_the_most_frequent_decides() -> None:
    night = {"Schedule": "cron(0 4 * * ? *)", "ScheduleState": "ENABLED"}
    hourly = (Clock("hourly", "rate(1 hour)"),)
    assert watched_age(deployment()) == {"WatchAge": "no"}
    assert watched_age(deployment(parameters=night))["ForecastMaxAgeHours"] == "31"
    assert watched_age(deployment(parameters=night, clocks=hourly)) == {
        "WatchAge": "yes",
        "ForecastMaxAgeHours": "3",
    }
    own = {**night, "Schedule": "cron(0 4 1 * ? *)", "ForecastMaxAgeHours": "100"}
    assert watched_age(deployment(parameters=own))["ForecastMaxAgeHours"] == "100"


def test_each_schedule_of_the_configuration_is_a_clock_of_the_template() -> None:
    entry = {
        "name": "two-hourly",
        "schedule": "rate(2 hours)",
        "settings": "settings/x.yaml",
        "arguments": {"targets": 'a,"b"'},
    }
    clocks = [
        Clock.read(Path("aws.yaml"), entry),
        Clock("weekly", "cron(0 4 ? * MON *)", "Europe/Rome"),
    ]
    content = yaml.load(with_clocks(template_file("schedule").read_text(), clocks), _Loader)
    target = content["Resources"]["ClockTwoHourly"]["Properties"]["Target"]
    assert json.loads(target["Input"]) == {
        "settings": "settings/x.yaml",
        "arguments": {"targets": 'a,"b"'},
    }
    assert target["DeadLetterConfig"] == {"Arn": {"GetAtt": "TurnsGivenUp.Arn"}}
    weekly = content["Resources"]["ClockWeekly"]["Properties"]
    assert (weekly["ScheduleExpressionTimezone"], weekly["Target"]["Input"]) == (
        "Europe/Rome",
        "{}",
    )


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("nightly", "has no keys"),
        ({"name": "a b", "schedule": "rate(1 hour)"}, "name: 'a b' is no name"),
        ({"name": "a", "schedule": "0 4 * * *"}, "schedule: '0 4 .* is none"),
        ({"name": "a", "schedule": "rate(1 hour)", "zone": "UTC"}, "zone: unknown key"),
        ({"name": "a", "schedule": "rate(1 hour)", "arguments": [1]}, "expected names of flags"),
    ],
)
def test_a_wrong_schedule_is_named(entry: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Clock.read(Path("aws.yaml"), entry)


# -- failures --------------------------------------------------------------------------------------


class Failing:
    """CloudFormation whose creation of a stack fails, and deletes the stack."""

    class exceptions:  # noqa: N801 - as boto3 spells it
        ClientError = botocore.exceptions.ClientError

    def describe_stacks(self, StackName: str) -> Any:  # noqa: N803 - a parameter of the API
        answer = {"Error": {"Code": "ValidationError", "Message": f"{StackName} does not exist"}}
        raise botocore.exceptions.ClientError(answer, "DescribeStacks")  # type: ignore[arg-type]

    def create_stack(self, **options: Any) -> Any:
        return {"StackId": "arn:of-the-stack"}

    def get_waiter(self, event: str) -> Any:
        def wait(StackName: str) -> None:  # noqa: N803
            raise botocore.exceptions.WaiterError(event, "terminal state", {})

        return SimpleNamespace(wait=wait)

    def describe_stack_events(self, StackName: str) -> Any:  # noqa: N803
        assert StackName == "arn:of-the-stack"  # its name is gone with it
        texts = ["Resource creation cancelled", "n-features already exists", None]
        states = ["CREATE_FAILED", "CREATE_FAILED", "CREATE_IN_PROGRESS"]
        return {
            "StackEvents": [
                {
                    "LogicalResourceId": f"R{n}",
                    "ResourceStatus": state,
                    "ResourceStatusReason": text,
                }
                for n, (state, text) in enumerate(zip(states, texts, strict=True))
            ]
        }


def test_the_events_of_a_stack_that_could_not_be_made_say_why() -> None:
    with pytest.raises(ComputeError, match="n-storage: R1: n-features already exists") as caught:
        Cloud(deployment(), Failing()).up("storage", {})
    assert "cancelled" not in caught.value.message
    assert "describe-stack-events --stack-name arn:of-the-stack" in str(caught.value.hint)


# -- what the account has --------------------------------------------------------------------------


def test_the_base_images_are_pinned_before_the_first_build(tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text("ARG PYTHON_IMAGE=python:3.11\nFROM ${PYTHON_IMAGE}\n")
    with pytest.raises(ConfigError, match="no digest"):
        pin_images.ensure_pinned(lambda image: "not found", file)
    pin_images.ensure_pinned(lambda image: "sha256:" + "a" * 64, file)
    assert f"python:3.11@sha256:{'a' * 64}\n" in file.read_text()
    pin_images.ensure_pinned(lambda image: pytest.fail("asked again"), file)


def test_a_subnet_of_each_zone_has_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    zones = {"subnet-1": "a", "subnet-2": "a", "subnet-3": "b"}
    subnets = [{"SubnetId": k, "VpcId": "vpc-1", "AvailabilityZone": v} for k, v in zones.items()]
    client = SimpleNamespace(describe_subnets=lambda **_: {"Subnets": subnets})
    monkeypatch.setattr(account, "_client", lambda service, deployment: client)
    parameters = {"SubnetIds": ",".join(zones), "VpcId": "vpc-1"}
    assert account.subnet_of_each_zone(deployment(parameters=parameters)) == "subnet-1,subnet-3"
    with pytest.raises(ConfigError, match="subnet-1 is in vpc-1, not in vpc_id"):
        account.subnet_of_each_zone(deployment(parameters={**parameters, "VpcId": "vpc-2"}))


# -- wheels ----------------------------------------------------------------------------------------


def test_the_requirements_of_images_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = " ".join(requirements(project, ["torch", "store"]))
    assert all(name in names for name in ("numpy", "torch", "chronos-forecasting", "duckdb"))
    assert "duckdb" not in " ".join(requirements(project, ["torch"]))


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("ERROR: No matching distribution found for numpy", 1),
        ("WARNING: Retrying: NewConnectionError\nERROR: No matching distribution", 75),
    ],
)
def test_a_package_without_a_wheel_is_told_from_an_index_out_of_reach(
    monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> Any:
        commands.append(command)
        return SimpleNamespace(returncode=1, stderr=answer)

    monkeypatch.setattr(wheels.resolve, "__defaults__", (run,))
    assert wheels.main() == code
    (command,) = commands
    assert "manylinux_2_34_x86_64" in command
    assert "manylinux_2_35_x86_64" not in command
    assert command[command.index("--python-version") + 1] == "3.13"
