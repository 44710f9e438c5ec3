"""Plans over a store of named keys, and the steps of a worker."""

import itertools

from gigacast.core.partition.spec import Spec
from gigacast.core.partition.task import Task
from gigacast.lake.plan.planner import Plan, PlanRequest, make_plan
from gigacast.lake.plan.receipt import Receipt, write_receipt
from gigacast.lake.plan.rows import DoneEntry
from gigacast.storage.store import Store

SPEC = Spec(model="model", version="v1", levels=(0.1, 0.5, 0.9), fields={"digest": "d"})

REQUEST = PlanRequest(spec=SPEC, horizon=7, model_horizon=64)

PART = "2024/01/part-00000.parquet"

names = (f"planner-{n}" for n in itertools.count())


def plan_of(store: Store, request: PlanRequest = REQUEST) -> Plan:
    return make_plan(store, store, request)


def done_of(store: Store, request: PlanRequest = REQUEST) -> list[DoneEntry]:
    done_entries: list[DoneEntry] = []
    make_plan(store, store, request, on_done=done_entries.extend)
    return done_entries


def forecast_of(content: bytes) -> bytes:
    return b"forecast of " + content


def read_inputs(store: Store, task: Task) -> bytes:
    return b"".join(store.get(i.key, if_match=i.etag) for i in task.inputs)


def finish(store: Store, task: Task, content: bytes) -> None:
    etag = store.put(task.output_key, forecast_of(content))
    write_receipt(store, task, receipt_of(task), etag)


def do(store: Store, task: Task) -> None:
    """A worker of the fewest lines: read, write, receipt, clean up."""
    finish(store, task, read_inputs(store, task))


def receipt_of(task: Task) -> Receipt:
    return Receipt(
        job="forecast",
        partition=task.partition,
        run_id="run",
        finished_at="2024-01-01T00:00:00+00:00",
        inputs=[],
        output={},
        rows=0,
        series=0,
        seconds={},
        reasons={},
        model="model",
        version="v1",
        digest="d",
        spec=task.spec,
        horizon=task.horizon,
    )


def assert_never_a_wrong_done(store: Store, request: PlanRequest = REQUEST) -> None:
    for entry in done_of(store, request):
        assert store.get(entry.output.key) == forecast_of(read_inputs(store, entry.task))


def converge(store: Store, request: PlanRequest = REQUEST) -> None:
    for task in plan_of(store, request).tasks:
        do(store, task)
    assert plan_of(store, request).tasks == []
    assert_never_a_wrong_done(store, request)
