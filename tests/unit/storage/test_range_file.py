"""One stored object as a seekable file."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigacast.errors import PreconditionFailedError
from gigacast.storage import range_file
from gigacast.storage.memory import MemoryStore
from gigacast.storage.range_file import RangeFile
from tests.support.faulty_store import FaultyStore

CONTENT = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work on a small object as on a large one: every size a thousandth."""
    monkeypatch.setattr(range_file, "SMALLEST_FETCH_BYTES", 100)
    monkeypatch.setattr(range_file, "LARGEST_FETCH_BYTES", 800)
    monkeypatch.setattr(range_file, "AHEAD_BYTES", 400)
    monkeypatch.setattr(range_file, "TAIL_BYTES", 100)
    monkeypatch.setattr(range_file, "KEPT_BYTES", 2000)


@pytest.fixture
def store() -> FaultyStore:
    store = FaultyStore(MemoryStore("range-file"))
    store.put("key", CONTENT)
    return store


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10_300), st.integers(-1, 3000)), max_size=12))
def test_any_reads_give_what_a_file_in_memory_gives(reads: list[tuple[int, int]]) -> None:
    store = MemoryStore("range-file")
    store.put("key", CONTENT)
    with RangeFile(store, store.head("key")) as file, io.BytesIO(CONTENT) as plain:
        for position, size in reads:
            assert file.seek(position) == plain.seek(position)
            assert file.read(size) == plain.read(size)
            assert file.read(size) == plain.read(size)  # and what follows
            held_bytes = sum(piece.stop - piece.start for piece in file._pieces)
            assert held_bytes <= range_file.KEPT_BYTES


def test_it_seeks_from_the_start_the_position_and_the_end(store: FaultyStore) -> None:
    with RangeFile(store, store.head("key")) as file:
        assert file.seek(-4, io.SEEK_END) == len(CONTENT) - 4
        assert file.read() == CONTENT[-4:]
        assert file.seek(10) == file.tell() == 10
        assert file.seek(5, io.SEEK_CUR) == 15
        assert file.readable()
        assert file.seekable()


def test_it_fills_buffers_and_reads_lines_as_other_files_do(store: FaultyStore) -> None:
    with RangeFile(store, store.head("key")) as file:
        buffer = bytearray(300)
        assert file.readinto(buffer) == 300
        assert bytes(buffer) == CONTENT[:300]
        assert io.BufferedReader(file).read() == CONTENT[300:]


def test_the_end_of_the_object_is_fetched_once(store: FaultyStore) -> None:
    with RangeFile(store, store.head("key")) as file:
        for back in (8, 60, 100):
            file.seek(-back, io.SEEK_END)
            assert file.read(back) == CONTENT[-back:]
    assert store.counts["get"] == 1


def test_small_reads_in_a_row_take_few_requests(store: FaultyStore) -> None:
    with RangeFile(store, store.head("key")) as file:
        while file.read(64):
            pass
    assert store.counts["get"] < len(CONTENT) / 400 + 5


def test_several_streams_in_turn_are_each_read_ahead(store: FaultyStore) -> None:
    with RangeFile(store, store.head("key")) as file:
        for step in range(0, 2000, 50):
            for stream in (0, 4000, 8000):
                file.seek(stream + step)
                assert file.read(50) == CONTENT[stream + step : stream + step + 50]
    assert store.counts["get"] < 3 * (2000 / 400 + 4)


def test_one_large_read_is_fetched_in_pieces(store: FaultyStore) -> None:
    with RangeFile(store, store.head("key")) as file:
        assert file.read() == CONTENT
    assert store.counts["get"] == -(-len(CONTENT) // 800)


def test_a_version_that_was_replaced_is_never_mixed_with_the_new_one(store: FaultyStore) -> None:
    with RangeFile(store, store.head("key")) as file:
        assert file.read(10) == CONTENT[:10]
        store.put("key", CONTENT[::-1])
        file.seek(5000)
        with pytest.raises(PreconditionFailedError):
            file.read(10)


def test_a_closed_file_is_not_read(store: FaultyStore) -> None:
    file = RangeFile(store, store.head("key"))
    file.close()
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read(1)
