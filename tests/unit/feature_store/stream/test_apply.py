"""Streams change served features exactly once, whatever is repeated, lost, or written at a time."""

import random
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.errors import (
    DataNotFoundError,
    StorageError,
    TransientStorageError,
    UnknownSchemaError,
)
from gigacast.feature_store.online.freshness import Freshness
from gigacast.feature_store.online.key import stream_prefix
from gigacast.feature_store.online.memory import MemoryOnlineStore
from gigacast.feature_store.online.serving import read_group_by
from gigacast.feature_store.stream.apply import StreamApplier
from gigacast.feature_store.stream.encoding import text_parser
from gigacast.feature_store.stream.memory import MemoryStream
from gigacast.feature_store.stream.run import StreamWatch, run_stream
from gigacast.feature_store.stream.stream import Record
from gigacast.job.outage import Patience
from tests.support.features.served_events import (
    DAY,
    END,
    HOUR,
    NAME,
    Event,
    ask,
    backfill,
    record,
    serve,
)

USERS = ("a", "b", "c")
MOMENTS = (END, END + 1, END + HOUR + 7, END + DAY, END + 2 * DAY + 301_000, END + 3 * DAY)


def random_events(seed: int, count: int = 120) -> list[Event]:
    generator = random.Random(seed)
    return [
        (
            generator.choice(USERS),
            END + generator.choice([-1, 0, 1]) * generator.randrange(3 * DAY),
            generator.choice([None, -1.0, 0.1, 0.2, 0.3, generator.uniform(0, 1e6)]),
        )
        for _ in range(count)
    ]


def in_partitions(events: Sequence[Event], count: int = 3) -> dict[str, list[bytes]]:
    """Return the streamed events in partitions by user."""
    partitions: dict[str, list[bytes]] = {str(n): [] for n in range(count)}
    for event in events:
        partitions[str(USERS.index(event[0]) % count)].append(record(event))
    return partitions


def uploaded(events: Sequence[Event]) -> MemoryOnlineStore:
    store = MemoryOnlineStore()
    serve(store, [event for event in events if event[1] < END])
    return store


def assert_equals_backfill(store: Any, events: Sequence[Event]) -> None:
    for user in USERS:
        for at in MOMENTS:
            assert ask(store, user, at) == backfill(events, user, at), (user, at)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1 << 30), st.integers(0, 40))
def test_what_is_streamed_is_answered_as_a_backfill_would_after_any_restarts(
    seed: int, size: int
) -> None:
    events = random_events(seed, size)
    store, partitions = uploaded(events), in_partitions(events)
    generator = random.Random(seed)
    # Each process reads some records from a place of its own, and is gone.
    for _ in range(4):
        stream = MemoryStream("returns", partitions)
        stream.seek({n: str(generator.randrange(len(v) + 1) - 1) for n, v in partitions.items()})
        applier = StreamApplier(store, NAME, "returns")
        positions = applier.positions()
        stream.seek({n: p for n, p in positions.items() if generator.random() < 0.7})
        applier.apply(stream.read(generator.randrange(1, 20), 0))
    run_stream(StreamApplier(store, NAME, "returns"), MemoryStream("returns", partitions))

    assert_equals_backfill(store, events)


def test_a_replay_from_the_start_changes_nothing() -> None:
    events = random_events(1)
    store, partitions = uploaded(events), in_partitions(events)
    run_stream(StreamApplier(store, NAME, "returns"), MemoryStream("returns", partitions))
    applier = StreamApplier(store, NAME, "returns")

    applier.apply(MemoryStream("returns", partitions).read(1000, 0))

    assert applier.counts.applied == 0
    assert applier.counts.repeated > 20
    assert_equals_backfill(store, events)


def test_a_restart_goes_on_after_the_applied_records() -> None:
    events = random_events(2)
    store, partitions = uploaded(events), in_partitions(events)
    run_stream(StreamApplier(store, NAME, "returns"), MemoryStream("returns", partitions))

    report = run_stream(StreamApplier(store, NAME, "returns"), MemoryStream("returns", partitions))

    assert report.counts.read == 0


class DyingStore(MemoryOnlineStore):
    """A store that is gone after some writes, before or after the write that it dies at."""

    writes_left = 1 << 30
    dies_after_write = False

    def put_if(self, *arguments: Any, **more: Any) -> bool:
        self.writes_left -= 1
        if self.writes_left == 0 and not self.dies_after_write:
            raise StorageError("gone")
        written = super().put_if(*arguments, **more)
        if self.writes_left == 0:
            raise StorageError("gone, and the write was done")
        return written


@pytest.mark.parametrize("after", [False, True])
def test_a_process_killed_at_any_write_loses_and_repeats_nothing(after: bool) -> None:
    events = random_events(3)
    partitions = in_partitions(events)
    clean = uploaded(events)
    run_stream(StreamApplier(clean, NAME, "returns"), MemoryStream("returns", partitions))
    expected = {user: ask(clean, user, MOMENTS[-1]) for user in USERS}
    for fatal in range(1, 14):
        store = DyingStore()
        serve(store, [event for event in events if event[1] < END])
        store.writes_left, store.dies_after_write = fatal, after
        try:
            for _ in range(3):
                applier = StreamApplier(store, NAME, "returns")
                stream = MemoryStream("returns", partitions)
                stream.seek(applier.positions())
                applier.apply(stream.read(20, 0))
        except StorageError:
            store.writes_left = 1 << 30
        run_stream(StreamApplier(store, NAME, "returns"), MemoryStream("returns", partitions))

        assert {user: ask(store, user, MOMENTS[-1]) for user in USERS} == expected, fatal


def test_two_writers_of_all_partitions_count_each_record_once() -> None:
    events = random_events(4, 400)
    store, partitions = uploaded(events), in_partitions(events)
    reports = []

    def write() -> None:
        applier = StreamApplier(store, NAME, "returns")
        stream = MemoryStream("returns", partitions)
        while records := stream.read(7, 0):
            applier.apply(records)
        reports.append(applier.counts)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(reports) == 3
    streamed = [e for e in events if e[1] >= END and (e[2] is None or e[2] >= 0)]
    assert sum(counts.applied for counts in reports) == len(streamed)
    assert_equals_backfill(store, events)


def test_an_event_that_comes_late_is_counted_in_its_own_time() -> None:
    events = [("a", END + 2 * DAY, 1.0), ("a", END + 5, 2.0)]
    store = uploaded(events)

    run_stream(
        StreamApplier(store, NAME, "returns"), MemoryStream("returns", in_partitions(events))
    )

    assert ask(store, "a", END + 6)["price_sum_3d"] == 4.0
    assert_equals_backfill(store, events)


def test_an_event_before_the_end_of_the_batch_is_reported_and_not_counted_twice() -> None:
    events: list[Event] = [("a", END - 1, 1.0)]
    store = uploaded(events)

    report = run_stream(
        StreamApplier(store, NAME, "returns"), MemoryStream("returns", in_partitions(events))
    )

    assert report.counts.before_batch == 1
    assert ask(store, "a", END)["price_count_3d"] == 1


def test_garbage_is_counted_and_reported_and_stops_nothing() -> None:
    garbage = [
        b"",
        b"\xff\xfe",
        b"[1, 2]",
        b"{" * 5000,
        b'{"user": "a"}',
        b'{"user": "a", "ts": "soon", "price": 1}',
        b'{"user": "a", "ts": -5, "price": 1}',
        b'{"user": "a", "ts": 99999999999999999, "price": 1}',
        b'{"user": "a", "ts": 1728000000001, "price": {"x": 1}}',
        b"a,1,2,3,4",
    ]
    good: Event = ("a", END + 1, 1.0)
    store = uploaded([])
    values = [*garbage[:5], record(good), *garbage[5:]]

    report = run_stream(
        StreamApplier(store, NAME, "returns"), MemoryStream("returns", {"0": values})
    )

    assert report.counts.garbage == len(garbage)
    assert report.counts.applied == 1
    assert len(report.counts.samples) == 5
    assert report.counts.samples[0].startswith("0:0: ")
    assert ask(store, "a", END + 2)["price_count_3d"] == 1


def test_a_record_may_be_a_line_of_the_fields_that_the_topic_names() -> None:
    store = uploaded([])

    run_stream(
        StreamApplier(store, NAME, "returns"),
        MemoryStream("returns", {"0": [f"a,{END + 1},2.5".encode(), f"b,{END + 1},".encode()]}),
    )

    assert ask(store, "a", END + 2)["price_sum_3d"] == 5.0
    assert ask(store, "b", END + 2)["price_sum_3d"] is None


def test_records_without_a_key_or_that_the_source_leaves_out_are_counted() -> None:
    store = uploaded([])
    values = [
        b'{"user": null, "ts": 1728000000001, "price": 1}',
        record(("a", END + 1, -1.0)),
    ]

    report = run_stream(
        StreamApplier(store, NAME, "returns"), MemoryStream("returns", {"0": values})
    )

    assert report.counts.filtered == 2


def test_after_the_next_upload_days_of_the_batch_before_the_last_are_dropped() -> None:
    events: list[Event] = [("a", END + n * DAY + 5, 1.0) for n in range(-1, 3)]
    store = uploaded(events)
    stream = MemoryStream("returns", in_partitions(events))
    run_stream(StreamApplier(store, NAME, "returns"), stream)
    digest = read_group_by(store, NAME).batch.digest
    for n in (1, 2):
        end = END + n * DAY
        serve(store, [event for event in events if event[1] < end], end)
        at = END + 3 * DAY
        assert ask(store, "a", at) == backfill(events, "a", at)

    def days() -> Iterator[int]:
        for n in range(3):
            yield len([*store.scan(stream_prefix(NAME, digest, END + n * DAY))])

    assert [*days()] == [0, 1, 1]
    assert len([*store.scan(f"b/{NAME}/")]) == 2


def test_a_store_that_fails_for_a_moment_is_tried_again() -> None:
    class Hesitant(MemoryOnlineStore):
        failures = 3

        def put_if(self, *arguments: Any, **more: Any) -> bool:
            if self.failures and arguments[0].startswith("s/"):
                self.failures -= 1
                raise TransientStorageError("throttled")
            return super().put_if(*arguments, **more)

    events = random_events(5, 30)
    store = Hesitant()
    serve(store, [event for event in events if event[1] < END])

    run_stream(
        StreamApplier(store, NAME, "returns"), MemoryStream("returns", in_partitions(events))
    )

    assert_equals_backfill(store, events)


class Clock(threading.Event):
    """A stop that is never asked for, and the time that passes in the waits for it."""

    now = 0.0

    def wait(self, timeout: float | None = None) -> bool:
        self.now += timeout or 0.0
        return False


class AwayStore(MemoryOnlineStore):
    """A store that refuses some requests until a time."""

    def __init__(self, clock: Clock, method: str) -> None:
        super().__init__()
        self.clock, self.method, self.back_at = clock, method, 0.0

    def refuse(self, method: str) -> None:
        if method == self.method and self.clock.now < self.back_at:
            raise TransientStorageError("away")

    def get_many(self, *arguments: Any, **more: Any) -> Any:
        self.refuse("get_many")
        return super().get_many(*arguments, **more)

    def put_if(self, *arguments: Any, **more: Any) -> bool:
        self.refuse("put_if")
        return super().put_if(*arguments, **more)


class AwayStream(MemoryStream):
    """A stream that is away when its store is."""

    def read(self, *arguments: Any) -> Any:
        self.store.refuse("read")  # type: ignore[attr-defined]
        return super().read(*arguments)


@pytest.mark.parametrize("method", ["get_many", "put_if", "read"])
@pytest.mark.parametrize(("limit_s", "ends"), [(600.0, True), (200.0, False)])
def test_an_outage_of_the_store_or_stream_is_waited_out_up_to_the_limit(
    limit_s: float, ends: bool, method: str
) -> None:
    events, clock = random_events(5, 30), Clock()
    store = AwayStore(clock, method)
    serve(store, [event for event in events if event[1] < END])
    stream = AwayStream("returns", in_partitions(events))
    stream.store = store  # type: ignore[attr-defined]
    patience = Patience(limit_s, clock=lambda: clock.now)
    applier = StreamApplier(store, NAME, "returns")
    store.back_at = 300.0
    if ends:
        run_stream(applier, stream, stop=clock, patience=patience)
        assert 300 <= clock.now < 330
        assert_equals_backfill(store, events)
    else:
        with pytest.raises(TransientStorageError, match="away"):
            run_stream(applier, stream, stop=clock, patience=patience)
        assert clock.now == limit_s


def test_a_record_of_an_unknown_schema_holds_its_partition_until_the_schema_comes() -> None:
    events, clock = random_events(7, 60), Clock()
    store = uploaded(events)
    late, partitions = record(events[0]), in_partitions(events)
    waits: list[str] = []

    def parsers(parameters: Any) -> Any:
        parse = text_parser(parameters)

        def known(value: bytes) -> Any:
            if value == late and clock.now < 300:
                raise UnknownSchemaError("returns.7.avsc: is not there")
            return parse(value)

        return known

    applier = StreamApplier(store, NAME, "returns", parsers=parsers)
    place = USERS.index(events[0][0])
    records = MemoryStream("returns", partitions).read(1000, 0)
    with pytest.raises(UnknownSchemaError):
        applier.apply(records)
    partitions_waiting = {entry.partition for entry in applier.waiting}
    assert partitions_waiting == {str(place)}
    assert set(applier.positions()) == {
        str(n) for n, values in enumerate(partitions.values()) if values and n != place
    } | ({str(place)} if late != partitions[str(place)][0] else set())
    [status] = [Freshness.decode(value.value, key) for key, value in store.scan("f/")]
    assert status.waits_for == "returns.7.avsc: is not there"

    watch = StreamWatch(on_wait=waits.append)
    patience = Patience(600, clock=lambda: clock.now)
    stream = MemoryStream("returns", partitions)
    run_stream(applier, stream, stop=clock, patience=patience, watch=watch)

    assert waits == ["returns.7.avsc: is not there"]
    assert applier.counts.garbage == 0
    assert_equals_backfill(store, events)
    [status] = [Freshness.decode(value.value, key) for key, value in store.scan("f/")]
    assert status.waits_for == ""


def test_streamed_values_stay_until_after_their_events_also_where_the_clock_is_late() -> None:
    class Noting(MemoryOnlineStore):
        ends: list[int] = []  # noqa: RUF012 - of this test alone

        def put_if(self, key: str, version: Any, value: bytes, expires_at: Any = None) -> bool:
            if key.startswith("s/"):
                self.ends.append(expires_at)
            return super().put_if(key, version, value, expires_at)

    store, events = Noting(), random_events(5, 30)
    serve(store, [event for event in events if event[1] < END])
    applier = StreamApplier(store, NAME, "returns", clock=lambda: 0.0)
    run_stream(applier, MemoryStream("returns", in_partitions(events)))
    assert store.ends
    assert min(store.ends) > END // 1000


def test_a_stream_before_the_first_upload_is_refused_with_the_command_that_is_missing() -> None:
    with pytest.raises(DataNotFoundError, match="nothing is uploaded"):
        StreamApplier(MemoryOnlineStore(), NAME, "returns")


def test_a_stop_ends_the_process_after_the_records_in_hand() -> None:
    stop = threading.Event()
    events = random_events(6, 1000)
    store = uploaded(events)
    applier = StreamApplier(store, NAME, "returns")

    report = run_stream(
        applier,
        MemoryStream("returns", in_partitions(events)),
        stop=stop,
        watch=StreamWatch(on_read=lambda counts: stop.set()),
    )

    assert report.counts.read == 500
    assert sum(int(p) + 1 for p in applier.positions().values()) == 500


def test_positions_with_more_digits_than_any_number_are_compared_as_numbers() -> None:
    store = uploaded([])
    applier = StreamApplier(store, NAME, "returns")
    positions = ["9" * 56, "1" + "0" * 56, "9" * 56]

    for n, position in enumerate(positions):
        applier.apply([Record("shard", position, record(("a", END + n, 1.0)))])

    assert applier.counts.applied == 2
    assert applier.positions() == {"shard": positions[1]}
