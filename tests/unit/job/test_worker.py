"""Steps that workers share: pinned inputs, key lengths, and the time by stage."""

from contextlib import suppress

import pytest

from gigacast.core.partition.task import InputObject, Task
from gigacast.errors import (
    InputChangedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    SchemaError,
    StorageError,
    TransientStorageError,
)
from gigacast.job import worker
from gigacast.job.worker import Stopwatch, check_key_length, inputs_pinned
from gigacast.lake.layout import longest_output, receipt_key
from gigacast.storage.key import MAX_KEY_BYTES
from gigacast.storage.memory import MemoryStore

INPUT = InputObject("2024/01/a.parquet", "e", 1, "parquet")


def task(output_key: str = "forecasts/o.parquet") -> Task:
    return Task("2024/01/a", "2024-01", (INPUT,), 1, 7, "s", output_key)


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (PreconditionFailedError("no longer e"), InputChangedError, "no longer e"),
        (ObjectNotFoundError("gone"), InputChangedError, "2024/01/a: an input changed .*: gone"),
        (OSError(28, "No space left"), StorageError, "the local disk .*: No space left"),
        (OSError("odd"), StorageError, "the local disk .*: odd"),
        (TransientStorageError("throttled"), TransientStorageError, "^throttled$"),
        (SchemaError("no column"), SchemaError, "^no column$"),
    ],
)
def test_errors_of_a_task_name_it_and_others_stay(
    error: Exception, raised: type[Exception], message: str
) -> None:
    with pytest.raises(raised, match=message) as caught, inputs_pinned(task()):
        raise error
    assert type(caught.value) is raised


# -- key lengths -----------------------------------------------------------------------------------


class ShortNames(MemoryStore):
    """A store whose names have 100 bytes, as folders have 255."""

    segment_bytes = 100


def test_a_name_as_long_as_its_receipt_allows_is_accepted_and_one_byte_more_is_not() -> None:
    store = ShortNames("names")
    longest = longest_output(100)
    check_key_length(store, task("f/" + "x" * longest))
    check_key_length(store, task("f/" + "ä" * (longest // 2)))
    for name in ("x" * (longest + 1), "ä" * (longest // 2 + 1)):
        with pytest.raises(StorageError, match="holds names of") as caught:
            check_key_length(store, task(f"f/{name}"))
        assert "shorter" in str(caught.value.hint)


def test_a_key_as_long_as_a_receipt_may_be_is_accepted_and_one_byte_more_is_not() -> None:
    store = MemoryStore("keys")
    room = MAX_KEY_BYTES - len(receipt_key("", task().input_id, ""))
    folders = "f/" * ((room - 4) // 2)
    fitting = folders + "x" * (room - len(folders))
    check_key_length(store, task(fitting))
    with pytest.raises(StorageError, match=f"keys of {MAX_KEY_BYTES}"):
        check_key_length(store, task(f"{fitting}x"))


# -- the time by stage -----------------------------------------------------------------------------


class Clock:
    """A clock that is moved by hand."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(worker, "time", clock)
    return clock


def test_blocks_of_a_stage_add_up_also_after_an_error(clock: Clock) -> None:
    watch = Stopwatch()
    with watch.measure("read"):
        clock.now += 1.5
    with suppress(OSError), watch.measure("read"):
        clock.now += 2
        raise OSError("full")
    assert watch.seconds == {"read": 3.5}


def test_a_nested_stage_counts_for_itself_only(clock: Clock) -> None:
    watch = Stopwatch()
    for _ in range(2):
        with watch.measure("prepare", besides="predict"):
            clock.now += 1
            with watch.measure("predict"):
                clock.now += 10
            clock.now += 2
    assert watch.seconds == {"predict": 20.0, "prepare": 6.0}
    with watch.measure("write", besides="predict"):
        clock.now += 4
    assert watch.seconds["write"] == 4.0
    with watch.measure("publish", besides="a stage that never runs"):
        clock.now += 5
    assert watch.seconds["publish"] == 5.0


def test_only_the_making_of_items_counts(clock: Clock) -> None:
    def slow_items() -> list[int]:
        for number in range(3):
            clock.now += 1
            yield number

    watch, items = Stopwatch(), []
    for item in watch.each("read", slow_items()):
        clock.now += 100
        items.append(item)
    assert (items, watch.seconds) == ([0, 1, 2], {"read": 3.0})


def test_seconds_are_rounded_to_milliseconds(clock: Clock) -> None:
    watch = Stopwatch()
    with watch.measure("read"):
        clock.now += 1.23456
    assert watch.rounded() == {"read": 1.235}
