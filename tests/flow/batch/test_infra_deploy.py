"""Stacks deployed from the templates by the code of `make deploy`, and a run submitted to them.

moto wants a service role of compute environments, which AWS does not; the tests add it.
"""

import json
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from gigacast.batch.aws import BatchService
from gigacast.batch.submit import submit_run
from gigacast.batch.watch import read_logs, watch_run
from gigacast.errors import ComputeError, ConfigError
from gigacast.settings.assembly import array_options_of, job_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from infra import deploy
from infra.account import check_model
from infra.cloud import Cloud
from infra.configuration import FLAVOURS, ROOT, TEMPLATES, Deployment, template_file
from infra.image import build_images, content_tags, image_names
from infra.smoke import smoke
from tests.support.local_batch import LocalBatch
from tests.support.moto_server import MotoServer
from tests.support.panels import put_panels

ABC = dict.fromkeys(FLAVOURS, "abc")


@pytest.fixture(scope="module")
def server() -> Iterator[MotoServer]:
    with MotoServer() as server:
        yield server


def configuration(folder: Path, **changes: Any) -> Path:
    ec2 = boto3.client("ec2")
    values = yaml.safe_load((ROOT / "config" / "aws.yaml").read_text())
    values |= {
        "vpc_id": ec2.describe_vpcs()["Vpcs"][0]["VpcId"],
        "subnet_ids": [ec2.describe_subnets()["Subnets"][0]["SubnetId"]],
        "name": "deployed",  # moto's backends are one for all servers of a process
        "prefix": "sales",
        **changes,
    }
    file = folder / "aws.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


def template_for_moto(name: str) -> str:
    body = template_file(name).read_text()
    # moto knows no URLs of functions.
    body = re.sub(r"(?ms)^  FeaturesUrl:\n.*?(?=^  #)", "", body)
    body = re.sub(r"(?ms)^  FeaturesAddress:\n.*", "", body)
    role = "ServiceRole: !GetAtt InstanceRole.Arn\n      "
    return body.replace(
        "ReplaceComputeEnvironment: false", role + "ReplaceComputeEnvironment: false"
    )


def cloud_of(deployment: Deployment) -> Cloud:
    client = boto3.client("cloudformation", region_name=deployment.region)
    return Cloud(deployment, client, template_for_moto)


def made_elsewhere(repository: str) -> Mapping[str, str]:
    return image_names(repository, dict.fromkeys(FLAVOURS, "0123456789ab"))


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_a_deployed_stack_runs_a_job_and_can_be_deleted(server: MotoServer, tmp_path: Path) -> None:
    deployment = Deployment.read(configuration(tmp_path))
    cloud = cloud_of(deployment)
    outputs = deploy.deploy(deployment, cloud, made_elsewhere)
    assert outputs["CpuImage"].endswith("/deployed:cpu-0123456789ab")
    assert deploy.deploy(deployment, cloud, made_elsewhere)["Bucket"] == outputs["Bucket"]
    assert {cloud.status(name) for name in TEMPLATES} <= {
        "CREATE_COMPLETE",
        "UPDATE_COMPLETE",
    }
    store = open_store(StoreAddress(f"s3://{outputs['Bucket']}/sales"))
    put_panels(store)
    options = {
        "bucket": outputs["Bucket"],
        "prefix": "sales",
        "model": "seasonal-naive",
        "horizon": 6,
    }
    settings = load_settings(nest_arguments({**options, "children": 2, "stack": deployment.name}))
    service = BatchService(deployment.region)
    with LocalBatch():
        submission = submit_run(job_of(settings), array_options_of(settings), service)
        audit = watch_run(store, submission.run_id, service)
    assert (audit.status, audit.files_processed) == ("completed", 4)
    assert submission.queue == "deployed-cpu"
    (log,) = read_logs(store, submission.run_id, service, child=0)
    assert json.loads(log.lines[-1])["event"] == "closed"
    (definition,) = boto3.client("batch").describe_job_definitions(
        jobDefinitionName="deployed-cpu", status="ACTIVE"
    )["jobDefinitions"]
    assert definition["retryStrategy"]["attempts"] == 10
    with LocalBatch():
        # Of the model without weights both queues compute on CPUs: all but CUDA is tried here.
        naive = replace(deployment, parameters={**deployment.parameters, "Model": "seasonal-naive"})
        done = smoke(naive, outputs["Bucket"], service, sleep=lambda seconds: time.sleep(0.05))
    assert [(entry.queue, entry.series) for entry in done] == [("cpu", 8), ("gpu", 8)]
    assert [e.key for page in store.list("_smoke/") for e in page] == []
    deploy.destroy(deployment, cloud)
    assert {cloud.status(name) for name in TEMPLATES[1:]} == {"not deployed"}
    again = cloud.up("storage", dict(deployment.parameters))  # it goes on with what is there
    assert (again["Bucket"], again["Repository"]) == (outputs["Bucket"], outputs["Repository"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vpc_id": None}, "vpc_id: missing"),
        ({"subnet_ids": "subnet-1"}, "subnet_ids: 'subnet-1' is not a list"),
        ({"vpc": "vpc-1"}, "vpc: unknown key"),
        ({"parameters": {"MaxGpuVcpu": 8}}, "parameters.MaxGpuVcpu: no template has this"),
        ({"parameters": {"Endpoints": "all"}}, "parameters.Endpoints: is set"),
        ({"subnet_ids": [1]}, "subnet_ids: [1] is not a list of texts"),
        ({"endpoints": "s3"}, "route_table_ids: missing"),
        ({"input_prefix": "sales"}, "input_bucket: missing"),
        ({"nightly": ["gigacast forecast"]}, "nightly: 'gigacast forecast' is no command"),
        ({"schedules": ["hourly"]}, "schedules: 'hourly' has no keys"),
    ],
)
def test_a_wrong_configuration_is_named(
    server: MotoServer, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        Deployment.read(configuration(tmp_path, **change))


def test_a_list_of_instance_types_is_one_parameter(server: MotoServer, tmp_path: Path) -> None:
    options = {"parameters": {"CpuInstanceTypes": ["c7i.large", "m7i.large"]}}
    deployment = Deployment.read(configuration(tmp_path, **options))
    assert deployment.parameters["CpuInstanceTypes"] == "c7i.large,m7i.large"


def test_an_existing_bucket_is_used_and_none_is_made(server: MotoServer, tmp_path: Path) -> None:
    boto3.client("s3").create_bucket(Bucket="there-already")
    deployment = Deployment.read(configuration(tmp_path, name="guest", bucket="there-already"))
    outputs = cloud_of(deployment).up("storage", dict(deployment.parameters))
    assert outputs["Bucket"] == "there-already"
    listed = boto3.client("cloudformation").list_stack_resources(StackName="guest-storage")
    kinds = {resource["ResourceType"] for resource in listed["StackResourceSummaries"]}
    assert kinds - {""} == {"AWS::ECR::Repository"}  # moto lists what a condition leaves out, bare


def test_images_are_tagged_by_what_they_copy(server: MotoServer, tmp_path: Path) -> None:
    """A mail address changes no tag; code changes all; other files change those that copy them."""
    deployment = Deployment.read(configuration(tmp_path))
    copy = tmp_path / "checkout"
    for name in ("infra", "handler"):
        shutil.copytree(ROOT / name, copy / name)
    for name in ("pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    (copy / "lib").mkdir()
    code = copy / "lib" / "code.py"
    code.write_text("1")
    before = content_tags(deployment, copy)

    def changed(then: Deployment = deployment) -> set[str]:
        after = content_tags(then, copy)
        return {name for name in FLAVOURS if after[name] != before[name]}

    mail = Deployment.read(configuration(tmp_path, parameters={"Email": "a@example.org"}))
    assert changed(mail) == set()
    cuda = Deployment.read(configuration(tmp_path, gpu_torch_index="https://example.org/cu"))
    assert changed(cuda) == {"gpu"}
    (copy / "lib" / "__pycache__").mkdir()
    (copy / "lib" / "__pycache__" / "code.pyc").write_text("1")
    (copy / "infra" / "batch.yaml").write_text("")
    assert changed() == set()
    (copy / "infra" / "planner-requirements.txt").write_text("numpy")
    assert changed() == {"planner"}
    code.write_text("2")
    assert changed() == set(FLAVOURS)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("gigacast-bolt-nan0", "'gigacast-bolt-nan0' is not shipped, and not published"),
        ("amazon/chronos-bolt-tiny", "is of the hub, and not published"),
        ("mine/v2.0", r"is of the hub, and not published .* but mine/v1.0"),
        ("mine/v1.0", ""),
        ("mine", ""),
        ("seasonal-naive", ""),
    ],
)
def test_a_model_that_scheduled_runs_would_not_find_is_refused(
    server: MotoServer, tmp_path: Path, model: str, message: str
) -> None:
    bucket = server.create_bucket()
    open_store(StoreAddress(f"s3://{bucket}/sales")).put("models/mine/v1.0/config.json", b"{}")
    deployment = Deployment.read(configuration(tmp_path, parameters={"Model": model}))
    if not message:
        check_model(deployment, bucket)
        return
    with pytest.raises(ConfigError, match=message) as caught:
        check_model(deployment, bucket)
    assert "gigacast models publish FOLDER" in str(caught.value.hint)


def test_a_stack_that_is_refused_is_named(server: MotoServer, tmp_path: Path) -> None:
    deployment = Deployment.read(configuration(tmp_path, name="refused"))
    with pytest.raises(ComputeError, match=r"CloudFormation: refused-network .*VpcId"):
        cloud_of(deployment).up("network", {})


def repository_named(name: str) -> str:
    repository = boto3.client("ecr").create_repository(repositoryName=name)["repository"]
    return str(repository["repositoryUri"])


def test_images_are_built_for_every_flavour_and_pushed_once(
    server: MotoServer, tmp_path: Path
) -> None:
    index = "https://example.org/cpu"
    deployment = Deployment.read(configuration(tmp_path, cpu_torch_index=index))
    repository = repository_named("built")
    commands: list[list[str]] = []

    def run(command: list[str], **options: Any) -> None:
        commands.append(command)
        if command[1] == "push":
            boto3.client("ecr").put_image(
                repositoryName="built",
                imageManifest=f'{{"made": "{command[-1]}"}}',
                imageManifestMediaType="application/vnd.docker.distribution.manifest.v2+json",
                imageTag=command[-1].rpartition(":")[2],
            )

    build_images(repository, deployment, ABC, run)
    assert [command[:2] for command in commands] == [
        ["docker", "login"],
        *[["docker", "build"], ["docker", "push"]] * 3,
    ]
    assert f"CPU_TORCH_INDEX={index}" in commands[1]
    assert commands[1][2:4] == ["--platform", "linux/amd64"]
    pushed = [command[-1] for command in commands if command[1] == "push"]
    assert pushed == [f"{repository}:{name}-abc" for name in ("cpu", "gpu", "planner")]
    commands.clear()
    build_images(repository, deployment, ABC, run)
    assert commands == []
    night = {**yaml.safe_load((tmp_path / "aws.yaml").read_text()), "cpu_torch_index": None}
    night["parameters"] = {"NightlyFeatures": "shop.wide.v1"}
    (tmp_path / "aws.yaml").write_text(yaml.safe_dump(night))
    build_images(repository, Deployment.read(tmp_path / "aws.yaml"), ABC, run)
    assert [c[-1] for c in commands if c[1] == "push"] == [f"{repository}:jobs-abc"]


def test_missing_docker_is_reported_in_a_single_line(
    server: MotoServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(command: list[str], **_: object) -> None:
        raise FileNotFoundError(command[0])

    deployment = Deployment.read(configuration(tmp_path))
    with pytest.raises(ConfigError, match="docker is not installed"):
        build_images(repository_named("bare"), deployment, ABC, missing)
    assert deploy.main(["up", "--config", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml: no such configuration file" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_features_are_deployed_with_their_table_and_the_events_of_a_stream(
    server: MotoServer, tmp_path: Path
) -> None:
    events = f"events-{uuid.uuid4().hex}"  # the server is shared with other files of tests
    boto3.client("kinesis").create_stream(StreamName=events, ShardCount=1)
    parameters = {"ServeFeatures": "yes", "FeatureStream": events}
    file = configuration(tmp_path, name="serving", parameters=parameters)
    deployment = Deployment.read(file)
    cloud = cloud_of(deployment)
    outputs = {**deployment.parameters, "Bucket": "b", "PlannerImage": "repository:planner"}

    cloud.up("storage", dict(deployment.parameters))
    made = cloud.up("features", outputs)

    assert made["OnlineStoreAddress"] == "dynamodb:serving-features"
    table = boto3.client("dynamodb").describe_table(TableName="serving-features")["Table"]
    assert table["KeySchema"] == [{"AttributeName": "key", "KeyType": "HASH"}]

    (mapping,) = boto3.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    assert mapping["EventSourceArn"].endswith(f":stream/{events}")
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    # The table stays with its features, and does not stand in the way of the next deployment.
    cloud.down("features")
    cloud.up("features", outputs)
    cloud.down("features")
