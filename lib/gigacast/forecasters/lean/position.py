"""T5's buckets of relative positions."""

import math

import numpy as np

from gigacast.core.array import IntArray


def relative_buckets(length: int, buckets: int, max_distance: int) -> IntArray:
    """Return T5's bidirectional buckets of relative positions, int64 [S, S].

    Half of the buckets are for earlier tokens and half for later ones. One half of each holds
    single distances, the other half ranges that grow logarithmically up to ``max_distance``.
    """
    position = np.arange(length)
    distance = position[None, :] - position[:, None]
    half = buckets // 2
    exact = half // 2
    ahead = (distance > 0) * half
    distance = np.abs(distance)
    # In float32, as torch computes it: a distance at the edge of a range falls on the same side.
    ratio = np.maximum(distance, 1).astype(np.float32) / np.float32(exact)
    scale = np.float32(math.log(max_distance / exact))
    wide = (np.log(ratio) / scale * np.float32(half - exact)).astype(np.int64)
    wide = np.minimum(exact + wide, half - 1)
    result: IntArray = ahead + np.where(distance < exact, distance, wide)
    return result
