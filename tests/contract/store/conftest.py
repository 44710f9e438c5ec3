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
from tests.support.clouds.azure import AzureServer
from tests.support.clouds.azurite import Azurite, azurite_program
from tests.support.clouds.gcs import GcsServer
from tests.support.clouds.objects import CloudServer
from tests.support.moto_server import MotoServer

SERVERS = {"s3": "moto_server", "gs": "gcs_server", "az": "azure_server", "azurite": "azurite"}
"""Backends behind a server, and the fixture that starts it."""


@pytest.fixture(scope="package")
def gcs_server() -> Iterator[GcsServer]:
    """One server for the tests of stores."""
    with GcsServer() as server:
        yield server


@pytest.fixture(scope="package")
def azure_server() -> Iterator[AzureServer]:
    """One server for the tests of stores."""
    with AzureServer() as server:
        yield server


@pytest.fixture(scope="package")
def azurite() -> Iterator[Azurite]:
    """Microsoft's emulator, for the tests of stores."""
    program = azurite_program()
    if program is None:
        pytest.skip("Azurite is not installed: npm install azurite, and name it by AZURITE_BLOB")
    with AzureServer() as server:  # its variables have the account of the emulator, too
        del server
        with Azurite(program) as emulator:
            yield emulator


@pytest.fixture(
    params=["folder", "memory", "s3", "gs", "az", *(["azurite"] if azurite_program() else [])]
)
def backend(request: pytest.FixtureRequest) -> str:
    """The name of the backend under test."""
    return str(request.param)


@pytest.fixture
def new_store(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewStore]:
    """A function that makes a new, empty store of the backend under test."""
    cleanups: list[Callable[[], object]] = []

    def make() -> Store:
        name = uuid.uuid4().hex[:12]
        if backend in SERVERS:
            server: MotoServer | CloudServer | Azurite = request.getfixturevalue(SERVERS[backend])
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
