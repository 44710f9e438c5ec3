"""The recorded digest of a published file shows damage that keeps its size, time and ETag."""

import os
from pathlib import Path
from typing import Any

import pytest

from gigacast.errors import DatasetIntegrityError
from gigacast.lake.dataset.store import DatasetStore
from gigacast.storage.store import Store
from tests.support.bars import bars, publish


def _flip(store: Store, key: str, at: int) -> None:
    """Flip a bit of a stored object, which keeps its size, time and ETag."""
    content = bytearray(store.get(key))
    content[at] ^= 1
    if store.address.url.startswith("file:"):
        path = Path(store.address.url.removeprefix("file://")) / key
        before = path.stat()
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    else:
        pytest.skip("only a folder has objects that change under their ETag")


@pytest.mark.parametrize("whole", [True, False])
def test_a_flipped_bit_under_the_same_size_and_time_is_noticed_by_the_recorded_digest(
    store: Store, whole: bool
) -> None:
    manifest = publish(store, "cleaned/v1/MES", bars()).manifest
    key = "part-00000.parquet"

    def read(view: DatasetStore) -> bytes:
        return view.get(key) if whole else view.get(key, start=4, stop=9)

    sound = DatasetStore(store, manifest, store.address, "always")
    content = read(sound)
    _flip(store, f"cleaned/v1/MES/{key}", -20)
    view = DatasetStore(store, manifest, store.address, "always")
    # Also a second time: what was found to be damaged is never read.
    for _ in range(2):
        with pytest.raises(DatasetIntegrityError, match="is damaged"):
            read(view)
        with pytest.raises(DatasetIntegrityError, match="is damaged"):
            view.open_file(key)
    assert len(read(DatasetStore(store, manifest, store.address, "never"))) == len(content)


@pytest.mark.parametrize(("number", "is_checked"), [(0.0, True), (0.0624, True), (0.0626, False)])
def test_one_file_of_sixteen_is_checked_in_a_sample(
    store: Store, number: float, is_checked: bool
) -> None:
    manifest = publish(store, "cleaned/v1/MES", bars()).manifest
    _flip(store, "cleaned/v1/MES/part-00000.parquet", -20)
    view = DatasetStore(store, manifest, store.address, draw=lambda: number)
    if is_checked:
        with pytest.raises(DatasetIntegrityError, match="is damaged"):
            view.get("part-00000.parquet")
    else:
        assert view.get("part-00000.parquet")


def test_a_checked_file_is_hashed_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = publish(store, "cleaned/v1/MES", bars()).manifest
    view = DatasetStore(store, manifest, store.address, "always")
    view.get("part-00000.parquet", start=0, stop=4)
    sizes: list[object] = []
    read = type(store).get

    def counted(self: Store, key: str, **range_: Any) -> bytes:
        sizes.append(range_)
        return read(self, key, **range_)

    monkeypatch.setattr(type(store), "get", counted)
    view.get("part-00000.parquet", start=4, stop=8)
    assert [(r["start"], r["stop"]) for r in sizes] == [(4, 8)]
