"""Stored tiles are read back whole or refused."""

from pathlib import Path

import pyarrow as pa
import pytest

from gigacast.errors import DataError
from gigacast.feature_store.engine.tile_store import TileStore
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress

TILE = pa.table({"key": [1, 2, 3], "n": [10, 20, 30]})
KEY = "feature_store/tiles/shop/a.parquet"


@pytest.mark.parametrize("place", [6, -6])
def test_a_damaged_tile_is_refused_by_name(tmp_path: Path, place: int) -> None:
    store = open_store(StoreAddress(f"file://{tmp_path}"))
    TileStore(store).write(KEY, TILE)
    assert TileStore(store).read(KEY) == TILE
    content = bytearray(store.get(KEY))
    content[place] ^= 0x55
    store.put(KEY, bytes(content))
    with pytest.raises(DataError, match="the tile is damaged"):
        TileStore(store).read(KEY)


def test_a_tile_that_was_never_stored_is_none(tmp_path: Path) -> None:
    assert TileStore(open_store(StoreAddress(f"file://{tmp_path}"))).read(KEY) is None
