"""A folder store and its root."""

from pathlib import Path

import pytest

from gigacast.storage.folder.store import FolderStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    return path


@pytest.fixture
def store(root: Path) -> FolderStore:
    return FolderStore(root)
