"""A child that has ended does the last tasks of children that are at work, and of no others."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.batch.help import HELP_LATE, MANY, MOST_MISSES, Helper, are_helping
from gigacast.core.partition.task import InputObject, Task
from gigacast.lake.layout import audit_key, child_outputs_key, help_key
from gigacast.lake.plan.audit import COMPLETED, INTERRUPTED, RUNNING, Audit
from gigacast.lake.plan.plan_file import PlanFile, Share, write_plan
from gigacast.storage.memory import MemoryStore
from tests.support.faulty_store import counted_pages

NOW = datetime(2026, 11, 30, tzinfo=UTC)
counter = itertools.count()


def task_of(child: int, number: int, size: int) -> Task:
    inputs = (InputObject(f"2024/01/part-{child}-{number}.parquet", "e", size, "parquet"),)
    name = f"2024/01/part-{child}-{number}"
    return Task(name, "2024-01", inputs, 1, 7, "h7", f"out/{name}")


class Array:
    """A plan of children, of which the first has ended."""

    def __init__(self, tasks: int, children: int = 3) -> None:
        self.store = MemoryStore(f"help-{next(counter)}")
        shares = [
            [task_of(child, n, 9 * tasks - n) for n in range(tasks)] for child in range(children)
        ]
        week = timedelta(days=7)
        self.plan: PlanFile = write_plan(self.store, "run", {}, shares, now=NOW, valid_for=week)
        self.shares = shares
        self.in_order: list[str] = []
        self.now = NOW

    def begin(self, child: int, status: str, processed: int = 0) -> None:
        summary = Audit(f"run/{child}", NOW.isoformat(), plan={"attempts": []})
        summary.status, summary.files_processed = status, processed
        self.store.put(audit_key("run", str(child)), summary.to_json())

    def help(self) -> list[str]:
        """Let the first child help, and return what it did."""
        Helper(self.store, self.plan, 0, lambda: self.now).run(self._do)
        return self.in_order

    def _do(self, tasks: Sequence[Task]) -> None:
        self.in_order += [task.partition for task in tasks]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.data())
def test_what_is_open_is_done_once_and_from_the_end(tasks: int, data: st.DataObject) -> None:
    array = Array(tasks)
    first = data.draw(st.integers(0, tasks))
    names = [task.partition for task in array.shares[1]]
    array.begin(1, RUNNING, processed=first)
    assert array.help() == names[first:][::-1]
    array.in_order.clear()
    assert array.help() == []


def test_a_part_that_another_helper_has_claimed_is_left_to_it() -> None:
    array = Array(40)
    array.begin(1, RUNNING)
    array.store.put(help_key("run", 1, 31), b"2")
    names = [task.partition for task in array.shares[1]]
    claimed = names[len(array.help()) :]
    assert claimed
    assert array.in_order == names[: -len(claimed)][::-1]


def test_the_only_open_child_of_a_large_array_is_found_wherever_it_is_listed() -> None:
    array = Array(2, children=700)  # names on two pages
    for child in range(700):
        array.begin(child, COMPLETED)
        array.store.put(child_outputs_key("run", child), b"list")
    for child in (1, 9, 10, 99, 100, 347, 348, 349, 350, 500, 699):
        array.store.delete([child_outputs_key("run", child)])
        array.begin(child, RUNNING)
        array.in_order.clear()
        assert array.help() == [task.partition for task in array.shares[child]][::-1]
        array.store.put(child_outputs_key("run", child), b"list")


def test_a_helper_does_not_read_the_claims_on_all_children() -> None:
    array = Array(1, children=300)
    for child in range(1, 300):
        array.begin(child, RUNNING)
        for part in range(32):
            array.store.put(help_key("run", child, part), b"another")
    with counted_pages() as pages:
        assert array.help() == []
    assert len(pages) <= 2 * MOST_MISSES, "a page of children and one of claims at each look"


def test_a_child_that_was_asked_to_stop_is_helped_until_it_starts_again() -> None:
    array = Array(4)
    array.begin(1, INTERRUPTED, processed=1)
    assert array.help() == [task.partition for task in array.shares[1]][1:][::-1]


@pytest.mark.parametrize("status", [COMPLETED, "failed"])
def test_a_child_that_has_ended_is_left_alone(status: str) -> None:
    array = Array(4)
    array.begin(1, status)
    assert array.help() == []


def test_a_child_that_has_not_begun_or_has_listed_what_it_did_is_left_alone() -> None:
    array = Array(4)
    array.begin(2, RUNNING)
    array.store.put(child_outputs_key("run", 2), b"list")
    assert array.help() == []


def test_a_child_that_has_not_saved_for_long_may_have_been_killed_and_is_left_alone() -> None:
    array = Array(4)
    array.begin(1, RUNNING)
    array.now += timedelta(hours=1)
    assert array.help() == []


def test_a_damaged_summary_is_none() -> None:
    array = Array(4)
    array.store.put(audit_key("run", "1"), b"{")
    assert array.help() == []


@pytest.mark.parametrize(
    ("setup", "children", "is_helping"),
    [
        ({}, MANY, True),
        ({}, MANY - 1, False),
        ({HELP_LATE: True}, 2, True),
        ({HELP_LATE: False}, MANY, False),
        ({"kind": "quality"}, MANY, False),
    ],
)
def test_children_of_large_arrays_of_forecasts_help_unless_the_plan_says_it(
    setup: dict[str, object], children: int, *, is_helping: bool
) -> None:
    plan = PlanFile("run", "", "", setup, (Share("", 1, 1),) * children)
    assert are_helping(plan) == is_helping
