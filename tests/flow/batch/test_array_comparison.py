"""Evaluations and divisions into buckets by the children of an array: the files of a local run."""

import json
from typing import Any

import pytest

from gigacast.backtesting.evaluation.run import EvaluationJob, evaluate_forecasts
from gigacast.batch.aws import BatchService
from gigacast.batch.comparison import EvaluationWork, divide_evaluation
from gigacast.batch.division import BucketWork, divide_bucketing
from gigacast.batch.setup import load_work
from gigacast.batch.submit import submit_job
from gigacast.bucketing.run import BucketJob, files_of, run_bucketing
from gigacast.cli.program import run
from gigacast.errors import ConfigError, PlanError
from gigacast.forecasting.run import run_forecast
from gigacast.job.batch_options import ArrayOptions
from gigacast.lake.plan.plan_file import PlanFile, read_plan, read_tasks
from gigacast.storage.store import Store
from tests.flow.batch.array_runs import bucket_of, job_in, receipts, watch
from tests.support.local_batch import LocalBatch
from tests.support.moto_server import MotoServer

OPTIONS = ArrayOptions(children=2)


def contents(store: Store, *folders: str) -> dict[str, bytes]:
    keys = [entry.key for name in folders for page in store.list(name) for entry in page]
    return {key: store.get(key) for key in keys}


def evaluation(store: Store) -> EvaluationJob:
    return EvaluationJob(job_in(store))


def figures(store: Store) -> dict[str, bytes]:
    """Return scores and figures; the address of the bucket is another one in each test."""
    url = store.address.url.encode()
    return {k: v.replace(url, b"BUCKET") for k, v in contents(store, "evaluations/").items()}


def test_the_children_of_an_array_write_the_scores_and_figures_of_a_local_run(
    server: MotoServer, batch: LocalBatch, service: BatchService
) -> None:
    store, local = bucket_of(server, 2), bucket_of(server, 2)
    for place in (store, local):
        run_forecast(job_in(place))
    submission = submit_job(divide_evaluation(evaluation(store)), OPTIONS, service)
    assert (submission.tasks, submission.children) == (4, 2)
    audit = watch(store, submission, service)
    assert (audit.status, audit.files_processed, audit.job) == ("completed", 4, "evaluate")
    result = evaluate_forecasts(evaluation(local))
    assert figures(store) == figures(local)
    assert str(audit.plan["result"]) == result.location.removeprefix(f"{local.address.url}/")
    assert len([r for r in receipts(store) if r.job == "evaluate"]) == 4
    again = submit_job(divide_evaluation(evaluation(store)), OPTIONS, service)
    assert (again.tasks, again.job_ids, again.plan.totals.done) == (0, (), 4)
    # A second attempt of a child, and whoever closes for it, find what this run has done.
    plan = read_plan(store, submission.run_id, str(audit.plan["array"]["digest"]))  # type: ignore[index]
    work = load_work(plan)
    tasks = [task for child in range(2) for task in read_tasks(store, plan, child)]
    assert isinstance(work, EvaluationWork)
    assert all(work.find(store, task, submission.run_id) for task in tasks)
    assert not any(work.find(store, task, "evaluate_other") for task in tasks)


def test_the_children_of_an_array_divide_objects_as_a_local_run(
    server: MotoServer, batch: LocalBatch, service: BatchService
) -> None:
    store, local = bucket_of(server, 2), bucket_of(server, 2)
    work = BucketWork(job_in(store), 3, "bucketed")
    submission = submit_job(divide_bucketing(work), OPTIONS, service)
    audit = watch(store, submission, service)
    assert (audit.status, audit.files_processed) == ("completed", 4)
    assert audit.plan["into"] == "bucketed"
    run_bucketing(BucketJob(files_of(job_in(local)), 3, "bucketed"))
    assert contents(store, "bucketed/") == contents(local, "bucketed/")
    again = submit_job(divide_bucketing(work), OPTIONS, service)
    assert (again.tasks, again.plan.totals.done) == (0, 4)


def test_the_commands_submit_watch_and_show_the_result(
    server: MotoServer,
    batch: LocalBatch,
    service: BatchService,
    capsys: pytest.CaptureFixture[str],
    tmp_path: object,
) -> None:
    store = bucket_of(server, 1)
    place = ["--bucket", store.address.url, "--executor", "batch", "--children", "2"]
    assert run(["data", "bucket", "--buckets", "2", *place, "--json"]) == 0
    divided = json.loads(capsys.readouterr().out)
    assert (divided["status"], divided["array"]["children"]) == ("completed", 2)
    run_forecast(job_in(store))
    assert run(["evaluate", *place, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["steps"] == shown["matched"] + shown["waiting"]
    assert run(["evaluate", *place]) == 0
    out = capsys.readouterr().out
    assert "nothing to do: 2 partitions are done" in out
    assert "By version" in out
    for words in (["evaluate"], ["data", "bucket"]):
        assert run([*words, "--bucket", f"file://{tmp_path}", "--executor", "batch"]) == 2


@pytest.mark.parametrize("setup", [{"kind": "evaluate"}, {"kind": "bucket", "job": 3}])
def test_a_plan_of_another_release_is_refused(setup: dict[str, Any]) -> None:
    plan = PlanFile("run", "2024-01-01", "2024-01-02", setup, ())
    with pytest.raises(PlanError, match="can't be read"):
        load_work(plan)


def test_folders_are_out_of_reach(tmp_path: Any, service: BatchService) -> None:
    from gigacast.storage.opening import open_store
    from gigacast.storage.store import StoreAddress

    store = open_store(StoreAddress(tmp_path.as_uri()))
    with pytest.raises(ConfigError, match="out of reach"):
        submit_job(divide_evaluation(evaluation(store)), OPTIONS, service)
