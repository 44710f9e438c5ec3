"""Seeds and uniform random numbers per series, independent of the batch of the series.

A series must be forecast alike whatever partition, batch or process it is in. A generator shared by
a batch would give it other numbers with other neighbours. Both functions use unsigned 64-bit
arithmetic only, which gives the same numbers on every machine.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import DoubleArray, UintArray
from gigacast.core.series.batch import SeriesBatch

_BASE = 0x100000001B3  # the FNV prime
_GOLDEN = 0x9E3779B97F4A7C15  # SplitMix64's step, 2^64 divided by the golden ratio


def series_seeds(batch: SeriesBatch, seed: int = 0) -> UintArray:
    """Return a seed for each series, uint64 [N].

    It depends on the text of the item id, the name of the target and ``seed`` only.
    """
    return name_hashes(batch.item_ids, batch.target_names, seed)


def name_hashes(item_ids: pa.Array, target_names: pa.Array, seed: int = 0) -> UintArray:
    """Return a hash of each pair of names, uint64 [N]: the seed of the series of these names."""
    items, targets = _hash_texts(item_ids), _hash_texts(target_names)
    start = np.full(len(items), seed % 2**64, dtype=np.uint64)
    # Mixed after each part, so that an item and a target with swapped names get another seed.
    return _mix(_mix(_mix(start) ^ items) ^ targets)


def uniform(seeds: UintArray, start: int, count: int) -> DoubleArray:
    """Return draws ``start`` to ``start + count`` of each seed's stream, [N, count], in [0, 1).

    The generator is SplitMix64 (Steele, Lea and Flood, 2014, "Fast splittable pseudorandom number
    generators"). Draw ``k`` is a function of the seed and ``k``, so that a stream can be read from
    any position.
    """
    counters = np.arange(start, start + count, dtype=np.uint64)
    words = _mix(seeds[:, None] + counters * np.uint64(_GOLDEN))
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53  # the 53 bits of a float64


def _mix(words: UintArray) -> UintArray:
    """Return SplitMix64's output for each word: a bijection in which every bit affects all."""
    words = words + np.uint64(_GOLDEN)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _hash_texts(texts: pa.Array) -> UintArray:
    """Return a polynomial hash of each text's UTF-8 bytes and length, uint64 [N].

    Null counts as empty. Python's own ``hash`` differs from process to process.
    """
    plain = pc.fill_null(pc.cast(texts, pa.large_string()), "")
    _, offset_buffer, byte_buffer = plain.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[plain.offset : plain.offset + len(plain) + 1]
    if not len(plain) or offsets[0] == offsets[-1]:
        return np.zeros(len(plain), dtype=np.uint64)
    raw = np.frombuffer(byte_buffer, np.uint8)[offsets[0] : offsets[-1]].astype(np.uint64)
    lengths, starts = np.diff(offsets), offsets[:-1] - offsets[0]
    # One is added to each byte because a zero byte would contribute nothing.
    terms = (raw + np.uint64(1)) * _powers(int(lengths.max()))[
        np.arange(len(raw)) - np.repeat(starts, lengths)
    ]
    # Sums wrap around at 2^64, and so do their differences: the hash of a text is exact.
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(terms, dtype=np.uint64)])
    hashes: UintArray = sums[starts + lengths] - sums[starts] + lengths.astype(np.uint64)
    return hashes


def _powers(count: int) -> UintArray:
    """Return the first powers of the base modulo 2^64, uint64 [count]."""
    factors = np.full(count, _BASE, dtype=np.uint64)
    factors[0] = 1
    return np.cumprod(factors, dtype=np.uint64)
