"""The engines that every test of this folder runs with."""

from pathlib import Path

import pytest

from gigacast.feature_store.engine.engine import Engine
from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress
from tests.support.features.engines import make
from tests.support.features.spark import needs_spark


@pytest.fixture(params=["local", pytest.param("spark", marks=needs_spark)])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def engine(kind: str) -> Engine:
    return make(kind)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(StoreAddress(f"file://{tmp_path}"))
