"""Streams of the contract suite: memory, Kafka's mock cluster, and Kinesis (moto)."""

import uuid
from collections.abc import Callable, Iterator, Mapping

import boto3
import pytest

from gigacast.feature_store.stream.kafka import KafkaStream
from gigacast.feature_store.stream.kinesis import KinesisStream
from gigacast.feature_store.stream.memory import MemoryStream
from gigacast.feature_store.stream.stream import Stream
from tests.support.moto_server import MotoServer

Put = Callable[[str, bytes], None]
Open = Callable[[], Stream]


@pytest.fixture(scope="session")
def kafka_servers() -> Iterator[tuple[str, object]]:
    """Brokers of a mock cluster in this process, and a producer."""
    kafka = pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed")
    producer = kafka.Producer(
        {"bootstrap.servers": "none:1", "test.mock.num.brokers": 1, "log_level": 0}
    )
    brokers = producer.list_topics(timeout=10).brokers.values()
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers), producer
    producer.flush(5)


@pytest.fixture(params=["memory", "kafka", "kinesis"])
def topic(request: pytest.FixtureRequest) -> Iterator[tuple[Open, Put]]:
    """Open a new topic, as often as it is called; and put a value by its key."""
    name = f"topic-{uuid.uuid4().hex[:8]}"
    opened: list[Stream] = []
    make, put = _MAKERS[request.param](name, request)

    def open_again() -> Stream:
        opened.append(make())
        return opened[-1]

    yield open_again, put
    for stream in opened:
        stream.close()


def _memory(name: str, request: pytest.FixtureRequest) -> tuple[Open, Put]:
    partitions: Mapping[str, list[bytes]] = {"0": [], "1": []}

    def put(key: str, value: bytes) -> None:
        partitions[str(sum(key.encode()) % 2)].append(value)

    return lambda: MemoryStream(name, partitions), put


def _kafka(name: str, request: pytest.FixtureRequest) -> tuple[Open, Put]:
    servers, producer = request.getfixturevalue("kafka_servers")

    def put(key: str, value: bytes) -> None:
        producer.produce(name, key=key, value=value)
        producer.flush(10)

    producer.list_topics(name, timeout=10)
    return lambda: KafkaStream(name, servers), put


def _kinesis(name: str, request: pytest.FixtureRequest) -> tuple[Open, Put]:
    server: MotoServer = request.getfixturevalue("moto_server")
    url = server.endpoint_url
    client = boto3.client("kinesis", endpoint_url=url, region_name="us-east-1")
    client.create_stream(StreamName=name, ShardCount=2)
    client.get_waiter("stream_exists").wait(StreamName=name)

    def put(key: str, value: bytes) -> None:
        client.put_record(StreamName=name, Data=value, PartitionKey=key)

    return lambda: KinesisStream(name, region="us-east-1", endpoint_url=url), put


_MAKERS = {"memory": _memory, "kafka": _kafka, "kinesis": _kinesis}
