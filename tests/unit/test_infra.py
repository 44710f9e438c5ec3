"""The templates, the Dockerfile and the Makefile, as far as they can be checked from here."""

import json
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
import yaml

from gigacast.core.cost.array_plan import MAX_ARRAY
from gigacast.lake import layout
from infra import configuration, pin_images, wheels

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"


class _Loader(yaml.SafeLoader):
    """Reads `!Sub x` as {"Sub": x}, so that a parsed template holds everything it says."""


def _function(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {suffix: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {suffix: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _function)


def template(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.load(configuration.template_file(name).read_text(), _Loader)
    return content


def resources(name: str, kind: str = "") -> dict[str, Any]:
    return {
        key: value["Properties"]
        for key, value in template(name)["Resources"].items()
        if value["Type"].endswith(kind)
    }


def statements(name: str) -> list[tuple[str, dict[str, Any]]]:
    """Every statement of every policy of a template, with the resource it stands in."""
    result: list[tuple[str, dict[str, Any]]] = []

    def walk(name_path: str, value: Any) -> None:
        if isinstance(value, dict):
            if "Effect" in value:
                result.append((name_path, value))
            for inner in value.values():
                walk(name_path, inner)
        elif isinstance(value, list):
            for inner in value:
                walk(name_path, inner)
        elif isinstance(value, str) and value.lstrip().startswith('{"Version"'):
            walk(name_path, json.loads(value))

    for key, properties in template(name)["Resources"].items():
        walk(key, properties)
    return result


def statements_of(name: str, role: str) -> list[dict[str, Any]]:
    """The statements of a role that it has in each deployment, whatever the conditions."""
    optional = ("UseTheKey", "FindInputs", "PublishTheModel")
    optional += ("ReleaseTheClaimOnTheModel", "WriteTables")
    return [
        statement
        for place, statement in statements(name)
        if place == role and not statement.get("Sid", "").startswith(optional)
        if statement.get("Sid") != "ReadInputs" and "AssumeRole" not in str(statement["Action"])
    ]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.fixture(scope="module")
def findings() -> tuple[int, list[dict[str, Any]]]:
    """Return the exit code of the linter, and what it finds in all templates.

    It is a process for all of them: each takes two seconds to read its rules.
    """
    files = [str(configuration.template_file(name)) for name in configuration.TEMPLATES]
    command = [str(Path(sys.executable).parent / "cfn-lint"), "--format", "json", *files]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    return process.returncode, json.loads(process.stdout)


@pytest.mark.parametrize("name", configuration.TEMPLATES)
def test_a_template_is_clean(findings: tuple[int, list[dict[str, Any]]], name: str) -> None:
    code, problems = findings
    file = str(configuration.template_file(name))
    assert [problem for problem in problems if problem["Filename"] == file] == []
    assert bool(code) == bool(problems), problems


def test_every_template_is_deployed() -> None:
    assert sorted(path.stem for path in INFRA.glob("*.yaml")) == sorted(configuration.TEMPLATES)


# -- permissions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", configuration.TEMPLATES)
def test_no_wildcard_permission_lacks_a_written_reason(name: str) -> None:
    reasons = template(name).get("Metadata", {}).get("WildcardResources", {})
    used = set()
    for place, statement in statements(name):
        if statement["Effect"] != "Allow":
            continue
        actions = listed(statement["Action"])
        assert not [a for a in actions if "*" in a or ":" not in a], (place, statement)
        if "*" in listed(statement.get("Resource", [])):
            assert len(reasons[statement["Sid"]].split()) >= 4, (place, statement)
            used.add(statement["Sid"])
        assert "NotAction" not in statement
        assert "NotResource" not in statement
    assert used == set(reasons)


def test_every_policy_of_a_role_is_written_in_the_template() -> None:
    for name in configuration.TEMPLATES:
        for role in resources(name, "IAM::Role").values():
            assert "ManagedPolicyArns" not in role


def test_each_role_is_assumed_by_one_service() -> None:
    roles = {
        key: listed(role["AssumeRolePolicyDocument"]["Statement"])[0]["Principal"]["Service"]
        for name in configuration.TEMPLATES
        for key, role in resources(name, "IAM::Role").items()
    }
    assert roles == {
        "InstanceRole": "ec2.amazonaws.com",
        "ExecutionRole": "ecs-tasks.amazonaws.com",
        "JobRole": "ecs-tasks.amazonaws.com",
        "PlannerRole": "lambda.amazonaws.com",
        "CloserRole": "lambda.amazonaws.com",
        "SchedulerRole": "scheduler.amazonaws.com",
        "FeaturesRole": "lambda.amazonaws.com",
        "StreamerRole": "lambda.amazonaws.com",
        "NightlyExecutionRole": "ecs-tasks.amazonaws.com",
        "NightlyJobRole": "ecs-tasks.amazonaws.com",
        "NightlyRole": "lambda.amazonaws.com",
        "NightlySchedulerRole": "scheduler.amazonaws.com",
    }


def test_a_child_may_write_only_its_own_outputs() -> None:
    writes = {
        (action, resource["Sub"].partition("${Prefix}")[2])
        for statement in statements_of("batch", "JobRole")
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
        if action.startswith(("s3:Put", "s3:Delete"))
    }
    assert writes == {
        *(
            ("s3:PutObject", f"{root}/*")
            for root in (
                *("anomalies", "audit", "backtests", "bucketed", "bucketing", "cleaning"),
                "digests",
                *("evaluations", "feature_store", "forecasts", "origins", "quality", "timings"),
                "_smoke",
            )
        ),
        ("s3:DeleteObject", "bucketed/*"),
        ("s3:DeleteObject", "evaluations/*"),
        ("s3:DeleteObject", "origins/*"),
        ("s3:DeleteObject", "timings/*"),
    }


def test_a_listing_is_confined_to_the_prefix_and_a_whole_bucket_can_be_listed() -> None:
    """IAM finds no match for a pattern where the request names no prefix, as from the root."""
    listing = [
        statement
        for name in configuration.TEMPLATES
        for _, statement in statements(name)
        # Another bucket is only for inputs.
        if "s3:ListBucket" in listed(statement["Action"]) and statement["Sid"] != "FindInputs"
    ]
    # The functions of streams and of the night list definitions only, below every prefix.
    below = "${Prefix}feature_store/definitions/*"
    definitions = [
        s for s in listing if s["Condition"] == {"StringLike": {"s3:prefix": {"Sub": below}}}
    ]
    listing = [statement for statement in listing if statement not in definitions]
    assert (len(listing), len(definitions)) == (4, 2)
    confined = {"StringLike": {"s3:prefix": [{"Sub": "${Prefix}*"}]}}
    for statement in listing:
        assert statement["Condition"] == {
            "If": ["HasPrefix", confined, {"Ref": "AWS::NoValue"}],
        }


# -- machines and children -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Cpu", "Gpu"])
def test_a_child_is_tried_again_for_a_lost_host_and_75_and_for_nothing_else(kind: str) -> None:
    child = resources("batch", "JobDefinition")[f"{kind}Child"]
    assert child["RetryStrategy"]["EvaluateOnExit"] == [
        {"OnStatusReason": "Host EC2*", "Action": "RETRY"},
        {"OnExitCode": "75", "Action": "RETRY"},
        {"OnReason": "*", "Action": "EXIT"},
    ]
    assert child["Timeout"] == {"AttemptDurationSeconds": {"Ref": "ChildTimeoutSeconds"}}
    container = child["ContainerProperties"]
    assert container["LogConfiguration"]["Options"]["awslogs-group"] == {"Ref": "Logs"}
    assert container["JobRoleArn"] != container["ExecutionRoleArn"]
    kinds = [entry["Type"] for entry in container["ResourceRequirements"]]
    assert kinds == ["VCPU", "MEMORY", "GPU"][: 3 if kind == "Gpu" else 2]
    # What a child can't see of its machine, and its bill needs.
    environment = {entry["Name"]: entry["Value"] for entry in container["Environment"]}
    machines = resources("batch", "ComputeEnvironment")[f"{kind}Machines"]["ComputeResources"]
    assert environment == {
        "GIGACAST_STACK": {"Ref": "Name"},
        "GIGACAST_PURCHASE": machines["Type"].lower(),
        "GIGACAST_VCPUS": {"Ref": f"{kind}Vcpus"},
    }


@pytest.mark.parametrize("kind", ["Cpu", "Gpu"])
def test_machines_are_spot_instances_scale_to_zero_and_have_enough_disk(kind: str) -> None:
    machines = resources("batch", "ComputeEnvironment")[f"{kind}Machines"]["ComputeResources"]
    assert (machines["Type"], machines["MinvCpus"]) == ("SPOT", 0)
    (disk,) = resources("batch", "LaunchTemplate")["Machine"]["LaunchTemplateData"][
        "BlockDeviceMappings"
    ]
    assert (disk["Ebs"]["VolumeType"], disk["Ebs"]["VolumeSize"]) == ("gp3", 100)
    queue = resources("batch", "JobQueue")[f"{kind}Queue"]
    assert {action["State"] for action in queue["JobStateTimeLimitActions"]} == {"RUNNABLE"}
    assert len(queue["JobStateTimeLimitActions"]) == 3


def test_resource_names_are_those_the_program_looks_for() -> None:
    for kind, name in (("JobQueue", "JobQueueName"), ("JobDefinition", "JobDefinitionName")):
        names = sorted(entry[name]["Sub"] for entry in resources("batch", kind).values())
        assert names == ["${Name}-cpu", "${Name}-gpu"]
    assert MAX_ARRAY == 10_000


# -- storage, schedule, alarms ---------------------------------------------------------------------


def test_the_bucket_is_private_encrypted_versioned_and_outlives_its_stack() -> None:
    bucket = template("storage")["Resources"]["Data"]
    properties = bucket["Properties"]
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    assert properties["BucketEncryption"]
    kept = (bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"])
    assert kept == ("RetainExceptOnCreate", "Retain")
    expiring = {
        rule["Prefix"]["Sub"]
        for rule in properties["LifecycleConfiguration"]["Rules"]
        if "ExpirationInDays" in rule
    }
    assert expiring == {"${Prefix}audit/", "${Prefix}plans/"}
    markers = [
        r.get("ExpiredObjectDeleteMarker") for r in properties["LifecycleConfiguration"]["Rules"]
    ]
    assert True in markers


def test_names_that_are_kept_do_not_stand_in_the_way_of_the_next_deployment() -> None:
    """What outlives its stack is in the stack that stays, and goes with a failed creation."""
    for name in configuration.TEMPLATES:
        for entry in template(name)["Resources"].values():
            policies = {entry.get("DeletionPolicy"), entry.get("UpdateReplacePolicy")}
            if policies & {"Retain", "RetainExceptOnCreate"}:
                assert (name, policies) == ("storage", {"RetainExceptOnCreate", "Retain"})


def test_outputs_of_a_job_do_not_trigger_the_arrival_rule() -> None:
    pattern = resources("schedule", "Events::Rule")["NewObject"]["EventPattern"]["detail"]
    (passed,) = pattern["object"]["key"]
    written = {rule["Sub"].removeprefix("${Prefix}") for rule in passed["anything-but"]["prefix"]}
    kept_folders = {layout.FORECASTS, layout.BACKTESTS, layout.EVALUATIONS, layout.QUALITY}
    kept_folders |= {layout.CLEANING, layout.TIMINGS, layout.AUDIT, layout.PLANS, layout.MODELS}
    kept_folders |= {"_smoke/"}
    assert written == kept_folders


def test_every_function_and_the_dead_letter_queue_have_an_alarm() -> None:
    alarms = resources("observe", "CloudWatch::Alarm").values()
    watched = {d["Value"]["Sub"] for a in alarms for d in a["Dimensions"] if "Sub" in d["Value"]}
    for name in configuration.TEMPLATES:
        functions = resources(name, "Lambda::Function").values()
        assert {function["FunctionName"]["Sub"] for function in functions} <= watched
    for name, dead_letters in (("schedule", "ArrivalsGivenUp"), ("features", "EventsGivenUp")):
        assert resources(name, "SQS::Queue")[dead_letters]["QueueName"]["Sub"] in watched


def test_the_schedule_calls_the_planner_and_a_rule_the_closer() -> None:
    clock = resources("schedule", "Scheduler::Schedule")["Clock"]
    assert clock["Target"]["Arn"] == {"GetAtt": "Planner.Arn"}
    assert clock["Target"]["RetryPolicy"]["MaximumRetryAttempts"] == 3
    pattern = resources("schedule", "Events::Rule")["ArrayEnded"]["EventPattern"]["detail"]
    assert pattern["status"] == ["SUCCEEDED", "FAILED"]
    assert pattern["arrayProperties"] == {"index": [{"exists": False}]}


def test_functions_call_existing_handlers_and_messages_stay_hidden_longer_than_they_run() -> None:
    functions = resources("schedule", "Lambda::Function")
    doors = {key: value["ImageConfig"]["Command"][0] for key, value in functions.items()}
    assert doors == {
        "Planner": "handler.schedule.handle",
        "Arrival": "handler.arrival.handle",
        "Closer": "handler.closing.handle",
    }
    for door in doors.values():
        module, _, name = door.rpartition(".")
        assert f"def {name}(event" in (ROOT / f"{module.replace('.', '/')}.py").read_text()
    queue = resources("schedule", "SQS::Queue")["Arrivals"]
    assert queue["VisibilityTimeout"] >= 6 * functions["Arrival"]["Timeout"]


def permissions(role: str) -> set[tuple[str, str]]:
    """Return the actions of a role of the features' template, and what they may be done to."""
    return {
        (action, next(iter(statement["Resource"].values())).rpartition(":")[2])
        for statement in statements_of("features", role)
        for action in listed(statement["Action"])
        if not action.startswith("logs:")
    }


def test_the_function_that_answers_may_read_the_table_and_log_what_it_says() -> None:
    assert permissions("FeaturesRole") == {
        ("dynamodb:BatchGetItem", "table/${Name}-features"),
        ("s3:PutObject", "${Bucket}/${Prefix}feature_store/logs/*"),
    }


def test_the_function_of_the_stream_may_do_what_its_code_does() -> None:
    stream = "stream/${FeatureStream}"
    assert permissions("StreamerRole") == {
        ("kinesis:DescribeStream", stream),
        ("kinesis:DescribeStreamSummary", stream),
        ("kinesis:GetRecords", stream),
        ("kinesis:GetShardIterator", stream),
        ("kinesis:ListShards", stream),
        ("dynamodb:BatchGetItem", "table/${Name}-features"),
        ("dynamodb:PutItem", "table/${Name}-features"),
        ("s3:ListBucket", "${Bucket}"),
        ("s3:GetObject", "${Bucket}/${Prefix}feature_store/definitions/*"),
        ("s3:GetObject", "${Bucket}/${Prefix}feature_store/schemas/*"),
        ("sqs:SendMessage", "EventsGivenUp.Arn"),
    }


def test_the_table_of_features_is_as_the_online_store_wants_it_and_outlives_its_stack() -> None:
    table = template("storage")["Resources"]["OnlineStore"]
    properties = table["Properties"]
    assert properties["KeySchema"] == [{"AttributeName": "key", "KeyType": "HASH"}]
    assert properties["AttributeDefinitions"] == [{"AttributeName": "key", "AttributeType": "S"}]
    assert properties["TimeToLiveSpecification"] == {"AttributeName": "expires", "Enabled": True}
    assert properties["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    kept = (table["DeletionPolicy"], table["UpdateReplacePolicy"])
    assert kept == ("RetainExceptOnCreate", "Retain")


def test_the_url_of_features_needs_signed_requests_and_the_stream_reports_single_failures() -> None:
    (url,) = resources("features", "Lambda::Url").values()
    (mapping,) = resources("features", "EventSourceMapping").values()
    assert url["AuthType"] == "AWS_IAM"
    assert resources("features", "Lambda::Permission") == {}
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ParallelizationFactor"] == 1
    assert mapping["StartingPosition"] == "TRIM_HORIZON"


def test_without_a_word_in_the_configuration_nothing_of_the_features_is_made() -> None:
    for entry in template("features")["Resources"].values():
        assert entry["Condition"] in {"Serves", "Streams"}
    assert template("features")["Parameters"]["ServeFeatures"]["Default"] == "no"


def test_functions_of_features_call_existing_handlers() -> None:
    functions = resources("features", "Lambda::Function")
    doors = {key: value["ImageConfig"]["Command"][0] for key, value in functions.items()}
    assert doors == {"Features": "handler.features.handle", "Streamer": "handler.stream.handle"}
    for value in functions.values():
        assert value["Environment"]["Variables"]["GIGACAST_ONLINE_STORE"] == {
            "Sub": "dynamodb:${Name}-features"
        }


def test_without_names_in_the_configuration_no_night_is_made() -> None:
    assert all(e["Condition"] == "Nights" for e in template("nightly")["Resources"].values())
    assert template("nightly")["Parameters"]["NightlyFeatures"]["Default"] == ""


def test_a_job_of_the_night_writes_features_and_proofs_and_fills_the_table() -> None:
    allowed = {
        (action, resource["Sub"].rpartition(":")[2])
        for statement in statements_of("nightly", "NightlyJobRole")
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
        if not action.startswith("batch:")
    }
    roots = {root.rstrip("/") for root in layout.RESERVED} - {"models", "raw"} | {"bucketed"}
    removed = {"timings/*", "evaluations/*", "origins/*", "forecasts/*/_manifest.OUTDATED"}
    removed |= {"cleaned/*/PUBLISHING", "features/*/PUBLISHING", "bucketed/*"}
    assert allowed == {
        ("s3:ListBucket", "${Bucket}"),
        ("s3:GetObject", "${Bucket}/${Prefix}*"),
        *(("s3:PutObject", "${Bucket}/${Prefix}" + f"{root}/*") for root in roots),
        *(("s3:AbortMultipartUpload", "${Bucket}/${Prefix}" + f"{root}/*") for root in roots),
        *(("s3:DeleteObject", "${Bucket}/${Prefix}" + place) for place in removed),
        *(
            (f"dynamodb:{action}", "table/${Name}-features")
            for action in ("BatchGetItem", "BatchWriteItem", "PutItem", "Scan")
        ),
    }


def test_the_night_is_called_with_the_time_of_its_schedule_and_its_queue_closes_no_run() -> None:
    (clock,) = resources("nightly", "Scheduler::Schedule").values()
    assert clock["Target"]["Arn"] == {"GetAtt": "Nightly.Arn"}
    assert json.loads(clock["Target"]["Input"]["Sub"].replace("${NightlyJobs}", "[]")) == {
        "time": "<aws.scheduler.scheduled-time>",
        "jobs": [],
    }
    (queue,) = resources("nightly", "JobQueue").values()
    closed = resources("schedule", "Events::Rule")["ArrayEnded"]["EventPattern"]["detail"]
    names = {entry["Sub"].rpartition("/")[2] for entry in closed["jobQueue"]}
    assert queue["JobQueueName"]["Sub"] not in names
    (function,) = resources("nightly", "Lambda::Function").values()
    assert function["ImageConfig"]["Command"] == ["handler.nightly.handle"]


def test_logs_are_not_kept_for_ever() -> None:
    for name in configuration.TEMPLATES:
        assert all("RetentionInDays" in group for group in resources(name, "LogGroup").values())


def test_alarms_and_board_show_metrics_that_are_written() -> None:
    source = (ROOT / "lib" / "gigacast" / "job" / "telemetry.py").read_text()
    alarms = resources("observe", "CloudWatch::Alarm").values()
    ours = {alarm["MetricName"] for alarm in alarms if alarm["Namespace"] == "Gigacast"}
    (board,) = resources("observe", "Dashboard").values()
    body = json.loads(board["DashboardBody"]["Sub"])
    for widget in body["widgets"]:
        ours |= {m[1] for m in widget["properties"]["metrics"] if m[0] == "Gigacast"}
        for _, _, dimension, stack, *_ in (
            m for m in widget["properties"]["metrics"] if len(m) > 4
        ):
            assert (dimension, stack) == ("stack", "${Name}")
    assert len(ours) > 8
    mine = [alarm["Dimensions"] for alarm in alarms if alarm["Namespace"] == "Gigacast"]
    assert mine == [[{"Name": "stack", "Value": {"Ref": "Name"}}]] * 2
    assert [name for name in ours if f'"{name}"' not in source] == []
    assert all(alarm["AlarmActions"] == [{"Ref": "Alarms"}] for alarm in alarms)


# -- images and the Makefile -----------------------------------------------------------------------


def dockerfile() -> list[str]:
    text = (INFRA / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if line.strip() and line[0] != "#"]


def test_the_dockerfile_has_a_target_for_every_flavour_without_root_in_exec_form() -> None:
    lines = dockerfile()
    stages = [line.split(" AS ")[1] for line in lines if line.startswith("FROM ")]
    assert set(configuration.FLAVOURS) < set(stages)
    instructions = {"FROM", "ARG", "ENV", "RUN", "COPY", "WORKDIR", "USER", "ENTRYPOINT", "CMD"}
    assert {line.split()[0] for line in lines} == instructions
    for line in lines:
        if line.startswith(("ENTRYPOINT", "CMD")):
            assert json.loads(line.partition(" ")[2])
    for stage in ("child", "planner"):
        at = next(n for n, line in enumerate(lines) if line.endswith(f" AS {stage}"))
        body = lines[at + 1 :]
        ends = next((n for n, line in enumerate(body) if line.startswith("FROM")), len(body))
        assert "USER 10001" in body[:ends]


def test_files_copied_by_the_dockerfile_exist_and_are_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for line in dockerfile():
        if line.startswith("COPY") and "--from" not in line:
            for name in line.split()[1:-1]:
                assert (ROOT / name).exists(), name
                assert f"!{name}" in ignored, name


def test_base_images_are_tagged_and_can_be_pinned() -> None:
    content = (INFRA / "Dockerfile").read_text()
    bases = re.findall(r"^ARG \w+_IMAGE=(\S+)$", content, re.MULTILINE)
    assert len(bases) == 2
    assert {wheels.platform_of(base).glibc >= wheels.LEAST_GLIBC for base in bases} == {True}
    assert wheels.platform_of("public.ecr.aws/lambda/python:3.11").glibc < wheels.LEAST_GLIBC
    assert all(re.search(r":[\w.-]*\d", base) and "latest" not in base for base in bases)
    froms = [line.split()[1] for line in dockerfile() if line.startswith("FROM")]
    stages = {line.split(" AS ")[1] for line in dockerfile() if line.startswith("FROM")}
    assert all(base.startswith("${") or base in stages for base in froms)
    pinned = pin_images.pin(content, lambda image: "sha256:" + "a" * 64)
    assert pin_images.unpinned(pinned) == []
    again = pin_images.pin(pinned, lambda image: "sha256:" + "b" * 64)
    assert again == pinned.replace("a" * 64, "b" * 64)


def test_the_planner_image_contains_the_imports_of_its_handlers() -> None:
    text = (INFRA / "planner-requirements.txt").read_text()
    names = {line for line in text.splitlines() if line and not line.startswith("#")}
    pinned = (ROOT / "constraints.txt").read_text().lower()
    assert all(f"\n{name}==" in f"\n{pinned}" for name in names)
    known_modules = {_module(name) for name in names}
    for name in names:
        needed = [r for r in requires(name) or [] if "extra ==" not in r]
        known_modules |= {_module(re.split(r"[ ;<>=!~\[(]", r)[0]) for r in needed}
    check = """
import sys
import handler.schedule, handler.arrival, handler.closing, handler.features, handler.stream
import handler.nightly
import gigacast.feature_store.online.dynamodb
import gigacast.storage.s3.store, gigacast.runtime.parallel
from importlib import import_module
from gigacast.batch.setup import KINDS
for module in KINDS.values():
    import_module(f"gigacast.batch.{module}")  # what an array ends by
files = {name.partition(".")[0]: module.__file__ or "" for name, module in sys.modules.items()
         if getattr(module, "__file__", None)}
print(*[name for name, file in files.items() if "site-packages" in file])
"""
    process = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = {name for name in process.stdout.split() if not name.startswith("_")}
    deeper = {"urllib3", "dateutil", "six", "certifi", "cloudpickle", "jmespath", "attr", "rpds"}
    # Formats of jsonschema, which it checks where they are installed; ours are in the package.
    deeper |= {"idna", "jsonpointer", "rfc3339_validator"}
    assert loaded - known_modules - deeper == set()


def _module(distribution: str) -> str:
    names = {"pyyaml": "yaml", "python-dotenv": "dotenv"}
    return names.get(distribution.lower(), distribution.lower().replace("-", "_"))


@pytest.mark.parametrize("target", ["deploy", "destroy", "demo-batch"])
def test_the_makefile_prints_its_commands_in_a_dry_run(target: str) -> None:
    process = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True
    )
    scripts = re.findall(r"(?:infra|tests)[/.][\w.]+?(?=\.py|\s|$)", process.stdout)
    assert scripts
    for script in scripts:
        assert (ROOT / f"{script.replace('.', '/')}.py").is_file()
