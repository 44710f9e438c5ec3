"""Notes beside forecasts: digests are found where they are; a note that is not whole is none."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gigacast.forecasting.refresh.note import ROW_BYTES, Note, NoteDraft, read_note
from gigacast.lake.layout import digests_key
from gigacast.storage.memory import MemoryStore

KEY, HEAD = "forecasts/m/1/h3-q2-0123abcd/2024/01/part-0.parquet", "head"
MANY = 1 << 20


@pytest.fixture
def store(request: pytest.FixtureRequest) -> MemoryStore:
    return MemoryStore(request.node.name)


def digests(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2**64, (count, 2), dtype=np.uint64)


def note_of(own: np.ndarray) -> Note:
    return Note("etag", own, np.zeros(len(own), np.int8))


# -- places ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_a_digest_is_found_where_it_is_and_another_nowhere(count: int) -> None:
    own, strangers = digests(count), digests(30, seed=1)
    queries = np.concatenate([own[::-1], strangers])
    places = note_of(own).find(queries)
    assert places.dtype == np.int64
    assert places.tolist() == [*range(count)[::-1], *[-1] * 30]
    assert note_of(own).find(queries[:0]).tolist() == []


def test_both_halves_of_a_digest_count() -> None:
    own = digests(5)
    for lane in range(2):
        altered = own.copy()
        altered[:, lane] ^= np.uint64(1)
        assert note_of(own).find(altered).tolist() == [-1] * 5


# -- drafts ----------------------------------------------------------------------------------------


def drafted(limit: int, *sizes: int) -> tuple[NoteDraft, np.ndarray, np.ndarray]:
    draft, own = NoteDraft(limit), digests(sum(sizes))
    reasons = (np.arange(sum(sizes)) % 5).astype(np.int8)
    start = 0
    for size in sizes:
        draft.add(own[start : start + size], reasons[start : start + size])
        start += size
    return draft, own, reasons


@pytest.mark.parametrize("sizes", [(), (0,), (3,), (2, 0, 1), (1, 1, 1)])
def test_a_note_is_read_as_it_was_written(sizes: tuple[int, ...], store: MemoryStore) -> None:
    limit = 3 * ROW_BYTES
    draft, own, reasons = drafted(limit, *sizes)
    draft.write(store, KEY, "etag-1", HEAD)
    note = read_note(store, KEY, HEAD, limit)
    assert note is not None
    assert note.output_etag == "etag-1"
    assert (note.digests.dtype, note.reasons.dtype) == (np.uint64, np.int8)
    np.testing.assert_array_equal(note.digests, own)
    np.testing.assert_array_equal(note.reasons, reasons)
    if sum(sizes) == 3:
        assert read_note(store, KEY, HEAD, limit - 1) is None  # more than its memory


@pytest.mark.parametrize("sizes", [(4,), (2, 2), (4, 1), (1, 1, 1, 1, 1)])
def test_of_more_series_than_fit_no_note_is_left(
    sizes: tuple[int, ...], store: MemoryStore
) -> None:
    draft, _, _ = drafted(4 * ROW_BYTES - 1, *sizes)
    draft.write(store, KEY, "etag-1", HEAD)
    assert read_note(store, KEY, HEAD, MANY) is None
    assert not draft._parts


# -- notes that are none ---------------------------------------------------------------------------


def without_nothing(table: pa.Table) -> pa.Table:
    return table


def with_null(table: pa.Table) -> pa.Table:
    columns = [table["first"], table["second"], pa.array([0, None], pa.int8())]
    return pa.table(columns, schema=table.schema)


def with_metadata(**changes: str) -> Any:
    def change(table: pa.Table) -> pa.Table:
        metadata = {k.decode(): v.decode() for k, v in table.schema.metadata.items()}
        metadata = {k: v for k, v in (metadata | changes).items() if v}
        return table.replace_schema_metadata(metadata)

    return change


@pytest.mark.parametrize(
    ("change", "is_read"),
    [
        (without_nothing, True),
        (with_null, False),
        (lambda table: table.select(["first", "second"]), False),
        (lambda table: table.rename_columns(["first", "third", "reason"]), False),
        (lambda table: table.append_column("more", table["first"]), False),
        (with_metadata(**{"gigacast.digests": "another"}), False),
        (with_metadata(**{"gigacast.digests": ""}), False),
        (with_metadata(**{"gigacast.output_etag": ""}), False),
        (lambda table: table.replace_schema_metadata(None), False),
    ],
)
def test_a_note_that_is_not_whole_or_of_another_head_is_none(
    change: Any, is_read: bool, store: MemoryStore
) -> None:
    draft, _, _ = drafted(MANY, 2)
    draft.write(store, KEY, "etag-1", HEAD)
    content = io.BytesIO()
    pq.write_table(change(pq.read_table(io.BytesIO(store.get(digests_key(KEY))))), content)
    store.put(digests_key(KEY), content.getvalue())
    assert (read_note(store, KEY, HEAD, MANY) is not None) == is_read


def test_without_a_note_and_with_one_that_is_no_parquet_there_is_none(store: MemoryStore) -> None:
    assert read_note(store, KEY, HEAD, MANY) is None
    store.put(digests_key(KEY), b"PAR1")
    assert read_note(store, KEY, HEAD, MANY) is None
