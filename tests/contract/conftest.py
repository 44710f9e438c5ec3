"""Stores of every backend, and folders of models."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from gigacast.lake.model.registry import Registry
from gigacast.storage.memory import forget_memory
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.contract.store_backends import NewStore
from tests.support.model_folders import make_folder, publish
from tests.support.moto_server import MotoServer


@pytest.fixture(params=["memory", "folder", "s3"])
def new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewStore]:
    names: list[str] = []

    def make() -> Store:
        names.append(uuid.uuid4().hex)
        if request.param == "memory":
            return open_store(StoreAddress(f"memory://{names[-1]}/lake"))
        if request.param == "folder":
            (tmp_path / names[-1]).mkdir()
            return open_store(StoreAddress(f"file://{tmp_path / names[-1]}"))
        server: MotoServer = request.getfixturevalue("moto_server")
        return open_store(server.new_address("lake"))

    yield make
    for name in names:
        forget_memory(name)


@pytest.fixture
def store(new_store: NewStore) -> Store:
    return new_store()


@pytest.fixture
def first_folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "one", 1)


@pytest.fixture
def second_folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "two", 2)


@pytest.fixture
def three(store: Store, first_folder: Path, second_folder: Path, tmp_path: Path) -> Registry:
    """A registry with v1.0 (active), v1.1 and v2.0."""
    publish(store, first_folder)
    publish(store, second_folder, version="v1.1")
    publish(store, make_folder(tmp_path / "three", 3), version="v2.0")
    return Registry(store)
