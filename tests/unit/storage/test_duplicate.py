"""Repeated keys: the same rows as a slow loop finds, in memory and through the disk."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gigacast.errors import StorageError
from gigacast.storage.parquet.duplicate import DuplicateFinder

TEXT = st.none() | st.sampled_from(["", "a", "b", "ab", "ba", "é" * 50])
KEYS = st.lists(st.tuples(st.none() | st.integers(-(2**62), 2**62).map(lambda n: n % 7), TEXT))


def slow(keys: Sequence[tuple[object, ...]]) -> list[int]:
    seen_keys: set[tuple[object, ...]] = set()
    duplicates = []
    for row, key in enumerate(keys):
        if None not in key and key in seen_keys:
            duplicates.append(row)
        seen_keys.add(key)
    return duplicates


@given(KEYS, st.integers(1, 9), st.sampled_from([1, 1 << 30]))
def test_repeated_rows_equal_those_of_a_slow_loop(
    keys: list[tuple[int | None, str | None]], size: int, limit: int
) -> None:
    numbers, texts = [n for n, _ in keys], [s for _, s in keys]
    table = pa.table({"n": pa.array(numbers, pa.int64()), "s": pa.array(texts, pa.string())})
    with DuplicateFinder(["n", "s"], limit_bytes=limit) as finder:
        for batch in table.to_batches(max_chunksize=size):
            finder.add(batch)
        assert finder.rows().tolist() == slow(keys)


@pytest.mark.parametrize(
    "kind",
    [pa.int8(), pa.uint64(), pa.float64(), pa.timestamp("us"), pa.date32(), pa.string(), pa.bool_(),
     pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.decimal128(21, 2), pa.binary()],
)  # fmt: skip
def test_keys_of_every_type_are_found_through_the_disk(kind: pa.DataType) -> None:
    numbers = np.random.default_rng(0).integers(0, 100, 1000)
    if pa.types.is_dictionary(kind):
        values = pa.array([f"{n}" for n in numbers]).dictionary_encode()
    elif str(kind) in {"string", "large_string", "binary"}:
        values = pa.array([f"k{n}" for n in numbers]).cast(kind)
    else:
        small = pa.array(numbers % 2 if kind == pa.bool_() else numbers)
        plain = small.cast(pa.int32()) if kind == pa.date32() else small
        values = plain.cast(kind, safe=False)
    batch = pa.RecordBatch.from_arrays([values], names=["k"])
    duplicates = []
    for limit in (0, 1 << 30):
        with DuplicateFinder(["k"], limit_bytes=limit) as finder:
            for start in range(0, 1000, 90):
                finder.add(batch.slice(start, 90))
            duplicates.append(finder.rows().tolist())
            assert finder.spilled == (limit == 0)
    keys = [(value,) for value in values.to_pylist()]
    assert duplicates == [slow(keys), slow(keys)]


def test_nothing_is_left_on_the_disk(tmp_path: Path) -> None:
    with DuplicateFinder(["n"], limit_bytes=0, scratch=tmp_path) as finder:
        finder.add(pa.record_batch({"n": [1, 1]}))
        assert list(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    finder = DuplicateFinder(["n"], limit_bytes=0, scratch=tmp_path / "none")
    with finder, pytest.raises(StorageError, match="temporary folder for the keys"):
        finder.add(pa.record_batch({"n": [1]}))
