"""In no order of steps is a partition wrongly done, or a run unable to make it right."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from gigacast.core.partition.task import Task
from gigacast.forecasting import prune as prune_module
from gigacast.forecasting import worker as worker_module
from gigacast.job.worker import Stopwatch
from gigacast.lake.plan import origin, planner
from gigacast.lake.plan.receipt import write_receipt
from gigacast.storage.memory import MemoryStore
from gigacast.storage.parquet.writer import PublishedParquet
from gigacast.storage.store import Store
from tests.model.explorer import Scenario, ViolationError, explore
from tests.model.replay import Pause, ReplayStore, Request, perform, store_of
from tests.model.runs import ForecastWorker, forecast_of, run
from tests.model.scenarios import DEEP, FIRST, LAW, OVER, PROGRAMS, QUICK, law_of
from tests.unit.lake.plans import PART


@pytest.mark.parametrize("name", QUICK)
def test_no_order_of_steps_leaves_a_wrong_done(name: str) -> None:
    search = explore(QUICK[name], law_of(QUICK[name]).check)
    assert search.is_whole
    assert search.worlds >= 7


@pytest.mark.parametrize(
    ("function", "faulty", "name"),
    [
        ("_put_over", lambda store, current, content: store.put(current.key, content), OVER),
        (
            "_put_first",
            lambda store, key, content: store.put(key, content),
            "two runs, an input that changes",
        ),
        ("_keep", lambda *_: None, "a run, faults and stale listings"),
    ],
    ids=["replaced without a condition", "made without a condition", "replaced without a copy"],
)
def test_an_origin_that_can_be_lost_is_found(function: str, faulty: Any, name: str) -> None:
    scenario = {**QUICK, **DEEP}[name]
    with (
        patch.object(origin, function, faulty),
        pytest.raises(ViolationError, match="an origin is lost"),
    ):
        explore(scenario, law_of(scenario).check)


# -- a faulty product is found ---------------------------------------------------------------------


class _ReceiptFirst(ForecastWorker):
    def _write(self, task: Task, results: Iterable[bytes], watch: Stopwatch) -> PublishedParquet:
        content = forecast_of(b"".join(results))
        etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
        written = PublishedParquet(task.output_key, etag, 1, len(content))
        write_receipt(self._outputs, task, self._receipt(task, None, written), etag)
        self._outputs.put(task.output_key, content)
        return written


class _LaterEtag(ForecastWorker):
    def _write(self, task: Task, results: Iterable[bytes], watch: Stopwatch) -> PublishedParquet:
        written = super()._write(task, results, watch)
        return replace(written, etag=self._outputs.head(task.output_key).etag)


class _Unconditional:
    """A store whose compare and swap only swaps."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put_if_absent(self, key: str, content: bytes) -> str:
        return self._store.put(key, content)

    def put_if_match(self, key: str, content: bytes, etag: str) -> str:
        return self._store.put(key, content)


def _unpinned(store: Store) -> str:
    def open_any(inputs: Store, key: str, **_: Any) -> Any:
        return worker_open(inputs, key)

    worker_open = worker_module.open_object
    with patch.object(worker_module, "open_object", open_any):
        return run(store)


FAULTS: dict[str, tuple[str, dict[str, Callable[[Store], object]], str]] = {
    "the receipt is written before its output": (
        "two runs, an input that changes",
        {"run": lambda store: run(store, worker=_ReceiptFirst)},
        "a forecast that nobody wrote",
    ),
    "the receipt names the output that is there later": (
        "two runs, an input that changes",
        {"run": lambda store: run(store, worker=_LaterEtag)},
        "a receipt of another input's forecast",
    ),
    "inputs are read whatever their ETag": (
        "two runs, an input that changes",
        {"run": _unpinned},
        "a receipt of another input's forecast",
    ),
    "the manifest is written without a condition": (
        "two runs of two months",
        {
            name: lambda store, name=name: PROGRAMS[name](_Unconditional(store))  # type: ignore[misc,arg-type]
            for name in ("january", "february")
        },
        "the manifest lacks the forecasts of a run that completed",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str) -> None:
    name, programs, message = FAULTS[fault]
    faulty = replace(QUICK[name], programs={**PROGRAMS, **programs})
    with pytest.raises(ViolationError, match=message) as caught:
        explore(faulty, LAW.check)
    assert "the steps:" in str(caught.value)


def _any_receipt(task: Task, output: Any, receipts: list[Any]) -> str | None:
    return next((key for named, key in receipts if named.input_id == task.input_id), None)


@pytest.mark.parametrize(
    ("module", "function", "faulty", "name", "message"),
    [
        (
            planner,
            "valid_receipt",
            _any_receipt,
            "a run, faults and stale listings",
            "wrong done",
        ),
        (
            prune_module,
            "drop_entries",
            lambda *_: None,
            "a run beside a clean-up, an input that goes and comes back",
            "a reader is refused",
        ),
    ],
    ids=["a receipt without its output is believed", "pruned forecasts stay in the manifest"],
)
def test_a_fault_planted_everywhere_is_found(
    module: Any, function: str, faulty: Any, name: str, message: str
) -> None:
    with (
        patch.object(module, function, faulty),
        pytest.raises(ViolationError, match=message),
    ):
        explore(QUICK[name], LAW.check)


# -- the model itself ------------------------------------------------------------------------------


def _count(store: Store) -> str:
    number = int(store.get("counter"))
    return store.put("counter", b"%d" % (number + 1))


def test_the_explorer_finds_a_lost_update_by_the_fewest_steps() -> None:
    def both_counted(world: dict[str, bytes], _: object) -> None:
        assert world["counter"] == b"2", "an update is lost"

    scenario = Scenario(
        {"count": _count}, ("count", "count"), {"counter": b"0"}, at_rest=both_counted
    )
    with pytest.raises(ViolationError) as caught:
        explore(scenario, lambda world: None)
    steps = str(caught.value).partition("the steps:\n")[2].splitlines()
    assert [step.strip() for step in steps] == [
        "count: get counter",
        "count: get counter",
        "count: put counter",
        "count: put counter",
    ]


def test_the_explorer_tries_all_orders() -> None:
    """Two programs of two steps have 4 over 2 orders; equal ones are half of these."""
    counters: set[bytes] = set()
    scenario = Scenario({"count": _count}, ("count", "count"), {"counter": b"0"})
    search = explore(scenario, lambda world: counters.add(world["counter"]))
    assert counters == {b"0", b"1", b"2"}
    assert (search.is_whole, search.worlds) == (True, 3)


def test_a_program_is_continued_from_the_answers_that_it_got() -> None:
    first = Request("get", "counter", etag=None)
    with pytest.raises(Pause) as caught:
        _count(ReplayStore({}))
    assert caught.value.request == first
    with pytest.raises(Pause) as caught:
        _count(ReplayStore({(first, 0): b"6"}))
    assert caught.value.request == Request("put", "counter", b"7")


def test_a_request_of_the_model_is_one_of_the_store() -> None:
    world = {PART: b"one"}
    store = store_of(world)
    assert isinstance(store, MemoryStore)
    assert perform(world, Request("head", PART))[0] == store.head(PART)
    assert perform(world, Request("put", "key", b"new")) == (
        store.put("key", b"new"),
        {PART: b"one", "key": b"new"},
    )
    answer, after = perform(world, Request("put_if_match", PART, b"new", "other"))
    assert (answer.kind.__name__, after) == ("PreconditionFailedError", world)


def test_the_deep_scenarios_begin_in_lawful_buckets() -> None:
    for scenario in DEEP.values():
        assert FIRST in scenario.world
        explore(replace(scenario, running=(), changes=(), at_rest=None), LAW.check)
