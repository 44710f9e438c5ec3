"""Every stream keeps these rules."""

import time
from collections import defaultdict
from collections.abc import Sequence

import boto3
import pytest

from gigacast.errors import StorageError, TransientStorageError
from gigacast.feature_store.online.memory import MemoryOnlineStore
from gigacast.feature_store.stream.apply import StreamApplier
from gigacast.feature_store.stream.kafka import KafkaStream
from gigacast.feature_store.stream.kinesis import KinesisStream
from gigacast.feature_store.stream.run import run_stream
from gigacast.feature_store.stream.stream import Record, Stream, is_after
from tests.campaign.fault_proxy import FaultProxy, Weather
from tests.support.features.served_events import END, NAME, Event, ask, backfill, record, serve
from tests.support.moto_server import MotoServer


def read_all(stream: Stream, count: int) -> list[Record]:
    records: list[Record] = []
    deadline = time.monotonic() + 20
    while len(records) < count and time.monotonic() < deadline:
        records += stream.read(100, 0.3)
    return records


def by_partition(records: Sequence[Record]) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = defaultdict(list)
    for entry in records:
        groups[entry.partition].append(entry)
    return groups


def test_every_record_is_read_once_and_each_partition_in_its_order(topic) -> None:
    open_again, put = topic
    stream = open_again()
    values = [f"{n}".encode() for n in range(20)]
    for n, value in enumerate(values):
        put(f"key-{n % 4}", value)
    stream.seek({})

    records = read_all(stream, len(values))

    assert sorted(entry.value for entry in records) == sorted(values)
    for group in by_partition(records).values():
        numbers = [int(entry.value) for entry in group]
        assert numbers == sorted(numbers)
        positions = [int(entry.position) for entry in group]
        assert positions == sorted({*positions})


def test_a_successor_goes_on_after_the_positions_that_it_is_given(topic) -> None:
    open_again, put = topic
    for n in range(10):
        put(f"key-{n % 3}", f"{n}".encode())
    first = open_again()
    first.seek({})
    records = read_all(first, 10)
    groups = by_partition(records)
    middle = {name: group[len(group) // 2].position for name, group in groups.items()}
    expected = [r.value for r in records if is_after(r.position, middle[r.partition])]

    second = open_again()
    second.seek(middle)

    assert sorted(e.value for e in read_all(second, len(expected))) == sorted(expected)
    assert second.read(10, 0.1) == []


def test_records_that_come_later_are_read_by_the_same_reader(topic) -> None:
    open_again, put = topic
    put("a", b"first")
    stream = open_again()
    stream.seek({})
    assert [entry.value for entry in read_all(stream, 1)] == [b"first"]

    put("a", b"second")

    assert [entry.value for entry in read_all(stream, 1)] == [b"second"]


def test_no_more_records_are_read_than_asked_for(topic) -> None:
    open_again, put = topic
    for n in range(9):
        put("a", f"{n}".encode())
    stream = open_again()
    stream.seek({})

    counts = [len(stream.read(4, 1)) for _ in range(4)]

    assert max(counts) <= 4
    assert sum(counts) == 9


def test_the_features_of_a_topic_are_those_of_a_backfill_after_a_restart(topic) -> None:
    open_again, put = topic
    events: list[Event] = [("ab"[n % 2], END + n * 1000, float(n)) for n in range(30)]
    store = MemoryOnlineStore()
    serve(store, [])
    for half in (events[:15], events[15:]):
        for event in half:
            put(event[0], record(event))
        stream = open_again()
        run_stream(StreamApplier(store, NAME, stream.name), stream, idle_s=0.6)

    for user in "ab":
        assert ask(store, user, END + 40_000) == backfill(events, user, END + 40_000)


def test_a_reader_of_kafka_knows_how_many_records_are_left(kafka_servers) -> None:
    servers, producer = kafka_servers
    for n in range(12):
        producer.produce("lagging", key="a", value=str(n).encode())
    producer.flush(10)
    stream = KafkaStream("lagging", servers)
    stream.seek({})
    read = len(stream.read(5, 5))

    lag = stream.lag()
    stream.close()

    assert read + lag == 12


def test_a_reader_of_kinesis_knows_how_long_it_is_behind(moto_server: MotoServer) -> None:
    url, name = moto_server.endpoint_url, "behind"
    client = boto3.client("kinesis", endpoint_url=url, region_name="us-east-1")
    client.create_stream(StreamName=name, ShardCount=1)
    for n in range(3):
        client.put_record(StreamName=name, Data=str(n).encode(), PartitionKey="a")
        time.sleep(0.02)
    stream = KinesisStream(name, region="us-east-1", endpoint_url=url)
    stream.seek({})

    lags = [stream.lag_ms()]
    for _ in range(3):
        stream.read(1, 5)
        lags.append(stream.lag_ms())
    stream.close()

    assert lags[0] is None
    assert lags[1] >= lags[2] > lags[3] == 0


def test_shards_that_take_the_place_of_another_are_read(moto_server: MotoServer) -> None:
    url, name = moto_server.endpoint_url, "resharded"
    client = boto3.client("kinesis", endpoint_url=url, region_name="us-east-1")
    client.create_stream(StreamName=name, ShardCount=1)
    client.put_record(StreamName=name, Data=b"before", PartitionKey="a")
    stream = KinesisStream(name, region="us-east-1", endpoint_url=url)
    stream.seek({})
    assert [entry.value for entry in read_all(stream, 1)] == [b"before"]
    [shard] = client.list_shards(StreamName=name)["Shards"]
    client.split_shard(
        StreamName=name, ShardToSplit=shard["ShardId"], NewStartingHashKey=str(1 << 127)
    )
    for n in range(6):
        client.put_record(StreamName=name, Data=f"{n}".encode(), PartitionKey=f"key {n}")

    values = {entry.value for entry in read_all(stream, 6)}
    stream.close()

    assert values >= {f"{n}".encode() for n in range(6)}


def test_a_topic_that_is_not_there_is_named(moto_server: MotoServer) -> None:
    with pytest.raises(StorageError, match="Kinesis stream none"):
        KinesisStream("none", region="us-east-1", endpoint_url=moto_server.endpoint_url)


def test_an_answer_that_was_cut_is_an_error_and_not_a_stream_without_records(
    moto_server: MotoServer,
) -> None:
    kinesis = boto3.client("kinesis", endpoint_url=moto_server.endpoint_url)
    kinesis.create_stream(StreamName="cut", ShardCount=1)
    kinesis.put_record(StreamName="cut", Data=b"1", PartitionKey="a")
    with FaultProxy(moto_server.endpoint_url) as proxy:
        stream = KinesisStream("cut", endpoint_url=proxy.url)
        proxy.weather = Weather(0, {"cut": 1.0})
        with pytest.raises(TransientStorageError, match="bytes arrived"):
            stream.read(10, 1)
        proxy.weather = Weather()
        assert [entry.value for entry in stream.read(10, 1)] == [b"1"]
        stream.close()
