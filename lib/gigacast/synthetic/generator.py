"""Generate synthetic series in blocks of a fixed size, each with its own random stream.

Block *b* of seed *s* draws from a counter-based generator with the key ``(s, b)``. So a series
depends on its seed and index only, not on the other series of a call or on earlier calls.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from gigacast.core.array import FloatArray
from gigacast.errors import ConfigError
from gigacast.synthetic import dynamic, pattern, seasonal, stochastic, structural
from gigacast.synthetic.augmentation import augment
from gigacast.synthetic.mixture import Mixture

BLOCK_ROWS = 512
"""Series per block. Part of the definition of a corpus: another size gives other series."""
SHORTEST = 16

Family = Callable[[np.random.Generator, int, int], FloatArray]

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "calendar": seasonal.calendar,
        "harmonics": seasonal.harmonics,
        "profile": seasonal.profile,
        "evolving": seasonal.evolving,
        "multiplicative": seasonal.multiplicative,
        "waves": seasonal.waves,
        "smooth": stochastic.smooth_kernels,
        "autoregressive": stochastic.autoregressive,
        "random_walk": stochastic.random_walk,
        "mean_reverting": stochastic.mean_reverting,
        "regimes": stochastic.regimes,
        "level_shifts": structural.level_shifts,
        "trend": structural.trend,
        "growth": structural.growth,
        "spikes": structural.spikes,
        "intermittent": structural.intermittent,
        "counts": structural.counts,
        "bounded": structural.bounded,
        "exponential_smoothing": dynamic.exponential_smoothing,
        "causal_graph": dynamic.causal_graph,
        "patterns": pattern.patterns,
        "clean_waves": pattern.clean_waves,
        "products": pattern.products,
        "varying_days": seasonal.varying_days,
    }
)


@dataclass(frozen=True)
class SyntheticBatch:
    """Synthetic series and their families.

    Attributes
    ----------
    values : FloatArray
        Series, [N, T], float32; NaN if missing, never infinite.
    families : NDArray[np.str_]
        Name of the family of each series, [N].
    """

    values: FloatArray
    families: NDArray[np.str_]


def generate(
    count: int, length: int, seed: int, *, start: int = 0, mixture: Mixture | None = None
) -> SyntheticBatch:
    """Return series ``start`` to ``start + count`` of a synthetic corpus.

    Parameters
    ----------
    count : int
        Number of series N.
    length : int
        Points per series T, at least 16.
    seed : int
        Seed of the corpus; zero or more.
    start : int
        Index of the first series.
    mixture : Mixture, optional
        Composition of the corpus; ``Mixture()`` by default.

    Raises
    ------
    ConfigError
        If count, start or seed is negative, the length is under 16, or a family is unknown.
    """
    mixture = mixture or Mixture()
    _check(count, length, seed, start, mixture)
    stop = start + count
    blocks = range(start // BLOCK_ROWS, -(-stop // BLOCK_ROWS) if count else start // BLOCK_ROWS)
    parts = [_block(seed, block, length, mixture) for block in blocks]
    if not parts:
        return SyntheticBatch(np.empty((0, length), np.float32), np.empty(0, np.str_))
    # Whole blocks are generated, even for a few of their series: a block is one random stream.
    offset = start - blocks.start * BLOCK_ROWS
    values = np.concatenate([values for values, _ in parts])[offset : offset + count]
    names = np.concatenate([names for _, names in parts])[offset : offset + count]
    return SyntheticBatch(values, names)


def _check(count: int, length: int, seed: int, start: int, mixture: Mixture) -> None:
    if min(count, seed, start) < 0:
        raise ConfigError(f"count, seed and start must be 0 or more, got {count}, {seed}, {start}")
    if length < SHORTEST:
        raise ConfigError(f"length must be at least {SHORTEST}, got {length}")
    unknown = sorted(set(mixture.shares) - set(FAMILIES))
    if unknown:
        raise ConfigError(f"unknown families {unknown}", hint=f"known: {', '.join(FAMILIES)}")


def _block(
    seed: int, block: int, length: int, mixture: Mixture
) -> tuple[FloatArray, NDArray[np.str_]]:
    """Return a block of series, [BLOCK_ROWS, T], and the name of each series' family."""
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, block], dtype=np.uint64)))
    # Sorted, so that the order in which shares are given does not change the series.
    names = np.array(sorted(mixture.shares))
    weights = np.array([mixture.shares[name] for name in names])
    drawn = rng.choice(len(names), size=BLOCK_ROWS, p=weights / weights.sum())
    values = np.empty((BLOCK_ROWS, length), dtype=np.float32)
    for kind, name in enumerate(names):
        rows = np.flatnonzero(drawn == kind)
        if len(rows):
            values[rows] = FAMILIES[str(name)](rng, len(rows), length)
    return augment(rng, values, mixture), names[drawn]
