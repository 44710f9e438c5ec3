"""Backfills of features by the children of an array: the tables of a local run, once each."""

import io
import json
import time
from collections import Counter
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.batch.aws import BatchService
from gigacast.batch.backfill import divide_backfill
from gigacast.batch.result import array_of
from gigacast.batch.setup import load_work
from gigacast.batch.submit import Submission, share_in_order, submit_job
from gigacast.batch.watch import watch_run
from gigacast.cli.program import run
from gigacast.core.partition.task import InputObject, Task
from gigacast.errors import ConfigError, PlanError
from gigacast.feature_store import (
    Aggregation,
    EventSource,
    GroupBy,
    Join,
    JoinPart,
    JoinSource,
    LabelPart,
    Operation,
    Query,
    Source,
    read_features,
    select,
)
from gigacast.feature_store.definition.json import encode
from gigacast.feature_store.offline.result import Days
from gigacast.feature_store.offline.run import backfill_days
from gigacast.feature_store.offline.stage import Backfill
from gigacast.feature_store.online.dynamodb import DynamoOnlineStore
from gigacast.feature_store.stored import key_of
from gigacast.job.batch_options import ArrayOptions
from gigacast.lake.plan.audit import Audit, read_audit
from gigacast.lake.plan.plan_file import PlanFile
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store
from tests.flow.batch.array_runs import receipts
from tests.flow.feature_store.shop import DAY, DAYS, FIRST, purchases, training_set
from tests.support.local_batch import LocalBatch
from tests.support.moto_server import MotoServer

JOIN = training_set(purchases(("2d",)))
TABLE = "feature_store/tables/default/shop_training_set/"


def shop_in(server: MotoServer) -> Store:
    """Return a bucket with purchases and checkouts of some days."""
    store = open_store(server.new_address())
    for n, day in enumerate(DAYS):
        start = FIRST + n * DAY
        put_day(store, "purchases", day, [(user, 10 * n + user, start + user) for user in (1, 2)])
        put_day(store, "checkouts", day, [(user, 0, start + DAY // 2) for user in (1, 2, 3)])
    return store


def put_day(store: Store, table: str, day: str, rows: list[tuple[int, int, int]]) -> None:
    columns = dict(zip(("user", "price", "ts"), map(list, zip(*rows, strict=True)), strict=True))
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    store.put(f"data/{table}/ds={day}/part-0.parquet", sink.getvalue())


def submit(store: Store, service: BatchService, definition: Join | GroupBy = JOIN) -> Submission:
    options = ArrayOptions(children=2)
    return submit_job(
        divide_backfill(Backfill(definition, store.address), Days()), options, service
    )


def watch(store: Store, submission: Submission, service: BatchService) -> Audit:
    return watch_run(store, submission.run_id, service, sleep=lambda seconds: time.sleep(0.05))


def days_of(store: Store, table: str = TABLE) -> dict[str, bytes]:
    keys = [entry.key for page in store.list(table) for entry in page]
    return {key: store.get(key) for key in keys}


def test_the_children_of_an_array_write_the_tables_and_the_version_of_a_local_run(
    server: MotoServer, batch: LocalBatch, service: BatchService
) -> None:
    store, local = shop_in(server), shop_in(server)
    submission = submit(store, service)
    audit = watch(store, submission, service)
    assert (submission.tasks, submission.children) == (8, 2)
    assert (audit.status, audit.files_processed, audit.files_failed) == ("completed", 8, 0)
    assert array_of(audit)["attempts"] == 2
    assert audit.plan["datasets"] == ["features/v1/default.shop_training_set"]
    assert audit.totals["rows_written"] == 24
    assert backfill_days(Backfill(JOIN, local.address), Days()).datasets == (
        "features/v1/default.shop_training_set",
    )
    assert days_of(store) == days_of(local)
    assert set(Counter(receipt.partition for receipt in receipts(store)).values()) == {1}
    features, expected = (read_features(JOIN, bucket=place.address.url) for place in (store, local))
    assert features.equals(expected)
    again = submit(store, service)
    assert (again.tasks, again.job_ids, again.plan.totals.done) == (0, (), 8)


def test_days_that_fail_are_named_and_no_version_is_published(
    server: MotoServer, batch: LocalBatch, service: BatchService
) -> None:
    store = shop_in(server)
    # A type that later days do not have: the days that see both fail.
    sink = io.BytesIO()
    pq.write_table(pa.table({"user": [1], "price": [1.5], "ts": [FIRST + 4 * DAY]}), sink)
    store.put(f"data/purchases/ds={DAYS[4]}/part-0.parquet", sink.getvalue())
    audit = watch(store, submit(store, service), service)
    assert audit.status == "failed"
    partitions = sorted(str(failure["partition"])[-10:] for failure in audit.failures)
    assert partitions == DAYS[6:8]
    assert "datasets" not in audit.plan
    assert not list(store.list_folder("features/").folders)
    rows = [(user, 5, FIRST + 4 * DAY + user) for user in (1, 2)]
    put_day(store, "purchases", DAYS[4], rows)
    resumed = watch(store, submit(store, service), service)
    assert resumed.status == "completed"
    assert resumed.plan["datasets"] == ["features/v1/default.shop_training_set"]


def test_the_command_submits_watches_and_names_what_it_cannot_do(
    server: MotoServer,
    batch: LocalBatch,
    service: BatchService,
    capsys: pytest.CaptureFixture[str],
    tmp_path: object,
) -> None:
    store = shop_in(server)
    store.put(key_of(JOIN), encode(JOIN, {}))
    place = ["--bucket", store.address.url]
    command = ["feature-store", "backfill", "shop.training_set", "--executor", "batch"]
    assert run([*command, "--children", "2", "--json", *place]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["status"], content["array"]["children"]) == ("completed", 2)
    assert run([*command, *place]) == 0
    assert "nothing to do: 8 partitions are done" in capsys.readouterr().out
    assert run([*command, "--engine", "spark", *place]) == 2
    assert "--engine spark divides the work itself" in capsys.readouterr().err
    assert run([*command, "--bucket", f"file://{tmp_path}"]) == 2


def test_labels_of_an_array_are_those_of_a_local_run_and_features_stand_beside_them(
    server: MotoServer,
    batch: LocalBatch,
    service: BatchService,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store, local = shop_in(server), shop_in(server)
    spent = Aggregation(input_column="price", operation=Operation.SUM, windows=["2d"])
    bought = replace(purchases(("2d",)), name="shop.spent", aggregations=[spent])
    join = replace(JOIN, label_part=LabelPart([JoinPart(group_by=bought)], 2, 2))
    for place in (store, local):
        place.put(key_of(join), encode(join, {}))
        # Rows of the join, whichever: labels stand beside them.
        backfill_days(Backfill(join, place.address), Days(DAYS[1], DAYS[3]))
    command = ["feature-store", "label", "shop.training_set", "--ds", DAYS[4], "--json"]
    array = ["--executor", "batch", "--children", "1"]
    assert run([*command, *array, "--bucket", store.address.url]) == 0
    labels, beside = json.loads(capsys.readouterr().out)
    assert [labels["status"], beside["status"]] == ["completed"] * 2
    assert run([*command, "--bucket", local.address.url]) == 0
    tables = [f"{TABLE[:-1]}_{name}/" for name in ("labels", "labeled", "labeled_latest")]
    for table in tables:
        assert days_of(store, table) == days_of(local, table) != {}
    capsys.readouterr()
    assert run([*command, *array, "--bucket", store.address.url]) == 0
    assert [part["tasks"] for part in json.loads(capsys.readouterr().out)] == [0, 0]


def test_an_upload_of_an_array_is_served_with_its_join(
    server: MotoServer,
    batch: LocalBatch,
    service: BatchService,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store = shop_in(server)
    store.put(key_of(JOIN), encode(JOIN, {}))
    place = ["--bucket", store.address.url, "--region", "us-east-1"]
    place += ["--endpoint_url", server.endpoint_url]
    table = f"features-{store.address.url.rpartition('/')[2]}"
    DynamoOnlineStore(table, region="us-east-1", endpoint_url=server.endpoint_url).create()
    command = ["feature-store", "upload", "shop.training_set", "--ds", DAYS[4]]
    command += ["--executor", "batch", "--children", "1", *place]
    assert run([*command, "--online_store", "sqlite:here.sqlite"]) == 2
    assert "out of reach of other machines" in capsys.readouterr().err
    command += ["--online_store", f"dynamodb:{table}", "--json"]
    assert run(command) == 0
    audit = read_audit(store, json.loads(capsys.readouterr().out)["run_id"])
    assert (audit.status, audit.files_processed) == ("completed", 1)
    assert audit.plan["joins"] == ["shop.training_set"]
    fetch = ["feature-store", "fetch", "shop.training_set", "-k", '{"user": 1}', "--json"]
    fetch += ["--at", str(FIRST + 5 * DAY), "--online_store", f"dynamodb:{table}", *place]
    assert run(fetch) == 0
    values = json.loads(capsys.readouterr().out)["values"]
    assert values["shop_purchases_price_sum_2d"] == 31 + 41
    assert run(command) == 0
    assert json.loads(capsys.readouterr().out)["tasks"] == 0


def test_a_join_whose_output_is_read_must_be_done_before(
    server: MotoServer, batch: LocalBatch, service: BatchService
) -> None:
    store = shop_in(server)
    query = Query(selects=select("user"), time_column="ts")
    events = EventSource(table="data.checkouts", topic="events.checkouts", query=query)
    parent = replace(JOIN, left=Source(events=events))
    chained = GroupBy(
        name="shop.chained",
        keys=["user"],
        sources=[
            Source(
                joinSource=JoinSource(
                    join=parent,
                    query=Query(selects=select("user", total="shop_purchases_price_sum_2d")),
                )
            )
        ],
        aggregations=[Aggregation(input_column="total", operation=Operation.SUM, windows=["1d"])],
    )
    with pytest.raises(ConfigError, match=r"days of shop\.training_set, whose output is read"):
        submit(store, service, chained)


def test_a_plan_of_an_unknown_kind_of_work_is_refused() -> None:
    plan = PlanFile("run", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", {"kind": "dream"}, ())
    with pytest.raises(PlanError, match="another kind of work: 'dream'"):
        load_work(plan)
    plan = PlanFile("run", plan.created_at, plan.expires_at, {"kind": "backfill"}, ())
    with pytest.raises(PlanError, match="can't be read"):
        load_work(plan)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=30), st.integers(1, 40))
def test_children_get_all_days_in_order_and_none_is_idle(sizes: list[int], children: int) -> None:
    tasks = [
        Task(
            partition=f"t/ds={n}",
            month="2024-01",
            inputs=(InputObject(str(n), "e", size, "parquet"),),
            own=1,
            horizon=0,
            spec="s",
            output_key=str(n),
        )
        for n, size in enumerate(sizes)
    ]
    shares = share_in_order(tasks, min(children, len(tasks)))
    assert [task for share in shares for task in share] == tasks
    assert all(shares)
    assert len(shares) == min(children, len(tasks))
