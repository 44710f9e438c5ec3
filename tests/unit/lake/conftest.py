"""A store with the objects of a test."""

import pytest

from gigacast.storage.memory import MemoryStore
from tests.unit.lake.plans import names


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(next(names))
