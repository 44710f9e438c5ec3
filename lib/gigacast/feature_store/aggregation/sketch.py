"""States of APPROX_UNIQUE_COUNT, APPROX_PERCENTILE and APPROX_HISTOGRAM_K, by datasketches.

Backfills compute these operations exactly; a served answer is within the sketch's published bound.
Merging copies: the stored state of a batch must not change when a fetch merges it.
"""

from collections.abc import Sequence
from typing import Any

import datasketches

from gigacast.feature_store.aggregation.histogram import (
    Counts,
    add,
    flatten,
    most_frequent,
    unflatten,
)
from gigacast.feature_store.aggregation.value import Value, canonical, pack, unpack

CPC_LG_K = 8
KLL_K = 128
PERCENTILES = (0.5,)
MARK = chr(0)


def _hashable(value: Value) -> Value:
    # The sketch hashes 64-bit integers, floats and texts.
    if isinstance(value, bool):
        return int(value)
    return pack(value).hex() if isinstance(value, bytes | list) else canonical(value)


class DistinctSketch:
    """Number of distinct values by CPC (compressed probabilistic counting)."""

    def __init__(self, lg_k: int | None) -> None:
        self.lg_k = lg_k or CPC_LG_K

    def update(self, state: Any, value: Value, time: int) -> Any:
        """Return the state with a value more."""
        sketch = datasketches.cpc_sketch(self.lg_k) if state is None else state
        sketch.update(_hashable(value))
        return sketch

    def merge(self, left: Any, right: Any) -> Any:
        """Return the state of the values of both states."""
        union = datasketches.cpc_union(self.lg_k)
        union.update(left)
        union.update(right)
        return union.get_result()

    def delete(self, state: Any, value: Value, time: int) -> Any:
        """Return the state as it is: the operation ignores deletes."""
        return state

    def finish(self, state: Any) -> int:
        """Return the feature."""
        estimate: float = state.get_estimate()
        # Down to an integer, as Chronon does: the estimate of few values is slightly above them.
        return int(estimate)

    def encode(self, state: Any) -> Any:
        """Return the state as msgpack holds it."""
        return state.serialize()

    def decode(self, stored: Any) -> Any:
        """Return the state of ``encode``."""
        return datasketches.cpc_sketch.deserialize(stored)


class QuantileSketch:
    """Quantiles by KLL over 32-bit floats; exact up to ``k`` values."""

    def __init__(self, percentiles: Sequence[float], k: int | None) -> None:
        self.percentiles = [*percentiles]
        self.k = k or KLL_K

    def update(self, state: Any, value: Value, time: int) -> Any:
        """Return the state with a value more."""
        sketch = datasketches.kll_floats_sketch(self.k) if state is None else state
        # The sketch ignores NaN, which has no place among quantiles.
        sketch.update(float(value))
        return sketch

    def merge(self, left: Any, right: Any) -> Any:
        """Return the state of the values of both states."""
        merged = datasketches.kll_floats_sketch(self.k)
        merged.merge(left)
        merged.merge(right)
        return merged

    def delete(self, state: Any, value: Value, time: int) -> Any:
        """Return the state as it is: the operation ignores deletes."""
        return state

    def finish(self, state: Any) -> list[float] | None:
        """Return the feature."""
        return None if state.is_empty() else [*state.get_quantiles(self.percentiles)]

    def encode(self, state: Any) -> Any:
        """Return the state as msgpack holds it."""
        return state.serialize()

    def decode(self, stored: Any) -> Any:
        """Return the state of ``encode``."""
        return datasketches.kll_floats_sketch.deserialize(stored)


class HistogramSketch:
    """The most frequent values: exact up to ``k`` distinct values, then a frequent-items sketch.

    A state is a table of counts, or a sketch over the values' encodings.
    """

    def __init__(self, k: int) -> None:
        self.k = k
        # Four places per value kept; the library's least size is 2**3.
        self.lg_size = max(3, (max(2, k) * 4 - 1).bit_length())

    def update(self, state: Any, value: Value, time: int) -> Any:
        """Return the state with a value more."""
        value = canonical(value)
        if state is None or isinstance(state, dict):
            return self._settle(add(state or {}, {value: 1}))
        state.update(_spell(value))
        return state

    def merge(self, left: Any, right: Any) -> Any:
        """Return the state of the values of both states."""
        if isinstance(left, dict) and isinstance(right, dict):
            return self._settle(add(left, right))
        merged = self._sketch({})
        for state in (left, right):
            merged.merge(self._sketch(state) if isinstance(state, dict) else state)
        return merged

    def delete(self, state: Any, value: Value, time: int) -> Any:
        """Return the state as it is: the operation ignores deletes."""
        return state

    def finish(self, state: Any) -> Counts:
        """Return the feature."""
        if isinstance(state, dict):
            return most_frequent(state, self.k)
        kind = datasketches.frequent_items_error_type.NO_FALSE_NEGATIVES
        rows = state.get_frequent_items(kind)
        return most_frequent({_unspell(row[0]): row[1] for row in rows}, self.k)

    def encode(self, state: Any) -> Any:
        """Return the state as msgpack holds it."""
        return flatten(state) if isinstance(state, dict) else state.serialize()

    def decode(self, stored: Any) -> Any:
        """Return the state of ``encode``."""
        if isinstance(stored, bytes):
            return datasketches.frequent_strings_sketch.deserialize(stored)
        return unflatten(stored)

    def _settle(self, counts: Counts) -> Any:
        return counts if len(counts) <= self.k else self._sketch(counts)

    def _sketch(self, counts: Counts) -> Any:
        sketch = datasketches.frequent_strings_sketch(self.lg_size)
        for value, n in counts.items():
            sketch.update(_spell(value), n)
        return sketch


def _spell(value: Value) -> str:
    # The sketch of the library holds texts: other values, and texts that begin with the mark, are
    # the mark and their encoding.
    if isinstance(value, str) and value[:1] != MARK:
        return value
    return MARK + pack(value).hex()


def _unspell(text: str) -> Value:
    return canonical(unpack(bytes.fromhex(text[1:]))) if text[:1] == MARK else text
