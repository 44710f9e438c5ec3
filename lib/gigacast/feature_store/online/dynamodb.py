"""An online store in a table of DynamoDB."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from gigacast.errors import AccessDeniedError, StorageError, TransientStorageError
from gigacast.feature_store.online.store import (
    Versioned,
    is_between,
    is_expired,
    new_version,
)
from gigacast.storage.aws_client import open_aws_client

R = TypeVar("R")
_READ, _WRITE = 100, 25
"""Items that one request may read and write; limits of DynamoDB."""
MAX_ITEM_BYTES = 400_000
_ATTEMPTS = 8
_DENIED = ("AccessDenied", "UnrecognizedClient", "InvalidSignature", "ExpiredToken")
_BUSY = (
    "Throttling",
    "ProvisionedThroughput",
    "RequestLimit",
    "InternalServerError",
    "ServiceUnavailable",
)


class DynamoOnlineStore:
    """Values in a table of DynamoDB, with the key ``key`` and the time to live ``expires``.

    Parameters
    ----------
    table : str
        Name of the table.
    region : str, optional
        Region; that of the environment by default.
    endpoint_url : str, optional
        Address of a stand-in of DynamoDB.
    """

    is_local = False

    def __init__(
        self, table: str, *, region: str | None = None, endpoint_url: str | None = None
    ) -> None:
        from botocore.config import Config  # noqa: PLC0415 - loaded by those that use the store
        from botocore.exceptions import (  # noqa: PLC0415
            BotoCoreError,
            ChecksumError,
            ClientError,
            HTTPClientError,
        )
        from botocore.exceptions import ConnectionError as AwsConnectionError  # noqa: PLC0415

        self._table = table
        self._errors = (BotoCoreError, ClientError)
        # Not those of missing credentials or regions, which no waiting mends.
        self._away = (HTTPClientError, AwsConnectionError, ChecksumError)
        config = Config(
            retries={"mode": "standard", "total_max_attempts": 4},
            connect_timeout=2,
            read_timeout=5,
            tcp_keepalive=True,
        )
        self._client = open_aws_client(
            "dynamodb", region=region, endpoint_url=endpoint_url, config=config
        )

    def create(self) -> None:
        """Create the table, paid by request, if there is none, and wait until it is there."""
        if self._call(self._exists):
            return
        self._call(
            self._client.create_table,
            TableName=self._table,
            KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self._client.get_waiter("table_exists").wait(TableName=self._table)
        self._call(
            self._client.update_time_to_live,
            TableName=self._table,
            TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"},
        )

    def get_many(self, keys: Sequence[str]) -> list[Versioned | None]:
        """Return the values of keys; see `OnlineStore.get_many`."""
        unique = [*dict.fromkeys(keys)]
        values: dict[str, Versioned | None] = {}
        for n in range(0, len(unique), _READ):
            for item in self._read(unique[n : n + _READ]):
                values[item["key"]["S"]] = _value(item)
        return [values.get(key) for key in keys]

    def put_many(self, items: Iterable[tuple[str, bytes]], expires_at: int | None = None) -> None:
        """Write values; see `OnlineStore.put_many`."""
        batch: dict[str, bytes] = {}
        for key, value in items:
            # A request that names a key twice is refused: the later value counts.
            batch[key] = value
            if len(batch) == _WRITE:
                self._write(batch, expires_at)
                batch = {}
        if batch:
            self._write(batch, expires_at)

    def put_if(
        self, key: str, version: int | None, value: bytes, expires_at: int | None = None
    ) -> bool:
        """Write a value if its key has this version; see `OnlineStore.put_if`."""
        # DynamoDB deletes expired items late; until then they count as absent here, too.
        condition = "attribute_not_exists(#k) OR #e <= :now"
        names, values = {"#k": "key", "#e": "expires"}, {":now": _number(int(time.time()))}
        if version is not None:
            condition, names = "#v = :v", {"#v": "version"}
            values = {":v": _number(version)}
        try:
            self._client.put_item(
                TableName=self._table,
                Item=self._item(key, value, expires_at),
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values,
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        except self._errors as error:
            raise self._translated(error) from error
        return True

    def scan(
        self, prefix: str, start: str = "", end: str | None = None
    ) -> Iterator[tuple[str, Versioned]]:
        """Yield keys and values below a prefix; see `OnlineStore.scan`. Reads the whole table."""
        for item in self._pages(prefix, "#k, #v, #e, #c"):
            value, key = _value(item), item["key"]["S"]
            if value is not None and is_between(key, prefix, start, end):
                yield key, value

    def drop(self, prefix: str) -> int:
        """Delete all values below a prefix; see `OnlineStore.drop`. Reads the whole table."""
        count, keys = 0, []
        for item in self._pages(prefix, "#k"):
            keys.append(item["key"]["S"])
            if len(keys) == _WRITE:
                self._request([{"DeleteRequest": {"Key": {"key": {"S": k}}}} for k in keys])
                count, keys = count + len(keys), []
        if keys:
            self._request([{"DeleteRequest": {"Key": {"key": {"S": k}}}} for k in keys])
        return count + len(keys)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _exists(self) -> bool:
        try:
            self._client.describe_table(TableName=self._table)
        except self._client.exceptions.ResourceNotFoundException:
            return False
        return True

    def _read(self, keys: Sequence[str]) -> Iterator[dict[str, Any]]:
        # Strong reads: a value that a fetch misses would look like a key without features.
        request_keys = {"Keys": [{"key": {"S": key}} for key in keys], "ConsistentRead": True}
        request = {self._table: request_keys}
        for attempt in range(_ATTEMPTS):
            answer = self._call(self._client.batch_get_item, RequestItems=request)
            yield from answer["Responses"].get(self._table, ())
            request = answer.get("UnprocessedKeys") or {}
            if not request:
                return
            time.sleep(0.02 * 2**attempt)
        raise TransientStorageError(f"online store {self._table}: is throttled")

    def _write(self, batch: dict[str, bytes], expires_at: int | None) -> None:
        self._request(
            [{"PutRequest": {"Item": self._item(k, v, expires_at)}} for k, v in batch.items()]
        )

    def _request(self, writes: list[dict[str, Any]]) -> None:
        request = {self._table: writes}
        for attempt in range(_ATTEMPTS):
            answer = self._call(self._client.batch_write_item, RequestItems=request)
            request = answer.get("UnprocessedItems") or {}
            if not request:
                return
            time.sleep(0.02 * 2**attempt)
        raise TransientStorageError(f"online store {self._table}: is throttled")

    def _item(self, key: str, value: bytes, expires_at: int | None) -> dict[str, Any]:
        if len(value) + len(key) > MAX_ITEM_BYTES:
            raise StorageError(
                f"online store {self._table}: a value of {len(value)} bytes; DynamoDB takes "
                f"{MAX_ITEM_BYTES}",
                hint="keep fewer values (LAST_K, HISTOGRAM) or use another store",
            )
        item = {"key": {"S": key}, "value": {"B": value}, "version": _number(new_version())}
        return item if expires_at is None else {**item, "expires": _number(expires_at)}

    def _pages(self, prefix: str, attributes: str) -> Iterator[dict[str, Any]]:
        names = {"#k": "key", "#v": "value", "#e": "expires", "#c": "version"}
        used = {mark: name for mark, name in names.items() if mark in attributes}
        request: dict[str, Any] = {
            "TableName": self._table,
            "ProjectionExpression": attributes,
            "FilterExpression": "begins_with(#k, :p)",
            "ExpressionAttributeNames": used,
            "ExpressionAttributeValues": {":p": {"S": prefix}},
            "ConsistentRead": True,
        }
        while True:
            answer = self._call(self._client.scan, **request)
            yield from answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _call(self, function: Callable[..., R], **arguments: Any) -> R:
        try:
            return function(**arguments)
        except self._errors as error:
            raise self._translated(error) from error

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
            f"online store dynamodb:{self._table}: {error}",
            hint="check the name of the table, its region and the credentials",
        )


def _number(value: int) -> dict[str, str]:
    return {"N": str(value)}


def _value(item: dict[str, Any]) -> Versioned | None:
    expires = item.get("expires")
    if is_expired(int(expires["N"]) if expires else None):
        return None
    return Versioned(bytes(item["value"]["B"]), int(item["version"]["N"]))
