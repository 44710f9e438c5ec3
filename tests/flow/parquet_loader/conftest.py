"""Stores with a year of bars."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gigacast.storage.opening import open_store
from gigacast.storage.store import Store
from tests.support.moto_server import MotoServer
from tests.support.ticks import folder_store


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "folder":
        yield folder_store(tmp_path / "lake")
        return
    server: MotoServer = request.getfixturevalue("moto_server")
    yield open_store(server.new_address("lake"))


@pytest.fixture
def folder(tmp_path: Path) -> Store:
    return folder_store(tmp_path / "lake")
