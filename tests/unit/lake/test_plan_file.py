"""The plan of an array run: what was written is what every child reads, or nothing is."""

import json
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.core.partition.task import InputObject, Task
from gigacast.errors import PlanError, StorageError
from gigacast.lake.plan.plan_file import PlanFile, read_plan, read_tasks, write_plan
from gigacast.storage.memory import MemoryStore
from gigacast.storage.store import Store

NOW = datetime(2026, 11, 21, tzinfo=UTC)
WEEK = timedelta(days=7)


def task(number: int) -> Task:
    inputs = (InputObject(f"2024/01/ü-{number}.csv", f'"{number}"', 10 + number, "csv"),)
    return Task(f"2024/01/p{number}", "2024-01", inputs, 1, 24, "h24", f"out/{number}", "X", "1h")


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Store:
    return MemoryStore(request.node.name)


def write(store: Store, children: int = 3, setup: dict[str, object] | None = None) -> PlanFile:
    shares = [[task(2 * n), task(2 * n + 1)] for n in range(children)]
    return write_plan(store, "run", setup or {"a": 1}, shares, now=NOW, valid_for=WEEK)


def test_a_child_reads_what_was_planned(store: Store) -> None:
    written = write(store)
    plan = read_plan(store, "run", written.digest)
    assert plan == written
    assert [read_tasks(store, plan, n) for n in range(3)] == [
        [task(0), task(1)],
        [task(2), task(3)],
        [task(4), task(5)],
    ]
    assert [share.size_bytes for share in plan.shares] == [21, 25, 29]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
objects = st.builds(InputObject, texts, texts, st.integers(0, 2**60), st.just("csv"))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.builds(
            Task, texts, texts, st.lists(objects, max_size=3).map(tuple), st.integers(0, 9),
            st.integers(0, 999), texts, texts, st.none() | texts, st.none() | texts,
            st.lists(texts, max_size=2).map(tuple),
        ),
        max_size=3,
    )
)  # fmt: skip
def test_tasks_are_stored_as_the_json_of_their_fields(tasks: list[Task]) -> None:
    store = MemoryStore("plan-json")
    store.delete(["plans/run.json"])
    write_plan(store, "run", {}, [tasks], now=NOW, valid_for=WEEK)
    values = [{field.name: getattr(task, field.name) for field in fields(Task)} for task in tasks]
    expected = json.dumps(values, separators=(",", ":"), ensure_ascii=False)
    assert store.get("plans/run/0.json") == f"{expected}\n".encode()


def test_a_head_of_a_megabyte_is_read_whole(store: Store) -> None:
    written = write(store, setup={"text": "ö" * 600_000})
    assert read_plan(store, "run", written.digest).setup == {"text": "ö" * 600_000}


def test_a_run_has_one_plan(store: Store) -> None:
    write(store)
    with pytest.raises(PlanError, match="run has a plan already"):
        write(store)


def test_a_plan_that_was_changed_is_refused(store: Store) -> None:
    written = write(store)
    content = store.get("plans/run.json")
    store.put("plans/run.json", content.replace(b'"a":1', b'"a":2'))
    with pytest.raises(PlanError, match="not the one this job was started with"):
        read_plan(store, "run", written.digest)
    store.put("plans/run.json", content)
    part = store.get("plans/run/1.json")
    store.put("plans/run/1.json", part.replace(b"p3", b"p9"))
    plan = read_plan(store, "run", written.digest)
    assert read_tasks(store, plan, 0) == [task(0), task(1)]
    with pytest.raises(PlanError, match="not the one this job was started with"):
        read_tasks(store, plan, 1)


def test_a_plan_whose_head_was_never_written_does_not_exist() -> None:
    class Full(MemoryStore):
        def put(self, key: str, content: bytes | Path) -> str:
            if key.endswith("/2.json"):
                raise StorageError("no space left")
            return super().put(key, content)

    store = Full("half a plan")
    with pytest.raises(StorageError, match="no space left"):
        write(store)
    with pytest.raises(PlanError, match="there is no plan"):
        read_plan(store, "run")
    complete_store = MemoryStore("half a plan")
    assert read_plan(complete_store, "run", write(complete_store).digest).run_id == "run"


def test_a_second_plan_of_a_run_does_not_change_the_first(store: Store) -> None:
    written = write(store)
    with pytest.raises(PlanError):
        write_plan(store, "run", {}, [[task(9)]], now=NOW, valid_for=WEEK)
    assert read_tasks(store, written, 0) == [task(0), task(1)]


def test_a_missing_or_damaged_plan_is_named(store: Store) -> None:
    with pytest.raises(PlanError, match=r"there is no plan plans/run\.json"):
        read_plan(store, "run")
    store.put("plans/run.json", b"nonsense")
    with pytest.raises(PlanError, match="not a plan: not JSON"):
        read_plan(store, "run")
    store.put("plans/run.json", b'{"format": 99}\n')
    with pytest.raises(PlanError, match="format 99, this program reads 2"):
        read_plan(store, "run")


def test_a_child_beyond_the_plan_is_refused(store: Store) -> None:
    plan = write(store)
    with pytest.raises(PlanError, match="3 children, none is 3"):
        read_tasks(store, plan, 3)


def test_expired_plans_and_plans_from_the_future_are_refused(store: Store) -> None:
    plan = write(store)
    plan.check_time(NOW)
    plan.check_time(NOW + WEEK - timedelta(seconds=1))
    plan.check_time(NOW - timedelta(minutes=59))
    with pytest.raises(PlanError, match="expired at 2026-11-28"):
        plan.check_time(NOW + WEEK)
    with pytest.raises(PlanError, match="2:00:00 in the future"):
        plan.check_time(NOW - timedelta(hours=2))
