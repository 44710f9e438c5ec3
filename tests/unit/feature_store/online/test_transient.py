"""Which errors of online stores pass by themselves, and are waited out."""

import sqlite3
import types
from pathlib import Path

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ReadTimeoutError,
)

from gigacast.errors import AccessDeniedError, StorageError, TransientStorageError
from gigacast.feature_store.online import sqlite
from gigacast.feature_store.online.dynamodb import DynamoOnlineStore
from gigacast.feature_store.online.redis import RedisOnlineStore
from gigacast.feature_store.online.sqlite import SqliteOnlineStore


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "m"}}, "GetItem")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (EndpointConnectionError(endpoint_url="http://127.0.0.1:1"), TransientStorageError),
        (ReadTimeoutError(endpoint_url="http://127.0.0.1:1"), TransientStorageError),
        (refusal("ProvisionedThroughputExceededException"), TransientStorageError),
        (refusal("ServiceUnavailable"), TransientStorageError),
        # The same command would end in the same way, however long it waited.
        (NoCredentialsError(), StorageError),
        (NoRegionError(), StorageError),
        (refusal("ResourceNotFoundException"), StorageError),
        (refusal("AccessDeniedException"), AccessDeniedError),
    ],
)
def test_errors_of_dynamodb_are_transient_only_if_they_pass(
    error: Exception, kind: type[StorageError]
) -> None:
    store = DynamoOnlineStore("features", region="us-east-1", endpoint_url="http://127.0.0.1:1")
    assert type(store._translated(error)) is kind


def test_a_file_that_another_process_writes_may_be_free_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_BUSY_S", 0.01)
    store = SqliteOnlineStore(tmp_path / "online.sqlite")
    writer = sqlite3.connect(tmp_path / "online.sqlite", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    with pytest.raises(TransientStorageError, match="locked"):
        store.put_many([("k", b"v")])
    writer.execute("ROLLBACK")
    store.put_many([("k", b"v")])
    writer.close()
    store.close()


def test_a_file_that_is_no_database_stays_none(tmp_path: Path) -> None:
    (tmp_path / "online.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(StorageError) as raised:
        SqliteOnlineStore(tmp_path / "online.sqlite")
    assert not isinstance(raised.value, TransientStorageError)


class _Errors:
    """The errors of the client of Redis, which is an extra, with its inheritance."""

    class RedisError(Exception):
        pass

    class ConnectionError(RedisError):  # noqa: A001 - its name
        pass

    class TimeoutError(RedisError):  # noqa: A001 - its name
        pass

    class AuthenticationError(ConnectionError):
        pass

    class AuthorizationError(ConnectionError):
        pass

    class ResponseError(RedisError):
        pass


@pytest.mark.parametrize(
    ("name", "is_transient"),
    [
        ("ConnectionError", True),
        ("TimeoutError", True),
        ("AuthenticationError", False),
        ("AuthorizationError", False),
        ("ResponseError", False),
    ],
)
def test_errors_of_redis_are_transient_only_if_they_pass(name: str, is_transient: bool) -> None:
    store = RedisOnlineStore.__new__(RedisOnlineStore)
    store._redis = types.SimpleNamespace(exceptions=_Errors)
    store._label = "host"
    with pytest.raises(StorageError) as raised, store._translated():
        raise getattr(_Errors, name)("m")
    assert isinstance(raised.value, TransientStorageError) == is_transient
