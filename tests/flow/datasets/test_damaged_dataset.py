"""A published file that is damaged under its size and time is never forecast."""

import os
from pathlib import Path

import pytest

import gigacast
from gigacast.forecasting.run import RunResult
from gigacast.storage.opening import open_store
from gigacast.storage.store import StoreAddress
from tests.support.bars import publish
from tests.support.panels import hourly_panel

CREATED_BY = b"parquet-cpp-arrow"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bucket").mkdir()
    store = open_store(StoreAddress(f"file://{tmp_path}/bucket"))
    frame = hourly_panel("2024-01", ["a", "b"])
    publish(store, "cleaned/v1/panel", frame, partition_by=["month"], contract=None)
    return tmp_path / "bucket"


def forecast(folder: Path, verify: str) -> RunResult:
    return gigacast.forecast(
        f"file://{folder}",
        model="seasonal-naive",
        horizon=6,
        input_prefix="cleaned/v1/panel",
        verify_datasets=verify,
    )


def rewrite(path: Path, content: bytes) -> None:
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def flipped(content: bytes, at: int) -> bytes:
    changed = bytearray(content)
    changed[at] ^= 1
    return bytes(changed)


@pytest.mark.parametrize("place", ["page", "footer"])
def test_a_flipped_bit_fails_the_partition_until_the_file_is_restored(
    folder: Path, place: str
) -> None:
    (path,) = (folder / "cleaned").rglob("*.parquet")
    sound = path.read_bytes()
    # The name of the writing program has no checksum and no meaning: only the digest knows it.
    at = len(sound) // 3 if place == "page" else sound.rindex(CREATED_BY)
    rewrite(path, flipped(sound, at))
    result = forecast(folder, "always")
    assert result.status == "failed"
    assert [failure.error for _, failure in result.failures] == ["DatasetIntegrityError"]
    assert "is damaged" in result.failures[0][1].message
    assert list((folder / "forecasts").rglob("part-*")) == []

    rewrite(path, sound)
    result = forecast(folder, "always")
    assert (result.status, result.totals.partitions) == ("completed", 1)


def test_checksums_of_pages_are_checked_without_the_digest(folder: Path) -> None:
    (path,) = (folder / "cleaned").rglob("*.parquet")
    sound = path.read_bytes()
    rewrite(path, flipped(sound, len(sound) // 3))
    result = forecast(folder, "never")
    assert [failure.error for _, failure in result.failures] == ["CorruptedFileError"]
