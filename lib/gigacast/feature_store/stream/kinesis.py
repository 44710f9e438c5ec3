"""A stream of Kinesis."""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gigacast.errors import AccessDeniedError, StorageError, TransientStorageError
from gigacast.feature_store.stream.stream import MAX_RECORDS, Record, is_after
from gigacast.storage.aws_client import open_aws_client

_PAUSE_S = 0.2
"""Wait between reads of a shard: Kinesis allows five in a second."""
_BUSY = (
    "InternalFailure",
    "InternalServer",
    "KMSThrottling",
    "LimitExceeded",
    "ProvisionedThroughput",
    "ServiceUnavailable",
    "Throttling",
)
_DENIED = ("AccessDenied", "UnrecognizedClient", "InvalidSignature", "ExpiredToken")


class KinesisStream:
    """The records of a stream of Kinesis, from all its shards.

    Parameters
    ----------
    name : str
        Stream.
    region : str, optional
        Region; that of the environment by default.
    endpoint_url : str, optional
        Address of a stand-in of Kinesis.

    Raises
    ------
    StorageError
        If there is no such stream.
    """

    def __init__(
        self, name: str, *, region: str | None = None, endpoint_url: str | None = None
    ) -> None:
        from botocore.config import Config  # noqa: PLC0415 - loaded by those that use the stream
        from botocore.exceptions import (  # noqa: PLC0415
            BotoCoreError,
            ClientError,
            HTTPClientError,
        )
        from botocore.exceptions import ConnectionError as AwsConnectionError  # noqa: PLC0415

        self.name = name
        self._errors = (BotoCoreError, ClientError)
        # Not those of missing credentials or regions, which no waiting mends.
        self._away = (HTTPClientError, AwsConnectionError)
        config = Config(retries={"mode": "standard", "total_max_attempts": 4}, read_timeout=10)
        self._client = open_aws_client(
            "kinesis", region=region, endpoint_url=endpoint_url, config=config
        )
        self._positions: dict[str, str] = {}
        self._iterators: dict[str, str | None] = {}
        self._turns: deque[str] = deque()
        self._behind_ms: dict[str, int] = {}
        self.seek({})

    def seek(self, positions: Mapping[str, str]) -> None:
        """Go on after positions; see `Stream.seek`."""
        self._positions = dict(positions)
        self._iterators = {shard: self._iterator(shard) for shard in self._shards()}
        self._turns = deque(self._iterators)

    def read(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        """Return the next records of one shard after the other; see `Stream.read`."""
        deadline = time.monotonic() + timeout_s
        while True:
            for _ in range(len(self._turns)):
                shard = self._turns[0]
                self._turns.rotate(-1)
                records = self._read_shard(shard, max_records)
                if records:
                    return records
            if time.monotonic() + _PAUSE_S > deadline:
                return []
            time.sleep(_PAUSE_S)

    def lag_ms(self) -> int | None:
        """Return the time by which the last reads were behind the newest record, of all shards.

        None before any read. Kinesis tells times, and no numbers of records.
        """
        return max(self._behind_ms.values(), default=None)

    def history(
        self, shard: str, positions: Mapping[str, str], until: str
    ) -> Iterator[Sequence[Record]]:
        """Yield the records before one of a shard, those of the shards that it came from first.

        Parameters
        ----------
        shard : str
        positions : mapping of str to str
            Positions after which each shard is read; from its start by default.
        until : str
            Position of the record, which is not yielded.
        """
        self._positions = dict(positions)
        parents = {entry["ShardId"]: _parents(entry) for entry in self._listed()}
        for earlier in _ancestors(shard, parents):
            yield from self._to_end(earlier)
        for records in self._to_end(shard):
            before = [record for record in records if not is_after(record.position, until)]
            yield [record for record in before if record.position != until]
            if len(before) < len(records) or (before and before[-1].position == until):
                return

    @property
    def is_ended(self) -> bool:
        """Never: a stream has no end."""
        return False

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _read_shard(self, shard: str, max_records: int) -> list[Record]:
        iterator = self._iterators[shard]
        if iterator is None:
            return []
        try:
            answer = self._client.get_records(ShardIterator=iterator, Limit=max_records)
        except self._client.exceptions.ExpiredIteratorException:
            # Iterators last five minutes: a slow store may have taken longer.
            self._iterators[shard] = self._iterator(shard)
            return []
        except self._client.exceptions.ProvisionedThroughputExceededException:
            time.sleep(_PAUSE_S)
            return []
        except self._errors as error:
            raise self._translated(error) from error
        records = [
            Record(shard, entry["SequenceNumber"], bytes(entry["Data"]))
            for entry in answer["Records"]
        ]
        if records:
            self._positions[shard] = records[-1].position
        self._behind_ms[shard] = int(answer.get("MillisBehindLatest") or 0)
        self._iterators[shard] = answer.get("NextShardIterator")
        if self._iterators[shard] is None:
            self._add_shards()
        return records

    def _add_shards(self) -> None:
        """Read the shards that took the place of one that ended."""
        for shard in self._shards():
            if shard not in self._iterators:
                self._iterators[shard] = self._iterator(shard)
                self._turns.append(shard)

    def _to_end(self, shard: str) -> Iterator[Sequence[Record]]:
        """Yield the records of a shard up to its end, or to the newest."""
        self._iterators[shard] = self._iterator(shard)
        self._behind_ms[shard] = 1
        while self._iterators[shard] is not None and self._behind_ms[shard]:
            yield self._read_shard(shard, MAX_RECORDS)

    def _shards(self) -> list[str]:
        return [entry["ShardId"] for entry in self._listed()]

    def _listed(self) -> list[dict[str, Any]]:
        return [entry for page in self._pages() for entry in page["Shards"]]

    def _pages(self) -> list[dict[str, Any]]:
        request: dict[str, Any] = {"StreamName": self.name}
        pages = []
        try:
            while True:
                page = self._client.list_shards(**request)
                pages.append(page)
                if not page.get("NextToken"):
                    return pages
                request = {"NextToken": page["NextToken"]}
        except self._errors as error:
            raise self._translated(error) from error

    def _iterator(self, shard: str) -> str:
        position = self._positions.get(shard)
        start: dict[str, str] = {"ShardIteratorType": "TRIM_HORIZON"}
        if position is not None:
            start = {
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                "StartingSequenceNumber": position,
            }
        try:
            answer = self._client.get_shard_iterator(StreamName=self.name, ShardId=shard, **start)
        except self._errors as error:
            raise self._translated(error) from error
        iterator: str = answer["ShardIterator"]
        return iterator

    def _translated(self, error: Any) -> StorageError:
        # Time-outs have a response, which is none.
        response = getattr(error, "response", None) or {}
        code = str(response.get("Error", {}).get("Code", ""))
        kind: type[StorageError] = StorageError
        if code.startswith(_DENIED):
            kind = AccessDeniedError
        elif code.startswith(_BUSY) or (not code and isinstance(error, self._away)):
            kind = TransientStorageError
        return kind(
            f"Kinesis stream {self.name}: {error}",
            hint="check the name of the stream, its region and the credentials",
        )


def _parents(entry: Mapping[str, Any]) -> list[str]:
    names = (entry.get("ParentShardId"), entry.get("AdjacentParentShardId"))
    return [name for name in names if name]


def _ancestors(shard: str, parents: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the shards that a shard came from by splits and merges, the oldest first."""
    ancestors: dict[str, None] = {}
    for parent in parents.get(shard, ()):
        # A parent that is no longer listed has no records any more.
        if parent in parents:
            ancestors |= dict.fromkeys([*_ancestors(parent, parents), parent])
    return list(ancestors)
