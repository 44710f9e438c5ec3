"""Buckets to train on, one thread, and a working folder of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gigacast.storage.opening import open_store
from gigacast.storage.store import Store
from tests.flow.training.trainings import make_bucket
from tests.support.moto_server import MotoServer
from tests.support.tiny_models import session_folder


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return session_folder(tmp_path_factory)


@pytest.fixture(params=["folder", "s3"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path, moto_server: MotoServer) -> Store:
    if request.param == "s3":
        return open_store(moto_server.new_address())
    return make_bucket(tmp_path)


@pytest.fixture
def folder_bucket(tmp_path: Path) -> Store:
    return make_bucket(tmp_path)
