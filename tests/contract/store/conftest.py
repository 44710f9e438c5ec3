"""Stores under test: one of each backend."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gigacast.storage.memory import forget_memory
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.contract.store_backends import NewStore
from tests.support.moto_server import MotoServer


@pytest.fixture(params=["folder", "memory", "s3"])
def backend(request: pytest.FixtureRequest) -> str:
    """The name of the backend under test."""
    return str(request.param)


@pytest.fixture
def new_store(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewStore]:
    """A function that makes a new, empty store of the backend under test."""
    cleanups: list[Callable[[], object]] = []

    def make() -> Store:
        name = uuid.uuid4().hex[:12]
        if backend == "s3":
            server: MotoServer = request.getfixturevalue("moto_server")
            return open_store(server.new_address("some/root"))
        if backend == "memory":
            cleanups.append(lambda: forget_memory(name))
            return open_store(StoreAddress(f"memory://{name}/root"))
        folder = tmp_path / name
        folder.mkdir()
        cleanups.append(lambda: shutil.rmtree(folder))
        return open_store(StoreAddress(f"file://{folder}"))

    yield make
    for clean in cleanups:
        clean()


@pytest.fixture
def store(new_store: NewStore) -> Store:
    """A new, empty store of the backend under test."""
    return new_store()
