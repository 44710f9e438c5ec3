"""The deployed policies against the requests of what runs under them: all allowed, none too broad.

The templates are deployed on moto, whose CloudFormation renders the policies and the variables of
functions. Planner, arrival, closer, children and the jobs of a night then run on it, each with
requests of its own name.
"""

import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import pytest
import yaml
from moto.core.config import default_user_config

from gigacast.anomalies.job import AnomalyJob
from gigacast.backtesting.evaluation.run import EvaluationJob
from gigacast.backtesting.job import BacktestJob
from gigacast.batch.aws import BatchService
from gigacast.batch.backfill import divide_backfill
from gigacast.batch.cleaning import divide_cleaning
from gigacast.batch.comparison import divide_evaluation
from gigacast.batch.division import BucketWork, divide_bucketing
from gigacast.batch.past import divide_backtest
from gigacast.batch.quality import divide_quality
from gigacast.batch.search import divide_search
from gigacast.batch.submit import submit_job
from gigacast.batch.upload import divide_upload
from gigacast.batch.work import ArrayJob
from gigacast.cleaning.run import CleanJob
from gigacast.cli.program import run
from gigacast.core.dataset.ref import DatasetRef
from gigacast.core.exit import EXIT_USAGE
from gigacast.feature_store.definition.json import encode
from gigacast.feature_store.offline.result import Days
from gigacast.feature_store.offline.stage import Backfill
from gigacast.feature_store.stored import key_of
from gigacast.feature_store.table import Tables
from gigacast.feature_store.uploads.plan import UploadJob, parts_to_upload
from gigacast.job.file_job import FileJob, Sources
from gigacast.job.run import utc_now
from gigacast.lake.publication import Author
from gigacast.quality.run import QualityJob
from gigacast.settings.assembly import array_options_of, job_of
from gigacast.settings.load import load_settings
from gigacast.settings.options import nest_arguments
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from handler import arrival, closing, nightly, schedule
from infra import deploy
from infra.cloud import Cloud
from infra.configuration import FLAVOURS, ROOT, Deployment
from infra.image import image_names
from tests.flow.batch.test_array_backfill import JOIN, put_day
from tests.flow.batch.test_infra_deploy import configuration, template_for_moto
from tests.flow.feature_store.shop import DAY, DAYS, FIRST
from tests.support.local_batch import LocalBatch
from tests.support.moto_server import MotoServer
from tests.support.panels import hourly_panel, put_frame, put_panels
from tests.support.policies import Recorder, Request, decide, role_statements

NAME = "judged"
KEY = "arn:aws:kms:us-east-1:123456789012:key/own"
SETTINGS = "forecast:\n  quantiles: [0.1, 0.5, 0.9]\nmodel:\n  prediction_length: 6\n"
LATE = "sales/2024/03/part-00000.parquet"
INPUTS = "inputs-of-another"
MODEL, TABLES = "mix", "tables"
TABLE = f"delta://s3://BUCKET/sales/{TABLES}/made"
NAIVE = "--model seasonal-naive --horizon 6"
NUMPY = "--model_engine numpy --horizon 6 --limit 1"
NIGHT = [
    "data quality",
    "data clean partitions cleaned/prices",
    "data features cleaned/prices features/mine --recipe RECIPE --bars_per_day 24",
    "data bucket --buckets 2",
    f"forecast {NAIVE} --incremental --report --output_table {TABLE}",
    "backtest --windows 1 --model seasonal-naive --horizon 6 --calibrate",
    "reconcile --model seasonal-naive --horizon 6 --windows 1",
    f"models select {MODEL} {NUMPY} --model gigacast-bolt-nano --windows 1 --least_windows 1",
    "evaluate",
    "anomalies",
    "submit --model seasonal-naive --horizon 12",
]
RECIPE = """
name: mine
features:
- {kind: lag, column: target, steps: [1]}
"""
ROLES = {
    "PlannerRole": "schedule",
    "CloserRole": "schedule",
    "JobRole": "batch",
    "NightlyRole": "nightly",
    "NightlyJobRole": "nightly",
}


@contextmanager
def acting_as(role: str, function: str = "") -> Iterator[None]:
    """Sign requests as a role, with the variables of a deployed function."""
    variables: Mapping[str, str] = {}
    if function:
        client = boto3.client("lambda")
        answer = client.get_function_configuration(FunctionName=f"{NAME}-{function}")
        variables = answer["Environment"]["Variables"]
    own = {name: text for name, text in os.environ.items() if not name.startswith("GIGACAST_")}
    # The default session of boto3 remembers credentials.
    boto3.DEFAULT_SESSION = None
    with mock.patch.dict(os.environ, {**own, **variables, "AWS_ACCESS_KEY_ID": role}, clear=True):
        yield
    boto3.DEFAULT_SESSION = None


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorder]:
    """A deployment after two nights of work, and the requests of each role."""
    with (
        mock.patch.dict(default_user_config["lambda"], {"use_docker": False}),
        MotoServer(INPUTS),
        warnings.catch_warnings(),
        Recorder() as recorder,
    ):
        # moto says which resources it does not know.
        warnings.simplefilter("ignore", UserWarning)
        bucket = deployed(tmp_path_factory.mktemp("judged"))
        outputs = open_store(StoreAddress(f"s3://{bucket}/sales"))
        outputs.put("settings/nightly.yaml", SETTINGS.encode())
        inputs = open_store(StoreAddress(f"s3://{INPUTS}/sales"))
        put_panels(inputs, ("2024-01",), parts=2)
        put_features(outputs)
        ended: list[dict[str, Any]] = []
        environment = {"AWS_ACCESS_KEY_ID": "JobRole"}
        with LocalBatch(environment=environment, on_end=ended.append) as batch:
            work(batch, inputs, ended)
            batch.pause()
            recipe = tmp_path_factory.mktemp("recipe") / "mine.yaml"
            recipe.write_text(RECIPE)
            work_of_the_night(recipe, bucket)
            put_frame(inputs, "2024/01/part-00001.parquet", hourly_panel("2024-01", seed=9))
            put_day(outputs, "checkouts", DAYS[-1], [(1, 0, FIRST + 7 * DAY)])
            batch.resume()
            work_of_arrays(batch, outputs.address, ended)
        yield recorder


def deployed(folder: Path) -> str:
    """Deploy all templates; return the bucket."""
    file = configuration(
        folder,
        name=NAME,
        kms_key=KEY,
        input_bucket=INPUTS,
        input_prefix="sales",
        nightly=NIGHT,
        parameters={
            **yaml.safe_load((ROOT / "config" / "aws.yaml").read_text())["parameters"],
            "Model": "seasonal-naive",
            "ScheduleState": "ENABLED",
            "ArrivalState": "ENABLED",
            "Settings": "settings/nightly.yaml",
            "ServeFeatures": "yes",
            "NightlyFeatures": "shop.training_set",
            "NightlyModel": MODEL,
            "NightlyTables": TABLES,
        },
    )
    deployment = Deployment.read(file)
    cloud = Cloud(deployment, boto3.client("cloudformation"), template_for_moto)

    def images(repository: str) -> Mapping[str, str]:
        return image_names(repository, dict.fromkeys(FLAVOURS, "0123456789ab"))

    return deploy.deploy(deployment, cloud, images)["Bucket"]


def put_features(outputs: Store) -> None:
    """Put the tables of a join, and its definition."""
    for n, day in enumerate(DAYS):
        start = FIRST + n * DAY
        put_day(outputs, "purchases", day, [(user, user, start + user) for user in (1, 2)])
        put_day(outputs, "checkouts", day, [(user, 0, start + DAY // 2) for user in (1, 2)])
    outputs.put(key_of(JOIN), encode(JOIN, {}))


def work(batch: LocalBatch, inputs: Store, ended: list[dict[str, Any]]) -> None:
    """Plan, be told of an arrival while the run goes on, end, close, and go on with what came."""
    batch.pause()
    with acting_as("PlannerRole", "planner"):
        first = schedule.handle({}, None)
        assert (first["outcome"], first["tasks"]) == ("submitted", 2)
    put_frame(inputs, "2024/03/part-00000.parquet", hourly_panel("2024-03"))
    body = json.dumps({"detail": {"bucket": {"name": INPUTS}, "object": {"key": LATE}}})
    with acting_as("PlannerRole", "arrival"):
        waiting = arrival.handle({"Records": [{"messageId": "0", "body": body}]}, None)
        assert waiting["outcome"] == "another run is under way"
    batch.resume()
    batch.wait()
    with acting_as("CloserRole", "closer"):
        closing.handle(ended.pop(), None)
    # The closer calls the planner for what came, which moto only notes. A changed input replaces
    # the receipt and the forecast of the former one.
    put_frame(inputs, "2024/01/part-00000.parquet", hourly_panel("2024-01", seed=7))
    with acting_as("PlannerRole", "planner"):
        assert schedule.handle({"arguments": {"queue": "gpu"}}, None)["tasks"] == 2
        batch.wait()
        # Without a closer the planner closes the run that has ended.
        assert schedule.handle({}, None)["outcome"] == "nothing pending"


def work_of_the_night(recipe: Path, bucket: str) -> None:
    """Submit the commands of a night, and do them with the variables of their jobs."""
    with acting_as("NightlyRole", "nightly"):
        answer = nightly.handle({"ds": DAYS[-1], "jobs": NIGHT}, None)
        assert len(answer["jobs"]) == len(NIGHT) + 3  # and backfill, upload, consistency
    client = boto3.client("batch")
    (definition,) = client.describe_job_definitions(jobDefinitionName=f"{NAME}-nightly")[
        "jobDefinitions"
    ]
    variables = {e["name"]: e["value"] for e in definition["containerProperties"]["environment"]}
    jobs = client.describe_jobs(jobs=answer["jobs"])["jobs"]
    for job in jobs:
        with acting_as("NightlyJobRole"), mock.patch.dict(os.environ, variables):
            command = [str(recipe) if w == "RECIPE" else w for w in job["container"]["command"]]
            command = [word.replace("BUCKET", bucket) for word in command]
            # No request was logged that could be compared.
            expected = EXIT_USAGE if "consistency" in command else 0
            assert run(command) == expected, command


def work_of_arrays(batch: LocalBatch, outputs: StoreAddress, ended: list[dict[str, Any]]) -> None:
    """Submit each kind of array, do its tasks, and close it."""
    inputs = f"s3://{INPUTS}/sales"
    where = {"bucket": outputs.url, "input_prefix": inputs, "region": "us-east-1"}
    naive = {"model": "seasonal-naive", "horizon": 6}
    settings = load_settings(nest_arguments({**where, **naive, "children": 1, "stack": NAME}))
    forecast, options = job_of(settings), array_options_of(settings)
    files = FileJob(Sources(forecast.inputs), outputs)
    target = DatasetRef.parse("cleaned/prices")
    upload = UploadJob(
        Tables.at(outputs, {}),
        parts_to_upload(JOIN),
        DAYS[-1],
        (JOIN,),
        online_store=f"dynamodb:{NAME}-features",
        overwrite=True,
    )
    kinds: list[Callable[[], ArrayJob]] = [
        lambda: divide_quality(QualityJob(files)),
        lambda: divide_cleaning(CleanJob(files, target), Author("ann", utc_now)),
        lambda: divide_search(AnomalyJob(forecast)),
        lambda: divide_evaluation(EvaluationJob(forecast)),
        lambda: divide_backtest(BacktestJob(forecast, (forecast.model,)))[1][0],
        lambda: divide_backfill(Backfill(JOIN, outputs), Days()),
        lambda: divide_bucketing(BucketWork(forecast, 2, "bucketed")),
        lambda: divide_upload(upload),
    ]
    for divide in kinds:
        ended.clear()
        with acting_as("NightlyJobRole"):
            submission = submit_job(divide(), options, BatchService("us-east-1"))
        assert submission.tasks
        batch.wait()
        with acting_as("CloserRole", "closer"):
            closed = closing.handle(ended.pop(), None)
        assert closed["status"] == "completed", closed


UNUSED = {
    "WriteLogs *": "Lambda writes the log of a function",
    "TakeArrivals *": "Lambda reads the queue of a function",
    "GiveUp *": "Lambda puts aside what a function could not do",
    "UseTheKey *": "S3 uses the key in the name of the caller",
    "* s3:AbortMultipartUpload *": "only an upload that is given up",
    "* s3:PutObject */_smoke/*": "make smoke",
    "* s3:*Object */_manifest.OUTDATED": "only a manifest that could not be written",
    "* s3:PutObject */plans/WAITING/*": "only a turn that could not be started",
    "* s3:DeleteObject */origins/*": "only forecasts beyond the number that is kept",
    "Forget* s3:DeleteObject */plans/WAITING/*": "the planner: only where a run ends meanwhile",
    "EndWhatWasSubmittedByHalf *": "only a submission of several arrays that fails",
    "EndArraysThatAreCancelled *": "only a run that is cancelled",
    "LookAtJobs batch:ListJobs *": "only a run with children that failed",
    "Submit *:job-definition/*:[*]": "a revision, where Batch resolves the name before IAM",
    "FindDefinitions *": "without it S3 says of a definition that is gone that it is forbidden",
    "* s3:DeleteObject */sales/bucketed/*": "only a changed object without rows for a bucket",
    "ServeJoins dynamodb:PutItem *": "only the end of an upload whose joins are not served yet",
    "JobRole * s3:PutObject */sales/digests/*": "forecast --executor batch --incremental",
    "* s3:PutObject */sales/calibrations/*": "backtest --calibrate",
    "* s3:DeleteObject */sales/evaluations/*": "only scores of months that were replaced",
    "NightlyJobRole LookAtJobs *": "commands that wait for an array of their own",
    "NightlyJobRole Submit *-gpu": "commands with --queue gpu",
    "NightlyJobRole * s3:DeleteObject */sales/timings/*": "only changed inputs; see JobRole",
}
"""What no request of this test uses, and why it is there."""


@pytest.mark.parametrize(("role", "stack"), ROLES.items())
def test_every_request_is_allowed_and_nothing_more(
    recorder: Recorder, role: str, stack: str
) -> None:
    requests = recorder.of(role)
    decision = decide(requests, role_statements(f"{NAME}-{stack}", role))
    assert (recorder.unknown, decision.refused) == ([], [])
    assert len(requests) > 2
    texts = [" ".join(part) for part in decision.unused]
    assert [text for text in texts if not explanations(role, text)] == []


def explanations(role: str, text: str) -> set[str]:
    """Return the patterns of reasons that fit a part of a role's policies."""
    return {p for p in UNUSED if fnmatch(text, p) or fnmatch(f"{role} {text}", p)}


def test_no_reason_stands_for_what_is_used(recorder: Recorder) -> None:
    needed: set[str] = set()
    for role, stack in ROLES.items():
        decision = decide(recorder.of(role), role_statements(f"{NAME}-{stack}", role))
        for part in decision.unused:
            needed |= explanations(role, " ".join(part))
    assert set(UNUSED) - needed == set()


def test_a_request_of_another_resource_or_condition_is_refused() -> None:
    """The judge itself: a star crosses slashes, a condition without a value fails."""
    statements = [
        {"Sid": "A", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/sales/*"},
        {
            "Sid": "B",
            "Action": ["s3:ListBucket"],
            "Resource": ["arn:aws:s3:::b"],
            "Condition": {"StringLike": {"s3:prefix": ["sales/*"]}},
        },
    ]
    allowed = [
        Request("r", "s3:GetObject", "arn:aws:s3:::b/sales/a/b"),
        Request("r", "s3:ListBucket", "arn:aws:s3:::b", {"s3:prefix": "sales/2024/"}),
    ]
    refused = [
        Request("r", "s3:GetObject", "arn:aws:s3:::b/other/a"),
        Request("r", "s3:PutObject", "arn:aws:s3:::b/sales/a"),
        Request("r", "s3:ListBucket", "arn:aws:s3:::b", {"s3:prefix": "other/"}),
        Request("r", "s3:ListBucket", "arn:aws:s3:::b"),
    ]
    assert decide([*allowed, *refused], statements).refused == refused
    assert decide(allowed, statements).unused == set()
    assert len(decide([], statements).unused) == 2
