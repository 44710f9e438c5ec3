"""Small buckets to backtest."""

from pathlib import Path

import pytest

from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.moto_server import MotoServer
from tests.support.tiny_models import session_folder, tiny_bolt


@pytest.fixture
def folder(tmp_path: Path) -> Store:
    (tmp_path / "bucket").mkdir()
    return open_store(StoreAddress(f"file://{tmp_path}/bucket"))


@pytest.fixture(params=["folder", "s3"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path, moto_server: MotoServer) -> Store:
    if request.param == "folder":
        (tmp_path / "bucket").mkdir()
        return open_store(StoreAddress(f"file://{tmp_path}/bucket"))
    return open_store(moto_server.new_address())


@pytest.fixture(scope="session")
def bolt(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_bolt(session_folder(tmp_path_factory)))
