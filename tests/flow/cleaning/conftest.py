"""An empty lake."""

from pathlib import Path

import pytest

from gigacast.storage.opening import open_store
from gigacast.storage.store import Store, StoreAddress


@pytest.fixture
def lake(tmp_path: Path) -> Store:
    (tmp_path / "lake").mkdir()
    return open_store(StoreAddress(f"file://{tmp_path}/lake"))
