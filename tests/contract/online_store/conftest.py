"""Online stores of the contract suite: memory, SQLite, LMDB, DynamoDB (moto) and Redis."""

import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gigacast.feature_store.online.dynamodb import DynamoOnlineStore
from gigacast.feature_store.online.lmdb import LmdbOnlineStore
from gigacast.feature_store.online.memory import MemoryOnlineStore
from gigacast.feature_store.online.redis import RedisOnlineStore
from gigacast.feature_store.online.sqlite import SqliteOnlineStore
from gigacast.feature_store.online.store import OnlineStore
from tests.support.moto_server import MotoServer

NewOnlineStore = Callable[[], OnlineStore]


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis server on a socket of its own, where one is installed."""
    pytest.importorskip("redis", reason="the client redis is not installed")
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    # A socket's path may have about 100 letters, which pytest's folders use up.
    folder = tmp_path_factory.mktemp("redis")
    socket = Path("/tmp") / f"redis-{uuid.uuid4().hex[:8]}.sock"
    command = [program, "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", folder]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not socket.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        yield f"unix://{socket}"
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(params=["memory", "sqlite", "lmdb", "dynamodb", "redis"])
def open_again(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewOnlineStore]:
    """Open the same, empty online store as often as it is called."""
    opened: list[OnlineStore] = []
    memory = MemoryOnlineStore()
    kind = request.param
    if kind == "redis":
        url = request.getfixturevalue("redis_url")
        RedisOnlineStore(url).drop("k/")
    if kind == "dynamodb":
        server: MotoServer = request.getfixturevalue("moto_server")
        table = f"features-{uuid.uuid4().hex[:8]}"
        DynamoOnlineStore(table, region="us-east-1", endpoint_url=server.endpoint_url).create()

    def open_store() -> OnlineStore:
        store: OnlineStore
        if kind == "memory":
            store = memory
        elif kind == "sqlite":
            store = SqliteOnlineStore(tmp_path / "online.sqlite")
        elif kind == "lmdb":
            store = LmdbOnlineStore(tmp_path / "online", map_bytes=1 << 26)
        elif kind == "dynamodb":
            store = DynamoOnlineStore(table, region="us-east-1", endpoint_url=server.endpoint_url)
        else:
            store = RedisOnlineStore(url)
        opened.append(store)
        return store

    yield open_store
    for store in opened:
        store.close()


@pytest.fixture
def store(open_again: NewOnlineStore) -> OnlineStore:
    """An empty online store."""
    return open_again()


@pytest.fixture(params=["dynamodb", "redis", "sqlite"])
def broken_store(request: pytest.FixtureRequest, tmp_path: Path) -> OnlineStore:
    """An online store that cannot be reached."""
    if request.param == "dynamodb":
        server: MotoServer = request.getfixturevalue("moto_server")
        return DynamoOnlineStore(
            "no-such-table", region="us-east-1", endpoint_url=server.endpoint_url
        )
    if request.param == "redis":
        pytest.importorskip("redis", reason="the client redis is not installed")
        return RedisOnlineStore(f"unix://{tmp_path}/none.sock")
    store = SqliteOnlineStore(tmp_path / "online.sqlite")
    store.close()
    (tmp_path / "online.sqlite").write_bytes(b"no database" * 100)
    for name in ("online.sqlite-wal", "online.sqlite-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    return store
