"""A topic of Kafka."""

from collections.abc import Mapping, Sequence
from typing import Any

from gigacast.errors import MissingExtraError, TransientStorageError
from gigacast.feature_store.stream.stream import Record

_TIMEOUT_S = 10


class KafkaStream:
    """The records of a topic of Kafka, from all its partitions.

    Partitions are assigned by hand and positions are kept with the features, so there is no group
    of consumers, no rebalancing and no offset to commit.

    Parameters
    ----------
    name : str
        Topic.
    servers : str
        Addresses of brokers, as ``127.0.0.1:9092``.

    Raises
    ------
    TransientStorageError
        If no broker answers, or there is no such topic.
    """

    def __init__(self, name: str, servers: str) -> None:
        self._kafka = _load()
        self.name = name
        self._servers = servers
        self._consumer = self._kafka.Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": "gigacast",  # the library wants a name; nothing is committed under it
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "log_level": 0,
            }
        )
        self._partitions = self._list_partitions()

    def seek(self, positions: Mapping[str, str]) -> None:
        """Go on after positions; see `Stream.seek`."""
        assigned = [
            self._kafka.TopicPartition(self.name, n, self._offset(positions.get(str(n))))
            for n in self._partitions
        ]
        self._consumer.assign(assigned)

    def read(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        """Return the next records; see `Stream.read`."""
        # The library would wait until the greatest number is there: one record, then the others.
        messages = self._consumer.consume(1, timeout_s)
        if messages:
            messages += self._consumer.consume(max_records - 1, 0.01)
        records = []
        for message in messages:
            if message.error() is not None:
                raise TransientStorageError(f"{self._label}: {message.error().str()}")
            value = message.value() or b""
            records.append(Record(str(message.partition()), str(message.offset()), value))
        return records

    def lag(self) -> int:
        """Return the number of records that are in the topic and were not read.

        Raises
        ------
        TransientStorageError
            If no broker answers.
        """
        lag = 0
        try:
            for place in self._consumer.position(self._consumer.assignment()):
                low, high = self._consumer.get_watermark_offsets(place, _TIMEOUT_S)
                lag += high - (place.offset if place.offset >= 0 else low)
        except self._kafka.KafkaException as error:
            raise TransientStorageError(f"{self._label}: {error.args[0].str()}") from error
        return lag

    @property
    def is_ended(self) -> bool:
        """Never: a topic has no end."""
        return False

    def close(self) -> None:
        """Close the connections."""
        self._consumer.close()

    @property
    def _label(self) -> str:
        return f"Kafka topic {self.name} at {self._servers}"

    def _offset(self, position: str | None) -> int:
        return self._kafka.OFFSET_BEGINNING if position is None else int(position) + 1

    def _list_partitions(self) -> list[int]:
        try:
            topics = self._consumer.list_topics(self.name, timeout=_TIMEOUT_S).topics
        except self._kafka.KafkaException as error:
            self._consumer.close()
            raise TransientStorageError(
                f"{self._label}: {error.args[0].str()}", hint="check --stream_url"
            ) from error
        partitions = sorted(topics[self.name].partitions)
        if not partitions:
            self._consumer.close()
            raise TransientStorageError(f"{self._label}: there is no such topic")
        return partitions


def _load() -> Any:
    try:
        import confluent_kafka  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError(
            "streams of Kafka need confluent-kafka, which is not installed",
            hint="pip install 'gigacast[kafka]'",
        ) from error
    return confluent_kafka
