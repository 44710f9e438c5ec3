"""Digests of series: 128 bits over everything of a series that decides its forecast.

They are sums of products with fixed pseudo-random keys, one for each place, modulo 2^64, twice
(multilinear hashing; Lemire and Kaser, 2014, "Strongly universal string hashing is fast"). Two
series that differ have equal digests with a probability below 2^-90, unless somebody searches for
such a pair. A sum needs no loop over series, and any number of them costs a few passes.
"""

from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gigacast.core.array import AnyArray, FloatArray, IntArray, UintArray
from gigacast.core.series.batch import SeriesBatch
from gigacast.core.series.covariate import Covariates

REVISION = 1
"""Raise it when equal series get other digests: stored ones are then left aside."""
_CHUNK_WORDS = 1 << 18
"""Words that are hashed at a time, so that the temporary arrays stay in the cache."""
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # SplitMix64's step, 2^64 divided by the golden ratio
_LANES = (np.uint64(0x243F6A8885A308D3), np.uint64(0x13198A2E03707344))  # digits of pi


def series_digests(batch: SeriesBatch, *, joint: bool = False) -> UintArray:
    """Return a digest for each series, uint64 [N, 2].

    It covers the item id, the target, all values, the last timestamp, the frequency, the reason of
    the reader, the covariates of the item, and the types of ids and times.

    Parameters
    ----------
    batch : SeriesBatch
        N series.
    joint : bool
        Whether the targets of an item are forecast together: the digest of each then covers the
        others as well.
    """
    covariates = batch.covariates
    parts = [_hash_words(batch.values.view(np.uint32), batch.offsets[:-1], batch.offsets[1:])]
    parts += [_hash_texts(batch.item_ids), _hash_texts(batch.target_names)]
    parts += [_both(batch.last_timestamps.view(np.uint64)), _hash_frequencies(batch)]
    parts += [_both(batch.reasons.astype(np.uint64)), _repeated(_types_of(batch), len(batch))]
    if covariates is not None and covariates.names:
        parts.append(_hash_covariates(covariates)[covariates.items])
    digests = np.zeros((len(batch), 2), np.uint64)
    for part in parts:
        digests = _mix(digests ^ part)
    if batch.bases is not None:
        # Of all series: beside one with a base their means and mixtures are rounded as doubles.
        digests = _mix(digests ^ _both(batch.bases.view(np.uint64)))
    if joint and covariates is not None:
        digests = _mix(digests ^ _sums_of_items(digests, covariates))
    return digests


def _hash_words(words: AnyArray, starts: IntArray, stops: IntArray) -> UintArray:
    """Return the hash of each range of words, uint64 [N, 2].

    Parameters
    ----------
    words : uint32 [R]
    starts, stops : int64 [N]
        Ascending ranges, which may be empty.
    """
    lengths = stops - starts
    hashes = np.empty((len(lengths), 2), np.uint64)
    totals = np.cumsum(lengths)
    first = 0
    while first < len(lengths):
        before = totals[first - 1] if first else 0
        # At least one range, however long it is.
        last = max(first + 1, int(np.searchsorted(totals, before + _CHUNK_WORDS, "right")))
        _hash_chunk(words, starts[first:last], lengths[first:last], hashes[first:last])
        first = last
    return _mix(hashes ^ lengths.astype(np.uint64)[:, None])


def _hash_chunk(words: AnyArray, starts: IntArray, lengths: IntArray, out: UintArray) -> None:
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    places = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    chosen = words[places + np.repeat(starts, lengths)]
    # Round numbers end in zero bits as floats, and products would keep those zeros: the upper half
    # is folded into the lower one. Nothing is lost by it.
    folded = (chosen ^ (chosen >> np.uint32(16))).astype(np.uint64)
    sums = np.zeros(len(folded) + 1, np.uint64)
    size = int(lengths.max(initial=0))
    for lane in range(2):
        # Sums wrap around at 2^64, and so do their differences.
        np.cumsum(folded * _keys(_power_of_two(size), lane)[places], out=sums[1:])
        out[:, lane] = sums[offsets[1:]] - sums[offsets[:-1]]


@lru_cache(maxsize=64)
def _keys(count: int, lane: int) -> UintArray:
    """Return the keys of the first places, uint64 [count]."""
    return _mix(_LANES[lane] + np.arange(count, dtype=np.uint64) * _GOLDEN)


def _power_of_two(size: int) -> int:
    # Few sizes, so that the keys of few are kept.
    return 1 << max(10, size.bit_length())


def _hash_texts(texts: pa.Array) -> UintArray:
    """Return the hash of each value's text, uint64 [N, 2]; null counts as empty."""
    plain = pc.fill_null(pc.cast(texts, pa.large_string()), "")
    _, offset_buffer, byte_buffer = plain.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[plain.offset : plain.offset + len(plain) + 1]
    if not len(plain):
        return np.zeros((0, 2), np.uint64)
    characters = np.frombuffer(byte_buffer or b"", np.uint8)[offsets[0] : offsets[-1]]
    return _hash_words(
        characters.astype(np.uint32), offsets[:-1] - offsets[0], offsets[1:] - offsets[0]
    )


def text_hashes(texts: pa.Array) -> UintArray:
    """Return 64 bits that depend on each text alone, uint64 [N]."""
    hashes: UintArray = _hash_texts(texts)[:, 0]
    return hashes


def _hash_frequencies(batch: SeriesBatch) -> UintArray:
    # The last one stands for series without a frequency, whose code is -1.
    names = pa.array([*(f"{f.kind} {f.count} {f.day}" for f in batch.frequencies), ""], pa.string())
    hashes: UintArray = _hash_texts(names)[batch.frequency_codes]
    return hashes


def _types_of(batch: SeriesBatch) -> UintArray:
    fields = "\n".join(f"{field.name}: {field.type}" for field in batch.item_fields())
    return _hash_texts(pa.array([f"{fields}\n{batch.timestamp_type}"], pa.string()))


def _hash_covariates(covariates: Covariates) -> UintArray:
    """Return the hash of all covariates of each item, uint64 [M, 2]."""
    starts, stops = covariates.offsets[:-1], covariates.offsets[1:]
    names = "\n".join((*covariates.names, str(covariates.known)))
    hashes = _repeated(_hash_texts(pa.array([names], pa.string())), len(starts))
    # Where the future begins. The same values mean something else one step later.
    hashes = _mix(hashes ^ _both((covariates.ends - starts).view(np.uint64)))
    for values, texts in zip(covariates.values, covariates.categories, strict=True):
        for words in _words_of(values, texts):
            hashes = _mix(hashes ^ _hash_words(words, starts, stops))
    return hashes


def _words_of(values: FloatArray, texts: tuple[str, ...] | None) -> list[AnyArray]:
    """Return the values of a covariate as words, uint32 [R]; those of texts in two halves."""
    if texts is None:
        return [np.ascontiguousarray(values).view(np.uint32)]
    # Codes differ from batch to batch, and texts do not. Neither the code -1 nor a step without a
    # row is a text.
    hashes = np.append(_hash_texts(pa.array(texts, pa.string()))[:, 0], np.array([1, 2], np.uint64))
    codes = np.where(np.isnan(values), len(texts) + 1, np.where(values < 0, len(texts), values))
    chosen = hashes[codes.astype(np.int64)]
    return [(chosen >> np.uint64(32)).astype(np.uint32), chosen.astype(np.uint32)]


def _sums_of_items(digests: UintArray, covariates: Covariates) -> UintArray:
    """Return the sum of the digests of all series of each series' item, uint64 [N, 2]."""
    _, places = np.unique(covariates.items, return_inverse=True)
    sums = np.zeros((int(places.max(initial=-1)) + 1, 2), np.uint64)
    np.add.at(sums, places, digests)
    chosen: UintArray = sums[places]
    return chosen


def _both(words: UintArray) -> UintArray:
    """Return words for both lanes, uint64 [N, 2]."""
    return _mix(words[:, None] + np.array(_LANES))


def _repeated(row: UintArray, count: int) -> UintArray:
    return np.broadcast_to(row[0], (count, 2))


def _mix(words: UintArray) -> UintArray:
    """Return SplitMix64's output for each word: a bijection in which every bit affects all."""
    words = words + _GOLDEN
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
